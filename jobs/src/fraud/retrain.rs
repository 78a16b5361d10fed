//! Retraining the fraud model: features of the past, boosted trees, and a verdict on the test months.
//!
//! The rows of the snapshot pass once, in time order; those with a known outcome become the training,
//! validation and test rows by their month. The fit stops by the validation months, and the test months
//! are looked at once, for the challenger and the champion alike. What it promises: the same snapshot,
//! parameters and seed give the same model, byte for byte, with any number of workers.

use std::{ops::RangeInclusive, sync::Arc};

use arrow::{
    array::{Array, AsArray},
    datatypes::{Date32Type, Float64Type},
};
use bytes::Bytes;
use chrono::{Datelike, Months};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::oneshot;

use super::{
    features::{self, FeatureBatch, FeatureBuilder, features},
    metrics::{self, Metrics},
};
use crate::{
    Error, ErrorKind, Result,
    archive::{provider::snapshot_provider, schema::DECLARATIONS, table::Table},
    job::{Job, Listener, Period},
    learning::{
        Progress, Shard,
        collective::{Hub, Observer, ShardLoader, lead, work},
        gbdt::{self, Dataset, GbdtLeader, GbdtShard, Model},
    },
    registry::{Facts, Publication, Registry, TrainingSnapshot, Which},
};

/// The model's name in the registry.
pub const MODEL: &str = "fraud";

/// Consecutive rows that go to one shard before the next shard's turn.
const ROWS_PER_TURN: usize = 4096;

/// What a retrain is told.
#[derive(Debug, Clone)]
pub struct Parameters {
    /// The reporting country whose rows are used, ISO 3166-1 alpha-2.
    pub country: String,
    /// Months that teach.
    pub train: Period,
    /// Months that stop the fit; absent: the last tenth of the training months.
    pub valid: Option<Period>,
    /// Months that judge.
    pub test: Period,
    /// How features are computed.
    pub features: features::Parameters,
    /// How the trees are grown.
    pub trees: gbdt::Parameters,
    /// Parts of the training data.
    pub shards: u32,
    /// Parts that are computed at once.
    pub workers: usize,
    /// When the job was asked for, milliseconds since 1970.
    pub created_ms: i64,
}

/// What a version's `model.json` keeps as its configuration: all that another run needs to repeat it.
#[derive(Debug, Serialize, Deserialize)]
struct Configuration {
    country: String,
    train: String,
    valid: String,
    test: String,
    shards: u32,
    features: features::Parameters,
    trees: gbdt::Parameters,
}

/// Retrains the fraud model and promotes it where it is better than the champion.
///
/// # Errors
/// [`ErrorKind::Input`] for periods that overlap, lack rows or have one class only.
pub async fn retrain(job: &mut Job<'_>, context: &SessionContext, parameters: &Parameters) -> Result<()> {
    let (train, valid) = training_periods(parameters)?;
    let table = Table::open(job.archive, DECLARATIONS).await?;
    let version = table.version().await?;

    let (archive, listener) = (job.archive, job.listener);
    let selected = Selection { train, valid, test: parameters.test };
    let rows = job.step("features", read(context, archive, version, parameters, selected, listener)).await?;
    job.outcome.rows.read = rows.read;

    let Rows { shards, test, .. } = rows;
    let model = job.step("fit", fit(shards, parameters, listener)).await?;
    let registry = Registry::new(job.archive);
    let judged = job.step("evaluate", evaluate(&registry, &model, &test)).await?;

    let configuration = Configuration {
        country: parameters.country.clone(),
        train: train.to_string(),
        valid: valid.to_string(),
        test: parameters.test.to_string(),
        shards: parameters.shards,
        features: parameters.features,
        trees: parameters.trees.clone(),
    };
    let publication = Publication {
        model: Bytes::from(model.to_bytes()),
        card: None,
        facts: Facts {
            job: job.outcome.job.clone(),
            config: serde_json::to_value(&configuration)?,
            features: features().iter().map(|feature| feature.name.clone()).collect(),
            snapshot: Some(TrainingSnapshot { table: DECLARATIONS.to_owned(), version }),
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
            metrics: json!({ "test": judged.challenger }),
            seed: parameters.trees.seed,
            created_ms: parameters.created_ms,
        },
    };
    let promoted = job.step("publish", publish(&registry, publication, &judged)).await?;
    job.outcome.model = Some(format!("{MODEL}@{}", promoted.version));
    job.outcome.metrics.insert("test".into(), serde_json::to_value(&judged.challenger)?);
    if let Some(champion) = &judged.champion {
        job.outcome.metrics.insert("champion".into(), serde_json::to_value(champion)?);
    }
    job.outcome.metrics.insert("promoted".into(), json!(promoted.promoted));
    Ok(())
}

