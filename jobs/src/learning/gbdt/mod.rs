//! Gradient-boosted decision trees on histograms, for a yes or no per row.
//!
//! Promise: the model depends on the rows, the parameters and the seed, and on nothing else. The same rows
//! spread over one shard or forty, undisturbed or after losses, give the same bytes, because everything that
//! shards send is an exact sum of integers or an exactly mergeable summary.
//!
//! Sources: Chen and Guestrin, "XGBoost" (KDD 2016) for the regularised second-order gain and the learned
//! side of missing values; Ke et al., "LightGBM" (NeurIPS 2017) for leaf-wise growth on histograms with
//! subtraction; Shi et al., "Quantized Training of Gradient Boosting Decision Trees" (NeurIPS 2022) for
//! integer gradients; Lundberg et al. (arXiv:1802.03888) for the attributions.
//!
//! Start at [`GbdtLeader`] (what is asked), then [`GbdtShard`] (what is answered), then [`Model`].

mod attribution;
pub(super) mod binning;
mod ensemble;
mod grow;
mod histogram;
mod leader;
pub(super) mod logistic;
mod model;
mod parameters;
mod shard;
pub(super) mod wire;

#[cfg(test)]
mod tests;

pub use leader::GbdtLeader;
pub use model::{Model, Tree};
pub use parameters::Parameters;
pub use shard::{Dataset, GbdtShard};

use super::{Shard, mix, rows::Rows};
use crate::Result;

/// The learner's name in a fit's task.
pub const LEARNER: &str = "gbdt";

/// The shard of a file's rows.
///
/// # Errors
/// As [`Dataset::new`].
pub fn shard_of(index: u32, rows: Rows) -> Result<Box<dyn Shard>> {
    let Rows { features, labels, is_validation } = rows;
    Ok(Box::new(GbdtShard::new(index, Dataset::new(features, &labels, is_validation)?)))
}
