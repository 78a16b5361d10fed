//! Queries over files of features that a model scores.

use std::ops::RangeInclusive;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Date32Type, Float32Type, Float64Type},
};
use datafusion::{
    common::ScalarValue,
    prelude::{DataFrame, Expr, SessionContext, col, lit},
};
use futures::StreamExt;
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, Result, answers, plan, query::Run as _};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    features::rows::schema,
    metrics::ScoredTrip,
    model::operator::{PassengerScoreOperator, ScoreMessage},
    own_files::OwnFiles,
    profiles::rules::Rules,
    table::FLIGHT_DATE,
};

/// A day as a literal of a query.
pub(crate) fn day(day: i32) -> Expr {
    lit(ScalarValue::Date32(Some(day)))
}

/// Files of features and the model that scores them.
#[derive(Clone)]
pub(crate) struct Scored<'a> {
    pub(crate) session: &'a SessionContext,
    pub(crate) archive: &'a Archive,
    pub(crate) files: &'a OwnFiles,
    /// Path of the model's bytes.
    pub(crate) model: &'a str,
    /// Whether the model reads neighbours, which the files then have.
    pub(crate) neighbours: bool,
    /// Days of the trips that are scored.
    pub(crate) days: RangeInclusive<i32>,
    /// Rules that are looked at.
    pub(crate) rules: Option<&'a Rules>,
}

impl Scored<'_> {
    /// The scored rows; those of at least a probability have reasons.
    pub(crate) fn rows(&self, reasons_from: Option<f64>) -> Result<DataFrame> {
        let rows = self.files.scan(self.session, self.archive, schema(self.neighbours))?;
        let rows = rows.filter(col(FLIGHT_DATE).between(day(*self.days.start()), day(*self.days.end())))?;
        let operator = PassengerScoreOperator::new(ScoreMessage {
            archive: self.archive.url().to_string(),
            model: self.model.to_owned(),
            reasons_from,
            rules: self.rules.map_or(Ok(String::new()), serde_json::to_string)?,
        })?;
        plan::apply(rows, operator)
    }

    /// All trips in the order of time.
    pub(crate) async fn trips(&self) -> Result<Vec<ScoredTrip>> {
        let order = vec![col(FLIGHT_DATE).sort(true, false), col("trip_id").sort(true, false)];
        let columns = [
            FLIGHT_DATE,
            "trip_id",
            "person_id",
            "from_airport",
            "to_airport",
            "label",
            "selected_by",
            "probability",
        ];
        let rows = self.rows(None)?.select_columns(&columns)?.sort(order)?;
        let mut rows = rows.batch_stream().await?;
        let mut trips = Vec::new();
        while let Some(batch) = rows.next().await {
            trips.extend(scored_trips(&batch.map_err(Error::from)?)?);
        }
        Ok(trips)
    }

    /// The score of the last of the `count` trips with the highest scores.
    pub(crate) async fn threshold(&self, count: usize) -> Result<f64> {
        let scores = self.rows(None)?.select_columns(&["probability"])?;
        let scores = scores.sort(vec![col("probability").sort(false, false)])?.limit(0, Some(count))?;
        let mut least = f64::INFINITY;
        for batch in scores.batches().await? {
            let scores = batch.column(0).as_primitive::<Float64Type>().values();
            least = scores.iter().copied().fold(least, f64::min);
        }
        Ok(least)
    }

    /// The trips with the highest scores, with reasons.
    pub(crate) async fn top(&self, count: usize) -> Result<RecordBatch> {
        let from = self.threshold(count).await?;
        let order = vec![col("probability").sort(false, false), col("trip_id").sort(true, false)];
        let top = self.rows(Some(from))?.filter(col("probability").gt_eq(lit(from)))?;
        answers::one_batch(top.sort(order)?.limit(0, Some(count))?).await
    }
}

/// The trips of a batch of scored rows.
fn scored_trips(batch: &RecordBatch) -> Result<Vec<ScoredTrip>> {
    let text = |name: &str| Ok::<_, Error>(cast(answers::column(batch, name)?, &DataType::Utf8)?);
    let (persons, from, to) = (text("person_id")?, text("from_airport")?, text("to_airport")?);
    let chosen = text("selected_by")?;
    let (persons, from, to) = (persons.as_string::<i32>(), from.as_string::<i32>(), to.as_string::<i32>());
    let chosen = chosen.as_string::<i32>();
    let days = answers::column(batch, FLIGHT_DATE)?.as_primitive::<Date32Type>();
    let labels = answers::column(batch, "label")?.as_primitive::<Float32Type>();
    let scores = answers::column(batch, "probability")?.as_primitive::<Float64Type>();
    let or_empty = |texts: &arrow::array::StringArray, row: usize| {
        if texts.is_valid(row) { texts.value(row).to_owned() } else { String::new() }
    };
    let trip = |row: usize| ScoredTrip {
        day: days.value(row),
        person: xxh3_64(or_empty(persons, row).as_bytes()),
        route: format!("{}-{}", or_empty(from, row), or_empty(to, row)),
        found: labels.is_valid(row).then(|| labels.value(row) > 0.5),
        is_random: or_empty(chosen, row) == "random",
        probability: scores.value(row),
    };
    Ok(answers::rows(batch).map(trip).collect())
}
