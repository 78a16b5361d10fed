//! A worker's side: loads the shards that it is assigned, answers instructions, and leaves when it is dismissed.

use std::collections::BTreeMap;

use tidewaiter_core::{Error, ErrorKind, Result, ResultExt, threads::on_cpu};
use tidewaiter_proto::v1::{
    Assign, Contribution as ContributionMessage, Failure, Instruct, WorkerMessage, leader_message,
    worker_message,
};

use crate::{connection::Connection, fit::Shard};

/// Loads a shard of a fit's training data into memory.
#[async_trait::async_trait]
pub trait ShardLoader: Send + Sync {
    /// Loads a shard by its number; the caller restores its history.
    async fn load(&self, shard: u32) -> Result<Box<dyn Shard>>;
}

/// Works for a fit until it is done; returns the number of rounds answered.
///
/// # Errors
/// The worker's own error, which it sends to the leader first; [`ErrorKind::Unavailable`] when the leader is gone, so
/// that the engine retries the task and it joins the fit that its driver resumes.
pub async fn work(mut connection: Connection, loader: &dyn ShardLoader) -> Result<u64> {
    match serve(&mut connection, loader).await {
        Ok(rounds) => Ok(rounds),
        Err(error) => {
            let failure =
                Failure { message: error.chain(), transient: error.kind() == ErrorKind::Unavailable };
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

async fn serve(connection: &mut Connection, loader: &dyn ShardLoader) -> Result<u64> {
    let mut carried: BTreeMap<u32, Carried> = BTreeMap::new();
    let mut rounds = 0;
    while let Some(message) = connection.incoming.recv().await {
        match message.message {
            Some(leader_message::Message::Assign(assign)) => {
                carried = reassign(carried, assign, loader).await?;
            }
            Some(leader_message::Message::Instruct(instruct)) => {
                let (returned, answer) = compute(carried, instruct).await?;
                carried = returned;
                if let Some(answer) = answer {
                    rounds += 1;
                    // A leader that is gone may have sent before that the fit is over, which is read next.
                    let _ = send(connection, worker_message::Message::Contribution(answer)).await;
                }
            }
            Some(leader_message::Message::Done(_)) => return Ok(rounds),
            None => {}
        }
    }
    Err(Error::unavailable("the leader of the fit went away"))
}

/// Drops the shards that are no longer this worker's and loads the new ones.
async fn reassign(
    mut carried: BTreeMap<u32, Carried>,
    assign: Assign,
    loader: &dyn ShardLoader,
) -> Result<BTreeMap<u32, Carried>> {
    carried.retain(|shard, _| assign.shards.contains(shard));
    for number in assign.shards {
        if carried.contains_key(&number) {
            continue;
        }
        let mut shard = loader.load(number).await.context(|| format!("load shard {number}"))?;
        let history = assign.history.clone();
        let shard = on_cpu(move || shard.restore(&history).map(|()| shard)).await?;
        carried.insert(number, Carried { shard, answered: 0 });
    }
    Ok(carried)
}

/// Answers a round for every shard that has not answered it yet.
async fn compute(
    mut carried: BTreeMap<u32, Carried>,
    instruct: Instruct,
) -> Result<(BTreeMap<u32, Carried>, Option<ContributionMessage>)> {
    on_cpu(move || {
        let mut merged = None;
        let mut shards = Vec::new();
        for (number, carried) in &mut carried {
            if carried.answered >= instruct.round {
                continue;
            }
            carried.answered = instruct.round;
            shards.push(*number);
            carried.shard.contribute(&instruct.payload, &mut merged)?;
        }
        let answer = merged.map(|merged| ContributionMessage {
            round: instruct.round,
            shards,
            answer: Some(merged.into_answer()),
        });
        Ok((carried, answer))
    })
    .await
}

async fn send(connection: &Connection, message: worker_message::Message) -> Result<()> {
    let gone = |_| Error::unavailable("the leader of the fit went away");
    connection.outgoing.send(WorkerMessage { message: Some(message) }).await.map_err(gone)
}