/// The months that teach and those that stop the fit.
fn training_periods(parameters: &Parameters) -> Result<(Period, Period)> {
    let (train, test) = (parameters.train, parameters.test);
    let (train, valid) = match parameters.valid {
        Some(valid) => (train, valid),
        None => split_last_tenth(train)?,
    };
    if !(train.is_before(&valid) && valid.is_before(&test)) {
        return Err(Error::input(format!(
            "training {train}, validation {valid} and test {test} must follow each other in time"
        )));
    }
    if parameters.shards == 0 || parameters.workers == 0 {
        return Err(Error::input("a fit needs at least one shard and one worker"));
    }
    Ok((train, valid))
}

fn split_last_tenth(train: Period) -> Result<(Period, Period)> {
    let month = |date: chrono::NaiveDate| date.year() * 12 + date.month0() as i32;
    let months = (month(train.last()) - month(train.first()) + 1).unsigned_abs();
    let held = months.div_ceil(10);
    if held == months {
        return Err(Error::input(format!("the training period {train} is one month; give --valid months")));
    }
    let text = |date: chrono::NaiveDate| date.format("%Y-%m").to_string();
    let boundary = train.first() + Months::new(months - held);
    let before = boundary - Months::new(1);
    Ok((
        format!("{}..{}", text(train.first()), text(before)).parse()?,
        format!("{}..{}", text(boundary), text(train.last())).parse()?,
    ))
}

#[derive(Debug, Clone, Copy)]
struct Selection {
    train: Period,
    valid: Period,
    test: Period,
}

/// The labelled rows of a retrain, column by column.
struct Rows {
    read: u64,
    shards: Vec<Dataset>,
    test: TestRows,
}

/// Labelled rows of the test months.
#[derive(Default)]
struct TestRows {
    columns: Vec<Vec<f32>>,
    labels: Vec<f32>,
    revenue: Vec<f64>,
}

/// One part of the training data while it is read.
#[derive(Clone)]
struct Part {
    columns: Vec<Vec<f32>>,
    labels: Vec<f32>,
    is_validation: Vec<bool>,
}

