//! Reading exports: raw files in, checked Arrow batches and quarantined rows out.
//!
//! Promises: memory stays within a block; no input panics; no row is lost, so that the records read are
//! the rows of the batches plus the rows quarantined; the result does not depend on the block size. CSV is
//! RFC 4180 with the mapping's delimiter, quote and encoding; event logs may be XES (IEEE 1849). Start at
//! [`Mapping`] and [`ExportReader`], and at [`ingest_file`] for the whole way of one file.

mod cells;
pub mod codes;
mod columnar;
mod delimited;
mod mapping;
mod moments;
mod operator;
pub mod run;
mod source;
#[cfg(test)]
mod tests;
mod typed;
mod xes;

use std::{
    fs::File,
    io::Read,
    path::Path,
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{Int64Builder, RecordBatch, StringBuilder},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use parquet::file::reader::ChunkReader;
use serde::{Deserialize, Serialize};

use self::{columnar::Columnar, delimited::Delimited, source::Bytes, xes::Xes};
pub use self::{
    mapping::{ColumnMapping, Encoding, Format, Mapping},
    moments::Zone,
    operator::{Fate, FileReport, IngestOperator},
    run::{FileOutcome, ingest_file},
    source::source_digest,
};
use crate::{Error, Result, ResultExt};

/// Bytes of decompressed text that are read at once.
pub const BLOCK_SIZE: usize = 2 << 20;

/// Longest raw text kept of a quarantined record, in bytes.
const LONGEST_RAW: usize = 64 << 10;

/// What became of a block of records.
#[derive(Debug, Clone)]
pub struct ParsedBlock {
    /// The good rows, with the schema of the mapping's table.
    pub batch: RecordBatch,
    /// The rows that failed, with the schema [`quarantine_schema`].
    pub quarantined: RecordBatch,
}

/// Running counts of a file's records; `read` is always `archived + quarantined`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RowCounts {
    /// Data records read.
    pub read: u64,
    /// Rows that passed every check.
    pub archived: u64,
    /// Rows that did not.
    pub quarantined: u64,
}

/// The schema of quarantined rows.
///
/// `file`; `row_number`, the data record counted from 1; `line` of the text, from 1 (null for Parquet and XES);
/// `column`, the standard column that failed first (null when the record as a whole did); `rule`; `value`,
/// the cell; `raw`, the record's text, at most 64 KiB of it.
pub fn quarantine_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            Field::new("file", DataType::Utf8, false),
            Field::new("row_number", DataType::Int64, false),
            Field::new("line", DataType::Int64, true),
            Field::new("column", DataType::Utf8, true),
            Field::new("rule", DataType::Utf8, false),
            Field::new("value", DataType::Utf8, false),
            Field::new("raw", DataType::Utf8, false),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// A record on its way to quarantine.
struct Bad {
    row: i64,
    line: Option<i64>,
    column: Option<&'static str>,
    rule: &'static str,
    value: String,
    raw: String,
}

impl Bad {
    fn new(
        row: i64,
        line: Option<i64>,
        column: Option<&'static str>,
        rule: &'static str,
        value: String,
        raw: &[u8],
    ) -> Self {
        let kept = String::from_utf8_lossy(&raw[..raw.len().min(LONGEST_RAW)]);
        Self { row, line, column, rule, value, raw: kept.trim_end_matches(['\r', '\n']).to_owned() }
    }
}

fn quarantined(file: &str, mut bad: Vec<Bad>) -> Result<RecordBatch> {
    bad.sort_by_key(|bad| bad.row);
    let (mut rows, mut lines) = (Int64Builder::new(), Int64Builder::new());
    let mut texts: [StringBuilder; 5] = std::array::from_fn(|_| StringBuilder::new());
    for bad in bad {
        rows.append_value(bad.row);
        lines.append_option(bad.line);
        texts[0].append_value(file);
        texts[1].append_option(bad.column);
        texts[2].append_value(bad.rule);
        texts[3].append_value(bad.value);
        texts[4].append_value(bad.raw);
    }
    let [files, columns, rules, values, raws] = texts.map(|mut texts| Arc::new(texts.finish()));
    let arrays: Vec<arrow::array::ArrayRef> =
        vec![files, Arc::new(rows.finish()), Arc::new(lines.finish()), columns, rules, values, raws];
    Ok(RecordBatch::try_new(quarantine_schema(), arrays)?)
}

