//! The examples of a shard, on the worker's disk: they may be larger than its memory.
//!
//! They are read from the store once, a row group at a time, and filed by image and tile, so that a shard does not depend
//! on which executor wrote which file. In memory are their places. Start at [`Examples::load`].

use arrow::array::RecordBatch;
use futures::StreamExt;
use tidewaiter_archive::{Archive, file_rows::file_rows};
use tidewaiter_core::{Result, ResultExt, disk::Disk, threads::on_cpu};
use tidewaiter_learning::spilled::{Batches, SpilledRows, Spiller};

use super::augment::Example;
use crate::features::squares::{Part, Square, of_batch, schema};

/// Squares that are read from the store at a time.
const READ_SQUARES: usize = 16;

/// Batches that are read from disk while one is computed on.
const AHEAD: usize = 2;

/// The examples of a shard, each by its place on disk.
pub struct Examples {
    rows: SpilledRows,
    side: usize,
    /// The places of the training examples.
    pub training: Vec<usize>,
    /// The places of the validation examples.
    pub validation: Vec<usize>,
    /// Training examples with an object.
    pub with_objects: u64,
}

impl Examples {
    /// Copies the examples of some files of squares of `side` pixels to the task's disk.
    ///
    /// # Errors
    /// Those of the store and of the disk; [`tidewaiter_core::ErrorKind::Corrupt`] when a file is not one of squares.
    pub async fn load(archive: &Archive, files: &[String], side: usize) -> Result<Self> {
        let mut filing = Filing::new(&Disk::current()?, side)?;
        for file in files {
            let mut batches = file_rows(archive, file, READ_SQUARES).await?;
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                let filed = on_cpu(move || filing.add(&batch)).await;
                filing = filed.context(|| format!("read the squares in {file}"))?;
            }
        }
        on_cpu(move || filing.finish()).await
    }

    /// The examples at each list of places, in its order, read ahead.
    pub fn read(&self, lists: Vec<Vec<usize>>) -> ReadExamples {
        ReadExamples { batches: self.rows.read(lists, AHEAD), side: self.side }
    }
}

/// Lists of examples, one after the other.
pub struct ReadExamples {
    batches: Batches,
    side: usize,
}

impl ReadExamples {
    /// The examples of the next list; of none after the last.
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn next(&mut self) -> Result<Vec<Example>> {
        let Some(batch) = self.batches.next().await? else { return Ok(Vec::new()) };
        Ok(of_batch(&batch, self.side)?.into_iter().map(|square| square.example).collect())
    }
}

/// Examples while they are written to disk.
struct Filing {
    spiller: Spiller,
    side: usize,
    next: usize,
    places: Vec<Place>,
}

/// What orders the examples of a shard, and where one lies.
struct Place {
    image: String,
    tile: i32,
    is_training: bool,
    has_objects: bool,
    row: usize,
}

impl Filing {
    fn new(disk: &Disk, side: usize) -> Result<Self> {
        // One square is one block: any of them is read without the others.
        Ok(Self { spiller: Spiller::new(disk, schema(), 1)?, side, next: 0, places: Vec::new() })
    }

    fn add(mut self, batch: &RecordBatch) -> Result<Self> {
        for Square { image, tile, part, example } in of_batch(batch, self.side)? {
            let is_training = part == Part::Training.number();
            let (has_objects, row) = (!example.objects.is_empty(), self.next);
            self.places.push(Place { image, tile, is_training, has_objects, row });
            self.next += 1;
        }
        self.spiller.write(batch)?;
        Ok(self)
    }

    fn finish(mut self) -> Result<Examples> {
        self.places.sort_by(|a, b| (&a.image, a.tile).cmp(&(&b.image, b.tile)));
        let (training, validation): (Vec<_>, Vec<_>) =
            self.places.into_iter().partition(|place| place.is_training);
        let with_objects = training.iter().filter(|place| place.has_objects).count() as u64;
        let rows = |places: Vec<Place>| places.into_iter().map(|place| place.row).collect();
        Ok(Examples {
            rows: self.spiller.finish()?,
            side: self.side,
            training: rows(training),
            validation: rows(validation),
            with_objects,
        })
    }
}
