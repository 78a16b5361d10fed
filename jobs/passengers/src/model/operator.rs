//! The plan node that scores rows of features.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array},
    compute::take_record_batch,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use prost::Message;
use tidewaiter_archive::Archive;
use tidewaiter_core::{
    Error, Result,
    plan::{Input, Operator},
    threads::on_cpu,
};
use tokio::sync::OnceCell;

use super::RiskModel;
use crate::{features::catalogue::FEATURES, profiles::rules::Rules};

/// The message of the operator.
#[derive(Clone, PartialEq, Message)]
pub struct ScoreMessage {
    /// URL of the archive.
    #[prost(string, tag = "1")]
    pub archive: String,
    /// Path of the model's bytes.
    #[prost(string, tag = "2")]
    pub model: String,
    /// Rows of at least this probability get reasons; absent: none.
    #[prost(double, optional, tag = "3")]
    pub reasons_from: Option<f64>,
    /// Rules, as JSON; empty: none.
    #[prost(string, tag = "4")]
    pub rules: String,
}

/// Adds `probability` (0 to 1), `reasons` (JSON, null where not explained) and `rules` (the names of those that hold, with
/// `; ` between; null where none does) to rows of features.
#[derive(Debug)]
pub struct PassengerScoreOperator {
    message: ScoreMessage,
    archive: Archive,
    rules: Rules,
    model: OnceCell<Arc<RiskModel>>,
}

impl PassengerScoreOperator {
    /// Its name in plans.
    pub const NAME: &'static str = "PassengerScoreExec";

    /// The operator of a message.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the message names no archive;
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when its rules are none.
    pub fn new(message: ScoreMessage) -> Result<Self> {
        let archive = Archive::open(&message.archive)?;
        let rules = match message.rules.is_empty() {
            true => Rules::default(),
            false => serde_json::from_str(&message.rules)?,
        };
        Ok(Self { message, archive, rules, model: OnceCell::new() })
    }

    async fn model(&self) -> Result<Arc<RiskModel>> {
        self.model.get_or_try_init(|| RiskModel::load(&self.archive, &self.message.model)).await.cloned()
    }

    fn score(&self, model: &RiskModel, batch: &RecordBatch) -> Result<RecordBatch> {
        let probabilities = model.score(batch)?;
        let mut reasons: Vec<Option<String>> = vec![None; batch.num_rows()];
        if let Some(from) = self.message.reasons_from {
            let rows = (0_u32..).zip(&probabilities).filter(|(_, probability)| **probability >= from);
            let rows: Vec<u32> = rows.map(|(row, _)| row).collect();
            let explained = take_record_batch(batch, &UInt32Array::from(rows.clone()))?;
            for (row, own) in rows.into_iter().zip(model.reasons(&explained)?) {
                reasons[row as usize] = Some(serde_json::to_string(&own)?);
            }
        }
        let mut named = vec![String::new(); batch.num_rows()];
        for rule in &self.rules.rules {
            for (names, holds) in named.iter_mut().zip(rule.holds(batch)?) {
                if holds {
                    names.push_str(if names.is_empty() { "" } else { "; " });
                    names.push_str(&rule.name);
                }
            }
        }
        let named = named.iter().map(|names| Some(names.as_str()).filter(|names| !names.is_empty()));
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(Float64Array::from(probabilities)) as ArrayRef);
        columns.push(Arc::new(StringArray::from(reasons)));
        columns.push(Arc::new(named.collect::<StringArray>()));
        Ok(RecordBatch::try_new(self.schema(&batch.schema())?, columns)?)
    }
}

impl Operator for PassengerScoreOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        if let Some(absent) = FEATURES.iter().find(|feature| input.index_of(feature.name).is_err()) {
            return Err(Error::input(format!("scoring needs the feature {}", absent.name)));
        }
        let mut fields = input.fields().to_vec();
        fields.push(Arc::new(Field::new("probability", DataType::Float64, false)));
        fields.push(Arc::new(Field::new("reasons", DataType::Utf8, true)));
        fields.push(Arc::new(Field::new("rules", DataType::Utf8, true)));
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
