//! Scans of the archive: a table provider that is only a reference to files, so that a plan with it can be sent.
//!
//! A [`ParquetSourceProvider`] names one snapshot of one table, or a list of files, and is written into a logical plan
//! as a [`v1::ParquetSource`] message, because Delta's plan nodes do not travel through Ballista. Whoever plans the
//! query resolves the reference into files; the physical plan is then DataFusion's own scan of Parquet, which any
//! DataFusion process can decode. The same reference resolves to the same files, in the same order, on every machine
//! and at any later time.
//!
//! A filter on country, year or month is decided by the files alone: the scan reports it as an exact pushdown, and no
//! row is compared or copied for it.
//!
//! What is absent: a scan of our own, and files outside the archive. Start at [`snapshot_provider`];
//! [`try_encode_provider`] and [`decode_provider`] are for the codecs of plans.

use std::{any::Any, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, StringArray},
    compute::cast,
    datatypes::{DataType, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DFSchema, ScalarValue, Statistics, stats::Precision},
    config::TableParquetOptions,
    datasource::{
        TableType,
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource},
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    error::Result as DataFusionResult,
    execution::{SendableRecordBatchStream, TaskContext, object_store::ObjectStoreUrl},
    logical_expr::{Expr, TableProviderFilterPushDown, utils::conjunction},
    physical_expr::Partitioning,
    physical_plan::{ExecutionPlan, empty::EmptyExec},
};
use prost::Message;
use tidewaiter_core::{Error, Result, ResultExt};
use tidewaiter_proto::v1::{self, parquet_source::Source};

use crate::{
    Archive,
    schema::{PARTITION_COLUMNS, partition_fields},
    table::{DataFile, Table},
};

/// Files up to which a scan says of each what is known of its columns. That is four fifths of a file's part of the plan,
/// which goes to every executor in one message; without it a message has room for 200,000 files.
const MOST_FILES_WITH_STATISTICS: usize = 1000;

/// A table provider that refers to Parquet files of an archive.
#[derive(Debug)]
pub struct ParquetSourceProvider {
    archive: Archive,
    message: v1::ParquetSource,
    source: Source,
    file_schema: SchemaRef,
    schema: SchemaRef,
}

impl ParquetSourceProvider {
    /// The provider of the snapshot or the files that the message names. `schema` is that of the rows; for a snapshot
    /// it ends with the partition columns.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the message names nothing or the schema does not fit it.
    pub fn try_new(message: v1::ParquetSource, schema: SchemaRef) -> Result<Self> {
        let archive = Archive::open(&message.archive)?;
        let Some(source) = message.source.clone() else {
            return Err(Error::input("a scan names neither a snapshot nor files"));
        };
        let file_schema = match &source {
            Source::Files(_) => Arc::clone(&schema),
            Source::Snapshot(snapshot) => {
                let data = schema.fields().len().saturating_sub(PARTITION_COLUMNS.len());
                let names = schema.fields()[data..].iter().map(|field| field.name().as_str());
                if !names.eq(PARTITION_COLUMNS) {
                    return Err(Error::input(format!(
                        "the schema of table {} does not end with {}",
                        snapshot.table,
                        PARTITION_COLUMNS.join(", ")
                    )));
                }
                Arc::new(Schema::new(schema.fields()[..data].to_vec()))
            }
        };
        Ok(Self { archive, message, source, file_schema, schema })
    }

    /// The message that names the same rows on any machine.
    pub fn message(&self) -> &v1::ParquetSource {
        &self.message
    }

    /// Whether the files are those of an archive.
    pub fn is_of(&self, archive: &Archive) -> bool {
        let folder = |archive: &Archive| archive.url().as_str().trim_end_matches('/').to_owned();
        folder(&self.archive) == folder(archive)
    }

    /// The files of the snapshot that satisfy the reference's own limits and the filters.
    async fn snapshot_files(
        &self,
        snapshot: &v1::SnapshotSource,
        state: &dyn Session,
        filters: &[Expr],
    ) -> DataFusionResult<Vec<PartitionedFile>> {
        let table = Table::open(&self.archive, &snapshot.table).await?;
        let mut files = table.snapshot(Some(snapshot.version)).await?.files;
        files.retain(|file| {
            let month = file.month_number();
            (snapshot.countries.is_empty() || snapshot.countries.contains(&file.country))
                && (snapshot.from_month == 0 || month >= snapshot.from_month)
                && (snapshot.to_month == 0 || month <= snapshot.to_month)
        });
        if snapshot.by_month {
            files.sort_by(|a, b| (a.month_number(), &a.path).cmp(&(b.month_number(), &b.path)));
        }
        let files = prune(state, filters, files)?;
        let has_statistics = files.len() <= MOST_FILES_WITH_STATISTICS;
        let files = files.into_iter().map(|file| {
            let path = self.archive.path(&format!("{}/{}", snapshot.table, file.path));
            let mut partitioned = PartitionedFile::new("", file.size).with_partition_values(vec![
                ScalarValue::Utf8(Some(file.country)),
                ScalarValue::Int32(Some(file.year)),
                ScalarValue::Int32(Some(file.month)),
            ]);
            partitioned.object_meta.location = path;
            if !has_statistics {
                return partitioned;
            }
            let mut statistics = Statistics::new_unknown(&self.file_schema);
            statistics.num_rows = Precision::Exact(usize::try_from(file.rows).unwrap_or(usize::MAX));
            partitioned.with_statistics(Arc::new(statistics))
        });
        Ok(files.collect())
    }
}

