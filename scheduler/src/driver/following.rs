//! Tells a job's followers of its progress, and remembers the last of it.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tidewaiter_job::Listener;
use tidewaiter_proto::v1;
use tokio::sync::broadcast;

/// Progress events that a slow follower may be behind before it misses some.
const EVENTS_KEPT: usize = 256;

/// Who follows a job that runs.
pub(super) struct Following {
    events: broadcast::Sender<v1::JobEvent>,
    job: v1::Job,
    last: Mutex<Option<v1::Progress>>,
    has_place: AtomicBool,
}

impl Following {
    /// Nobody follows the job yet.
    pub(super) fn new(job: v1::Job) -> Self {
        Self {
            events: broadcast::channel(EVENTS_KEPT).0,
            job,
            last: Mutex::default(),
            has_place: AtomicBool::default(),
        }
    }

    /// What happens to the job from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<v1::JobEvent> {
        self.events.subscribe()
    }

    /// The job as it was when it was taken up.
    pub(super) fn job(&self) -> &v1::Job {
        &self.job
    }

    /// Its turn has come.
    pub(super) fn take_place(&self) {
        self.has_place.store(true, Ordering::Relaxed);
    }

    /// Whether its turn has come.
    pub(super) fn has_place(&self) -> bool {
        self.has_place.load(Ordering::Relaxed)
    }

    /// The last progress.
    pub(super) fn last(&self) -> Option<v1::Progress> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells the followers what the job waits for; `None`: its tasks run.
    pub(super) fn waits_for(&self, what: Option<String>) {
        let waits_for = what.unwrap_or_default();
        let job = v1::Job { status: v1::JobStatus::Running.into(), waits_for, ..self.job.clone() };
        // Nobody may follow.
        drop(self.events.send(v1::JobEvent { job: Some(job), progress: None }));
    }

    /// Tells the followers how the job ended.
    pub(super) fn end(&self, job: v1::Job) {
        // Nobody may follow.
        drop(self.events.send(v1::JobEvent { job: Some(job), progress: None }));
    }
}

impl Listener for Following {
    fn progress(&self, step: &str, done: u64, total: u64, unit: &str) {
        self.noted_progress(step, done, total, unit, "");
    }

    fn noted_progress(&self, step: &str, done: u64, total: u64, unit: &str, note: &str) {
        let (unit, note) = (unit.to_owned(), note.to_owned());
        let progress = v1::Progress { step: step.to_owned(), done, total, unit, note };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress.clone());
        let job =
            v1::Job { status: v1::JobStatus::Running.into(), step: step.to_owned(), ..self.job.clone() };
        // Nobody may follow.
        drop(self.events.send(v1::JobEvent { job: Some(job), progress: Some(progress) }));
    }
}
