//! Logistic regression on binned features, for binary classification: the baseline that other learners must beat.
//!
//! Each feature is divided into bins of about equal counts, one for each value where there are few and one for missing
//! values, and each bin has a term: the log odds of a row are the intercept plus the terms of its bins. That is one-hot
//! encoding for codes and a credit scorecard for amounts (Thomas, Crook and Edelman, "Credit Scoring and Its
//! Applications", SIAM 2002). It needs no scaling: an extreme price falls into the last bin and has no more influence
//! than any other.
//!
//! The terms minimise the log loss with a quadratic penalty, by L-BFGS (Liu and Nocedal, Mathematical Programming
//! 1989) on sums over all shards. Only gradients are summed, because the second derivatives of some thousand terms would
//! be too large to send. Penalties are tried from the strongest to the weakest, each from the terms of the one before,
//! and the one with the lowest loss on the validation rows is kept (Friedman, Hastie and Tibshirani, Journal of
//! Statistical Software 2010).
//!
//! Promise: the same rows in one shard or forty, with or without the loss of workers, give the same bytes, because
//! shards round the residuals of their rows to integers before they sum them. Start at [`LogisticLeader`], then
//! [`LogisticShard`], then [`Model`].

mod lbfgs;
mod leader;
mod messages;
mod model;
mod parameters;
mod shard;

#[cfg(test)]
mod tests;

pub use leader::LogisticLeader;
pub use model::{Model, Scale};
pub use parameters::Parameters;
pub use shard::LogisticShard;

use tidewaiter_collective::Shard;
use tidewaiter_core::Result;

use crate::rows::Rows;

/// The learner's name in a fit's task.
pub const LEARNER: &str = "logistic";

/// The shard of the number `index`, counted from 0, of a file's rows.
///
/// # Errors
/// As [`LogisticShard::new`].
pub fn shard_of(index: u32, rows: Rows) -> Result<Box<dyn Shard>> {
    Ok(Box::new(LogisticShard::new(index, &rows)?))
}
