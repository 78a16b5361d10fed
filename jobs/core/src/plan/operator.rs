//! What an operator is, the input that it is given, and the bytes by which it reaches another process.

use std::{fmt, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use futures::stream::BoxStream;
use prost::Message;
use tidewaiter_proto::v1;
use xxhash_rust::xxh3::xxh3_64;

use super::meter::Meter;
use crate::{Error, Result};

/// The work of a plan node: a stream of batches in, another out.
pub trait Operator: fmt::Debug + Send + Sync + 'static {
    /// The name of the node in plans. Another process looks up the operator by it.
    fn name(&self) -> &'static str;

    /// The bytes from which another process builds the same operator.
    fn payload(&self) -> Vec<u8>;

    /// The columns of the output for an input with these columns.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when the input lacks a column that the operator needs.
    fn schema(&self, input: &Schema) -> Result<SchemaRef>;

    /// Columns by which the whole input must be sorted (ascending, nulls last), in one partition; empty: any order, any
    /// partitions.
    fn sort_columns(&self) -> &[&'static str] {
        &[]
    }

    /// Whether the input must come in one partition, in the order in which it is read, though not sorted.
    fn single_partition(&self) -> bool {
        false
    }

    /// Key columns: rows with equal values in them must be in the same partition of the input; empty: no such rule.
    fn partition_keys(&self) -> &[&'static str] {
        &[]
    }

    /// Whether the operator computes on a GPU.
    fn needs_gpu(&self) -> bool {
        false
    }

    /// Whether its progress is told in another way, as the leader of a fit does; a query with such an operator is not
    /// followed by its tasks and rows.
    fn tells_progress(&self) -> bool {
        false
    }

    /// Processes one partition.
    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>>;
}

/// One partition of an operator's input.
pub struct Input {
    /// Its number among the partitions of the task. On a cluster a task has only partitions of its own, numbered from
    /// 0.
    pub partition: usize,
    /// Its rows.
    pub rows: SendableRecordBatchStream,
    /// The task to which it belongs.
    pub task: Arc<TaskContext>,
    /// Counts the rows processed, for progress.
    pub meter: Arc<Meter>,
}

impl Input {
    /// A name, fit for a file, that no other partition of the query has, and on a cluster no other attempt at this one.
    pub fn unique_name(&self) -> String {
        match self.task.task_id() {
            Some(task) => format!("{:016x}-{}", xxh3_64(task.as_bytes()), self.partition),
            None => self.partition.to_string(),
        }
    }
}

/// The serialised form of an operator: a [`v1::PlanOperator`] message.
pub fn encode(operator: &dyn Operator) -> Vec<u8> {
    v1::PlanOperator { name: operator.name().to_owned(), payload: operator.payload() }.encode_to_vec()
}

/// The error for a message whose operator this process does not know.
pub fn unknown() -> Error {
    Error::corrupt(
        "a plan node names no operator that this process knows; run the same version of tidewaiter everywhere",
    )
}
