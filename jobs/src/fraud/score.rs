//! Scoring as a plan node: the probability of fraud beside each row of features, and reasons.
//!
//! Reasons are SHAP values (see [`crate::learning::gbdt`]); they cost far more than the score, so that only
//! rows from a given probability on are explained.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringBuilder, new_null_array},
    datatypes::{DataType, Field, Float32Type, Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use tidewaiter_proto::v1;
use tokio::sync::OnceCell;

use super::{
    features::features,
    report::reasons_text,
    revenue::{self, RevenueHead},
};
use crate::{
    Archive, Error, Result, ResultExt,
    learning::gbdt::Model,
    plan::{Input, Operator},
};

/// Reasons given for a row.
const REASONS: usize = 5;

/// The plan node: its rows are the input's with `probability` (0 to 1), `expected_revenue` (national currency,
/// null where the model has no revenue head) and `reasons` (JSON, null where not explained) added.
#[derive(Debug)]
pub struct ScoreOperator {
    message: v1::ScoreOperator,
    archive: Archive,
    model: OnceCell<Arc<(Model, Option<RevenueHead>)>>,
}

impl ScoreOperator {
    /// The operator of a message.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when the message names no archive.
    pub fn new(message: v1::ScoreOperator) -> Result<Self> {
        let archive = Archive::open(&message.archive)?;
        Ok(Self { message, archive, model: OnceCell::new() })
    }
}

impl Operator for ScoreOperator {
    fn name(&self) -> &'static str {
        "ApplyExec"
    }

    fn message(&self) -> v1::PlanOperator {
        v1::PlanOperator { operator: Some(v1::plan_operator::Operator::Score(self.message.clone())) }
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        if let Some(absent) = features().iter().find(|feature| input.index_of(&feature.name).is_err()) {
            return Err(Error::input(format!("scoring needs the feature {}", absent.name)));
        }
        let mut fields = input.fields().to_vec();
        fields.push(Arc::new(Field::new("probability", DataType::Float64, false)));
        fields.push(Arc::new(Field::new("expected_revenue", DataType::Float64, true)));
        fields.push(Arc::new(Field::new("reasons", DataType::Utf8, true)));
        Ok(Arc::new(Schema::new(fields)))
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        let Input { rows, meter, .. } = input;
        rows.then(move |batch| {
            let (operator, meter) = (Arc::clone(&self), Arc::clone(&meter));
            async move {
                let batch = batch?;
                let rows = batch.num_rows() as u64;
                let model = operator.model().await?;
                let scoring = tokio::task::spawn_blocking(move || operator.score(&model, &batch));
                let scored = scoring.await;
                meter.advance(rows);
                scored.map_err(|error| Error::internal("scoring stopped").with_source(error))?
            }
        })
        .boxed()
    }
}

impl ScoreOperator {
    async fn model(&self) -> Result<Arc<(Model, Option<RevenueHead>)>> {
        let load = async {
            let bytes = self.archive.get(&self.message.model).await?;
            Ok::<_, Error>(Arc::new((Model::from_bytes(&bytes)?, RevenueHead::of_model(&bytes)?)))
        };
        let model = self.model.get_or_try_init(|| load).await;
        model.cloned().context(|| format!("load the model {}", self.message.model))
    }

    fn score(
        &self,
        (model, head): &(Model, Option<RevenueHead>),
        batch: &RecordBatch,
    ) -> Result<RecordBatch> {
        let columns = feature_columns(batch)?;
        let probabilities = model.predict_probability(&columns)?;
        let expected: Option<Vec<f64>> = head.as_ref().map(|head| {
            let amounts = head.predict(&revenue::places().map(|place| columns[place]));
            amounts.iter().zip(&probabilities).map(|(amount, probability)| amount * probability).collect()
        });
        let v1::ScoreOperator { reasons_from, revenue_from, .. } = &self.message;
        let explained = |row: &usize| {
            let revenue = expected.as_ref().map(|expected| expected[*row]);
            reasons_from.is_some_and(|from| probabilities[*row] >= from)
                || revenue_from.zip(revenue).is_some_and(|(from, revenue)| revenue >= from)
        };
        let explained: Vec<usize> = (0..batch.num_rows()).filter(explained).collect();
        let reasons = match explained.is_empty() {
            true => new_null_array(&DataType::Utf8, batch.num_rows()),
            false => explain(model, &columns, batch.num_rows(), &explained)?,
        };
        let expected = match expected {
            Some(expected) => Arc::new(Float64Array::from(expected)) as ArrayRef,
            None => new_null_array(&DataType::Float64, batch.num_rows()),
        };
        let mut arrays = batch.columns().to_vec();
        arrays.extend([Arc::new(Float64Array::from(probabilities)) as ArrayRef, expected, reasons]);
        Ok(RecordBatch::try_new(self.schema(&batch.schema())?, arrays)?)
    }
}

/// The features of a batch, in the model's order.
///
/// # Errors
/// [`crate::ErrorKind::Input`] when one is absent or not of 32-bit floats.
pub fn feature_columns(batch: &RecordBatch) -> Result<Vec<&[f32]>> {
    let column = |name: &String| {
        let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Float32Type>());
        let column = column.ok_or_else(|| Error::input(format!("scoring needs the feature {name}")))?;
        Ok(column.values().as_ref())
    };
    features().iter().map(|feature| column(&feature.name)).collect()
}

/// The reasons of some of the rows, by rising place; null for the others.
fn explain(model: &Model, columns: &[&[f32]], rows: usize, explained: &[usize]) -> Result<ArrayRef> {
    let gathered: Vec<Vec<f32>> =
        columns.iter().map(|column| explained.iter().map(|row| column[*row]).collect()).collect();
    let gathered: Vec<&[f32]> = gathered.iter().map(Vec::as_slice).collect();
    let attributions = model.attributions(&gathered)?;
    let mut reasons = StringBuilder::new();
    let mut next = 0;
    for (at, row) in explained.iter().enumerate() {
        reasons.append_nulls(row - next);
        next = row + 1;
        let values: Vec<f32> = gathered.iter().map(|column| column[at]).collect();
        let width = columns.len();
        reasons.append_value(reasons_text(&attributions[at * width..(at + 1) * width], &values, REASONS));
    }
    reasons.append_nulls(rows - next);
    Ok(Arc::new(reasons.finish()))
}
