//! A job under way: where it works, its steps, and who follows it.
//!
//! Steps follow each other, each ends with one commit, and each is timed; a step that is in the [`StepLog`] is not
//! repeated. Start at [`Job::step`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use async_trait::async_trait;
use datafusion::prelude::SessionContext;
use serde::{Serialize, de::DeserializeOwned};
use tidewaiter_archive::Archive;
use tidewaiter_core::{
    Error, Result, ResultExt,
    plan::{Meter, QueryProgress},
};
use tidewaiter_traces::{Level, Open, in_step};

use crate::{
    engine::Engine,
    extensions::Extensions,
    outcome::{Outcome, Step},
    roots::Roots,
};

/// Hears how far a job is.
pub trait Listener: Send + Sync {
    /// `done` of `total` units (0: not known) of a step.
    fn progress(&self, step: &str, done: u64, total: u64, unit: &str);

    /// The same, with a line for people, such as the stages of a query.
    fn noted_progress(&self, step: &str, done: u64, total: u64, unit: &str, note: &str) {
        let _ = note;
        self.progress(step, done, total, unit);
    }
}

/// A step that was finished before.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedStep {
    /// What it gave.
    pub outcome: serde_json::Value,
    /// Wall-clock seconds that it took.
    pub seconds: f64,
}

/// What is kept of a job's steps, so that a job taken up again does not repeat them.
#[async_trait]
pub trait StepLog: Send + Sync {
    /// The step, when it was finished before.
    fn finished(&self, step: &str) -> Option<FinishedStep>;

    /// Notes that a step begins.
    async fn start(&self, step: &str) -> Result<()>;

    /// Notes what a step gave; it is durable when this returns.
    async fn finish(&self, step: &str, outcome: &serde_json::Value) -> Result<()>;
}

/// Keeps nothing: the job of a process that is not resumed.
#[derive(Debug, Clone, Copy)]
pub struct NoLog;

#[async_trait]
impl StepLog for NoLog {
    fn finished(&self, _: &str) -> Option<FinishedStep> {
        None
    }

    async fn start(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn finish(&self, _: &str, _: &serde_json::Value) -> Result<()> {
        Ok(())
    }
}

/// A job under way: where it works, on which engine, its name, its clock and who listens.
pub struct Job<'a> {
    /// The archive.
    pub archive: &'a Archive,
    /// Where its queries and fits run.
    pub engine: &'a dyn Engine,
    /// What domains registered for each other.
    pub extensions: Extensions,
    /// The outcome so far.
    pub outcome: Outcome,
    /// Who hears of progress.
    pub listener: Arc<dyn Listener>,
    /// When it was asked for, milliseconds since 1970.
    pub submitted_ms: i64,
    /// Where the files may lie that it names.
    pub roots: Roots,
    log: &'a dyn StepLog,
    /// The id of the job that was submitted, of which this one may be a part.
    whole: &'a str,
    folder: String,
    /// Begins the names of its steps: set while it is a part of another job.
    prefix: String,
    started: Instant,
    span: Open,
}

/// What a job is and where it stands in the world.
pub struct Setting<'a> {
    /// The archive.
    pub archive: &'a Archive,
    /// Where its queries and fits run.
    pub engine: &'a dyn Engine,
    /// What domains registered for each other.
    pub extensions: Extensions,
    /// Who hears of progress.
    pub listener: Arc<dyn Listener>,
    /// What is kept of its steps.
    pub log: &'a dyn StepLog,
    /// Its id.
    pub id: &'a str,
    /// When it was asked for, milliseconds since 1970.
    pub submitted_ms: i64,
    /// Where the files may lie that it names.
    pub roots: Roots,
}

/// The folder of a job, in its archive, for what nobody needs once it is over.
pub fn work_folder(job: &str) -> String {
    format!("work/{job}")
}

/// The id of the job that was submitted, of a folder in its [`work_folder`].
pub fn job_of(folder: &str) -> &str {
    folder.split('/').nth(1).unwrap_or(folder)
}

impl<'a> Job<'a> {
    /// A job of a kind.
    #[allow(clippy::disallowed_methods, reason = "the one place that times jobs; no result depends on it")]
    pub fn new(kind: &str, setting: Setting<'a>) -> Self {
        let Setting { archive, engine, extensions, listener, log, id, submitted_ms, roots } = setting;
        let outcome = Outcome { job: id.to_owned(), kind: kind.to_owned(), ..Outcome::default() };
        let (folder, prefix, started) = (work_folder(id), String::new(), Instant::now());
        let span = tidewaiter_traces::begin(id, Level::Job, kind);
        Self {
            archive,
            engine,
            extensions,
            outcome,
            listener,
            submitted_ms,
            roots,
            log,
            whole: id,
            folder,
            prefix,
            started,
            span,
        }
    }

