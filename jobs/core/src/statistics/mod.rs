//! Statistics that more than one domain needs: the average precision of a ranking, the confidence interval of a mean,
//! and small systems of linear equations.
//!
//! All of it is plain arithmetic in a fixed order, so that the same numbers give the same bits on every machine. What
//! is absent: anything random, and any domain's figures.

mod interval;
pub mod linear;
mod ranking;

pub use interval::{Interval, mean_interval};
pub use ranking::average_precision;
