//! The jobs: each kind of work that a user asks for, from its parameters to its outcome document.
//!
//! A job runs on an [`Archive`] and nothing else that lasts; what it did is its [`Outcome`]. Its steps
//! follow each other, each ends with one commit, and each is timed.

pub mod ingest;
mod period;
pub mod quality;
pub mod synth;

pub use period::Period;

use std::time::Instant;

use serde::Serialize;

use crate::{Archive, Result};

/// What a job did: the document that `--output json` prints and that the ledger keeps.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    /// The job's id.
    pub job: String,
    /// Its kind.
    pub kind: String,
    /// `succeeded` or `failed`.
    pub status: String,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Rows read, archived and quarantined.
    pub rows: Rows,
    /// The model made or used, `name@version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Figures by part (`test`, `champion`), by the names of the documentation.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub metrics: serde_json::Map<String, serde_json::Value>,
    /// Tables written, `name@version`.
    pub tables: Vec<String>,
    /// Reports written, where a person finds them.
    pub reports: Vec<String>,
    /// The steps, in their order.
    pub steps: Vec<Step>,
    /// What went wrong, where, and what to do.
    pub error: Option<String>,
}

/// Rows in, and what became of them; `in` equals `archived` plus `quarantined`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Rows {
    /// Rows read.
    #[serde(rename = "in")]
    pub read: u64,
    /// Rows that the archive took.
    pub archived: u64,
    /// Rows put aside, each with its reason.
    pub quarantined: u64,
}

/// One step of a job.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Wall-clock seconds.
    pub seconds: f64,
}

/// Hears how far a job is.
pub trait Listener: Send + Sync {
    /// `done` of `total` units (0: not known) of a step.
    fn progress(&self, step: &str, done: u64, total: u64, unit: &str);
}

/// A job under way: where it works, its name, its clock and who listens.
pub struct Job<'a> {
    /// The archive.
    pub archive: &'a Archive,
    /// The outcome so far.
    pub outcome: Outcome,
    /// Who hears of progress.
    pub listener: &'a dyn Listener,
    started: Instant,
}

impl<'a> Job<'a> {
    /// A job of a kind, named by an id.
    #[allow(clippy::disallowed_methods, reason = "the one place that times jobs; no result depends on it")]
    pub fn new(archive: &'a Archive, kind: &str, id: &str, listener: &'a dyn Listener) -> Self {
        let outcome = Outcome { job: id.to_owned(), kind: kind.to_owned(), ..Outcome::default() };
        Self { archive, outcome, listener, started: Instant::now() }
    }

    /// Runs one step and notes how long it took.
    ///
    /// # Errors
    /// The step's own.
    pub async fn step<T>(&mut self, name: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let before = self.started.elapsed();
        let result = work.await;
        let seconds = (self.started.elapsed() - before).as_secs_f64();
        self.outcome.steps.push(Step { name: name.to_owned(), seconds });
        result
    }

    /// The outcome document of a job that ended.
    pub fn finish(mut self, result: &Result<()>) -> Outcome {
        self.outcome.seconds = self.started.elapsed().as_secs_f64();
        match result {
            Ok(()) => self.outcome.status = "succeeded".into(),
            Err(error) => {
                self.outcome.status = "failed".into();
                self.outcome.error = Some(error.chain());
            }
        }
        self.outcome
    }
}
