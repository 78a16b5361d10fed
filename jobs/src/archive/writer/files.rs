//! The Parquet files of one month: begun when rows come, closed at a size, uploaded as they grow.
//!
//! [`MonthFiles`] promises that a file's bytes depend on its rows and on how they were handed over alone,
//! and that nothing of a file is visible in the store before it is closed.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch},
    compute::{max, min, sum},
    datatypes::{
        DataType, Date32Type, Float64Type, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit,
        TimestampMicrosecondType,
    },
};
use object_store::buffered::BufWriter;
use parquet::{
    arrow::{AsyncArrowWriter, arrow_reader::statistics::StatisticsConverter},
    basic::{Compression, Encoding, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::ParquetMetaData,
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::ColumnPath,
};
use serde_json::{Map, Value, json};

use super::{
    super::{Archive, table::DataFile},
    WriterSettings,
};
use crate::{Error, Result, ResultExt};

/// What an open file keeps for its next upload, in bytes: S3's smallest part.
pub(in crate::archive) const UPLOAD_BYTES: usize = 5 << 20;

/// Parts of one file that may be on their way at once.
const UPLOADS: usize = 2;

/// Rows of a file's beginning by which its encodings are chosen, at least and at most.
const SAMPLE_ROWS: (usize, usize) = (256, 4096);

/// What all files of a writer share.
pub(super) struct Place {
    pub(super) archive: Archive,
    pub(super) table: String,
    pub(super) job: String,
    pub(super) country: String,
    pub(super) schema: SchemaRef,
    pub(super) settings: WriterSettings,
}

/// The files of one month, one of which may be open.
pub(super) struct MonthFiles {
    place: Arc<Place>,
    month: i32,
    begun: u32,
    open: Option<OpenFile>,
    pub(super) done: Vec<DataFile>,
}

struct OpenFile {
    name: String,
    rows: u64,
    writer: AsyncArrowWriter<BufWriter>,
}

impl MonthFiles {
    /// No files yet, of a month counted from year 0.
    pub(super) fn new(place: Arc<Place>, month: i32) -> Self {
        Self { place, month, begun: 0, open: None, done: Vec::new() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Writes rows to the open file, beginning it where there is none, and closes it when it is full.
    pub(super) async fn append(&mut self, rows: &RecordBatch) -> Result<()> {
        let place = &self.place;
        let file = match &mut self.open {
            Some(file) => file,
            none => {
                let (year, number) = (self.month.div_euclid(12), self.month.rem_euclid(12) + 1);
                let name = format!(
                    "country={}/year={year}/month={number}/{}-{:05}.parquet",
                    place.country, place.job, self.begun
                );
                self.begun += 1;
                let upload = upload(&place.archive, &format!("{}/{name}", place.table));
                let properties = properties(&place.settings, rows)?;
                let writer = AsyncArrowWriter::try_new(upload, Arc::clone(&place.schema), Some(properties))?;
                none.insert(OpenFile { name, rows: 0, writer })
            }
        };
        let written = file.writer.write(rows).await.map_err(store_error);
        written.context(|| place.doing(&file.name))?;
        file.rows += rows.num_rows() as u64;
        let size = file.writer.bytes_written() + file.writer.in_progress_size();
        if size as u64 >= place.settings.target_file_bytes {
            self.close().await?;
        }
        Ok(())
    }

    /// Sends the open file's row group on its way, so that its memory is free.
    pub(super) async fn end_row_group(&mut self) -> Result<()> {
        let Some(file) = &mut self.open else { return Ok(()) };
        let flushed = file.writer.flush().await.map_err(store_error);
        flushed.context(|| self.place.doing(&file.name))
    }

    pub(super) async fn close(&mut self) -> Result<()> {
        let Some(OpenFile { name, rows, mut writer }) = self.open.take() else { return Ok(()) };
        let closed = writer.finish().await.map_err(store_error);
        let closed = closed.context(|| self.place.doing(&name))?;
        self.done.push(DataFile {
            size: writer.bytes_written() as u64,
            rows,
            country: self.place.country.clone(),
            year: self.month.div_euclid(12),
            month: self.month.rem_euclid(12) + 1,
            statistics: Some(delta_statistics(&self.place.schema, &closed)?),
            path: name,
        });
        Ok(())
    }

    /// Gives up the open file, so that nothing of it stays in the store.
    pub(super) async fn abort(self) {
        if let Some(OpenFile { name, writer, .. }) = self.open
            && let Err(error) = writer.into_inner().abort().await
        {
            tracing::warn!(file = name, %error, "parts of a file that was given up may remain");
        }
    }
}

impl Place {
    fn doing(&self, name: &str) -> String {
        format!("write {}/{name}", self.archive.display(&self.table))
    }
}

/// A new object of the archive that is uploaded in parts.
pub(in crate::archive) fn upload(archive: &Archive, path: &str) -> BufWriter {
    BufWriter::with_capacity(Arc::clone(archive.store()), archive.path(path), UPLOAD_BYTES)
        .with_max_concurrency(UPLOADS)
}

/// How a file that begins with these rows is encoded: columns whose values hardly repeat get no dictionary,
/// which would be filled first and then given up; whole numbers and moments are written by their differences instead.
fn properties(settings: &WriterSettings, rows: &RecordBatch) -> Result<WriterProperties> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_dictionary_enabled(true)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(settings.row_group_rows.max(1)))
        .set_max_row_group_bytes(Some(settings.row_group_bytes.max(1)))
        .set_created_by("tidewaiter".to_owned());
    if rows.num_rows() >= SAMPLE_ROWS.0 {
        let sample = rows.slice(0, rows.num_rows().min(SAMPLE_ROWS.1));
        for (field, column) in sample.schema_ref().fields().iter().zip(sample.columns()) {
            if hardly_repeats(column) {
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

/// How many different whole numbers a column has.
fn different<T: ArrowPrimitiveType<Native = i64>>(column: &PrimitiveArray<T>) -> usize {
    column.iter().flatten().collect::<HashSet<_>>().len()
}

/// Whether more than half of a column's values are different.
fn hardly_repeats(column: &ArrayRef) -> bool {
    let different = match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().iter().flatten().collect::<HashSet<_>>().len(),
        DataType::Float64 => {
            let numbers = column.as_primitive::<Float64Type>().iter().flatten();
            numbers.map(f64::to_bits).collect::<HashSet<_>>().len()
        }
        DataType::Int64 => different(column.as_primitive::<Int64Type>()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            different(column.as_primitive::<TimestampMicrosecondType>())
        }
        _ => 0,
    };
    different * 2 > column.len() - column.null_count()
}

/// A file's error while it is uploaded: the store's, where the encoder carries one.
pub(in crate::archive) fn store_error(error: ParquetError) -> Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<object_store::Error>() {
            Ok(store) => (*store).into(),
            Err(inner) => match inner.downcast::<std::io::Error>() {
                Ok(io) => match io.downcast::<object_store::Error>() {
                    Ok(store) => store.into(),
                    Err(io) => io.into(),
                },
                Err(other) => Error::internal(other.to_string()).with_source(other),
            },
        },
        other => Error::internal(other.to_string()).with_source(other),
    }
}

/// A file's statistics in Delta's form. Text columns have null counts only.
fn delta_statistics(schema: &Schema, metadata: &ParquetMetaData) -> Result<String> {
    let (mut least, mut most, mut nulls) = (Map::new(), Map::new(), Map::new());
    let mut put = |name: &str, low: Option<Value>, high: Option<Value>| {
        if let (Some(low), Some(high)) = (low, high) {
            least.insert(name.to_owned(), low);
            most.insert(name.to_owned(), high);
        }
    };
    for field in schema.fields() {
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
    Ok(json!({ "minValues": least, "maxValues": most, "nullCount": nulls }).to_string())
}
