//! Writes rows as a table's Parquet files, split by country, year and month.
//!
//! [`PartitionWriter`] takes batches in any order. It keeps each month's rows in memory, sorts them by
//! date or time and by declaration and goods item (events by case), and writes them as row groups, so that a month
//! whose rows come together and fit half of the buffer is sorted from end to end. A month that seems to be over,
//! because later rows come, or that holds the most where memory is short, is sorted, encoded and sent on a thread of
//! its own while the next rows are taken, two of them where memory is ample. What it holds is bounded by
//! [`WriterSettings::memory_bytes`] over all months, besides the row groups that are being encoded. Which rows go to
//! which file and row group depends on the batches alone, never on how fast the threads are. File names depend only on
//! the job and the rows, and nothing is visible to readers until the files are committed
//! ([`super::table::Table::commit`]).

mod files;
mod order;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Date32Array, Int32Array, RecordBatch, TimestampMicrosecondArray,
        UInt32Array,
    },
    compute::{DatePart, date_part, kernels::numeric, max, min},
    datatypes::{DataType, Date32Type, Int32Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType},
};
use futures::{StreamExt, stream};
use tokio::{runtime::Handle, sync::oneshot};

pub(super) use self::files::{UPLOAD_BYTES, store_error, upload};
use self::{
    files::{MonthFiles, Place},
    order::{Sorted, taken},
};
use super::{Archive, table::DataFile};
use crate::{Error, Result};

/// Columns by which a file's rows are sorted after the date, where the table has them.
const SORT_AFTER_DATE: [&str; 4] = ["declaration_id", "item_number", "case_id", "file_order"];

/// Rows that a month must have before it is written because it seems to be over.
const ROWS_OF_A_MONTH: usize = order::SLICE_ROWS;

/// Months that are written at once at the end, when no more rows come, and before where memory is ample.
const MONTHS_AT_ONCE: usize = 2;

/// The memory from which on it is, in bytes: what is encoded of a month is not counted.
const AMPLE_MEMORY: usize = 384 << 20;

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
            memory_bytes: 384 << 20,
            target_file_bytes: 256 << 20,
            row_group_rows: 1 << 20,
            row_group_bytes: 128 << 20,
        }
    }
}

/// Splits batches by month and writes them as Parquet files under a table's folder.
///
/// It works inside a Tokio runtime.
pub struct PartitionWriter {
    place: Arc<Place>,
    date: usize,
    sort: Vec<usize>,
    waiting: BTreeMap<i32, Waiting>,
    waiting_bytes: usize,
    files: BTreeMap<i32, MonthFiles>,
    /// Months that are being written, the first begun first.
    flights: VecDeque<Flight>,
}

/// One month's rows that are not yet written.
#[derive(Default)]
struct Waiting {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

/// A month that is being written, with its files.
struct Flight {
    month: i32,
    bytes: usize,
    files: Landing,
}

/// A month's files when no more rows come.
enum Begun {
    Here(Box<MonthFiles>),
    InFlight(Landing),
}

/// Where a month's files come back when they are written.
type Landing = oneshot::Receiver<Result<MonthFiles>>;

impl PartitionWriter {
    /// A writer of files of `table` whose rows have `schema` (without partition columns), come from
    /// `country` and belong to the month of the column `date_column`. `job` begins the files' names: two
    /// writers of one table must not share it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when the date column is not a date or a time of the schema, or a name is not one.
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
        let dated = |kind: &DataType| matches!(kind, DataType::Date32 | DataType::Timestamp(..));
        let Some(date) = date.filter(|date| dated(schema.field(*date).data_type())) else {
            return Err(Error::input(format!(
                "table {table} has no column of dates or times {date_column:?}"
            )));
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
        Ok(Self {
            date,
            sort: std::iter::once(date).chain(after).collect(),
            place: Arc::new(Place {
                archive: archive.clone(),
                table: table.to_owned(),
                job: job.to_owned(),
                country: country.to_owned(),
                schema: Arc::clone(schema),
                settings,
            }),
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            files: BTreeMap::new(),
            flights: VecDeque::new(),
        })
    }

    /// Bytes of rows and upload buffers held now.
    pub fn held_bytes(&self) -> usize {
        let flying: usize = self.flights.iter().map(|flight| flight.bytes).sum();
        self.waiting_bytes + flying + self.upload_bytes()
    }

