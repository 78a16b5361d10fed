//! Ingest as a plan node: each input row names an export file, each answer tells what became of it.
//!
//! A file that cannot be ingested is an answer and not an error, so that the other files go on; only what
//! may pass by itself (a store that is away) fails the task, which the engine then tries again. A file's
//! data is written under names made of the job and the file's number: tried again, it replaces itself.

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
use serde::{Deserialize, Serialize};
use tidewaiter_proto::v1;

use super::{Mapping, RowCounts, ingest_file};
use crate::{
    Archive, Error, ErrorKind, Result,
    archive::{DataFile, Table, WriterSettings},
    plan::{self, Input, Meter, Operator, tasks},
};

/// What became of one export file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FileReport {
    /// Its place in the job's list.
    pub number: u32,
    /// The file.
    pub file: String,
    /// What happened.
    pub fate: Fate,
}

/// What happened to an export file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is written and waits for its commit.
    Written {
        /// Rows read, archived and quarantined.
        rows: RowCounts,
        /// The digest of its bytes.
        digest: String,
        /// What the commit must add.
        files: Vec<DataFile>,
    },
    /// The same bytes were ingested before.
    AlreadyThere,
    /// It cannot be ingested.
    Failed {
        /// Why, where, and what to do.
        error: String,
        /// The remedy.
        kind: ErrorKind,
    },
}

/// The plan node; each partition answers with a [`FileReport`] per file.
#[derive(Debug)]
pub struct IngestOperator {
    message: v1::IngestOperator,
    archive: Archive,
    mapping: Mapping,
}

impl IngestOperator {
    /// The operator of a message.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when the mapping is wrong.
    pub fn new(message: v1::IngestOperator) -> Result<Self> {
        let archive = Archive::open(&message.archive)?;
        let mapping = Mapping::parse(&message.mapping)?;
        Ok(Self { message, archive, mapping })
    }

    async fn ingest_all(&self, mut input: Input) -> Result<Vec<FileReport>> {
        let table = Table::open(&self.archive, self.mapping.layout()?.table).await?;
        let mut reports = Vec::new();
        let meter = Arc::clone(&input.meter);
        while let Some(batch) = input.rows.next().await {
            for (number, file) in tasks::of_batch(&batch?)? {
                let number = self.message.first + number;
                let fate = self.ingest(&table, number, &file, &meter).await?;
                reports.push(FileReport { number, file, fate });
            }
        }
        Ok(reports)
    }

    async fn ingest(&self, table: &Table, number: u32, file: &str, meter: &Meter) -> Result<Fate> {
        let name = format!("{}-{number}", self.message.job);
        let memory = usize::try_from(self.message.memory_bytes).unwrap_or(usize::MAX);
        let settings = WriterSettings { memory_bytes: memory, ..WriterSettings::default() };
        let done = AtomicU64::new(0);
        // The file tells all its rows so far, the meter hears how many are new.
        let progress = |rows: u64| meter.advance(rows.saturating_sub(done.swap(rows, Ordering::Relaxed)));
        match ingest_file(table, &self.mapping, Path::new(file), &name, settings, &progress).await {
            Ok(outcome) if outcome.already_there => Ok(Fate::AlreadyThere),
            Ok(outcome) => {
                Ok(Fate::Written { rows: outcome.counts, digest: outcome.digest, files: outcome.files })
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => Err(error),
            Err(error) => Ok(Fate::Failed { error: error.chain(), kind: error.kind() }),
        }
    }
}

impl Operator for IngestOperator {
    fn name(&self) -> &'static str {
        "IngestExec"
    }

    fn message(&self) -> v1::PlanOperator {
        v1::PlanOperator { operator: Some(v1::plan_operator::Operator::Ingest(self.message.clone())) }
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
