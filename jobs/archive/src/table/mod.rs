//! The tables of an archive: Delta Lake tables, used as a commit log over Parquet files.
//!
//! A write is all or nothing: the files are written first, by whoever has the rows, and become part of the table by one
//! [`Table::commit`]. A reader sees one [`Snapshot`], which stays readable by its number. Writers append by
//! compare-and-swap on the next version number, so that concurrent commits are never lost. The digest of every source
//! that was ingested is recorded in the commit of its rows, as a Delta application transaction, so that ingesting a
//! source again adds nothing. Spark, DuckDB and Polars read the same tables.
//!
//! Source: Armbrust et al., "Delta Lake: High-Performance ACID Table Storage over Cloud Object Stores", VLDB 2020, and
//! the Delta transaction log protocol. deltalake-core is used without its feature `datafusion`: only its log is needed,
//! and the build is shorter. What is absent: updates, deletes, and Delta's own plan nodes; [`crate::provider`] scans.
//! Start at [`Table::open_or_create`].

use std::{
    collections::{HashMap, HashSet},
    error::Error as StdError,
    sync::Arc,
};

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
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidewaiter_core::{Error, ErrorKind, Result, ResultExt};

use crate::{
    Archive,
    schema::{PARTITION_COLUMNS, with_partitions},
};

/// How often a commit is attempted when other writers take the version that it needs. Each failed attempt is another
/// writer's success, so this bounds the number of concurrent writers, not the time.
const ATTEMPTS: usize = 256;

/// Requests to the store that are made at the same time while files or commits are looked up.
const REQUESTS: usize = 16;

/// What the names of the application transactions that record sources begin with.
const SOURCE: &str = "tidewaiter-source-";

/// Sources that are looked up one by one, at most.
const FEW_SOURCES: usize = 8;

/// The key of a commit's metadata that names the operation by which it was made.
const OPERATION: &str = "tidewaiterOperation";

/// Folders of the archive that other parts of the platform fill. They hold many folders and no table, and are not
/// searched.
const FOLDERS_WITHOUT_TABLES: [&str; 3] = ["ledger", "models", "quarantine"];

/// One Parquet file of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Its path, relative to the table's folder.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// The number of its rows.
    pub rows: u64,
    /// The reporting country of its rows, as an ISO 3166-1 alpha-2 code.
    pub country: String,
    /// The year of its rows.
    pub year: i32,
    /// The month of its rows, 1 to 12.
    pub month: i32,
    /// Its Delta statistics (`minValues`, `maxValues`, `nullCount`) as JSON.
    pub statistics: Option<String>,
}

impl DataFile {
    /// Its month, counted from year 0: `12 * year + month - 1`.
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

/// The state of a table at one version.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The version, from 0.
    pub version: u64,
    /// The columns as a query sees them: those of the data files, then the partition columns.
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

/// The result of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// The files are part of the table from this version on.
    Version(u64),
    /// The table had the rows of all sources already; nothing was added.
    AlreadyThere,
}

