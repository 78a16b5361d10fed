//! Recommendations at once, for one description or a file of them, without a job.
//!
//! [`suggestion`] makes them of a model in memory, and [`rows`] for the rows of a file; [`command`] offers them on the
//! command line, and [`service`] over gRPC. [`model`] is which model answers.

pub(crate) mod command;
mod model;
pub mod rows;
pub mod service;
pub mod suggestion;
