//! The log of a table as it is written, commit by commit: for upkeep, which must know of files that no snapshot has any
//! more, and of damage.
//!
//! A commit is sealed by its own digest ([`crate::seal`]); the digests of a checkpoint and of the pointer to it are in
//! an object beside them, written after them ([`Table::seal_checkpoint`]). What is absent: checkpoints as a source of
//! files; the commits are never deleted and have all of them. Start at [`Table::commits`].

use std::collections::BTreeMap;

use deltalake_core::kernel::{Add, Remove};
use futures::{StreamExt, TryStreamExt, stream};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidewaiter_core::{Error, ErrorKind, Result, ResultExt};

use super::{DataFile, REQUESTS, Table, sealed::BEGIN};
use crate::{
    seal::{self, Seal},
    upload::digest,
};

/// The folder of a table's log.
const LOG: &str = "_delta_log";

/// The pointer to the newest checkpoint.
const POINTER: &str = "_last_checkpoint";

/// One commit of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedCommit {
    /// Its version.
    pub version: u64,
    /// When it was made: milliseconds since 1970-01-01 UTC, by the writer's clock.
    pub committed_ms: i64,
    /// The files that it adds.
    pub adds: Vec<DataFile>,
    /// The paths, relative to the table's folder, of the files that it removes.
    pub removes: Vec<String>,
}

/// An object that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Damage {
    /// Its path in the archive.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
}

impl Damage {
    /// Damage of an object.
    pub fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into() }
    }
}

impl Table {
    /// All commits, the oldest first, those of an unfinished group included.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when the log lacks a commit or one cannot be read; those of the store.
    pub async fn commits(&self) -> Result<Vec<LoggedCommit>> {
        let read = self.logged_versions().await?.into_iter().map(|version| async move {
            let path = self.commit_path(version);
            let bytes = self.archive.get(&path).await?;
            parsed(version, &bytes).context(|| format!("read {}", self.archive.display(&path)))
        });
        let read: Vec<_> = read.collect();
        stream::iter(read).buffered(REQUESTS).try_collect().await
    }

