//! Recommendations at once, for one description or a file of them, without a job.
//!
//! [`suggestion`] makes them of a model in memory, and [`rows`] for the rows of a file; [`command`] offers them on the command line, and [`service`] over
//! gRPC.

pub(crate) mod command;
pub mod rows;
pub mod service;
pub mod suggestion;
