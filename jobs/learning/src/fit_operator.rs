//! The workers of a fit as a plan node: each of its tasks joins the fit's collective and carries shards.
//!
//! The node's input makes the engine start one task for each partition and has no other use: the training data are the
//! shards that the collective assigns. A task that starts when the fit is over, or when no fit of its name exists, ends
//! without work. A worker that the fit goes on without, because it was silent or failed for a reason that passes, joins
//! again after a moment.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
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
    Connection, End, ShardLoader,
    grpc::{self, Hubs},
    work,
};
use tidewaiter_core::{
    Error, ErrorKind, Result,
    devices::{self, Devices},
    disk::{self, Disk},
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

/// How long a worker waits, after it was lost or failed for a reason that passes, until it joins again.
const REJOIN_WAITS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

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
        let mut worked = Worked { rounds: 0, joined: false };
        for wait in REJOIN_WAITS {
            // Before it joins: the leader expects signs of life of those that have.
            let device = self.device(&task).await;
            let connection = match self.join(partition, &task).await {
                Ok(connection) => connection,
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Cancelled) => {
                    return Ok(worked);
                }
                Err(error) => return Err(error),
            };
            worked.joined = true;
            let worker = work(connection, self.loader.as_ref());
            match devices::within(device, disk::within(Disk::of_task(&task), worker)).await {
                Ok(done) => {
                    worked.rounds += done.rounds;
                    if done.end == End::Dismissed {
                        return Ok(worked);
                    }
                    tracing::warn!("the fit went on without this worker, which joins again");
                }
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    let seconds = wait.as_secs();
                    tracing::warn!(
                        error = error.chain(),
                        seconds,
                        "a worker of a fit failed and joins again"
                    );
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(wait).await;
        }
        let fit = &self.message.fit;
        Err(Error::unavailable(format!("a worker of the fit {fit} was lost {} times", REJOIN_WAITS.len())))
    }

    /// The GPU on which the worker computes; `None` where it needs none, or the executor leases none.
    async fn device(&self, task: &TaskContext) -> Option<devices::Lease> {
        let devices = task.session_config().get_extension::<Devices>().filter(|_| self.message.needs_gpu)?;
        devices.lease().await
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

    fn tells_progress(&self) -> bool {
        true
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        futures::stream::once(async move { plan::report(&self.work(input).await?) }).boxed()
    }
}
