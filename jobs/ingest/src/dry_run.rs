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
    committed::put_aside,
    file::{check_share, unreadable},
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
}

/// Reads and checks files, so many at a time.
///
/// # Errors
/// [`ErrorKind::Cancelled`]; the error of a file is in the answer.
pub(crate) async fn dry_run(
    mapping: Mapping,
    files: Vec<String>,
    most_quarantined: f64,
    at_once: usize,
) -> Result<DryRun> {
    let read = files.into_iter().map(|file| {
        let mapping = mapping.clone();
        on_cpu(move || match read(&file, &mapping, most_quarantined) {
            Err(error) if error.kind() == ErrorKind::Cancelled => Err(error),
            read => Ok(read),
        })
    });
    let read: Vec<_> = read.collect();
    let read: Vec<Result<(Rows, Tally, Option<Error>)>> =
        stream::iter(read).buffered(at_once.max(1)).try_collect().await?;
    let mut done = DryRun::default();
    for file in read {
        match file {
            Ok((rows, tally, failure)) => {
                done.failures.extend(failure);
                done.rows.read += rows.read;
                done.rows.archived += rows.archived;
                done.rows.quarantined += rows.quarantined;
                done.tally.merge(tally);
            }
            Err(error) => done.failures.push(error),
        }
    }
    Ok(done)
}

/// The rows and rules of a file, and why it would fail where all rows are put aside.
fn read(file: &str, mapping: &Mapping, most_quarantined: f64) -> Result<(Rows, Tally, Option<Error>)> {
    let mut tally = Tally::default();
    let mut reader = ExportReader::open(Path::new(file), mapping).map_err(unreadable)?;
    while let Some(block) = reader.next_block().map_err(unreadable)? {
        check()?;
        tally.correct(&block.repairs);
        tally.add(&block.quarantined)?;
    }
    let counts = reader.counts();
    check_share(file, counts, &tally, most_quarantined)?;
    let failure = put_aside(file, counts, &tally).map(|failure| Error::new(failure.kind, failure.error));
    let rows = Rows { read: counts.read, archived: counts.archived, quarantined: counts.quarantined };
    Ok((rows, tally, failure))
}
