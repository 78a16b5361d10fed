//! Gradient-boosted decision trees on histograms, for binary classification.
//!
//! Promise: the model depends on the rows, the parameters and the seed, and on nothing else. The same rows in one shard
//! or forty, with or without the loss of workers, give the same bytes, because everything that shards send is an exact
//! sum of integers or an exactly mergeable summary (modules `fixed_point` and `binning`). That is more than a fixed
//! order of floating-point sums would give, which depends on the number of shards.
//!
//! A round asks for the histogram of one leaf. Rounds are speculative: a histogram is requested before it is certain
//! that the tree will have the split above it, and splits are decided in the order of their gains, so that the tree
//! does not depend on what was requested (module `grow`). One or two of thirty leaves are computed and not needed; in return no
//! round waits for the one before it. The leader has a milestone after every tree.
//!
//! Sources: Chen and Guestrin, "XGBoost" (KDD 2016) for the regularised second-order gain and the learned
//! side of missing values; Ke et al., "LightGBM" (NeurIPS 2017) for leaf-wise growth on histograms with
//! subtraction; Shi et al., "Quantized Training of Gradient Boosting Decision Trees" (NeurIPS 2022) for
//! integer gradients; Lundberg et al. (arXiv:1802.03888) for the attributions.
//!
//! Start at [`GbdtLeader`] (the instructions), then [`GbdtShard`] (the contributions), then [`Model`]. Several models
//! are averaged by [`Model::mean`].

mod attribution;
mod ensemble;
mod fixed_point;
mod grow;
mod histogram;
mod leader;
mod messages;
mod model;
mod parameters;
mod shard;
mod split;

#[cfg(test)]
mod tests;

pub use leader::GbdtLeader;
pub use model::{Model, Tree};
pub use parameters::Parameters;
pub use shard::{Dataset, GbdtShard};

use tidewaiter_collective::{Shard, fit::fit_in_process};
use tidewaiter_core::Result;

use crate::rows::Rows;

/// The learner's name in a fit's task.
pub const LEARNER: &str = "gbdt";

/// The shard of the number `index`, counted from 0, of a file's rows.
///
/// # Errors
/// As [`Dataset::new`].
pub fn shard_of(index: u32, rows: Rows) -> Result<Box<dyn Shard>> {
    let Rows { features, labels, is_validation } = rows;
    Ok(Box::new(GbdtShard::new(index, Dataset::new(features, &labels, is_validation)?)))
}

/// Fits boosted trees on one shard, in this thread.
///
/// # Errors
/// As [`GbdtLeader`]'s.
pub fn fit_alone(data: Dataset, parameters: &Parameters) -> Result<Model> {
    let mut leader = GbdtLeader::new(parameters.clone())?;
    fit_in_process(&mut leader, &mut [Box::new(GbdtShard::new(0, data))])?;
    leader.model()
}
