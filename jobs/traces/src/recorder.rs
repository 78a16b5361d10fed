//! What is under way, and the way of what is over to the exporter.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use crate::span::{Id, Level, Span};

/// What is recorded in this process, if anybody wants it.
pub(crate) static RECORDER: OnceLock<Recorder> = OnceLock::new();

/// Whether anything is recorded.
pub fn are_wanted() -> bool {
    RECORDER.get().is_some()
}

/// Begins a span of a job; until it ends, it is the parent of what the job begins or records.
pub fn begin(job: &str, level: Level, name: &str) -> Open {
    RECORDER.get().map_or(Open::NONE, |recorder| recorder.begin(job, level, name, now()))
}

/// The innermost span of a job that is open.
pub fn innermost(job: &str) -> Option<Id> {
    RECORDER.get()?.innermost(job)
}

/// A new id, for a span that is recorded when it is over; `None` where nothing is recorded.
pub fn new_id(job: &str) -> Option<Id> {
    Some(RECORDER.get()?.new_id(job, now()))
}

/// Records a span that is over.
pub fn record(span: Span) {
    if let Some(recorder) = RECORDER.get() {
        recorder.record(span);
    }
}

/// The present time, for spans alone.
#[allow(clippy::disallowed_methods, reason = "spans are times; no result depends on them")]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// What an exporter is sent.
#[derive(Debug)]
pub(crate) enum Message {
    /// A span that is over.
    Span(Box<Span>),
    /// Send what there is, and say when that is done.
    Flush(oneshot::Sender<()>),
}

/// The spans that are open, and where those go that are over.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) messages: mpsc::Sender<Message>,
    /// The open spans of each job, the outermost first.
    open: Mutex<HashMap<String, Vec<Id>>>,
    made: AtomicU64,
    /// Spans that the exporter did not take in time.
    dropped: AtomicU64,
}

impl Recorder {
    pub(crate) fn new(messages: mpsc::Sender<Message>) -> Self {
        Self { messages, open: Mutex::default(), made: AtomicU64::new(0), dropped: AtomicU64::new(0) }
    }

    pub(crate) fn begin(&self, job: &str, level: Level, name: &str, begun: SystemTime) -> Open {
        let id = self.new_id(job, begun);
        let mut open = self.open();
        let of_job = open.entry(job.to_owned()).or_default();
        let parent = of_job.last().copied();
        of_job.push(id);
        let (job, name) = (job.to_owned(), name.to_owned());
        let (attributes, error) = (Vec::new(), Some("it was given up".to_owned()));
        let ended = begun;
        Open(Some(Box::new(Span { job, id, parent, level, name, begun, ended, attributes, error })))
    }

    pub(crate) fn innermost(&self, job: &str) -> Option<Id> {
        self.open().get(job)?.last().copied()
    }

    /// An id that no other span of the job has, in this process or in one before it.
    pub(crate) fn new_id(&self, job: &str, at: SystemTime) -> Id {
        let made = self.made.fetch_add(1, Ordering::Relaxed);
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let mut hash = Sha256::new();
        hash.update(job.as_bytes());
        hash.update(since.to_le_bytes());
        hash.update(made.to_le_bytes());
        let mut id = [0; 8];
        id.copy_from_slice(&hash.finalize()[..8]);
        Id(id)
    }

    pub(crate) fn record(&self, span: Span) {
        if self.messages.try_send(Message::Span(Box::new(span))).is_err() {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            // One line for each doubling.
            if dropped.is_power_of_two() {
                tracing::warn!(
                    dropped,
                    "spans of traces are dropped: the collector does not take them in time"
                );
            }
        }
    }

    /// Ends a span, and what is still open in it.
    fn end(&self, mut span: Span, ended: SystemTime) {
        {
            let mut open = self.open();
            if let Some(of_job) = open.get_mut(&span.job) {
                if let Some(place) = of_job.iter().position(|id| *id == span.id) {
                    of_job.truncate(place);
                }
                if of_job.is_empty() {
                    open.remove(&span.job);
                }
            }
        }
        span.ended = ended;
        self.record(span);
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Vec<Id>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A span that is open. Dropped without [`Open::end`], it counts as given up, as when its job is cancelled.
#[must_use]
#[derive(Debug)]
pub struct Open(Option<Box<Span>>);

impl Open {
    /// Of what nobody records.
    pub(crate) const NONE: Self = Self(None);

    /// Ends the span, well or with an error.
    pub fn end(mut self, error: Option<String>) {
        if let Some(span) = &mut self.0 {
            span.error = error;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let (Some(span), Some(recorder)) = (self.0.take(), RECORDER.get()) {
            recorder.end(*span, now());
        }
    }
}
