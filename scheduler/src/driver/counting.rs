//! What is counted of jobs.

use tidewaiter_metrics::families::{JOB_LENGTH, JOB_QUEUE, JOB_RETRIES, JOBS_ENDED, JOBS_SUBMITTED};

use crate::ledger::{JobState, Status};

/// A job is driven from now on.
pub(super) fn begun(state: &JobState) {
    JOBS_SUBMITTED.add(&[kind(state)], 1.0);
}

/// A job has ended.
pub(super) fn ended(state: &JobState) {
    let kind = kind(state);
    let status = match state.status {
        Status::Succeeded => "succeeded",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
        Status::Queued | Status::Running => return,
    };
    JOBS_ENDED.add(&[kind, status], 1.0);
    JOB_RETRIES.add(&[kind], state.retries.len() as f64);
    let seconds = |from: i64, to: i64| to.saturating_sub(from).max(0) as f64 / 1000.0;
    if let Some(begun_ms) = state.begun_ms {
        JOB_QUEUE.observe(&[kind], seconds(state.submitted_ms, begun_ms));
        if let Some(ended_ms) = state.ended_ms {
            JOB_LENGTH.observe(&[kind, status], seconds(begun_ms, ended_ms));
        }
    }
}

fn kind(state: &JobState) -> &str {
    state.specification["kind"].as_str().unwrap_or("unknown")
}
