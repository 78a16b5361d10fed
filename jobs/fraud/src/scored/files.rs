//! Queries over feature files that a model scores.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch},
    compute::{cast, concat_batches},
    datatypes::{DataType, Date32Type, Float32Type, Float64Type, SchemaRef},
};
use datafusion::prelude::{DataFrame, SessionContext, col};
use futures::StreamExt;
use tidewaiter_archive::{Archive, tasks};
use tidewaiter_core::{Error, Result, chance::mix, plan, query::Run as _, threads::on_cpu};
use tidewaiter_proto::v1;

use super::{
    order::{RankBy, by_rank, by_time},
    rows::{FeatureSample, ScoredRows, TopItems},
    selection::Selection,
};
use crate::{
    features::{FeatureFile, feature_columns, feature_schema, features, file_schema, keys::key_of},
    messages,
    metrics::RankedRow,
    model::{FraudModel, ScoreOperator},
};

/// Columns that people read beside an item's score.
const DECLARED: [&str; 4] = ["importer", "hs_code", "origin", "customs_value"];

/// The most rows that an evaluation holds in memory, about 50 bytes each.
const MOST_ROWS: u64 = 4_000_000;

/// Which declarations stand for all: those whose key is mixed to a number below one.
struct Sample {
    keep: u64,
}

impl Sample {
    fn of(rows: u64) -> Self {
        Self { keep: Self::share(rows, MOST_ROWS) }
    }

    fn share(rows: u64, most: u64) -> u64 {
        if rows <= most { u64::MAX } else { u64::MAX / rows * most }
    }

    fn has(&self, key: u64) -> bool {
        mix(key) <= self.keep
    }
}

/// The keys of the declarations of some rows.
fn declaration_keys(declarations: &ArrayRef) -> Result<Vec<u64>> {
    let texts = cast(declarations, &DataType::Utf8)?;
    Ok(texts.as_string::<i32>().iter().map(|text| key_of(text.unwrap_or_default().as_bytes())).collect())
}

/// Feature files and the model that scores them.
#[derive(Clone, Copy)]
pub(crate) struct ScoredFiles<'a> {
    pub(crate) session: &'a SessionContext,
    pub(crate) archive: &'a Archive,
    pub(crate) files: &'a [FeatureFile],
    /// Path of the model's bytes in the archive.
    pub(crate) model: &'a str,
}

