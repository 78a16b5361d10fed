//! Scans of the archive that travel: a table provider that is only a reference.
//!
//! A [`ParquetSourceProvider`] names one snapshot of one table, or a list of files, and is written into a
//! logical plan as a [`v1::ParquetSource`] message. Whoever plans resolves the reference into files; the
//! physical plan is then DataFusion's own scan of Parquet, which any DataFusion process can read back. The
//! same reference resolves to the same files, in the same order, everywhere and at any later time.
//!
//! Start at [`snapshot_provider`]; [`try_encode_provider`] and [`decode_provider`] are for the codec.

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
use tidewaiter_proto::v1::{self, parquet_source::Source};

use super::{
    Archive,
    schema::{PARTITION_COLUMNS, partition_fields},
    table::{DataFile, Table},
};
use crate::{Error, Result, ResultExt};

/// A table that is a reference to Parquet files of an archive.
#[derive(Debug)]
pub struct ParquetSourceProvider {
    archive: Archive,
    message: v1::ParquetSource,
    source: Source,
    file_schema: SchemaRef,
    schema: SchemaRef,
}

impl ParquetSourceProvider {
    /// The provider of what the message names. `schema` is that of the rows: for a snapshot it ends with
    /// the partition columns.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when the message names nothing or the schema does not fit it.
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

    /// The message that names the same rows anywhere.
    pub fn message(&self) -> &v1::ParquetSource {
        &self.message
    }

    /// The snapshot's files that the reference and the filters leave.
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
        let partitioned = files.into_iter().map(|file| {
            let path = self.archive.path(&format!("{}/{}", snapshot.table, file.path));
            let mut statistics = Statistics::new_unknown(&self.file_schema);
            statistics.num_rows = Precision::Exact(usize::try_from(file.rows).unwrap_or(usize::MAX));
            let mut scanned = PartitionedFile::new("", file.size).with_partition_values(vec![
                ScalarValue::Utf8(Some(file.country)),
                ScalarValue::Int32(Some(file.year)),
                ScalarValue::Int32(Some(file.month)),
            ]);
            scanned.object_meta.location = path;
            scanned.with_statistics(Arc::new(statistics))
        });
        Ok(partitioned.collect())
    }
}

/// Whether a filter is about partition columns alone, so that it holds for all rows of a file or for none.
fn is_of_files(filter: &Expr) -> bool {
    !filter.is_volatile()
        && filter.column_refs().iter().all(|column| PARTITION_COLUMNS.contains(&column.name()))
}

