//! Tells a job's followers of its progress, and remembers the last of it.

use std::sync::{
    Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tidewaiter_job::Listener;
use tidewaiter_proto::v1;
use tokio::sync::broadcast;

/// Progress events that a slow follower may be behind before it misses some.
const EVENTS_KEPT: usize = 256;

/// Who follows a job that runs.
pub(super) struct Following {
    /// Made for the first follower: its places take 100 KiB, and most of the jobs that wait have none.
    events: OnceLock<broadcast::Sender<v1::JobEvent>>,
    job: v1::Job,
    last: Mutex<Option<v1::Progress>>,
    has_place: AtomicBool,
}

impl Following {
    /// Nobody follows the job yet.
    pub(super) fn new(job: v1::Job) -> Self {
        Self { events: OnceLock::new(), job, last: Mutex::default(), has_place: AtomicBool::default() }
    }

    /// What happens to the job from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<v1::JobEvent> {
        self.events.get_or_init(|| broadcast::channel(EVENTS_KEPT).0).subscribe()
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
        self.tell(|| {
            let waits_for = what.unwrap_or_default();
            let job = v1::Job { status: v1::JobStatus::Running.into(), waits_for, ..self.job.clone() };
            v1::JobEvent { job: Some(job), progress: None }
        });
    }

    /// Tells the followers how the job ended.
    pub(super) fn end(&self, job: v1::Job) {
        self.tell(|| v1::JobEvent { job: Some(job), progress: None });
    }

    fn tell(&self, event: impl FnOnce() -> v1::JobEvent) {
        if let Some(events) = self.events.get() {
            // All who followed may have gone.
            drop(events.send(event()));
        }
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
        self.tell(|| {
            let step = step.to_owned();
            let job = v1::Job { status: v1::JobStatus::Running.into(), step, ..self.job.clone() };
            v1::JobEvent { job: Some(job), progress: Some(progress) }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_hears_what_happens_after_it_has_come_and_nobody_else_costs_anything() {
        let following = Following::new(v1::Job { job: "job".to_owned(), ..v1::Job::default() });
        following.progress("read", 1, 2, "rows");
        assert!(following.events.get().is_none(), "nobody follows");
        assert_eq!(following.last().map(|progress| progress.done), Some(1));
        let mut first = following.subscribe();
        following.progress("read", 2, 2, "rows");
        let mut second = following.subscribe();
        following.end(v1::Job::default());
        let event = first.try_recv().expect("the progress");
        assert_eq!(event.progress.map(|progress| progress.done), Some(2));
        assert_eq!(first.try_recv().expect("the end").progress, None);
        assert_eq!(second.try_recv().expect("the end").progress, None);
        assert!(second.try_recv().is_err(), "no more");
    }
}
