//! Rows of a shard that is larger than memory: in a file on the worker's disk, read again in batches.
//!
//! A loader writes the rows once, as they come from the store ([`Spiller`]). In each round the shard says which rows it
//! needs, list by list, and takes them as batches ([`SpilledRows::read`]) while the next lists are read. Promises:
//!
//! - in memory are the batches that are read ahead, the one that the shard works on and one block of the file, and never
//!   the shard;
//! - a batch has the rows of its list in the list's order, so that a fit gives the same bytes as with the rows in memory;
//! - the file is deleted when the shard is dropped, also by a cancelled task.
//!
//! The file is an Arrow IPC file, whose blocks are read in any order without the others. Start at [`Spiller::new`].

use std::{
    fs::File,
    io::{BufReader, BufWriter},
    sync::Arc,
};

use arrow::{
    array::RecordBatch,
    compute::concat_batches,
    datatypes::SchemaRef,
    ipc::{reader::FileReader, writer::FileWriter},
};
use futures::future::BoxFuture;
use tidewaiter_core::{
    Error, Result, ResultExt,
    disk::{Disk, DiskFile, DiskWriter},
    threads::{check, on_cpu},
};
use tokio::sync::mpsc;

/// Writes the rows of a shard. Its methods wait for the disk: they are for threads of computation.
pub struct Spiller {
    file: DiskFile,
    writer: FileWriter<BufWriter<DiskWriter>>,
    schema: SchemaRef,
    block_rows: usize,
    /// The first row of each block.
    starts: Vec<usize>,
    rows: usize,
}

/// Rows on disk. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SpilledRows {
    file: DiskFile,
    schema: SchemaRef,
    starts: Arc<[usize]>,
    rows: usize,
}

/// The batches of some lists of rows, read ahead.
pub struct Batches {
    read: mpsc::Receiver<RecordBatch>,
    /// Ends when all are read; reading stops when this is dropped.
    reading: Option<BoxFuture<'static, Result<()>>>,
}

impl Spiller {
    /// Begins a file of rows on a disk. At most `block_rows` rows are one block, which is read as a whole: one where a row
    /// is an image, some thousand where it is some numbers.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn new(disk: &Disk, schema: SchemaRef, block_rows: usize) -> Result<Self> {
        let file = disk.file("the rows of a fit's shard")?;
        let writer = FileWriter::try_new(BufWriter::new(file.writer()?), &schema)?;
        Ok(Self { file, writer, schema, block_rows: block_rows.max(1), starts: Vec::new(), rows: 0 })
    }

    /// Writes more rows.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when they have other columns; those of the file system, as when the disk
    /// is full.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        if rows.schema().fields() != self.schema.fields() {
            return Err(Error::internal("rows of a shard have other columns than those before"));
        }
        for first in (0..rows.num_rows()).step_by(self.block_rows) {
            check()?;
            let block = rows.slice(first, self.block_rows.min(rows.num_rows() - first));
            self.writer.write(&block).context(|| "write a shard to disk")?;
            self.starts.push(self.rows);
            self.rows += block.num_rows();
        }
        Ok(())
    }

    /// The rows, which are numbered from 0 in the order in which they were written.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn finish(mut self) -> Result<SpilledRows> {
        self.writer.finish().context(|| "write a shard to disk")?;
        let Self { file, schema, starts, rows, .. } = self;
        Ok(SpilledRows { file, schema, starts: starts.into(), rows })
    }
}

impl SpilledRows {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows of each list as a batch, in the order of the lists. So many batches as `ahead`, and one more, are read
    /// before they are asked for. Reading begins at once.
    pub fn read(
        &self,
        lists: impl IntoIterator<Item = Vec<usize>, IntoIter: Send + 'static>,
        ahead: usize,
    ) -> Batches {
        let (send, read) = mpsc::channel(ahead.max(1));
        let (rows, lists) = (self.clone(), lists.into_iter());
        let reading = on_cpu(move || {
            let mut reader = BlockReader::open(rows)?;
            for list in lists {
                check()?;
                // Nobody waits for the others when the batches are dropped.
                if send.blocking_send(reader.rows(&list)?).is_err() {
                    break;
                }
            }
            Ok(())
        });
        Batches { read, reading: Some(Box::pin(reading)) }
    }
}

