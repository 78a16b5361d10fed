//! Runs a fit on an engine: one query whose tasks are the workers, with the leader in this process.
//!
//! Start at [`run`]; [`crate::follow`] adds checkpoints and progress.

use std::{sync::Arc, time::Duration};

use datafusion::prelude::{DataFrame, SessionContext};
use tidewaiter_archive::{Archive, tasks};
use tidewaiter_collective::{Hub, Leader, Observer, ShardLoader, grpc::Hubs, lead};
use tidewaiter_core::{Error, ErrorKind, Result, plan};
use tidewaiter_job::{engine::Engine, job_of};
use tidewaiter_proto::v1;
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use crate::{
    fit_operator::{FitOperator, Worked},
    traced::Rounds,
};

/// How many workers a fit has.
type Present = watch::Receiver<usize>;

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
/// The query may wait long for the workers of a lost executor; the fit goes on with those that are present, and does not
/// need the query. When the query ends and no worker is left, another is started, a few times.
///
/// # Errors
/// The leader's, the observer's, a worker's permanent failure, or [`ErrorKind::Unavailable`] when all
/// workers ended and none of them had joined, and when the workers fail again and again.
pub async fn run(fit: Fit<'_>, leader: &mut dyn Leader, observer: &mut dyn Observer) -> Result<()> {
    let shards = u32::try_from(fit.task.shards.len()).unwrap_or(u32::MAX);
    let (hub, inbox) = Hub::new();
    let present = hub.present();
    let _registered = Registered::new(fit.engine.hubs(), fit.name, hub);
    let gpu_tasks = if fit.gains_from_gpu { fit.engine.gpu_tasks().await } else { 0 };
    let most = if gpu_tasks > 0 { gpu_tasks } else { fit.engine.most_tasks().await };
    let count = most.min(fit.task.shards.len()).max(1);

    let (_running, cancelled) = oneshot::channel();
    let mut rounds = Rounds::new(job_of(fit.folder), fit.name, observer);
    let leading = lead(inbox, leader, shards, count, &mut rounds, cancelled);
    tokio::select! {
        // A leader knows of a worker's permanent failure from the worker, so its error is the better one.
        biased;
        led = leading => led,
        failed = keep_workers(&fit, count, gpu_tasks > 0, present) => Err(failed),
    }
}

/// Waits between an end of the query of the workers and the start of the next.
const RESTART_WAITS: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(16)];

/// A query that went well for so long was no failure at its start.
const WENT_WELL: Duration = Duration::from_secs(60);

/// Runs the query of the workers, and another when it has ended and no worker is left; gives the reason when that does
/// not help.
async fn keep_workers(fit: &Fit<'_>, count: usize, needs_gpu: bool, mut present: Present) -> Error {
    let mut failures = 0;
    loop {
        let begun = Instant::now();
        let worked = match workers(fit, count, needs_gpu).await {
            Ok(workers) => plan::reports::<Worked>(workers).await,
            Err(error) => Err(error),
        };
        if worked.as_ref().is_ok_and(|worked| worked.iter().all(|worked| !worked.joined)) {
            return Error::unavailable(format!("no worker of the fit {} found its leader", fit.name));
        }
        // The end of a worker, and of the whole query, does not end a fit while others are present. When the fit is over,
        // they are dismissed and the leader ends, which ends this wait.
        if present.wait_for(|present| *present == 0).await.is_err() {
            return std::future::pending().await;
        }
        if begun.elapsed() > WENT_WELL {
            failures = 0;
        }
        // An engine reports the loss of an executor as an internal error.
        let passes = |error: &Error| matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Internal);
        let error = match worked {
            Err(error) if !passes(&error) => return error,
            Err(error) => error,
            Ok(_) => Error::unavailable("they left"),
        };
        let Some(wait) = RESTART_WAITS.get(failures) else {
            let kind = error.kind();
            let text = format!("the workers of the fit {} end again and again", fit.name);
            return Error::new(kind, text).with_source(error);
        };
        tokio::time::sleep(*wait).await;
        tracing::warn!(
            fit = fit.name,
            error = error.chain(),
            "no worker of the fit is left; others are started"
        );
        failures += 1;
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
    plan::apply(rows, FitOperator::new(message, Arc::clone(&fit.loader)))
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
