//! The ingest of one export file, up to its commit.
//!
//! [`ingest_file`] promises: every record is either in a data file or in quarantine, and is counted; memory stays
//! within the writer's settings and a few blocks; the same bytes under the same name give the same files; no partly
//! written file stays when it fails. The file is read on a thread of its own, a few blocks ahead of the writer.
//!
//! What is absent: the commit ([`Table::commit`]), which is the caller's and makes the rows visible. Start at
//! [`ingest_file`].

use std::{path::Path, sync::Arc};

use arrow::array::{RecordBatch, StringArray};
use futures::{FutureExt, future::BoxFuture};
use object_store::buffered::BufWriter;
use parquet::arrow::AsyncArrowWriter;
use tidewaiter_archive::{
    Archive, DataFile, PartitionWriter, Table, WriterSettings,
    upload::{UPLOAD_BYTES, store_error, upload},
};
use tidewaiter_core::{Error, ErrorKind, Result, ResultExt, threads::on_cpu};
use tokio::sync::mpsc;

use crate::{
    block::{BLOCK_SIZE, ParsedBlock, RowCounts},
    mapping::Mapping,
    quarantine::stored_schema,
    readers::{ExportReader, source_digest},
    tally::Tally,
};

/// The number of parsed blocks that may wait for the writer, at least and at most; the reader pauses when it is so far
/// ahead. It is the furthest ahead when the file's digest is known.
const BLOCKS_AHEAD: (usize, usize) = (8, 64);

/// Parsed blocks may take one part in so many of the writer's memory, in addition to it.
const MEMORY_AHEAD: usize = 8;

/// What the ingest of a file wrote: data files, to be committed together with the digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOutcome {
    /// The numbers of the file's records; all zero when it was ingested before.
    pub counts: RowCounts,
    /// The SHA-256 of the file's bytes, by which the table recognises it.
    pub digest: String,
    /// The data files written, in the order of their paths.
    pub files: Vec<DataFile>,
    /// Whether the table had the file's rows already; then nothing was written.
    pub already_there: bool,
    /// The rules that rows broke, and what was corrected.
    pub tally: Tally,
}

/// Reads and checks one export file and writes its rows below the table's folder. Rows that fail a check go to
/// `quarantine/<job>/<name>.parquet`, which is complete before the last data file is.
///
/// The names of the data files begin with `name`: two files of one table must not share it. `<job>` is the part of it
/// before its last `-`, or all of it. `progress` is called with the number of rows processed so far.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] and [`tidewaiter_core::ErrorKind::NotFound`] when the file or the mapping is
/// wrong; those of the store.
pub async fn ingest_file(
    table: &Table,
    mapping: &Mapping,
    file: &Path,
    name: &str,
    settings: WriterSettings,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<FileOutcome> {
    ingest_within(table, mapping, file, name, settings, 1.0, progress).await
}

/// [`ingest_file`], which fails and leaves no data file where more than a share of the file's rows fail a check.
pub(crate) async fn ingest_within(
    table: &Table,
    mapping: &Mapping,
    file: &Path,
    name: &str,
    settings: WriterSettings,
    most_quarantined: f64,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<FileOutcome> {
    // Most files are new, so reading begins while the digest is computed; nothing is written before it is known.
    let ahead = settings.memory_bytes / MEMORY_AHEAD / BLOCK_SIZE;
    let mut blocks = ReadAhead::start(file, mapping, ahead.clamp(BLOCKS_AHEAD.0, BLOCKS_AHEAD.1));
    let path = file.to_owned();
    let digest = on_cpu(move || source_digest(&path)).await.map_err(unreadable)?;
    if !table.known_sources(std::slice::from_ref(&digest)).await?.is_empty() {
        let (counts, tally) = (RowCounts::default(), Tally::default());
        return Ok(FileOutcome { counts, digest, files: Vec::new(), already_there: true, tally });
    }
    let layout = mapping.layout();
    let order = [&[layout.date_column][..], layout.sort_columns].concat();
    let mut writer = PartitionWriter::new(
        table.archive(),
        table.name(),
        &(layout.schema)(),
        &mapping.file.country,
        &order,
        name,
        settings,
    )?;
    let mut quarantine = QuarantineWriter::new(table, &mapping.file.country, name);
    let mut tally = Tally::default();
    let counts = match copy(&mut blocks, &mut writer, &mut quarantine, &mut tally, progress).await {
        Ok(counts) => counts,
        Err(error) => {
            quarantine.abort().await;
            writer.abort().await;
            return Err(error);
        }
    };
    if let Err(error) = quarantine.finish().await {
        writer.abort().await;
        return Err(error);
    }
    let share = check_share(&file.display().to_string(), counts, &tally, most_quarantined);
    if let Err(error) = share.context(|| table.archive().display(&quarantine_file(name))) {
        writer.abort().await;
        return Err(error);
    }
    let files = writer.finish().await?;
    Ok(FileOutcome { counts, digest, files, already_there: false, tally })
}

/// Fails where more than a share of a file's rows fail a check.
pub(crate) fn check_share(file: &str, counts: RowCounts, tally: &Tally, most: f64) -> Result<()> {
    if counts.quarantined as f64 <= most * counts.read as f64 {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "{file}: {} of {} rows fail a check, more than max_quarantined allows ({} %), and none is archived; first: {}",
        counts.quarantined,
        counts.read,
        100.0 * most,
        tally.first.as_deref().unwrap_or("none")
    )))
}

