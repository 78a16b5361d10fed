//! How models are fitted and applied, whatever they are.
//!
//! A *fit* is led by one [`Leader`] and computed by workers that carry *shards* of the training data, each
//! behind a [`Shard`]. The leader gives an instruction, every shard computes its [`Contribution`], the
//! contributions are merged and the leader absorbs the merged one, round after round. Contributions merge
//! exactly (integer sums, or a gathering in shard order), so the model does not depend on which worker
//! carried which shard, nor on how many workers there were.

pub mod collective;
pub mod fit;
pub mod fit_operator;
pub mod gbdt;
pub mod run;

pub use fit::{Contribution, Leader, Progress, Shard};