    /// The objects of the log that are damaged; and the commits that could be read.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn check_log(&self) -> Result<(Vec<Damage>, Vec<LoggedCommit>)> {
        let (mut damages, mut commits, mut is_sealed) = (Vec::new(), Vec::new(), false);
        let mut expected = 0;
        for version in self.all_logged().await? {
            for missing in expected..version {
                damages.push(Damage::new(self.commit_path(missing), "the commit is missing"));
            }
            expected = version + 1;
            let path = self.commit_path(version);
            let bytes = self.archive.get(&path).await?;
            let seal = seal::check(&bytes, BEGIN);
            match (seal, parsed(version, &bytes)) {
                (Seal::Broken, _) => {
                    damages.push(Damage::new(path, "its bytes are not those that were committed"))
                }
                (Seal::Absent, _) if is_sealed => {
                    damages.push(Damage::new(path, "it has no digest, though an earlier commit has one"));
                }
                (_, Err(error)) => damages.push(Damage::new(path, error.chain())),
                (_, Ok(commit)) => commits.push(commit),
            }
            is_sealed |= seal == Seal::Whole;
        }
        damages.extend(self.check_checkpoints().await?);
        Ok((damages, commits))
    }

    /// Writes the digests of the checkpoint of a version, and of the pointer to it, where there is such a checkpoint.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn seal_checkpoint(&self, version: u64) -> Result<()> {
        let name = format!("{version:020}.checkpoint.parquet");
        let checkpoint = match self.archive.get(&self.log_path(&name)).await {
            Ok(checkpoint) => checkpoint,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut digests = BTreeMap::from([(name, digest([checkpoint]))]);
        if let Ok(pointer) = self.archive.get(&self.log_path(POINTER)).await
            && pointed(&pointer) == Some(version)
        {
            digests.insert(POINTER.to_owned(), digest([pointer]));
        }
        let digests = serde_json::to_vec(&digests)?;
        // The digests begin with their own.
        let text = [digest([&digests]).as_bytes(), b"\n", &digests].concat();
        self.archive.put(&self.log_path(&digests_name(version)), text).await
    }

    /// The checkpoints, and the pointer, that are not as they were written.
    async fn check_checkpoints(&self) -> Result<Vec<Damage>> {
        let mut damages = Vec::new();
        let names: Vec<String> = self.log_names().await?;
        let versions: Vec<u64> = names
            .iter()
            .filter_map(|name| name.strip_prefix("_tidewaiter_")?.strip_suffix(".digests")?.parse().ok())
            .collect();
        let mut pointers = BTreeMap::new();
        for version in &versions {
            let path = self.log_path(&digests_name(*version));
            let Some(digests) = read_digests(&self.archive.get(&path).await?) else {
                damages.push(Damage::new(path, "its bytes are not those that were written"));
                continue;
            };
            for (name, wanted) in digests {
                let beside = format!("its digest is not that of {}", digests_name(*version));
                if name == POINTER {
                    pointers.insert(*version, wanted);
                } else if !names.contains(&name) {
                    damages.push(Damage::new(
                        self.log_path(&name),
                        format!("{} names it, and it is missing", digests_name(*version)),
                    ));
                } else if digest([self.archive.get(&self.log_path(&name)).await?]) != wanted {
                    damages.push(Damage::new(self.log_path(&name), beside));
                }
            }
        }
        if names.iter().any(|name| name == POINTER) {
            let pointer = self.archive.get(&self.log_path(POINTER)).await?;
            let what = match pointed(&pointer) {
                None => Some("it names no checkpoint"),
                Some(version) => match pointers.get(&version) {
                    Some(wanted) if *wanted != digest([&pointer]) => {
                        Some("its bytes are not those that were written")
                    }
                    Some(_) => None,
                    // A writer that ended before it wrote the digests, or of an older version.
                    None if names
                        .iter()
                        .any(|name| name.starts_with(&format!("{version:020}.checkpoint"))) =>
                    {
                        None
                    }
                    None => Some("it names a checkpoint that is not there"),
                },
            };
            damages.extend(what.map(|what| Damage::new(self.log_path(POINTER), what)));
        }
        Ok(damages)
    }

    fn log_path(&self, name: &str) -> String {
        format!("{}/{LOG}/{name}", self.name).trim_end_matches('/').to_owned()
    }

    fn commit_path(&self, version: u64) -> String {
        self.log_path(&format!("{version:020}.json"))
    }

    async fn log_names(&self) -> Result<Vec<String>> {
        let objects = self.archive.list(&self.log_path("")).await?;
        Ok(objects.iter().filter_map(|object| object.location.filename().map(str::to_owned)).collect())
    }

    /// The versions whose commits are there, sorted.
    async fn all_logged(&self) -> Result<Vec<u64>> {
        let names = self.log_names().await?;
        let mut versions: Vec<u64> = names
            .iter()
            .filter_map(|name| name.strip_suffix(".json").filter(|digits| digits.len() == 20)?.parse().ok())
            .collect();
        versions.sort_unstable();
        Ok(versions)
    }

    /// The versions from 0 on.
    async fn logged_versions(&self) -> Result<Vec<u64>> {
        let versions = self.all_logged().await?;
        match versions.iter().zip(0..).find(|(found, wanted)| *found != wanted) {
            None => Ok(versions),
            Some((_, missing)) => Err(Error::corrupt(format!(
                "the log of table {} lacks version {missing}; restore {} from a backup",
                self.place(),
                self.archive.display(&self.commit_path(missing))
            ))),
        }
    }
}

/// The name of the object with the digests of a version's checkpoint.
fn digests_name(version: u64) -> String {
    format!("_tidewaiter_{version}.digests")
}

/// The digests by name; `None` where their own digest is not that of their bytes.
fn read_digests(text: &[u8]) -> Option<BTreeMap<String, String>> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let digests = &text[end + 1..];
    (digest([digests]).as_bytes() == &text[..end]).then(|| serde_json::from_slice(digests).ok())?
}

/// The version that the pointer to the newest checkpoint names.
fn pointed(pointer: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(pointer).ok()?["version"].as_u64()
}

fn parsed(version: u64, bytes: &[u8]) -> Result<LoggedCommit> {
    let mut commit = LoggedCommit { version, committed_ms: 0, adds: Vec::new(), removes: Vec::new() };
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let mut action: Value = serde_json::from_slice(line).context(|| "read an action")?;
        if let Some(info) = action.get("commitInfo") {
            commit.committed_ms = info["timestamp"].as_i64().unwrap_or_default();
        } else if let Some(add) = action.get_mut("add") {
            let add: Add = taken(add)?;
            let statistics: Option<Value> =
                add.stats.as_deref().map(serde_json::from_str).transpose().context(|| "read statistics")?;
            let rows =
                statistics.and_then(|statistics| statistics["numRecords"].as_u64()).unwrap_or_default();
            commit.adds.push(DataFile::of_add(add, rows)?);
        } else if let Some(remove) = action.get_mut("remove") {
            commit.removes.push(taken::<Remove>(remove)?.path);
        }
    }
    Ok(commit)
}

fn taken<T: DeserializeOwned>(action: &mut Value) -> Result<T> {
    serde_json::from_value(action.take()).context(|| "read an action")
}
