//! An ingest that writes nothing: files are read and checked in this process, and rows and rules are counted. Start at
//! [`dry_run`].

use std::path::Path;

use futures::{StreamExt, TryStreamExt, stream};
use tidewaiter_core::{
    Error, ErrorKind, Result,
    threads::{check, on_cpu},
};
use tidewaiter_job::Rows;

use crate::{
    block::RowCounts,
    committed::put_aside,
    file::{check_share, unreadable},
    keys::{Keys, MOST_KEYS, Room},
    mapping::Mapping,
    readers::{ExportReader, source_digest},
    tally::Tally,
};

/// What an ingest would do.
#[derive(Debug, Default)]
pub(crate) struct DryRun {
    pub(crate) rows: Rows,
    pub(crate) tally: Tally,
    /// The errors of files that cannot be ingested.
    pub(crate) failures: Vec<Error>,
    /// What is compared with the archive of the files that can be.
    pub(crate) compared: Vec<Compared>,
}

/// What is compared with the archive of a file.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) file: String,
    /// The SHA-256 of its bytes.
    pub(crate) digest: String,
    pub(crate) rows: RowCounts,
    pub(crate) keys: Keys,
}

/// A file that was read.
struct ReadFile {
    rows: RowCounts,
    tally: Tally,
    /// Why it cannot be ingested, where all its rows are put aside.
    failure: Option<Error>,
    compared: Option<Compared>,
}

/// Reads and checks files, so many at a time. `is_compared` says whether there is an archive to compare them with.
///
/// # Errors
/// [`ErrorKind::Cancelled`]; the error of a file is in the answer.
pub(crate) async fn dry_run(
    mapping: Mapping,
    files: Vec<String>,
    most_quarantined: f64,
    at_once: usize,
    is_compared: bool,
) -> Result<DryRun> {
    let room = is_compared.then(|| Room::of(MOST_KEYS));
    let read = files.into_iter().map(|file| {
        let (mapping, room) = (mapping.clone(), room.clone());
        on_cpu(move || match read(&file, &mapping, most_quarantined, room.as_ref()) {
            Err(error) if error.kind() == ErrorKind::Cancelled => Err(error),
            read => Ok(read),
        })
    });
    let read: Vec<_> = read.collect();
    let read: Vec<Result<ReadFile>> = stream::iter(read).buffered(at_once.max(1)).try_collect().await?;
    let mut done = DryRun::default();
    for file in read {
        match file {
            Ok(ReadFile { rows, tally, failure, compared }) => {
                done.failures.extend(failure);
                done.rows.read += rows.read;
                done.rows.archived += rows.archived;
                done.rows.quarantined += rows.quarantined;
                done.tally.merge(tally);
                done.compared.extend(compared);
            }
            Err(error) => done.failures.push(error),
        }
    }
    Ok(done)
}

/// The rows and rules of a file, and its keys, where there is an archive to compare them with.
fn read(file: &str, mapping: &Mapping, most_quarantined: f64, room: Option<&Room>) -> Result<ReadFile> {
    let (mut tally, mut keys) = (Tally::default(), Keys::default());
    let mut reader = ExportReader::open(Path::new(file), mapping).map_err(unreadable)?;
    while let Some(block) = reader.next_block().map_err(unreadable)? {
        check()?;
        tally.correct(&block.repairs);
        tally.add(&block.quarantined)?;
        if let Some(room) = room {
            keys.add(&block.batch, mapping.layout(), room)?;
        }
    }
    let rows = reader.counts();
    check_share(file, rows, &tally, most_quarantined)?;
    let failure = put_aside(file, rows, &tally).map(|failure| Error::new(failure.kind, failure.error));
    let compared = match room {
        Some(_) => {
            let digest = source_digest(Path::new(file)).map_err(unreadable)?;
            Some(Compared { file: file.to_owned(), digest, rows, keys })
        }
        None => None,
    };
    Ok(ReadFile { rows, tally, failure, compared })
}
