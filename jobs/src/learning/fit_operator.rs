//! A fit's workers as a plan node: each of its tasks joins the fit's collective and carries shards.
//!
//! The node's input only brings tasks to life, one a partition: what they compute on are the shards that
//! the collective hands out. A task that comes when the fit is over, or whose leader is gone for good, ends
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
use serde::{Deserialize, Serialize};
use tidewaiter_proto::v1;

use super::collective::{
    Connection, ShardLoader,
    grpc::{self, Hubs},
    work,
};
use crate::{
    Error, ErrorKind, Result,
    plan::{self, Input, Operator},
};

/// What one worker did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worked {
    /// Rounds answered.
    pub rounds: u64,
    /// Whether there was such a fit.
    pub joined: bool,
}

/// The plan node.
pub struct FitOperator {
    message: v1::FitOperator,
    loader: Arc<dyn ShardLoader>,
}

impl FitOperator {
    /// The operator of a message whose shards `loader` loads.
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

/// A name that no other attempt of any task has.
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
        "FitExec"
    }

    fn message(&self) -> v1::PlanOperator {
        v1::PlanOperator { operator: Some(v1::plan_operator::Operator::Fit(self.message.clone())) }
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