impl ScoredFiles<'_> {
    /// The scored rows of the files. Rows whose score is at least the number given have reasons.
    pub(crate) fn query(&self, reasons_from: Option<(RankBy, f64)>) -> Result<DataFrame> {
        let from =
            |rank_by: RankBy| reasons_from.filter(|(given, _)| *given == rank_by).map(|(_, from)| from);
        let files = self.files.iter().filter(|file| file.rows > 0);
        let files = files.map(|file| v1::ParquetFile { path: file.path.clone(), size: file.size });
        let rows = tasks::scan(self.session, self.archive, files.collect(), file_schema(), false)?;
        let operator = ScoreOperator::new(messages::ScoreOperator {
            archive: self.archive.url().to_string(),
            model: self.model.to_owned(),
            reasons_from: from(RankBy::Probability),
            revenue_from: from(RankBy::Revenue),
        })?;
        plan::apply(rows, operator)
    }

    /// The rows in the order of time. Of more than [`MOST_ROWS`] those of a sample of the declarations, which depends on
    /// their identifiers alone, so that all models are evaluated on the same rows.
    pub(crate) async fn rows(&self) -> Result<ScoredRows> {
        let columns = [
            "acceptance_date",
            "declaration_id",
            "label",
            "additional_revenue",
            "probability",
            "expected_revenue",
            "random_inspection",
        ];
        let ordered = self.query(None)?.sort(by_time())?.select_columns(&columns)?;
        let sample = Sample::of(self.count());
        let mut rows = ScoredRows::default();
        let mut stream = ordered.batch_stream().await?;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            let [days, declarations, labels, revenue, probabilities, expected, random] = batch.columns()
            else {
                return Err(Error::internal("scored rows have other columns than were asked for"));
            };
            let keys = declaration_keys(declarations)?;
            let random = random.as_boolean();
            let days = days.as_primitive::<Date32Type>();
            let labels = labels.as_primitive::<Float32Type>();
            let [revenue, probabilities, expected] =
                [revenue, probabilities, expected].map(|column| column.as_primitive::<Float64Type>());
            let number = |column: &Float64Array, row: usize| {
                if column.is_valid(row) { column.value(row) } else { f64::NAN }
            };
            for (row, key) in keys.into_iter().enumerate().filter(|(_, key)| sample.has(*key)) {
                rows.days.push(days.value(row));
                rows.declarations.push(key);
                rows.labels.push(if labels.is_valid(row) { labels.value(row) } else { f32::NAN });
                rows.revenue.push(number(revenue, row));
                rows.probabilities.push(number(probabilities, row));
                rows.expected.push(number(expected, row));
                rows.random.push(random.is_valid(row).then(|| random.value(row)));
            }
        }
        Ok(rows)
    }

    /// Features and whether the outcome is known, of a sample of at most `most` rows (to within chance).
    pub(crate) async fn known_by_features(&self, most: u64) -> Result<FeatureSample> {
        let files = self.files.iter().filter(|file| file.rows > 0);
        let files = files.map(|file| v1::ParquetFile { path: file.path.clone(), size: file.size });
        let rows = tasks::scan(self.session, self.archive, files.collect(), file_schema(), false)?;
        // In any order: boosted trees do not depend on that of their rows.
        let mut stream = rows.batch_stream().await?;
        let sample = Sample { keep: Sample::share(self.count(), most) };
        let mut taken =
            FeatureSample { columns: vec![Vec::new(); features().len()], ..FeatureSample::default() };
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            let keys = declaration_keys(&column(&batch, "declaration_id")?)?;
            let kept: Vec<usize> = (0..keys.len()).filter(|row| sample.has(keys[*row])).collect();
            for (held, values) in taken.columns.iter_mut().zip(feature_columns(&batch)?) {
                held.extend(kept.iter().map(|row| values[*row]));
            }
            let labels = column(&batch, "label")?;
            taken.known.extend(kept.iter().map(|row| f32::from(u8::from(labels.is_valid(*row)))));
            taken.declarations.extend(kept.iter().map(|row| keys[*row]));
        }
        Ok(taken)
    }

    /// Goes once through the rows in the order of their ranking; see [`Selection`].
    pub(crate) async fn selection(&self, rank_by: RankBy, mut selection: Selection) -> Result<Selection> {
        let columns = ["acceptance_date", "label", "additional_revenue", "probability", "expected_revenue"];
        let ordered = self.query(None)?.sort(by_rank(rank_by))?.select_columns(&columns)?;
        let mut stream = ordered.batch_stream().await?;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            let [days, labels, revenue, probabilities, expected] = batch.columns() else {
                return Err(Error::internal("scored rows have other columns than were asked for"));
            };
            let days = days.as_primitive::<Date32Type>();
            let labels = labels.as_primitive::<Float32Type>();
            let [revenue, probabilities, expected] =
                [revenue, probabilities, expected].map(|column| column.as_primitive::<Float64Type>());
            let number = |column: &Float64Array, row: usize| column.is_valid(row).then(|| column.value(row));
            for row in 0..batch.num_rows() {
                let probability = probabilities.value(row);
                let expected = number(expected, row);
                let score = match rank_by {
                    RankBy::Probability => probability,
                    RankBy::Revenue => expected.unwrap_or_default(),
                };
                let label = if labels.is_valid(row) { labels.value(row) } else { f32::NAN };
                let revenue = number(revenue, row).unwrap_or(f64::NAN);
                selection.push(days.value(row), RankedRow { score, probability, label, revenue }, expected);
            }
        }
        Ok(selection)
    }

    /// The `count` items that rank first, and the model's attributions of their scores; `None` without any item.
    pub(crate) async fn top_items(
        &self,
        model: &Arc<FraudModel>,
        count: usize,
        rank_by: RankBy,
    ) -> Result<Option<TopItems>> {
        let top = self.query(None)?.sort(by_rank(rank_by))?.limit(0, Some(count))?;
        let batches = top.batches().await?;
        let Some(first) = batches.first() else { return Ok(None) };
        let top = concat_batches(&first.schema(), &batches)?;
        let (explained, model) = (top.clone(), Arc::clone(model));
        let attributions = on_cpu(move || model.attributions(&explained)).await?;
        let declared = DECLARED.map(|name| Ok((name, column(&top, name)?, true)));
        let declared = declared.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(Some(TopItems {
            features: as_schema(&top, &feature_schema())?,
            declared: RecordBatch::try_from_iter_with_nullable(declared)?,
            probabilities: column(&top, "probability")?.as_primitive::<Float64Type>().values().to_vec(),
            expected: column(&top, "expected_revenue")?.as_primitive::<Float64Type>().iter().collect(),
            attributions,
        }))
    }

    /// The score of the last of the `count` items that rank first.
    pub(crate) async fn threshold(&self, count: usize, rank_by: RankBy) -> Result<f64> {
        let top = self.query(None)?.select_columns(&[rank_by.column()])?;
        let top = top.sort(vec![col(rank_by.column()).sort(false, false)])?.limit(0, Some(count))?;
        let mut least = f64::INFINITY;
        for batch in top.batches().await? {
            let scores = batch.column(0).as_primitive::<Float64Type>().values();
            least = scores.iter().copied().fold(least, f64::min);
        }
        Ok(least)
    }

    /// How many rows there are.
    pub(crate) fn count(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
}

fn column(batch: &RecordBatch, name: &str) -> Result<ArrayRef> {
    let column = batch.column_by_name(name).cloned();
    column.ok_or_else(|| Error::internal(format!("scored rows have no column {name}")))
}

/// The columns of a schema, in its types: engines also give views of texts.
fn as_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns =
        schema.fields().iter().map(|field| Ok(cast(&column(batch, field.name())?, field.data_type())?));
    Ok(RecordBatch::try_new(SchemaRef::clone(schema), columns.collect::<Result<_>>()?)?)
}
