//! The Parquet files of one month: begun with their first rows, uploaded as they grow, closed at a given size.
//!
//! [`MonthFiles`] promises that the bytes of a file depend only on its rows and on the calls by which they were
//! written, and that nothing of a file is visible in the store before it is closed. What is absent: the order of the
//! rows, which is the caller's.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch},
    compute::{max, min, sum},
    datatypes::{
        DataType, Date32Type, Float64Type, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit,
        TimestampMicrosecondType,
    },
};
use parquet::{
    arrow::{AsyncArrowWriter, arrow_reader::statistics::StatisticsConverter},
    basic::{Compression, Encoding, ZstdLevel},
    file::{
        metadata::{KeyValue, ParquetMetaData},
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::ColumnPath,
};
use serde_json::{Map, Value, json};
use tidewaiter_core::{Result, ResultExt};

use super::settings::WriterSettings;
use crate::{
    Archive,
    blocks::{BlockWriter, KEY},
    table::DataFile,
    upload::{DigestedUpload, store_error},
};

/// The number of a file's first rows by which its encodings are chosen, at least and at most.
const SAMPLE_ROWS: (usize, usize) = (256, 4096);

/// What all files of a writer have in common.
pub(super) struct Target {
    pub(super) archive: Archive,
    pub(super) table: String,
    pub(super) job: String,
    pub(super) country: String,
    pub(super) schema: SchemaRef,
    pub(super) settings: WriterSettings,
}

/// The files of one month, one of which may be open.
pub(super) struct MonthFiles {
    target: Arc<Target>,
    /// Counted from year 0: `12 * year + month - 1`.
    month: i32,
    /// The number of files begun so far.
    begun: u32,
    open: Option<OpenFile>,
    /// The files that are closed.
    pub(super) closed: Vec<DataFile>,
}

struct OpenFile {
    name: String,
    rows: u64,
    blocks: BlockWriter,
    writer: AsyncArrowWriter<DigestedUpload>,
}

impl MonthFiles {
    /// A month without files, counted from year 0.
    pub(super) fn new(target: Arc<Target>, month: i32) -> Self {
        Self { target, month, begun: 0, open: None, closed: Vec::new() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Writes rows to the open file, beginning it where there is none, and closes it when it is full.
    pub(super) async fn append(&mut self, rows: &RecordBatch) -> Result<()> {
        let target = &self.target;
        let file = match &mut self.open {
            Some(file) => file,
            none => {
                let (year, number) = (self.month.div_euclid(12), self.month.rem_euclid(12) + 1);
                let name = format!(
                    "country={}/year={year}/month={number}/{}-{:05}.parquet",
                    target.country, target.job, self.begun
                );
                self.begun += 1;
                let (path, blocks) = (format!("{}/{name}", target.table), BlockWriter::default());
                let upload = DigestedUpload::new(&target.archive, &path, blocks.clone());
                let properties = properties(&target.settings, rows)?;
                let writer = AsyncArrowWriter::try_new(upload, Arc::clone(&target.schema), Some(properties))?;
                none.insert(OpenFile { name, rows: 0, blocks, writer })
            }
        };
        let written = file.writer.write(rows).await.map_err(store_error);
        written.context(|| target.doing(&file.name))?;
        file.rows += rows.num_rows() as u64;
        let size = file.writer.bytes_written() + file.writer.in_progress_size();
        if size as u64 >= target.settings.target_file_bytes {
            self.close().await?;
        }
        Ok(())
    }

    /// Encodes and sends the open file's row group, which frees its memory.
    pub(super) async fn end_row_group(&mut self) -> Result<()> {
        let Some(file) = &mut self.open else { return Ok(()) };
        let flushed = file.writer.flush().await.map_err(store_error);
        flushed.context(|| self.target.doing(&file.name))
    }

    /// Closes the open file, which makes it visible in the store.
    pub(super) async fn close(&mut self) -> Result<()> {
        let Some(OpenFile { name, rows, blocks, mut writer }) = self.open.take() else { return Ok(()) };
        let finished = async {
            // The row groups first: the footer has the digests of their blocks.
            writer.flush().await?;
            writer.append_key_value_metadata(KeyValue::new(KEY.to_owned(), blocks.value()));
            writer.finish().await
        };
        let metadata = finished.await.map_err(store_error).context(|| self.target.doing(&name))?;
        let size = writer.bytes_written() as u64;
        self.closed.push(DataFile {
            size,
            rows,
            country: self.target.country.clone(),
            year: self.month.div_euclid(12),
            month: self.month.rem_euclid(12) + 1,
            statistics: Some(delta_statistics(&self.target.schema, &metadata)?),
            digest: Some(writer.into_inner().digest()),
            path: name,
        });
        Ok(())
    }

    /// Gives up the open file; nothing of it stays in the store.
    pub(super) async fn abort(self) {
        if let Some(OpenFile { name, writer, .. }) = self.open
            && let Err(error) = writer.into_inner().abort().await
        {
            tracing::warn!(file = name, %error, "parts of a file that was given up may remain");
        }
    }
}

impl Target {
    fn doing(&self, name: &str) -> String {
        format!("write {}/{name}", self.archive.display(&self.table))
    }
}

/// The encodings of a file that begins with these rows. A column whose values are mostly distinct gets no dictionary,
/// which would be filled and then given up; whole numbers and times are then encoded by their differences.
fn properties(settings: &WriterSettings, rows: &RecordBatch) -> Result<WriterProperties> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_dictionary_enabled(true)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(settings.row_group_rows.max(1)))
        .set_max_row_group_bytes(Some(settings.row_group_bytes.max(1)))
        .set_created_by("tidewaiter".to_owned());
    // Files, such as images, hardly repeat, and a few of them fill a dictionary.
    let files = rows.schema_ref().fields().iter().filter(|field| field.data_type() == &DataType::Binary);
    for field in files {
        let path = ColumnPath::from(field.name().as_str());
        properties = properties.set_column_dictionary_enabled(path, false);
    }
    if rows.num_rows() >= SAMPLE_ROWS.0 {
        let sample = rows.slice(0, rows.num_rows().min(SAMPLE_ROWS.1));
        for (field, column) in sample.schema_ref().fields().iter().zip(sample.columns()) {
            if is_mostly_distinct(column) {
                let path = ColumnPath::from(field.name().as_str());
                if column.data_type().primitive_width() == Some(8) && !column.data_type().is_floating() {
                    properties = properties.set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED);
                }
                properties = properties.set_column_dictionary_enabled(path, false);
            }
        }
    }
    Ok(properties.build())
}

