//! The driver: runs the jobs that were submitted, each on the ledger.
//!
//! Every submission, step and end is in the ledger before anybody is told of it, so that a driver that
//! starts anew ([`Driver::resume`]) goes on with what was unfinished from its last finished step, and a fit
//! from its last checkpoint. Transient errors do not end a job ([`Run`]). A job that is cancelled ends at once, and its
//! executors are freed. Work files go when a job has ended for good, and not before its executors have stopped.

mod counting;
mod following;
mod message;
mod outlived;
mod run;

use std::{
    collections::{HashMap, hash_map},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, ErrorKind, Result};
use tidewaiter_job::{Catalogue, Listener, Outcome, Roots, Specification, work_folder};
use tidewaiter_proto::v1;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};

pub use self::run::{Retries, Run, keeps_work};
use self::{
    following::Following,
    message::{line, of_damaged, of_entry},
    outlived::{WORTH_NOTING, note},
};
use crate::{
    cluster::Cluster,
    ledger::{Entry, Event, Journal, Ledger, Status},
};

/// The pause before a job's end, or what is unfinished at the start, is looked for in the store again.
const STORE_PAUSE: Duration = Duration::from_secs(10);

/// Where the driver's time and names come from.
#[derive(Debug, Clone, Copy)]
pub struct Sources {
    /// Milliseconds since 1970.
    pub now_ms: fn() -> i64,
    /// A new id; ids sort by the time when they were made.
    pub new_id: fn() -> String,
}

/// What a driver is given.
pub(crate) struct Settings {
    pub(crate) archive: Archive,
    pub(crate) cluster: Cluster,
    pub(crate) sources: Sources,
    pub(crate) catalogue: Catalogue,
    /// Where the files may lie that jobs name.
    pub(crate) exports: Roots,
    /// When a job is tried again.
    pub(crate) retries: Retries,
    /// How many jobs run at once; the others wait for their turn, in the order in which they came.
    pub(crate) at_once: usize,
}

/// Runs jobs. Cheap to clone.
#[derive(Clone)]
pub struct Driver {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    ledger: Ledger,
    running: Mutex<HashMap<String, Running>>,
    /// Of which a job that runs has one. It is fair: who came first is first.
    places: Semaphore,
    /// Whether what was unfinished at the start has been taken up.
    taken_up: watch::Sender<bool>,
}

/// A job that this process drives.
struct Running {
    cancel: Option<oneshot::Sender<()>>,
    following: Arc<Following>,
    over: watch::Receiver<()>,
}

/// A job that is driven, in few words.
#[derive(Debug)]
pub(crate) struct Driven {
    pub(crate) id: String,
    pub(crate) kind: String,
    /// Milliseconds since 1970.
    pub(crate) submitted_ms: i64,
    /// Whether its turn has come.
    pub(crate) has_begun: bool,
}

/// The last of some jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Last {
    /// Milliseconds since 1970.
    pub(crate) submitted_ms: i64,
    /// Whether it waits or runs.
    pub(crate) is_open: bool,
}

/// A list of jobs.
pub(crate) struct Jobs {
    /// The newest first.
    pub(crate) jobs: Vec<v1::Job>,
    /// How many older ones there are.
    pub(crate) older: usize,
}

impl Driver {
    pub(crate) fn new(settings: Settings) -> Self {
        let ledger = Ledger::new(settings.archive.clone(), (settings.sources.new_id)());
        let places = Semaphore::new(settings.at_once.clamp(1, Semaphore::MAX_PERMITS));
        let (running, taken_up) = (Mutex::default(), watch::Sender::new(false));
        Self { inner: Arc::new(Inner { settings, ledger, running, places, taken_up }) }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.inner.settings.cluster
    }

    /// Takes up every job that the ledger knows as unfinished, and puts the events of those that have ended together.
    /// A job whose events are damaged, or whose specification this version cannot read, is named and left alone.
    pub async fn resume(&self) {
        let jobs = loop {
            match self.inner.ledger.open().await {
                Ok(jobs) => break jobs,
                Err(error) => tracing::error!(error = error.chain(), "unfinished jobs are not found yet"),
            }
            tokio::time::sleep(STORE_PAUSE).await;
        };
        let mut ended = Vec::new();
        for job in jobs {
            match job {
                Err(damaged) => {
                    tracing::error!(
                        job = damaged.job,
                        error = damaged.error.chain(),
                        "job is not taken up: its events are damaged"
                    )
                }
                Ok(entry) if entry.state.status.is_final() => ended.push(entry.job),
                Ok(entry) => match self.specification(&entry) {
                    Ok(specification) => {
                        let step = entry.state.step().map(|step| step.name.as_str());
                        tracing::info!(job = entry.job, step, "job is taken up again");
                        self.start(self.with_restart(entry).await, specification);
                    }
                    Err(error) => {
                        tracing::error!(job = entry.job, error = error.chain(), "job is not taken up")
                    }
                },
            }
        }
        self.inner.taken_up.send_replace(true);
        for job in ended {
            self.compact(&job).await;
        }
    }

