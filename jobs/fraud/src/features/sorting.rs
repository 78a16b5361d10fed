//! Sorting rows by time, one month after another.
//!
//! The archive keeps months apart, and a scan by month yields them in order. So a sort (DataFusion's, which spills
//! beyond the task's memory) holds one month only, and the rows of a month are used while the next one is read and
//! sorted. Start at [`sorted_by_month`].

use std::sync::{Arc, Mutex, PoisonError};

use arrow::{
    array::RecordBatch,
    compute::{SortOptions, max, min},
    datatypes::SchemaRef,
};
use chrono::Datelike;
use datafusion::{
    error::Result as DataFusionResult,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{LexOrdering, PhysicalSortExpr, expressions::Column},
    physical_plan::{
        ExecutionPlan,
        sorts::sort::SortExec,
        stream::{RecordBatchReceiverStream, RecordBatchStreamAdapter},
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use futures::StreamExt;
use tidewaiter_core::{Error, Result};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    task::JoinSet,
};

use super::columns;
use crate::calendar::date_of;

/// Batches that are ready before they are needed.
const AHEAD: usize = 2;

/// Sorts rows whose months come in order by some columns, the first of which is `acceptance_date`. The work is done
/// in `tasks`: the caller asks them for errors after the last row, and stops them by dropping them.
pub(crate) fn sorted_by_month(
    rows: SendableRecordBatchStream,
    order: &'static [&'static str],
    task: Arc<TaskContext>,
    tasks: &mut JoinSet<Result<()>>,
) -> Receiver<Result<RecordBatch>> {
    let (begun, mut months) = channel(1);
    let (sorted, batches) = channel(AHEAD);
    tasks.spawn(divide(rows, order, task, begun));
    tasks.spawn(async move {
        while let Some(mut month) = months.recv().await {
            while let Some(batch) = month.next().await {
                if sorted.send(batch.map_err(Error::from)).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    });
    batches
}

/// Sends each month's rows to a sort of its own, and each sort's output to `begun` when it starts.
async fn divide(
    mut rows: SendableRecordBatchStream,
    order: &'static [&'static str],
    task: Arc<TaskContext>,
    begun: Sender<SendableRecordBatchStream>,
) -> Result<()> {
    let mut open: Option<(i32, Sender<DataFusionResult<RecordBatch>>)> = None;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        for (month, rows) in months_of(&batch)? {
            let unsorted = match open.take() {
                Some((last, unsorted)) if last == month => unsorted,
                Some((last, _)) if last > month => {
                    return Err(Error::internal(format!(
                        "a scan gave {}-{:02} after {}-{:02}",
                        month.div_euclid(12),
                        month.rem_euclid(12) + 1,
                        last.div_euclid(12),
                        last.rem_euclid(12) + 1,
                    )));
                }
                // The month before is complete: its sender was dropped.
                _ => {
                    let (unsorted, sorted) = sort(&batch.schema(), order, &task)?;
                    if begun.send(sorted).await.is_err() {
                        return Ok(());
                    }
                    unsorted
                }
            };
            // Closed only when the sort failed, which its stream reports, or was dropped.
            if unsorted.send(Ok(rows)).await.is_err() {
                return Ok(());
            }
            open = Some((month, unsorted));
        }
    }
    Ok(())
}

/// The rows of a batch by their months (12 × year + month - 1), where these follow each other.
fn months_of(batch: &RecordBatch) -> Result<Vec<(i32, RecordBatch)>> {
    let days = columns::days(batch)?;
    let month = |day: i32| {
        let date = date_of(day);
        12 * date.year() + date.month0() as i32
    };
    // A batch of a file is of one month.
    if let (Some(first), Some(last)) = (min(&days), max(&days))
        && month(first) == month(last)
    {
        return Ok(vec![(month(first), batch.clone())]);
    }
    let mut start = 0;
    let runs = days.values().chunk_by(|a, b| month(*a) == month(*b));
    let pieces = runs.map(|run| {
        let piece = batch.slice(start, run.len());
        start += run.len();
        (month(run[0]), piece)
    });
    Ok(pieces.collect())
}