/// Whether a filter reads partition columns alone, so that it holds for all rows of a file or for none.
fn is_decided_by_files(filter: &Expr) -> bool {
    !filter.is_volatile()
        && filter.column_refs().iter().all(|column| PARTITION_COLUMNS.contains(&column.name()))
}

/// The files whose rows satisfy those of the filters that are decided by files.
fn prune(state: &dyn Session, filters: &[Expr], files: Vec<DataFile>) -> DataFusionResult<Vec<DataFile>> {
    let usable = filters.iter().filter(|filter| is_decided_by_files(filter));
    let Some(filter) = conjunction(usable.cloned()) else { return Ok(files) };
    let schema = Arc::new(Schema::new(partition_fields()));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(files.iter().map(|file| &file.country))),
        Arc::new(Int32Array::from_iter_values(files.iter().map(|file| file.year))),
        Arc::new(Int32Array::from_iter_values(files.iter().map(|file| file.month))),
    ];
    let filter = state.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(&schema))?)?;
    let kept = filter.evaluate(&RecordBatch::try_new(schema, columns)?)?.into_array(files.len())?;
    let kept = cast(&kept, &DataType::Boolean)?;
    let kept = kept.as_boolean();
    let files = files.into_iter().enumerate();
    Ok(files.filter(|(file, _)| kept.is_valid(*file) && kept.value(*file)).map(|(_, file)| file).collect())
}

