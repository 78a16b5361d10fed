//! Where a job stands: the fold of its events.

use std::sync::Arc;

use tidewaiter_core::{Error, ErrorKind, Result};

use super::event::Event;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Submitted or reopened, no step begun since.
    Queued,
    /// Between a step's start and the job's end.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Ended by a user.
    Cancelled,
}

impl Status {
    /// Whether nothing happens to the job any more unless a user asks for it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// A job, as the fold of its events. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub struct JobState {
    /// Where it stands.
    pub status: Status,
    /// What was asked.
    pub specification: serde_json::Value,
    /// When it was submitted.
    pub submitted_ms: i64,
    /// When its first step began.
    pub begun_ms: Option<i64>,
    /// When it ended, if it has.
    pub ended_ms: Option<i64>,
    /// Its steps, in the order in which they first began.
    pub steps: Vec<StepState>,
    /// The transient errors after which it went on, in their order.
    pub retries: Vec<Retry>,
    /// What it outlived, in its order.
    pub notes: Vec<Note>,
    /// The outcome document, of a job that succeeded or failed.
    pub outcome: Option<serde_json::Value>,
    /// What went wrong, of a job that failed.
    pub error: Option<(ErrorKind, String)>,
    /// Whether the work files of a job that failed stay.
    pub work_kept: bool,
}

/// A step of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct StepState {
    /// Its name.
    pub name: String,
    /// When it began last.
    pub begun_ms: i64,
    /// How often it began.
    pub tries: u32,
    /// When it was committed, and what it gave.
    pub finished: Option<(i64, Arc<serde_json::Value>)>,
}

/// A transient error after which a job went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// The step that was under way, if any.
    pub step: Option<String>,
    /// What went wrong, and where.
    pub error: String,
    /// When the attempt ended.
    pub at_ms: i64,
    /// The pause before the next one, in milliseconds.
    pub pause_ms: u64,
}

/// Something that a job outlived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The step that was under way, if any.
    pub step: Option<String>,
    /// What happened, and what follows.
    pub text: String,
    /// When.
    pub at_ms: i64,
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
                begun_ms: None,
                ended_ms: None,
                steps: Vec::new(),
                retries: Vec::new(),
                notes: Vec::new(),
                outcome: None,
                error: None,
                work_kept: false,
            }),
            other => Err(illegal("a job that does not exist", other)),
        }
    }

    /// The state after one more event.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the event is not a legal move: only a user's wish follows an end, a step is
    /// finished only after it began, a committed step does not begin again.
    pub fn after(mut self, event: &Event) -> Result<Self> {
        self.apply(event)?;
        Ok(self)
    }

    /// As [`JobState::after`], in place; an event that is not a legal move changes nothing.
    ///
    /// # Errors
    /// As [`JobState::after`].
    pub fn apply(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Reopened { .. } if self.can_be_retried() => {
                self.status = Status::Queued;
                (self.ended_ms, self.outcome, self.error, self.work_kept) = (None, None, None, false);
            }
            Event::Cancelled { at_ms } if !self.status.is_final() || self.can_be_retried() => {
                self.end(Status::Cancelled, *at_ms);
                (self.outcome, self.error, self.work_kept) = (None, None, false);
            }
            _ if self.status.is_final() => return Err(illegal(&format!("{:?}", self.status), event)),
            Event::StepStarted { step, at_ms } if !self.is_finished(step) => self.begin(step, *at_ms),
            Event::StepFinished { step, outcome, at_ms } if !self.is_finished(step) => {
                let found = self.steps.iter_mut().find(|known| known.name == *step);
                let step = found.ok_or_else(|| illegal("a step that has not begun", event))?;
                step.finished = Some((*at_ms, Arc::new(outcome.clone())));
            }
            Event::Retrying { error, pause_ms, at_ms } => {
                let step = self.step().map(|step| step.name.clone());
                let (error, at_ms, pause_ms) = (error.clone(), *at_ms, *pause_ms);
                self.retries.push(Retry { step, error, at_ms, pause_ms });
            }
            Event::Noted { text, at_ms } => {
                let step = self.step().map(|step| step.name.clone());
                self.notes.push(Note { step, text: text.clone(), at_ms: *at_ms });
            }
            Event::Succeeded { outcome, at_ms } => {
                self.end(Status::Succeeded, *at_ms);
                self.outcome = Some(outcome.clone());
            }
            Event::Failed { error, kind, work_kept, outcome, at_ms } => {
                self.end(Status::Failed, *at_ms);
                self.outcome = Some(outcome.clone());
                self.error = Some((*kind, error.clone()));
                self.work_kept = *work_kept;
            }
            Event::Submitted { .. }
            | Event::StepStarted { .. }
            | Event::StepFinished { .. }
            | Event::Reopened { .. }
            | Event::Cancelled { .. } => return Err(illegal(&format!("{:?}", self.status), event)),
        }
        Ok(())
    }

    /// The step under way: the innermost of those that began and are not finished.
    pub fn step(&self) -> Option<&StepState> {
        if self.status.is_final() {
            return None;
        }
        self.steps.iter().rfind(|step| step.finished.is_none())
    }

    /// Whether a user may ask to go on with it.
    pub fn can_be_retried(&self) -> bool {
        self.status == Status::Failed && self.work_kept
    }

    fn is_finished(&self, step: &str) -> bool {
        self.steps.iter().any(|known| known.name == step && known.finished.is_some())
    }

    fn begin(&mut self, name: &str, at_ms: i64) {
        self.status = Status::Running;
        self.begun_ms.get_or_insert(at_ms);
        match self.steps.iter_mut().find(|known| known.name == name) {
            Some(step) => (step.begun_ms, step.tries) = (at_ms, step.tries + 1),
            None => self.steps.push(StepState {
                name: name.to_owned(),
                begun_ms: at_ms,
                tries: 1,
                finished: None,
            }),
        }
    }

    fn end(&mut self, status: Status, at_ms: i64) {
        self.status = status;
        self.ended_ms = Some(at_ms);
    }
}

fn illegal(after: &str, event: &Event) -> Error {
    // An event's own text can be long: an outcome document.
    let text: String = format!("{event:?}").chars().take(80).collect();
    Error::new(ErrorKind::Conflict, format!("the event {text}… cannot follow {after}"))
}
