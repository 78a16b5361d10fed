//! The ingest of the files of one task, up to their commit: one file, or many small ones together.
//!
//! Small files share data files and a commit, so that a hundred thousand of them make neither as many Parquet files nor
//! as many versions of the table. Each is read as a whole before any of its rows is written, so that a file that turns
//! out damaged leaves nothing. The data files are named by the group, whose files the driver chooses, so that a repeated
//! task replaces its own. What is absent: the commit. Start at [`ingest_group`].

use std::{
    collections::HashSet,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use arrow::{array::RecordBatch, compute::concat_batches};
use serde::{Deserialize, Serialize};
use tidewaiter_archive::{DataFile, Table};
use tidewaiter_core::{
    Error, ErrorKind, Result,
    threads::{check, on_cpu},
};
use tokio::sync::mpsc;

use crate::{
    block::{Repair, RowCounts},
    file::{FileOutput, check_share, ingest_within, unreadable},
    lineage::with_source,
    mapping::Mapping,
    options::Options,
    readers::{ExportReader, source_digest},
    tally::Tally,
};

/// Read files that may wait for the writer.
const FILES_AHEAD: usize = 16;

/// Rows that are gathered from small files before they are written.
const ROWS_TOGETHER: usize = 16 << 10;

/// Export files that are ingested together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The place of its first file in the job's list, from 0, by which its data files are named.
    pub number: usize,
    /// The paths of the files.
    pub files: Vec<String>,
}

/// How the ingest of a group ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupReport {
    /// The group.
    pub group: Group,
    /// How each file ended, in the order of the group.
    pub sources: Vec<SourceStatus>,
    /// The data files that the commit must add.
    pub files: Vec<DataFile>,
    /// The files that it must add to the table of quarantined rows.
    pub quarantine: Vec<DataFile>,
}

/// The status of an export file after its ingest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceStatus {
    /// It was read, and its good rows are in the data files of its group.
    Read {
        /// The numbers of its records.
        rows: RowCounts,
        /// The SHA-256 of its bytes.
        digest: String,
        /// The rules that rows broke, and what was corrected.
        tally: Tally,
    },
    /// The same bytes were ingested before, and their rows are there or were taken out on purpose.
    AlreadyThere {
        /// Their SHA-256.
        digest: String,
    },
    /// It cannot be ingested.
    Failed {
        /// What went wrong, where, and what to do.
        error: String,
        /// The remedy.
        kind: ErrorKind,
    },
}

impl SourceStatus {
    fn failed(error: &Error) -> Self {
        Self::Failed { error: error.chain(), kind: error.kind() }
    }
}

/// Ingests the files of a group.
///
/// # Errors
/// Those of the store. A file that cannot be ingested is part of the report.
pub(crate) async fn ingest_group(
    table: &Table,
    mapping: &Mapping,
    group: Group,
    options: Options<'_>,
) -> Result<GroupReport> {
    let (sources, [files, quarantine]) = match group.files.as_slice() {
        [file] => {
            let (source, files) = ingest_one(table, mapping, Path::new(file), &options).await?;
            (vec![source], files)
        }
        files => ingest_many(table, mapping, files, &options).await?,
    };
    Ok(GroupReport { group, sources, files, quarantine })
}

async fn ingest_one(
    table: &Table,
    mapping: &Mapping,
    file: &Path,
    options: &Options<'_>,
) -> Result<(SourceStatus, [Vec<DataFile>; 2])> {
    let done = AtomicU64::new(0);
    // The ingest reports all rows of the file so far.
    let progress = |rows: u64| (options.progress)(rows.saturating_sub(done.swap(rows, Ordering::Relaxed)));
    match ingest_within(table, mapping, file, options, &progress).await {
        Ok(outcome) if outcome.already_there => {
            Ok((SourceStatus::AlreadyThere { digest: outcome.digest }, Default::default()))
        }
        Ok(outcome) => {
            let (rows, digest, tally) = (outcome.counts, outcome.digest, outcome.tally);
            Ok((SourceStatus::Read { rows, digest, tally }, [outcome.files, outcome.quarantine]))
        }
        Err(error) if error.kind() == ErrorKind::Unavailable => Err(error),
        Err(error) => Ok((SourceStatus::failed(&error), Default::default())),
    }
}

/// A small file, read as a whole.
struct ReadFile {
    /// The good rows, with the number of their source and those of their records.
    good: Vec<RecordBatch>,
    bad: Vec<RecordBatch>,
    repairs: Vec<Repair>,
    counts: RowCounts,
}