impl Batches {
    /// The batch of the next list; `None` after the last.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] for a row that does not exist; those of the file system.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(batch) = self.read.recv().await {
            return Ok(Some(batch));
        }
        match self.reading.take() {
            Some(reading) => reading.await.map(|()| None),
            None => Ok(None),
        }
    }
}

/// Reads rows, and keeps the last block for the next ones.
struct BlockReader {
    rows: SpilledRows,
    reader: FileReader<BufReader<File>>,
    held: Option<(usize, RecordBatch)>,
}

impl BlockReader {
    fn open(rows: SpilledRows) -> Result<Self> {
        let file = File::open(rows.file.path()).context(|| "read a shard from disk")?;
        Ok(Self { rows, reader: FileReader::try_new_buffered(file, None)?, held: None })
    }

    /// The rows of a list, in its order.
    fn rows(&mut self, list: &[usize]) -> Result<RecordBatch> {
        let mut parts = Vec::new();
        // Rows that follow each other in a block are one part.
        let mut left = list;
        while let Some(first) = left.first().copied() {
            let (block, start) = self.block_of(first)?;
            let in_block = block.num_rows() - (first - start);
            let follow = left.iter().zip(first..first + in_block).take_while(|(row, next)| *row == next);
            let count = follow.count();
            parts.push(block.slice(first - start, count));
            left = &left[count..];
        }
        Ok(concat_batches(&self.rows.schema, &parts)?)
    }

