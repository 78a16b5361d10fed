//! Everything that Tidewaiter does, in two lists: the kinds of job and the plan nodes.
//!
//! A [`Specification`] is what a user asks for, as the command line, a pipeline's TOML, the job service and
//! the ledger write it; [`run`] does it. [`operator`] makes a plan node of its message, for the codec.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidewaiter_proto::v1;

use crate::{
    Archive, Error, Result, ResultExt,
    archive::{ingest::IngestOperator, write_operator::WriteOperator},
    fraud::{
        self,
        backtest::{BacktestOperator, HistoryOperator},
        date,
        features::FeaturesOperator,
        score::ScoreOperator,
    },
    hs::{self, encoder::EncodedShards, learner::TextShards, score::RecommendOperator, texts::TextsOperator},
    job::{Job, ingest, quality, release, synth},
    learning::{
        collective::ShardLoader,
        fit_operator::FitOperator,
        gbdt, logistic,
        rows::{MakeShard, ParquetShards},
    },
    plan::{self, Operator},
    release::{cases::CasesOperator, edges::EdgesOperator, operator::StagesOperator},
};

/// A job: its kind and its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Specification {
    /// Generate raw exports.
    Synth(synth::Parameters),
    /// Read exports into the archive.
    Ingest(ingest::Parameters),
    /// Profile the declarations.
    Quality {},
    /// Study how long goods take to be released.
    ReleaseStudy(release::Parameters),
    /// Retrain a model.
    Retrain(Retrain),
    /// Apply a model.
    Apply(Apply),
    /// Compare strategies over the past.
    Backtest(Backtest),
    /// Do several jobs, one after the other.
    Pipeline {
        /// The jobs.
        jobs: Vec<Specification>,
    },
}

/// The models that can be retrained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "kebab-case")]
#[allow(clippy::large_enum_variant, reason = "a job has one of them")]
pub enum Retrain {
    /// Which goods items an inspection should look at.
    Fraud(fraud::retrain::Parameters),
    /// The HS codes that descriptions of goods speak for.
    Hs(hs::retrain::Parameters),
}

/// The models that can be applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "kebab-case")]
pub enum Apply {
    /// Which goods items an inspection should look at.
    Fraud(fraud::apply::Parameters),
    /// The HS codes that descriptions of goods speak for.
    Hs(hs::apply::Parameters),
}

/// The models whose strategies can be compared over the past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "kebab-case")]
pub enum Backtest {
    /// Which goods items an inspection should look at.
    Fraud(fraud::backtest::Parameters),
}

impl Specification {
    /// Reads the JSON that a specification is sent and kept as.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when it is not one.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::input(format!("the job's specification: {error}")))
    }

    /// The kind's name, as `--output json` and the ledger have it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Synth(_) => "synth",
            Self::Ingest(_) => "ingest",
            Self::Quality {} => "quality",
            Self::ReleaseStudy(_) => "release-study",
            Self::Retrain(_) => "retrain",
            Self::Apply(_) => "apply",
            Self::Backtest(_) => "backtest",
            Self::Pipeline { .. } => "pipeline",
        }
    }
}

/// Makes the paths of a specification absolute, so that it means the same wherever it runs.
///
/// # Errors
/// [`crate::ErrorKind::Input`] when there is no current folder.
pub fn absolute(specification: &mut Specification) -> Result<()> {
    let absolute = |path: &mut String| {
        let full = std::path::absolute(&*path).context(|| format!("find {path:?}"))?;
        *path = full.display().to_string();
        Ok(())
    };
    match specification {
        Specification::Synth(parameters) => absolute(&mut parameters.out),
        Specification::Ingest(parameters) => {
            absolute(&mut parameters.mapping)?;
            parameters.files.iter_mut().try_for_each(absolute)
        }
        Specification::Backtest(Backtest::Fraud(parameters)) => {
            parameters.truth.iter_mut().try_for_each(absolute)
        }
        Specification::ReleaseStudy(parameters) => parameters.stages.iter_mut().try_for_each(absolute),
        Specification::Pipeline { jobs } => jobs.iter_mut().try_for_each(self::absolute),
        Specification::Retrain(Retrain::Hs(parameters)) => {
            // An encoder that is no folder here is one of the archive.
            let encoder = parameters.encoder.iter_mut().map(|encoder| &mut encoder.path);
            let encoder = encoder.filter(|path| std::path::Path::new(path.as_str()).is_dir());
            let tables = parameters.nomenclature.iter_mut().chain(&mut parameters.correlation);
            tables.chain(encoder).try_for_each(absolute)
        }
        Specification::Quality {} | Specification::Retrain(_) | Specification::Apply(_) => Ok(()),
    }
}

