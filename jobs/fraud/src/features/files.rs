//! Feature files: their columns, and writing rows of features to them.
//!
//! Each output takes the rows of some days and assigns them in blocks to its parts, so that every part covers the
//! whole time, and the assignment depends only on the rows.

use std::{
    ops::RangeInclusive,
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, RecordBatch, UInt32Array},
    compute::take_record_batch,
    datatypes::{DataType, Date32Type, Field, Schema, SchemaRef},
};
use object_store::buffered::BufWriter;
use parquet::{
    arrow::AsyncArrowWriter,
    basic::Compression,
    file::properties::{EnabledStatistics, WriterProperties},
};
use serde::{Deserialize, Serialize};
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, Result, ResultExt};
use tokio::{sync::mpsc, task::JoinSet};

use super::{columns, schema::feature_schema};
use crate::messages;

/// Declared values for the readers of a selection: columns after the features, null where not given.
const DECLARED_TEXTS: [&str; 3] = ["importer", "hs_code", "origin"];

/// Whether a random draw alone chose an item for inspection: of no use to a model, but to the figures of all items. Archives
/// of earlier versions lack it.
pub(super) const RANDOM_INSPECTION: &str = "random_inspection";

/// Consecutive rows that go to one part before the next part gets rows.
const BLOCK_ROWS: usize = 4096;

/// Batches that wait for a file's writer.
const AHEAD: usize = 2;

/// Rows of a file that are encoded together.
const ROW_GROUP_ROWS: usize = 32 << 10;

/// The columns of a feature file: those of [`feature_schema`], then `importer`, `hs_code`, `origin` and
/// `customs_value` as declared, and `random_inspection`.
pub fn file_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let mut fields = feature_schema().fields().to_vec();
        fields.extend(DECLARED_TEXTS.map(|name| Arc::new(Field::new(name, DataType::Utf8, true))));
        fields.push(Arc::new(Field::new("customs_value", DataType::Float64, true)));
        fields.push(Arc::new(Field::new(RANDOM_INSPECTION, DataType::Boolean, true)));
        Arc::new(Schema::new(fields))
    });
    Arc::clone(&SCHEMA)
}

/// The files that a features operator wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureFiles {
    /// Rows read.
    pub rows: u64,
    /// Keys forgotten because the histories were full; 0: every feature is exact.
    pub forgotten: u64,
    /// By output, in the order of the request.
    pub outputs: Vec<Written>,
}

/// The files of one output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Its files, by part; a part without rows has an empty file.
    pub files: Vec<FeatureFile>,
    /// Its rows, by the request's ranges of days.
    pub ranges: Vec<Outcomes>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureFile {
    /// In the archive.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Rows.
    pub rows: u64,
}

/// Rows, and how many of them are known to be illicit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// All rows.
    pub rows: u64,
    /// Rows with a known outcome.
    pub labelled: u64,
    /// Rows known to be illicit.
    pub illicit: u64,
}

/// The columns after the features.
pub(super) fn declared(rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
    let mut declared = Vec::new();
    for name in DECLARED_TEXTS {
        declared.push(Arc::new(columns::text(rows, name)?) as ArrayRef);
    }
    let values = columns::column(rows, "customs_value", &DataType::Float64)?;
    declared.push(values.unwrap_or_else(|| Arc::new(Float64Array::new_null(rows.num_rows()))));
    declared.push(Arc::new(columns::flags(rows, RANDOM_INSPECTION)?));
    Ok(declared)
}

/// Which rows an output takes.
#[derive(Clone)]
pub(super) struct Selection {
    days: Vec<RangeInclusive<i32>>,
    labelled_only: bool,
}

impl Selection {
    /// The index of the range of days that a row is in, if the output takes it; `labelled`: its outcome is known.
    pub(super) fn range_of(&self, day: i32, labelled: bool) -> Option<usize> {
        let range = self.days.iter().position(|days| days.contains(&day))?;
        (labelled || !self.labelled_only).then_some(range)
    }
}

/// One output while it is written.
pub(super) struct Output {
    pub(super) selection: Selection,
    parts: Vec<Part>,
    ranges: Vec<Outcomes>,
    assigned: usize,
}

/// One file while it is written, by its own task.
struct Part {
    path: String,
    rows: u64,
    batches: mpsc::Sender<RecordBatch>,
    /// The task stops when this is dropped.
    writing: JoinSet<Result<()>>,
}

