//! Our plan nodes: work of Tidewaiter's own inside a DataFusion plan, wherever the plan runs.
//!
//! An [`Operator`] takes a stream of batches and gives another. [`above`] puts it over a query as a logical
//! node, [`QueryPlanner`] plans that as a physical [`OperatorExec`], and both travel as the operator's
//! protobuf message ([`encode`]). One node serves every operator, so that the engine's rules are met once:
//! an operator is never a leaf (a leaf's every task would see every partition), it keeps its input's
//! partitions, or asks for one partition in an order of its own, or that rows of equal values meet in one.
//!
//! Operators that write files instead of rows answer with [`report`] rows, which [`reports`] reads.

mod exec;
mod node;
pub mod tasks;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use arrow::{
    array::{AsArray, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    execution::{SendableRecordBatchStream, TaskContext},
    prelude::DataFrame,
};
use futures::stream::BoxStream;
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};
use tidewaiter_proto::v1;
use xxhash_rust::xxh3::xxh3_64;

pub use exec::{OperatorExec, QueryPlanner};
pub use node::{OperatorNode, above};

use crate::{Error, Result};

/// Makes an operator of its message.
pub type Decode = fn(v1::PlanOperator) -> Result<Arc<dyn Operator>>;

/// Work of our own in the place of a plan node.
pub trait Operator: fmt::Debug + Send + Sync + 'static {
    /// The node's name in a plan.
    fn name(&self) -> &'static str;

    /// The message from which the same operator is made in another process.
    fn message(&self) -> v1::PlanOperator;

    /// The columns it gives, when its input has these.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when the input lacks what the operator needs.
    fn schema(&self, input: &Schema) -> Result<SchemaRef>;

    /// Columns by which its whole input must be sorted, in one partition; empty: any order, any partitions.
    fn order(&self) -> &[&'static str] {
        &[]
    }

    /// Whether its input must come in one partition, in the order in which it is read, though not sorted.
    fn undivided(&self) -> bool {
        false
    }

    /// Columns whose equal values must meet in one partition of its input; empty: any.
    fn meets(&self) -> &[&'static str] {
        &[]
    }

    /// Whether it computes on a GPU.
    fn needs_gpu(&self) -> bool {
        false
    }

    /// Works on one partition.
    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>>;
}

/// One partition of an operator's input.
pub struct Input {
    /// Its number among the task's partitions. On a cluster a task has its own partitions only, numbered from 0.
    pub partition: usize,
    /// Its rows.
    pub rows: SendableRecordBatchStream,
    /// The task that it is part of.
    pub task: Arc<TaskContext>,
    /// Who is told of rows done.
    pub meter: Arc<Meter>,
}

impl Input {
    /// A name that no other partition of the query has, and no other attempt at this one: fit for a file.
    pub fn unique_name(&self) -> String {
        match self.task.task_id() {
            Some(task) => format!("{:016x}-{}", xxh3_64(task.as_bytes()), self.partition),
            None => self.partition.to_string(),
        }
    }
}

/// Hears of rows done by operators that run in this process; a session carries it as an extension.
pub struct Meter(Box<dyn Fn(u64) + Send + Sync>);

impl Meter {
    /// A meter that tells `hear` how many more rows are done.
    pub fn new(hear: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self(Box::new(hear))
    }

    /// So many more rows are done.
    pub fn advance(&self, rows: u64) {
        (self.0)(rows);
    }
}

/// The bytes by which an operator travels.
pub fn encode(operator: &dyn Operator) -> Vec<u8> {
    operator.message().encode_to_vec()
}

/// The schema of the rows of operators that write files: one JSON document a row.
pub fn report_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("report", DataType::Utf8, false)]))
}

/// One row that tells what an operator did.
///
/// # Errors
/// When the report has no JSON form.
pub fn report(report: &impl Serialize) -> Result<RecordBatch> {
    let text = StringArray::from(vec![serde_json::to_string(report)?]);
    Ok(RecordBatch::try_new(report_schema(), vec![Arc::new(text)])?)
}

/// Runs a query whose operators answer with [`report`] rows.
///
/// # Errors
/// The query's own.
pub async fn reports<T: DeserializeOwned>(query: DataFrame) -> Result<Vec<T>> {
    let mut reports = Vec::new();
    for batch in query.collect().await? {
        let texts = batch
            .column_by_name("report")
            .and_then(|column| arrow::compute::cast(column, &DataType::Utf8).ok());
        let texts = texts.ok_or_else(|| Error::internal("an operator's answer has no report"))?;
        for text in texts.as_string::<i32>().iter().flatten() {
            reports.push(serde_json::from_str(text)?);
        }
    }
    Ok(reports)
}

/// The error of a message that names no operator.
pub fn unknown() -> Error {
    Error::corrupt(
        "a plan node names no operator that this process knows; run the same version of tidewaiter everywhere",
    )
}
