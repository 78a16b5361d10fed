//! The rows of a query in files of a job, which other queries read again, or an operator beside its input.
//!
//! A plan node of ours has one input, so that every engine distributes it in the same way. An operator that needs a
//! second one, such as the rows that it joins to the first, has that written before ([`OwnRows::write`]), carries the
//! files in its message ([`OwnRows::files`]), and its tasks read them beside their input ([`crate::provider::stream`]). A
//! later step reads them as a query ([`OwnRows::scan`]). What is absent: partitions by month, for which
//! [`crate::write_operator`] has a date column. Start at [`OwnRows::write`].

use arrow::datatypes::SchemaRef;
use datafusion::prelude::{DataFrame, SessionContext};
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Result, plan};
use tidewaiter_proto::v1;

use crate::{Archive, DataFile, tasks, write_operator::WriteOperator};

/// Rows in files of a job; the outcome of the step that wrote them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnRows {
    files: Vec<OwnFile>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OwnFile {
    path: String,
    size: u64,
    rows: u64,
}

impl OwnRows {
    /// Runs a query and writes its rows into files of a folder of the archive, whose names begin with `name`: one of each
    /// partition that has rows, with its rows in their order.
    ///
    /// # Errors
    /// Those of the query and of the store.
    pub async fn write(query: DataFrame, archive: &Archive, folder: &str, name: &str) -> Result<Self> {
        let writer = WriteOperator::new(v1::WriteOperator {
            archive: archive.url().to_string(),
            table: folder.to_owned(),
            name: name.to_owned(),
            ..v1::WriteOperator::default()
        })?;
        let files = plan::reports::<Vec<DataFile>>(plan::apply(query, writer)?).await?.concat();
        let files = files.into_iter().map(|DataFile { path, size, rows, .. }| OwnFile {
            path: format!("{folder}/{path}"),
            size,
            rows,
        });
        Ok(Self { files: files.collect() })
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// The files, as an operator's message carries them.
    pub fn files(&self) -> Vec<v1::ParquetFile> {
        let file = |file: &OwnFile| v1::ParquetFile { path: file.path.clone(), size: file.size };
        self.files.iter().map(file).collect()
    }

    /// A query of the rows, whose columns are `schema`, as they are stored ([`crate::write_operator::stored`]) or as views
    /// ([`crate::provider::views`]). With `partition_per_file` each file is one partition, in its order.
    ///
    /// # Errors
    /// Those of the session.
    pub fn scan(
        &self,
        session: &SessionContext,
        archive: &Archive,
        schema: SchemaRef,
        partition_per_file: bool,
    ) -> Result<DataFrame> {
        tasks::scan(session, archive, self.files(), schema, partition_per_file)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use arrow::{
        array::{AsArray, RecordBatch},
        datatypes::Schema,
    };
    use datafusion::{
        execution::{SessionStateBuilder, TaskContext, runtime_env::RuntimeEnvBuilder},
        prelude::{SessionConfig, col, lit},
    };
    use futures::{StreamExt, stream::BoxStream};
    use tidewaiter_core::{
        Error,
        plan::{Input, Operator, QueryPlanner},
    };

    use super::*;
    use crate::{
        provider,
        stores::Stores,
        testing::{memory, rows, schema},
        write_operator::stored,
    };

    /// Counts the rows whose declaration is among those of its second input.
    #[derive(Debug)]
    struct Known {
        archive: Archive,
        second: Vec<v1::ParquetFile>,
    }

    impl Known {
        async fn declarations(&self, task: Arc<TaskContext>) -> Result<BTreeSet<String>> {
            let mut rows = provider::stream(&self.archive, &self.second, schema(), task)?;
            let mut declarations = BTreeSet::new();
            while let Some(batch) = rows.next().await {
                declarations.extend(texts(&batch?));
            }
            Ok(declarations)
        }

        async fn count(&self, input: Input) -> Result<usize> {
            let Input { rows: mut first, task, .. } = input;
            let known = self.declarations(task).await?;
            let mut count = 0;
            while let Some(batch) = first.next().await {
                count += texts(&batch?).iter().filter(|declaration| known.contains(*declaration)).count();
            }
            Ok(count)
        }
    }

    fn texts(batch: &RecordBatch) -> Vec<String> {
        let texts = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8).expect("texts");
        texts.as_string::<i32>().iter().flatten().map(str::to_owned).collect()
    }

    impl Operator for Known {
        fn name(&self) -> &'static str {
            "KnownExec"
        }

        fn payload(&self) -> Vec<u8> {
            Vec::new()
        }

        fn schema(&self, _: &Schema) -> Result<SchemaRef> {
            Ok(plan::report_schema())
        }

        fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
            futures::stream::once(async move { plan::report(&self.count(input).await?) }).boxed()
        }
    }

    fn session() -> SessionContext {
        let runtime = RuntimeEnvBuilder::new().with_object_store_registry(Arc::new(Stores));
        let state = SessionStateBuilder::new()
            .with_default_features()
            .with_config(SessionConfig::new().with_target_partitions(3))
            .with_runtime_env(runtime.build_arc().expect("a runtime"))
            .with_query_planner(Arc::new(QueryPlanner));
        SessionContext::new_with_state(state.build())
    }

    #[tokio::test]
    async fn the_rows_of_a_query_are_another_ones_second_input_and_a_later_ones_first() {
        let archive = memory("own-rows");
        let session = session();
        let all = session.read_batch(rows(0, 40)).expect("reads");
        let few = all.clone().filter(col("customs_value").lt(lit(6.0))).expect("filters");
        let own = OwnRows::write(few, &archive, "work/job/few", "few").await.expect("writes");
        assert_eq!(own.rows(), 12);
        let paths: Vec<String> = own.files().into_iter().map(|file| file.path).collect();
        assert!(paths.iter().all(|path| path.starts_with("work/job/few/few-")), "{paths:?}");
        let text = serde_json::to_string(&own).expect("is written");
        assert_eq!(serde_json::from_str::<OwnRows>(&text).expect("is read"), own);

        let known = Known { archive: archive.clone(), second: own.files() };
        let of_all = plan::reports::<usize>(plan::apply(all.clone(), known).expect("plans")).await;
        assert_eq!(of_all.expect("runs").iter().sum::<usize>(), 12);

        let again = own.scan(&session, &archive, stored(&schema()), true).expect("plans");
        let again = tidewaiter_core::query::Run::row_count(again).await.expect("runs");
        assert_eq!(again, 12);

        // A query without rows has no file, and is no error.
        let none = all.filter(lit(false)).expect("filters");
        let none = OwnRows::write(none, &archive, "work/job/none", "none").await.expect("writes");
        assert_eq!((none.rows(), none.files().len()), (0, 0));
        let none = none.scan(&session, &archive, schema(), true).expect("plans");
        assert_eq!(tidewaiter_core::query::Run::row_count(none).await.map_err(Error::from).expect("runs"), 0);
    }
}
