//! What can happen to a job, and how it is written.

use serde::{Deserialize, Serialize};
use tidewaiter_core::ErrorKind;

/// One thing that happened to a job. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A user asked for it.
    Submitted {
        /// Kind and parameters, as JSON.
        specification: serde_json::Value,
        /// When.
        at_ms: i64,
    },
    /// A step has begun; the same step begins again after a restart and at a retry.
    StepStarted {
        /// Name of the step.
        step: String,
        /// When.
        at_ms: i64,
    },
    /// A step's one commit is done; a restart does not repeat it.
    StepFinished {
        /// Name of the step.
        step: String,
        /// What later steps need to know of it.
        outcome: serde_json::Value,
        /// When.
        at_ms: i64,
    },
    /// A transient error ended an attempt; the job goes on from its last finished step after a pause.
    Retrying {
        /// What went wrong, and where.
        error: String,
        /// The pause, in milliseconds.
        pause_ms: u64,
        /// When the attempt ended.
        at_ms: i64,
    },
    /// Something happened that the job outlived, such as the loss of an executor that worked for it.
    Noted {
        /// What happened, and what follows.
        text: String,
        /// When.
        at_ms: i64,
    },
    /// The job is done.
    Succeeded {
        /// The outcome document.
        outcome: serde_json::Value,
        /// When.
        at_ms: i64,
    },
    /// The job cannot be done.
    Failed {
        /// What went wrong, where, and what to do.
        error: String,
        /// The remedy.
        #[serde(default = "internal")]
        kind: ErrorKind,
        /// Whether its work files stay, so that it can be retried from its last finished step.
        #[serde(default)]
        work_kept: bool,
        /// The outcome document, as far as the job came.
        outcome: serde_json::Value,
        /// When.
        at_ms: i64,
    },
    /// A user asked to go on with a job that failed.
    Reopened {
        /// When.
        at_ms: i64,
    },
    /// A user asked to stop, or gave up a job that failed.
    Cancelled {
        /// When.
        at_ms: i64,
    },
}

/// The kind of an error whose kind was not written.
fn internal() -> ErrorKind {
    ErrorKind::Internal
}

/// An event as it is written: with who wrote it, so that a writer that was not answered knows its own event again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) event: Event,
    /// Id of the process's ledger; empty in ledgers of earlier versions.
    #[serde(default)]
    pub(super) writer: String,
    /// Number of the event among those of its writer.
    #[serde(default)]
    pub(super) number: u64,
}

impl Record {
    /// Whether both are one writing of one event.
    pub(super) fn is_same_writing(&self, other: &Self) -> bool {
        (&self.writer, self.number) == (&other.writer, other.number)
    }
}