/// The files for whose rows the filters on partition columns alone hold.
fn prune(state: &dyn Session, filters: &[Expr], files: Vec<DataFile>) -> DataFusionResult<Vec<DataFile>> {
    let usable = filters.iter().filter(|filter| is_of_files(filter));
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
            Source::Snapshot(_) if is_of_files(filter) => TableProviderFilterPushDown::Exact,
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
                let files = list.files.iter().map(|file| scanned(&self.archive, file));
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
        // A partitioning that is declared is kept: files are otherwise dealt to as many partitions as there may be.
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

/// The rows of Parquet files of the archive, one file after the other, for an operator that reads them beside its input.
///
/// # Errors
/// Those of a scan.
pub fn stream(
    archive: &Archive,
    files: &[v1::ParquetFile],
    schema: SchemaRef,
    task: Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let files = files.iter().map(|file| scanned(archive, file)).collect();
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

fn scanned(archive: &Archive, file: &v1::ParquetFile) -> PartitionedFile {
    let mut scanned = PartitionedFile::new("", file.size);
    scanned.object_meta.location = archive.path(&file.path);
    scanned
}

/// The provider of a whole snapshot of a table; the newest where `version` is `None`.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`] when there is no such table or version.
pub async fn snapshot_provider(
    archive: &Archive,
    table: &str,
    version: Option<u64>,
) -> Result<Arc<dyn TableProvider>> {
    let (message, schema) = snapshot_source(archive, table, version).await?;
    Ok(Arc::new(ParquetSourceProvider::try_new(message, schema)?))
}

/// The same with texts as views into what was read, but for the column `owned`: names that are few and come often are
/// then not copied from node to node.
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
    Ok(Arc::new(ParquetSourceProvider::try_new(message, viewed(&schema, is_owned))?))
}

/// A schema with its texts as views, but for some.
fn viewed(schema: &Schema, is_owned: impl Fn(usize, &str) -> bool) -> SchemaRef {
    let viewed = schema.fields().iter().enumerate().map(|(place, field)| {
        let is_viewed = field.data_type() == &DataType::Utf8 && !is_owned(place, field.name());
        let field = field.as_ref().clone();
        if is_viewed { field.with_data_type(DataType::Utf8View) } else { field }
    });
    Arc::new(Schema::new(viewed.collect::<Vec<_>>()))
}

/// A job's own files with texts as views into what was read, but for the column `owned`, as [`snapshot_views`] has
/// them.
pub fn views(schema: &Schema, owned: &str) -> SchemaRef {
    viewed(schema, |_, name| name == owned)
}

/// The rows of a country up to a month (12 × year + month - 1) in one partition, month after month.
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

/// The message that names a snapshot, and its columns.
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

/// The bytes of a provider, when it is a [`ParquetSourceProvider`].
pub fn try_encode_provider(provider: &dyn TableProvider) -> Option<Vec<u8>> {
    let provider: &dyn Any = provider;
    provider.downcast_ref::<ParquetSourceProvider>().map(|ours| ours.message.encode_to_vec())
}

/// Reads what [`try_encode_provider`] wrote.
///
/// # Errors
/// [`crate::ErrorKind::Corrupt`] when the bytes are not of that form.
pub fn decode_provider(bytes: &[u8], schema: SchemaRef) -> Result<Arc<dyn TableProvider>> {
    let message = v1::ParquetSource::decode(bytes).context(|| "read a scan's reference from a plan")?;
    Ok(Arc::new(ParquetSourceProvider::try_new(message, schema)?))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use arrow::{compute::concat_batches, datatypes::Int32Type, util::pretty::pretty_format_batches};
    use datafusion::{
        physical_plan::collect,
        prelude::{SessionConfig, SessionContext},
    };
    use datafusion_proto::bytes::{physical_plan_from_bytes, physical_plan_to_bytes};
    use proptest::prelude::*;

    use super::super::testing::{memory, place, rows, rows_on, schema, write};
    use super::*;
    use crate::archive::{schema::with_partitions, table::Commit};

    /// A table of two commits: 300 rows over ten months, and three more.
    async fn filled(archive: &Archive) -> Table {
        let table = Table::open_or_create(archive, "declarations", &schema()).await.expect("creates");
        for (job, rows) in [("first", rows(0, 300)), ("second", rows_on(&[18262, 18293, 18262]))] {
            let files = write(archive, "declarations", job, &rows).await;
            let commit = table.commit(&files, &[job.to_owned()], "ingest").await.expect("commits");
            assert!(matches!(commit, Commit::Version(_)));
        }
        table
    }

    /// Makes an archive's object store known to a session.
    fn register_archive(session: &SessionContext, archive: &Archive) {
        session.register_object_store(&archive.store_url(), Arc::clone(archive.store()));
    }

    async fn session(archive: &Archive, version: Option<u64>) -> SessionContext {
        let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
        register_archive(&session, archive);
        let provider = snapshot_provider(archive, "declarations", version).await.expect("provides");
        session.register_table("declarations", provider).expect("registers");
        session
    }

    async fn answer(session: &SessionContext, sql: &str) -> String {
        let batches = session.sql(sql).await.expect("plans").collect().await.expect("runs");
        pretty_format_batches(&batches).expect("formats").to_string()
    }

    async fn check_sql(archive: Archive) {
        filled(&archive).await;
        let now = session(&archive, None).await;
        let then = session(&archive, Some(1)).await;
        let count = "SELECT count(*) AS n FROM declarations";
        assert!(answer(&now, count).await.contains("| 303 |"));
        assert!(answer(&then, count).await.contains("| 300 |"));
        let columns = "SELECT declaration_id, item_number, acceptance_date, customs_value FROM declarations \
                       ORDER BY declaration_id, item_number";
        let found = then.sql(columns).await.expect("plans").collect().await.expect("runs");
        assert_eq!(concat_batches(&schema(), &found).expect("joins"), rows(0, 300));
        let wrong = "SELECT count(*) AS n FROM declarations WHERE country <> 'KR' \
                     OR year <> date_part('year', acceptance_date) \
                     OR month <> date_part('month', acceptance_date)";
        assert!(answer(&now, wrong).await.contains("| 0 |"));
        let january = "SELECT count(*) AS n, min(acceptance_date) AS d FROM declarations \
                       WHERE year = 2020 AND month = 2 AND customs_value >= 0";
        assert!(answer(&now, january).await.contains("2020-02-01"));
        assert!(answer(&now, "SELECT year FROM declarations LIMIT 2").await.contains("2020"));
        assert!(
            answer(&now, "SELECT count(*) AS n FROM declarations WHERE year = 1999").await.contains("| 0 |")
        );
    }

    #[tokio::test]
    async fn sql_reads_what_was_written_in_memory() {
        check_sql(memory("provider-sql")).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sql_reads_what_was_written_in_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        check_sql(place(&folder)).await;
    }

    #[tokio::test]
    async fn the_plan_holds_only_the_files_of_the_months_asked_for_and_travels() {
        let archive = memory("provider-plan");
        filled(&archive).await;
        let session = session(&archive, None).await;
        let sql = "SELECT declaration_id, month FROM declarations WHERE month = 2 ORDER BY declaration_id";
        let plan = session.sql(sql).await.expect("plans").create_physical_plan().await.expect("plans");
        let text = datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string();
        assert!(text.contains("month=2/first") && text.contains("month=2/second"), "{text}");
        assert!(!text.contains("month=1/") && !text.contains("month=3/"), "{text}");
        assert!(!text.contains("FilterExec"), "the files decide, and no row is compared: {text}");
        let bytes = physical_plan_to_bytes(Arc::clone(&plan)).expect("encodes");
        let back = physical_plan_from_bytes(&bytes, &session.task_ctx()).expect("decodes");
        let sent = collect(plan, session.task_ctx()).await.expect("runs");
        let received = collect(back, session.task_ctx()).await.expect("runs");
        assert!(!sent.is_empty());
        assert_eq!(sent, received);
    }

    #[tokio::test]
    async fn a_country_s_months_come_one_after_the_other_in_one_partition() {
        let archive = memory("provider-by-month");
        filled(&archive).await;
        let session = session(&archive, None).await;
        let mut options = session.state().config_options().as_ref().clone();
        options.optimizer.repartition_file_min_size = 1;
        let september = 12 * 2020 + 8;
        for (country, to_month, expected) in [("KR", september, 9), ("KR", september + 12, 10), ("TW", 0, 0)]
        {
            let table = snapshot_by_month(&archive, "declarations", None, country, to_month).await;
            let table = table.expect("provides");
            let month = vec![table.schema().index_of("month").expect("a column")];
            let scan = table.scan(&session.state(), Some(&month), &[], None).await.expect("plans");
            assert_eq!(scan.properties().partitioning.partition_count(), 1);
            assert!(scan.repartitioned(3, &options).expect("plans").is_none());
            let mut months: Vec<i32> = Vec::new();
            for batch in collect(scan, session.task_ctx()).await.expect("runs") {
                months.extend(batch.column(0).as_primitive::<Int32Type>().values());
            }
            assert!(months.is_sorted());
            months.dedup();
            assert_eq!(months.len(), expected);
        }
    }

    #[tokio::test]
    async fn a_narrowed_reference_and_a_file_list_survive_the_codec() {
        let archive = memory("provider-codec");
        let table = filled(&archive).await;
        let snapshot = table.snapshot(None).await.expect("reads");
        let session = session(&archive, None).await;
        let february = 12 * 2020 + 1;
        let narrowed = v1::SnapshotSource {
            table: "declarations".to_owned(),
            version: snapshot.version,
            countries: vec!["KR".to_owned()],
            from_month: february,
            to_month: february,
            by_month: false,
        };
        let files: Vec<_> = snapshot.files.iter().filter(|file| file.month_number() == february).collect();
        let list = v1::FileListSource {
            files: files
                .iter()
                .map(|file| v1::ParquetFile { path: format!("declarations/{}", file.path), size: file.size })
                .collect(),
            partition_per_file: true,
        };
        let expected: u64 = files.iter().map(|file| file.rows).sum();
        for (name, source, columns) in [
            ("narrowed", Source::Snapshot(narrowed), Arc::clone(&snapshot.schema)),
            ("listed", Source::Files(list), schema()),
        ] {
            let message = v1::ParquetSource { archive: archive.url().to_string(), source: Some(source) };
            let provider = ParquetSourceProvider::try_new(message, Arc::clone(&columns)).expect("fits");
            let bytes = try_encode_provider(&provider).expect("is ours");
            let provider = decode_provider(&bytes, columns).expect("decodes");
            let scan = provider.scan(&session.state(), None, &[], None).await.expect("plans");
            if name == "listed" {
                assert_eq!(scan.properties().partitioning.partition_count(), files.len());
                let mut options = session.state().config_options().as_ref().clone();
                options.optimizer.repartition_file_min_size = 1;
                // More than there are files: none is read from two places at once.
                assert!(scan.repartitioned(files.len() + 4, &options).expect("plans").is_none());
            }
            session.register_table(name, provider).expect("registers");
            let count = answer(&session, &format!("SELECT count(acceptance_date) AS n FROM {name}")).await;
            assert!(count.contains(&format!("| {expected} ")), "{count}");
        }
        assert_eq!(decode_provider(b"\xff", schema()).expect_err("cut").kind(), crate::ErrorKind::Corrupt);
    }

    #[tokio::test]
    async fn other_programs_read_the_table() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = place(&folder);
        filled(&archive).await;
        let table = folder.path().join("declarations");
        let table = table.display();
        let python = "python3";
        let programs = [
            ("deltalake", format!("t=deltalake.DeltaTable('{table}'); print(t.to_pyarrow_table().num_rows)")),
            (
                "polars",
                format!("print(polars.scan_delta('{table}').filter(polars.col('year')>0).collect().height)"),
            ),
            (
                "duckdb",
                format!(
                    "print(duckdb.sql(\"SELECT count(*) FROM read_parquet('{table}/country=*/*/*/*.parquet', \
                     hive_partitioning=true) WHERE country='KR'\").fetchall()[0][0])"
                ),
            ),
        ];
        for (module, code) in programs {
            let there = Command::new(python).args(["-c", &format!("import {module}")]).output();
            if !there.is_ok_and(|output| output.status.success()) {
                eprintln!("SKIPPED other_programs_read_the_table: {python} has no module {module}");
                continue;
            }
            let code = format!("import {module}; {code}");
            let output = Command::new(python).args(["-c", &code]).output().expect("runs");
            let (out, err) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert_eq!(out.trim(), "303", "{module}: {err}");
        }
    }

    proptest! {
        #[test]
        fn a_reference_that_is_not_one_never_panics(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            with_schema: bool,
        ) {
            let source = v1::SnapshotSource {
                table: "declarations".to_owned(),
                version: 3,
                countries: vec!["KR".to_owned()],
                from_month: 24_240,
                to_month: 24_251,
                by_month: true,
            };
            let message = v1::ParquetSource {
                archive: "memory://reference/archive".to_owned(),
                source: Some(Source::Snapshot(source)),
            };
            let mut damaged = message.encode_to_vec();
            for (place, value) in damage {
                let place = place.index(damaged.len());
                damaged[place] = value;
            }
            let schema = if with_schema { with_partitions(&schema()) } else { Arc::new(Schema::empty()) };
            let _ = decode_provider(&bytes, Arc::clone(&schema));
            let _ = decode_provider(&damaged, schema);
        }
    }
}
