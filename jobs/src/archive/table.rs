//! The archive's tables: Delta Lake tables used as a commit log over Parquet files.
//!
//! A write is all or nothing: files are written first, by whoever has the rows, and become part of the
//! table by one [`Table::commit`]. A reader sees one [`Snapshot`], whose number stays readable. Writers
//! append by compare-and-swap on the next version number, so that two at once lose nothing. The digest of
//! every source that was ingested is recorded with its rows as a Delta application transaction, so that
//! ingesting a source again adds nothing. Spark, DuckDB and Polars read the same tables.
//!
//! Source: Armbrust et al., "Delta Lake: High-Performance ACID Table Storage over Cloud Object Stores",
//! VLDB 2020, and the Delta transaction log protocol. Start at [`Table::open_or_create`].

use std::{collections::HashMap, error::Error as StdError, sync::Arc};

use arrow::datatypes::{Schema, SchemaRef};
use deltalake_core::{
    DeltaTableError,
    kernel::{
        Action, Add, LogicalFileView, StructType, Transaction,
        engine::arrow_conversion::TryIntoKernel,
        transaction::{CommitBuilder, CommitProperties, TransactionError},
    },
    logstore::{LogStoreRef, StorageConfig, default_logstore},
    operations::create::CreateBuilder,
    protocol::{DeltaOperation, SaveMode},
    table::state::DeltaTableState,
};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt, prefix::PrefixStore};
use serde_json::{Value, json};

use super::{
    Archive,
    schema::{PARTITION_COLUMNS, with_partitions},
};
use crate::{Error, ErrorKind, Result, ResultExt};

/// How often a commit starts anew because another writer took the version that it wanted. Every lost
/// attempt is another writer's success, so this bounds the number of writers, not the time.
const ATTEMPTS: usize = 256;

/// How many requests to the store are under way at once while files or commits are looked up.
const REQUESTS: usize = 16;

/// The commit's key under which the operation that made it is kept.
const OPERATION: &str = "tidewaiterOperation";

/// Folders of the archive that hold no tables.
const NOT_TABLES: [&str; 3] = ["ledger", "models", "quarantine"];

/// One Parquet file of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Its path, relative to the table's folder.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// The number of its rows.
    pub rows: u64,
    /// The reporting country of its rows, ISO 3166-1 alpha-2.
    pub country: String,
    /// The year of its rows.
    pub year: i32,
    /// The month of its rows, 1 to 12.
    pub month: i32,
    /// Its Delta statistics (`minValues`, `maxValues`, `nullCount`) as JSON.
    pub statistics: Option<String>,
}

impl DataFile {
    /// The number of its month counted from year 0: `12 * year + month - 1`.
    pub fn month_number(&self) -> i32 {
        12 * self.year + self.month - 1
    }

    fn to_add(&self, modified_ms: i64) -> Result<Add> {
        let mut statistics = match &self.statistics {
            Some(text) => serde_json::from_str::<Value>(text)
                .context(|| format!("read the statistics given for {}", self.path))?,
            None => json!({}),
        };
        statistics["numRecords"] = json!(self.rows);
        let values = [self.country.clone(), self.year.to_string(), self.month.to_string()];
        Ok(Add {
            path: self.path.clone(),
            partition_values: PARTITION_COLUMNS
                .iter()
                .zip(values)
                .map(|(column, value)| ((*column).to_owned(), Some(value)))
                .collect(),
            size: i64::try_from(self.size)
                .map_err(|_| Error::input(format!("{} is too large", self.path)))?,
            modification_time: modified_ms,
            data_change: true,
            stats: Some(statistics.to_string()),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        })
    }

    fn from_log(view: &LogicalFileView) -> Result<Self> {
        let path = view.path().into_owned();
        let values = view.partition_values_map();
        let value = |column: &str| {
            values.get(column).cloned().flatten().ok_or_else(|| {
                Error::corrupt(format!("the log has no {column} for {path}; call an operator"))
            })
        };
        let number = |column: &str| {
            value(column)?.parse::<i32>().map_err(|error| {
                Error::corrupt(format!("the log's {column} of {path} is not a number")).with_source(error)
            })
        };
        let rows = view.num_records().ok_or_else(|| {
            Error::corrupt(format!("the log has no row count for {path}; it was added by another program"))
        })?;
        Ok(Self {
            size: u64::try_from(view.size()).unwrap_or_default(),
            rows: rows as u64,
            country: value("country")?,
            year: number("year")?,
            month: number("month")?,
            statistics: view.stats(),
            path,
        })
    }
}

