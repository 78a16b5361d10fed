//! Changes of one table: files added and removed by one commit, and the sources that become known or unknown by it.
//!
//! A source is known to a table by the digest of its bytes, which a commit records as a Delta application transaction:
//! the transaction's version, which only grows, says whether the table has rows of it ([`Revision`]). A change that
//! expects something else of a source, or removes a file that is no longer there, is a conflict and changes nothing.
//!
//! What is absent: changes of several tables ([`super::group`]). Start at [`Table::change`].

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use deltalake_core::{
    DeltaTableError,
    kernel::{
        Action, LogicalFileView, Transaction,
        transaction::{CommitBuilder, CommitProperties, TransactionError},
    },
    protocol::{DeltaOperation, SaveMode},
    table::state::DeltaTableState,
};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidewaiter_core::{Error, Result, ResultExt};

use super::{Commit, DataFile, GROUP_KEY, OPERATION, REQUESTS, Table, classify};
use crate::schema::PARTITION_COLUMNS;

/// How often a commit is attempted when other writers take the version that it needs. Each failed attempt is another
/// writer's success, so this bounds the number of concurrent writers, not the time.
pub(super) const ATTEMPTS: usize = 256;

/// What the names of the application transactions that record sources begin with.
const SOURCE: &str = "tidewaiter-source-";

/// What the names of the application transactions that record groups of changes begin with.
const GROUP: &str = "tidewaiter-group-";

/// Sources that are looked up one by one, at most.
const FEW_SOURCES: usize = 8;

/// What a table has of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// Nothing.
    Unknown,
    /// Rows.
    Archived,
    /// No row: all of them were put aside.
    PutAside,
}

/// What a table has of a source, and how often that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision(i64);

impl Revision {
    /// What the table has of the source.
    pub fn state(self) -> SourceState {
        match self.0.rem_euclid(3) {
            1 => SourceState::Archived,
            2 => SourceState::PutAside,
            _ => SourceState::Unknown,
        }
    }

    /// Whether the table had rows of the source, or had put them aside, until they were taken out on purpose.
    pub fn was_forgotten(self) -> bool {
        self.0 != 0 && self.state() == SourceState::Unknown
    }

    /// The revision after this one that has a state.
    fn next(self, state: SourceState) -> i64 {
        let wanted = match state {
            SourceState::Unknown => 0,
            SourceState::Archived => 1,
            SourceState::PutAside => 2,
        };
        let step = (wanted - self.0).rem_euclid(3);
        self.0 + if step == 0 { 3 } else { step }
    }
}

/// What becomes of a source by a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceChange {
    /// The digest of its bytes.
    pub digest: String,
    /// The revision that the change was made for; `None`: any of which the table has no rows.
    pub from: Option<Revision>,
    /// What the table has of it then.
    pub to: SourceState,
}

/// A change of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Change {
    /// Files that become part of the table. They are in its folder already.
    pub adds: Vec<DataFile>,
    /// Files that no longer are part of it. They stay in its folder for readers of earlier snapshots.
    pub removes: Vec<DataFile>,
    /// What becomes of sources.
    pub sources: Vec<SourceChange>,
    /// What the history calls the commit.
    pub operation: String,
    /// Whether the table has other rows then; false where files were only written in another way.
    pub changes_rows: bool,
    /// The name by which the change is made once, however often it is asked for.
    pub once: Option<String>,
}

impl Table {
    /// Makes a change, as a whole or not at all.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::NotFound`] when a file to be added is not there, and
    /// [`tidewaiter_core::ErrorKind::Input`] when its size is not the given one;
    /// [`tidewaiter_core::ErrorKind::Conflict`] when the table has rows of a source that it should not have, when a file
    /// to be removed is not part of it, or when other writers came first too often.
    pub async fn change(&self, change: &Change) -> Result<Commit> {
        let adds = self.check_files(&change.adds).await?;
        let digests: Vec<&str> = change.sources.iter().map(|source| source.digest.as_str()).collect();
        for _ in 0..ATTEMPTS {
            let state = self.state(None).await?;
            if let Some(once) = &change.once
                && self.transaction(&state, &format!("{GROUP}{once}")).await?.is_some()
            {
                return Ok(Commit::Version(state.version()));
            }
            let revisions = self.revisions_at(&state, &digests).await?;
            let is_other = |(source, revision): &(&SourceChange, &Revision)| match source.from {
                Some(from) => from != **revision,
                None => revision.state() == SourceState::Archived,
            };
            let other: Vec<&str> = change
                .sources
                .iter()
                .zip(&revisions)
                .filter(is_other)
                .map(|(source, _)| source.digest.as_str())
                .collect();
            if !other.is_empty() {
                let is_repeat = other.len() == digests.len() && change.once.is_none();
                if is_repeat && change.sources.iter().all(|source| source.from.is_none()) {
                    return Ok(Commit::AlreadyThere);
                }
                return Err(Error::conflict(format!(
                    "table {} already has the rows of {} of {} sources; leave out {}",
                    self.place(),
                    other.len(),
                    digests.len(),
                    other.join(", ")
                )));
            }
            let mut transactions: Vec<Transaction> = change
                .sources
                .iter()
                .zip(&revisions)
                .map(|(source, revision)| {
                    Transaction::new(application(&source.digest), revision.next(source.to))
                })
                .collect();
            transactions.extend(change.once.iter().map(|once| Transaction::new(format!("{GROUP}{once}"), 1)));
            let removes = self.removals(&state, &change.removes, change.changes_rows).await?;
            let mut actions: Vec<Action> = adds.clone();
            for action in &mut actions {
                if let Action::Add(add) = action {
                    add.data_change = change.changes_rows;
                }
            }
            actions.extend(removes);
            let group = change.once.as_deref();
            if let Some(version) =
                self.attempt(&state, actions, transactions, &change.operation, group).await?
            {
                return Ok(Commit::Version(version));
            }
        }
        Err(self.too_many())
    }