    /// The block of a row, and its first row.
    fn block_of(&mut self, row: usize) -> Result<(RecordBatch, usize)> {
        let missing = || Error::internal(format!("a shard on disk has no row {row}"));
        if row >= self.rows.rows {
            return Err(missing());
        }
        let number = self.rows.starts.partition_point(|start| *start <= row).saturating_sub(1);
        let start = self.rows.starts[number];
        if let Some((held, block)) = &self.held
            && *held == number
        {
            return Ok((block.clone(), start));
        }
        // The one before is let go first.
        self.held = None;
        self.reader.set_index(number)?;
        let block = self.reader.next().ok_or_else(missing)?.context(|| "read a shard from disk")?;
        self.held = Some((number, block.clone()));
        Ok((block, start))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use arrow::{
        array::{ArrayRef, AsArray, BinaryArray, Int64Array, UInt64Array},
        compute::take_record_batch,
        datatypes::Int64Type,
    };
    use proptest::prelude::*;
    use tidewaiter_core::{ErrorKind, disk};

    use super::*;

    fn batch(rows: std::ops::Range<i64>) -> RecordBatch {
        let bytes = rows.clone().map(|row| vec![row as u8; 1 + row as usize % 5]);
        let bytes = BinaryArray::from_iter_values(bytes.collect::<Vec<_>>());
        let columns: [(&str, ArrayRef); 2] =
            [("number", Arc::new(Int64Array::from_iter_values(rows))), ("bytes", Arc::new(bytes))];
        RecordBatch::try_from_iter(columns).expect("a batch")
    }

    fn spilled(disk: &Disk, batches: &[RecordBatch], block_rows: usize) -> SpilledRows {
        let mut spiller = Spiller::new(disk, batches[0].schema(), block_rows).expect("a file");
        batches.iter().for_each(|rows| spiller.write(rows).expect("written"));
        spiller.finish().expect("finished")
    }

    fn a_disk() -> Disk {
        Disk::of_task(&datafusion::execution::TaskContext::default())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn rows_come_as_they_would_from_memory(
            ends in prop::collection::vec(1_i64..9, 1..5),
            block_rows in 1_usize..5,
            lists in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..9), 0..6),
        ) {
            let mut first = 0;
            let batches: Vec<_> = ends.iter().map(|rows| { first += rows; batch(first - rows..first) }).collect();
            let whole = concat_batches(&batches[0].schema(), &batches).expect("one batch");
            let lists: Vec<Vec<usize>> =
                lists.iter().map(|list| list.iter().map(|row| row.index(first as usize)).collect()).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                let rows = spilled(&a_disk(), &batches, block_rows);
                let mut read = rows.read(lists.clone(), 1);
                for list in &lists {
                    let wanted = UInt64Array::from_iter_values(list.iter().map(|row| *row as u64));
                    let wanted = take_record_batch(&whole, &wanted).expect("taken");
                    assert_eq!(read.next().await.expect("reads"), Some(wanted));
                }
                assert_eq!(read.next().await.expect("reads"), None);
                assert_eq!(read.next().await.expect("reads"), None);
            });
        }
    }

    /// A shard of 32 MiB, of which some batches of 512 KiB are ever in memory.
    #[tokio::test]
    async fn batches_are_read_ahead_and_never_the_shard() {
        const ROWS: usize = 64;
        const AHEAD: usize = 2;
        let disk = a_disk();
        let image = |row: usize| {
            let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values([vec![row as u8; 512 << 10]]));
            RecordBatch::try_from_iter([("bytes", bytes)]).expect("a batch")
        };
        let mut spiller = Spiller::new(&disk, image(0).schema(), 1).expect("a file");
        (0..ROWS).for_each(|row| spiller.write(&image(row)).expect("written"));
        let rows = spiller.finish().expect("finished");
        assert_eq!((rows.len(), disk.files()), (ROWS, 1));

        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let lists = (0..ROWS).map(move |row| {
            counted.fetch_add(1, Ordering::Relaxed);
            vec![(row * 29) % ROWS]
        });
        let mut read = rows.read(lists, AHEAD);
        for taken in 0..ROWS {
            // What is in the channel, and the one that waits for a place in it.
            let most = (taken + AHEAD + 1).min(ROWS);
            while asked.load(Ordering::Relaxed) < most {
                tokio::task::yield_now().await;
            }
            assert!(asked.load(Ordering::Relaxed) <= most, "after {taken} batches");
            let batch = read.next().await.expect("reads").expect("a batch");
            assert_eq!(batch.num_rows(), 1);
            assert_eq!(batch.column(0).as_binary::<i32>().value(0)[7], ((taken * 29) % ROWS) as u8);
            assert!(batch.get_array_memory_size() < 2 << 20, "{} bytes", batch.get_array_memory_size());
        }
        assert_eq!(read.next().await.expect("reads"), None);
        drop((read, rows));
        assert_eq!(disk.files(), 0);
    }

    #[tokio::test]
    async fn what_is_missing_is_an_error_and_a_reader_that_is_dropped_stops() {
        let disk = a_disk();
        let rows = disk::within(disk.clone(), async {
            spilled(&Disk::current().expect("the task's"), &[batch(0..4)], 3)
        });
        let rows = rows.await;
        let mut read = rows.read([vec![1, 2, 3], vec![4]], 1);
        let batch_read = read.next().await.expect("reads").expect("a batch");
        assert_eq!(batch_read.column(0).as_primitive::<Int64Type>().values(), &[1, 2, 3]);
        let error = read.next().await.expect_err("there are four rows");
        assert!(error.kind() == ErrorKind::Internal && error.chain().contains("no row 4"));

        let mut spiller = Spiller::new(&disk, Arc::clone(&rows.schema), 1).expect("a file");
        let other = RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]);
        spiller.write(&other.expect("a batch")).expect_err("other columns");
        drop(spiller);
        let mut endless = rows.read(std::iter::repeat(vec![0]), 1);
        endless.next().await.expect("reads").expect("a batch");
        drop((endless, read, rows));
        while disk.files() > 0 {
            tokio::task::yield_now().await;
        }
    }
}
