//! The plan node that scores: the probability of fraud beside each row of features, and reasons.
//!
//! Reasons (see [`FraudModel::attributions`]) may cost far more than the score, so only rows of at least a given
//! probability, or expected revenue, are explained.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use prost::Message as _;
use tidewaiter_archive::Archive;
use tidewaiter_core::{
    Error, Result,
    plan::{Input, Operator},
    threads::on_cpu,
};
use tokio::sync::OnceCell;

use super::fraud_model::FraudModel;
use crate::{features::features, messages};

/// The plan node: its rows are the input's with `probability` (0 to 1), `expected_revenue` (national currency,
/// null where the model has no revenue head) and `reasons` (JSON, null where not explained) added.
#[derive(Debug)]
pub struct ScoreOperator {
    message: messages::ScoreOperator,
    archive: Archive,
    model: OnceCell<Arc<FraudModel>>,
}

impl ScoreOperator {
    /// Its name in plans.
    pub const NAME: &'static str = "ApplyExec";

    /// The operator of a message.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the message names no archive.
    pub fn new(message: messages::ScoreOperator) -> Result<Self> {
        let archive = Archive::open(&message.archive)?;
        Ok(Self { message, archive, model: OnceCell::new() })
    }
}

impl Operator for ScoreOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
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
                let scored = on_cpu(move || operator.score(&model, &batch)).await;
                meter.advance(rows);
                scored
            }
        })
        .boxed()
    }
}

impl ScoreOperator {
    async fn model(&self) -> Result<Arc<FraudModel>> {
        let model = self.model.get_or_try_init(|| FraudModel::load(&self.archive, &self.message.model)).await;
        model.cloned()
    }

    fn score(&self, model: &FraudModel, batch: &RecordBatch) -> Result<RecordBatch> {
        let scores = model.score(batch)?;
        let messages::ScoreOperator { reasons_from, revenue_from, .. } = &self.message;
        let explained = |row: &u32| {
            let row = *row as usize;
            let revenue = scores.expected.as_ref().map(|expected| expected[row]);
            reasons_from.is_some_and(|from| scores.probabilities[row] >= from)
                || revenue_from.zip(revenue).is_some_and(|(from, revenue)| revenue >= from)
        };
        let explained: Vec<u32> = (0..batch.num_rows() as u32).filter(explained).collect();
        let reasons = model.reasons(batch, &explained)?;
        let mut arrays = batch.columns().to_vec();
        arrays.extend(scores.columns());
        arrays.push(reasons);
        Ok(RecordBatch::try_new(self.schema(&batch.schema())?, arrays)?)
    }
}
