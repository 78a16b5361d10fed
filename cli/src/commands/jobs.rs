//! The jobs, run in this process: ingest, retrain.

use std::{num::NonZero, thread::available_parallelism, time::SystemTime};

use tidewaiter_executor::session;
use tidewaiter_jobs::{
    Archive, Error, Result,
    archive::{WriterSettings, ingest::Mapping},
    fraud::{features, retrain},
    job::{Job, Outcome, ingest::ingest_declarations, quality::check_declarations, synth::generate},
    learning::gbdt,
};
use ulid::Ulid;

use super::write;
use crate::{
    arguments::{Ingest, Output, RetrainFraud, Synth},
    progress::Bars,
};

pub(super) async fn ingest(archive: &Archive, command: Ingest, output: Output) -> Result<()> {
    let Ingest::Declarations { mapping, files } = command;
    let mapping = Mapping::open(&mapping)?;
    let bars = Bars::default();
    let mut job = Job::new(archive, "ingest", &new_id(), &bars);
    let result = ingest_declarations(&mut job, &mapping, &files, WriterSettings::default()).await;
    let outcome = job.finish(&result);
    drop(bars);
    report(output, &outcome, result, || {
        let rows = outcome.rows;
        vec![format!("{} rows in = {} archived + {} quarantined", rows.read, rows.archived, rows.quarantined)]
    })
}

pub(super) async fn quality(archive: &Archive, output: Output) -> Result<()> {
    let context = session::local()?;
    let bars = Bars::default();
    let mut job = Job::new(archive, "quality", &new_id(), &bars);
    let result = check_declarations(&mut job, &context).await;
    let outcome = job.finish(&result);
    drop(bars);
    report(output, &outcome, result, || {
        outcome.metrics.values().map(ToString::to_string).chain(outcome.reports.clone()).collect()
    })
}

pub(super) async fn synth(archive: &Archive, options: Synth, output: Output) -> Result<()> {
    let parameters = tidewaiter_jobs::synth::Parameters {
        country: options.country,
        first_month: (options.first_year, 1),
        months: options.years * 12,
        rows_per_year: options.rows_per_year,
        seed: options.seed,
        ..tidewaiter_jobs::synth::Parameters::default()
    };
    let bars = Bars::default();
    let mut job = Job::new(archive, "synth", &new_id(), &bars);
    let files = generate(&mut job, parameters, &options.out).await;
    let lines = files.as_ref().map(|files| {
        vec![format!("{} files in {}, with mapping.toml and the truth", files.len(), options.out.display())]
    });
    let lines = lines.unwrap_or_default();
    let result = files.map(|_| ());
    let outcome = job.finish(&result);
    drop(bars);
    report(output, &outcome, result, || lines)
}

pub(super) async fn retrain_fraud(archive: &Archive, options: RetrainFraud, output: Output) -> Result<()> {
    let parameters = retrain::Parameters {
        country: options.country,
        train: options.train,
        valid: options.valid,
        test: options.test,
        features: features::Parameters {
            label_delay_days: options.label_delay_days,
            ..features::Parameters::default()
        },
        trees: gbdt::Parameters {
            trees: options.trees,
            leaves: options.leaves,
            learning_rate: options.learning_rate,
            seed: options.seed,
            ..gbdt::Parameters::default()
        },
        shards: options.shards,
        workers: options.workers.unwrap_or_else(|| available_parallelism().map_or(1, NonZero::get)),
        created_ms: now_ms()?,
    };
    let context = session::local()?;
    let bars = Bars::default();
    let mut job = Job::new(archive, "retrain", &new_id(), &bars);
    let result = retrain::retrain(&mut job, &context, &parameters).await;
    let outcome = job.finish(&result);
    drop(bars);
    report(output, &outcome, result, || {
        let mut lines = vec![format!("model {}", outcome.model.as_deref().unwrap_or("none"))];
        for (part, figures) in &outcome.metrics {
            lines.push(format!("{part}: {figures}"));
        }
        lines
    })
}

/// Writes the outcome of a job that succeeded; one that failed is written only as JSON.
fn report(
    output: Output,
    outcome: &Outcome,
    result: Result<()>,
    text: impl FnOnce() -> Vec<String>,
) -> Result<()> {
    if result.is_ok() || output == Output::Json {
        write(output, &serde_json::to_value(outcome)?, text)?;
    }
    result
}

/// A job's id: the time it was asked for, then chance.
#[allow(clippy::disallowed_methods, reason = "the one place where jobs are named")]
fn new_id() -> String {
    Ulid::new().to_string()
}

#[allow(clippy::disallowed_methods, reason = "the one place where a job's time enters")]
fn now_ms() -> Result<i64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = since.map_err(|error| Error::internal(format!("the clock is before 1970: {error}")))?;
    i64::try_from(since.as_millis()).map_err(|_| Error::internal("the clock is beyond all dates"))
}
