//! Queries over feature files that a model scores.

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch},
    compute::{cast, concat_batches},
    datatypes::{Date32Type, Float32Type, Float64Type, SchemaRef},
};
use datafusion::prelude::{DataFrame, SessionContext, col};
use futures::StreamExt;
use tidewaiter_archive::{Archive, tasks};
use tidewaiter_core::{Error, Result, plan};
use tidewaiter_proto::v1;

use super::{
    order::{RankBy, by_rank, by_time},
    rows::{ScoredRows, TopItems},
};
use crate::{
    features::{FeatureFile, feature_schema, file_schema},
    messages,
    model::{FraudModel, ScoreOperator},
};

/// Columns that people read beside an item's score.
const DECLARED: [&str; 4] = ["importer", "hs_code", "origin", "customs_value"];

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
        plan::above(rows, operator)
    }

    /// All rows in the order of time.
    pub(crate) async fn rows(&self) -> Result<ScoredRows> {
        let columns = ["acceptance_date", "label", "additional_revenue", "probability", "expected_revenue"];
        let ordered = self.query(None)?.sort(by_time())?.select_columns(&columns)?;
        let mut rows = ScoredRows::default();
        let mut stream = ordered.execute_stream().await?;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            let [days, labels, revenue, probabilities, expected] = batch.columns() else {
                return Err(Error::internal("scored rows have other columns than were asked for"));
            };
            rows.days.extend_from_slice(days.as_primitive::<Date32Type>().values());
            let labels = labels.as_primitive::<Float32Type>().iter();
            rows.labels.extend(labels.map(|label| label.unwrap_or(f32::NAN)));
            let revenue = revenue.as_primitive::<Float64Type>().iter();
            rows.revenue.extend(revenue.map(|revenue| revenue.unwrap_or(f64::NAN)));
            rows.probabilities.extend_from_slice(probabilities.as_primitive::<Float64Type>().values());
            let expected = expected.as_primitive::<Float64Type>().iter();
            rows.expected.extend(expected.map(|expected| expected.unwrap_or(f64::NAN)));
        }
        Ok(rows)
    }

    /// The `count` items that rank first, and the model's attributions of their scores; `None` without any item.
    pub(crate) async fn top_items(
        &self,
        model: &FraudModel,
        count: usize,
        rank_by: RankBy,
    ) -> Result<Option<TopItems>> {
        let top = self.query(None)?.sort(by_rank(rank_by))?.limit(0, Some(count))?;
        let batches = top.collect().await?;
        let Some(first) = batches.first() else { return Ok(None) };
        let top = concat_batches(&first.schema(), &batches)?;
        let declared = DECLARED.map(|name| Ok((name, column(&top, name)?, true)));
        let declared = declared.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(Some(TopItems {
            features: as_schema(&top, &feature_schema())?,
            declared: RecordBatch::try_from_iter_with_nullable(declared)?,
            probabilities: column(&top, "probability")?.as_primitive::<Float64Type>().values().to_vec(),
            expected: column(&top, "expected_revenue")?.as_primitive::<Float64Type>().iter().collect(),
            attributions: model.attributions(&top)?,
        }))
    }

    /// The score of the last of the `count` items that rank first.
    pub(crate) async fn threshold(&self, count: usize, rank_by: RankBy) -> Result<f64> {
        let top = self.query(None)?.select_columns(&[rank_by.column()])?;
        let top = top.sort(vec![col(rank_by.column()).sort(false, false)])?.limit(0, Some(count))?;
        let mut least = f64::INFINITY;
        for batch in top.collect().await? {
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
