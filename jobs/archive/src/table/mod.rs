//! The tables of an archive: Delta Lake tables, used as a commit log over Parquet files.
//!
//! A write is all or nothing: the files are written first, by whoever has the rows, and become part of the table by one
//! [`Table::commit`], or of several tables by one [`commit_group`]. A reader sees one [`Snapshot`], which stays readable
//! by its number. Writers append by compare-and-swap on the next version number, so that concurrent commits are never
//! lost. The digest of every source that was ingested is recorded in the commit of its rows, as a Delta application
//! transaction, so that ingesting a source again adds nothing. Spark, DuckDB and Polars read the same tables.
//!
//! Source: Armbrust et al., "Delta Lake: High-Performance ACID Table Storage over Cloud Object Stores", VLDB 2020, and
//! the Delta transaction log protocol. deltalake-core is used without its feature `datafusion`: only its log is needed,
//! and the build is shorter. What is absent: updates, deletes, and Delta's own plan nodes; [`crate::provider`] scans.
//! Start at [`Table::open_or_create`].

mod change;
mod evolution;
mod group;
mod log;
mod markers;
mod sealed;

use std::{collections::HashMap, error::Error as StdError, sync::Arc};

use arrow::datatypes::{Schema, SchemaRef};
use deltalake_core::{
    DeltaTableError,
    kernel::{
        Add, LogicalFileView, StructType, engine::arrow_conversion::TryIntoKernel,
        transaction::CommitProperties,
    },
    logstore::{LogStoreRef, StorageConfig, default_logstore},
    operations::create::CreateBuilder,
    protocol::SaveMode,
    table::state::DeltaTableState,
};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, prefix::PrefixStore};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidewaiter_core::{Error, ErrorKind, Result, ResultExt, error::is_refusal};

pub use self::{
    change::{Change, Revision, SourceChange, SourceState},
    group::{commit_group, finish_groups},
    log::{Damage, LoggedCommit},
};
use crate::{
    Archive,
    schema::{PARTITION_COLUMNS, in_order, with_partitions},
};

/// Requests to the store that are made at the same time while files or commits are looked up.
const REQUESTS: usize = 16;

/// The tag of a file in the log that holds its digest.
const DIGEST: &str = "tidewaiterDigest";

/// The key of a commit's metadata that names the operation by which it was made.
const OPERATION: &str = "tidewaiterOperation";

/// The key of a commit's metadata that names the group of changes of which it is a part.
const GROUP_KEY: &str = "tidewaiterGroup";

/// Folders of the archive that other parts of the platform fill. They hold many folders and no table, and are not
/// searched.
const FOLDERS_WITHOUT_TABLES: [&str; 4] = ["commits", "ledger", "models", "numbers"];

/// A table whose folder held many folders before it was one; they are not searched.
const QUARANTINE: &str = "quarantine";

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
    /// The [`digest`](crate::upload::digest) of its bytes; of files that older versions wrote it is not known.
    #[serde(default)]
    pub digest: Option<String>,
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
            tags: self.digest.clone().map(|digest| [(DIGEST.to_owned(), Some(digest))].into()),
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        })
    }

    fn from_log(view: &LogicalFileView) -> Result<Self> {
        let rows = view.num_records().ok_or_else(|| {
            Error::corrupt(format!(
                "the log has no row count for {}; it was added by another program",
                view.path()
            ))
        })?;
        #[expect(deprecated, reason = "nothing else gives the tags")]
        Self::of_add(view.add_action(), rows as u64)
    }

    /// The file of an action of the log.
    fn of_add(add: Add, rows: u64) -> Result<Self> {
        let Add { path, size, partition_values, stats, tags, .. } = add;
        let value = |column: &str| {
            partition_values.get(column).cloned().flatten().ok_or_else(|| {
                Error::corrupt(format!("the log has no {column} for {path}; call an operator"))
            })
        };
        let number = |column: &str| {
            value(column)?.parse::<i32>().map_err(|error| {
                Error::corrupt(format!("the log's {column} of {path} is not a number")).with_source(error)
            })
        };
        Ok(Self {
            size: u64::try_from(size).unwrap_or_default(),
            rows,
            country: value("country")?,
            year: number("year")?,
            month: number("month")?,
            statistics: stats,
            digest: tags.and_then(|mut tags| tags.remove(DIGEST)).flatten(),
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
    /// columns `country`, `year` and `month`, which every table has. Columns that an existing table lacks are added to it,
    /// and are null in the files that it has.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when `name` is not a table's name or a column of the table has another type;
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
        table.evolve(schema).await?;
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
        let prefixed: Arc<dyn ObjectStore> = Arc::new(sealed::SealedLog(prefixed));
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

    /// The newest version of which no part is hidden, because it belongs to a group of changes that is under way.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn version(&self) -> Result<u64> {
        Ok(self.visible().await?.version())
    }

    /// The state at [`Table::version`].
    async fn visible(&self) -> Result<DeltaTableState> {
        let state = self.state(None).await?;
        // A group's marker is written before its first version, so that the markers are looked at after the versions.
        let Some(hidden) = markers::hidden(&self.archive, &self.name).await? else { return Ok(state) };
        let mut visible = state.version();
        for version in (hidden.base + 1..=state.version()).rev() {
            let entry = self.log.read_commit_entry(version).await.map_err(classify)?;
            if entry.and_then(|entry| group_of(&entry)).is_some_and(|group| hidden.groups.contains(&group)) {
                visible = version - 1;
            }
        }
        if visible == state.version() { Ok(state) } else { self.state(Some(visible)).await }
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
        let state = match version {
            Some(_) => self.state(version).await?,
            None => self.visible().await?,
        };
        let views = state.snapshot().file_views(self.log.as_ref(), None);
        let views: Vec<LogicalFileView> = views
            .try_collect()
            .await
            .map_err(classify)
            .context(|| format!("list the files of table {}", self.place()))?;
        let mut files: Vec<DataFile> = views.iter().map(DataFile::from_log).collect::<Result<_>>()?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Snapshot { version: state.version(), schema: in_order(&state.snapshot().arrow_schema()), files })
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
        if folder == QUARANTINE {
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

/// The group of changes to which a commit belongs, where it belongs to one.
fn group_of(entry: &[u8]) -> Option<String> {
    entry.split(|byte| *byte == b'\n').find_map(|line| {
        let action: Value = serde_json::from_slice(line).ok()?;
        Some(action["commitInfo"][GROUP_KEY].as_str()?.to_owned())
    })
}

/// The error for one of Delta's, by the store's own error below it where there is one.
fn classify(error: DeltaTableError) -> Error {
    if is_refusal(&error) {
        return Error::new(ErrorKind::Denied, error.to_string()).with_source(error);
    }
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
