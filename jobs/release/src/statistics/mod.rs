//! The statistics of the study.
//!
//! [`distribution`] and [`survival`] sum up times that come in rising order, one by one, in memory that does
//! not grow with them: a query sorts the times, which spills, and one pass gives every figure exactly.
//! [`rank_test`] and [`log_rank`] compare the times of two periods in the same way. [`replications`] gives the figures
//! of measures and their intervals.

pub mod distribution;
pub mod gamma;
pub mod log_rank;
mod normal;
pub mod rank_test;
pub mod replications;
pub mod survival;
