//! What a job is, where it runs, and how domains register what they add to a program.
//!
//! A [`Job`] runs on an archive and nothing else that lasts; what it did is its [`Outcome`]. Its queries and fits run
//! on an [`engine::Engine`]. A kind of job is a type of parameters ([`JobParameters`]); a [`Specification`] is one job
//! as a user asks for it; a [`Domain`] is what one crate adds, and a [`Catalogue`] all of them. What is absent: any
//! domain.

pub mod catalogue;
pub mod engine;
pub mod extensions;
mod job;
mod outcome;
pub mod parameters;
pub mod remote;
mod roots;
mod specification;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod user_file;

pub use async_trait::async_trait;

pub use catalogue::{Catalogue, Domain};
pub use extensions::Extensions;
pub use job::{FinishedStep, Job, Listener, NoLog, Setting, StepLog, job_of, work_folder};
pub use outcome::{Outcome, Rows, Step};
pub use parameters::{JobKind, JobParameters};
pub use roots::{Roots, is_url};
pub use specification::Specification;
pub use tidewaiter_traces::LINES;
