//! The leader's side: admits workers, assigns shards, runs the rounds, and hands merged contributions to the leader.
//!
//! Two rounds are open at a time where the leader can give the second instruction before the first round is over
//! ([`Leader::instruct_ahead`]), so that workers compute while contributions travel. A fit waits a moment for the
//! workers that were requested, so that no shard is loaded by one worker and then taken over by another. Start at
//! [`lead`].

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    pin::pin,
    time::Duration,
};

use bytes::Bytes;
use tidewaiter_core::{Error, ErrorKind, Result};
use tidewaiter_proto::v1::{
    Assign, Contribution as ContributionMessage, Done, Failure, Instruct, LeaderMessage, WorkerMessage,
    leader_message, worker_message,
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    assignment::{Assignment, assign},
    connection::{CHANNEL_DEPTH, Connection},
    fit::{Contribution, Leader, Progress},
};

/// Where workers join a fit. Cheap to clone; the fit itself runs in [`lead`].
#[derive(Debug, Clone)]
pub struct Hub {
    events: mpsc::Sender<Event>,
}

/// The hub's receiving end, which [`lead`] consumes.
#[derive(Debug)]
pub struct Inbox {
    events: mpsc::Receiver<Event>,
}

#[derive(Debug)]
enum Event {
    Joined { worker: String, to_worker: mpsc::Sender<LeaderMessage> },
    Sent { worker: String, message: WorkerMessage },
    Left { worker: String },
}

impl Hub {
    /// A hub, and the inbox from which its fit is led.
    pub fn new() -> (Self, Inbox) {
        let (events, receiver) = mpsc::channel(CHANNEL_DEPTH);
        (Self { events }, Inbox { events: receiver })
    }

    /// Admits a worker under a name that no other worker of the fit has.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] when the fit is over.
    pub async fn join(&self, worker: String) -> Result<Connection> {
        let (outgoing, mut sent) = mpsc::channel(CHANNEL_DEPTH);
        let (to_worker, incoming) = mpsc::channel(CHANNEL_DEPTH);
        let over = |_| Error::new(ErrorKind::Cancelled, "the fit is over");
        self.events.send(Event::Joined { worker: worker.clone(), to_worker }).await.map_err(over)?;
        let events = self.events.clone();
        tokio::spawn(async move {
            while let Some(message) = sent.recv().await {
                if events.send(Event::Sent { worker: worker.clone(), message }).await.is_err() {
                    return;
                }
            }
            // This fails when the fit is over, and then has no effect.
            let _ = events.send(Event::Left { worker }).await;
        });
        Ok(Connection { outgoing, incoming })
    }
}

/// What the driver does while a fit runs.
#[async_trait::async_trait]
pub trait Observer: Send {
    /// Called after each absorbed round.
    fn progress(&mut self, progress: Progress);

    /// Called at the leader's milestones, with a checkpoint to store.
    async fn checkpoint(&mut self, checkpoint: Bytes) -> Result<()>;
}

/// Leads a fit of `shards` shards to its end, or until `cancel` is sent or its sender is dropped. The fit begins when
/// `expected` workers have joined, or after a second with those that have.
///
/// # Errors
/// The leader's own, a worker's permanent failure, or [`ErrorKind::Cancelled`].
pub async fn lead(
    inbox: Inbox,
    leader: &mut dyn Leader,
    shards: u32,
    expected: usize,
    observer: &mut dyn Observer,
    mut cancel: oneshot::Receiver<()>,
) -> Result<()> {
    let mut session = Session { inbox, shards, workers: BTreeMap::new(), rounds: 0, open: VecDeque::new() };
    let led = tokio::select! {
        led = session.run(leader, expected, observer) => led,
        _ = &mut cancel => Err(Error::new(ErrorKind::Cancelled, "the fit was cancelled")),
    };
    let reason = led.as_ref().err().map(Error::chain).unwrap_or_default();
    session.dismiss(&reason).await;
    led
}

/// How many rounds are open at most. With two, workers compute the next round while the leader absorbs the last.
const OPEN_ROUNDS: usize = 2;

