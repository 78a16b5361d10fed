//! The journal of one job under way: its events are appended one after the other, and none is lost half-way.
//!
//! An append goes on by itself when the future that asked for it is dropped, and the next one waits for it: a job that
//! is cancelled while a step is being committed knows whether it was. Start at [`Journal::append`].

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use tidewaiter_core::{Error, Result};
use tidewaiter_job::{FinishedStep, StepLog};
use tokio::sync::Mutex;
use tracing::Instrument as _;

use super::{
    event::Event,
    store::{Entry, Ledger},
};

/// A job that this process drives, and where its events are written.
pub struct Journal {
    ledger: Ledger,
    now_ms: fn() -> i64,
    entry: Arc<Mutex<Entry>>,
}

impl Journal {
    /// The journal of a job as it was read; `now_ms` is milliseconds since 1970.
    pub fn new(ledger: Ledger, now_ms: fn() -> i64, entry: Entry) -> Self {
        Self { ledger, now_ms, entry: Arc::new(Mutex::new(entry)) }
    }

    /// Appends the event that `event` makes of the time.
    ///
    /// # Errors
    /// Those of [`Ledger::append`].
    pub async fn append(&self, event: impl FnOnce(i64) -> Event) -> Result<Entry> {
        let mut entry = Arc::clone(&self.entry).lock_owned().await;
        let (ledger, event) = (self.ledger.clone(), event((self.now_ms)()));
        let append = async move {
            *entry = ledger.append(entry.clone(), event).await?;
            Ok::<_, Error>(entry.clone())
        };
        let append = tokio::spawn(append.in_current_span());
        append.await.map_err(|error| Error::internal("append to the ledger").with_source(error))?
    }

    /// How many of its steps are finished.
    pub async fn finished_steps(&self) -> usize {
        self.entry.lock().await.state.steps.iter().filter(|step| step.finished.is_some()).count()
    }

    /// The step under way.
    pub async fn step(&self) -> Option<String> {
        self.entry.lock().await.state.step().map(|step| step.name.clone())
    }

    /// Reads the job again: an event that was not answered may have been written.
    ///
    /// # Errors
    /// Those of [`Ledger::read`].
    pub async fn refresh(&self) -> Result<()> {
        let mut entry = self.entry.lock().await;
        *entry = self.ledger.read(&entry.job).await?;
        Ok(())
    }

    /// The log of an attempt to do the steps that are not finished.
    pub async fn attempt(&self) -> Attempt<'_> {
        let entry = self.entry.lock().await;
        let finished = entry.state.steps.iter().filter_map(|step| {
            let (ended_ms, outcome) = step.finished.clone()?;
            let seconds = (ended_ms - step.begun_ms).max(0) as f64 / 1000.0;
            Some((step.name.clone(), FinishedStep { outcome: outcome.as_ref().clone(), seconds }))
        });
        Attempt { journal: self, finished: finished.collect() }
    }
}

/// The step log of one attempt.
pub struct Attempt<'a> {
    journal: &'a Journal,
    /// The steps that were finished before.
    finished: BTreeMap<String, FinishedStep>,
}

#[async_trait]
impl StepLog for Attempt<'_> {
    fn finished(&self, step: &str) -> Option<FinishedStep> {
        self.finished.get(step).cloned()
    }

    async fn start(&self, step: &str) -> Result<()> {
        let step = step.to_owned();
        self.journal.append(|at_ms| Event::StepStarted { step, at_ms }).await.map(drop)
    }

    async fn finish(&self, step: &str, outcome: &serde_json::Value) -> Result<()> {
        let (step, outcome) = (step.to_owned(), outcome.clone());
        self.journal.append(|at_ms| Event::StepFinished { step, outcome, at_ms }).await.map(drop)
    }
}