    /// A job that is taken up, with a note of it where it had begun.
    async fn with_restart(&self, entry: Entry) -> Entry {
        if entry.state.status != Status::Running {
            return entry;
        }
        let text = "the scheduler ended, and its successor took the job up".to_owned();
        let noted = self.journal(entry.clone()).append(|at_ms| Event::Noted { text, at_ms }).await;
        noted.unwrap_or_else(|error| {
            tracing::warn!(job = entry.job, error = error.chain(), "a restart is not in the ledger");
            entry
        })
    }

    /// Submits a job under an id of the client's choice, or a new one; the same id again is the same job.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when the specification or the id is wrong.
    pub async fn submit(&self, id: &str, specification: &str) -> Result<String> {
        let Settings { catalogue, sources, .. } = &self.inner.settings;
        let specification = catalogue.read(specification)?;
        let id = match id {
            "" => (sources.new_id)(),
            id if id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
                id.to_owned()
            }
            id => return Err(Error::input(format!("{id:?} is not a job's id; use letters, digits and -"))),
        };
        let at_ms = (sources.now_ms)();
        let entry = self.inner.ledger.submit(&id, specification.to_json()?, at_ms).await?;
        if !entry.state.status.is_final() {
            let specification = self.specification(&entry)?;
            self.start(entry, specification);
        }
        Ok(id)
    }

    /// A job as it stands.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none of that id, [`ErrorKind::Corrupt`] when its events are damaged.
    pub async fn get(&self, id: &str) -> Result<v1::Job> {
        let entry = self.inner.ledger.read(id).await?;
        Ok(self.with_present(&entry, of_entry(&entry)))
    }

    /// The newest `limit` jobs (0: all).
    ///
    /// # Errors
    /// Those of the ledger.
    pub(crate) async fn list(&self, limit: usize) -> Result<Jobs> {
        let (jobs, older) = self.inner.ledger.newest(limit).await?;
        let jobs = jobs.iter().map(|job| match job {
            Ok(entry) => self.with_present(entry, line(entry)),
            Err(damaged) => of_damaged(damaged),
        });
        Ok(Jobs { jobs: jobs.collect(), older })
    }

    /// What follows of a job that runs here; `None` for one that does not.
    pub(crate) fn follow(&self, id: &str) -> Option<broadcast::Receiver<v1::JobEvent>> {
        self.running(|running| running.get(id).map(|running| running.following.subscribe()))
    }

    /// The jobs that are driven here.
    pub(crate) fn driven(&self) -> Vec<Driven> {
        self.running(|running| {
            let driven = running.iter().map(|(id, running)| {
                let job = running.following.job();
                Driven {
                    id: id.clone(),
                    kind: job.kind.clone(),
                    submitted_ms: job.submitted_ms,
                    has_begun: running.following.has_place(),
                }
            });
            driven.collect()
        })
    }

    /// Of the jobs of a kind whose specification `is_one`: one that is driven here, or the newest of those that were
    /// submitted since a time.
    ///
    /// # Errors
    /// Those of the ledger.
    pub(crate) async fn last(
        &self,
        kind: &str,
        is_one: fn(&serde_json::Value) -> bool,
        since_ms: i64,
    ) -> Result<Option<Last>> {
        for job in self.driven().into_iter().filter(|job| job.kind == kind) {
            let state = self.inner.ledger.read(&job.id).await?.state;
            if is_one(&state.specification) {
                return Ok(Some(Last { submitted_ms: state.submitted_ms, is_open: true }));
            }
        }
        let newest = self.inner.ledger.last(is_one, since_ms).await?;
        Ok(newest.map(|entry| Last { submitted_ms: entry.state.submitted_ms, is_open: false }))
    }

    /// Whether what was unfinished at the start has been taken up.
    pub(crate) fn has_taken_up(&self) -> bool {
        *self.inner.taken_up.borrow()
    }

    /// Waits until what was unfinished at the start has been taken up.
    pub(crate) async fn taken_up(&self) {
        // The sender lives as long as this driver.
        drop(self.inner.taken_up.subscribe().wait_for(|taken_up| *taken_up).await);
    }

    /// Ends a job, or gives one up that failed and could be retried; gives it as it stands when that is done.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none of that id, [`ErrorKind::Conflict`] when it ended before.
    pub async fn cancel(&self, id: &str) -> Result<v1::Job> {
        if !self.cancel_running(id).await {
            self.cancel_waiting(id).await?;
        }
        let job = self.get(id).await?;
        if job.status == i32::from(v1::JobStatus::Cancelled) {
            return Ok(job);
        }
        Err(Error::conflict(format!("job {id} had ended before it could be cancelled")))
    }

    /// Goes on with a job that failed, from its last finished step.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none of that id, [`ErrorKind::Conflict`] when it cannot be retried.
    pub async fn retry(&self, id: &str) -> Result<v1::Job> {
        let entry = self.inner.ledger.read(id).await?;
        if !entry.state.can_be_retried() {
            return Err(Error::conflict(format!(
                "job {id} has not failed in a way that a retry can mend, or its work files are gone; submit it again"
            )));
        }
        let specification = self.specification(&entry)?;
        let entry = self.journal(entry).append(|at_ms| Event::Reopened { at_ms }).await?;
        let job = of_entry(&entry);
        self.start(entry, specification);
        Ok(job)
    }

    /// Cancels a job that this process drives, and waits until it is over; `false` where it drives none of that id.
    async fn cancel_running(&self, id: &str) -> bool {
        let over = self.running(|running| {
            let running = running.get_mut(id)?;
            // Whoever cancelled first has sent; the job's end is the same for all.
            running.cancel.take().map(|cancel| cancel.send(()));
            Some(running.over.clone())
        });
        let Some(mut over) = over else { return false };
        // The sender goes away when the job is over.
        while over.changed().await.is_ok() {}
        true
    }

    /// Cancels a job that nobody drives: it cannot be read, or failed and could be retried.
    async fn cancel_waiting(&self, id: &str) -> Result<()> {
        let entry = match self.inner.ledger.read(id).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.inner.ledger.give_up(id, (self.inner.settings.sources.now_ms)()).await?;
                self.delete_work(id).await;
                return Ok(());
            }
            read => read?,
        };
        if !entry.state.status.is_final() {
            self.taken_up().await;
            if self.cancel_running(id).await {
                return Ok(());
            }
        } else if !entry.state.can_be_retried() {
            return Ok(());
        }
        let kind = entry.state.specification["kind"].as_str();
        tracing::info!(job = id, kind, "a job that did not run is cancelled");
        self.journal(entry).append(|at_ms| Event::Cancelled { at_ms }).await?;
        self.delete_work(id).await;
        self.compact(id).await;
        Ok(())
    }

    fn running<T>(&self, with: impl FnOnce(&mut HashMap<String, Running>) -> T) -> T {
        with(&mut self.inner.running.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn journal(&self, entry: Entry) -> Journal {
        Journal::new(self.inner.ledger.clone(), self.inner.settings.sources.now_ms, entry)
    }

    fn specification(&self, entry: &Entry) -> Result<Specification> {
        let read = self.inner.settings.catalogue.read(&entry.state.specification.to_string());
        read.map_err(|error| {
            let job = &entry.job;
            let message = format!(
                "this version cannot read job {job}; run one that can, or give it up by `tidewaiter jobs cancel {job}`"
            );
            Error::new(error.kind(), message).with_source(error)
        })
    }

    /// A job with what only this process knows of it: how far it is, or why it is not driven.
    fn with_present(&self, entry: &Entry, mut job: v1::Job) -> v1::Job {
        if entry.state.status.is_final() {
            return job;
        }
        let (progress, waits_its_turn) = self.running(|running| {
            let following = running.get(&entry.job).map(|running| &running.following);
            (following.and_then(|job| job.last()), following.is_some_and(|job| !job.has_place()))
        });
        job.progress = progress;
        job.waits_for = match waits_its_turn {
            true => self.turn(),
            false => self.cluster().waiting().text(&entry.job).unwrap_or_default(),
        };
        if let Err(error) = self.specification(entry) {
            job.error = error.chain();
        }
        job
    }

    /// What a job waits for that may not begin yet.
    fn turn(&self) -> String {
        format!("its turn: {} jobs run at once", self.inner.settings.at_once)
    }

    /// Runs a job in the background, unless it runs here already.
    fn start(&self, entry: Entry, specification: Specification) {
        let (cancel, cancelled) = oneshot::channel();
        let (end, over) = watch::channel(());
        let id = entry.job.clone();
        let following = Arc::new(Following::new(line(&entry)));
        let running = Running { cancel: Some(cancel), following: Arc::clone(&following), over };
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
        counting::begun(&entry.state);
        let driver = self.clone();
        tokio::spawn(async move {
            match driver.drive(entry, &specification, Arc::clone(&following), cancelled).await {
                Ok(ended) => {
                    counting::ended(&ended.state);
                    following.end(of_entry(&ended));
                }
                Err(error) => {
                    tracing::error!(job = id, error = error.chain(), "the job's end is not in the ledger")
                }
            }
            driver.running(|all| all.remove(&id));
            driver.cluster().executors().files().end(&id);
            // Whoever follows, and whoever cancelled, hears of the end.
            drop((following, end));
            driver.compact(&id).await;
        });
    }

    /// Runs a job to its end, writes that to the ledger, and deletes its work files if it has ended for good.
    async fn drive(
        &self,
        entry: Entry,
        specification: &Specification,
        following: Arc<Following>,
        cancelled: oneshot::Receiver<()>,
    ) -> Result<Entry> {
        let Settings { archive, cluster, sources, catalogue, exports, retries, .. } = &self.inner.settings;
        let (id, submitted_ms) = (entry.job.clone(), entry.state.submitted_ms);
        let journal = self.journal(entry);
        let (told, waits) = mpsc::unbounded_channel();
        let outlived = note(&journal, &id, cluster.executors().losses(), waits, WORTH_NOTING);
        let run = Run {
            archive,
            engine: cluster,
            extensions: catalogue.extensions(),
            listener: Arc::clone(&following) as Arc<dyn Listener>,
            roots: exports.clone(),
            journal: &journal,
            retries: *retries,
            now_ms: sources.now_ms,
            id: &id,
            submitted_ms,
        };
        let waits_too_long = cluster.waiting().longer_than(&id, retries.within, |what| {
            // It is heard as long as the job is driven.
            drop(told.send(what.clone()));
            following.waits_for(what);
        });
        let in_its_turn = async {
            if self.inner.places.available_permits() == 0 {
                following.waits_for(Some(self.turn()));
            }
            // The semaphore is never closed.
            let _place = self.inner.places.acquire().await;
            following.take_place();
            following.waits_for(None);
            run.to_end(specification).await
        };
        let ended = tokio::select! {
            (outcome, result) = in_its_turn => {
                if result.is_ok() {
                    cluster.release(&id).await;
                }
                end(&result, &outcome)?
            }
            what = waits_too_long => {
                cluster.stop(&id).await;
                let error = waited(retries.within, &what, &id);
                let outcome = run.failed(specification, &error);
                end(&Err(error), &outcome)?
            }
            never = outlived => match never {},
            // A sender that is dropped cancels nothing: the process ends.
            Ok(()) = cancelled => {
                let step = journal.step().await;
                tracing::info!(job = id, kind = specification.kind(), step, "a job is cancelled");
                // Whoever still works would write into the folder that is deleted next.
                cluster.stop(&id).await;
                Ended::Cancelled
            }
        };
        let ended = loop {
            match journal.append(|at_ms| ended.clone().event(at_ms)).await {
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tracing::error!(job = id, error = error.chain(), "the job's end waits for the store");
                }
                written => break written?,
            }
            tokio::time::sleep(STORE_PAUSE).await;
        };
        if !ended.state.work_kept {
            self.delete_work(&id).await;
        }
        Ok(ended)
    }

    /// Deletes the work files of a job, or of a query.
    pub(crate) async fn delete_work(&self, id: &str) {
        if let Err(error) = self.inner.settings.archive.delete_folder(&work_folder(id)).await {
            tracing::warn!(job = id, error = error.chain(), "the job's work folder stays");
        }
    }

    async fn compact(&self, id: &str) {
        if let Err(error) = self.inner.ledger.compact(id).await {
            tracing::warn!(job = id, error = error.chain(), "the job's events stay apart");
        }
    }
}