/// The error of an export that cannot be read. It is not the archive's, so that no engine tries again for it.
pub(crate) fn unreadable(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Unavailable => Error::corrupt(error.chain()),
        _ => error,
    }
}

/// Passes the rows of every block to the writer and to the quarantine.
async fn copy(
    blocks: &mut ReadAhead,
    writer: &mut PartitionWriter,
    quarantine: &mut QuarantineWriter,
    tally: &mut Tally,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<RowCounts> {
    let mut counts = RowCounts::default();
    while let Some(block) = blocks.next().await.map_err(unreadable)? {
        tally.correct(&block.repairs);
        tally.add(&block.quarantined)?;
        counts.archived += block.batch.num_rows() as u64;
        counts.quarantined += block.quarantined.num_rows() as u64;
        writer.write(&block.batch).await?;
        quarantine.write(&block.quarantined).await?;
        progress(counts.archived + counts.quarantined);
    }
    counts.read = blocks.read;
    if counts.read != counts.archived + counts.quarantined {
        return Err(Error::internal(format!("the ingest lost count of its rows: {counts:?}")));
    }
    Ok(counts)
}

/// The reader of a file on a thread of its own, a few blocks ahead.
struct ReadAhead {
    blocks: mpsc::Receiver<ParsedBlock>,
    reading: Option<BoxFuture<'static, Result<u64>>>,
    /// The number of records read; 0 before the end.
    read: u64,
}

impl ReadAhead {
    fn start(file: &Path, mapping: &Mapping, ahead: usize) -> Self {
        let (sender, blocks) = mpsc::channel(ahead);
        let (file, mapping) = (file.to_owned(), mapping.clone());
        let reading = on_cpu(move || {
            let mut reader = ExportReader::open(&file, &mapping)?;
            while let Some(block) = reader.next_block()? {
                if sender.blocking_send(block).is_err() {
                    break;
                }
            }
            Ok(reader.counts().read)
        });
        Self { blocks, reading: Some(reading.boxed()), read: 0 }
    }

    async fn next(&mut self) -> Result<Option<ParsedBlock>> {
        if let Some(block) = self.blocks.recv().await {
            return Ok(Some(block));
        }
        if let Some(reading) = self.reading.take() {
            self.read = reading.await?;
        }
        Ok(None)
    }
}

/// The file of the quarantined rows of data files whose names begin with `name`.
pub(crate) fn quarantine_file(name: &str) -> String {
    let job = name.rsplit_once('-').map_or(name, |(job, _)| job);
    format!("quarantine/{job}/{name}.parquet")
}

/// The writer of one file's quarantined rows, as one Parquet file; without rows there is no file.
pub(crate) struct QuarantineWriter {
    archive: Archive,
    path: String,
    /// The table and the country of the rows, in the columns of [`stored_schema`] that come last.
    origin: [String; 2],
    writer: Option<AsyncArrowWriter<BufWriter>>,
}

impl QuarantineWriter {
    pub(crate) fn new(table: &Table, country: &str, name: &str) -> Self {
        Self {
            archive: table.archive().clone(),
            path: quarantine_file(name),
            origin: [table.name().to_owned(), country.to_owned()],
            writer: None,
        }
    }

    pub(crate) async fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let upload = upload(&self.archive, &self.path);
                none.insert(AsyncArrowWriter::try_new(upload, stored_schema(), None)?)
            }
        };
        let mut columns = rows.columns().to_vec();
        for text in &self.origin {
            columns.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows.num_rows()))));
        }
        let rows = RecordBatch::try_new(stored_schema(), columns)?;
        let mut written = writer.write(&rows).await;
        // Raw records can be long: a row group is written when it fills an upload.
        if written.is_ok() && writer.in_progress_size() >= UPLOAD_BYTES {
            written = writer.flush().await;
        }
        written.map_err(store_error).context(|| format!("write {}", self.archive.display(&self.path)))
    }

    pub(crate) async fn finish(self) -> Result<()> {
        let Some(writer) = self.writer else { return Ok(()) };
        let closed = writer.close().await.map_err(store_error);
        closed.map(|_| ()).context(|| format!("write {}", self.archive.display(&self.path)))
    }

    pub(crate) async fn abort(self) {
        if let Some(writer) = self.writer
            && let Err(error) = writer.into_inner().abort().await
        {
            tracing::warn!(file = self.path, %error, "parts of a file that was given up may remain");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use tempfile::TempDir;
    use tidewaiter_archive::Commit;
    use tidewaiter_core::ErrorKind;
    use tidewaiter_declarations::DECLARATIONS;

    use super::*;
    use crate::tests::{HEADER, many_rows, mapping};

    async fn table(folder: &TempDir) -> Table {
        let archive = Archive::open(&folder.path().to_string_lossy()).expect("opens");
        Table::open_or_create(&archive, DECLARATIONS, &tidewaiter_declarations::schema())
            .await
            .expect("a table")
    }

    fn export(folder: &TempDir, bytes: &[u8]) -> PathBuf {
        let path = folder.path().join("export.csv");
        fs::write(&path, bytes).expect("written");
        path
    }

    async fn ingest(table: &Table, file: &Path, name: &str) -> Result<FileOutcome> {
        ingest_file(table, &mapping(), file, name, WriterSettings::default(), &|_| ()).await
    }

    async fn paths(archive: &Archive, folder: &str) -> Vec<String> {
        let objects = archive.list(folder).await.expect("lists");
        objects.iter().filter_map(|object| archive.relative(&object.location)).collect()
    }

    #[tokio::test]
    async fn a_file_is_written_whole_and_is_visible_only_after_its_commit() {
        let folder = tempfile::tempdir().expect("a folder");
        let table = table(&folder).await;
        let text = format!("{HEADER}1,2020-01-01,0101,KR,,1,A\n2,2020-01-32,0101,KR,,1,A\n");
        let file = export(&folder, text.as_bytes());
        let done = ingest(&table, &file, "job-0").await.expect("ingests");
        assert_eq!(done.counts, RowCounts { read: 2, archived: 1, quarantined: 1 });
        assert_eq!(done.files.iter().map(|file| file.rows).collect::<Vec<_>>(), [1]);
        assert_eq!(table.snapshot(None).await.expect("reads").rows(), 0);
        let bytes = table.archive().get("quarantine/job/job-0.parquet").await.expect("is there");
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("is Parquet").build();
        let rows: usize = reader.expect("builds").map(|batch| batch.expect("reads").num_rows()).sum();
        assert_eq!(rows, 1);
        let sources = [done.digest.clone()];
        let commit = table.commit(&done.files, &sources, "ingest").await.expect("commits");
        assert_eq!(commit, Commit::Version(1));
        let again = ingest(&table, &file, "job-1").await.expect("answers");
        let expected = FileOutcome {
            counts: RowCounts::default(),
            digest: done.digest,
            files: Vec::new(),
            already_there: true,
            tally: Tally::default(),
        };
        assert_eq!(again, expected);
    }

    #[tokio::test]
    async fn a_file_that_turns_out_damaged_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let table = table(&folder).await;
        let text = many_rows(100_000).replacen('\n', "\nbroken\n", 1);
        let packed = zstd::encode_all(text.as_bytes(), 1).expect("in memory");
        let file = export(&folder, &packed[..packed.len() - 20]);
        let error = ingest(&table, &file, "job-0").await.expect_err("is cut off");
        assert_eq!(error.kind(), ErrorKind::Input);
        let left = paths(table.archive(), DECLARATIONS).await;
        assert!(left.iter().all(|path| path.contains("_delta_log")), "{left:?}");
        assert!(paths(table.archive(), "quarantine").await.is_empty());
    }
}
