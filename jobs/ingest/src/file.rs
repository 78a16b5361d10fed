//! The ingest of one export file, up to its commit.
//!
//! [`ingest_file`] promises: every record is either in a data file or in quarantine, and is counted; memory stays
//! within the writer's settings and a few blocks; the same bytes under the same name give the same files; no partly
//! written file stays when it fails. The file is read on a thread of its own, a few blocks ahead of the writer.
//!
//! What is absent: the commit, which is the caller's and makes the rows visible. Start at [`ingest_file`].

use std::path::Path;

use futures::{FutureExt, future::BoxFuture};
use tidewaiter_archive::{DataFile, PartitionWriter, Table, WriterSettings, schema::with_lineage};
use tidewaiter_core::{Error, ErrorKind, Result, threads::on_cpu};
use tokio::sync::mpsc;

use crate::{
    block::{BLOCK_SIZE, ParsedBlock, RowCounts},
    lineage::with_source,
    mapping::Mapping,
    options::Options,
    quarantine_table::QuarantineWriter,
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
    /// The files of the table of quarantined rows, in the order of their paths.
    pub quarantine: Vec<DataFile>,
    /// Whether the table had the file's rows already, or has had them until they were taken out; then nothing was
    /// written.
    pub already_there: bool,
    /// The rules that rows broke, and what was corrected.
    pub tally: Tally,
}

/// Reads and checks one export file and writes its rows below the table's folder, as those of the source 1. Rows that
/// fail a check go to files of the table of quarantined rows.
///
/// The names of the data files begin with `name`: two files of one table must not share it. `progress` is called with the
/// number of rows processed so far.
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
    let options = Options {
        name,
        job: name,
        ingested_us: 0,
        first_source: 1,
        settings,
        most_quarantined: 1.0,
        again: false,
        forgotten: true,
        progress,
    };
    ingest_within(table, mapping, file, &options, progress).await
}

/// [`ingest_file`], which fails and leaves no file where more than a share of the file's rows fail a check.
pub(crate) async fn ingest_within(
    table: &Table,
    mapping: &Mapping,
    file: &Path,
    options: &Options<'_>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<FileOutcome> {
    // Most files are new, so reading begins while the digest is computed; nothing is written before it is known.
    let ahead = options.settings.memory_bytes / MEMORY_AHEAD / BLOCK_SIZE;
    let mut blocks = ReadAhead::start(file, mapping, ahead.clamp(BLOCKS_AHEAD.0, BLOCKS_AHEAD.1));
    let path = file.to_owned();
    let digest = on_cpu(move || source_digest(&path)).await.map_err(unreadable)?;
    if !options.left_alone(table, std::slice::from_ref(&digest)).await?.is_empty() {
        return Ok(FileOutcome {
            counts: RowCounts::default(),
            digest,
            files: Vec::new(),
            quarantine: Vec::new(),
            already_there: true,
            tally: Tally::default(),
        });
    }
    let mut output = FileOutput::new(table, mapping, options)?;
    let mut tally = Tally::default();
    let copied = copy(&mut blocks, &mut output, options.first_source, &mut tally, progress).await;
    let checked = copied.and_then(|counts| {
        check_share(&file.display().to_string(), counts, &tally, options.most_quarantined).map(|()| counts)
    });
    match checked {
        Ok(counts) => {
            let [files, quarantine] = output.finish().await?;
            Ok(FileOutcome { counts, digest, files, quarantine, already_there: false, tally })
        }
        Err(error) => {
            output.abort().await;
            Err(error)
        }
    }
}

/// The data files of a group, and those of its quarantined rows.
pub(crate) struct FileOutput {
    pub(crate) rows: PartitionWriter,
    pub(crate) quarantine: QuarantineWriter,
}

impl FileOutput {
    pub(crate) fn new(table: &Table, mapping: &Mapping, options: &Options<'_>) -> Result<Self> {
        let layout = mapping.layout();
        let order = [&[layout.date_column][..], layout.sort_columns].concat();
        let country = &mapping.file.country;
        let rows = PartitionWriter::new(
            table.archive(),
            table.name(),
            &with_lineage(&(layout.schema)()),
            country,
            &order,
            options.name,
            options.settings,
        )?;
        let quarantine = QuarantineWriter::new(table.archive(), table.name(), country, options);
        Ok(Self { rows, quarantine })
    }

