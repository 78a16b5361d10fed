//! Runs a fit on an engine: one query whose tasks are the workers, led from here.

use std::{pin::pin, sync::Arc};

use datafusion::prelude::{DataFrame, SessionContext};
use tidewaiter_proto::v1;
use tokio::sync::oneshot;

use super::{
    Leader,
    collective::{Hub, Observer, ShardLoader, grpc::Hubs, lead},
    fit_operator::{FitOperator, Worked},
};
use crate::{
    Archive, Error, Result,
    engine::Engine,
    plan::{self, tasks},
};

/// A fit to be run.
pub struct Fit<'a> {
    /// The archive that holds the shards.
    pub archive: &'a Archive,
    /// Where it runs.
    pub engine: &'a dyn Engine,
    /// A session on that engine.
    pub session: &'a SessionContext,
    /// Names it among all fits.
    pub name: &'a str,
    /// A folder of the archive for what is needed only while it runs.
    pub folder: &'a str,
    /// What a shard is.
    pub task: v1::FitTask,
    /// Loads shards of that task, for the plan's own use.
    pub loader: Arc<dyn ShardLoader>,
    /// Whether a GPU makes it faster: its workers are then kept to executors that have one, while the engine has
    /// any when it begins.
    pub gains_from_gpu: bool,
}

/// Runs the fit to its end.
///
/// # Errors
/// The leader's, a worker's permanent failure, or [`crate::ErrorKind::Unavailable`] when the engine gives no
/// worker that stays.
pub async fn run(fit: Fit<'_>, leader: &mut dyn Leader, observer: &mut dyn Observer) -> Result<()> {
    let shards = u32::try_from(fit.task.shards.len()).unwrap_or(u32::MAX);
    let (hub, floor) = Hub::new();
    let _open = Open::new(fit.engine.hubs(), fit.name, hub);
    let gpu_tasks = if fit.gains_from_gpu { fit.engine.gpu_tasks().await } else { 0 };
    let most = if gpu_tasks > 0 { gpu_tasks } else { fit.engine.most_tasks().await };
    let count = most.min(fit.task.shards.len()).max(1);
    let workers = workers(&fit, count, gpu_tasks > 0).await?;

    let (_running, cancelled) = oneshot::channel();
    let mut leading = pin!(lead(floor, leader, shards, count, observer, cancelled));
    tokio::select! {
        // Workers of an executor that was lost may be waited for long; the fit is done without them.
        led = &mut leading => led,
        worked = plan::reports::<Worked>(workers) => {
            if worked?.iter().any(|worked| worked.joined) {
                // A worker ends well only when it is dismissed, which is the last thing a leader does.
                return leading.await;
            }
            Err(Error::unavailable(format!("no worker of the fit {} found its leader", fit.name)))
        }
    }
}

/// The query that brings so many workers to life.
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

/// A hub that workers can find as long as this lives.
struct Open<'a> {
    hubs: &'a Hubs,
    fit: &'a str,
}

impl<'a> Open<'a> {
    fn new(hubs: &'a Hubs, fit: &'a str, hub: Hub) -> Self {
        hubs.open(fit, hub);
        Self { hubs, fit }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.hubs.close(self.fit);
    }
}
