//! The engine of a cluster: queries run on the executors of this process's Ballista scheduler.

use std::collections::HashSet;

use async_trait::async_trait;
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion::prelude::SessionContext;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tidewaiter_collective::grpc::Hubs;
use tidewaiter_core::{Result, plan::Meter};
use tidewaiter_executor::session;
use tidewaiter_job::{Catalogue, engine::Engine};

use crate::placement::Device;

/// Ballista's scheduler, with DataFusion's plans.
pub(crate) type Ballista = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

/// Tasks that a fit or an ingest asks for at least: executors that join later find work.
const FEWEST_TASKS: usize = 8;

/// Bytes of rows and buffers that one task may hold.
const TASK_MEMORY: usize = 256 << 20;

/// The executors of a scheduler.
pub(crate) struct Cluster {
    scheduler: Ballista,
    url: String,
    catalogue: Catalogue,
    hubs: Hubs,
}

impl Cluster {
    /// The executors of a scheduler that they reach at `url`.
    pub(crate) fn new(scheduler: Ballista, url: String, catalogue: Catalogue) -> Self {
        Self { scheduler, url, catalogue, hubs: Hubs::default() }
    }

    /// Stops the queries of a job that is over, so that its executors are free.
    pub(crate) async fn release(&self, job: &str) {
        let tasks = &self.scheduler.state.task_manager;
        let running = match tasks.get_running_jobs().await {
            Ok(running) => running,
            Err(error) => return tracing::warn!(job, %error, "the job's queries are not known"),
        };
        let queries: HashSet<_> =
            running.into_iter().filter(|query| query.job_name == job).map(|query| query.job_id).collect();
        for query in queries {
            if let Err(error) = self.scheduler.cancel_job(query).await {
                tracing::warn!(job, %error, "a query of the job is not stopped");
            }
        }
    }
}

#[async_trait]
impl Engine for Cluster {
    fn session(&self, job: &str, _: Meter) -> Result<SessionContext> {
        Ok(session::remote(&self.url, job, self.catalogue)?)
    }

    fn hubs(&self) -> &Hubs {
        &self.hubs
    }

    fn collective(&self) -> &str {
        &self.url
    }

    async fn most_tasks(&self) -> usize {
        let executors = self.scheduler.state.executor_manager.get_executors_state().await;
        let executors = executors.unwrap_or_default();
        let slots = executors.iter().map(|(executor, ..)| executor.specification.vcores);
        slots.map(|slots| slots as usize).sum::<usize>().max(FEWEST_TASKS)
    }

    async fn gpu_tasks(&self) -> usize {
        let executors = self.scheduler.state.executor_manager.get_executors_state().await;
        let executors = executors.unwrap_or_default();
        let with_gpu =
            executors.iter().filter(|(executor, ..)| Device::of_executor(&executor.id) == Device::Gpu);
        with_gpu.map(|(executor, ..)| executor.specification.vcores as usize).sum()
    }

    fn task_memory(&self) -> usize {
        TASK_MEMORY
    }
}