#[async_trait]
impl TableProvider for ParquetSourceProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        let exact = |filter: &&Expr| match &self.source {
            Source::Snapshot(_) if is_decided_by_files(filter) => TableProviderFilterPushDown::Exact,
            _ => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(exact).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let (groups, partitions) = match &self.source {
            Source::Snapshot(snapshot) => {
                let files = self.snapshot_files(snapshot, state, filters).await?;
                let target = state.config().target_partitions().max(1);
                let groups = if snapshot.by_month && !files.is_empty() {
                    vec![FileGroup::new(files)]
                } else {
                    FileGroup::new(files).split_files(target)
                };
                (groups, partition_fields())
            }
            Source::Files(list) => {
                let files = list.files.iter().map(|file| partitioned_file(&self.archive, file));
                let groups = if list.partition_per_file {
                    files.map(|file| FileGroup::new(vec![file])).collect()
                } else {
                    FileGroup::new(files.collect()).split_files(state.config().target_partitions().max(1))
                };
                (groups, Vec::new())
            }
        };
        if groups.is_empty() {
            let schema = match projection {
                Some(columns) => Arc::new(self.schema.project(columns)?),
                None => Arc::clone(&self.schema),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        let partitions: Vec<_> = partitions.into_iter().map(Arc::new).collect();
        let schema =
            TableSchema::builder(Arc::clone(&self.file_schema)).with_table_partition_cols(partitions).build();
        let parquet = ParquetSource::new(schema).with_table_parquet_options(options);
        let store = ObjectStoreUrl::parse(self.archive.store_url())?;
        // A declared partitioning is kept; otherwise the optimizer divides the files over all target partitions.
        let kept = match &self.source {
            Source::Snapshot(snapshot) => snapshot.by_month,
            Source::Files(list) => list.partition_per_file,
        };
        let scan = FileScanConfigBuilder::new(store, Arc::new(parquet))
            .with_output_partitioning(kept.then(|| Partitioning::UnknownPartitioning(groups.len())))
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}

/// The rows of Parquet files of the archive, one file after the other, for an operator that reads them in addition to
/// its input.
///
/// # Errors
/// Those of starting a scan; those of reading come with the rows.
pub fn stream(
    archive: &Archive,
    files: &[v1::ParquetFile],
    schema: SchemaRef,
    task: Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let files = files.iter().map(|file| partitioned_file(archive, file)).collect();
    let options = TableParquetOptions {
        global: task.session_config().options().execution.parquet.clone(),
        ..TableParquetOptions::default()
    };
    let parquet =
        ParquetSource::new(TableSchema::builder(schema).build()).with_table_parquet_options(options);
    let store = ObjectStoreUrl::parse(archive.store_url())?;
    let scan = FileScanConfigBuilder::new(store, Arc::new(parquet)).with_file_group(FileGroup::new(files));
    Ok(DataSourceExec::from_data_source(scan.build()).execute(0, task)?)
}

/// A file of the archive for a scan, without partition columns.
fn partitioned_file(archive: &Archive, file: &v1::ParquetFile) -> PartitionedFile {
    let mut partitioned = PartitionedFile::new("", file.size);
    partitioned.object_meta.location = archive.path(&file.path);
    partitioned
}

/// The provider of a whole snapshot of a table; of the newest where `version` is `None`.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::NotFound`] when there is no such table or version.
pub async fn snapshot_provider(
    archive: &Archive,
    table: &str,
    version: Option<u64>,
) -> Result<Arc<dyn TableProvider>> {
    let (message, schema) = snapshot_source(archive, table, version).await?;
    Ok(Arc::new(ParquetSourceProvider::try_new(message, schema)?))
}

/// [`snapshot_provider`] with text columns as views (`Utf8View`) except the partition columns and the column `owned`:
/// texts that repeat often are then not copied from plan node to plan node.
///
/// # Errors
/// As [`snapshot_provider`].
pub async fn snapshot_views(
    archive: &Archive,
    table: &str,
    version: Option<u64>,
    owned: &str,
) -> Result<Arc<dyn TableProvider>> {
    let (message, schema) = snapshot_source(archive, table, version).await?;
    let data = schema.fields().len().saturating_sub(PARTITION_COLUMNS.len());
    let is_owned = |place: usize, name: &str| place >= data || name == owned;
    Ok(Arc::new(ParquetSourceProvider::try_new(message, with_text_views(&schema, is_owned))?))
}

/// A schema with its text columns as views, except those for which `is_owned` holds of place and name.
fn with_text_views(schema: &Schema, is_owned: impl Fn(usize, &str) -> bool) -> SchemaRef {
    let fields = schema.fields().iter().enumerate().map(|(place, field)| {
        let is_viewed = field.data_type() == &DataType::Utf8 && !is_owned(place, field.name());
        let field = field.as_ref().clone();
        if is_viewed { field.with_data_type(DataType::Utf8View) } else { field }
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The schema by which a job reads its own files with text columns as views, except the column `owned`, as
/// [`snapshot_views`] does with a table's.
pub fn views(schema: &Schema, owned: &str) -> SchemaRef {
    with_text_views(schema, |_, name| name == owned)
}

/// The provider of a country's rows up to and including a month (12 × year + month - 1; 0 for all) in one partition,
/// one month after the other.
///
/// # Errors
/// As [`snapshot_provider`].
pub async fn snapshot_by_month(
    archive: &Archive,
    table: &str,
    version: Option<u64>,
    country: &str,
    to_month: i32,
) -> Result<Arc<dyn TableProvider>> {
    let (mut message, schema) = snapshot_source(archive, table, version).await?;
    if let Some(Source::Snapshot(snapshot)) = &mut message.source {
        snapshot.countries = vec![country.to_owned()];
        snapshot.to_month = to_month;
        snapshot.by_month = true;
    }
    Ok(Arc::new(ParquetSourceProvider::try_new(message, schema)?))
}

/// The message that names a snapshot, and the columns of its rows.
async fn snapshot_source(
    archive: &Archive,
    table: &str,
    version: Option<u64>,
) -> Result<(v1::ParquetSource, SchemaRef)> {
    let snapshot = Table::open(archive, table).await?.snapshot(version).await?;
    let source = v1::SnapshotSource {
        table: table.to_owned(),
        version: snapshot.version,
        ..v1::SnapshotSource::default()
    };
    let message =
        v1::ParquetSource { archive: archive.url().to_string(), source: Some(Source::Snapshot(source)) };
    Ok((message, snapshot.schema))
}

/// The serialised form of a provider; `None` when it is not a [`ParquetSourceProvider`].
pub fn try_encode_provider(provider: &dyn TableProvider) -> Option<Vec<u8>> {
    let provider: &dyn Any = provider;
    provider.downcast_ref::<ParquetSourceProvider>().map(|ours| ours.message.encode_to_vec())
}

/// The provider whose serialised form [`try_encode_provider`] gave, with the columns `schema`.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Corrupt`] when the bytes are not of that form; otherwise as
/// [`ParquetSourceProvider::try_new`].
pub fn decode_provider(bytes: &[u8], schema: SchemaRef) -> Result<Arc<dyn TableProvider>> {
    let message = v1::ParquetSource::decode(bytes).context(|| "read a scan's reference from a plan")?;
    Ok(Arc::new(ParquetSourceProvider::try_new(message, schema)?))
}

#[cfg(test)]
mod tests;