/// How long a fit waits for the expected workers at most. Executors ask for tasks several times a second.
const JOIN_TIMEOUT: Duration = Duration::from_secs(1);

/// A fit under way.
struct Session {
    inbox: Inbox,
    shards: u32,
    workers: BTreeMap<String, Worker>,
    /// How many rounds were begun.
    rounds: u64,
    /// The rounds that are not over, the oldest first.
    open: VecDeque<Round>,
}

struct Worker {
    to_worker: mpsc::Sender<LeaderMessage>,
    carries: BTreeSet<u32>,
}

/// An open round: its instruction, and what was answered so far.
struct Round {
    number: u64,
    instruction: Bytes,
    answered: BTreeSet<u32>,
    merged: Option<Contribution>,
}

impl Round {
    fn message(&self) -> leader_message::Message {
        let payload = self.instruction.clone();
        leader_message::Message::Instruct(Instruct { round: self.number, payload })
    }
}

impl Session {
    async fn run(
        &mut self,
        leader: &mut dyn Leader,
        expected: usize,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        self.wait_for_workers(expected, leader).await?;
        while let Some(instruction) = leader.instruct()? {
            self.begin(instruction);
            self.rebalance(leader).await?;
            self.broadcast().await;
            while !self.open.is_empty() {
                self.begin_ahead(leader).await?;
                let contribution = self.collect(leader).await?;
                leader.absorb(contribution)?;
                observer.progress(leader.progress());
                if leader.at_milestone() {
                    observer.checkpoint(leader.checkpoint()?).await?;
                }
            }
        }
        Ok(())
    }

    /// Waits for workers that are about to join, so that no worker loads shards which another takes over at once.
    async fn wait_for_workers(&mut self, expected: usize, leader: &dyn Leader) -> Result<()> {
        let mut late = pin!(tokio::time::sleep(JOIN_TIMEOUT));
        while self.workers.len() < expected {
            tokio::select! {
                event = self.inbox.events.recv() => self.handle(event, leader).await?,
                () = &mut late => break,
            }
        }
        Ok(())
    }

    fn begin(&mut self, instruction: Bytes) {
        self.rounds += 1;
        let number = self.rounds;
        self.open.push_back(Round { number, instruction, answered: BTreeSet::new(), merged: None });
    }

    /// Begins further rounds, as far as the leader knows their instructions. It begins none while the shards are
    /// assigned unevenly, which [`Session::rebalance`] corrects when no round is open.
    async fn begin_ahead(&mut self, leader: &mut dyn Leader) -> Result<()> {
        while self.open.len() < OPEN_ROUNDS && self.is_even() {
            let Some(instruction) = leader.instruct_ahead()? else { break };
            self.begin(instruction);
            self.broadcast().await;
        }
        Ok(())
    }

    /// Waits until every shard has answered the oldest round.
    async fn collect(&mut self, leader: &dyn Leader) -> Result<Contribution> {
        loop {
            let shards = self.shards as usize;
            if let Some(round) = self.open.pop_front_if(|round| round.answered.len() == shards)
                && let Some(merged) = round.merged
            {
                return Ok(merged);
            }
            let event = self.inbox.events.recv().await;
            self.handle(event, leader).await?;
        }
    }

    async fn handle(&mut self, event: Option<Event>, leader: &dyn Leader) -> Result<()> {
        match event.ok_or_else(|| Error::internal("the fit's hub was dropped while it was led"))? {
            Event::Joined { worker, to_worker } => {
                tracing::info!(worker, "worker joined the fit");
                self.workers.insert(worker, Worker { to_worker, carries: BTreeSet::new() });
                // Shards in use are moved between rounds; only shards without a worker are assigned now.
                self.assign_unassigned(leader).await
            }
            Event::Left { worker } => {
                tracing::warn!(worker, "worker left the fit");
                self.workers.remove(&worker);
                self.assign_unassigned(leader).await
            }
            Event::Sent { worker, message } => match message.message {
                Some(worker_message::Message::Contribution(contribution)) => {
                    self.merge(&worker, contribution)
                }
                Some(worker_message::Message::Failure(failure)) => self.fail(&worker, failure, leader).await,
                Some(worker_message::Message::Hello(_)) | None => Ok(()),
            },
        }
    }

