//! The numbers of sources: each is given out once in an archive.
//!
//! A job reserves as many as it has files, by an object with the first of them as its name and their count in it: of two
//! jobs that choose the same, one is refused and chooses again. The reservation of a job that wrote nothing is given back.
//! One whose numbers are used makes the earlier ones superfluous, so that few objects stay. Start at [`reserve`].

use serde::{Deserialize, Serialize};
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, ErrorKind, Result};

/// The folder of the objects.
const FOLDER: &str = "numbers";

/// How often numbers are chosen. Each failure is the success of another job.
const ATTEMPTS: usize = 256;

/// Numbers that belong to one job: the first, and those that follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// The first number, from 1.
    pub first: i32,
}

fn path(first: i32) -> String {
    format!("{FOLDER}/{first:010}")
}

/// The first numbers of all reservations, in their order.
async fn all(archive: &Archive) -> Result<Vec<i32>> {
    let listed = archive.list(FOLDER).await?;
    Ok(listed.iter().filter_map(|object| object.location.filename()?.parse().ok()).collect())
}

/// The number after those of all reservations.
async fn next(archive: &Archive) -> Result<i32> {
    let Some(last) = all(archive).await?.last().copied() else { return Ok(1) };
    let count = match archive.get(&path(last)).await {
        Ok(text) => std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()),
        // It was given back meanwhile, and the numbers are free again.
        Err(error) if error.kind() == ErrorKind::NotFound => Some(0),
        Err(error) => return Err(error),
    };
    count.and_then(|count| last.checked_add(count)).ok_or_else(|| {
        Error::corrupt(format!(
            "{} is no reservation of numbers; call an operator",
            archive.display(&path(last))
        ))
    })
}

/// Reserves so many numbers, which follow those of all reservations.
///
/// # Errors
/// [`ErrorKind::Conflict`] when other jobs were first too often; those of the store.
pub async fn reserve(archive: &Archive, count: usize) -> Result<Reserved> {
    for _ in 0..ATTEMPTS {
        let first = next(archive).await?;
        if archive.put_new(&path(first), count.max(1).to_string()).await? {
            return Ok(Reserved { first });
        }
    }
    Err(Error::conflict("other jobs reserve numbers of sources all the time; run this again"))
}

/// Ends a reservation: gives it back where none of its numbers is used, and otherwise deletes those before it.
///
/// # Errors
/// Those of the store.
pub async fn settle(archive: &Archive, reserved: Reserved, is_used: bool) -> Result<()> {
    if !is_used {
        return archive.delete(&path(reserved.first)).await;
    }
    for first in all(archive).await?.into_iter().filter(|first| *first < reserved.first) {
        archive.delete(&path(first)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn numbers_are_given_out_once() {
        let archive = Archive::open("memory://numbers/archive").expect("opens");
        let jobs = (1..=8_usize).map(|count| {
            let archive = archive.clone();
            tokio::spawn(async move { (reserve(&archive, count).await.expect("reserves").first, count) })
        });
        let mut numbers = BTreeSet::new();
        let mut given = 0;
        for job in jobs.collect::<Vec<_>>() {
            let (first, count) = job.await.expect("ends");
            numbers.extend((first..).take(count));
            given += count;
        }
        assert_eq!((numbers.len(), numbers.first(), numbers.last()), (36, Some(&1), Some(&36)));
        assert_eq!(given, 36);
        let unused = reserve(&archive, 5).await.expect("reserves");
        settle(&archive, unused, false).await.expect("gives back");
        let used = reserve(&archive, 2).await.expect("reserves");
        assert_eq!(used, unused);
        settle(&archive, used, true).await.expect("settles");
        assert_eq!(all(&archive).await.expect("lists"), [37]);
        assert_eq!(reserve(&archive, 1).await.expect("reserves").first, 39);
    }
}
