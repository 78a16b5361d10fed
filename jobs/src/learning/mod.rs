//! How models are fitted and applied, whatever they are.
//!
//! A *fit* is led by one [`Leader`] and computed by workers that carry *shards* of the training data, each
//! behind a [`Shard`]. The leader gives an instruction, every shard computes its [`Contribution`], the
//! contributions are merged and the leader absorbs the merged one, round after round. Contributions merge
//! exactly (integer sums, or a gathering in shard order), so the model does not depend on which worker
//! carried which shard, nor on how many workers there were.

pub mod collective;
pub(crate) mod device;
pub mod fit;
pub mod fit_operator;
pub mod gbdt;
pub(crate) mod local_sgd;
pub mod logistic;
pub mod rows;
pub mod run;

pub use fit::{Contribution, Leader, Progress, Shard};

/// A number that looks random (SplitMix64's finaliser): the one source of chance of the learners.
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
