//! Runs a fit on an engine: one query whose tasks are the workers, with the leader in this process.
//!
//! Start at [`run`]; [`crate::follow`] adds checkpoints and progress.

use std::{pin::pin, sync::Arc};

use datafusion::prelude::{DataFrame, SessionContext};
use tidewaiter_archive::{Archive, tasks};
use tidewaiter_collective::{Hub, Leader, Observer, ShardLoader, grpc::Hubs, lead};
use tidewaiter_core::{Error, Result, plan};
use tidewaiter_job::engine::Engine;
use tidewaiter_proto::v1;
use tokio::sync::oneshot;

use crate::fit_operator::{FitOperator, Worked};

/// A fit to run.
pub struct Fit<'a> {
    /// The archive that holds the shards.
    pub archive: &'a Archive,
    /// Where it runs.
    pub engine: &'a dyn Engine,
    /// A session on that engine.
    pub session: &'a SessionContext,
    /// Its name, unique among all fits that run.
    pub name: &'a str,
    /// A folder of the archive for files that are needed only while it runs.
    pub folder: &'a str,
    /// The learner, the files of the shards, and the learner's parameters.
    pub task: v1::FitTask,
    /// Loads the shards of that task in workers of this process.
    pub loader: Arc<dyn ShardLoader>,
    /// Whether a GPU makes it faster. If so, and the engine has executors with a GPU when the fit begins, its workers run
    /// on those alone.
    pub gains_from_gpu: bool,
}

/// Runs the fit to its end.
///
/// # Errors
/// The leader's, the observer's, a worker's permanent failure, or [`tidewaiter_core::ErrorKind::Unavailable`] when all
/// workers ended and none of them had joined.
pub async fn run(fit: Fit<'_>, leader: &mut dyn Leader, observer: &mut dyn Observer) -> Result<()> {
    let shards = u32::try_from(fit.task.shards.len()).unwrap_or(u32::MAX);
    let (hub, floor) = Hub::new();
    let _registered = Registered::new(fit.engine.hubs(), fit.name, hub);
    let gpu_tasks = if fit.gains_from_gpu { fit.engine.gpu_tasks().await } else { 0 };
    let most = if gpu_tasks > 0 { gpu_tasks } else { fit.engine.most_tasks().await };
    let count = most.min(fit.task.shards.len()).max(1);
    let workers = workers(&fit, count, gpu_tasks > 0).await?;

    let (_running, cancelled) = oneshot::channel();
    let mut leading = pin!(lead(floor, leader, shards, count, observer, cancelled));
    tokio::select! {
        // The query may wait long for the workers of a lost executor; the fit does not need them.
        led = &mut leading => led,
        worked = plan::reports::<Worked>(workers) => {
            if worked?.iter().any(|worked| worked.joined) {
                // A worker succeeds only when it is dismissed, which is the last thing that a leader does.
                return leading.await;
            }
            Err(Error::unavailable(format!("no worker of the fit {} found its leader", fit.name)))
        }
    }
}

/// The query whose tasks are `count` workers.
async fn workers(fit: &Fit<'_>, count: usize, needs_gpu: bool) -> Result<DataFrame> {
    let names: Vec<String> = (0..count).map(|worker| format!("worker {worker}")).collect();
    let rows =
        tasks::spread(fit.session, fit.archive, &format!("{}/workers", fit.folder), &names, count).await?;
    let message = v1::FitOperator {
        archive: fit.archive.url().to_string(),
        fit: fit.name.to_owned(),
        collective: fit.engine.collective().to_owned(),
        task: Some(fit.task.clone()),
        needs_gpu,
    };
    plan::above(rows, FitOperator::new(message, Arc::clone(&fit.loader)))
}

/// A hub that workers can find until this is dropped.
struct Registered<'a> {
    hubs: &'a Hubs,
    fit: &'a str,
}

impl<'a> Registered<'a> {
    fn new(hubs: &'a Hubs, fit: &'a str, hub: Hub) -> Self {
        hubs.open(fit, hub);
        Self { hubs, fit }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.hubs.close(self.fit);
    }
}
