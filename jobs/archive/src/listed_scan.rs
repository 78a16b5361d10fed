//! Scans of so many files that their list does not go into a plan: it lies in the store, and the plan says where.
//!
//! A plan goes to the executors task by task, each in one message. [`shorten`] looks for scans of many files in a plan that
//! is optimised: it writes each partition of such a scan, files, filters and columns, into one small Parquet file, and
//! puts an operator over a scan of those ([`ListedScan`]), whose tasks read the scan of their partition and run it. So
//! whoever divides a plan into tasks divides the lists, and nothing is lost of what the optimiser found. Start at
//! [`shorten`].

use std::{any::Any, sync::Arc};

use arrow::{
    array::{AsArray, BinaryArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    catalog::{Session, TableProvider},
    common::tree_node::{Transformed, TransformedResult, TreeNode},
    datasource::{
        physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder},
        source::DataSourceExec,
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::Partitioning,
    physical_plan::ExecutionPlan,
};
use datafusion_proto::{
    bytes::{physical_plan_from_bytes, physical_plan_to_bytes},
    protobuf,
};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::{EnabledStatistics, WriterProperties},
};
use prost::Message;
use tidewaiter_core::{
    Error, Result, ResultExt,
    plan::{Input, Operator, OperatorExec},
    threads::on_cpu,
};
use tidewaiter_proto::v1::{FileListSource, ParquetFile, ParquetSource, parquet_source::Source};

use crate::{Archive, provider::ParquetSourceProvider};

/// The most files of one scan that a plan names itself; some hundred bytes each.
pub const MOST_FILES: usize = 10_000;

/// The column of a list's file: the scan of a partition, as an encoded plan.
const SCAN: &str = "scan";

/// The plan with the file lists of its long scans, those of more than `most` files, in a folder of the archive.
///
/// # Errors
/// Those of the store and of encoding a scan.
pub async fn shorten(
    plan: Arc<dyn ExecutionPlan>,
    session: &dyn Session,
    archive: &Archive,
    folder: &str,
    most: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut long = Vec::new();
    find(&plan, most, &mut long);
    if long.is_empty() {
        return Ok(plan);
    }
    let mut replaced = Vec::new();
    for scan in long {
        let Some(config) = file_scan(&scan) else { continue };
        let listed = list(config, session, archive, folder).await.context(|| "list the files of a scan")?;
        replaced.push((scan, listed));
    }
    let shortened = plan.transform_up(|node| {
        let known = replaced.iter().find(|(scan, _)| Arc::ptr_eq(scan, &node));
        Ok(match known {
            Some((_, listed)) => Transformed::yes(Arc::clone(listed)),
            None => Transformed::no(node),
        })
    });
    Ok(shortened.data()?)
}

/// Collects the scans of more than `most` files.
fn find(plan: &Arc<dyn ExecutionPlan>, most: usize, found: &mut Vec<Arc<dyn ExecutionPlan>>) {
    let files = |config: &FileScanConfig| config.file_groups.iter().map(FileGroup::len).sum::<usize>();
    if file_scan(plan).is_some_and(|config| files(config) > most) {
        found.push(Arc::clone(plan));
    }
    plan.children().into_iter().for_each(|child| find(child, most, found));
}

/// The scan of files that a node is, if it is one.
fn file_scan(plan: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    let source: &dyn Any = plan.downcast_ref::<DataSourceExec>()?.data_source().as_ref();
    source.downcast_ref()
}

/// Writes the partitions of a scan into the folder; gives the plan that reads and runs them.
async fn list(
    config: &FileScanConfig,
    session: &dyn Session,
    archive: &Archive,
    folder: &str,
) -> Result<Arc<dyn ExecutionPlan>> {
    // Without the files, of which a copy for each partition would be too much.
    let without_files = FileScanConfigBuilder::from(config.clone())
        .with_file_groups(Vec::new())
        .with_output_partitioning(Some(Partitioning::UnknownPartitioning(1)))
        .build();
    let mut files = Vec::new();
    for group in &config.file_groups {
        let of_group = FileScanConfigBuilder::from(without_files.clone()).with_file_group(group.clone());
        let bytes = on_cpu(move || encode(of_group.build())).await?;
        // By its content: a plan that is made again has the same lists.
        let path = format!("{folder}/{:016x}.parquet", xxhash_rust::xxh3::xxh3_64(&bytes));
        files.push(ParquetFile { path: path.clone(), size: bytes.len() as u64 });
        archive.put(&path, bytes).await?;
    }
    let source = ParquetSource {
        archive: archive.url().to_string(),
        source: Some(Source::Files(FileListSource { files, partition_per_file: true })),
    };
    let lists = ParquetSourceProvider::try_new(source, columns())?.scan(session, None, &[], None).await?;
    let schema = DataSourceExec::from_data_source(without_files).schema();
    Ok(Arc::new(OperatorExec::new(Arc::new(ListedScan { schema }), lists)?))
}

fn columns() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(SCAN, DataType::Binary, false)]))
}

/// The file of a partition's scan.
fn encode(scan: FileScanConfig) -> Result<Vec<u8>> {
    let scan = physical_plan_to_bytes(DataSourceExec::from_data_source(scan))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None);
    let rows = RecordBatch::try_new(columns(), vec![Arc::new(BinaryArray::from_iter_values([scan]))])?;
    let mut writer = ArrowWriter::try_new(Vec::new(), columns(), Some(properties.build()))?;
    writer.write(&rows)?;
    Ok(writer.into_inner()?)
}

