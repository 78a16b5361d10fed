//! The ingest as a plan node: each input row names an export file, and the answer says how each file ended.
//!
//! A file that cannot be ingested is an answer and not an error, so that the other files are ingested all the same.
//! Only an error that waiting can cure fails the task, which the engine then retries. Data files are named by the job
//! and the number of the export file, so that a repeated task replaces its own files.
//!
//! What is absent: the commit, which is the driver's. Start at [`IngestOperator`].

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use tidewaiter_archive::{Archive, DataFile, Table, WriterSettings, schema::Layout, tasks};
use tidewaiter_core::{
    Error, ErrorKind, Result,
    plan::{self, Input, Meter, Operator},
};

use crate::{block::RowCounts, file::ingest_file, mapping::Mapping, messages};

/// How the ingest of one export file ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FileReport {
    /// The number of the file in the job's list, from 0.
    pub number: u32,
    /// The path of the file.
    pub file: String,
    /// How it ended.
    #[serde(rename = "fate")]
    pub status: FileStatus,
}

/// The status of an export file after its ingest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileStatus {
    /// Its rows are written and are to be committed.
    Written {
        /// The numbers of its records.
        rows: RowCounts,
        /// The SHA-256 of its bytes.
        digest: String,
        /// The data files that the commit must add.
        files: Vec<DataFile>,
    },
    /// The same bytes were ingested before.
    AlreadyThere,
    /// It cannot be ingested.
    Failed {
        /// What went wrong, where, and what to do.
        error: String,
        /// The remedy.
        kind: ErrorKind,
    },
}

/// The operator; each partition answers with one report ([`plan::report`]): a list of [`FileReport`], one for each
/// file.
#[derive(Debug)]
pub struct IngestOperator {
    message: messages::IngestOperator,
    archive: Archive,
    mapping: Mapping,
}

impl IngestOperator {
    /// The name of the node in plans.
    pub const NAME: &'static str = "IngestExec";

    /// The operator of a message, whose mapping is for one of `tables`.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when the mapping is wrong.
    pub fn new(message: messages::IngestOperator, tables: &[&'static Layout]) -> Result<Self> {
        let archive = Archive::open(&message.archive)?;
        let mapping = Mapping::parse(&message.mapping, tables)?;
        Ok(Self { message, archive, mapping })
    }

    async fn ingest_all(&self, mut input: Input) -> Result<Vec<FileReport>> {
        let table = Table::open(&self.archive, self.mapping.layout().table).await?;
        let mut reports = Vec::new();
        let meter = Arc::clone(&input.meter);
        while let Some(batch) = input.rows.next().await {
            for (number, file) in tasks::of_batch(&batch?)? {
                let number = self.message.first + number;
                let status = self.ingest(&table, number, &file, &meter).await?;
                reports.push(FileReport { number, file, status });
            }
        }
        Ok(reports)
    }

    async fn ingest(&self, table: &Table, number: u32, file: &str, meter: &Meter) -> Result<FileStatus> {
        let name = format!("{}-{number}", self.message.job);
        let memory = usize::try_from(self.message.memory_bytes).unwrap_or(usize::MAX);
        let settings = WriterSettings { memory_bytes: memory, ..WriterSettings::default() };
        let done = AtomicU64::new(0);
        // The ingest reports all rows of the file so far; the meter takes the new ones.
        let progress = |rows: u64| meter.advance(rows.saturating_sub(done.swap(rows, Ordering::Relaxed)));
        match ingest_file(table, &self.mapping, Path::new(file), &name, settings, &progress).await {
            Ok(outcome) if outcome.already_there => Ok(FileStatus::AlreadyThere),
            Ok(outcome) => {
                Ok(FileStatus::Written { rows: outcome.counts, digest: outcome.digest, files: outcome.files })
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => Err(error),
            Err(error) => Ok(FileStatus::Failed { error: error.chain(), kind: error.kind() }),
        }
    }
}

impl Operator for IngestOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        match input.index_of("task") {
            Ok(_) => Ok(plan::report_schema()),
            Err(_) => Err(Error::internal("an ingest needs rows that name files")),
        }
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        futures::stream::once(async move { plan::report(&self.ingest_all(input).await?) }).boxed()
    }
}