/// What a table was at one version.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The version, from 0.
    pub version: u64,
    /// The columns as a query sees them: the data columns, then the partition columns.
    pub schema: SchemaRef,
    /// The files, in the order of their paths.
    pub files: Vec<DataFile>,
}

impl Snapshot {
    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// The number of bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// It became this version.
    Version(u64),
    /// Every source was in the table already; nothing was added.
    AlreadyThere,
}

/// One entry of a table's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotEntry {
    /// The version, from 0.
    pub version: u64,
    /// When it was committed: milliseconds since 1970-01-01 UTC, by the writer's clock.
    pub committed_ms: i64,
    /// What made it.
    pub operation: String,
}

/// A table of an archive.
#[derive(Debug, Clone)]
pub struct Table {
    archive: Archive,
    name: String,
    log: LogStoreRef,
}

impl Table {
    /// Opens the table, and creates it when it is not there. `schema` is that of its data files, without
    /// the partition columns `country`, `year` and `month`, which every table has.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when the table exists with other columns; [`ErrorKind::Denied`] when the
    /// archive cannot be written.
    pub async fn open_or_create(archive: &Archive, name: &str, schema: &Schema) -> Result<Self> {
        let table = Self::at(archive, name)?;
        let wanted = with_partitions(schema);
        if !table.exists().await? {
            let columns: StructType = wanted.as_ref().try_into_kernel()?;
            let created = CreateBuilder::new()
                .with_log_store(Arc::clone(&table.log))
                .with_table_name(name)
                .with_columns(columns.fields().cloned())
                .with_partition_columns(PARTITION_COLUMNS)
                // Old snapshots stay readable for ever: a backtest names one by its number.
                .with_configuration([
                    ("delta.enableExpiredLogCleanup", Some("false")),
                    ("delta.checkpointInterval", Some("10")),
                ])
                // Without retries, or a second creator would append its metadata as version 1.
                .with_commit_properties(CommitProperties::default().with_max_retries(0))
                .with_save_mode(SaveMode::ErrorIfExists)
                .await;
            if let Err(error) = created
                && !table.exists().await?
            {
                return Err(classify(error)).context(|| format!("create table {}", table.place()));
            }
        }
        let found = table.state(None).await?.snapshot().arrow_schema();
        let columns = |schema: &Schema| -> Vec<_> {
            schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
        };
        if columns(&found) != columns(&wanted) {
            return Err(Error::input(format!(
                "table {} exists with other columns; write to another table, or migrate this one",
                table.place()
            )));
        }
        Ok(table)
    }

    /// Opens a table that exists.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], naming the tables that exist.
    pub async fn open(archive: &Archive, name: &str) -> Result<Self> {
        let table = Self::at(archive, name)?;
        if table.exists().await? {
            return Ok(table);
        }
        let tables = list_tables(archive).await?;
        let tables = if tables.is_empty() { "none".to_owned() } else { tables.join(", ") };
        Err(Error::not_found(format!("there is no table {}; tables here: {tables}", table.place())))
    }

    fn at(archive: &Archive, name: &str) -> Result<Self> {
        let sound = !name.is_empty()
            && name.split('/').all(|part| {
                !part.is_empty()
                    && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
            });
        if !sound {
            return Err(Error::input(format!(
                "{name:?} is not a table's name; use letters, digits, - and _, with / between folders"
            )));
        }
        let root = Arc::clone(archive.store());
        let prefixed: Arc<dyn ObjectStore> =
            Arc::new(PrefixStore::new(Arc::clone(&root), archive.path(name)));
        let url = archive.url_of(&format!("{name}/"));
        let log = default_logstore(prefixed, root, &url, &StorageConfig::default());
        Ok(Self { archive: archive.clone(), name: name.to_owned(), log })
    }

