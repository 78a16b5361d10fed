//! Writing files as a plan node: rows in, the files that a commit must add out.
//!
//! With a date column the rows are a table's, and each partition of the query writes them by a [`PartitionWriter`].
//! Without one they are a job's own, which it reads again in its next steps, and each partition writes one file.
//!
//! What is absent: the commit, which is the driver's ([`crate::Table::commit`]). Start at [`WriteOperator`].

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
use prost::Message as _;
use tidewaiter_core::{
    Error, Result, ResultExt,
    plan::{self, Input, Operator},
};
use tidewaiter_proto::v1;

use crate::{
    Archive, DataFile, PartitionWriter, WriterSettings,
    upload::{store_error, upload},
};

/// Rows of a row group of a job's own file, which the encoder holds in memory.
const ROW_GROUP_ROWS: usize = 128 << 10;

/// The operator; each partition answers with one report ([`plan::report`]): its files, as a list of [`DataFile`].
#[derive(Debug)]
pub struct WriteOperator {
    message: v1::WriteOperator,
    archive: Archive,
}

impl WriteOperator {
    /// The name of the node in plans.
    pub const NAME: &'static str = "WriteExec";

    /// The operator of a message.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the message names no archive.
    pub fn new(message: v1::WriteOperator) -> Result<Self> {
        let archive = Archive::open(&message.archive)?;
        Ok(Self { message, archive })
    }

    async fn write(&self, mut input: Input) -> Result<Vec<DataFile>> {
        let v1::WriteOperator { table, country, date_column, sort_columns, name, .. } = &self.message;
        let mut settings = WriterSettings::default();
        if let Some(memory) = usize::try_from(self.message.memory_bytes).ok().filter(|memory| *memory > 0) {
            settings.memory_bytes = memory;
        }
        let name = format!("{name}-{}", input.unique_name());
        let schema = stored(&input.rows.schema());
        if date_column.is_empty() {
            return self.write_own_file(input, &schema, format!("{name}.parquet")).await;
        }
        let order: Vec<&str> = std::iter::once(date_column).chain(sort_columns).map(String::as_str).collect();
        let mut writer =
            PartitionWriter::new(&self.archive, table, &schema, country, &order, &name, settings)?;
        while let Some(batch) = input.rows.next().await {
            let rows = with_schema(&batch?, &schema)?;
            writer.write(&rows).await?;
            input.meter.advance(rows.num_rows() as u64);
        }
        writer.finish().await
    }

    /// Writes all rows, in their order, into one file that is quick to write and to read whole. It is not compressed,
    /// because it is read soon and only a few times.
    async fn write_own_file(
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
        // Texts repeat, numbers hardly do.
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
                Ok(vec![DataFile {
                    path,
                    size,
                    rows,
                    country,
                    year: 0,
                    month: 0,
                    statistics: None,
                    digest: None,
                }])
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

/// Rows with their columns cast to the types of `schema`, place by place.
fn with_schema(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = rows.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| arrow::compute::cast(column, field.data_type()));
    Ok(RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)?)
}

/// The columns as files store them: text for the engine's views and large texts, signed for unsigned 64-bit integers.
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
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
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