impl Output {
    /// Opens the files of an output in a folder of the archive.
    pub(super) fn new(archive: &Archive, folder: &str, output: &messages::FeatureOutput) -> Result<Self> {
        let parts = (0..output.parts.max(1))
            .map(|part| Part::new(archive, format!("{folder}/{}-{part:04}.parquet", output.name)));
        let days = output.days.iter().map(|range| range.first..=range.last).collect();
        Ok(Self {
            selection: Selection { days, labelled_only: output.labelled_only },
            parts: parts.collect::<Result<_>>()?,
            ranges: vec![Outcomes::default(); output.days.len()],
            assigned: 0,
        })
    }

    /// Writes the rows that this output takes.
    pub(super) async fn write(&mut self, records: &RecordBatch) -> Result<()> {
        let days = records.column(2).as_primitive::<Date32Type>().values();
        let labels: &Float32Array = records.column(3).as_primitive();
        let mut chosen = vec![Vec::new(); self.parts.len()];
        for (row, day) in days.iter().enumerate() {
            let labelled = labels.is_valid(row);
            let Some(range) = self.selection.range_of(*day, labelled) else { continue };
            let counts = &mut self.ranges[range];
            counts.rows += 1;
            counts.labelled += u64::from(labelled);
            counts.illicit += u64::from(labelled && labels.value(row) > 0.5);
            chosen[self.assigned / BLOCK_ROWS % self.parts.len()].push(row as u32);
            self.assigned += 1;
        }
        for (part, rows) in self.parts.iter_mut().zip(chosen) {
            if !rows.is_empty() {
                part.write(rows_at(records, rows)?).await?;
            }
        }
        Ok(())
    }

    /// Closes the files.
    pub(super) async fn finish(self, archive: &Archive) -> Result<Written> {
        let mut files = Vec::new();
        for part in self.parts {
            files.push(part.finish(archive).await?);
        }
        Ok(Written { files, ranges: self.ranges })
    }
}

/// Rows by their ascending indices; not copied where they are consecutive.
fn rows_at(records: &RecordBatch, rows: Vec<u32>) -> Result<RecordBatch> {
    match rows.as_slice() {
        [first, .., last] if (last - first) as usize + 1 == rows.len() => {
            Ok(records.slice(*first as usize, rows.len()))
        }
        _ => Ok(take_record_batch(records, &UInt32Array::from(rows))?),
    }
}

impl Part {
    fn new(archive: &Archive, path: String) -> Result<Self> {
        let properties = WriterProperties::builder()
            // Read once or twice and soon: fast to write and read matters more than small.
            .set_compression(Compression::LZ4_RAW)
            .set_dictionary_enabled(false)
            // Rows are in time order, and are filtered by day at most.
            .set_statistics_enabled(EnabledStatistics::None)
            .set_column_statistics_enabled("acceptance_date".into(), EnabledStatistics::Chunk)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_created_by("tidewaiter".to_owned())
            .build();
        let file = BufWriter::new(Arc::clone(archive.store()), archive.path(&path));
        let mut writer = AsyncArrowWriter::try_new(file, file_schema(), Some(properties))?;
        let (batches, mut rows) = mpsc::channel(AHEAD);
        let mut writing = JoinSet::new();
        let name = path.clone();
        writing.spawn(async move {
            while let Some(rows) = rows.recv().await {
                writer.write(&rows).await.context(|| format!("write {name}"))?;
            }
            writer.close().await.context(|| format!("write {name}"))?;
            Ok(())
        });
        Ok(Self { path, rows: 0, batches, writing })
    }

    async fn write(&mut self, rows: RecordBatch) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        match self.batches.send(rows).await {
            Ok(()) => Ok(()),
            // Closed only when the writing failed.
            Err(_) => outcome(&mut self.writing, &self.path).await,
        }
    }

    async fn finish(self, archive: &Archive) -> Result<FeatureFile> {
        let Self { path, rows, batches, mut writing } = self;
        // The writer ends when the channel is closed.
        drop(batches);
        outcome(&mut writing, &path).await?;
        Ok(FeatureFile { size: archive.size(&path).await?, path, rows })
    }
}

/// The result of a file's writing.
async fn outcome(writing: &mut JoinSet<Result<()>>, path: &str) -> Result<()> {
    match writing.join_next().await {
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => Err(Error::internal(format!("the writing of {path} stopped")).with_source(error)),
        None => Err(Error::internal(format!("the writing of {path} had ended before"))),
    }
}