    /// Adds files to the table, all or none, and records the digests of the sources that their rows came from. The
    /// files must be in the table's folder already. Committing the same sources again changes nothing.
    ///
    /// `operation` names in the history what made the commit.
    ///
    /// # Errors
    /// Those of [`Table::change`]; a conflict where the table has the rows of some of the sources, but not of all.
    pub async fn commit(&self, adds: &[DataFile], sources: &[String], operation: &str) -> Result<Commit> {
        self.rewrite(&[], adds, sources, operation, true).await
    }

    /// [`Table::commit`] that also removes files; `changes_rows` is false where the files that are added have the same
    /// rows.
    ///
    /// # Errors
    /// Those of [`Table::change`].
    pub async fn rewrite(
        &self,
        removes: &[DataFile],
        adds: &[DataFile],
        sources: &[String],
        operation: &str,
        changes_rows: bool,
    ) -> Result<Commit> {
        let archived =
            |digest: &String| SourceChange { digest: digest.clone(), from: None, to: SourceState::Archived };
        let change = Change {
            adds: adds.to_vec(),
            removes: removes.to_vec(),
            sources: sources.iter().map(archived).collect(),
            operation: operation.to_owned(),
            changes_rows,
            once: None,
        };
        self.change(&change).await
    }

    /// Those of the source digests whose rows the table has already.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn known_sources(&self, sources: &[String]) -> Result<Vec<String>> {
        let digests: Vec<&str> = sources.iter().map(String::as_str).collect();
        let revisions = self.revisions(&digests).await?;
        let known = sources.iter().zip(revisions).filter(|(_, found)| found.state() == SourceState::Archived);
        Ok(known.map(|(digest, _)| digest.clone()).collect())
    }

    /// What the table has of sources, by their digests.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn revisions(&self, digests: &[&str]) -> Result<Vec<Revision>> {
        self.revisions_at(&self.state(None).await?, digests).await
    }

    /// Whether a change of that name was made.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn was_made(&self, once: &str) -> Result<bool> {
        let state = self.state(None).await?;
        Ok(self.transaction(&state, &format!("{GROUP}{once}")).await?.is_some())
    }

    pub(super) fn too_many(&self) -> Error {
        Error::conflict(format!(
            "other writers were first {ATTEMPTS} times at table {}; run this again",
            self.place()
        ))
    }

    /// Attempts to commit the version after a state; `None` when another writer was first.
    pub(super) async fn attempt(
        &self,
        state: &DeltaTableState,
        actions: Vec<Action>,
        transactions: Vec<Transaction>,
        operation: &str,
        group: Option<&str>,
    ) -> Result<Option<u64>> {
        let metadata = std::iter::once((OPERATION.to_owned(), json!(operation)))
            .chain(group.map(|group| (GROUP_KEY.to_owned(), json!(group))));
        // No retries inside the commit: after another writer's commit the sources must be looked up again.
        let properties = CommitProperties::default()
            .with_max_retries(0)
            .with_cleanup_expired_logs(Some(false))
            .with_application_transactions(transactions)
            .with_metadata(metadata);
        let write = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(PARTITION_COLUMNS.map(str::to_owned).to_vec()),
            predicate: None,
        };
        let prepared = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(state), Arc::clone(&self.log), write)
            .into_prepared_commit_future()
            .await
            .map_err(classify)?;
        match prepared.await {
            Ok(done) => {
                let version = done.version;
                // The commit is done; a checkpoint only makes reading the log faster.
                let checkpointed = async {
                    let done = done.await.map_err(classify)?;
                    if done.metrics.new_checkpoint_created {
                        self.seal_checkpoint(version).await
                    } else {
                        Ok(())
                    }
                };
                if let Err(error) = checkpointed.await {
                    tracing::warn!(table = %self.place(), version, error = error.chain(), "no checkpoint was written");
                }
                Ok(Some(version))
            }
            Err(
                DeltaTableError::VersionAlreadyExists(_)
                | DeltaTableError::Transaction { source: TransactionError::MaxCommitAttempts(_) },
            ) => Ok(None),
            Err(error) => Err(classify(error)).context(|| format!("commit to table {}", self.place())),
        }
    }

    async fn transaction(&self, state: &DeltaTableState, name: &str) -> Result<Option<i64>> {
        state.transaction_version(self.log.as_ref(), name).await.map_err(classify)
    }

    async fn revisions_at(&self, state: &DeltaTableState, digests: &[&str]) -> Result<Vec<Revision>> {
        if digests.len() > FEW_SOURCES
            && let Some(all) = self.all_revisions(state.version()).await?
        {
            return Ok(digests
                .iter()
                .map(|digest| Revision(all.get(*digest).copied().unwrap_or(0)))
                .collect());
        }
        let mut revisions = Vec::with_capacity(digests.len());
        for digest in digests {
            let version = self.transaction(state, &application(digest)).await?;
            revisions.push(Revision(version.unwrap_or(0)));
        }
        Ok(revisions)
    }

    /// The revisions of all sources, from the commits up to a version; `None` where the log lacks one of them. Delta
    /// looks up one application at a time, and reads the log for each.
    async fn all_revisions(&self, newest: u64) -> Result<Option<HashMap<String, i64>>> {
        let read = (0..=newest).map(|version| async move {
            let entry = self.log.read_commit_entry(version).await.map_err(classify)?;
            Ok::<_, Error>(entry.map(|entry| sources_of(&entry)))
        });
        let read: Vec<_> = read.collect();
        let mut read = stream::iter(read).buffered(REQUESTS);
        let mut all = HashMap::new();
        while let Some(sources) = read.try_next().await? {
            let Some(sources) = sources else { return Ok(None) };
            all.extend(sources);
        }
        Ok(Some(all))
    }

    /// The actions that remove files of a state.
    async fn removals(
        &self,
        state: &DeltaTableState,
        removes: &[DataFile],
        changes_rows: bool,
    ) -> Result<Vec<Action>> {
        if removes.is_empty() {
            return Ok(Vec::new());
        }
        let wanted: HashSet<&str> = removes.iter().map(|file| file.path.as_str()).collect();
        let views = state.snapshot().file_views(self.log.as_ref(), None);
        let views: Vec<LogicalFileView> = views
            .try_collect()
            .await
            .map_err(classify)
            .context(|| format!("list the files of table {}", self.place()))?;
        let found: Vec<Action> = views
            .iter()
            .filter(|view| wanted.contains(view.path().as_ref()))
            .map(|view| Action::Remove(view.remove_action(changes_rows)))
            .collect();
        if found.len() == wanted.len() {
            return Ok(found);
        }
        Err(Error::conflict(format!(
            "{} files of table {} were replaced meanwhile; run this again",
            wanted.len() - found.len(),
            self.place()
        )))
    }

    /// Holds the invariant of a commit: every file is in the store with its full size.
    async fn check_files(&self, adds: &[DataFile]) -> Result<Vec<Action>> {
        let checks = adds.iter().map(|file| async move {
            let path = format!("{}/{}", self.name, file.path);
            let meta = self.archive.store().head(&self.archive.path(&path)).await;
            let meta =
                meta.context(|| format!("look at {} before its commit", self.archive.display(&path)))?;
            if meta.size != file.size {
                return Err(Error::input(format!(
                    "{} has {} bytes instead of {}; write it again",
                    self.archive.display(&path),
                    meta.size,
                    file.size
                )));
            }
            Ok(Action::Add(file.to_add(meta.last_modified.timestamp_millis())?))
        });
        let checks: Vec<_> = checks.collect();
        stream::iter(checks).buffered(REQUESTS).try_collect().await
    }
}