/// Does a job. What it did is in its outcome; what nobody needs once it is over is deleted, however it ended.
///
/// # Errors
/// The job's own.
pub async fn run(job: &mut Job<'_>, specification: &Specification) -> Result<()> {
    let result = work(job, specification).await;
    let cleared = job.archive.delete_folder(job.work_folder()).await;
    result.and(cleared)
}

async fn work(job: &mut Job<'_>, specification: &Specification) -> Result<()> {
    match specification {
        Specification::Synth(parameters) => synth::generate(job, parameters).await,
        Specification::Ingest(parameters) => ingest::ingest_exports(job, parameters).await,
        Specification::Quality {} => quality::check_declarations(job).await,
        Specification::ReleaseStudy(parameters) => release::study_releases(job, parameters).await,
        Specification::Retrain(Retrain::Fraud(parameters)) => fraud::retrain::retrain(job, parameters).await,
        Specification::Apply(Apply::Fraud(parameters)) => fraud::apply::apply(job, parameters).await,
        Specification::Retrain(Retrain::Hs(parameters)) => hs::retrain::retrain(job, parameters).await,
        Specification::Apply(Apply::Hs(parameters)) => hs::apply::apply(job, parameters).await,
        Specification::Backtest(Backtest::Fraud(parameters)) => {
            fraud::backtest::backtest(job, parameters).await
        }
        Specification::Pipeline { jobs } => pipeline(job, jobs).await,
    }
}

