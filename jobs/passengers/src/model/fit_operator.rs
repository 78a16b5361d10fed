//! The plan node that fits a graph network: inspected trips in, the model's bytes in the archive and a report out.
//!
//! It is one task, on an executor where there is one, and holds [`MOST_TRIPS`] trips at most: inspections are few beside
//! travellers, and the network is small, so that rounds of a collective would cost more than they share. Of more trips those
//! with the smallest hash of their identity are taken. Start at [`GraphFitOperator`].

use std::sync::Arc;

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{DataType, Date32Type, Float32Type, Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use prost::Message;
use serde::{Deserialize, Serialize};
use tidewaiter_archive::Archive;
use tidewaiter_core::{
    Error, Result, ResultExt, answers,
    plan::{self, Input, Operator},
    threads::on_cpu,
};
use xxhash_rust::xxh3::xxh3_64;

use super::graph::{GraphModel, Trips};
use crate::{features::rows, sage::Settings, table::FLIGHT_DATE};

/// Trips that are learned from, validation included, about: some 130 MB.
const MOST_TRIPS: u64 = 200_000;

/// The order in which trips are read.
const ORDER: [&str; 2] = [FLIGHT_DATE, "trip_id"];

/// The message of the operator.
#[derive(Clone, PartialEq, Message)]
pub struct GraphFitMessage {
    /// URL of the archive.
    #[prost(string, tag = "1")]
    pub archive: String,
    /// Path of the model's bytes.
    #[prost(string, tag = "2")]
    pub model: String,
    /// Settings of the fit, as JSON.
    #[prost(string, tag = "3")]
    pub settings: String,
    /// First day of the validation trips, since 1970-01-01.
    #[prost(sint32, tag = "4")]
    pub valid_first: i32,
    /// Their last day.
    #[prost(sint32, tag = "5")]
    pub valid_last: i32,
    /// Trips of the input.
    #[prost(uint64, tag = "6")]
    pub trips: u64,
}

/// What was fitted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GraphFit {
    /// Training and validation trips that were read.
    pub(crate) trips: [u64; 2],
    /// The mean log loss of a validation trip; none without any.
    pub(crate) validation_loss: Option<f64>,
}

/// Fits a graph network on inspected trips.
#[derive(Debug)]
pub struct GraphFitOperator {
    message: GraphFitMessage,
    archive: Archive,
    settings: Settings,
}

impl GraphFitOperator {
    /// Its name in plans.
    pub const NAME: &'static str = "PassengerGraphFitExec";

    /// The operator of a message.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the message names no archive;
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when its settings are none.
    pub fn new(message: GraphFitMessage) -> Result<Self> {
        let archive = Archive::open(&message.archive)?;
        let settings = serde_json::from_str(&message.settings).context(|| "read a fit's settings")?;
        Ok(Self { message, archive, settings })
    }

    async fn fit(&self, mut input: Input) -> Result<GraphFit> {
        let valid = self.message.valid_first..=self.message.valid_last;
        let share = MOST_TRIPS as f64 / self.message.trips.max(1) as f64;
        let mut parts = [Trips::default(), Trips::default()];
        while let Some(batch) = input.rows.next().await {
            let batch = batch?;
            let (rows, valid) = (batch.num_rows() as u64, valid.clone());
            parts = on_cpu(move || {
                let chosen = chosen(&batch, share)?;
                let days = answers::column(&batch, FLIGHT_DATE)?.as_primitive::<Date32Type>();
                let labels = answers::column(&batch, "label")?.as_primitive::<Float32Type>();
                for (place, part) in parts.iter_mut().enumerate() {
                    let is_valid = |row: &usize| valid.contains(&days.value(*row)) == (place == 1);
                    let own: Vec<usize> = chosen.iter().copied().filter(is_valid).collect();
                    let of_rows: Vec<f32> = own.iter().map(|row| labels.value(*row)).collect();
                    part.push(&batch, &own, &of_rows)?;
                }
                Ok(parts)
            })
            .await?;
            input.meter.advance(rows);
        }
        let trips = [0, 1].map(|place| parts[place].count() as u64);
        let settings = self.settings;
        let (bytes, validation_loss) = on_cpu(move || {
            let [train, valid] = parts;
            let (model, loss) = GraphModel::fit(train, valid, settings)?;
            Ok((model.to_bytes(), loss))
        })
        .await?;
        self.archive.put(&self.message.model, bytes).await?;
        Ok(GraphFit { trips, validation_loss })
    }
}

/// The rows of a batch whose trips are learned from: about this share of them.
fn chosen(batch: &RecordBatch, share: f64) -> Result<Vec<usize>> {
    if share >= 1.0 {
        return Ok(answers::rows(batch).collect());
    }
    let trips = arrow::compute::cast(answers::column(batch, "trip_id")?, &DataType::Utf8)?;
    let trips = trips.as_string::<i32>();
    let largest = (share * u64::MAX as f64) as u64;
    Ok(answers::rows(batch).filter(|row| xxh3_64(trips.value(*row).as_bytes()) <= largest).collect())
}

impl Operator for GraphFitOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        match ORDER.iter().chain(&["label", rows::NEIGHBOURS]).find(|name| input.index_of(name).is_err()) {
            None => Ok(plan::report_schema()),
            Some(name) => Err(Error::input(format!("a graph network needs the column {name}"))),
        }
    }

    fn sort_columns(&self) -> &[&'static str] {
        &ORDER
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        futures::stream::once(async move { plan::report(&self.fit(input).await?) }).boxed()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, StringArray};

    use super::*;

    #[test]
    fn of_many_trips_a_share_is_learned_from_whatever_their_batches() {
        let names: Vec<String> = (0..2000).map(|number| format!("trip {number}")).collect();
        let batch = |names: &[String]| {
            let column: ArrayRef = Arc::new(StringArray::from(names.to_vec()));
            RecordBatch::try_from_iter([("trip_id", column)]).expect("a batch")
        };
        let all = chosen(&batch(&names), 0.25).expect("chosen");
        assert!((400..600).contains(&all.len()), "{}", all.len());
        let later: Vec<usize> =
            chosen(&batch(&names[1000..]), 0.25).expect("chosen").iter().map(|row| row + 1000).collect();
        assert_eq!(all.iter().copied().filter(|row| *row >= 1000).collect::<Vec<_>>(), later);
        assert_eq!(chosen(&batch(&names), 1.0).expect("chosen").len(), 2000);
    }
}
