//! Readers of export files: delimited text, Parquet and XES in, blocks of checked rows out.
//!
//! Every reader takes the columns that the mapping names, checks them by [`crate::cells`] and gives blocks of good rows
//! and of rows for quarantine. A file is one of this machine or of an object store.
//! Start at [`ExportReader`].

mod columnar;
mod delimited;
mod gzip;
mod kinds;
mod source;
mod split;
mod xes;
mod zip;

use std::{fs::File, io::Read, path::Path};

use arrow::array::RecordBatch;
use parquet::file::reader::ChunkReader;
use tidewaiter_core::{Error, Result, ResultExt};

pub use self::source::source_digest;
use self::{columnar::Columnar, delimited::Delimited, source::Bytes, xes::Xes};
use crate::{
    block::{BLOCK_SIZE, ParsedBlock, RowCounts},
    mapping::{Format, Mapping},
    remote::RemoteFile,
};

/// The reader of one format.
enum FormatReader {
    Delimited(Box<Delimited>),
    Columnar(Columnar),
    Xes(Box<Xes>),
}

/// A reader of one export file, block by block.
pub struct ExportReader {
    reader: FormatReader,
    counts: RowCounts,
}

impl ExportReader {
    /// Opens a file of the mapping's format.
    ///
    /// # Errors
    /// As [`ExportReader::from_read`]; [`tidewaiter_core::ErrorKind::NotFound`] when there is no such file.
    pub fn open(path: &Path, mapping: &Mapping) -> Result<Self> {
        let name = path.display().to_string();
        if let Some(file) = RemoteFile::open(&name)? {
            return match mapping.file.format {
                Format::Csv | Format::Xes => Self::from_read(&name, Box::new(file), mapping),
                Format::Parquet => Self::from_parquet(&name, file, mapping),
            };
        }
        let file = File::open(path).context(|| format!("read {name}"))?;
        match mapping.file.format {
            Format::Csv | Format::Xes => Self::from_read(&name, Box::new(file), mapping),
            Format::Parquet => Self::from_parquet(&name, file, mapping),
        }
    }

    /// Reads text of the mapping's format, plain or compressed, from any stream; messages call it `name`.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for an empty file, one that is not text of the format, a damaged
    /// compression, or a file that lacks a column of the mapping.
    pub fn from_read(name: &str, read: Box<dyn Read + Send>, mapping: &Mapping) -> Result<Self> {
        Self::from_read_in_blocks(name, read, mapping, BLOCK_SIZE)
    }

    /// [`ExportReader::from_read`] with a block size in bytes; the rows do not depend on it.
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
        let reader = match mapping.file.format {
            Format::Csv => {
                FormatReader::Delimited(Box::new(Delimited::new(name, bytes, mapping, block_size)?))
            }
            Format::Xes => FormatReader::Xes(Box::new(Xes::new(name, bytes, mapping, block_size)?)),
            Format::Parquet => {
                return Err(Error::input(format!("{name}: Parquet needs a file or bytes, not a stream")));
            }
        };
        Ok(Self { reader, counts: RowCounts::default() })
    }

    /// Reads Parquet from a file or from bytes; messages call it `name`.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for a file that is empty, damaged or lacks a column of the mapping.
    pub fn from_parquet<T: ChunkReader + 'static>(name: &str, input: T, mapping: &Mapping) -> Result<Self> {
        let columnar = Columnar::new(name, input, mapping)?;
        Ok(Self { reader: FormatReader::Columnar(columnar), counts: RowCounts::default() })
    }

    /// The next block, or `None` at the end.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the file turns out to be cut off or damaged; the kind of the failure
    /// when it cannot be read.
    pub fn next_block(&mut self) -> Result<Option<ParsedBlock>> {
        let (block, read) = match &mut self.reader {
            FormatReader::Delimited(delimited) => (delimited.next_block()?, delimited.read()),
            FormatReader::Columnar(columnar) => (columnar.next_block()?, columnar.read()),
            FormatReader::Xes(xes) => (xes.next_block()?, xes.read()),
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

    /// The records read so far.
    pub fn counts(&self) -> RowCounts {
        self.counts
    }
}

/// The first bytes of a text file, decompressed.
///
/// # Errors
/// As [`ExportReader::from_read`].
pub(crate) fn sample(path: &Path, most: usize) -> Result<Vec<u8>> {
    let name = path.display().to_string();
    let file = File::open(path).context(|| format!("read {name}"))?;
    let mut bytes = Vec::new();
    Bytes::new(&name, Box::new(file))?.fill(&mut bytes, most)?;
    Ok(bytes)
}
