//! A worker's side: loads the shards that it is assigned, answers instructions, and leaves when it is dismissed.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tidewaiter_core::{Error, Result, ResultExt, threads::on_cpu};
use tidewaiter_proto::v1::{
    Assign, Averaged, Contribution as ContributionMessage, Failure, Fetch, Instruct, ShardValues,
    Values as ValuesMessage, WorkerMessage, contribution::Answer, leader_message, worker_message,
};
use tokio::runtime::Handle;

use crate::{
    connection::{Connection, OPEN_ROUNDS},
    fit::{Contribution, Shard},
    pieces::MOST_BYTES,
    values::{Numbers, Values},
};

/// Loads a shard of a fit's training data: into memory, or to a file from which it is read batch by batch.
#[async_trait::async_trait]
pub trait ShardLoader: Send + Sync {
    /// Loads a shard by its number; the caller restores its history.
    async fn load(&self, shard: u32) -> Result<Box<dyn Shard>>;
}

/// What a worker did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worked {
    /// Rounds answered.
    pub rounds: u64,
    /// Why it ended.
    pub end: End,
}

/// Why a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The fit is over.
    Dismissed,
    /// The fit goes on without it, because it was silent for too long. It may join again.
    Expelled,
}

/// Works for a fit until it is done.
///
/// # Errors
/// The worker's own error, which it sends to the leader first; [`tidewaiter_core::ErrorKind::Unavailable`] when the
/// leader is gone or silent.
pub async fn work(mut connection: Connection, loader: &dyn ShardLoader) -> Result<Worked> {
    let mut worker = Worker::new(loader);
    match worker.serve(&mut connection).await {
        Ok(end) => Ok(Worked { rounds: worker.rounds, end }),
        Err(error) => {
            let chain = error.chain();
            let code = tonic::Status::from(Error::new(error.kind(), chain.clone())).code();
            let failure = Failure { message: chain, code: code as i32 };
            // Where the leader is gone too, the task's error alone reports the failure.
            let _ = send(&connection, worker_message::Message::Failure(failure)).await;
            Err(error)
        }
    }
}

/// A loaded shard, and the last round that it answered.
struct Carried {
    shard: Box<dyn Shard>,
    answered: u64,
}

struct Worker<'a> {
    loader: &'a dyn ShardLoader,
    carried: BTreeMap<u32, Carried>,
    /// The number of the last assignment.
    assignment: u64,
    /// The instructions of the rounds that may be open, the oldest first.
    instructions: VecDeque<(u64, Bytes)>,
    /// Values that the leader fetches, by round and shard.
    held: BTreeMap<(u64, u32), Numbers>,
    rounds: u64,
}

impl<'a> Worker<'a> {
    fn new(loader: &'a dyn ShardLoader) -> Self {
        Self {
            loader,
            carried: BTreeMap::new(),
            assignment: 0,
            instructions: VecDeque::new(),
            held: BTreeMap::new(),
            rounds: 0,
        }
    }

    async fn serve(&mut self, connection: &mut Connection) -> Result<End> {
        while let Some(message) = connection.incoming.recv().await {
            let answer = match message.message {
                Some(leader_message::Message::Assign(assign)) => {
                    self.reassign(assign).await?;
                    None
                }
                Some(leader_message::Message::Instruct(instruct)) => self.answer(instruct).await?,
                Some(leader_message::Message::Fetch(fetch)) => self.values(fetch),
                Some(leader_message::Message::Done(_)) => return Ok(End::Dismissed),
                Some(leader_message::Message::Expelled(_)) => return Ok(End::Expelled),
                _ => None,
            };
            if let Some(answer) = answer {
                // A leader that is gone may have sent before that the fit is over, which is read next.
                let _ = send(connection, answer).await;
            }
        }
        Err(Error::unavailable("the leader of the fit went away"))
    }

