//! The leader's side: takes workers in, runs the rounds, hands merged contributions to the leader.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    pin::pin,
    time::Duration,
};

use bytes::Bytes;
use tidewaiter_proto::v1::{
    Assign, Contribution as ContributionMessage, Done, Failure, Instruct, LeaderMessage, WorkerMessage,
    leader_message, worker_message,
};
use tokio::sync::{mpsc, oneshot};

use super::{
    CHANNEL_DEPTH, Connection,
    assignment::{Assignment, assign},
};
use crate::{
    Error, Result,
    learning::{Contribution, Leader, Progress},
};

/// Where workers join a fit. Cheap to clone; the fit itself runs in [`lead`].
#[derive(Debug, Clone)]
pub struct Hub {
    events: mpsc::Sender<Event>,
}

/// The hub's receiving end, consumed by [`lead`].
#[derive(Debug)]
pub struct Floor {
    events: mpsc::Receiver<Event>,
}

#[derive(Debug)]
enum Event {
    Joined { worker: String, to_worker: mpsc::Sender<LeaderMessage> },
    Said { worker: String, message: WorkerMessage },
    Left { worker: String },
}

impl Hub {
    /// A hub and the floor on which its fit will be led.
    pub fn new() -> (Self, Floor) {
        let (events, receiver) = mpsc::channel(CHANNEL_DEPTH);
        (Self { events }, Floor { events: receiver })
    }

    /// Takes a worker in under a name that no other worker present has.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Cancelled`] when the fit is over.
    pub async fn join(&self, worker: String) -> Result<Connection> {
        let (outgoing, mut said) = mpsc::channel(CHANNEL_DEPTH);
        let (to_worker, incoming) = mpsc::channel(CHANNEL_DEPTH);
        let over = |_| Error::new(crate::ErrorKind::Cancelled, "the fit is over");
        self.events.send(Event::Joined { worker: worker.clone(), to_worker }).await.map_err(over)?;
        let events = self.events.clone();
        tokio::spawn(async move {
            while let Some(message) = said.recv().await {
                if events.send(Event::Said { worker: worker.clone(), message }).await.is_err() {
                    return;
                }
            }
            // The fit may be over by now; then nobody has to know.
            let _ = events.send(Event::Left { worker }).await;
        });
        Ok(Connection { outgoing, incoming })
    }
}

/// What the driver wants to hear of a fit under way.
#[async_trait::async_trait]
pub trait Observer: Send {
    /// After each absorbed round.
    fn progress(&mut self, progress: Progress);

    /// At the leader's milestones: the place to store a checkpoint.
    async fn checkpoint(&mut self, checkpoint: Bytes) -> Result<()>;
}

/// Leads a fit of `shards` shards to its end, or until `cancel` fires or its sender is dropped. It begins when
/// `expected` workers have joined, or after a moment with those that have.
///
/// # Errors
/// The leader's own, a worker's permanent failure, or [`crate::ErrorKind::Cancelled`].
pub async fn lead(
    floor: Floor,
    leader: &mut dyn Leader,
    shards: u32,
    expected: usize,
    observer: &mut dyn Observer,
    mut cancel: oneshot::Receiver<()>,
) -> Result<()> {
    let mut session = Session { floor, shards, workers: BTreeMap::new(), rounds: 0, open: VecDeque::new() };
    let led = tokio::select! {
        led = session.run(leader, expected, observer) => led,
        _ = &mut cancel => Err(Error::new(crate::ErrorKind::Cancelled, "the fit was cancelled")),
    };
    let reason = led.as_ref().err().map(Error::chain).unwrap_or_default();
    session.dismiss(&reason).await;
    led
}

/// How many rounds are open at most: with two, workers compute the next round while the leader looks at the last.
const OPEN_ROUNDS: usize = 2;

/// How long workers that are expected are waited for at most: executors ask for tasks several times a second.
const GATHERING: Duration = Duration::from_secs(1);

