//! Writes rows as a table's Parquet files, split by country, year and month.
//!
//! [`PartitionWriter`] takes batches in any order. It keeps each month's rows in memory, sorts them by
//! date, declaration and goods item, and writes them as row groups, so that a month that fits the buffer
//! is sorted from end to end. What it holds is bounded by [`WriterSettings::memory_bytes`] over all months
//! (sorting one month needs about twice its size again, for a moment). File names depend only on the job
//! and the rows, and nothing is visible to readers until the files are committed
//! ([`super::table::Table::commit`]).

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch},
    compute::{
        DatePart, SortColumn, concat_batches, date_part, kernels::numeric, lexsort_to_indices, max, min,
        partition, sort_to_indices, take, take_record_batch,
    },
    datatypes::{DataType, Date32Type, Float64Type, Int32Type, Schema, SchemaRef},
};
use object_store::buffered::BufWriter;
use parquet::{
    arrow::{AsyncArrowWriter, arrow_reader::statistics::StatisticsConverter},
    basic::{Compression, ZstdLevel},
    file::{
        metadata::ParquetMetaData,
        properties::{EnabledStatistics, WriterProperties},
    },
};
use serde_json::{Map, Value, json};

use super::{Archive, table::DataFile};
use crate::{Error, Result, ResultExt};

/// What an open file keeps for its next upload, in bytes: S3's smallest part.
pub(super) const UPLOAD_BYTES: usize = 5 << 20;

/// Parts of one file that may be on their way at once.
pub(super) const UPLOADS: usize = 2;

/// Rows handed to the Parquet encoder at a time.
const SLICE_ROWS: usize = 64 << 10;

/// Columns by which a file's rows are sorted after the date, where the table has them.
const SORT_AFTER_DATE: [&str; 2] = ["declaration_id", "item_number"];

/// The sizes of a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterSettings {
    /// Bytes of rows and upload buffers held over all months.
    pub memory_bytes: usize,
    /// Bytes after which a file is closed and the next begun.
    pub target_file_bytes: u64,
    /// The most rows in a row group.
    pub row_group_rows: usize,
    /// About the most bytes in a row group.
    pub row_group_bytes: usize,
}

impl Default for WriterSettings {
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            target_file_bytes: 256 << 20,
            row_group_rows: 1 << 20,
            row_group_bytes: 128 << 20,
        }
    }
}

/// Splits batches by month and writes them as Parquet files under a table's folder.
pub struct PartitionWriter {
    archive: Archive,
    table: String,
    job: String,
    country: String,
    schema: SchemaRef,
    date: usize,
    sort: Vec<usize>,
    settings: WriterSettings,
    properties: WriterProperties,
    months: BTreeMap<i32, Month>,
    held: usize,
    done: Vec<DataFile>,
}

/// One month's rows that are not yet written, and the file that they go to.
#[derive(Default)]
struct Month {
    batches: Vec<RecordBatch>,
    bytes: usize,
    file: Option<OpenFile>,
    files: u32,
}

struct OpenFile {
    name: String,
    rows: u64,
    writer: AsyncArrowWriter<BufWriter>,
}

