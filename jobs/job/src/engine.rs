//! Where a job's queries and fits run: in this process, or on a cluster.
//!
//! A job knows only [`Engine`]. [`Local`] is DataFusion in this process, for the embedded command line; the
//! scheduler has another for its cluster. Both give the same rows and the same models.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    execution::{
        SessionStateBuilder,
        memory_pool::FairSpillPool,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    prelude::{SessionConfig, SessionContext},
};
use tidewaiter_archive::stores::Stores;
use tidewaiter_collective::grpc::Hubs;
use tidewaiter_core::{
    Result,
    plan::{Meter, QueryPlanner},
};

/// Where queries and fits run.
#[async_trait]
pub trait Engine: Send + Sync {
    /// A session for the queries of a job, by the id under which it was submitted; operators that run in this process
    /// tell `meter` of rows done.
    ///
    /// # Errors
    /// Those of the engine's assembly.
    fn session(&self, job: &str, meter: Meter) -> Result<SessionContext>;

    /// Where the workers of fits led by this process join.
    fn hubs(&self) -> &Hubs;

    /// The address of those hubs for a worker; empty: this process.
    fn collective(&self) -> &str;

    /// Ends what still runs of a job's queries, and waits until it has. In this process a query ends with the future that
    /// waits for it.
    async fn stop(&self, job: &str) {
        let _ = job;
    }

    /// The most tasks that a fit or an ingest asks for.
    async fn most_tasks(&self) -> usize;

    /// How many tasks run at once on executors with a GPU; 0 where there are none, and in this process, whose tasks
    /// need not be sent to one.
    async fn gpu_tasks(&self) -> usize {
        0
    }

    /// Bytes of rows and buffers that one task may hold.
    fn task_memory(&self) -> usize;
}

/// DataFusion in this process.
pub struct Local {
    runtime: Arc<RuntimeEnv>,
    hubs: Hubs,
    tasks: usize,
    memory: usize,
}

impl Local {
    /// An engine of so many tasks at once whose sorts and aggregates hold `memory` bytes and spill beyond.
    ///
    /// # Errors
    /// When the folder for spills cannot be made.
    pub fn new(tasks: usize, memory: usize) -> Result<Self> {
        let builder = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(memory)));
        Ok(Self { runtime: runtime(builder)?, hubs: Hubs::default(), tasks: tasks.max(1), memory })
    }
}

#[async_trait]
impl Engine for Local {
    fn session(&self, _: &str, meter: Meter) -> Result<SessionContext> {
        let config = SessionConfig::new()
            .with_target_partitions(self.tasks)
            // A partition's files are its own: the tasks that they stand for run side by side.
            .set_bool("datafusion.execution.enable_file_stream_work_stealing", false)
            .with_extension(Arc::new(self.hubs.clone()))
            .with_extension(Arc::new(meter));
        let state = SessionStateBuilder::new()
            .with_default_features()
            .with_config(config)
            .with_runtime_env(Arc::clone(&self.runtime))
            .with_query_planner(Arc::new(QueryPlanner))
            .build();
        Ok(SessionContext::new_with_state(state))
    }

    fn hubs(&self) -> &Hubs {
        &self.hubs
    }

    fn collective(&self) -> &str {
        ""
    }

    async fn most_tasks(&self) -> usize {
        self.tasks
    }

    fn task_memory(&self) -> usize {
        self.memory / self.tasks
    }
}

/// A runtime that reads any archive's store.
///
/// # Errors
/// When the folder for spills cannot be made.
pub fn runtime(builder: RuntimeEnvBuilder) -> Result<Arc<RuntimeEnv>> {
    Ok(builder.with_object_store_registry(Arc::new(Stores)).build_arc()?)
}
