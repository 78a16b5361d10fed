//! Identifiers sealed as a plan node: what stood in clear is encrypted under the key, and gone. Start at [`SealOperator`].

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringArray},
    compute::cast,
    datatypes::{DataType, Date32Type, Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use prost::Message;
use tidewaiter_core::{
    Error, Result,
    plan::{Input, Operator},
};

use super::key::Key;
use crate::table::FLIGHT_DATE;

/// The columns of an identity that are sealed together.
pub(super) const SEALED: [&str; 3] = ["value", "given", "birth"];

/// Seals identities of flights before a day.
#[derive(Clone, PartialEq, Message)]
pub struct PassengersSealOperator {
    /// Where each process finds the key; never the key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The day, since 1970-01-01.
    #[prost(int32, tag = "2")]
    pub before: i32,
}

/// The operator: rows of `passengers/identities` in and out.
#[derive(Debug)]
pub struct SealOperator {
    message: PassengersSealOperator,
}

impl SealOperator {
    /// The name of the node in plans.
    pub const NAME: &'static str = "PassengersSealExec";

    /// The operator of a message.
    #[must_use]
    pub fn new(message: PassengersSealOperator) -> Self {
        Self { message }
    }

    fn sealed(&self, key: &Key, rows: &RecordBatch) -> Result<RecordBatch> {
        let wrong = || Error::internal("identities lack a column");
        let place = |name: &str| rows.schema_ref().index_of(name).map_err(|_| wrong());
        let text = |name: &str| Ok::<_, Error>(cast(rows.column(place(name)?), &DataType::Utf8)?);
        let dates = rows.column(place(FLIGHT_DATE)?).as_primitive_opt::<Date32Type>().ok_or_else(wrong)?;
        let before = text("sealed")?;
        let before = before.as_string::<i32>();
        let values = SEALED.map(text).into_iter().collect::<Result<Vec<_>>>()?;
        let value = |column: usize, row: usize| {
            let column = values[column].as_string::<i32>();
            column.is_valid(row).then(|| column.value(row))
        };
        let is_old = |row: usize| dates.value(row) < self.message.before;
        let mut seals = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            let all: [Option<&str>; 3] = std::array::from_fn(|column| value(column, row));
            seals.push(match is_old(row) && all.iter().any(Option::is_some) {
                true => Some(key.seal(&serde_json::to_string(&all)?)),
                false => before.is_valid(row).then(|| before.value(row).to_owned()),
            });
        }
        let mut columns = rows.columns().to_vec();
        for (number, name) in SEALED.into_iter().enumerate() {
            let kept = (0..rows.num_rows()).map(|row| value(number, row).filter(|_| !is_old(row)));
            columns[place(name)?] = Arc::new(kept.collect::<StringArray>());
        }
        columns[place("sealed")?] = Arc::new(StringArray::from(seals)) as ArrayRef;
        let fields = rows.schema_ref().fields().iter().zip(&columns);
        let fields =
            fields.map(|(field, column)| field.as_ref().clone().with_data_type(column.data_type().clone()));
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns)?)
    }
}

impl Operator for SealOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        for name in SEALED.iter().chain(&["sealed", FLIGHT_DATE]) {
            input.index_of(name)?;
        }
        let changed = |name: &str| SEALED.contains(&name) || name == "sealed";
        let fields = input.fields().iter().map(|field| match changed(field.name()) {
            true => field.as_ref().clone().with_data_type(DataType::Utf8),
            false => field.as_ref().clone(),
        });
        Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        let key = Key::read(&self.message.key);
        let meter = Arc::clone(&input.meter);
        let key = match key {
            Ok(key) => key,
            Err(error) => return futures::stream::once(async move { Err(error) }).boxed(),
        };
        input
            .rows
            .map(move |batch| {
                let batch = batch?;
                meter.advance(batch.num_rows() as u64);
                self.sealed(&key, &batch)
            })
            .boxed()
    }
}