/// A fit under way.
struct Session {
    floor: Floor,
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

/// A round under way: what was asked, and what was answered so far.
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
        self.gather(expected, leader).await?;
        while let Some(instruction) = leader.instruct()? {
            self.begin(instruction);
            self.rebalance(leader).await?;
            self.instruct_everybody().await;
            while !self.open.is_empty() {
                self.look_ahead(leader).await?;
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

    /// Waits a moment for workers that are about to join, so that nobody loads shards which they take over.
    async fn gather(&mut self, expected: usize, leader: &dyn Leader) -> Result<()> {
        let mut late = pin!(tokio::time::sleep(GATHERING));
        while self.workers.len() < expected {
            tokio::select! {
                event = self.floor.events.recv() => self.take(event, leader).await?,
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

    /// Begins more rounds, as far as the leader knows them; none while loads are uneven, which is mended when no
    /// round is open.
    async fn look_ahead(&mut self, leader: &mut dyn Leader) -> Result<()> {
        while self.open.len() < OPEN_ROUNDS && self.is_even() {
            let Some(instruction) = leader.ahead()? else { break };
            self.begin(instruction);
            self.instruct_everybody().await;
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
            let event = self.floor.events.recv().await;
            self.take(event, leader).await?;
        }
    }

    async fn take(&mut self, event: Option<Event>, leader: &dyn Leader) -> Result<()> {
        match event.ok_or_else(|| Error::internal("the fit's hub was dropped while it was led"))? {
            Event::Joined { worker, to_worker } => {
                tracing::info!(worker, "worker joined the fit");
                self.workers.insert(worker, Worker { to_worker, carries: BTreeSet::new() });
                // Shards in use are moved between rounds; only what nobody carries is given out now.
                self.adopt_orphans(leader).await
            }
            Event::Left { worker } => {
                tracing::warn!(worker, "worker left the fit");
                self.workers.remove(&worker);
                self.adopt_orphans(leader).await
            }
            Event::Said { worker, message } => match message.message {
                Some(worker_message::Message::Contribution(contribution)) => {
                    self.merge(&worker, contribution)
                }
                Some(worker_message::Message::Failure(failure)) => self.fail(&worker, failure, leader).await,
                Some(worker_message::Message::Hello(_)) | None => Ok(()),
            },
        }
    }

    fn merge(&mut self, worker: &str, message: ContributionMessage) -> Result<()> {
        // What a worker that left still had on the way may answer for shards that others now carry.
        let Some(sender) = self.workers.get(worker) else { return Ok(()) };
        let open = self.open.iter_mut().find(|round| round.number == message.round);
        let Some(round) = open else { return Ok(()) };
        let fresh = message.shards.iter().all(|shard| sender.carries.contains(shard))
            && message.shards.iter().all(|shard| !round.answered.contains(shard));
        if !fresh {
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
        self.adopt_orphans(leader).await
    }

    /// Before a round that is open alone: evens the loads out.
    async fn rebalance(&mut self, leader: &dyn Leader) -> Result<()> {
        let wanted = assign(self.shards, &self.carried());
        self.apply(wanted, leader, false).await
    }

    /// Whether there is nothing to even out.
    fn is_even(&self) -> bool {
        let carried = self.carried();
        assign(self.shards, &carried) == carried
    }

    /// Within rounds: gives shards that nobody carries to those present, and moves nothing else.
    async fn adopt_orphans(&mut self, leader: &dyn Leader) -> Result<()> {
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

    /// Tells the workers whose load changes; those that gained shards within open rounds are asked these again.
    async fn apply(&mut self, wanted: Assignment, leader: &dyn Leader, ask: bool) -> Result<()> {
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
            for round in self.open.iter().filter(|_| ask) {
                send(worker, round.message()).await;
            }
        }
        Ok(())
    }

    /// Gives the youngest round's instruction.
    async fn instruct_everybody(&self) {
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

/// Sends without minding that the worker is gone: its leaving arrives as an event of its own.
async fn send(worker: &Worker, message: leader_message::Message) {
    let _ = worker.to_worker.send(LeaderMessage { message: Some(message) }).await;
}