    /// Bytes of upload buffers; a file in flight has one until it is known to be closed.
    fn upload_bytes(&self) -> usize {
        let open = self.files.values().filter(|files| files.is_open()).count();
        (open + self.flights.len()) * UPLOAD_BYTES
    }

    /// Takes rows. May write some that it holds.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when the batch has other columns or a row has no date; the store's, of
    /// rows taken earlier. Then the writer is of no more use, but for [`PartitionWriter::abort`].
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let months = self.split(batch)?;
        let first = months.first().map_or(i32::MIN, |(month, _)| *month);
        for (month, rows) in months {
            let bytes = rows.get_array_memory_size();
            let entry = self.waiting.entry(month).or_default();
            entry.rows += rows.num_rows();
            entry.batches.push(rows);
            entry.bytes += bytes;
            self.waiting_bytes += bytes;
        }
        // Exports come in the order of time, more or less: an earlier month is likely to be over.
        let over = self.waiting.range(..first).find(|(_, held)| held.rows >= ROWS_OF_A_MONTH);
        if let Some((&month, _)) = over {
            self.launch(month).await?;
        }
        // Half of the memory is for the rows that wait, half for those in flight.
        let memory = self.place.settings.memory_bytes;
        while self.waiting_bytes > 0 && self.waiting_bytes + self.upload_bytes() > memory / 2 {
            let largest = self.waiting.iter().max_by_key(|(month, held)| (held.bytes, -**month));
            let Some((&month, _)) = largest else { break };
            self.launch(month).await?;
        }
        while self.held_bytes() > memory && !self.flights.is_empty() {
            self.land().await?;
        }
        Ok(())
    }

    /// Begins to write the rows that wait for a month, when those before it that are in its way are written.
    async fn launch(&mut self, month: i32) -> Result<()> {
        let most = if self.place.settings.memory_bytes < AMPLE_MEMORY { 1 } else { MONTHS_AT_ONCE };
        while self.flights.len() >= most || self.flights.iter().any(|flight| flight.month == month) {
            self.land().await?;
        }
        let Waiting { batches, bytes, .. } = self.waiting.remove(&month).unwrap_or_default();
        self.waiting_bytes -= bytes;
        let files = self.files.remove(&month).unwrap_or_else(|| self.no_files(month));
        // Upload buffers may take a quarter of the memory; beyond that a month's file is closed at once.
        let close = (self.upload_bytes() + UPLOAD_BYTES) * 4 > self.place.settings.memory_bytes;
        let files = write_out(files, batches, self.sort.clone(), close)?;
        self.flights.push_back(Flight { month, bytes, files });
        Ok(())
    }

    /// Waits for the month that was begun first.
    async fn land(&mut self) -> Result<()> {
        if let Some(Flight { month, files, .. }) = self.flights.pop_front() {
            self.files.insert(month, landed(files).await?);
        }
        Ok(())
    }

    fn no_files(&self, month: i32) -> MonthFiles {
        MonthFiles::new(Arc::clone(&self.place), month)
    }

    /// Writes what is held and closes every file.
    ///
    /// # Errors
    /// The store's; open files are given up then.
    pub async fn finish(mut self) -> Result<Vec<DataFile>> {
        let mut months: BTreeMap<i32, (Begun, Vec<RecordBatch>)> = BTreeMap::new();
        for (month, files) in std::mem::take(&mut self.files) {
            months.insert(month, (Begun::Here(Box::new(files)), Vec::new()));
        }
        for Flight { month, files, .. } in std::mem::take(&mut self.flights) {
            months.insert(month, (Begun::InFlight(files), Vec::new()));
        }
        for (month, rows) in std::mem::take(&mut self.waiting) {
            let none = || (Begun::Here(Box::new(self.no_files(month))), Vec::new());
            months.entry(month).or_insert_with(none).1 = rows.batches;
        }
        let (sort, failed) = (&self.sort, AtomicBool::new(false));
        let write = |(files, batches): (Begun, Vec<RecordBatch>)| {
            let failed = &failed;
            async move {
                let written = async {
                    let files = match files {
                        Begun::Here(files) => *files,
                        Begun::InFlight(files) => landed(files).await?,
                    };
                    if failed.load(Ordering::Relaxed) {
                        files.abort().await;
                        return Ok(Vec::new());
                    }
                    let landing = write_out(files, batches, sort.clone(), true)?;
                    Ok(landed(landing).await?.done)
                };
                let written = written.await;
                failed.fetch_or(written.is_err(), Ordering::Relaxed);
                written
            }
        };
        // The months in flight first: they are nearly done.
        let (flying, here): (Vec<_>, Vec<_>) =
            months.into_values().partition(|(files, _)| matches!(files, Begun::InFlight(_)));
        let months = flying.into_iter().chain(here);
        let written = stream::iter(months.map(write)).buffer_unordered(MONTHS_AT_ONCE);
        let written: Vec<Result<Vec<DataFile>>> = written.collect().await;
        let mut done = written.into_iter().collect::<Result<Vec<_>>>()?.concat();
        done.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(done)
    }

