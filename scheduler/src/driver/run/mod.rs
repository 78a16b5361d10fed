//! A job from where it stands to its end: attempt after attempt, until one succeeds or fails for good.
//!
//! An error that waiting can cure ([`ErrorKind::Unavailable`]) ends an attempt and not the job: after a pause the next
//! attempt goes on from the last finished step, and a fit from its checkpoint, because the work files stay. A panic in a
//! job's code fails that job and nothing else. The same in a scheduler and in the process of a command. Start at
//! [`Run::to_end`].

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, ErrorKind, Result};
use tidewaiter_job::{Extensions, Job, Listener, Outcome, Roots, Setting, Specification, engine::Engine};

use crate::ledger::{Event, Journal};

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How often, and for how long, a job is tried again after transient errors without a step being finished in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Most retries; 0: none.
    pub most: u32,
    /// From the first of the errors on; later than that there is no retry.
    pub within: Duration,
    /// The pause after a first error; it doubles at each further one, up to a minute.
    pub first_pause: Duration,
}

impl Retries {
    /// No retry.
    pub const NONE: Self = Self::new(0, Duration::ZERO);

    /// So many retries within a time, after pauses that begin with a second.
    pub const fn new(most: u32, within: Duration) -> Self {
        Self { most, within, first_pause: Duration::from_secs(1) }
    }
}

/// The transient errors since a step was last finished.
#[derive(Debug, Default)]
struct Failures {
    in_a_row: u32,
    first_ms: i64,
    finished_steps: usize,
}

impl Failures {
    /// The pause before the next attempt; `None` when there is none.
    fn pause(&mut self, retries: Retries, finished_steps: usize, now_ms: i64) -> Option<Duration> {
        if self.in_a_row == 0 || finished_steps > self.finished_steps {
            *self = Self { in_a_row: 0, first_ms: now_ms, finished_steps };
        }
        let since_first = Duration::from_millis(u64::try_from(now_ms - self.first_ms).unwrap_or(0));
        if self.in_a_row >= retries.most || since_first > retries.within {
            return None;
        }
        self.in_a_row += 1;
        let doubled = 1_u32.checked_shl(self.in_a_row - 1).unwrap_or(u32::MAX);
        Some(retries.first_pause.saturating_mul(doubled).min(LONGEST_PAUSE))
    }
}

/// Where a job runs, and what is kept of it.
pub struct Run<'a> {
    /// The archive.
    pub archive: &'a Archive,
    /// Where its queries and fits run.
    pub engine: &'a dyn Engine,
    /// What domains registered for each other.
    pub extensions: Extensions,
    /// Who hears of progress.
    pub listener: Arc<dyn Listener>,
    /// Where the files may lie that it names.
    pub roots: Roots,
    /// Its events.
    pub journal: &'a Journal,
    /// When to try again.
    pub retries: Retries,
    /// Milliseconds since 1970.
    pub now_ms: fn() -> i64,
    /// The job's id.
    pub id: &'a str,
    /// When it was asked for, milliseconds since 1970.
    pub submitted_ms: i64,
}

impl Run<'_> {
    /// Does the steps that are not finished. The job's end is not written to its journal, and its work files stay unless
    /// it succeeded.
    ///
    /// # Errors
    /// The result beside the outcome is that of the last attempt.
    pub async fn to_end(&self, specification: &Specification) -> (Outcome, Result<()>) {
        tidewaiter_traces::in_job(self.id, specification.kind(), self.attempts(specification)).await
    }

    async fn attempts(&self, specification: &Specification) -> (Outcome, Result<()>) {
        let (mut failures, mut again) = (Failures::default(), false);
        loop {
            let (outcome, result) = self.attempt(specification, again).await;
            let Err(error) = &result else { return (outcome, result) };
            // What still runs of the attempt would be in the next one's way.
            self.engine.stop(self.id).await;
            if error.kind() != ErrorKind::Unavailable {
                return (outcome, result);
            }
            let finished_steps = self.journal.finished_steps().await;
            let Some(pause) = failures.pause(self.retries, finished_steps, (self.now_ms)()) else {
                return (outcome, result);
            };
            let error = error.chain();
            tracing::warn!(job = self.id, error, ?pause, "the job is tried again after a pause");
            let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            let noted = self.journal.append(|at_ms| Event::Retrying { error, pause_ms, at_ms }).await;
            match noted {
                Err(error) if error.kind() == ErrorKind::Conflict => return (outcome, Err(error)),
                // The ledger can be what is not reached.
                Err(error) => {
                    tracing::warn!(job = self.id, error = error.chain(), "a retry is not in the ledger")
                }
                Ok(_) => {}
            }
            tokio::time::sleep(pause).await;
            again = true;
        }
    }

    async fn attempt(&self, specification: &Specification, again: bool) -> (Outcome, Result<()>) {
        if again && let Err(error) = self.journal.refresh().await {
            return (self.failed(specification, &error), Err(error));
        }
        let log = self.journal.attempt().await;
        let setting = Setting {
            archive: self.archive,
            engine: self.engine,
            extensions: self.extensions.clone(),
            listener: Arc::clone(&self.listener),
            log: &log,
            id: self.id,
            submitted_ms: self.submitted_ms,
            roots: self.roots.clone(),
        };
        let mut job = Job::new(specification.kind(), setting);
        let run = AssertUnwindSafe(specification.run(&mut job)).catch_unwind().await;
        let result = run.unwrap_or_else(|panic| Err(of_panic(panic.as_ref())));
        (job.finish(&result), result)
    }

    /// The outcome of an attempt that did not begin, or was given up.
    pub(crate) fn failed(&self, specification: &Specification, error: &Error) -> Outcome {
        Outcome {
            job: self.id.to_owned(),
            kind: specification.kind().to_owned(),
            status: "failed".to_owned(),
            error: Some(error.chain()),
            error_kind: Some(error.kind()),
            ..Outcome::default()
        }
    }
}

fn of_panic(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    Error::internal(format!("the job's code panicked: {text}; report it as a bug"))
}

/// Whether the work files of a job that failed by an error of a kind are worth keeping: doing it again can help.
pub fn keeps_work(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unavailable | ErrorKind::Conflict | ErrorKind::Internal | ErrorKind::Cancelled)
}

#[cfg(test)]
mod tests;
