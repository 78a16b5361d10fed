//! The scheduler of Ballista that this process embeds, behind a type without parameters.
//!
//! Ballista's own type has the messages of plans as its parameters. To see that a future which holds one can change
//! threads, the compiler visits some hundred message types that refer to each other, anew for each future, which takes
//! it seconds each. Behind [`Ballista`] it does so once.

use std::{collections::HashMap, sync::Arc};

use ballista_core::{
    JobId,
    error::Result as BallistaResult,
    serde::protobuf::{
        CancelJobParams, CancelJobResult, ExecutorStoppedParams, ExecutorStoppedResult, JobStatus,
        scheduler_grpc_server::SchedulerGrpc,
    },
};
use ballista_scheduler::{
    scheduler_server::SchedulerServer,
    state::{executor_manager::ExecutorManager, task_manager::JobInfoCache},
};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use futures::future::BoxFuture;
use tonic::{Request, Response, Status};

/// Ballista's scheduler, with DataFusion's plans.
pub(crate) type Server = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

/// What this process asks of Ballista's scheduler. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ballista(Arc<dyn Scheduler>);

trait Scheduler: Send + Sync {
    fn executors(&self) -> &ExecutorManager;

    fn running(&self) -> Arc<HashMap<JobId, JobInfoCache>>;

    fn pending(&self) -> usize;

    fn cancel(&self, query: JobId) -> BoxFuture<'_, Result<Response<CancelJobResult>, Status>>;

    fn lose(&self, executor: String) -> BoxFuture<'_, Result<Response<ExecutorStoppedResult>, Status>>;

    fn status<'a>(&'a self, query: &'a JobId) -> BoxFuture<'a, BallistaResult<Option<JobStatus>>>;
}

impl Scheduler for Server {
    fn executors(&self) -> &ExecutorManager {
        &self.state.executor_manager
    }

    fn running(&self) -> Arc<HashMap<JobId, JobInfoCache>> {
        self.state.task_manager.get_running_job_cache()
    }

    fn pending(&self) -> usize {
        self.pending_job_number()
    }

    /// By the service's method, whose future comes boxed.
    fn cancel(&self, query: JobId) -> BoxFuture<'_, Result<Response<CancelJobResult>, Status>> {
        SchedulerGrpc::cancel_job(self, Request::new(CancelJobParams { job_id: query.into_inner() }))
    }

    fn lose(&self, executor_id: String) -> BoxFuture<'_, Result<Response<ExecutorStoppedResult>, Status>> {
        let reason = "it gave no sign of life".to_owned();
        SchedulerGrpc::executor_stopped(self, Request::new(ExecutorStoppedParams { executor_id, reason }))
    }

    fn status<'a>(&'a self, query: &'a JobId) -> BoxFuture<'a, BallistaResult<Option<JobStatus>>> {
        Box::pin(self.state.task_manager.get_job_status(query))
    }
}

impl Ballista {
    pub(crate) fn new(server: Server) -> Self {
        Self(Arc::new(server))
    }

    /// The executors.
    pub(crate) fn executors(&self) -> &ExecutorManager {
        self.0.executors()
    }

    /// The queries that run.
    pub(crate) fn running(&self) -> Arc<HashMap<JobId, JobInfoCache>> {
        self.0.running()
    }

    /// How many queries are being planned.
    pub(crate) fn pending(&self) -> usize {
        self.0.pending()
    }

    /// Cancels a query.
    ///
    /// # Errors
    /// When the scheduler takes no more events.
    pub(crate) async fn cancel(&self, query: JobId) -> Result<(), Status> {
        self.0.cancel(query).await.map(drop)
    }

    /// Forgets an executor that is lost: its tasks run elsewhere.
    ///
    /// # Errors
    /// When the scheduler takes no more events.
    pub(crate) async fn lose(&self, executor: &str) -> Result<(), Status> {
        self.0.lose(executor.to_owned()).await.map(drop)
    }

    /// Where a query stands; `None` for one that is not known, or not any more.
    ///
    /// # Errors
    /// Those of the scheduler's state.
    pub(crate) async fn status(&self, query: &str) -> BallistaResult<Option<JobStatus>> {
        self.0.status(&JobId::from(query.to_owned())).await
    }
}
