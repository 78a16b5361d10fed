//! What the hub knows of a worker that is present: its shards, its assignments and its clock.

use std::collections::BTreeMap;

use bytes::Bytes;
use tidewaiter_proto::v1::{Assign, Instruct, LeaderMessage, leader_message};
use tokio::{sync::mpsc, time::Instant};

use crate::{round::Round, timing::Clock};

/// A worker that is present.
pub(crate) struct Member {
    to_worker: mpsc::UnboundedSender<LeaderMessage>,
    /// The shards that it carries, each with the number of the assignment that gave it.
    pub(crate) carries: BTreeMap<u32, u64>,
    /// The same of the shards of another worker that it races.
    pub(crate) races: BTreeMap<u32, u64>,
    /// How many assignments it was sent.
    assignments: u64,
    /// The newest round whose instruction it was sent.
    instructed: u64,
    pub(crate) clock: Clock,
    /// How often it was raced since it last answered in time.
    pub(crate) raced: u32,
    /// How often it lost a race, and until when it carries nothing for it.
    pub(crate) lost: u32,
    pub(crate) rests_until: Option<Instant>,
    /// Whether it has answered nothing since it lost its last race.
    pub(crate) hangs: bool,
}

impl Member {
    pub(crate) fn new(to_worker: mpsc::UnboundedSender<LeaderMessage>) -> Self {
        Self {
            to_worker,
            carries: BTreeMap::new(),
            races: BTreeMap::new(),
            assignments: 0,
            instructed: 0,
            clock: Clock::default(),
            raced: 0,
            lost: 0,
            rests_until: None,
            hangs: false,
        }
    }

    /// Sends a message. A worker that is gone is no error here: that it left arrives as an event of its own.
    pub(crate) fn send(&self, message: leader_message::Message) {
        let _ = self.to_worker.send(LeaderMessage { message: Some(message) });
    }

    pub(crate) fn instruct(&mut self, round: &Round) {
        let message: Instruct = round.message(self.instructed, self.carries.keys().chain(self.races.keys()));
        self.instructed = self.instructed.max(message.round);
        self.send(leader_message::Message::Instruct(message));
    }

    /// The number of its next assignment.
    pub(crate) fn next_assignment(&self) -> u64 {
        self.assignments + 1
    }

    /// Tells it which shards it carries and races for, with the history that those that it gained need.
    pub(crate) fn assign(&mut self, history: Bytes) {
        self.assignments += 1;
        let shards = self.carries.keys().chain(self.races.keys()).copied().collect();
        self.send(leader_message::Message::Assign(Assign { shards, history, number: self.assignments }));
    }

    /// Whether an answer that it computed at the assignment of this number may be for this shard.
    pub(crate) fn answers(&self, shard: u32, assignment: u64) -> bool {
        let given = self.carries.get(&shard).or_else(|| self.races.get(&shard));
        given.is_some_and(|given| *given <= assignment)
    }

    /// How many of its shards have not answered.
    pub(crate) fn owes(&self, round: &Round) -> usize {
        let shards = self.carries.keys().chain(self.races.keys());
        shards.filter(|shard| !round.answered.contains(shard)).count()
    }

    /// Whether it carries nothing for now, because it lost a race.
    pub(crate) fn rests(&self, now: Instant) -> bool {
        self.hangs || self.rests_until.is_some_and(|until| until > now)
    }
}
