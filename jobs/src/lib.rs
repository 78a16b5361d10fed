//! What Tidewaiter does: the archive, the models, their reports, and the jobs that tie them together.
//!
//! Everything heavy is a DataFusion plan; the code here runs on any `SessionContext`, in this process or
//! on a cluster, and does not know which. Start reading at [`archive`] for the data and at [`learning`]
//! for how models are fitted and applied.

pub mod archive;
pub mod catalogue;
pub mod engine;
pub mod error;
pub mod fraud;
pub mod hs;
pub mod job;
pub mod learning;
pub mod plan;
pub mod quality;
pub mod registry;
pub mod release;
pub mod report;
pub mod synth;
mod threads;

pub use archive::Archive;
pub use error::{Error, ErrorKind, Result, ResultExt};
