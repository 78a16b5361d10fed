//! The collective of a fit: which worker carries which shard, and the rounds between leader and shards.
//!
//! One [`Hub`] connects the leader of one fit with its workers. Workers join and leave at any time; the hub assigns
//! every shard to exactly one of the workers present, sends each round's instruction to all of them, merges their
//! contributions and hands the result to the [`Leader`]. Promises:
//!
//! - a fit goes on as long as one worker is present, and waits while none is;
//! - the shards of a worker that left, or that was silent for some seconds, are assigned to others at once, without
//!   waiting for the query engine to notice; the others load them and catch up from the leader's history, and late
//!   answers are ignored;
//! - a worker that takes ten times as long as the others does not hold them up: those without work race it, and the
//!   first answer is taken;
//! - shards move to a worker that joined late between two rounds, so that the workers' numbers of shards differ by one
//!   at most;
//! - the merged contribution does not depend on which worker carried which shard. Integer sums have no order; means
//!   (local SGD) are summed in the order of the shards, so that the bytes depend on the number of shards and on nothing
//!   else;
//! - no message is large, and the leader's process holds a mean of many numbers once, beside what it was before.
//!
//! Workers carry shards and not partitions of the query: a query's partition would be lost with its task. Workers reach
//! the hub through a [`Connection`]: channels in this process, or a gRPC stream ([`grpc`]). What is absent: any
//! learning algorithm. Start at [`lead`] for the leader's side and at [`work`] for the workers'.

mod assignment;
mod connection;
pub mod fit;
pub mod grpc;
mod hub;
mod liveness;
mod mean;
mod member;
mod pieces;
mod round;
mod session;
#[cfg(test)]
mod tests;
mod timing;
mod values;
mod worker;

pub use connection::Connection;
pub use fit::{Contribution, Leader, Progress, Shard};
pub use hub::{Hub, Inbox, Observer};
pub use session::lead;
pub use values::{Numbers, Part, Values};
pub use worker::{End, ShardLoader, Worked, work};