    /// The outcome of a part that was finished before.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when the log has something else.
    pub fn finished_part(&self, kind: &str, number: usize) -> Result<Option<Outcome>> {
        let logged = format!("{}{number} {kind}", self.prefix);
        let finished = self.log.finished(&logged);
        finished.map(|FinishedStep { outcome, .. }| read_finished(&logged, outcome)).transpose()
    }

    /// Begins a part of this job, which is a job itself; its id and its steps' names begin with this one's.
    ///
    /// # Errors
    /// Those of the log.
    #[allow(clippy::disallowed_methods, reason = "times the part; no result depends on it")]
    pub async fn begin_part(&self, kind: &str, number: usize) -> Result<Job<'a>> {
        self.log.start(&format!("{}{number} {kind}", self.prefix)).await?;
        let span = tidewaiter_traces::begin(self.whole, Level::Part, &format!("{number} {kind}"));
        let id = format!("{}-{number}", self.outcome.job);
        let outcome = Outcome { job: id, kind: kind.to_owned(), ..Outcome::default() };
        let prefix = format!("{}{number} {kind}: ", self.prefix);
        let folder = format!("{}/{number}", self.folder);
        Ok(Job {
            outcome,
            folder,
            prefix,
            started: Instant::now(),
            span,
            listener: Arc::clone(&self.listener),
            extensions: self.extensions.clone(),
            roots: self.roots.clone(),
            ..*self
        })
    }

    /// Where the job keeps what nobody needs once it is over.
    pub fn work_folder(&self) -> &str {
        &self.folder
    }

    /// A session on the job's engine, whose operators tell the listener how many rows of `step` are done. Its queries
    /// have the name of the job that was submitted, by which the scheduler finds them when that is cancelled.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn session(&self, step: &str) -> Result<SessionContext> {
        let told = || (Arc::clone(&self.listener), step.to_owned());
        let (of_rows, of_queries) = (told(), told());
        let done = AtomicU64::new(0);
        let meter = Meter::new(move |rows| {
            let ((listener, step), done) = (&of_rows, done.fetch_add(rows, Ordering::Relaxed) + rows);
            listener.progress(step, done, 0, "rows");
        });
        let meter = meter.with_queries(move |QueryProgress { done, total, unit, note }| {
            let (listener, step) = &of_queries;
            listener.noted_progress(step, done, total, unit, &note);
        });
        self.engine.session(self.whole, meter)
    }

    /// Runs one step and notes how long it took; a step that was finished before gives what it gave then.
    ///
    /// # Errors
    /// The step's own, and those of the log.
    pub async fn step<T: Serialize + DeserializeOwned>(
        &mut self,
        name: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let logged = format!("{}{name}", self.prefix);
        if let Some(FinishedStep { outcome, seconds }) = self.log.finished(&logged) {
            self.outcome.steps.push(Step { name: name.to_owned(), seconds });
            return read_finished(&logged, outcome);
        }
        self.log.start(&logged).await?;
        let before = self.started.elapsed();
        let span = tidewaiter_traces::begin(self.whole, Level::Step, name);
        let outcome = in_step(&logged, work).await;
        span.end(outcome.as_ref().err().map(Error::chain));
        let outcome = outcome?;
        let seconds = (self.started.elapsed() - before).as_secs_f64();
        self.outcome.steps.push(Step { name: name.to_owned(), seconds });
        self.log.finish(&logged, &serde_json::to_value(&outcome)?).await?;
        Ok(outcome)
    }

    /// Notes the end of a part, if it succeeded, and gives its outcome.
    ///
    /// # Errors
    /// Those of the log.
    pub async fn finish_part(&self, part: Job<'_>, result: &Result<()>) -> Result<Outcome> {
        let logged = part.prefix.trim_end_matches(": ").to_owned();
        let outcome = part.finish(result);
        if result.is_ok() {
            self.log.finish(&logged, &serde_json::to_value(&outcome)?).await?;
        }
        Ok(outcome)
    }

    /// The outcome document of a job that ended.
    pub fn finish(mut self, result: &Result<()>) -> Outcome {
        self.span.end(result.as_ref().err().map(Error::chain));
        self.outcome.seconds = self.started.elapsed().as_secs_f64();
        match result {
            Ok(()) => self.outcome.status = "succeeded".into(),
            Err(error) => {
                self.outcome.status = "failed".into();
                self.outcome.error = Some(error.chain());
                self.outcome.error_kind = Some(error.kind());
            }
        }
        self.outcome
    }
}

fn read_finished<T: DeserializeOwned>(step: &str, outcome: serde_json::Value) -> Result<T> {
    serde_json::from_value(outcome).context(|| format!("read what the step {step:?} gave before"))
}
