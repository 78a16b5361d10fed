//! The markers of groups of changes that are under way: one object for each, in the folder `commits` of the archive.
//!
//! While a group's marker is there, the versions that it makes are hidden: a reader sees each of its tables as it was
//! before the first of them. What is absent: what a group does ([`super::group`]). Start at [`hidden`].

use std::collections::HashSet;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use tidewaiter_core::{ErrorKind, Result, ResultExt};

use crate::Archive;

/// The folder of the markers.
pub(super) const FOLDER: &str = "commits";

/// Markers that are read at the same time.
const REQUESTS: usize = 16;

/// As much of a marker as a reader of tables needs.
#[derive(Debug, Deserialize)]
struct Marker {
    id: String,
    parts: Vec<MarkedPart>,
}

#[derive(Debug, Deserialize)]
struct MarkedPart {
    table: String,
    /// The table's newest version when the group began.
    base: u64,
}

/// What of a table is hidden.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hidden {
    /// The groups whose versions are.
    pub(super) groups: HashSet<String>,
    /// The version after which the first of them may be.
    pub(super) base: u64,
}

/// The path of a group's marker.
pub(super) fn path(id: &str) -> String {
    format!("{FOLDER}/{id}.json")
}

/// The texts of all markers, in the order of their names.
///
/// # Errors
/// Those of the store.
pub(super) async fn texts(archive: &Archive) -> Result<Vec<Vec<u8>>> {
    let listed = archive.list(FOLDER).await?;
    let read =
        listed.into_iter().filter_map(|object| archive.relative(&object.location)).map(|path| async move {
            match archive.get(&path).await {
                Ok(bytes) => Ok(Some(bytes.to_vec())),
                // Its group became whole meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        });
    let read: Vec<_> = read.collect();
    let texts: Vec<Option<Vec<u8>>> = stream::iter(read).buffered(REQUESTS).try_collect().await?;
    Ok(texts.into_iter().flatten().collect())
}

/// What of a table is hidden; `None` where no group that is under way changes it.
///
/// # Errors
/// Those of the store; [`ErrorKind::Input`] for an object in the folder that is no marker.
pub(super) async fn hidden(archive: &Archive, table: &str) -> Result<Option<Hidden>> {
    let mut hidden: Option<Hidden> = None;
    for text in texts(archive).await? {
        let Marker { id, parts } = serde_json::from_slice(&text)
            .context(|| format!("read the markers in {}", archive.display(FOLDER)))?;
        for part in parts.into_iter().filter(|part| part.table == table) {
            let hidden = hidden.get_or_insert_with(|| Hidden { groups: HashSet::new(), base: part.base });
            hidden.base = hidden.base.min(part.base);
            hidden.groups.insert(id.clone());
        }
    }
    Ok(hidden)
}
