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
mod binning;
mod grow;
mod histogram;
mod leader;
mod load;
mod logistic;
mod model;
mod parameters;
mod shard;
mod wire;

#[cfg(test)]
mod tests;

pub use leader::GbdtLeader;
pub use load::{LEARNER, Layout, ParquetShards};
pub use model::{Model, Tree};
pub use parameters::Parameters;
pub use shard::{Dataset, GbdtShard};

use super::mix;