/// One entry of a table's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotEntry {
    /// The version, from 0.
    pub version: u64,
    /// When it was committed: milliseconds since 1970-01-01 UTC, by the writer's clock.
    pub committed_ms: i64,
    /// The operation that made it, such as `ingest`.
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
    /// Opens a table, creating it where there is none. `schema` is that of its data files, without the partition
    /// columns `country`, `year` and `month`, which every table has.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when `name` is not a table's name or the table exists with other columns;
    /// [`ErrorKind::Denied`] when the archive cannot be written.
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
                // Old snapshots stay readable for ever: a job may name one by its number.
                .with_configuration([
                    ("delta.enableExpiredLogCleanup", Some("false")),
                    ("delta.checkpointInterval", Some("10")),
                ])
                // No retries: a second creator would otherwise append its metadata as version 1.
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

    /// Opens an existing table.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], naming the tables that exist; [`ErrorKind::Input`] when `name` is not a table's name.
    pub async fn open(archive: &Archive, name: &str) -> Result<Self> {
        let table = Self::at(archive, name)?;
        if table.exists().await? {
            return Ok(table);
        }
        let tables = list_tables(archive).await?;
        let tables = if tables.is_empty() { "none".to_owned() } else { tables.join(", ") };
        Err(Error::not_found(format!("there is no table {}; tables here: {tables}", table.place())))
    }

    /// The table of that name, whether or not it exists.
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
        let exists = self.log.is_delta_table_location().await.map_err(classify);
        exists.context(|| format!("look for table {}", self.place()))
    }

    async fn state(&self, version: Option<u64>) -> Result<DeltaTableState> {
        let state = DeltaTableState::try_new(self.log.as_ref(), version).await.map_err(classify);
        state.context(|| format!("read the log of table {}", self.place()))
    }

    /// The newest version.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn version(&self) -> Result<u64> {
        Ok(self.state(None).await?.version())
    }

    /// The state of the table at `version`; at the newest where it is `None`.
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

    /// Adds files to the table, all or none, and records the digests of the sources that their rows came from. The
    /// files must be in the table's folder already. Committing the same sources again changes nothing.
    ///
    /// `operation` names in the history what made the commit.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when a file is not there, and [`ErrorKind::Input`] when its size is not the given one;
    /// [`ErrorKind::Conflict`] when the table has the rows of some of the sources, but not of all, or when other
    /// writers came first too often.
    pub async fn commit(&self, adds: &[DataFile], sources: &[String], operation: &str) -> Result<Commit> {
        let actions = self.check_files(adds).await?;
        let transactions: Vec<Transaction> =
            sources.iter().map(|digest| Transaction::new(application(digest), 1)).collect();
        for _ in 0..ATTEMPTS {
            let state = self.state(None).await?;
            let known = self.recorded(&state, sources).await?;
            match known.len() {
                0 => {}
                count if count == sources.len() => return Ok(Commit::AlreadyThere),
                _ => {
                    return Err(Error::conflict(format!(
                        "table {} already has the rows of {} of {} sources; leave out {}",
                        self.place(),
                        known.len(),
                        sources.len(),
                        known.join(", ")
                    )));
                }
            }
            // No retries inside the commit: after another writer's commit the sources must be looked up again.
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
                    // The commit is done; a checkpoint only makes reading the log faster.
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

    /// Those of the source digests whose rows the table has already.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn known_sources(&self, sources: &[String]) -> Result<Vec<String>> {
        self.recorded(&self.state(None).await?, sources).await
    }

    async fn recorded(&self, state: &DeltaTableState, sources: &[String]) -> Result<Vec<String>> {
        if sources.len() > FEW_SOURCES
            && let Some(all) = self.all_recorded(state.version()).await?
        {
            return Ok(sources.iter().filter(|digest| all.contains(*digest)).cloned().collect());
        }
        let mut known = Vec::new();
        for digest in sources {
            let version = state.transaction_version(self.log.as_ref(), application(digest)).await;
            if version.map_err(classify)?.is_some() {
                known.push(digest.clone());
            }
        }
        Ok(known)
    }

    /// The digests of all sources, from the commits up to a version; `None` where the log lacks one of them. Delta looks
    /// up one application at a time, and reads the log for each.
    async fn all_recorded(&self, newest: u64) -> Result<Option<HashSet<String>>> {
        let read = (0..=newest).map(|version| async move {
            let entry = self.log.read_commit_entry(version).await.map_err(classify)?;
            Ok::<_, Error>(entry.map(|entry| sources_of(&entry)))
        });
        let read: Vec<_> = read.collect();
        let read: Vec<Option<Vec<String>>> = stream::iter(read).buffered(REQUESTS).try_collect().await?;
        Ok(read
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .map(|sources| sources.into_iter().flatten().collect()))
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

    /// The history, oldest version first.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the log lacks a version; those of the store.
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

/// The names of the archive's tables, sorted: folders with a Delta log, at most two levels deep.
///
/// # Errors
/// Those of the store.
pub async fn list_tables(archive: &Archive) -> Result<Vec<String>> {
    let mut tables = Vec::new();
    for folder in archive.folders("").await? {
        if FOLDERS_WITHOUT_TABLES.contains(&folder.as_str()) {
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

/// The name of the Delta application transaction that records a source.
fn application(digest: &str) -> String {
    format!("{SOURCE}{digest}")
}

/// The digests of the sources that a commit records.
fn sources_of(entry: &[u8]) -> Vec<String> {
    let lines = entry.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{\"txn\""));
    let digest = |line: &[u8]| {
        let action: Value = serde_json::from_slice(line).ok()?;
        Some(action["txn"]["appId"].as_str()?.strip_prefix(SOURCE)?.to_owned())
    };
    lines.filter_map(digest).collect()
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

/// The error for one of Delta's, by the store's own error below it where there is one.
fn classify(error: DeltaTableError) -> Error {
    if matches!(error, DeltaTableError::ObjectStore { .. }) {
        return error.into();
    }
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    // The kernel keeps only the text of a store's error, and its error type cannot be named here.
    let unreachable = matches!(error, DeltaTableError::KernelError(_))
        && error.to_string().contains("Error interacting with object store: Generic");
    let mut kind = unreachable.then_some(ErrorKind::Unavailable);
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
mod tests;