/// How a job ended.
#[derive(Clone)]
enum Ended {
    Succeeded { outcome: serde_json::Value },
    Failed { outcome: serde_json::Value, error: String, kind: ErrorKind },
    Cancelled,
}

fn waited(bound: Duration, what: &str, id: &str) -> Error {
    let seconds = bound.as_secs();
    Error::unavailable(format!(
        "the job waited {seconds} s for {what}; start an executor that joins this scheduler, then go on with it by \
         `tidewaiter jobs retry {id}` (--retry-for says how long jobs wait)"
    ))
}

fn end(result: &Result<()>, outcome: &Outcome) -> Result<Ended> {
    let outcome = serde_json::to_value(outcome)?;
    Ok(match result {
        Ok(()) => Ended::Succeeded { outcome },
        Err(error) => Ended::Failed { outcome, error: error.chain(), kind: error.kind() },
    })
}

impl Ended {
    fn event(self, at_ms: i64) -> Event {
        match self {
            Self::Succeeded { outcome } => Event::Succeeded { outcome, at_ms },
            Self::Failed { outcome, error, kind } => {
                Event::Failed { error, kind, work_kept: keeps_work(kind), outcome, at_ms }
            }
            Self::Cancelled => Event::Cancelled { at_ms },
        }
    }
}