enum Input {
    Delimited(Box<Delimited>),
    Columnar(Columnar),
    Xes(Box<Xes>),
}

/// Reads one export file block by block.
pub struct ExportReader {
    input: Input,
    counts: RowCounts,
}

impl ExportReader {
    /// Opens a file in the mapping's format.
    ///
    /// # Errors
    /// As [`ExportReader::from_read`]; [`crate::ErrorKind::NotFound`] when there is no such file.
    pub fn open(path: &Path, mapping: &Mapping) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).context(|| format!("read {name}"))?;
        match mapping.format {
            Format::Csv | Format::Xes => Self::from_read(&name, Box::new(file), mapping),
            Format::Parquet => Self::from_parquet(&name, file, mapping),
        }
    }

    /// Reads text of the mapping's format, plain or compressed, from any stream; `name` stands for it in
    /// messages.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] for an empty file, one that is not text of the format, a damaged
    /// compression, or a file that lacks a column of the mapping.
    pub fn from_read(name: &str, read: Box<dyn Read + Send>, mapping: &Mapping) -> Result<Self> {
        Self::from_read_in_blocks(name, read, mapping, BLOCK_SIZE)
    }

    /// [`ExportReader::from_read`] with a block size in bytes; results do not depend on it.
    ///
    /// # Errors
    /// As [`ExportReader::from_read`].
    pub fn from_read_in_blocks(
        name: &str,
        read: Box<dyn Read + Send>,
        mapping: &Mapping,
        block_size: usize,
    ) -> Result<Self> {
        let bytes = Bytes::new(name, read)?;
        let input = match mapping.format {
            Format::Csv => Input::Delimited(Box::new(Delimited::new(name, bytes, mapping, block_size)?)),
            Format::Xes => Input::Xes(Box::new(Xes::new(name, bytes, mapping, block_size)?)),
            Format::Parquet => {
                return Err(Error::input(format!("{name}: Parquet needs a file or bytes, not a stream")));
            }
        };
        Ok(Self { input, counts: RowCounts::default() })
    }

    /// Reads Parquet from a file or from bytes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] for a file that is empty, damaged or lacks a column of the mapping.
    pub fn from_parquet<T: ChunkReader + 'static>(name: &str, input: T, mapping: &Mapping) -> Result<Self> {
        let columnar = Columnar::new(name, input, mapping)?;
        Ok(Self { input: Input::Columnar(columnar), counts: RowCounts::default() })
    }

    /// The next block, or `None` at the end.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when the file turns out cut off or damaged; the kind of the failure
    /// when reading it fails.
    pub fn next_block(&mut self) -> Result<Option<ParsedBlock>> {
        let (block, read) = match &mut self.input {
            Input::Delimited(delimited) => (delimited.next_block()?, delimited.read()),
            Input::Columnar(columnar) => (columnar.next_block()?, columnar.read()),
            Input::Xes(xes) => (xes.next_block()?, xes.read()),
        };
        if let Some(block) = &block {
            let count = |batch: &RecordBatch| u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
            self.counts.archived += count(&block.batch);
            self.counts.quarantined += count(&block.quarantined);
            self.counts.read = u64::try_from(read).unwrap_or(u64::MAX);
            if self.counts.read != self.counts.archived + self.counts.quarantined {
                return Err(Error::internal(format!("ingest lost count of its rows: {:?}", self.counts)));
            }
        }
        Ok(block)
    }

    /// What was read so far.
    pub fn counts(&self) -> RowCounts {
        self.counts
    }
}