    /// The table's name, which is also its folder in the archive.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The archive that the table is in.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    fn place(&self) -> String {
        self.archive.display(&self.name)
    }

    async fn exists(&self) -> Result<bool> {
        let there = self.log.is_delta_table_location().await.map_err(classify);
        there.context(|| format!("look for table {}", self.place()))
    }

    async fn state(&self, version: Option<u64>) -> Result<DeltaTableState> {
        let state = DeltaTableState::try_new(self.log.as_ref(), version).await.map_err(classify);
        state.context(|| format!("read the log of table {}", self.place()))
    }

    /// The newest version.
    pub async fn version(&self) -> Result<u64> {
        Ok(self.state(None).await?.version())
    }

    /// The table as it was at `version`; the newest where it is `None`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such version yet.
    pub async fn snapshot(&self, version: Option<u64>) -> Result<Snapshot> {
        if let Some(version) = version {
            let entry = self.log.read_commit_entry(version).await.map_err(classify)?;
            if entry.is_none() {
                let newest = self.version().await?;
                return Err(Error::not_found(format!(
                    "table {} has no snapshot {version}; it has 0 to {newest}",
                    self.place()
                )));
            }
        }
        let state = self.state(version).await?;
        let views = state.snapshot().file_views(self.log.as_ref(), None);
        let views: Vec<LogicalFileView> = views
            .try_collect()
            .await
            .map_err(classify)
            .context(|| format!("list the files of table {}", self.place()))?;
        let mut files: Vec<DataFile> = views.iter().map(DataFile::from_log).collect::<Result<_>>()?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Snapshot { version: state.version(), schema: state.snapshot().arrow_schema(), files })
    }

    /// Adds files to the table, all or none, and records the digests of the sources that they came from.
    /// The files are in the table's folder already, and nothing refers to them yet. Committing the same
    /// paths again changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when a file is not there with the given size; [`ErrorKind::Conflict`] when
    /// some of the sources, but not all, are in the table.
    pub async fn commit(&self, adds: &[DataFile], sources: &[String], operation: &str) -> Result<Commit> {
        let actions = self.check_files(adds).await?;
        let transactions: Vec<Transaction> =
            sources.iter().map(|digest| Transaction::new(application(digest), 1)).collect();
        for _ in 0..ATTEMPTS {
            let state = self.state(None).await?;
            let there = self.recorded(&state, sources).await?;
            match there.len() {
                0 => {}
                some if some == sources.len() => return Ok(Commit::AlreadyThere),
                _ => {
                    return Err(Error::conflict(format!(
                        "table {} already has the rows of {} of {} sources; leave out {}",
                        self.place(),
                        there.len(),
                        sources.len(),
                        there.join(", ")
                    )));
                }
            }
            // No retries of its own: whenever another writer was first, the sources are looked up again.
            let properties = CommitProperties::default()
                .with_max_retries(0)
                .with_cleanup_expired_logs(Some(false))
                .with_application_transactions(transactions.clone())
                .with_metadata([(OPERATION.to_owned(), json!(operation))]);
            let write = DeltaOperation::Write {
                mode: SaveMode::Append,
                partition_by: Some(PARTITION_COLUMNS.map(str::to_owned).to_vec()),
                predicate: None,
            };
            let prepared = CommitBuilder::from(properties)
                .with_actions(actions.clone())
                .build(Some(&state), Arc::clone(&self.log), write)
                .into_prepared_commit_future()
                .await
                .map_err(classify)?;
            match prepared.await {
                Ok(done) => {
                    let version = done.version;
                    // The commit stands; a checkpoint only makes reading the log faster.
                    if let Err(error) = done.await {
                        tracing::warn!(table = %self.place(), version, %error, "no checkpoint was written");
                    }
                    return Ok(Commit::Version(version));
                }
                Err(
                    DeltaTableError::VersionAlreadyExists(_)
                    | DeltaTableError::Transaction { source: TransactionError::MaxCommitAttempts(_) },
                ) => {}
                Err(error) => {
                    return Err(classify(error)).context(|| format!("commit to table {}", self.place()));
                }
            }
        }
        Err(Error::conflict(format!(
            "other writers were first {ATTEMPTS} times at table {}; run this again",
            self.place()
        )))
    }

    /// Those of the source digests whose rows are in the table already.
    pub async fn known_sources(&self, sources: &[String]) -> Result<Vec<String>> {
        self.recorded(&self.state(None).await?, sources).await
    }

    async fn recorded(&self, state: &DeltaTableState, sources: &[String]) -> Result<Vec<String>> {
        let mut there = Vec::new();
        for digest in sources {
            let version = state.transaction_version(self.log.as_ref(), application(digest)).await;
            if version.map_err(classify)?.is_some() {
                there.push(digest.clone());
            }
        }
        Ok(there)
    }

    /// The invariant of a commit: every file is there, whole.
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

    /// The history, oldest first.
    pub async fn snapshots(&self) -> Result<Vec<SnapshotEntry>> {
        let newest = self.version().await?;
        let read = (0..=newest).map(|version| async move {
            let entry = self.log.read_commit_entry(version).await.map_err(classify)?;
            let entry = entry.ok_or_else(|| {
                Error::corrupt(format!("the log of table {} lacks version {version}", self.place()))
            })?;
            history_entry(version, &entry)
        });
        let read: Vec<_> = read.collect();
        stream::iter(read).buffered(REQUESTS).try_collect().await
    }
}