    /// Drops the shards that are no longer this worker's and loads the new ones.
    async fn reassign(&mut self, assign: Assign) -> Result<()> {
        self.carried.retain(|shard, _| assign.shards.contains(shard));
        for number in assign.shards {
            if self.carried.contains_key(&number) {
                continue;
            }
            let mut shard = self.loader.load(number).await.context(|| format!("load shard {number}"))?;
            let history = assign.history.clone();
            let shard = on_cpu(move || shard.restore(&history).map(|()| shard)).await?;
            self.carried.insert(number, Carried { shard, answered: 0 });
        }
        self.assignment = assign.number;
        Ok(())
    }

    /// Answers a round for every shard that has not answered it yet.
    async fn answer(&mut self, instruct: Instruct) -> Result<Option<worker_message::Message>> {
        let Instruct { round, payload, answered, again } = instruct;
        let payload = if again {
            let known = self.instructions.iter().find(|(known, _)| *known == round);
            let known =
                known.ok_or_else(|| Error::internal("an instruction is repeated that is not known"))?;
            known.1.clone()
        } else {
            self.instructions.push_back((round, payload.clone()));
            if self.instructions.len() > OPEN_ROUNDS {
                self.instructions.pop_front();
            }
            payload
        };
        self.held.retain(|(of, _), _| of + OPEN_ROUNDS as u64 > round);
        let carried = std::mem::take(&mut self.carried);
        let (carried, shards, merged) = compute(carried, round, payload, answered).await?;
        self.carried = carried;
        let Some(merged) = merged else { return Ok(None) };
        self.rounds += 1;
        let answer = match merged {
            Contribution::Average(parts) => Answer::Averaged(self.averaged(round, parts)),
            merged => merged.into_answer()?,
        };
        let (assignment, answer) = (self.assignment, Some(answer));
        let contribution = ContributionMessage { round, shards, assignment, answer };
        Ok(Some(worker_message::Message::Contribution(contribution)))
    }

    /// What is told of numbers that are averaged; the numbers themselves only where they are few.
    fn averaged(&mut self, round: u64, parts: Vec<(u32, Values)>) -> Averaged {
        let few = parts.iter().map(|(_, part)| part.values.as_slice().len()).sum::<usize>() <= MOST_BYTES;
        let mut averaged = Averaged::default();
        for (shard, Values { weight, note, values }) in parts {
            let length = values.len() as u64;
            let sent = if few { values.bytes() } else { Bytes::new() };
            averaged.shards.push(ShardValues { shard, weight, note, length, values: sent });
            if !few {
                self.held.insert((round, shard), values);
            }
        }
        averaged
    }

    /// A part of the values that the leader fetches; after the last part they are needed no more.
    fn values(&mut self, fetch: Fetch) -> Option<worker_message::Message> {
        let Fetch { round, shard, first, count } = fetch;
        let held = self.held.get(&(round, shard))?;
        let values = held.part(first, count)?;
        if first + count == held.len() as u64 {
            self.held.remove(&(round, shard));
        }
        Some(worker_message::Message::Values(ValuesMessage { round, shard, first, values }))
    }
}

/// The shards, those that answer, and their merged answer.
type Computed = (BTreeMap<u32, Carried>, Vec<u32>, Option<Contribution>);

/// Computes a round on every shard that has not answered it yet; those that are `known` to have answered on another
/// worker only follow.
async fn compute(
    mut carried: BTreeMap<u32, Carried>,
    round: u64,
    instruction: Bytes,
    known: Vec<u32>,
) -> Result<Computed> {
    let runtime = Handle::current();
    on_cpu(move || {
        let mut merged = None;
        let mut shards = Vec::new();
        for (number, carried) in &mut carried {
            if carried.answered >= round {
                continue;
            }
            carried.answered = round;
            if known.contains(number) {
                runtime.block_on(carried.shard.contribute_async(&instruction, &mut None))?;
            } else {
                runtime.block_on(carried.shard.contribute_async(&instruction, &mut merged))?;
                shards.push(*number);
            }
        }
        Ok((carried, shards, merged))
    })
    .await
}

async fn send(connection: &Connection, message: worker_message::Message) -> Result<()> {
    let gone = |_| Error::unavailable("the leader of the fit went away");
    connection.outgoing.send(WorkerMessage { message: Some(message) }).await.map_err(gone)
}