async fn read(
    context: &SessionContext,
    archive: &crate::Archive,
    version: u64,
    parameters: &Parameters,
    selected: Selection,
    listener: &dyn Listener,
) -> Result<Rows> {
    let declarations = snapshot_provider(archive, DECLARATIONS, Some(version)).await?;
    let end = selected.test.last().format("%Y-%m-%d");
    let country = parameters.country.replace('\'', "''");
    let view = context.read_table(declarations)?.into_view();
    context.deregister_table("snapshot")?;
    context.register_table("snapshot", view)?;
    let query = format!(
        "SELECT * FROM snapshot WHERE country = '{country}' AND acceptance_date <= DATE '{end}' \
         ORDER BY acceptance_date, declaration_id, item_number"
    );
    let mut stream = context.sql(&query).await?.execute_stream().await?;

    let width = features().len();
    let (train, valid, test) = (selected.train.days(), selected.valid.days(), selected.test.days());
    let empty = Part { columns: vec![Vec::new(); width], labels: Vec::new(), is_validation: Vec::new() };
    let mut parts = vec![empty; parameters.shards as usize];
    let mut judged = TestRows { columns: vec![Vec::new(); width], ..TestRows::default() };
    let mut builder = FeatureBuilder::new(parameters.features)?;
    let (mut read, mut taught) = (0, 0);
    while let Some(batch) = stream.next().await {
        let computed = builder.push(&batch?)?;
        read += computed.rows() as u64;
        listener.progress("features", read, 0, "rows");
        let records = computed.records();
        let days = records.column(2).as_primitive::<Date32Type>().values();
        let revenue = records.column(4).as_primitive::<Float64Type>();
        let labels = computed.labels();
        let labelled =
            |days: &RangeInclusive<i32>, day: i32, row: usize| days.contains(&day) && labels.is_valid(row);
        let mut chosen = vec![Vec::new(); parts.len()];
        let mut held = Vec::new();
        for (row, day) in days.iter().enumerate() {
            if labelled(&train, *day, row) || labelled(&valid, *day, row) {
                let part = (taught / ROWS_PER_TURN) % parts.len();
                taught += 1;
                chosen[part].push(row);
                parts[part].is_validation.push(valid.contains(day));
            } else if labelled(&test, *day, row) {
                held.push(row);
                judged.revenue.push(if revenue.is_null(row) { f64::NAN } else { revenue.value(row) });
            }
        }
        for (part, rows) in parts.iter_mut().zip(&chosen) {
            gather(&computed, rows, &mut part.columns, &mut part.labels);
        }
        gather(&computed, &held, &mut judged.columns, &mut judged.labels);
    }
    for (what, period, validates) in
        [("training", selected.train, false), ("validation", selected.valid, true)]
    {
        let of_period = |part: &'_ Part| -> Vec<f32> {
            let rows = part.labels.iter().zip(&part.is_validation);
            rows.filter(|(_, is_validation)| **is_validation == validates).map(|(label, _)| *label).collect()
        };
        let labels: Vec<f32> = parts.iter().flat_map(of_period).collect();
        check_classes(what, &parameters.country, period, &labels)?;
    }
    check_classes("test", &parameters.country, selected.test, &judged.labels)?;
    let shards = parts.into_iter().map(|part| Dataset::new(part.columns, &part.labels, part.is_validation));
    Ok(Rows { read, shards: shards.collect::<Result<_>>()?, test: judged })
}

/// Appends the chosen rows of a batch, column by column.
fn gather(batch: &FeatureBatch, rows: &[usize], columns: &mut [Vec<f32>], labels: &mut Vec<f32>) {
    let outcomes = batch.labels().values();
    labels.extend(rows.iter().map(|row| outcomes[*row]));
    for (index, column) in columns.iter_mut().enumerate() {
        let values = batch.feature(index);
        column.extend(rows.iter().map(|row| values[*row]));
    }
}

fn check_classes<'a>(
    what: &str,
    country: &str,
    period: Period,
    labels: impl IntoIterator<Item = &'a f32>,
) -> Result<()> {
    let (mut rows, mut illicit) = (0u64, 0u64);
    for label in labels {
        rows += 1;
        illicit += u64::from(*label > 0.5);
    }
    if illicit == 0 || illicit == rows {
        return Err(Error::input(format!(
            "the {what} months {period} of {country} have {rows} rows with a known outcome, {illicit} of them \
             illicit; both outcomes are needed, choose other months"
        )));
    }
    Ok(())
}

/// Hands out shards that lie in memory.
struct InMemory(Arc<Vec<Dataset>>);

#[async_trait::async_trait]
impl ShardLoader for InMemory {
    async fn load(&self, shard: u32) -> Result<Box<dyn Shard>> {
        let data = self.0.get(shard as usize).cloned();
        let data = data.ok_or_else(|| Error::internal(format!("there is no shard {shard}")))?;
        Ok(Box::new(GbdtShard::new(shard, data)))
    }
}

struct Following<'a> {
    listener: &'a dyn Listener,
}

