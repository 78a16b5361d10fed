//! Logistic regression on binned features, for a yes or no per row: the baseline that other learners must beat.
//!
//! Each feature is cut into bins of about equal counts, one per value where there are few and one for missing
//! values, and each bin has a term: the log odds of a row are the intercept and the terms of its bins. That is
//! one-hot encoding for codes, the classing of a credit scorecard for amounts (Thomas, Crook and Edelman, "Credit
//! Scoring and Its Applications", SIAM 2002), and needs no scale: an odd price has a bin and not a lever.
//!
//! The terms minimise the log loss with a quadratic penalty, by L-BFGS (Liu and Nocedal, Mathematical Programming
//! 1989) on sums over all shards. Penalties are tried from the strongest to the weakest, each from the terms of
//! the one before, and the validation rows choose (Friedman, Hastie and Tibshirani, Journal of Statistical
//! Software 2010).
//!
//! Promise: the same rows over one shard or forty, undisturbed or after losses, give the same bytes: shards round
//! their rows' residuals to integers before they add them. Start at [`LogisticLeader`], then
//! [`LogisticShard`], then [`Model`].

mod descent;
mod leader;
mod model;
mod parameters;
mod shard;
mod wire;

#[cfg(test)]
mod tests;

pub use leader::LogisticLeader;
pub use model::{Model, Scale};
pub use parameters::Parameters;
pub use shard::LogisticShard;

use super::{
    Shard,
    gbdt::{
        binning,
        logistic::{probability, round},
        wire::{Edges, FeatureSummary},
    },
    rows::Rows,
};
use crate::Result;

/// The learner's name in a fit's task.
pub const LEARNER: &str = "logistic";

/// The shard of a file's rows.
///
/// # Errors
/// As [`LogisticShard::new`].
pub fn shard_of(index: u32, rows: Rows) -> Result<Box<dyn Shard>> {
    Ok(Box::new(LogisticShard::new(index, &rows)?))
}
