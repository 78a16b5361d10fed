//! The driver: runs the jobs that were submitted, each on the ledger.
//!
//! Every submission, step and end is in the ledger before anybody is told of it, so that a driver that
//! starts anew ([`Driver::resume`]) goes on with what was unfinished from its last finished step, and a fit
//! from its last checkpoint. A job that is cancelled ends at once, and its executors are freed.

use std::{
    collections::{HashMap, hash_map},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, ErrorKind, Result};
use tidewaiter_job::{Catalogue, Job, Listener, Outcome, Setting, StepLog, work_folder};
use tidewaiter_proto::v1;
use tokio::sync::{broadcast, oneshot, watch};

use crate::{
    cluster::Cluster,
    ledger::{Entry, Event, JobState, Ledger, Status},
};

/// Progress events that a slow follower may be behind before it misses some.
const EVENTS_KEPT: usize = 256;

/// Where the driver's time and names come from.
#[derive(Debug, Clone, Copy)]
pub struct Sources {
    /// Milliseconds since 1970.
    pub now_ms: fn() -> i64,
    /// A new job's id; ids sort by the time when they were made.
    pub new_id: fn() -> String,
}

/// Runs jobs. Cheap to clone.
#[derive(Clone)]
pub struct Driver {
    inner: Arc<Inner>,
}

struct Inner {
    archive: Archive,
    ledger: Ledger,
    cluster: Cluster,
    sources: Sources,
    catalogue: Catalogue,
    running: Mutex<HashMap<String, Running>>,
}

/// A job that this process drives.
struct Running {
    cancel: Option<oneshot::Sender<()>>,
    events: broadcast::Sender<v1::JobEvent>,
    over: watch::Receiver<()>,
}

impl Driver {
    pub(crate) fn new(archive: Archive, cluster: Cluster, sources: Sources, catalogue: Catalogue) -> Self {
        let ledger = Ledger::new(archive.clone());
        let running = Mutex::default();
        Self { inner: Arc::new(Inner { archive, ledger, cluster, sources, catalogue, running }) }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.inner.cluster
    }

    /// Takes up every job that the ledger knows as unfinished.
    ///
    /// # Errors
    /// Those of the ledger.
    pub async fn resume(&self) -> Result<()> {
        for entry in self.inner.ledger.jobs().await? {
            if !entry.state.status.is_final() {
                tracing::info!(job = entry.job, step = entry.state.step, "job is taken up again");
                self.start(entry);
            }
        }
        Ok(())
    }

    /// Submits a job under an id of the client's choice, or a new one; the same id again is the same job.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when the specification or the id is wrong.
    pub async fn submit(&self, id: &str, specification: &str) -> Result<String> {
        let specification = self.inner.catalogue.read(specification)?;
        let id = match id {
            "" => (self.inner.sources.new_id)(),
            id if id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
                id.to_owned()
            }
            id => return Err(Error::input(format!("{id:?} is not a job's id; use letters, digits and -"))),
        };
        let at_ms = (self.inner.sources.now_ms)();
        let entry = self.inner.ledger.submit(&id, specification.to_json()?, at_ms).await?;
        if !entry.state.status.is_final() {
            self.start(entry);
        }
        Ok(id)
    }

    /// A job as it stands.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none of that id.
    pub async fn get(&self, id: &str) -> Result<v1::Job> {
        Ok(message(&self.inner.ledger.read(id).await?))
    }

    /// Every job, the newest first.
    ///
    /// # Errors
    /// Those of the ledger.
    pub async fn list(&self) -> Result<Vec<v1::Job>> {
        Ok(self.inner.ledger.jobs().await?.iter().rev().map(message).collect())
    }

    /// What follows of a job that runs here; `None` for one that does not.
    pub(crate) fn follow(&self, id: &str) -> Option<broadcast::Receiver<v1::JobEvent>> {
        self.running(|running| running.get(id).map(|running| running.events.subscribe()))
    }

    /// Ends a job; gives it as it stands when that is done.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none of that id, [`ErrorKind::Conflict`] when it ended before.
    pub async fn cancel(&self, id: &str) -> Result<v1::Job> {
        let over = self.running(|running| {
            let running = running.get_mut(id)?;
            // Whoever cancelled first has sent; the job's end is the same for all.
            running.cancel.take().map(|cancel| cancel.send(()));
            Some(running.over.clone())
        });
        if let Some(mut over) = over {
            // The sender goes away when the job is over.
            while over.changed().await.is_ok() {}
        }
        let job = self.get(id).await?;
        if job.status == i32::from(v1::JobStatus::Cancelled) {
            return Ok(job);
        }
        Err(Error::conflict(format!("job {id} had ended before it could be cancelled")))
    }

    fn running<T>(&self, with: impl FnOnce(&mut HashMap<String, Running>) -> T) -> T {
        with(&mut self.inner.running.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs a job in the background, unless it runs here already.
    fn start(&self, entry: Entry) {
        let (cancel, cancelled) = oneshot::channel();
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        let (end, over) = watch::channel(());
        let id = entry.job.clone();
        let running = Running { cancel: Some(cancel), events: events.clone(), over };
        let starts = self.running(|all| match all.entry(id.clone()) {
            hash_map::Entry::Occupied(_) => false,
            hash_map::Entry::Vacant(place) => {
                place.insert(running);
                true
            }
        });
        if !starts {
            return;
        }
        let driver = self.clone();
        tokio::spawn(async move {
            let ended = driver.drive(entry, cancelled, events.clone()).await;
            driver.inner.cluster.release(&id).await;
            match ended {
                // Nobody may follow.
                Ok(job) => drop(events.send(v1::JobEvent { job: Some(job), progress: None })),
                Err(error) => {
                    tracing::error!(job = id, error = error.chain(), "the job's end is not in the ledger")
                }
            }
            driver.running(|all| all.remove(&id));
            drop(end);
        });
    }

    /// Runs a job to its end and writes that to the ledger.
    async fn drive(
        &self,
        entry: Entry,
        cancelled: oneshot::Receiver<()>,
        events: broadcast::Sender<v1::JobEvent>,
    ) -> Result<v1::Job> {
        let Inner { archive, ledger, cluster, sources, catalogue, .. } = self.inner.as_ref();
        let id = entry.job.clone();
        let (specification, submitted_ms) = (entry.state.specification.clone(), entry.state.submitted_ms);
        let following = Arc::new(Following { events, job: message(&entry) });
        let log = LedgerLog::new(ledger, *sources, entry);
        let specification = catalogue.read(&specification.to_string())?;
        let listener: Arc<dyn Listener> = following;
        let extensions = catalogue.extensions();
        let setting =
            Setting { archive, engine: cluster, extensions, listener, log: &log, id: &id, submitted_ms };
        let mut job = Job::new(specification.kind(), setting);
        let result = tokio::select! {
            result = specification.run(&mut job) => result,
            // A sender that is dropped cancels nothing: the process ends.
            Ok(()) = cancelled => Err(Error::new(ErrorKind::Cancelled, "the job was cancelled")),
        };
        let outcome = job.finish(&result);
        if let Err(error) = archive.delete_folder(&work_folder(&id)).await {
            tracing::warn!(job = id, error = error.chain(), "the job's work folder stays");
        }
        let at_ms = (sources.now_ms)();
        let entry = log.append(end(&result, &outcome, at_ms)?).await?;
        Ok(message(&entry))
    }
}

/// The event of a job's end.
fn end(result: &Result<()>, outcome: &Outcome, at_ms: i64) -> Result<Event> {
    let document = serde_json::to_value(outcome)?;
    Ok(match result {
        Ok(()) => Event::Succeeded { outcome: document, at_ms },
        Err(error) if error.kind() == ErrorKind::Cancelled => Event::Cancelled { at_ms },
        Err(error) => Event::Failed { error: error.chain(), outcome: document, at_ms },
    })
}

/// The step log of a job in the ledger.
struct LedgerLog<'a> {
    ledger: &'a Ledger,
    sources: Sources,
    /// The steps that were finished when the job was taken up.
    finished: std::collections::BTreeMap<String, serde_json::Value>,
    entry: tokio::sync::Mutex<Entry>,
}

