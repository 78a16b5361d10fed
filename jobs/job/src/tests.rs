//! Tests of operators in plans: order, partitions, answers.

use std::sync::Arc;

use arrow::{
    array::{AsArray, Int64Array, RecordBatch},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
};
use datafusion::{datasource::MemTable, prelude::SessionContext};
use futures::{StreamExt, stream::BoxStream};
use tidewaiter_archive::{Archive, tasks};
use tidewaiter_core::{
    Result,
    plan::{Input, Meter, Operator, apply, report, report_schema, reports},
};

use super::engine::{Engine, Local};

/// Answers with the values that one of its partitions saw, in the order in which it saw them.
#[derive(Debug)]
struct Seen {
    order: &'static [&'static str],
}

impl Operator for Seen {
    fn name(&self) -> &'static str {
        "SeenExec"
    }

    fn payload(&self) -> Vec<u8> {
        Vec::new()
    }

    fn schema(&self, _: &Schema) -> Result<SchemaRef> {
        Ok(report_schema())
    }

    fn sort_columns(&self) -> &[&'static str] {
        self.order
    }

    fn execute(self: Arc<Self>, mut input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        futures::stream::once(async move {
            let mut seen: Vec<i64> = Vec::new();
            while let Some(batch) = input.rows.next().await {
                seen.extend(batch?.column(0).as_primitive::<Int64Type>().values());
            }
            input.meter.advance(seen.len() as u64);
            report(&seen)
        })
        .boxed()
    }
}

fn session() -> SessionContext {
    let engine = Local::new(3, 64 << 20).expect("an engine");
    engine.session("job", Meter::new(|_| ())).expect("a session")
}

/// Numbers in three partitions, in no order.
fn numbers() -> MemTable {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let partitions = (0..3).map(|part| {
        let values = Int64Array::from_iter_values((0..100).map(|n| (n * 37 + part * 11) % 101));
        vec![RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(values)]).expect("a batch")]
    });
    MemTable::try_new(Arc::clone(&schema), partitions.collect()).expect("a table")
}

#[tokio::test]
async fn an_operator_with_an_order_sees_everything_sorted_in_one_partition() {
    let rows = session().read_table(Arc::new(numbers())).expect("reads");
    let seen: Vec<Vec<i64>> =
        reports(apply(rows, Seen { order: &["n"] }).expect("plans")).await.expect("runs");
    let [seen] = seen.as_slice() else { panic!("one partition: {seen:?}") };
    assert_eq!(seen.len(), 300);
    assert!(seen.is_sorted());
}

#[tokio::test]
async fn an_operator_without_an_order_keeps_the_partitions() {
    let rows = session().read_table(Arc::new(numbers())).expect("reads");
    let seen: Vec<Vec<i64>> = reports(apply(rows, Seen { order: &[] }).expect("plans")).await.expect("runs");
    assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 100]);
}

#[tokio::test]
async fn tasks_are_spread_over_as_many_partitions_as_asked_for_and_none_is_lost() {
    let archive = Archive::open("memory://plan-tasks").expect("opens");
    let names: Vec<String> = (0..7).map(|number| format!("task {number}")).collect();
    for (partitions, given) in [(3, 3), (20, 7)] {
        let session = session();
        let rows =
            tasks::spread(&session, &archive, "work/tasks", &names, partitions).await.expect("spreads");
        let batches = rows.collect_partitioned().await.expect("runs");
        assert_eq!(batches.iter().filter(|batches| !batches.is_empty()).count(), given);
        let mut all = Vec::new();
        for batch in batches.iter().flatten() {
            all.extend(tasks::of_batch(batch).expect("tasks"));
        }
        all.sort();
        assert_eq!(all, (0..).zip(names.clone()).collect::<Vec<_>>());
    }
}