/// The number of distinct whole numbers in a column.
fn distinct_integers<T: ArrowPrimitiveType<Native = i64>>(column: &PrimitiveArray<T>) -> usize {
    column.iter().flatten().collect::<HashSet<_>>().len()
}

/// Whether a column has more distinct values than half of its values. Columns of other types than these have few.
fn is_mostly_distinct(column: &ArrayRef) -> bool {
    let distinct = match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().iter().flatten().collect::<HashSet<_>>().len(),
        DataType::Float64 => {
            let numbers = column.as_primitive::<Float64Type>().iter().flatten();
            numbers.map(f64::to_bits).collect::<HashSet<_>>().len()
        }
        DataType::Int64 => distinct_integers(column.as_primitive::<Int64Type>()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            distinct_integers(column.as_primitive::<TimestampMicrosecondType>())
        }
        _ => 0,
    };
    distinct * 2 > column.len() - column.null_count()
}

/// The statistics of a file in Delta's JSON form. Text columns have null counts only, lists and structures nothing.
fn delta_statistics(schema: &Schema, metadata: &ParquetMetaData) -> Result<String> {
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    let mut put = |name: &str, low: Option<Value>, high: Option<Value>| {
        if let (Some(low), Some(high)) = (low, high) {
            least.insert(name.to_owned(), low);
            greatest.insert(name.to_owned(), high);
        }
    };
    for field in schema.fields().iter().filter(|field| !field.data_type().is_nested()) {
        let name = field.name();
        let groups = metadata.row_groups();
        let columns = metadata.file_metadata().schema_descr();
        let converter = StatisticsConverter::try_new(name, schema, columns)?;
        let counts = converter.row_group_null_counts(groups)?;
        if counts.null_count() == 0 {
            nulls.insert(name.clone(), json!(sum(&counts).unwrap_or_default()));
        }
        let low = converter.row_group_mins(groups)?;
        let high = converter.row_group_maxes(groups)?;
        match field.data_type() {
            DataType::Date32 => {
                let day = |days: i32| Date32Type::to_naive_date_opt(days).map(|day| json!(day.to_string()));
                let low = min(low.as_primitive::<Date32Type>()).and_then(day);
                put(name, low, max(high.as_primitive::<Date32Type>()).and_then(day));
            }
            DataType::Int32 => {
                let low = min(low.as_primitive::<Int32Type>()).map(|value| json!(value));
                put(name, low, max(high.as_primitive::<Int32Type>()).map(|value| json!(value)));
            }
            DataType::Float64 => {
                let finite = |value: f64| value.is_finite().then(|| json!(value));
                let low = min(low.as_primitive::<Float64Type>()).and_then(finite);
                put(name, low, max(high.as_primitive::<Float64Type>()).and_then(finite));
            }
            _ => {}
        }
    }
    Ok(json!({ "minValues": least, "maxValues": greatest, "nullCount": nulls }).to_string())
}