fn read_file(path: &Path, mapping: &Mapping, source: i32) -> Result<ReadFile> {
    check()?;
    let mut reader = ExportReader::open(path, mapping)?;
    let (mut good, mut bad, mut repairs) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(block) = reader.next_block()? {
        good.push(with_source(&block.batch, &block.records, source)?);
        bad.push(block.quarantined);
        repairs.extend(block.repairs);
    }
    Ok(ReadFile { good, bad, repairs, counts: reader.counts() })
}

async fn ingest_many(
    table: &Table,
    mapping: &Mapping,
    files: &[String],
    options: &Options<'_>,
) -> Result<(Vec<SourceStatus>, [Vec<DataFile>; 2])> {
    let paths = files.to_vec();
    let digests = on_cpu(move || {
        Ok(paths.iter().map(|path| check().and_then(|()| source_digest(Path::new(path)))).collect::<Vec<_>>())
    });
    let digests: Vec<Result<String>> = digests.await?;
    let named: Vec<String> = digests.iter().filter_map(|digest| digest.as_ref().ok().cloned()).collect();
    // Equal files of a group are ingested once.
    let known = options.left_alone(table, &named).await?;
    let mut seen: HashSet<String> = known.into_iter().collect();
    let mut statuses: Vec<Option<SourceStatus>> = Vec::with_capacity(files.len());
    let mut to_read = Vec::new();
    for (place, digest) in digests.into_iter().enumerate() {
        statuses.push(match digest {
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            Err(error) => Some(SourceStatus::failed(&unreadable(error))),
            Ok(digest) if !seen.insert(digest.clone()) => Some(SourceStatus::AlreadyThere { digest }),
            Ok(digest) => {
                to_read.push((place, files[place].clone(), digest));
                None
            }
        });
    }
    let mut output = Output::new(table, mapping, options)?;
    let (sender, mut read) = mpsc::channel(FILES_AHEAD);
    let (own_mapping, first_source) = (mapping.clone(), options.first_source);
    let source_of =
        move |place: usize| first_source + i32::try_from(place).unwrap_or(i32::MAX - first_source);
    let reading = on_cpu(move || {
        for (place, path, digest) in to_read {
            let file = read_file(Path::new(&path), &own_mapping, source_of(place));
            if sender.blocking_send((place, path, digest, file)).is_err() {
                break;
            }
        }
        Ok(())
    });
    let writing = async {
        while let Some((place, path, digest, file)) = read.recv().await {
            statuses[place] = Some(output.take(&path, source_of(place), digest, file).await?);
        }
        output.flush().await
    };
    let done = futures::future::try_join(reading, writing).await;
    let files = match done {
        Ok(_) => output.files.finish().await?,
        Err(error) => {
            output.files.abort().await;
            return Err(error);
        }
    };
    let lost = || Error::internal("a file of a group was not read");
    let statuses: Result<Vec<_>> = statuses.into_iter().map(|status| status.ok_or_else(lost)).collect();
    Ok((statuses?, files))
}

/// The files of a group of small ones, whose rows are gathered before they are written.
struct Output<'a> {
    options: &'a Options<'a>,
    files: FileOutput,
    gathered: Vec<RecordBatch>,
    rows: usize,
}

impl<'a> Output<'a> {
    fn new(table: &Table, mapping: &Mapping, options: &'a Options<'a>) -> Result<Self> {
        let files = FileOutput::new(table, mapping, options)?;
        Ok(Self { options, files, gathered: Vec::new(), rows: 0 })
    }

    /// Takes the rows of a file, all or none.
    async fn take(
        &mut self,
        path: &str,
        source: i32,
        digest: String,
        file: Result<ReadFile>,
    ) -> Result<SourceStatus> {
        let file = match file {
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            Err(error) => return Ok(SourceStatus::failed(&unreadable(error))),
            Ok(file) => file,
        };
        let mut tally = Tally::default();
        tally.correct(&file.repairs);
        for bad in &file.bad {
            tally.add(bad)?;
        }
        if let Err(error) = check_share(path, file.counts, &tally, self.options.most_quarantined) {
            return Ok(SourceStatus::failed(&error));
        }
        for bad in &file.bad {
            self.files.quarantine.write(bad, source).await?;
        }
        self.rows += file.good.iter().map(RecordBatch::num_rows).sum::<usize>();
        self.gathered.extend(file.good);
        if self.rows >= ROWS_TOGETHER {
            self.flush().await?;
        }
        (self.options.progress)(file.counts.read);
        Ok(SourceStatus::Read { rows: file.counts, digest, tally })
    }

    /// Writes the gathered rows.
    async fn flush(&mut self) -> Result<()> {
        let Some(first) = self.gathered.first() else { return Ok(()) };
        let rows = concat_batches(&first.schema(), &self.gathered)?;
        self.gathered.clear();
        self.rows = 0;
        self.files.rows.write(&rows).await
    }
}