impl PartitionWriter {
    /// A writer of files of `table` whose rows have `schema` (without partition columns), come from
    /// `country` and belong to the month of the column `date_column`. `job` begins the files' names: two
    /// writers of one table must not share it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when the date column is not a date of the schema, or a name is not one.
    pub fn new(
        archive: &Archive,
        table: &str,
        schema: &SchemaRef,
        country: &str,
        date_column: &str,
        job: &str,
        settings: WriterSettings,
    ) -> Result<Self> {
        let date = schema.index_of(date_column).ok();
        let Some(date) = date.filter(|date| *schema.field(*date).data_type() == DataType::Date32) else {
            return Err(Error::input(format!("table {table} has no date column {date_column:?}")));
        };
        if !(country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase())) {
            return Err(Error::input(format!(
                "{country:?} is not an ISO 3166-1 alpha-2 country, such as KR"
            )));
        }
        if job.is_empty() || !job.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) {
            return Err(Error::input(format!("{job:?} is not a job's name; use letters, digits, - and _")));
        }
        let after = SORT_AFTER_DATE.iter().filter_map(|name| schema.index_of(name).ok());
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_dictionary_enabled(true)
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_max_row_group_row_count(Some(settings.row_group_rows.max(1)))
            .set_max_row_group_bytes(Some(settings.row_group_bytes.max(1)))
            .set_created_by("tidewaiter".to_owned())
            .build();
        Ok(Self {
            archive: archive.clone(),
            table: table.to_owned(),
            job: job.to_owned(),
            country: country.to_owned(),
            schema: Arc::clone(schema),
            date,
            sort: std::iter::once(date).chain(after).collect(),
            settings,
            properties,
            months: BTreeMap::new(),
            held: 0,
            done: Vec::new(),
        })
    }

    /// Bytes of rows and upload buffers held now.
    pub fn held_bytes(&self) -> usize {
        self.held + self.open_files() * UPLOAD_BYTES
    }

    fn open_files(&self) -> usize {
        self.months.values().filter(|month| month.file.is_some()).count()
    }

    /// Takes rows. May write some that it holds.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when the batch has other columns or a row has no date.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        for (month, rows) in self.split(batch)? {
            let bytes = rows.get_array_memory_size();
            let entry = self.months.entry(month).or_default();
            entry.batches.push(rows);
            entry.bytes += bytes;
            self.held += bytes;
        }
        while self.held > 0 && self.held_bytes() > self.settings.memory_bytes {
            let largest = self.months.iter().max_by_key(|(month, held)| (held.bytes, -**month));
            let Some((&month, _)) = largest else { break };
            self.flush(month).await?;
            // Upload buffers may take half of the memory; beyond that a month's file is closed at once.
            if self.open_files() * UPLOAD_BYTES * 2 > self.settings.memory_bytes {
                self.close(month).await?;
            }
        }
        Ok(())
    }

    /// Writes what is held and closes every file.
    ///
    /// # Errors
    /// The store's; open files are given up then.
    pub async fn finish(mut self) -> Result<Vec<DataFile>> {
        let months: Vec<i32> = self.months.keys().copied().collect();
        for month in months {
            let written = async {
                self.flush(month).await?;
                self.close(month).await
            };
            if let Err(error) = written.await {
                self.abort().await;
                return Err(error);
            }
        }
        self.done.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(self.done)
    }

    /// Gives up the files that are open, so that nothing of them stays in the store. Files that were closed
    /// stay, unseen by readers: another attempt at the same job may have committed the same paths.
    pub async fn abort(self) {
        for (_, month) in self.months {
            if let Some(OpenFile { name, writer, .. }) = month.file
                && let Err(error) = writer.into_inner().abort().await
            {
                tracing::warn!(file = name, %error, "parts of a file that was given up may remain");
            }
        }
    }

    /// The batch's rows by month, counted from year 0.
    fn split(&self, batch: &RecordBatch) -> Result<Vec<(i32, RecordBatch)>> {
        let same = |a: &Schema, b: &Schema| {
            a.fields().len() == b.fields().len()
                && a.fields()
                    .iter()
                    .zip(b.fields())
                    .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type())
        };
        if !same(batch.schema_ref(), &self.schema) {
            return Err(Error::input(format!(
                "rows for table {} have other columns than the table",
                self.table
            )));
        }
        let dates = batch.column(self.date);
        if dates.null_count() > 0 {
            return Err(Error::input(format!(
                "{} rows for table {} have no {}; they belong in quarantine",
                dates.null_count(),
                self.table,
                self.schema.field(self.date).name()
            )));
        }
        if batch.num_rows() == 0 {
            return Ok(Vec::new());
        }
        // The table's own schema says which columns may be null; the batch's may be laxer.
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), batch.columns().to_vec())
            .map_err(|error| Error::input(format!("rows for table {}: {error}", self.table)))?;
        let months = month_numbers(dates)?;
        let (first, last) = (min(&months).unwrap_or_default(), max(&months).unwrap_or_default());
        if first == last {
            return Ok(vec![(first, batch)]);
        }
        let order = sort_to_indices(&months, None, None)?;
        let sorted = take(&months, &order, None)?;
        let ranges = partition(&[Arc::clone(&sorted)])?.ranges();
        let sorted = sorted.as_primitive::<Int32Type>();
        let parts = ranges.into_iter().map(|range| {
            let rows = order.slice(range.start, range.len());
            Ok((sorted.value(range.start), take_record_batch(&batch, &rows)?))
        });
        parts.collect()
    }

    /// Sorts and writes the rows held for a month.
    async fn flush(&mut self, month: i32) -> Result<()> {
        let Some(entry) = self.months.get_mut(&month) else { return Ok(()) };
        let batches = std::mem::take(&mut entry.batches);
        self.held -= std::mem::take(&mut entry.bytes);
        if batches.is_empty() {
            return Ok(());
        }
        let rows = concat_batches(&self.schema, &batches)?;
        drop(batches);
        let columns: Vec<SortColumn> = self
            .sort
            .iter()
            .map(|column| SortColumn { values: Arc::clone(rows.column(*column)), options: None })
            .collect();
        let order = lexsort_to_indices(&columns, None)?;
        let rows = take_record_batch(&rows, &order)?;
        let mut offset = 0;
        while offset < rows.num_rows() {
            let length = SLICE_ROWS.min(rows.num_rows() - offset);
            let full = self.append(month, &rows.slice(offset, length)).await?;
            offset += length;
            if full {
                self.close(month).await?;
            }
        }
        // The encoder's row group is memory too: it is written out, not kept for the next flush.
        if let Some(file) = self.months.get_mut(&month).and_then(|entry| entry.file.as_mut()) {
            let flushed = file.writer.flush().await.map_err(store_error);
            flushed.context(|| format!("write {}/{}", self.archive.display(&self.table), file.name))?;
        }
        Ok(())
    }

    /// Writes rows to the month's file; `true` when the file is as large as it should get.
    async fn append(&mut self, month: i32, rows: &RecordBatch) -> Result<bool> {
        let Some(entry) = self.months.get_mut(&month) else { return Ok(false) };
        if entry.file.is_none() {
            let (year, number) = (month.div_euclid(12), month.rem_euclid(12) + 1);
            let name = format!(
                "country={}/year={year}/month={number}/{}-{:05}.parquet",
                self.country, self.job, entry.files
            );
            entry.files += 1;
            let path = self.archive.path(&format!("{}/{name}", self.table));
            let upload = BufWriter::with_capacity(Arc::clone(self.archive.store()), path, UPLOAD_BYTES)
                .with_max_concurrency(UPLOADS);
            let writer =
                AsyncArrowWriter::try_new(upload, Arc::clone(&self.schema), Some(self.properties.clone()))?;
            entry.file = Some(OpenFile { name, rows: 0, writer });
        }
        let Some(file) = entry.file.as_mut() else { return Ok(false) };
        let written = file.writer.write(rows).await.map_err(store_error);
        written.context(|| format!("write {}/{}", self.archive.display(&self.table), file.name))?;
        file.rows += rows.num_rows() as u64;
        let size = file.writer.bytes_written() + file.writer.in_progress_size();
        Ok(size as u64 >= self.settings.target_file_bytes)
    }

    async fn close(&mut self, month: i32) -> Result<()> {
        let file = self.months.get_mut(&month).and_then(|entry| entry.file.take());
        let Some(OpenFile { name, rows, mut writer }) = file else { return Ok(()) };
        let closed = writer.finish().await.map_err(store_error);
        let closed = closed.context(|| format!("write {}/{name}", self.archive.display(&self.table)))?;
        self.done.push(DataFile {
            size: writer.bytes_written() as u64,
            rows,
            country: self.country.clone(),
            year: month.div_euclid(12),
            month: month.rem_euclid(12) + 1,
            statistics: Some(delta_statistics(&self.schema, &closed)?),
            path: name,
        });
        Ok(())
    }
}

