//! A writer of a table's rows as Parquet files, partitioned by country, year and month.
//!
//! [`PartitionWriter`] takes batches in any order. It buffers the rows of each month, sorts them by date or time and
//! then by the columns given, and writes them as row groups; a month whose rows come together and fit half of the memory
//! is sorted as a whole. A month is sorted, encoded and sent on a thread of its own while the next rows are taken: when
//! later rows come, so that it seems to be over, or when it holds the most rows and memory is short.
//!
//! It promises: what it holds stays within [`WriterSettings::memory_bytes`], not counting the row groups that are being
//! encoded (of two months at a time where memory is ample, otherwise of one); which rows go to which file and row group
//! depends on the batches alone, and never on the speed of threads; the names of files depend on the job and the rows
//! alone; readers see nothing of the rows before the files are committed ([`crate::Table::commit`]).
//!
//! What is absent: the commit. Start at [`PartitionWriter::new`].

mod files;
mod order;
mod settings;
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
use tidewaiter_core::{Error, Result};
use tokio::{runtime::Handle, sync::oneshot};

pub use self::settings::WriterSettings;
use self::{
    files::{MonthFiles, Target},
    order::{SortedRows, taken},
};
use crate::{Archive, table::DataFile, upload::UPLOAD_BYTES};

/// The fewest buffered rows of a month that is written because it seems to be over.
const ROWS_OF_A_MONTH: usize = order::SLICE_ROWS;

/// Months that are written at the same time: at the end, when no more rows come, and before it where memory is ample.
const CONCURRENT_MONTHS: usize = 2;

/// The bytes of [`WriterSettings::memory_bytes`] from which on memory is ample.
const AMPLE_MEMORY: usize = 384 << 20;

/// Divides batches by month and writes them as Parquet files below a table's folder.
///
/// It needs a Tokio runtime.
pub struct PartitionWriter {
    target: Arc<Target>,
    /// The place of the date column.
    date: usize,
    /// The places of the columns by which rows are sorted, the date first.
    sort: Vec<usize>,
    /// By month, as are the files: `12 * year + month - 1`.
    buffered: BTreeMap<i32, Buffered>,
    buffered_bytes: usize,
    /// The files of months that are not being written.
    files: BTreeMap<i32, MonthFiles>,
    /// The months that are being written, the first begun first.
    writing: VecDeque<WritingMonth>,
}

/// Rows of one month that wait to be written.
#[derive(Default)]
struct Buffered {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

/// A month that is being written.
struct WritingMonth {
    month: i32,
    /// The bytes of the rows that are being written.
    bytes: usize,
    files: FilesReceiver,
}

/// The files of a month when no more rows come.
enum LastFiles {
    Idle(Box<MonthFiles>),
    Writing(FilesReceiver),
}

/// Receives the files of a month when its rows are written.
type FilesReceiver = oneshot::Receiver<Result<MonthFiles>>;

impl PartitionWriter {
    /// A writer for the rows of one country. They have `schema` (without the partition columns), and the month of a row
    /// is that of its date. `order` names the columns by which rows are sorted: the date or time first, then others, of
    /// which those that the schema lacks are passed over. The names of the files begin with `job`: two writers of one
    /// table must not share it.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the schema has no dates or times of the first name in `order`, or
    /// `country` or `job` is not of its form.
    pub fn new(
        archive: &Archive,
        table: &str,
        schema: &SchemaRef,
        country: &str,
        order: &[&str],
        job: &str,
        settings: WriterSettings,
    ) -> Result<Self> {
        let (date_column, others) = order.split_first().map_or(("", order), |(date, others)| (*date, others));
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
        let after = others.iter().filter_map(|name| schema.index_of(name).ok());
        Ok(Self {
            date,
            sort: std::iter::once(date).chain(after).collect(),
            target: Arc::new(Target {
                archive: archive.clone(),
                table: table.to_owned(),
                job: job.to_owned(),
                country: country.to_owned(),
                schema: Arc::clone(schema),
                settings,
            }),
            buffered: BTreeMap::new(),
            buffered_bytes: 0,
            files: BTreeMap::new(),
            writing: VecDeque::new(),
        })
    }

    /// Bytes of rows and upload buffers held now.
    pub fn held_bytes(&self) -> usize {
        let writing: usize = self.writing.iter().map(|writing| writing.bytes).sum();
        self.buffered_bytes + writing + self.upload_bytes()
    }