/// Names of the archive's tables, sorted.
pub async fn list_tables(archive: &Archive) -> Result<Vec<String>> {
    let mut tables = Vec::new();
    for folder in archive.folders("").await? {
        if NOT_TABLES.contains(&folder.as_str()) {
            continue;
        }
        let inner = archive.folders(&folder).await?;
        if inner.iter().any(|name| name == "_delta_log") {
            tables.push(folder);
            continue;
        }
        for name in inner {
            let name = format!("{folder}/{name}");
            if archive.folders(&name).await?.iter().any(|inner| inner == "_delta_log") {
                tables.push(name);
            }
        }
    }
    Ok(tables)
}

/// The Delta application under which a source's ingest is recorded.
fn application(digest: &str) -> String {
    format!("tidewaiter-source-{digest}")
}

fn history_entry(version: u64, entry: &[u8]) -> Result<SnapshotEntry> {
    let mut found = SnapshotEntry { version, committed_ms: 0, operation: String::new() };
    for line in entry.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let mut action: HashMap<String, Value> = serde_json::from_slice(line)
            .context(|| format!("read version {version} of a table's log; call an operator"))?;
        if let Some(info) = action.remove("commitInfo") {
            found.committed_ms = info["timestamp"].as_i64().unwrap_or_default();
            let operation = info[OPERATION].as_str().or_else(|| info["operation"].as_str());
            found.operation = operation.unwrap_or_default().to_owned();
        }
    }
    Ok(found)
}