/// The name of the Delta application transaction that records a source.
fn application(digest: &str) -> String {
    format!("{SOURCE}{digest}")
}

/// The sources of which a commit tells, with their revisions.
fn sources_of(entry: &[u8]) -> Vec<(String, i64)> {
    let lines = entry.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{\"txn\""));
    let source = |line: &[u8]| {
        let action: Value = serde_json::from_slice(line).ok()?;
        let digest = action["txn"]["appId"].as_str()?.strip_prefix(SOURCE)?.to_owned();
        Some((digest, action["txn"]["version"].as_i64()?))
    };
    lines.filter_map(source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_only_grows_and_says_what_there_is() {
        let mut revision = Revision(0);
        assert_eq!(revision.state(), SourceState::Unknown);
        assert!(!revision.was_forgotten(), "it was never known");
        assert_eq!(Revision(1).state(), SourceState::Archived, "what earlier versions recorded");
        use SourceState::{Archived, PutAside, Unknown};
        for state in [PutAside, Archived, Archived, Unknown, Unknown, PutAside, Unknown, Archived] {
            let next = Revision(revision.next(state));
            assert!(next.0 > revision.0 && next.state() == state, "{revision:?} {next:?}");
            assert_eq!(next.was_forgotten(), state == Unknown);
            revision = next;
        }
    }
}