    /// Bytes of upload buffers. A month that is being written is counted with one until it is known to have none.
    fn upload_bytes(&self) -> usize {
        let open = self.files.values().filter(|files| files.is_open()).count();
        (open + self.writing.len()) * UPLOAD_BYTES
    }

    /// Takes rows; may begin to write some that are buffered.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the batch has other columns or a row has no date; those of the store,
    /// of rows taken earlier. After an error the writer can only be given up ([`PartitionWriter::abort`]).
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let months = self.split(batch)?;
        let first = months.first().map_or(i32::MIN, |(month, _)| *month);
        for (month, rows) in months {
            let bytes = rows.get_array_memory_size();
            let entry = self.buffered.entry(month).or_default();
            entry.rows += rows.num_rows();
            entry.batches.push(rows);
            entry.bytes += bytes;
            self.buffered_bytes += bytes;
        }
        // Exports are more or less in the order of time, so that an earlier month is likely to be over.
        let over = self.buffered.range(..first).find(|(_, buffered)| buffered.rows >= ROWS_OF_A_MONTH);
        if let Some((&month, _)) = over {
            self.start_writing(month).await?;
        }
        // Half of the memory is for buffered rows, half for those that are being written.
        let memory = self.target.settings.memory_bytes;
        while self.buffered_bytes > 0 && self.buffered_bytes + self.upload_bytes() > memory / 2 {
            let largest = self.buffered.iter().max_by_key(|(month, buffered)| (buffered.bytes, -**month));
            let Some((&month, _)) = largest else { break };
            self.start_writing(month).await?;
        }
        while self.held_bytes() > memory && !self.writing.is_empty() {
            self.finish_oldest().await?;
        }
        Ok(())
    }

    /// Begins to write the buffered rows of a month. Waits first for months that are being written: for the oldest
    /// while there are as many as may be, and for the same month.
    async fn start_writing(&mut self, month: i32) -> Result<()> {
        let most = if self.target.settings.memory_bytes < AMPLE_MEMORY { 1 } else { CONCURRENT_MONTHS };
        while self.writing.len() >= most || self.writing.iter().any(|writing| writing.month == month) {
            self.finish_oldest().await?;
        }
        let Buffered { batches, bytes, .. } = self.buffered.remove(&month).unwrap_or_default();
        self.buffered_bytes -= bytes;
        let files = self.files.remove(&month).unwrap_or_else(|| self.new_month(month));
        // Upload buffers may take a quarter of the memory; beyond that a month's file is closed at once.
        let close = (self.upload_bytes() + UPLOAD_BYTES) * 4 > self.target.settings.memory_bytes;
        let files = spawn_writer(files, batches, self.sort.clone(), close)?;
        self.writing.push_back(WritingMonth { month, bytes, files });
        Ok(())
    }

    /// Waits until the month that was begun first is written.
    async fn finish_oldest(&mut self) -> Result<()> {
        if let Some(WritingMonth { month, files, .. }) = self.writing.pop_front() {
            self.files.insert(month, written(files).await?);
        }
        Ok(())
    }

    fn new_month(&self, month: i32) -> MonthFiles {
        MonthFiles::new(Arc::clone(&self.target), month)
    }

