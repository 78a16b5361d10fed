//! Queries over scored feature files: what a retrain is judged by, and what an apply selects.

use arrow::{
    array::{AsArray, RecordBatch},
    compute::{cast, concat_batches},
    datatypes::{Date32Type, Float32Type, Float64Type, SchemaRef},
};
use datafusion::{
    logical_expr::SortExpr,
    prelude::{DataFrame, SessionContext, col},
};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tidewaiter_proto::v1;

use super::{
    features::{FeatureFile, feature_schema, file_schema},
    model::FraudModel,
    report::{Scored, selection},
    score::ScoreOperator,
};
use crate::{
    Archive, Error, Result,
    plan::{self, tasks},
    report::selection::SelectedItem,
};

/// Columns that people read beside a selected item.
const DECLARED: [&str; 4] = ["importer", "hs_code", "origin", "customs_value"];

/// Feature files and the model that scores them.
#[derive(Clone, Copy)]
pub(super) struct Scoring<'a> {
    pub(super) session: &'a SessionContext,
    pub(super) archive: &'a Archive,
    pub(super) files: &'a [FeatureFile],
    /// Path of the model's bytes in the archive.
    pub(super) model: &'a str,
}

impl Scoring<'_> {
    /// The files' rows, scored; with the reasons of those that rank at least so high.
    pub(super) fn query(&self, explained: Option<(RankBy, f64)>) -> Result<DataFrame> {
        let from = |rank: RankBy| explained.filter(|(by, _)| *by == rank).map(|(_, from)| from);
        let files = self.files.iter().filter(|file| file.rows > 0);
        let files = files.map(|file| v1::ParquetFile { path: file.path.clone(), size: file.size });
        let rows = tasks::scan(self.session, self.archive, files.collect(), file_schema(), false)?;
        let operator = ScoreOperator::new(v1::ScoreOperator {
            archive: self.archive.url().to_string(),
            model: self.model.to_owned(),
            reasons_from: from(RankBy::Probability),
            revenue_from: from(RankBy::Revenue),
        })?;
        plan::above(rows, operator)
    }

    /// What judges a ranking, in the order of time.
    pub(super) async fn rows(&self) -> Result<Scored> {
        let columns = ["acceptance_date", "label", "additional_revenue", "probability", "expected_revenue"];
        let ordered = self.query(None)?.sort(by_time())?.select_columns(&columns)?;
        let mut scored = Scored::default();
        let mut stream = ordered.execute_stream().await?;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            let [days, labels, revenue, probabilities, expected] = batch.columns() else {
                return Err(Error::internal("scored rows have other columns than were asked for"));
            };
            scored.days.extend_from_slice(days.as_primitive::<Date32Type>().values());
            let labels = labels.as_primitive::<Float32Type>().iter();
            scored.labels.extend(labels.map(|label| label.unwrap_or(f32::NAN)));
            let revenue = revenue.as_primitive::<Float64Type>().iter();
            scored.revenue.extend(revenue.map(|revenue| revenue.unwrap_or(f64::NAN)));
            scored.probabilities.extend_from_slice(probabilities.as_primitive::<Float64Type>().values());
            let expected = expected.as_primitive::<Float64Type>().iter();
            scored.expected.extend(expected.map(|expected| expected.unwrap_or(f64::NAN)));
        }
        Ok(scored)
    }

    /// The riskiest items, with the reasons that raise their scores.
    pub(super) async fn riskiest(
        &self,
        model: &FraudModel,
        items: usize,
        rank: RankBy,
    ) -> Result<Vec<SelectedItem>> {
        let top = self.query(None)?.sort(by_risk(rank))?.limit(0, Some(items))?;
        let batches = top.collect().await?;
        let Some(first) = batches.first() else { return Ok(Vec::new()) };
        let top = concat_batches(&first.schema(), &batches)?;
        let records = as_schema(&top, &feature_schema())?;
        let probabilities = column(&top, "probability")?;
        let probabilities = probabilities.as_primitive::<Float64Type>().values();
        let attributions = model.attributions(&top)?;
        let declared = DECLARED.map(|name| Ok((name, column(&top, name)?)));
        let declared = RecordBatch::try_from_iter_with_nullable(
            declared
                .into_iter()
                .collect::<Result<Vec<_>>>()?
                .into_iter()
                .map(|(name, column)| (name, column, true)),
        )?;
        let mut items = selection(&records, &declared, probabilities, &attributions)?;
        let expected = column(&top, "expected_revenue")?;
        for (item, expected) in items.iter_mut().zip(expected.as_primitive::<Float64Type>()) {
            item.expected_revenue = expected;
        }
        Ok(items)
    }

    /// The least probability, or expected revenue, among so many of the rows that rank first by it.
    pub(super) async fn least_of_riskiest(&self, rows: usize, rank: RankBy) -> Result<f64> {
        let top = self.query(None)?.select_columns(&[rank.column()])?;
        let top = top.sort(vec![col(rank.column()).sort(false, false)])?.limit(0, Some(rows))?;
        let mut least = f64::INFINITY;
        for batch in top.collect().await? {
            let probabilities = batch.column(0).as_primitive::<Float64Type>().values();
            least = probabilities.iter().copied().fold(least, f64::min);
        }
        Ok(least)
    }

    /// How many rows there are.
    pub(super) fn count(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
}

/// What items are ranked by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RankBy {
    /// The probability of fraud.
    #[default]
    Probability,
    /// The revenue that an inspection is expected to raise.
    Revenue,
}

impl RankBy {
    /// Its column.
    fn column(self) -> &'static str {
        match self {
            Self::Probability => "probability",
            Self::Revenue => "expected_revenue",
        }
    }
}

/// The riskiest first; equals by time and name.
pub(super) fn by_risk(rank: RankBy) -> Vec<SortExpr> {
    let mut order = vec![col(rank.column()).sort(false, false)];
    order.extend(by_time());
    order
}

pub(super) fn by_time() -> Vec<SortExpr> {
    let columns = ["acceptance_date", "declaration_id", "item_number", "hs_code", "customs_value"];
    columns.map(|column| col(column).sort(true, false)).into()
}

fn column(batch: &RecordBatch, name: &str) -> Result<arrow::array::ArrayRef> {
    let column = batch.column_by_name(name).cloned();
    column.ok_or_else(|| Error::internal(format!("scored rows have no column {name}")))
}

/// The columns of a schema, in its types: engines also hand out views of texts.
fn as_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns =
        schema.fields().iter().map(|field| Ok(cast(&column(batch, field.name())?, field.data_type())?));
    Ok(RecordBatch::try_new(SchemaRef::clone(schema), columns.collect::<Result<_>>()?)?)
}
