//! Jobs as the wire has them.

use tidewaiter_proto::v1;

use crate::ledger::{Damaged, Entry, JobState, Status};

/// All that is known of a job.
pub(super) fn of_entry(entry: &Entry) -> v1::Job {
    let JobState { specification, outcome, steps, retries, notes, .. } = &entry.state;
    let steps = steps.iter().map(|step| v1::JobStep {
        name: step.name.clone(),
        begun_ms: step.begun_ms,
        ended_ms: step.finished.as_ref().map_or(0, |(ended_ms, _)| *ended_ms),
        tries: step.tries,
    });
    let retries = retries.iter().map(|retry| v1::JobRetry {
        step: retry.step.clone().unwrap_or_default(),
        error: retry.error.clone(),
        at_ms: retry.at_ms,
        pause_ms: retry.pause_ms,
    });
    let notes = notes.iter().map(|note| v1::JobNote {
        step: note.step.clone().unwrap_or_default(),
        text: note.text.clone(),
        at_ms: note.at_ms,
    });
    v1::Job {
        outcome: outcome.as_ref().map(ToString::to_string).unwrap_or_default(),
        specification: specification.to_string(),
        steps: steps.collect(),
        retries: retries.collect(),
        notes: notes.collect(),
        ..line(entry)
    }
}

/// What a list of jobs has of one.
pub(super) fn line(entry: &Entry) -> v1::Job {
    let state = &entry.state;
    let status = match state.status {
        Status::Queued => v1::JobStatus::Queued,
        Status::Running => v1::JobStatus::Running,
        Status::Succeeded => v1::JobStatus::Succeeded,
        Status::Failed => v1::JobStatus::Failed,
        Status::Cancelled => v1::JobStatus::Cancelled,
    };
    v1::Job {
        job: entry.job.clone(),
        kind: state.specification["kind"].as_str().unwrap_or_default().to_owned(),
        status: status.into(),
        step: state.step().map(|step| step.name.clone()).unwrap_or_default(),
        submitted_ms: state.submitted_ms,
        begun_ms: state.begun_ms.unwrap_or_default(),
        ended_ms: state.ended_ms.unwrap_or_default(),
        error: state.error.as_ref().map(|(_, error)| error.clone()).unwrap_or_default(),
        can_be_retried: state.can_be_retried(),
        ..v1::Job::default()
    }
}

/// A job whose events cannot all be read.
pub(super) fn of_damaged(damaged: &Damaged) -> v1::Job {
    v1::Job { job: damaged.job.clone(), error: damaged.error.chain(), ..v1::Job::default() }
}