/// Does jobs one after the other, up to the first that fails.
async fn pipeline(job: &mut Job<'_>, jobs: &[Specification]) -> Result<()> {
    for (number, specification) in jobs.iter().enumerate() {
        let mut part = job.part(specification.kind(), number + 1);
        let result = Box::pin(run(&mut part, specification)).await;
        let outcome = part.finish(&result);
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

/// A pipeline's file: TOML with one `[[job]]` table per job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PipelineFile {
    archive: Option<String>,
    #[serde(rename = "job")]
    jobs: Vec<toml::Table>,
}

/// Reads a pipeline: the archive that it names, if any, and its jobs.
///
/// # Errors
/// [`crate::ErrorKind::Input`], naming the job that is wrong.
pub fn read_pipeline(path: &std::path::Path) -> Result<(Option<String>, Specification)> {
    let text = std::fs::read_to_string(path).context(|| format!("read the pipeline {}", path.display()))?;
    let wrong = |error: &dyn std::fmt::Display| Error::input(format!("{}: {error}", path.display()));
    let file: PipelineFile = toml::from_str(&text).map_err(|error| wrong(&error))?;
    let mut jobs = Vec::new();
    for (number, table) in file.jobs.into_iter().enumerate() {
        let job = table.try_into::<Specification>();
        jobs.push(job.map_err(|error| wrong(&format!("job {}: {error}", number + 1)))?);
    }
    if jobs.is_empty() {
        return Err(wrong(&"there is no [[job]]"));
    }
    Ok((file.archive, Specification::Pipeline { jobs }))
}

/// Makes a plan node of its message.
///
/// # Errors
/// [`crate::ErrorKind::Corrupt`] when the message is not one of this version.
pub fn operator(message: v1::PlanOperator) -> Result<Arc<dyn Operator>> {
    use v1::plan_operator::Operator as Message;
    Ok(match message.operator.ok_or_else(plan::unknown)? {
        Message::Ingest(message) => Arc::new(IngestOperator::new(message)?),
        Message::Features(message) => Arc::new(FeaturesOperator::new(message)?),
        Message::Fit(message) => {
            let loader = loader(&message)?;
            Arc::new(FitOperator::new(message, loader))
        }
        Message::Score(message) => Arc::new(ScoreOperator::new(message)?),
        Message::Write(message) => Arc::new(WriteOperator::new(message)?),
        Message::HsTexts(message) => Arc::new(TextsOperator::new(message)?),
        Message::HsRecommend(message) => Arc::new(RecommendOperator::new(message)?),
        Message::Backtest(message) => Arc::new(BacktestOperator::new(message)?),
        Message::History(message) => Arc::new(HistoryOperator::new(message)?),
        Message::Stages(message) => Arc::new(StagesOperator::new(message)?),
        Message::Cases(message) => Arc::new(CasesOperator::new(message)?),
        Message::Edges(message) => Arc::new(EdgesOperator::new(message)?),
    })
}

/// Loads the shards of a fit, by its learner.
fn loader(fit: &v1::FitOperator) -> Result<Arc<dyn ShardLoader>> {
    let archive = Archive::open(&fit.archive)?;
    let task = fit.task.clone().ok_or_else(plan::unknown)?;
    let make: MakeShard = match task.learner.as_str() {
        gbdt::LEARNER => gbdt::shard_of,
        logistic::LEARNER => logistic::shard_of,
        date::LEARNER => {
            let layout = serde_json::from_str(&task.parameters).context(|| "read a fit's layout")?;
            return Ok(Arc::new(date::ParquetShards::new(archive, task.shards, layout)));
        }
        hs::learner::LEARNER => {
            let layout = serde_json::from_str(&task.parameters).context(|| "read a fit's layout")?;
            return Ok(Arc::new(TextShards::new(archive, task.shards, layout)));
        }
        hs::encoder::LEARNER => {
            let layout = serde_json::from_str(&task.parameters).context(|| "read a fit's layout")?;
            return Ok(Arc::new(EncodedShards::new(archive, task.shards, layout)));
        }
        _ => return Err(plan::unknown()),
    };
    let layout = serde_json::from_str(&task.parameters).context(|| "read a fit's layout")?;
    Ok(Arc::new(ParquetShards::new(archive, task.shards, layout, make)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_national_example_is_read_and_survives_the_wire() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/national.toml");
        let (archive, pipeline) = read_pipeline(std::path::Path::new(path)).expect("reads");
        assert_eq!(archive.as_deref(), Some("national/archive"));
        let Specification::Pipeline { jobs } = &pipeline else { panic!("not a pipeline: {pipeline:?}") };
        let kinds: Vec<_> = jobs.iter().map(Specification::kind).collect();
        assert_eq!(kinds, ["synth", "ingest", "quality", "retrain", "apply"]);
        let text = serde_json::to_string(&pipeline).expect("writes");
        assert_eq!(Specification::from_json(&text).expect("reads"), pipeline);
    }

    #[test]
    fn a_wrong_pipeline_is_named_with_its_job() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("p.toml");
        for (text, says) in [
            ("", "missing field `job`"),
            ("job = []", "there is no [[job]]"),
            ("[[job]]\nkind = \"quality\"\n[[job]]\nkind = \"qualify\"", "job 2: unknown variant `qualify`"),
            ("[[job]]\nkind = \"apply\"\nmodel = \"fraud\"\ncountry = \"TW\"\nmonths = \"x\"", "job 1"),
            (
                "[[job]]\nkind = \"apply\"\nmodel = \"fraud\"\ncountry = \"TW\"\nmonths = \"2020-01\"\nfoo = 1",
                "unknown field `foo`",
            ),
        ] {
            std::fs::write(&path, text).expect("written");
            let error = read_pipeline(&path).expect_err(text);
            assert_eq!(error.kind(), crate::ErrorKind::Input, "{text}");
            let told = error.chain();
            assert!(told.contains("p.toml") && told.contains(says), "{told}");
        }
    }

    #[test]
    fn paths_become_absolute_wherever_they_stand() {
        let ingest =
            ingest::Parameters { table: None, mapping: "m.toml".into(), files: vec!["a/*.csv".into()] };
        let mut pipeline = Specification::Pipeline { jobs: vec![Specification::Ingest(ingest)] };
        absolute(&mut pipeline).expect("there is a current folder");
        let Specification::Pipeline { jobs } = &pipeline else { panic!("not a pipeline") };
        let [Specification::Ingest(ingest)] = jobs.as_slice() else { panic!("not an ingest") };
        assert!(std::path::Path::new(&ingest.mapping).is_absolute());
        assert!(ingest.files[0].ends_with("a/*.csv") && std::path::Path::new(&ingest.files[0]).is_absolute());
    }
}
