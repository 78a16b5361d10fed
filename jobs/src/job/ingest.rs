//! The ingest of declarations: export files in, one commit per file, what failed put aside.
//!
//! Each file is one step and one commit: it is archived whole, or not at all. A file whose bytes were
//! ingested before adds nothing. Rows that fail a check are written to `quarantine/<job>/`, with the
//! reason and the raw text, before the good ones are committed, so that no row is lost between the two.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use tokio::sync::mpsc;

use super::Job;
use crate::{
    Archive, Error, Result, ResultExt,
    archive::{
        Commit, PartitionWriter, Table, WriterSettings,
        ingest::{DeclarationReader, Mapping, ParsedBlock, RowCounts, quarantine_schema, source_digest},
        schema::{self, DECLARATIONS},
    },
};

/// Parsed blocks that wait for the writer; the reader pauses when it is this far ahead.
const BLOCKS_AHEAD: usize = 2;

/// Ingests export files of declarations under one mapping.
///
/// # Errors
/// The first file's that could not be read; the other files are ingested all the same.
pub async fn ingest_declarations(
    job: &mut Job<'_>,
    mapping: &Mapping,
    files: &[PathBuf],
    settings: WriterSettings,
) -> Result<()> {
    let table = Table::open_or_create(job.archive, DECLARATIONS, &schema::declarations()).await?;
    let mut first_failure = None;
    for (number, file) in files.iter().enumerate() {
        let source = Source { mapping, file, name: format!("{}-{number}", job.outcome.job) };
        let name = format!("ingest {}", file.display());
        let work = ingest_file(&table, source, settings, job.listener, &name);
        match job.step(&name, work).await {
            Ok(counts) => {
                job.outcome.rows.read += counts.read;
                job.outcome.rows.archived += counts.archived;
                job.outcome.rows.quarantined += counts.quarantined;
            }
            Err(error) => {
                tracing::error!(file = %file.display(), error = error.chain(), "file is not ingested");
                first_failure.get_or_insert(error);
            }
        }
    }
    job.outcome.tables.push(format!("{DECLARATIONS}@{}", table.version().await?));
    first_failure.map_or(Ok(()), Err)
}

/// One export file of an ingest.
struct Source<'a> {
    mapping: &'a Mapping,
    file: &'a Path,
    /// Begins the names of the files that are written for it.
    name: String,
}

async fn ingest_file(
    table: &Table,
    source: Source<'_>,
    settings: WriterSettings,
    listener: &dyn super::Listener,
    step: &str,
) -> Result<RowCounts> {
    let path = source.file.to_owned();
    let digest = on_thread(move || source_digest(&path)).await?;
    if !table.known_sources(std::slice::from_ref(&digest)).await?.is_empty() {
        tracing::warn!(file = %source.file.display(), "file was ingested before: nothing is added");
        return Ok(RowCounts::default());
    }
    let archive = table.archive();
    let country = &source.mapping.country;
    let schema = schema::declarations();
    let mut writer = PartitionWriter::new(
        archive,
        DECLARATIONS,
        &schema,
        country,
        "acceptance_date",
        &source.name,
        settings,
    )?;
    let mut quarantine = Quarantine::default();
    let (mut blocks, reading) = read_ahead(source.file, source.mapping);
    let mut counts = RowCounts::default();
    while let Some(block) = blocks.recv().await {
        counts.archived += block.batch.num_rows() as u64;
        counts.quarantined += block.quarantined.num_rows() as u64;
        writer.write(&block.batch).await?;
        quarantine.take(&block.quarantined)?;
        listener.progress(step, counts.archived + counts.quarantined, 0, "rows");
    }
    counts.read =
        reading.await.map_err(|error| Error::internal("the reader stopped").with_source(error))??;
    if counts.read != counts.archived + counts.quarantined {
        return Err(Error::internal(format!(
            "{}: {} rows read, but {} archived and {} quarantined",
            source.file.display(),
            counts.read,
            counts.archived,
            counts.quarantined
        )));
    }
    quarantine.write(archive, &source.name).await?;
    let adds = writer.finish().await?;
    match table.commit(&adds, &[digest], "ingest").await? {
        // Another ingest of the same bytes was faster: its rows are the same, ours stay unseen.
        Commit::AlreadyThere => Ok(RowCounts::default()),
        Commit::Version(_) => Ok(counts),
    }
}

/// Reads and checks a file on a thread of its own, a few blocks ahead; gives the number of rows read.
fn read_ahead(
    file: &Path,
    mapping: &Mapping,
) -> (mpsc::Receiver<ParsedBlock>, tokio::task::JoinHandle<Result<u64>>) {
    let (sender, blocks) = mpsc::channel(BLOCKS_AHEAD);
    let (file, mapping) = (file.to_owned(), mapping.clone());
    let reading = tokio::task::spawn_blocking(move || {
        let mut reader = DeclarationReader::open(&file, &mapping)?;
        while let Some(block) = reader.next_block()? {
            if sender.blocking_send(block).is_err() {
                break;
            }
        }
        Ok(reader.counts().read)
    });
    (blocks, reading)
}

/// Quarantined rows of one file, on their way to one Parquet file.
#[derive(Default)]
struct Quarantine {
    writer: Option<ArrowWriter<Vec<u8>>>,
}

impl Quarantine {
    fn take(&mut self, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(ArrowWriter::try_new(Vec::new(), quarantine_schema(), None)?),
        };
        Ok(writer.write(rows)?)
    }

    async fn write(self, archive: &Archive, name: &str) -> Result<()> {
        let Some(writer) = self.writer else { return Ok(()) };
        let bytes = writer.into_inner()?;
        let job = name.rsplit_once('-').map_or(name, |(job, _)| job);
        archive
            .put(&format!("quarantine/{job}/{name}.parquet"), bytes)
            .await
            .context(|| "write the quarantine")
    }
}

async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::internal("a file's reader stopped").with_source(error))?
}