/// Names the remedy of a Delta error, looking below the kernel's wrapping for the store's own error.
fn classify(error: DeltaTableError) -> Error {
    if matches!(error, DeltaTableError::ObjectStore { .. }) {
        return error.into();
    }
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    // The kernel keeps only the text of a store's error, and its error type is not ours to name.
    let away = matches!(error, DeltaTableError::KernelError(_))
        && error.to_string().contains("Error interacting with object store: Generic");
    let mut kind = away.then_some(ErrorKind::Unavailable);
    while let Some(current) = cause {
        if let Some(store) = current.downcast_ref::<object_store::Error>() {
            kind = match store {
                object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. } => Some(ErrorKind::Denied),
                object_store::Error::Generic { .. } => Some(ErrorKind::Unavailable),
                _ => kind,
            };
        } else if let Some(io) = current.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::PermissionDenied
        {
            kind = Some(ErrorKind::Denied);
        }
        cause = current.source();
    }
    match kind {
        Some(kind) => Error::new(kind, error.to_string()).with_source(error),
        None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{memory, place, rows, schema, write};
    use super::*;

    /// Eight tasks that commit one file each, to a table that they create together.
    async fn concurrent(archive: Archive) {
        let tasks = (0..8).map(|task| {
            let archive = archive.clone();
            tokio::spawn(async move {
                let table = Table::open_or_create(&archive, "declarations", &schema()).await?;
                let files =
                    write(&archive, "declarations", &format!("job{task}"), &rows(task * 40, 40)).await;
                table.commit(&files, &[format!("digest{task}")], "ingest").await
            })
        });
        let mut versions = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            match task.await.expect("the task ends").expect("commits") {
                Commit::Version(version) => versions.push(version),
                Commit::AlreadyThere => panic!("each source is new"),
            }
        }
        versions.sort_unstable();
        assert_eq!(versions, (1..=8).collect::<Vec<_>>());
        let table = Table::open(&archive, "declarations").await.expect("opens");
        assert_eq!(table.snapshot(None).await.expect("reads").rows(), 320);
        let history = table.snapshots().await.expect("reads");
        assert_eq!(history.len(), 9);
        assert!(history[1..].iter().all(|entry| entry.operation == "ingest" && entry.committed_ms > 0));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn writers_at_once_lose_nothing_in_memory() {
        concurrent(memory("table-concurrent")).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn writers_at_once_lose_nothing_in_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        concurrent(place(&folder)).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_source_ingested_by_many_at_once_is_added_once() {
        let archive = memory("table-once");
        Table::open_or_create(&archive, "declarations", &schema()).await.expect("creates");
        let tasks = (0..6).map(|task| {
            let archive = archive.clone();
            tokio::spawn(async move {
                let table = Table::open(&archive, "declarations").await.expect("opens");
                let files = write(&archive, "declarations", &format!("job{task}"), &rows(0, 50)).await;
                table.commit(&files, &["same".to_owned()], "ingest").await.expect("answers")
            })
        });
        let mut added = 0;
        for task in tasks.collect::<Vec<_>>() {
            added += usize::from(task.await.expect("the task ends") != Commit::AlreadyThere);
        }
        assert_eq!(added, 1);
        let table = Table::open(&archive, "declarations").await.expect("opens");
        assert_eq!(table.snapshot(None).await.expect("reads").rows(), 50);
    }

    #[tokio::test]
    async fn snapshots_and_sources_outlive_checkpoints() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = place(&folder);
        let table = Table::open_or_create(&archive, "predictions/fraud", &schema()).await.expect("creates");
        for step in 0..12_u64 {
            let files = write(&archive, table.name(), &format!("job{step}"), &rows(0, 3)).await;
            let commit = table.commit(&files, &[format!("digest{step}")], "apply").await.expect("commits");
            assert_eq!(commit, Commit::Version(step + 1));
        }
        let log = archive.list("predictions/fraud/_delta_log").await.expect("lists");
        assert!(log.iter().any(|meta| meta.location.as_ref().ends_with("checkpoint.parquet")));
        assert_eq!(table.snapshot(Some(4)).await.expect("reads").rows(), 12);
        assert_eq!(table.snapshot(None).await.expect("reads").rows(), 36);
        let first = ["digest0".to_owned()];
        assert_eq!(table.commit(&[], &first, "apply").await.expect("answers"), Commit::AlreadyThere);
        let some = ["digest0".to_owned(), "new".to_owned()];
        assert_eq!(table.known_sources(&some).await.expect("reads"), first);
        let error = table.commit(&[], &some, "apply").await.expect_err("half is there");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let error = table.snapshot(Some(99)).await.expect_err("not there");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(list_tables(&archive).await.expect("lists"), ["predictions/fraud"]);
        let error = Table::open(&archive, "declarations").await.expect_err("not there");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.chain().contains("predictions/fraud"), "{}", error.chain());
    }

    #[tokio::test]
    async fn a_commit_of_a_file_that_is_not_whole_adds_nothing() {
        let archive = memory("table-whole");
        let table = Table::open_or_create(&archive, "declarations", &schema()).await.expect("creates");
        let mut files = write(&archive, "declarations", "job", &rows(0, 10)).await;
        files[0].size += 1;
        let error = table.commit(&files, &[], "ingest").await.expect_err("it is short");
        assert_eq!(error.kind(), ErrorKind::Input);
        files[0].path.push('x');
        let error = table.commit(&files, &[], "ingest").await.expect_err("it is absent");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(table.version().await.expect("reads"), 0);
        let other = Schema::new(schema().fields()[..2].to_vec());
        let error = Table::open_or_create(&archive, "declarations", &other).await.expect_err("differs");
        assert_eq!(error.kind(), ErrorKind::Input);
        let error = Table::open(&archive, "../declarations").await.expect_err("not a name");
        assert_eq!(error.kind(), ErrorKind::Input);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_denied() {
        use std::{fs, os::unix::fs::PermissionsExt};
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).expect("sets");
        if fs::write(folder.path().join("probe"), "").is_ok() {
            eprintln!(
                "SKIPPED a_folder_that_cannot_be_written_is_denied: this user may write anywhere (root)"
            );
            return;
        }
        let created = Table::open_or_create(&place(&folder), "declarations", &schema()).await;
        assert_eq!(created.expect_err("not writable").kind(), ErrorKind::Denied);
    }
}
