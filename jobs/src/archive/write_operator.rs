//! Writing a table's files as a plan node: rows in, what a commit must add out.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use tidewaiter_proto::v1;

use super::{Archive, DataFile, PartitionWriter, WriterSettings};
use crate::{
    Error, Result,
    plan::{self, Input, Operator},
};

/// The plan node; each partition answers with its files, as a list of [`DataFile`].
#[derive(Debug)]
pub struct WriteOperator {
    message: v1::WriteOperator,
    archive: Archive,
}

impl WriteOperator {
    /// The operator of a message.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when the message names no archive.
    pub fn new(message: v1::WriteOperator) -> Result<Self> {
        let archive = Archive::open(&message.archive)?;
        Ok(Self { message, archive })
    }

    async fn write(&self, mut input: Input) -> Result<Vec<DataFile>> {
        let v1::WriteOperator { table, country, date_column, name, .. } = &self.message;
        let name = format!("{name}-{}", input.unique_name());
        let schema = stored(&input.rows.schema());
        let mut writer = PartitionWriter::new(
            &self.archive,
            table,
            &schema,
            country,
            date_column,
            &name,
            WriterSettings::default(),
        )?;
        while let Some(batch) = input.rows.next().await {
            let batch = batch?;
            let columns = batch.columns().iter().zip(schema.fields());
            let columns = columns.map(|(column, field)| arrow::compute::cast(column, field.data_type()));
            let rows = RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Result<_, _>>()?)?;
            writer.write(&rows).await?;
            input.meter.advance(rows.num_rows() as u64);
        }
        writer.finish().await
    }
}

/// The columns as a table stores them: plain text for the engine's views, whole numbers with a sign.
pub fn stored(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let kind = match field.data_type() {
            DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
            DataType::UInt64 => DataType::Int64,
            other => other.clone(),
        };
        field.as_ref().clone().with_data_type(kind)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

impl Operator for WriteOperator {
    fn name(&self) -> &'static str {
        "WriteExec"
    }

    fn message(&self) -> v1::PlanOperator {
        v1::PlanOperator { operator: Some(v1::plan_operator::Operator::Write(self.message.clone())) }
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        match input.index_of(&self.message.date_column) {
            Ok(_) => Ok(plan::report_schema()),
            Err(_) => Err(Error::input(format!(
                "rows of table {} need the column {}",
                self.message.table, self.message.date_column
            ))),
        }
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        futures::stream::once(async move { plan::report(&self.write(input).await?) }).boxed()
    }
}
