//! What is stored of what was scanned: not what the archive has already, and each message once. Start at [`choose`].

use std::collections::{BTreeSet, HashSet};

use arrow::{array::AsArray, compute::cast, datatypes::DataType};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tidewaiter_archive::{Table, provider::snapshot_provider};
use tidewaiter_core::{Error, Result, query::Run as _};

use super::scan::Scanned;
use crate::privacy::hexadecimal::number_of;

/// A file of the second pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chosen {
    /// Its place among the files of the job.
    pub(super) number: usize,
    /// The SHA-256 of its bytes.
    pub(super) digest: String,
    /// Messages or records, by their places in the file, that are left out; ascending.
    pub(super) left_out: Vec<usize>,
    /// Those that are stored.
    pub(super) stored: u64,
}

/// What is stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Choice {
    pub(super) files: Vec<Chosen>,
    /// Files that were ingested before.
    pub(super) known_files: u64,
    /// Messages or records of other files that the archive has.
    pub(super) known: u64,
    /// Messages or records that come twice among the files.
    pub(super) repeated: u64,
}

/// Chooses what is stored, by the identities in a column of the table that has a row for each of them.
///
/// # Errors
/// Those of the query and of the store.
pub(super) async fn choose(
    session: &SessionContext,
    table: &Table,
    column: &str,
    mut scanned: Vec<Scanned>,
) -> Result<Choice> {
    scanned.sort_by_key(|file| file.number);
    let digests: Vec<String> = scanned.iter().map(|file| file.digest.clone()).collect();
    let mut before: HashSet<String> = table.known_sources(&digests).await?.into_iter().collect();
    let mut choice = Choice::default();
    // A file that is named twice is read once.
    scanned.retain(|file| before.insert(file.digest.clone()));
    choice.known_files = (digests.len() - scanned.len()) as u64;
    let mut wanted: Vec<u64> = scanned.iter().flat_map(|file| &file.ids).copied().collect();
    wanted.sort_unstable();
    wanted.dedup();
    let known =
        if wanted.is_empty() { BTreeSet::new() } else { known(session, table, column, &wanted).await? };
    let mut seen = HashSet::with_capacity(wanted.len());
    for Scanned { number, digest, ids, refused } in scanned {
        let mut left_out = Vec::new();
        for (place, id) in ids.iter().enumerate() {
            if known.contains(id) {
                choice.known += 1;
                left_out.push(place);
            } else if !seen.insert(*id) {
                choice.repeated += 1;
                left_out.push(place);
            }
        }
        let stored = (ids.len() - left_out.len()) as u64;
        if stored + refused > 0 {
            choice.files.push(Chosen { number, digest, left_out, stored });
        }
    }
    Ok(choice)
}

/// Which of these identities, which are ascending, the table has.
async fn known(
    session: &SessionContext,
    table: &Table,
    column: &str,
    wanted: &[u64],
) -> Result<BTreeSet<u64>> {
    let rows = session.read_table(snapshot_provider(table.archive(), table.name(), None).await?)?;
    let mut batches = rows.select_columns(&[column])?.batch_stream().await?;
    let mut known = BTreeSet::new();
    while let Some(batch) = batches.next().await {
        let ids = cast(batch?.column(0), &DataType::Utf8)?;
        let ids = ids.as_string_opt::<i32>().ok_or_else(|| Error::internal("identities are no texts"))?;
        let ids = ids.iter().flatten().filter_map(number_of);
        known.extend(ids.filter(|id| wanted.binary_search(id).is_ok()));
    }
    Ok(known)
}