    /// The data files, and those of the quarantined rows.
    pub(crate) async fn finish(self) -> Result<[Vec<DataFile>; 2]> {
        match self.quarantine.finish().await {
            Ok(quarantine) => Ok([self.rows.finish().await?, quarantine]),
            Err(error) => {
                self.rows.abort().await;
                Err(error)
            }
        }
    }

    pub(crate) async fn abort(self) {
        self.quarantine.abort().await;
        self.rows.abort().await;
    }
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

/// Passes the rows of every block to the writers.
async fn copy(
    blocks: &mut ReadAhead,
    output: &mut FileOutput,
    source: i32,
    tally: &mut Tally,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<RowCounts> {
    let mut counts = RowCounts::default();
    while let Some(block) = blocks.next().await.map_err(unreadable)? {
        tally.correct(&block.repairs);
        tally.add(&block.quarantined)?;
        counts.archived += block.batch.num_rows() as u64;
        counts.quarantined += block.quarantined.num_rows() as u64;
        output.rows.write(&with_source(&block.batch, &block.records, source)?).await?;
        output.quarantine.write(&block.quarantined, source).await?;
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

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use tempfile::TempDir;
    use tidewaiter_archive::{Archive, Commit};
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
        let [aside] = &done.quarantine[..] else { panic!("one file of quarantined rows") };
        let bytes = table.archive().get(&format!("quarantine/{}", aside.path)).await.expect("is there");
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("is Parquet").build();
        let rows: usize = reader.expect("builds").map(|batch| batch.expect("reads").num_rows()).sum();
        assert_eq!((rows, aside.rows), (1, 1));
        let sources = [done.digest.clone()];
        let commit = table.commit(&done.files, &sources, "ingest").await.expect("commits");
        assert_eq!(commit, Commit::Version(1));
        let again = ingest(&table, &file, "job-1").await.expect("answers");
        let expected = FileOutcome {
            counts: RowCounts::default(),
            digest: done.digest,
            files: Vec::new(),
            quarantine: Vec::new(),
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

    /// The compressed bytes of a row's source and of its record, in a file whose rows are in the order of the table or
    /// not.
    async fn lineage_bytes(text: &str) -> [f64; 2] {
        let folder = tempfile::tempdir().expect("a folder");
        let table = table(&folder).await;
        let file = export(&folder, text.as_bytes());
        let done = ingest(&table, &file, "job-0").await.expect("ingests");
        let (mut bytes, mut rows) = ([0, 0], 0);
        for file in &done.files {
            let path = format!("{DECLARATIONS}/{}", file.path);
            let read = table.archive().get(&path).await.expect("is there");
            let reader = ParquetRecordBatchReaderBuilder::try_new(read).expect("is Parquet");
            for group in reader.metadata().row_groups() {
                rows += group.num_rows();
                for column in group.columns() {
                    match column.column_path().string().as_str() {
                        "source" => bytes[0] += column.compressed_size(),
                        "source_row" => bytes[1] += column.compressed_size(),
                        _ => {}
                    }
                }
            }
        }
        bytes.map(|bytes| bytes as f64 / rows as f64)
    }

    #[tokio::test]
    async fn lineage_costs_little() {
        let rows = |days: fn(usize) -> usize| {
            let row = |n: usize| format!("{n},2020-01-{:02},0101,KR,text,1.5,A\n", 1 + days(n));
            HEADER.to_owned() + &(0..50_000).map(row).collect::<String>()
        };
        let [source, record] = lineage_bytes(&rows(|n| n / 2000)).await;
        assert!(source < 0.01 && record < 0.2, "in order: {source} and {record} bytes a row");
        let [source, record] = lineage_bytes(&rows(|n| n.wrapping_mul(2_654_435_761) / 7 % 28)).await;
        assert!(source < 0.01 && record < 2.5, "in no order: {source} and {record} bytes a row");
    }
}
