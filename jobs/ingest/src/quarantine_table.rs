//! The table of quarantined rows: records that failed a check, with their source, the reason and the raw text.
//!
//! It is a table of the archive like those that exports are read into, and its rows become visible by the same commit as
//! the good rows of their source. Its months are those of the ingest. Start at [`QuarantineWriter::new`].

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{ArrayRef, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use tidewaiter_archive::{
    Archive, DataFile, PartitionWriter, WriterSettings,
    schema::{SOURCE, SOURCE_ROW},
};
use tidewaiter_core::{Error, Result};

use crate::options::Options;

/// The name of the table.
pub const QUARANTINE: &str = "quarantine";

/// The name of the column that holds the time of the job that ingested a source.
pub(crate) const INGESTED_AT: &str = "ingested_at";

/// The columns by which the rows are sorted after their time.
pub(crate) const SORT_COLUMNS: &[&str] = &[SOURCE, SOURCE_ROW];

/// Bytes of rows and buffers that a writer holds, at most. Raw records can be long.
const MEMORY_BYTES: usize = 48 << 20;

/// The type of [`INGESTED_AT`].
pub(crate) fn ingested_at() -> Field {
    Field::new(INGESTED_AT, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false)
}

/// That time, for so many rows.
pub(crate) fn times(ingested_us: i64, rows: usize) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_value(ingested_us, rows).with_timezone("UTC"))
}

/// The columns of the table, without the partition columns.
///
/// `source` and `source_row`, the numbers of the source and of the record in it, from 1; `line`, the record's line in a
/// text, from 1; `column_name`, the first column that failed (null when the record as a whole did); `rule`, the reason;
/// `value`, the text of the cell; `raw`, the text of the record, at most 64 KiB of it; `table_name`, the table that it
/// was for; `file`, the name of the source; `job` and `ingested_at`, by which it was read.
pub fn quarantine_table_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let text = |name: &str| Field::new(name, DataType::Utf8, false);
        Arc::new(Schema::new(vec![
            Field::new(SOURCE, DataType::Int32, false),
            Field::new(SOURCE_ROW, DataType::Int64, false),
            Field::new("line", DataType::Int64, true),
            Field::new("column_name", DataType::Utf8, true),
            text("rule"),
            text("value"),
            text("raw"),
            text("table_name"),
            text("file"),
            text("job"),
            ingested_at(),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// The writer of the quarantined rows of a group of files; without rows there is no file.
pub(crate) struct QuarantineWriter {
    archive: Archive,
    table: String,
    country: String,
    name: String,
    job: String,
    ingested_us: i64,
    writer: Option<PartitionWriter>,
}

impl QuarantineWriter {
    /// A writer of rows for `table` of a country.
    pub(crate) fn new(archive: &Archive, table: &str, country: &str, options: &Options<'_>) -> Self {
        Self {
            archive: archive.clone(),
            table: table.to_owned(),
            country: country.to_owned(),
            name: options.name.to_owned(),
            job: options.job.to_owned(),
            ingested_us: options.ingested_us,
            writer: None,
        }
    }

    /// Takes the quarantined rows of a block of a source.
    pub(crate) async fn write(&mut self, rows: &RecordBatch, source: i32) -> Result<()> {
        let count = rows.num_rows();
        if count == 0 {
            return Ok(());
        }
        let column = |name: &str| {
            let column = rows.column_by_name(name).map(Arc::clone);
            column.ok_or_else(|| Error::internal(format!("quarantined rows have no column {name}")))
        };
        let same = |text: &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, count)))
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_value(source, count)),
            column("row_number")?,
            column("line")?,
            column("column")?,
            column("rule")?,
            column("value")?,
            column("raw")?,
            same(&self.table),
            column("file")?,
            same(&self.job),
            times(self.ingested_us, count),
        ];
        let rows = RecordBatch::try_new(quarantine_table_schema(), columns)?;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let settings = WriterSettings { memory_bytes: MEMORY_BYTES, ..WriterSettings::default() };
                let order = [&[INGESTED_AT], SORT_COLUMNS].concat();
                none.insert(PartitionWriter::new(
                    &self.archive,
                    QUARANTINE,
                    &quarantine_table_schema(),
                    &self.country,
                    &order,
                    &self.name,
                    settings,
                )?)
            }
        };
        writer.write(&rows).await
    }

    /// The files of all rows.
    pub(crate) async fn finish(self) -> Result<Vec<DataFile>> {
        match self.writer {
            Some(writer) => writer.finish().await,
            None => Ok(Vec::new()),
        }
    }

    pub(crate) async fn abort(self) {
        if let Some(writer) = self.writer {
            writer.abort().await;
        }
    }
}