    /// Gives up the files that are open, so that nothing of them stays in the store. Files that were closed
    /// stay, unseen by readers: another attempt at the same job may have committed the same paths.
    pub async fn abort(mut self) {
        while !self.flights.is_empty() {
            if let Err(error) = self.land().await {
                tracing::debug!(error = error.chain(), "rows of a job that is given up were not written");
            }
        }
        for files in self.files.into_values() {
            files.abort().await;
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
        if !same(batch.schema_ref(), &self.place.schema) {
            return Err(Error::input(format!(
                "rows for table {} have other columns than the table",
                self.place.table
            )));
        }
        let dates = batch.column(self.date);
        if dates.null_count() > 0 {
            return Err(Error::input(format!(
                "{} rows for table {} have no {}; they belong in quarantine",
                dates.null_count(),
                self.place.table,
                self.place.schema.field(self.date).name()
            )));
        }
        if batch.num_rows() == 0 {
            return Ok(Vec::new());
        }
        // The table's own schema says which columns may be null; the batch's may be laxer.
        let batch = RecordBatch::try_new(Arc::clone(&self.place.schema), batch.columns().to_vec())
            .map_err(|error| Error::input(format!("rows for table {}: {error}", self.place.table)))?;
        if let Some(month) = only_month(dates)? {
            return Ok(vec![(month, batch)]);
        }
        let months = month_numbers(dates)?;
        // Stably, so that rows that come in order stay in order.
        let mut order: Vec<u32> = (0..).take(batch.num_rows()).collect();
        order.sort_by_key(|row| months.value(*row as usize));
        let parts =
            order.chunk_by(|a, b| months.value(*a as usize) == months.value(*b as usize)).map(|rows| {
                let month = months.value(rows[0] as usize);
                Ok((month, taken(&batch, &UInt32Array::from(rows.to_vec()))?))
            });
        parts.collect()
    }
}

/// Sorts, encodes and sends rows on a thread of their own; the open file is closed where asked.
///
/// The thread is a new one, not one of the runtime's: an allocator keeps a thread's freed memory for that
/// thread or for a new one after it has ended, so that a pool's threads would each keep a month's worth.
fn write_out(
    mut files: MonthFiles,
    batches: Vec<RecordBatch>,
    sort: Vec<usize>,
    close: bool,
) -> Result<Landing> {
    let runtime = Handle::current();
    let (landed, landing) = oneshot::channel();
    let work = async move {
        let written = async {
            let mut rows = Sorted::new(batches, &sort)?;
            while let Some(rows) = rows.next()? {
                files.append(&rows).await?;
            }
            if close { files.close().await } else { files.end_row_group().await }
        };
        if let Err(error) = written.await {
            files.abort().await;
            return Err(error);
        }
        Ok(files)
    };
    let write = move || {
        // Nobody waits for a writer that was dropped.
        drop(landed.send(runtime.block_on(work)));
    };
    thread::Builder::new().name("archive-writer".to_owned()).spawn(write)?;
    Ok(landing)
}

async fn landed(landing: Landing) -> Result<MonthFiles> {
    landing.await.map_err(|error| Error::internal("a file's writer stopped").with_source(error))?
}

/// The month of all of some dates, where they are of one.
fn only_month(dates: &ArrayRef) -> Result<Option<i32>> {
    let ends: ArrayRef = match dates.data_type() {
        DataType::Date32 => {
            let dates = dates.as_primitive::<Date32Type>();
            Arc::new(Date32Array::from_iter([min(dates), max(dates)]))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let times = dates.as_primitive::<TimestampMicrosecondType>();
            let ends = TimestampMicrosecondArray::from_iter([min(times), max(times)]);
            Arc::new(ends.with_timezone_opt(zone.clone()))
        }
        _ => Arc::clone(dates),
    };
    let months = month_numbers(&ends)?;
    Ok(min(&months).filter(|first| Some(*first) == max(&months)))
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