/// Months counted from year 0: `12 * year + month - 1`.
fn month_numbers(dates: &ArrayRef) -> Result<Int32Array> {
    let years = date_part(dates, DatePart::Year)?;
    let months = date_part(dates, DatePart::Month)?;
    let twelve = Int32Array::new_scalar(12);
    let one = Int32Array::new_scalar(1);
    let numbers = numeric::sub(&numeric::add(&numeric::mul(&years, &twelve)?, &months)?, &one)?;
    Ok(numbers.as_primitive::<Int32Type>().clone())
}

/// A file's error while it is uploaded: the store's, where the encoder carries one.
pub(super) fn store_error(error: parquet::errors::ParquetError) -> Error {
    match error {
        parquet::errors::ParquetError::External(inner) => match inner.downcast::<object_store::Error>() {
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
            nulls.insert(name.clone(), json!(arrow::compute::sum(&counts).unwrap_or_default()));
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

#[cfg(test)]
mod tests {
    use arrow::{array::Date32Array, compute::concat};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use proptest::prelude::*;

    use super::super::testing::{memory, rows, rows_on, schema};
    use super::*;

    fn writer(archive: &Archive, job: &str, settings: WriterSettings) -> PartitionWriter {
        PartitionWriter::new(archive, "t", &schema(), "KR", "acceptance_date", job, settings)
            .expect("a writer")
    }

    async fn read(archive: &Archive, file: &DataFile) -> RecordBatch {
        let bytes = archive.get(&format!("t/{}", file.path)).await.expect("reads");
        assert_eq!(bytes.len() as u64, file.size);
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("is Parquet").build();
        let batches: Vec<_> = reader.expect("builds").map(|batch| batch.expect("reads")).collect();
        concat_batches(&schema(), &batches).expect("same columns")
    }

    #[tokio::test]
    async fn rows_go_to_their_month_sorted_by_date_and_declaration() {
        let archive = memory("writer-split");
        let mut writer = writer(&archive, "job", WriterSettings::default());
        // 18262 is 2020-01-01, 18293 is 2020-02-01, 18261 is 2019-12-31.
        writer.write(&rows_on(&[18293, 18262, 18261])).await.expect("takes");
        writer.write(&rows_on(&[18262, 18292, 18264])).await.expect("takes");
        let files = writer.finish().await.expect("finishes");
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "country=KR/year=2019/month=12/job-00000.parquet",
                "country=KR/year=2020/month=1/job-00000.parquet",
                "country=KR/year=2020/month=2/job-00000.parquet",
            ]
        );
        let january = read(&archive, &files[1]).await;
        let dates = january.column(2).as_primitive::<Date32Type>().values().to_vec();
        assert_eq!(dates, [18262, 18262, 18264, 18292]);
        let ids = january.column(0).as_string::<i32>();
        assert_eq!(ids.iter().flatten().collect::<Vec<_>>(), ["D000000", "D000001", "D000002", "D000001"]);
        let statistics: Value =
            serde_json::from_str(files[1].statistics.as_deref().unwrap_or("null")).expect("is JSON");
        assert_eq!(statistics["minValues"]["acceptance_date"], "2020-01-01");
        assert_eq!(statistics["maxValues"]["acceptance_date"], "2020-01-31");
        assert_eq!(statistics["nullCount"]["customs_value"], 0);
    }

    #[tokio::test]
    async fn files_roll_at_the_target_size() {
        let archive = memory("writer-roll");
        let settings = WriterSettings { target_file_bytes: 1, ..WriterSettings::default() };
        let mut writer = writer(&archive, "job", settings);
        writer.write(&rows_on(&vec![18262; SLICE_ROWS + 1])).await.expect("takes");
        let files = writer.finish().await.expect("finishes");
        assert_eq!(files.iter().map(|file| file.rows).collect::<Vec<_>>(), [SLICE_ROWS as u64, 1]);
        assert!(files[1].path.ends_with("job-00001.parquet"));
    }

    #[tokio::test]
    async fn a_row_without_a_date_is_refused() {
        let archive = memory("writer-null");
        let mut writer = writer(&archive, "job", WriterSettings::default());
        let rows = rows(0, 2);
        let mut columns = rows.columns().to_vec();
        columns[2] = Arc::new(Date32Array::from(vec![None, Some(1)]));
        let lax: Vec<_> =
            schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(lax)), columns).expect("a batch");
        let error = writer.write(&batch).await.expect_err("no date");
        assert_eq!(error.kind(), crate::ErrorKind::Input);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn every_row_is_written_once_in_its_month_within_the_memory(
            batches in prop::collection::vec(prop::collection::vec(-800_i32..20_000, 0..60), 1..8),
            memory_bytes in 0_usize..8000,
            open_files in 0_usize..3,
        ) {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async {
                let archive = memory("writer-random");
                let memory_bytes = memory_bytes + open_files * 2 * UPLOAD_BYTES;
                let mut writer =
                    writer(&archive, "job", WriterSettings { memory_bytes, ..WriterSettings::default() });
                for days in &batches {
                    writer.write(&rows_on(days)).await.expect("takes");
                    prop_assert!(writer.held_bytes() <= memory_bytes || writer.held == 0);
                }
                let mut dates: Vec<ArrayRef> = vec![Arc::new(Date32Array::from(Vec::<i32>::new()))];
                for file in writer.finish().await.expect("finishes") {
                    let rows = read(&archive, &file).await;
                    prop_assert_eq!(rows.num_rows() as u64, file.rows);
                    let months = month_numbers(rows.column(2)).expect("dates");
                    prop_assert!(months.values().iter().all(|month| *month == file.month_number()));
                    dates.push(Arc::clone(rows.column(2)));
                }
                let dates: Vec<&dyn Array> = dates.iter().map(AsRef::as_ref).collect();
                let dates = concat(&dates).expect("concatenates");
                let mut found = dates.as_primitive::<Date32Type>().values().to_vec();
                let mut expected = batches.concat();
                found.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
                Ok(())
            })?;
        }
    }
}
