//! The ledger: what is durably known of every job.
//!
//! A job is an append-only sequence of small objects `ledger/<job>/<sequence>.json` in the archive, each
//! made with create-if-absent. Its state is the fold of its events, so a scheduler that starts anew knows
//! every job by reading, and two schedulers cannot both write the same next event. Promises:
//!
//! - an event once appended never changes and never goes away;
//! - only the moves that [`JobState::after`] allows can be appended;
//! - of two writers that append at the same place one gets a conflict and must read again.
//!
//! Start at [`Event`], then [`JobState`], then [`Ledger`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, Result, ResultExt};

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
    /// A step has begun; the same step begins again after a restart.
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
        /// The outcome document, as far as the job came.
        outcome: serde_json::Value,
        /// When.
        at_ms: i64,
    },
    /// A user asked to stop.
    Cancelled {
        /// When.
        at_ms: i64,
    },
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Submitted, no step begun.
    Queued,
    /// Between its first step's start and its end.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Ended by a user.
    Cancelled,
}

impl Status {
    /// Whether nothing can happen to the job any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// A job, as the fold of its events.
#[derive(Debug, Clone, PartialEq)]
pub struct JobState {
    /// Where it stands.
    pub status: Status,
    /// What was asked.
    pub specification: serde_json::Value,
    /// When it was submitted.
    pub submitted_ms: i64,
    /// The step under way.
    pub step: Option<String>,
    /// The steps that are committed, with their outcomes.
    pub finished: BTreeMap<String, serde_json::Value>,
    /// The outcome document, of a job that succeeded or failed.
    pub outcome: Option<serde_json::Value>,
    /// What went wrong, of a job that failed.
    pub error: Option<String>,
}

impl JobState {
    /// The state after a first event.
    ///
    /// # Errors
    /// When the event is not a submission.
    pub fn first(event: &Event) -> Result<Self> {
        match event {
            Event::Submitted { specification, at_ms } => Ok(Self {
                status: Status::Queued,
                specification: specification.clone(),
                submitted_ms: *at_ms,
                step: None,
                finished: BTreeMap::new(),
                outcome: None,
                error: None,
            }),
            other => Err(illegal(None, other)),
        }
    }

    /// The state after one more event.
    ///
    /// # Errors
    /// When the event is not a legal move: nothing follows an end, a step ends only after it began, a
    /// committed step does not begin again.
    pub fn after(mut self, event: &Event) -> Result<Self> {
        match event {
            _ if self.status.is_final() => return Err(illegal(Some(&self), event)),
            Event::StepStarted { step, .. } if !self.finished.contains_key(step) => {
                self.status = Status::Running;
                self.step = Some(step.clone());
            }
            Event::StepFinished { step, outcome, .. } if self.step.as_ref() == Some(step) => {
                self.step = None;
                self.finished.insert(step.clone(), outcome.clone());
            }
            Event::Succeeded { outcome, .. } if self.step.is_none() => {
                self.status = Status::Succeeded;
                self.outcome = Some(outcome.clone());
            }
            Event::Failed { error, outcome, .. } => {
                self.status = Status::Failed;
                self.outcome = Some(outcome.clone());
                self.error = Some(error.clone());
            }
            Event::Cancelled { .. } => self.status = Status::Cancelled,
            Event::Submitted { .. }
            | Event::StepStarted { .. }
            | Event::StepFinished { .. }
            | Event::Succeeded { .. } => return Err(illegal(Some(&self), event)),
        }
        Ok(self)
    }
}

fn illegal(state: Option<&JobState>, event: &Event) -> Error {
    let status = state.map_or("a job that does not exist".to_owned(), |state| format!("{:?}", state.status));
    Error::conflict(format!("the event {event:?} cannot follow {status}"))
}

/// The ledger of one archive.
#[derive(Debug, Clone)]
pub struct Ledger {
    archive: Archive,
}

/// A job read from the ledger: its state, and the place of the next event.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The job's id.
    pub job: String,
    /// Its state.
    pub state: JobState,
    next: u64,
}

impl Ledger {
    /// The ledger in an archive.
    pub fn new(archive: Archive) -> Self {
        Self { archive }
    }

    /// Writes a new job's submission; the same id submitted again is the job that stands.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn submit(&self, job: &str, specification: serde_json::Value, at_ms: i64) -> Result<Entry> {
        let event = Event::Submitted { specification, at_ms };
        if self.archive.put_new(&place(job, 0), serde_json::to_vec(&event)?).await? {
            return Ok(Entry { job: job.to_owned(), state: JobState::first(&event)?, next: 1 });
        }
        self.read(job).await
    }

    /// Appends an event to a job as it was read.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Conflict`] when the move is illegal, or somebody else appended first:
    /// read again.
    pub async fn append(&self, entry: Entry, event: Event) -> Result<Entry> {
        let state = entry.state.after(&event)?;
        if !self.archive.put_new(&place(&entry.job, entry.next), serde_json::to_vec(&event)?).await? {
            return Err(Error::conflict(format!(
                "somebody else wrote event {} of job {}",
                entry.next, entry.job
            )));
        }
        Ok(Entry { job: entry.job, state, next: entry.next + 1 })
    }

    /// Reads a job.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::NotFound`] when there is none of that id,
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when its events are damaged or one is missing.
    pub async fn read(&self, job: &str) -> Result<Entry> {
        let objects = self.archive.list(&format!("ledger/{job}")).await?;
        let mut state = None;
        for (sequence, object) in objects.iter().enumerate() {
            let expected = place(job, sequence as u64);
            if object.location != self.archive.path(&expected) {
                return Err(Error::corrupt(format!("the ledger of job {job} lacks {expected}; restore it")));
            }
            let bytes = self.archive.get(&expected).await?;
            let event: Event = serde_json::from_slice(&bytes).context(|| format!("read {expected}"))?;
            state = Some(match state {
                None => JobState::first(&event)?,
                Some(state) => JobState::after(state, &event)?,
            });
        }
        let state = state.ok_or_else(|| {
            Error::not_found(format!("there is no job {job}; `tidewaiter jobs list` shows those there are"))
        })?;
        Ok(Entry { job: job.to_owned(), state, next: objects.len() as u64 })
    }

    /// Every job, in the order of their ids (which begin with the time of submission).
    ///
    /// # Errors
    /// Those of [`Ledger::read`].
    pub async fn jobs(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for job in self.archive.folders("ledger").await? {
            entries.push(self.read(&job).await?);
        }
        Ok(entries)
    }
}

fn place(job: &str, sequence: u64) -> String {
    format!("ledger/{job}/{sequence:08}.json")
}

#[cfg(test)]
mod tests;
