//! What a user asks for: a job's kind and parameters, as the command line, a pipeline's file, the job service and the
//! ledger write it.

use futures::future::BoxFuture;
use serde_json::{Map, Value};
use tidewaiter_core::{Result, ResultExt};

use crate::{
    job::Job,
    parameters::{JobKind, Work},
    roots::{Roots, is_url},
};

/// The kind of a list of jobs.
pub(crate) const PIPELINE: &str = "pipeline";

/// A job: its kind and its parameters, or several jobs that are done one after the other.
pub struct Specification(Asked);

enum Asked {
    Job { kind: &'static JobKind, work: Box<dyn Work> },
    Pipeline(Vec<Specification>),
}

impl Specification {
    pub(crate) fn of_kind(kind: &'static JobKind, work: Box<dyn Work>) -> Self {
        Self(Asked::Job { kind, work })
    }

    pub(crate) fn pipeline(jobs: Vec<Self>) -> Self {
        Self(Asked::Pipeline(jobs))
    }

    /// The JSON that [`crate::Catalogue::read`] reads.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when a parameter has no JSON form.
    pub fn to_json(&self) -> Result<Value> {
        let mut fields = Map::from_iter([("kind".to_owned(), self.kind().into())]);
        match &self.0 {
            Asked::Job { kind, work } => {
                if let Some((key, value)) = kind.variant {
                    fields.insert(key.to_owned(), value.into());
                }
                if let Value::Object(parameters) = work.write()? {
                    fields.extend(parameters);
                }
            }
            Asked::Pipeline(jobs) => {
                let jobs = jobs.iter().map(Self::to_json).collect::<Result<_>>()?;
                fields.insert("jobs".to_owned(), Value::Array(jobs));
            }
        }
        Ok(Value::Object(fields))
    }

    /// The kind's name, as `--output json` and the ledger have it.
    pub fn kind(&self) -> &'static str {
        match &self.0 {
            Asked::Job { kind, .. } => kind.kind,
            Asked::Pipeline(_) => PIPELINE,
        }
    }

    /// The jobs of a pipeline; of any other job none.
    pub fn parts(&self) -> &[Self] {
        match &self.0 {
            Asked::Job { .. } => &[],
            Asked::Pipeline(jobs) => jobs,
        }
    }

    /// Makes its paths absolute, so that it means the same wherever it runs.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when there is no current folder.
    pub fn make_absolute(&mut self) -> Result<()> {
        match &mut self.0 {
            Asked::Job { work, .. } => {
                for path in work.paths().into_iter().filter(|path| !is_url(path)) {
                    let full = std::path::absolute(&*path).context(|| format!("find {path:?}"))?;
                    *path = full.display().to_string();
                }
                Ok(())
            }
            Asked::Pipeline(jobs) => jobs.iter_mut().try_for_each(Self::make_absolute),
        }
    }

    /// Does the job. What it did is in its outcome. Its work folder is deleted if it succeeded; otherwise it stays, for
    /// whoever keeps its steps may do it again from the last finished one.
    ///
    /// # Errors
    /// The job's own.
    pub fn run<'a>(&'a self, job: &'a mut Job<'_>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let result = match &self.0 {
                Asked::Job { kind, work } => {
                    job.outcome.variant = kind.variant.map(|(_, variant)| variant.to_owned());
                    match within(work.as_ref(), &job.roots) {
                        Ok(work) => work.run(job).await,
                        Err(refused) => Err(refused),
                    }
                }
                Asked::Pipeline(jobs) => pipeline(job, jobs).await,
            };
            if result.is_ok() {
                job.archive.delete_folder(job.work_folder()).await?;
            }
            result
        })
    }
}

impl Clone for Specification {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Asked::Job { kind, work } => Asked::Job { kind, work: work.boxed() },
            Asked::Pipeline(jobs) => Asked::Pipeline(jobs.clone()),
        })
    }
}

/// A job whose files lie where they may.
fn within(work: &dyn Work, roots: &Roots) -> Result<Box<dyn Work>> {
    let mut work = work.boxed();
    for path in work.paths() {
        *path = roots.resolve(path)?;
    }
    Ok(work)
}

/// Does jobs one after the other, up to the first that fails.
async fn pipeline(job: &mut Job<'_>, jobs: &[Specification]) -> Result<()> {
    for (number, specification) in jobs.iter().enumerate() {
        let (outcome, result) = match job.finished_part(specification.kind(), number + 1)? {
            Some(outcome) => (outcome, Ok(())),
            None => {
                let mut part = job.begin_part(specification.kind(), number + 1).await?;
                let result = specification.run(&mut part).await;
                (job.finish_part(part, &result).await?, result)
            }
        };
        job.outcome.tables.extend(outcome.tables.iter().cloned());
        job.outcome.reports.extend(outcome.reports.iter().cloned());
        if outcome.model.is_some() {
            job.outcome.model.clone_from(&outcome.model);
        }
        if specification.kind() == "ingest" {
            job.outcome.rows.read += outcome.rows.read;
            job.outcome.rows.archived += outcome.rows.archived;
            job.outcome.rows.quarantined += outcome.rows.quarantined;
        }
        job.outcome.parts.push(outcome);
        result.context(|| format!("job {} of the pipeline ({})", number + 1, specification.kind()))?;
    }
    Ok(())
}
