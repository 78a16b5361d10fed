//! The collective of a fit: who carries which shard, and the rounds.
//!
//! One [`Hub`] leads one fit. Workers join and leave at any time; the hub gives every shard to exactly one
//! of the workers present, broadcasts each round's instruction, merges the contributions and hands them
//! to the [`Leader`]. What it promises:
//!
//! - a fit goes on as long as one worker is present, and waits while none is;
//! - the shards of a worker that left are carried by others, which catch up from the leader's history;
//! - shards move to a worker that joined late, between two rounds, so that loads differ by one at most;
//! - the contributions that the leader sees are the same whoever carried the shards.
//!
//! Workers reach the hub through a [`Connection`]: channels in this process, or a gRPC stream ([`grpc`]).
//! Start at [`lead`] for the leader's side and at [`work`] for the workers'.

mod assignment;
pub mod grpc;
mod hub;
mod worker;

pub use hub::{Hub, Observer, lead};
pub use worker::{ShardLoader, work};

use tidewaiter_proto::v1::{LeaderMessage, WorkerMessage};
use tokio::sync::mpsc;

/// A worker's two ends of the conversation with the hub.
///
/// Dropping it leaves the fit.
#[derive(Debug)]
pub struct Connection {
    /// To the leader.
    pub outgoing: mpsc::Sender<WorkerMessage>,
    /// From the leader; ends when the fit is over or the leader is gone.
    pub incoming: mpsc::Receiver<LeaderMessage>,
}

/// Messages that may wait in one direction; a worker has few instructions under way at a time.
const CHANNEL_DEPTH: usize = 16;

#[cfg(test)]
mod tests;
