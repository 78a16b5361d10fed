//! Writing a table's files as a plan node: rows in, what a commit must add out. Rows without a date's column are not a
//! table's but a job's own, in one file for each partition.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use parquet::{
    arrow::AsyncArrowWriter,
    basic::Compression,
    file::properties::{EnabledStatistics, WriterProperties},
    schema::types::ColumnPath,
};
use tidewaiter_proto::v1;

use super::{
    Archive, DataFile, PartitionWriter, WriterSettings,
    writer::{store_error, upload},
};
use crate::{
    Error, Result, ResultExt,
    plan::{self, Input, Operator},
};

/// Rows of a row group of a job's own file: what the encoder holds.
const ROW_GROUP_ROWS: usize = 128 << 10;

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
        let mut settings = WriterSettings::default();
        if let Some(memory) = usize::try_from(self.message.memory_bytes).ok().filter(|memory| *memory > 0) {
            settings.memory_bytes = memory;
        }
        let name = format!("{name}-{}", input.unique_name());
        let schema = stored(&input.rows.schema());
        if date_column.is_empty() {
            return self.write_as_they_come(input, &schema, format!("{name}.parquet")).await;
        }
        let mut writer =
            PartitionWriter::new(&self.archive, table, &schema, country, date_column, &name, settings)?;
        while let Some(batch) = input.rows.next().await {
            let rows = with_schema(&batch?, &schema)?;
            writer.write(&rows).await?;
            input.meter.advance(rows.num_rows() as u64);
        }
        writer.finish().await
    }

    /// Writes one file that is quick to write and to read whole, such as a job keeps for its own next steps: not
    /// compressed, as it is read at once.
    async fn write_as_they_come(
        &self,
        mut input: Input,
        schema: &SchemaRef,
        path: String,
    ) -> Result<Vec<DataFile>> {
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_created_by("tidewaiter".to_owned());
        // Texts come again and again, numbers hardly.
        for field in schema.fields().iter().filter(|field| field.data_type() == &DataType::Utf8) {
            let column = ColumnPath::from(field.name().as_str());
            properties = properties.set_column_dictionary_enabled(column, true);
        }
        let full = format!("{}/{path}", self.message.table);
        let doing = || format!("write {full}");
        let file = upload(&self.archive, &full);
        let mut writer = AsyncArrowWriter::try_new(file, Arc::clone(schema), Some(properties.build()))?;
        let filled = async {
            let mut count = 0;
            while let Some(batch) = input.rows.next().await {
                let rows = with_schema(&batch?, schema)?;
                writer.write(&rows).await.map_err(store_error).context(doing)?;
                count += rows.num_rows() as u64;
                input.meter.advance(rows.num_rows() as u64);
            }
            if count > 0 {
                writer.finish().await.map_err(store_error).context(doing)?;
            }
            Ok(count)
        };
        match filled.await {
            Ok(0) => Ok(Vec::new()),
            Ok(rows) => {
                let (size, country) = (writer.bytes_written() as u64, self.message.country.clone());
                Ok(vec![DataFile { path, size, rows, country, year: 0, month: 0, statistics: None }])
            }
            Err(error) => {
                if let Err(error) = writer.into_inner().abort().await {
                    tracing::warn!(file = full, %error, "parts of a file that was given up may remain");
                }
                Err(error)
            }
        }
    }
}

/// Rows with their columns as a table stores them.
fn with_schema(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = rows.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| arrow::compute::cast(column, field.data_type()));
    Ok(RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)?)
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
            _ if self.message.date_column.is_empty() => Ok(plan::report_schema()),
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