/// The plan node: its input are scans, one a row; its output are their rows.
#[derive(Debug)]
pub struct ListedScan {
    schema: SchemaRef,
}

impl ListedScan {
    /// The node's name in plans.
    pub const NAME: &'static str = "ListedScanExec";

    /// The operator of a payload: the columns of the rows.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when it describes no columns.
    pub fn read(payload: &[u8]) -> Result<Self> {
        let wrong = |error: String| Error::corrupt(format!("the columns of a listed scan: {error}"));
        let schema = protobuf::Schema::decode(payload).map_err(|error| wrong(error.to_string()))?;
        let schema = Schema::try_from(&schema).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { schema: Arc::new(schema) })
    }
}

/// The rows of the scans in a batch of the input, scan after scan.
fn scans(batch: &RecordBatch, task: &Arc<TaskContext>) -> Result<Vec<SendableRecordBatchStream>> {
    let column = batch.column_by_name(SCAN);
    let column = column.ok_or_else(|| Error::internal("a listed scan has no scans"))?;
    let scans = cast(column, &DataType::Binary)?;
    let scans = scans.as_binary::<i32>().iter().flatten();
    let begun = scans.map(|scan| Ok(physical_plan_from_bytes(scan, task)?.execute(0, Arc::clone(task))?));
    begun.collect()
}

impl Operator for ListedScan {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        // Columns that a scan can have, a message can have.
        protobuf::Schema::try_from(self.schema.as_ref())
            .map(|schema| schema.encode_to_vec())
            .unwrap_or_default()
    }

    fn schema(&self, _: &Schema) -> Result<SchemaRef> {
        Ok(Arc::clone(&self.schema))
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        let Input { rows: lists, task, meter, .. } = input;
        let scans = lists.map(move |list| -> Result<_> {
            Ok(stream::iter(scans(&list?, &task)?).flatten().map_err(Error::from))
        });
        let count = move |rows: &RecordBatch| meter.advance(rows.num_rows() as u64);
        scans.try_flatten().inspect_ok(count).boxed()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::{
        execution::{SessionStateBuilder, runtime_env::RuntimeEnvBuilder},
        physical_plan::{collect, displayable},
        prelude::{SessionConfig, SessionContext},
    };
    use tidewaiter_core::{
        plan::QueryPlanner,
        query::{Plan as _, Run as _},
    };

    use super::*;
    use crate::{
        Table,
        provider::snapshot_provider,
        stores::Stores,
        testing::{memory, rows, schema, write},
    };

    async fn session(archive: &Archive) -> SessionContext {
        let runtime = RuntimeEnvBuilder::new().with_object_store_registry(Arc::new(Stores));
        let state = SessionStateBuilder::new()
            .with_default_features()
            .with_config(SessionConfig::new().with_target_partitions(3))
            .with_runtime_env(runtime.build_arc().expect("a runtime"))
            .with_query_planner(Arc::new(QueryPlanner));
        let session = SessionContext::new_with_state(state.build());
        let table = snapshot_provider(archive, "declarations", None).await.expect("provides");
        session.register_table("declarations", table).expect("registers");
        session
    }

    #[tokio::test]
    async fn a_plan_whose_files_are_listed_in_the_store_gives_the_same_rows() {
        let archive = memory("listed-scan");
        let files = write(&archive, "declarations", "job", &rows(0, 400)).await;
        assert!(files.len() > 12, "one a month");
        let table = Table::open_or_create(&archive, "declarations", &schema()).await.expect("creates");
        table.commit(&files, &["to 400".to_owned()], "ingest").await.expect("commits");
        let session = session(&archive).await;
        let text = "SELECT month, sum(customs_value) AS value, count(*) AS n FROM declarations \
                    WHERE customs_value > 20 AND year = 2020 GROUP BY month ORDER BY month";
        let plan = session.query(text).await.expect("plans").physical_plan().await.expect("plans");
        let expected = collect(Arc::clone(&plan), session.task_ctx()).await.expect("runs");
        assert_eq!(expected.iter().map(RecordBatch::num_rows).sum::<usize>(), 11, "January is left out");

        let state = session.state();
        let folder = "work/job/scans";
        let same = shorten(Arc::clone(&plan), &state, &archive, folder, 12).await.expect("nothing to do");
        assert!(Arc::ptr_eq(&plan, &same));
        assert!(archive.list(folder).await.expect("lists").is_empty());

        let short = shorten(Arc::clone(&plan), &state, &archive, folder, 3).await.expect("lists");
        let shown = displayable(short.as_ref()).indent(true).to_string();
        assert!(shown.contains(ListedScan::NAME) && !shown.contains("country=KR"), "{shown}");
        assert_eq!(archive.list(folder).await.expect("lists").len(), 3, "one a partition");
        assert_eq!(collect(short, session.task_ctx()).await.expect("runs"), expected);
        // Made again, it has the same lists.
        shorten(plan, &state, &archive, folder, 3).await.expect("lists");
        assert_eq!(archive.list(folder).await.expect("lists").len(), 3);
    }

    #[test]
    fn the_operator_comes_back_from_its_payload_and_other_bytes_are_corrupt() {
        let operator = ListedScan { schema: schema() };
        assert_eq!(ListedScan::read(&operator.payload()).expect("is read").schema, schema());
        let error = ListedScan::read(&[0xff, 0xff]).expect_err("no schema");
        assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Corrupt);
    }
}