/// A sort: the sender of its rows, and the stream of the sorted rows, which are computed ahead of their use.
fn sort(
    schema: &SchemaRef,
    order: &[&'static str],
    task: &Arc<TaskContext>,
) -> Result<(Sender<DataFusionResult<RecordBatch>>, SendableRecordBatchStream)> {
    let (unsorted, rows) = channel(AHEAD);
    let rows = Arc::new(Once { schema: Arc::clone(schema), rows: Mutex::new(Some(rows)) });
    let scan = StreamingTableExec::try_new(Arc::clone(schema), vec![rows], None, [], false, None)?;
    let ascending = |name: &&str| {
        let options = SortOptions { descending: false, nulls_first: false };
        Ok(PhysicalSortExpr { expr: Arc::new(Column::new_with_schema(name, schema)?), options })
    };
    let order = LexOrdering::new(order.iter().map(ascending).collect::<DataFusionResult<Vec<_>>>()?)
        .ok_or_else(|| Error::internal("an order names no column"))?;
    let mut rows = SortExec::new(order, Arc::new(scan)).execute(0, Arc::clone(task))?;
    let mut sorted = RecordBatchReceiverStream::builder(Arc::clone(schema), AHEAD);
    let batches = sorted.tx();
    sorted.spawn(async move {
        while let Some(batch) = rows.next().await {
            if batches.send(batch).await.is_err() {
                break;
            }
        }
        Ok(())
    });
    Ok((unsorted, sorted.build()))
}

/// Rows that arrive through a channel, as a plan's leaf that can be read once.
#[derive(Debug)]
struct Once {
    schema: SchemaRef,
    rows: Mutex<Option<Receiver<DataFusionResult<RecordBatch>>>>,
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).take();
        let rows = futures::stream::poll_fn(move |context| match &mut rows {
            Some(rows) => rows.poll_recv(context),
            None => std::task::Poll::Ready(None),
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{ArrayRef, AsArray, Date32Array, Float64Array, Int32Array, StringArray},
        compute::concat_batches,
        datatypes::Int32Type,
    };
    use datafusion::prelude::SessionContext;

    use super::{super::TIME_ORDER, *};

    /// Items of these days, numbered in this order from the last to the first.
    fn items(days: &[i32]) -> RecordBatch {
        let count = days.len() as i32;
        let texts = || Arc::new(StringArray::from(vec!["D1"; days.len()])) as ArrayRef;
        let numbers = || Arc::new(Float64Array::from(vec![None; days.len()])) as ArrayRef;
        RecordBatch::try_from_iter_with_nullable([
            ("declaration_id", texts(), false),
            ("item_number", Arc::new(Int32Array::from_iter_values((0..count).rev())) as ArrayRef, false),
            ("acceptance_date", Arc::new(Date32Array::from(days.to_vec())) as ArrayRef, false),
            ("hs_code", texts(), false),
            ("customs_value", numbers(), true),
            ("net_mass", numbers(), true),
        ])
        .expect("a batch")
    }

    /// Day and number of each row as they come, and how it ended.
    async fn sorted(batches: &[RecordBatch]) -> (Vec<(i32, i32)>, Result<()>) {
        let schema = batches[0].schema();
        let rows = futures::stream::iter(batches.iter().cloned().map(Ok).collect::<Vec<_>>());
        let rows = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), rows));
        let mut tasks = JoinSet::new();
        let mut given = sorted_by_month(rows, &TIME_ORDER, SessionContext::new().task_ctx(), &mut tasks);
        let mut all = Vec::new();
        while let Some(batch) = given.recv().await {
            all.push(batch.expect("rows"));
        }
        let all = concat_batches(&schema, &all).expect("joins");
        let days = columns::days(&all).expect("days");
        let numbers = all.column(1).as_primitive::<Int32Type>();
        let pairs = days.values().iter().copied().zip(numbers.values().iter().copied()).collect();
        let mut ended = Ok(());
        while let Some(outcome) = tasks.join_next().await {
            ended = ended.and(outcome.expect("no panic"));
        }
        (pairs, ended)
    }

    #[tokio::test]
    async fn months_are_sorted_one_after_the_other_wherever_batches_are_cut() {
        // January, no February, March, April of 1970.
        let days = [30, 0, 12, 0, 60, 59, 60, 100, 90, 95];
        let whole = items(&days);
        let mut expected: Vec<(i32, i32)> = days.iter().copied().zip((0..10).rev()).collect();
        expected.sort_unstable();
        for cut in 1..=10 {
            let starts = (0..10).step_by(cut);
            let batches: Vec<_> = starts.map(|start| whole.slice(start, cut.min(10 - start))).collect();
            let (given, ended) = sorted(&batches).await;
            ended.expect("sorts");
            assert_eq!(given, expected, "in pieces of {cut}");
        }
    }

    #[tokio::test]
    async fn months_out_of_order_are_refused() {
        let (_, ended) = sorted(&[items(&[0, 1]), items(&[70, 60]), items(&[2])]).await;
        let error = ended.expect_err("refused");
        assert!(error.to_string().contains("1970-01 after 1970-03"), "{error}");
    }
}