    /// Writes what is buffered, closes every file, and gives the files in the order of their paths.
    ///
    /// # Errors
    /// Those of the store; then open files are given up.
    pub async fn finish(mut self) -> Result<Vec<DataFile>> {
        let mut months: BTreeMap<i32, (LastFiles, Vec<RecordBatch>)> = BTreeMap::new();
        for (month, files) in std::mem::take(&mut self.files) {
            months.insert(month, (LastFiles::Idle(Box::new(files)), Vec::new()));
        }
        for WritingMonth { month, files, .. } in std::mem::take(&mut self.writing) {
            months.insert(month, (LastFiles::Writing(files), Vec::new()));
        }
        for (month, rows) in std::mem::take(&mut self.buffered) {
            let none = || (LastFiles::Idle(Box::new(self.new_month(month))), Vec::new());
            months.entry(month).or_insert_with(none).1 = rows.batches;
        }
        let (sort, failed) = (&self.sort, AtomicBool::new(false));
        let write = |(files, batches): (LastFiles, Vec<RecordBatch>)| {
            let failed = &failed;
            async move {
                let closed = async {
                    let files = match files {
                        LastFiles::Idle(files) => *files,
                        LastFiles::Writing(files) => written(files).await?,
                    };
                    if failed.load(Ordering::Relaxed) {
                        files.abort().await;
                        return Ok(Vec::new());
                    }
                    let files = spawn_writer(files, batches, sort.clone(), true)?;
                    Ok(written(files).await?.closed)
                };
                let closed = closed.await;
                failed.fetch_or(closed.is_err(), Ordering::Relaxed);
                closed
            }
        };
        // Months that are being written first: they are nearly done.
        let (writing, idle): (Vec<_>, Vec<_>) =
            months.into_values().partition(|(files, _)| matches!(files, LastFiles::Writing(_)));
        let months = writing.into_iter().chain(idle);
        let closed = stream::iter(months.map(write)).buffer_unordered(CONCURRENT_MONTHS);
        let closed: Vec<Result<Vec<DataFile>>> = closed.collect().await;
        let mut files = closed.into_iter().collect::<Result<Vec<_>>>()?.concat();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// Gives up the open files; nothing of them stays in the store. Closed files stay, though no reader sees them:
    /// another attempt at the same job may have committed the same paths.
    pub async fn abort(mut self) {
        while !self.writing.is_empty() {
            if let Err(error) = self.finish_oldest().await {
                tracing::debug!(error = error.chain(), "rows of a job that is given up were not written");
            }
        }
        for files in self.files.into_values() {
            files.abort().await;
        }
    }

    /// The rows of a batch by month, which is counted from year 0.
    fn split(&self, batch: &RecordBatch) -> Result<Vec<(i32, RecordBatch)>> {
        let same = |a: &Schema, b: &Schema| {
            a.fields().len() == b.fields().len()
                && a.fields()
                    .iter()
                    .zip(b.fields())
                    .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type())
        };
        if !same(batch.schema_ref(), &self.target.schema) {
            return Err(Error::input(format!(
                "rows for table {} have other columns than the table",
                self.target.table
            )));
        }
        let dates = batch.column(self.date);
        if dates.null_count() > 0 {
            return Err(Error::input(format!(
                "{} rows for table {} have no {}; they belong in quarantine",
                dates.null_count(),
                self.target.table,
                self.target.schema.field(self.date).name()
            )));
        }
        if batch.num_rows() == 0 {
            return Ok(Vec::new());
        }
        // The table's own schema says which columns may be null; the batch's may allow more.
        let batch = RecordBatch::try_new(Arc::clone(&self.target.schema), batch.columns().to_vec())
            .map_err(|error| Error::input(format!("rows for table {}: {error}", self.target.table)))?;
        if let Some(month) = only_month(dates)? {
            return Ok(vec![(month, batch)]);
        }
        let months = month_numbers(dates)?;
        // A stable sort, so that rows in order stay in order.
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

/// Sorts, encodes and sends rows on a new thread; closes the open file after them if `close`.
///
/// The thread is not one of the runtime's, because an allocator keeps the memory that a thread freed for that thread,
/// or for a new one when it has ended: each of a pool's threads would keep as much as a month takes.
fn spawn_writer(
    mut files: MonthFiles,
    batches: Vec<RecordBatch>,
    sort: Vec<usize>,
    close: bool,
) -> Result<FilesReceiver> {
    let runtime = Handle::current();
    let (sender, receiver) = oneshot::channel();
    let work = async move {
        let written = async {
            let mut rows = SortedRows::new(batches, &sort)?;
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
        // The receiver is gone where the writer was dropped.
        drop(sender.send(runtime.block_on(work)));
    };
    thread::Builder::new().name("archive-writer".to_owned()).spawn(write)?;
    Ok(receiver)
}

/// Waits for the files of a month.
async fn written(files: FilesReceiver) -> Result<MonthFiles> {
    files.await.map_err(|error| Error::internal("a file's writer stopped").with_source(error))?
}

/// The month of all these dates; `None` where they are of several.
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

/// The months of dates or times, counted from year 0: `12 * year + month - 1`.
fn month_numbers(dates: &ArrayRef) -> Result<Int32Array> {
    let years = date_part(dates, DatePart::Year)?;
    let months = date_part(dates, DatePart::Month)?;
    let twelve = Int32Array::new_scalar(12);
    let one = Int32Array::new_scalar(1);
    let numbers = numeric::sub(&numeric::add(&numeric::mul(&years, &twelve)?, &months)?, &one)?;
    Ok(numbers.as_primitive::<Int32Type>().clone())
}