impl<'a> LedgerLog<'a> {
    fn new(ledger: &'a Ledger, sources: Sources, entry: Entry) -> Self {
        let finished = entry.state.finished.clone();
        Self { ledger, sources, finished, entry: tokio::sync::Mutex::new(entry) }
    }

    async fn append(&self, event: Event) -> Result<Entry> {
        let mut entry = self.entry.lock().await;
        *entry = self.ledger.append(entry.clone(), event).await?;
        Ok(entry.clone())
    }
}

#[async_trait]
impl StepLog for LedgerLog<'_> {
    fn finished(&self, step: &str) -> Option<serde_json::Value> {
        self.finished.get(step).cloned()
    }

    async fn start(&self, step: &str) -> Result<()> {
        let at_ms = (self.sources.now_ms)();
        self.append(Event::StepStarted { step: step.to_owned(), at_ms }).await.map(drop)
    }

    async fn finish(&self, step: &str, outcome: &serde_json::Value) -> Result<()> {
        let (at_ms, outcome) = ((self.sources.now_ms)(), outcome.clone());
        self.append(Event::StepFinished { step: step.to_owned(), outcome, at_ms }).await.map(drop)
    }
}

/// Tells a job's followers of its progress.
struct Following {
    events: broadcast::Sender<v1::JobEvent>,
    job: v1::Job,
}

impl Listener for Following {
    fn progress(&self, step: &str, done: u64, total: u64, unit: &str) {
        let progress =
            v1::Progress { step: step.to_owned(), done, total, unit: unit.to_owned(), note: String::new() };
        let job =
            v1::Job { status: v1::JobStatus::Running.into(), step: step.to_owned(), ..self.job.clone() };
        // Nobody may follow.
        drop(self.events.send(v1::JobEvent { job: Some(job), progress: Some(progress) }));
    }
}

/// A job as the wire has it.
fn message(entry: &Entry) -> v1::Job {
    let JobState { status, specification, submitted_ms, step, outcome, .. } = &entry.state;
    let status = match status {
        Status::Queued => v1::JobStatus::Queued,
        Status::Running => v1::JobStatus::Running,
        Status::Succeeded => v1::JobStatus::Succeeded,
        Status::Failed => v1::JobStatus::Failed,
        Status::Cancelled => v1::JobStatus::Cancelled,
    };
    v1::Job {
        job: entry.job.clone(),
        kind: specification["kind"].as_str().unwrap_or_default().to_owned(),
        status: status.into(),
        step: step.clone().unwrap_or_default(),
        outcome: outcome.as_ref().map(ToString::to_string).unwrap_or_default(),
        submitted_ms: *submitted_ms,
        specification: specification.to_string(),
    }
}