    fn merge(&mut self, worker: &str, message: ContributionMessage) -> Result<()> {
        // A late message of a worker that left may answer for shards that others now carry.
        let Some(sender) = self.workers.get(worker) else { return Ok(()) };
        let open = self.open.iter_mut().find(|round| round.number == message.round);
        let Some(round) = open else { return Ok(()) };
        let expected = message.shards.iter().all(|shard| sender.carries.contains(shard))
            && message.shards.iter().all(|shard| !round.answered.contains(shard));
        if !expected {
            return Ok(());
        }
        let Some(answer) = message.answer else { return Ok(()) };
        round.answered.extend(message.shards);
        Contribution::merge_answer(&mut round.merged, answer)
    }

    async fn fail(&mut self, worker: &str, failure: Failure, leader: &dyn Leader) -> Result<()> {
        if !failure.transient {
            return Err(Error::internal(format!("worker {worker}: {}", failure.message)));
        }
        tracing::warn!(worker, error = failure.message, "worker failed and leaves the fit");
        self.workers.remove(worker);
        self.assign_unassigned(leader).await
    }

    /// Assigns the shards evenly; only before a round that is open alone.
    async fn rebalance(&mut self, leader: &dyn Leader) -> Result<()> {
        let wanted = assign(self.shards, &self.carried());
        self.apply(wanted, leader, false).await
    }

    /// Whether the shards are assigned evenly.
    fn is_even(&self) -> bool {
        let carried = self.carried();
        assign(self.shards, &carried) == carried
    }

    /// While rounds are open: assigns the shards without a worker, and moves no others.
    async fn assign_unassigned(&mut self, leader: &dyn Leader) -> Result<()> {
        let mut wanted = self.carried();
        if wanted.is_empty() || self.open.is_empty() {
            return Ok(());
        }
        let carried: BTreeSet<u32> = wanted.values().flatten().copied().collect();
        for shard in (0..self.shards).filter(|shard| !carried.contains(shard)) {
            if let Some(lightest) = wanted.values_mut().min_by_key(|shards| shards.len()) {
                lightest.insert(shard);
            }
        }
        self.apply(wanted, leader, true).await
    }

    fn carried(&self) -> Assignment {
        self.workers.iter().map(|(name, worker)| (name.clone(), worker.carries.clone())).collect()
    }

    /// Sends their new assignment to the workers for which it changes, and with `resend` the open rounds' instructions
    /// too, which they answer for the shards that they gained.
    async fn apply(&mut self, wanted: Assignment, leader: &dyn Leader, resend: bool) -> Result<()> {
        let mut history = None;
        for (name, shards) in wanted {
            let Some(worker) = self.workers.get_mut(&name) else { continue };
            if worker.carries == shards {
                continue;
            }
            if history.is_none() {
                history = Some(leader.history()?);
            }
            worker.carries = shards.clone();
            let assign =
                Assign { shards: shards.into_iter().collect(), history: history.clone().unwrap_or_default() };
            send(worker, leader_message::Message::Assign(assign)).await;
            for round in self.open.iter().filter(|_| resend) {
                send(worker, round.message()).await;
            }
        }
        Ok(())
    }

    /// Sends the newest round's instruction to all workers.
    async fn broadcast(&self) {
        let Some(round) = self.open.back() else { return };
        for worker in self.workers.values() {
            send(worker, round.message()).await;
        }
    }

    async fn dismiss(&mut self, reason: &str) {
        for worker in std::mem::take(&mut self.workers).into_values() {
            send(&worker, leader_message::Message::Done(Done { reason: reason.to_owned() })).await;
        }
    }
}

/// Sends a message. A worker that is gone is no error here: that it left arrives as an event of its own.
async fn send(worker: &Worker, message: leader_message::Message) {
    let _ = worker.to_worker.send(LeaderMessage { message: Some(message) }).await;
}
