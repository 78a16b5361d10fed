//! Recommendations at once, for one description or a file of them, without a job.
//!
//! [`suggestion`] makes them of a model in memory; [`command`] offers them on the command line, and [`service`] over
//! gRPC.

pub(crate) mod command;
pub mod service;
pub mod suggestion;
