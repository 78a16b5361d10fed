//! The engine of a cluster: queries run on the executors of this process's Ballista scheduler.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use ballista_core::JobId;
use datafusion::prelude::SessionContext;
use tidewaiter_collective::grpc::Hubs;
use tidewaiter_core::{Result, plan::Meter};
use tidewaiter_executor::session;
use tidewaiter_job::{Catalogue, engine::Engine};
use tokio::time::Instant;

use crate::{
    ballista::Ballista,
    executors::Executors,
    placement::{Device, StageNeeds},
    waiting::Waiting,
};

/// Tasks that a fit or an ingest asks for at least: executors that join later find work.
const FEWEST_TASKS: usize = 8;

/// Bytes of rows and buffers that one task may hold.
const TASK_MEMORY: usize = 256 << 20;

/// How long the end of a job waits for its executors to stop; beyond that they are left to it.
const STOP_WAIT: Duration = Duration::from_secs(20);

/// How a scheduler is reached.
pub(crate) struct Addresses {
    /// By executors.
    pub(crate) executors: String,
    /// By its own driver.
    pub(crate) driver: String,
    /// What the driver shows there ([`crate::gate`]).
    pub(crate) secret: String,
}

/// The executors of a scheduler.
pub(crate) struct Cluster {
    scheduler: Ballista,
    executors: Executors,
    waiting: Waiting,
    addresses: Addresses,
    catalogue: Catalogue,
    hubs: Hubs,
    /// Tasks on GPUs that pools on demand can run at once, besides.
    gpus_on_demand: usize,
}

impl Cluster {
    /// The executors of a scheduler, which are lost when they are silent for so long; `needs` says which device a stage
    /// asks for, `gpus_on_demand` how many tasks on GPUs can run on executors that come when they are needed.
    pub(crate) fn new(
        scheduler: Ballista,
        addresses: Addresses,
        catalogue: Catalogue,
        silence: Duration,
        needs: StageNeeds,
        gpus_on_demand: usize,
    ) -> Self {
        let (executors, waiting) = (Executors::new(scheduler.clone()), Waiting::default());
        tokio::spawn(executors.progress().clone().tell(scheduler.clone()));
        tokio::spawn(executors.clone().lose_silent(silence));
        tokio::spawn(waiting.clone().tell(scheduler.clone(), executors.clone(), needs));
        Self { scheduler, executors, waiting, addresses, catalogue, hubs: Hubs::default(), gpus_on_demand }
    }

    /// What the executors report.
    pub(crate) fn executors(&self) -> &Executors {
        &self.executors
    }

    /// What jobs wait for.
    pub(crate) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Ends the queries of a job, and waits until no executor works on them, so that they are free and the job's files
    /// can be deleted.
    pub(crate) async fn stop(&self, job: &str) {
        let deadline = Instant::now() + STOP_WAIT;
        let (mut queries, mut since) = (HashSet::new(), self.executors.mark());
        loop {
            // Of which job a query is that is only now being planned is not known.
            let planning = self.scheduler.pending() > 0;
            let ended = self.release(job).await;
            let quiet = !planning && ended.is_empty();
            if !ended.is_empty() {
                queries.extend(ended.into_iter().map(JobId::into_inner));
                since = self.executors.mark();
            }
            self.executors.next_report().await;
            if quiet && self.executors.stopped(&queries, &since) {
                return;
            }
            if Instant::now() > deadline {
                return tracing::warn!(job, "the job's queries are not stopped on every executor");
            }
        }
    }

    /// Ends the queries of a job that run, and gives their ids.
    pub(crate) async fn release(&self, job: &str) -> Vec<JobId> {
        let queries = self.queries(job).await;
        for query in &queries {
            if let Err(error) = self.scheduler.cancel(query.clone()).await {
                tracing::warn!(job, %error, "a query of the job is not stopped");
            }
        }
        queries
    }

    /// The queries of a job that run.
    async fn queries(&self, job: &str) -> Vec<JobId> {
        let running = self.scheduler.running();
        let mut queries = Vec::new();
        for (query, running) in running.iter() {
            if running.execution_graph.read().await.job_name() == job {
                queries.push(query.clone());
            }
        }
        queries
    }
}

#[async_trait]
impl Engine for Cluster {
    fn session(&self, job: &str, meter: Meter) -> Result<SessionContext> {
        let Addresses { driver, secret, .. } = &self.addresses;
        let session = session::remote(driver, job, self.catalogue, Some(secret))?;
        let meter = Arc::new(meter);
        self.executors.progress().follow(job, &meter);
        self.executors.files().begin(job);
        // The session's queries are followed for as long as it lives.
        session.state_ref().write().config_mut().set_extension(meter);
        Ok(session)
    }

    fn hubs(&self) -> &Hubs {
        &self.hubs
    }

    fn collective(&self) -> &str {
        &self.addresses.executors
    }

    async fn stop(&self, job: &str) {
        Cluster::stop(self, job).await;
    }

    async fn most_tasks(&self) -> usize {
        let executors = self.scheduler.executors().get_executors_state().await;
        let executors = executors.unwrap_or_default();
        let slots = executors.iter().map(|(executor, ..)| executor.specification.vcores);
        slots.map(|slots| slots as usize).sum::<usize>().max(FEWEST_TASKS)
    }

    async fn gpu_tasks(&self) -> usize {
        let executors = self.scheduler.executors().get_executors_state().await;
        let executors = executors.unwrap_or_default();
        let with_gpu =
            executors.iter().filter(|(executor, ..)| Device::of_executor(&executor.id) == Device::Gpu);
        let present: usize = with_gpu.map(|(executor, ..)| executor.specification.vcores as usize).sum();
        present.max(self.gpus_on_demand)
    }

    fn task_memory(&self) -> usize {
        TASK_MEMORY
    }
}