#[async_trait::async_trait]
impl Observer for Following<'_> {
    fn progress(&mut self, progress: Progress) {
        self.listener.progress("fit", progress.done, progress.total, "trees");
    }

    /// An embedded fit lives and ends with its process: there is nobody to take it up again.
    async fn checkpoint(&mut self, _: Bytes) -> Result<()> {
        Ok(())
    }
}

async fn fit(shards: Vec<Dataset>, parameters: &Parameters, listener: &dyn Listener) -> Result<Model> {
    let mut leader = GbdtLeader::new(parameters.trees.clone())?;
    let (hub, floor) = Hub::new();
    let data = Arc::new(shards);
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..parameters.workers.min(parameters.shards as usize) {
        let connection = hub.join(format!("worker-{worker}")).await?;
        let loader = InMemory(Arc::clone(&data));
        workers.spawn(async move { work(connection, &loader).await });
    }
    let (_running, cancelled) = oneshot::channel();
    lead(floor, &mut leader, parameters.shards, &mut Following { listener }, cancelled).await?;
    while let Some(ended) = workers.join_next().await {
        ended.map_err(|error| Error::internal("a worker of the fit stopped").with_source(error))??;
    }
    leader.model()
}

/// The verdict of the test months.
struct Judged {
    challenger: Metrics,
    champion: Option<Metrics>,
    champion_sequence: u64,
}

async fn evaluate(registry: &Registry, model: &Model, test: &TestRows) -> Result<Judged> {
    let challenger = judge(model, test)?;
    let Some(standing) = registry.champion(MODEL).await? else {
        return Ok(Judged { challenger, champion: None, champion_sequence: 0 });
    };
    let loaded = registry.load(MODEL, Which::Version(standing.version)).await?;
    let champion = judge(&Model::from_bytes(&loaded.model)?, test)?;
    Ok(Judged { challenger, champion: Some(champion), champion_sequence: standing.sequence })
}

fn judge(model: &Model, test: &TestRows) -> Result<Metrics> {
    let columns: Vec<&[f32]> = test.columns.iter().map(Vec::as_slice).collect();
    let scores = model.predict_probability(&columns)?;
    let knows_revenue = test.revenue.iter().any(|revenue| revenue.is_finite());
    let revenue: Vec<f64> = test.revenue.iter().map(|r| if r.is_finite() { *r } else { 0.0 }).collect();
    metrics::evaluate(&scores, &test.labels, knows_revenue.then_some(revenue.as_slice()))
}

struct Published {
    version: u64,
    promoted: bool,
}

/// Publishes the version; it becomes the champion where there is none, or one with less average precision.
async fn publish(registry: &Registry, publication: Publication, judged: &Judged) -> Result<Published> {
    let manifest = registry.publish(MODEL, publication).await?;
    let better = judged
        .champion
        .as_ref()
        .is_none_or(|champion| judged.challenger.average_precision > champion.average_precision);
    if !better {
        return Ok(Published { version: manifest.version, promoted: false });
    }
    match registry.promote(MODEL, manifest.version, judged.champion_sequence).await {
        Ok(_) => Ok(Published { version: manifest.version, promoted: true }),
        // Somebody else promoted meanwhile, against a champion that this version was not compared with.
        Err(error) if error.kind() == ErrorKind::Conflict => {
            Ok(Published { version: manifest.version, promoted: false })
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_validation_months_the_last_tenth_stops_the_fit() {
        let (train, valid) = split_last_tenth("2020-01..2021-12".parse().expect("a period")).expect("splits");
        assert_eq!(
            (train.to_string(), valid.to_string()),
            ("2020-01..2021-09".into(), "2021-10..2021-12".into())
        );
        assert!(split_last_tenth("2020-01".parse().expect("a period")).is_err());
    }

    #[test]
    fn a_period_with_one_class_is_named() {
        let period = "2020-01..2020-03".parse().expect("a period");
        let error = check_classes("test", "KR", period, &[0.0, 0.0]).expect_err("one class");
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.chain().contains("2020-01..2020-03 of KR have 2 rows"), "{error}");
    }
}
