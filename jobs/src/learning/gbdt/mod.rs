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

/// A 64-bit mixer (the finaliser of SplitMix64): the one source of chance in this module.
fn mix(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
