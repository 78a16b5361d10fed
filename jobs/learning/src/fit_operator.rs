//! The workers of a fit as a plan node: each of its tasks joins the fit's collective and carries shards.
//!
//! The node's input makes the engine start one task for each partition and has no other use: the training data are the
//! shards that the collective assigns. A task that starts when the fit is over, or when no fit of its name exists, ends
//! without work.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use datafusion::execution::TaskContext;
use futures::{StreamExt, stream::BoxStream};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use tidewaiter_collective::{
    Connection, ShardLoader,
    grpc::{self, Hubs},
    work,
};
use tidewaiter_core::{
    Error, ErrorKind, Result,
    plan::{self, Input, Operator},
};
use tidewaiter_proto::v1;

/// What one worker did: the node's output, one row for each task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worked {
    /// Rounds answered.
    pub rounds: u64,
    /// Whether the worker joined the fit.
    pub joined: bool,
}

/// The operator of the plan node.
pub struct FitOperator {
    message: v1::FitOperator,
    loader: Arc<dyn ShardLoader>,
}

impl FitOperator {
    /// The node's name in plans.
    pub const NAME: &'static str = "FitExec";

    /// The operator of a message; `loader` loads the shards of the message's task.
    pub fn new(message: v1::FitOperator, loader: Arc<dyn ShardLoader>) -> Self {
        Self { message, loader }
    }

    async fn work(&self, input: Input) -> Result<Worked> {
        let Input { mut rows, partition, task, .. } = input;
        while let Some(batch) = rows.next().await {
            batch?;
        }
        match self.join(partition, &task).await {
            Ok(connection) => {
                let rounds = work(connection, self.loader.as_ref()).await?;
                Ok(Worked { rounds, joined: true })
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Cancelled) => {
                Ok(Worked { rounds: 0, joined: false })
            }
            Err(error) => Err(error),
        }
    }

    async fn join(&self, partition: usize, task: &TaskContext) -> Result<Connection> {
        let v1::FitOperator { fit, collective, .. } = &self.message;
        let worker = worker_name(partition, task);
        if !collective.is_empty() {
            return grpc::join(collective, fit, &worker).await;
        }
        let hubs = task.session_config().get_extension::<Hubs>();
        let hubs = hubs.ok_or_else(|| Error::internal("this session leads no fits"))?;
        hubs.find(fit)?.join(worker).await
    }
}

/// A name for the worker that no other task has, and no other attempt of the same task.
fn worker_name(partition: usize, task: &TaskContext) -> String {
    static ATTEMPTS: AtomicU64 = AtomicU64::new(0);
    let attempt = ATTEMPTS.fetch_add(1, Ordering::Relaxed);
    let task = task.task_id().unwrap_or_default();
    format!("{task}-{partition}-{}-{attempt}", std::process::id())
}

impl fmt::Debug for FitOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FitOperator").field("fit", &self.message.fit).finish_non_exhaustive()
    }
}

impl Operator for FitOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    fn schema(&self, _: &Schema) -> Result<SchemaRef> {
        Ok(plan::report_schema())
    }

    fn needs_gpu(&self) -> bool {
        self.message.needs_gpu
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        futures::stream::once(async move { plan::report(&self.work(input).await?) }).boxed()
    }
}
