//! An ingest that writes nothing: files are read and checked in this process, and rows and rules are counted. Start at
//! [`dry_run`].

use std::path::Path;

use futures::{StreamExt, TryStreamExt, stream};
use tidewaiter_archive::table::Revision;
use tidewaiter_core::{
    Error, ErrorKind, Result,
    threads::{check, on_cpu},
};
use tidewaiter_job::Rows;

use crate::{
    block::RowCounts,
    committed::put_aside,
    file::{check_share, unreadable},
    keys::{Keys, Room},
    mapping::Mapping,
    readers::ExportReader,
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

/// How files are compared with the archive.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// What the archive has of each file, in the order of the files.
    pub(crate) known: Vec<Result<Known>>,
    /// How many keys may be held, where keys are compared.
    pub(crate) room: Option<Room>,
}

/// What the archive has of a file.
#[derive(Debug)]
pub(crate) struct Known {
    /// The SHA-256 of the file's bytes.
    pub(crate) digest: String,
    pub(crate) revision: Revision,
    /// Whether the ingest would leave the file alone.
    pub(crate) is_left: bool,
}

/// What is compared with the archive of a file.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) file: String,
    pub(crate) known: Known,
    pub(crate) rows: RowCounts,
    /// Those of a file that is left alone are empty.
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

/// Reads and checks files, so many at a time; `comparison` is there where there is an archive to compare them with.
///
/// # Errors
/// [`ErrorKind::Cancelled`]; the error of a file is in the answer.
pub(crate) async fn dry_run(
    mapping: Mapping,
    files: Vec<String>,
    most_quarantined: f64,
    at_once: usize,
    comparison: Option<Comparison>,
) -> Result<DryRun> {
    let (known, room) = match comparison {
        Some(Comparison { known, room }) => (known, room),
        None => (Vec::new(), None),
    };
    let mut known = known.into_iter();
    let read = files.into_iter().map(|file| {
        let (mapping, room, known) = (mapping.clone(), room.clone(), known.next());
        // The work begins when it is asked for, and not all of it at once.
        async move {
            on_cpu(move || match read(&file, &mapping, most_quarantined, known, room.as_ref()) {
                Err(error) if error.kind() == ErrorKind::Cancelled => Err(error),
                read => Ok(read),
            })
            .await
        }
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

/// The rows and rules of a file, and what is compared of it, where there is an archive to compare it with.
fn read(
    file: &str,
    mapping: &Mapping,
    most_quarantined: f64,
    known: Option<Result<Known>>,
    room: Option<&Room>,
) -> Result<ReadFile> {
    let (mut tally, mut keys) = (Tally::default(), Keys::default());
    let is_compared = matches!(&known, Some(Ok(known)) if !known.is_left);
    let mut reader = ExportReader::open(Path::new(file), mapping).map_err(unreadable)?;
    while let Some(block) = reader.next_block().map_err(unreadable)? {
        check()?;
        tally.correct(&block.repairs);
        tally.add(&block.quarantined)?;
        if is_compared {
            keys.add(&block.batch, mapping.layout(), room)?;
        }
    }
    let rows = reader.counts();
    check_share(file, rows, &tally, most_quarantined)?;
    let failure = put_aside(file, rows, &tally).map(|failure| Error::new(failure.kind, failure.error));
    let known = known.transpose().map_err(unreadable)?;
    let compared = known.map(|known| Compared { file: file.to_owned(), known, rows, keys });
    Ok(ReadFile { rows, tally, failure, compared })
}
