//! Which plans Ballista's scheduler takes.
//!
//! Ballista runs every plan that its port is sent, and a plan can read and write all that the executors can. The queries
//! of this process's own driver show a secret that never leaves the machine; from anybody else only plans are taken that
//! read tables of the archive ([`sql::check`]). Requests for tasks wait for work ([`Polls`]); all other calls are passed on as
//! they come.
//!
//! What is absent: who may ask at all. Start at [`Gate::admit`].

use std::sync::Arc;

use ballista_core::serde::protobuf::{
    CancelJobParams, CancelJobResult, CleanJobDataParams, CleanJobDataResult, CreateUpdateSessionParams,
    CreateUpdateSessionResult, ExecuteQueryParams, ExecuteQueryResult, ExecutorStoppedParams,
    ExecutorStoppedResult, GetJobMetricsParams, GetJobMetricsResult, GetJobStatusParams, GetJobStatusResult,
    HeartBeatParams, HeartBeatResult, PollWorkParams, PollWorkResult, RegisterExecutorParams,
    RegisterExecutorResult, RemoveSessionParams, RemoveSessionResult, UpdateTaskStatusParams,
    UpdateTaskStatusResult, execute_query_params::Query, scheduler_grpc_server::SchedulerGrpc,
};
use datafusion::execution::TaskContext;
use datafusion_proto::{logical_plan::AsLogicalPlan, protobuf::LogicalPlanNode};
use tidewaiter_archive::{Archive, sql};
use tidewaiter_core::{Error, Result as CoreResult};
use tidewaiter_executor::{codec::LogicalCodec, session::SECRET};
use tonic::{Request, Response, Status, metadata::MetadataMap};

use crate::{polls::Polls, traced::Traced};

/// Ballista's scheduler behind a check of plans.
pub(crate) struct Gate<S> {
    inner: S,
    rules: Rules,
    polls: Polls,
    traced: Traced,
}

/// What the check goes by.
pub(crate) struct Rules {
    /// The archive whose tables a plan may read.
    pub(crate) archive: Archive,
    /// What the driver shows.
    pub(crate) secret: String,
    /// How plans are written.
    pub(crate) codec: LogicalCodec,
    /// The functions that plans may name.
    pub(crate) context: Arc<TaskContext>,
}

impl<S> Gate<S> {
    pub(crate) fn new(inner: S, rules: Rules, polls: Polls, traced: Traced) -> Self {
        Self { inner, rules, polls, traced }
    }
}

impl Rules {
    /// Lets in the driver's plans, and of others those that only read the archive's tables.
    ///
    /// # Errors
    /// [`tonic::Code::PermissionDenied`] for any other plan.
    fn admit(&self, metadata: &MetadataMap, query: Option<&Query>) -> Result<(), Status> {
        if metadata.get(SECRET).is_some_and(|shown| shown.as_bytes() == self.secret.as_bytes()) {
            return Ok(());
        }
        self.check(query).map_err(|refused| {
            tracing::warn!(reason = refused.chain(), "a plan from outside is refused");
            Status::permission_denied(refused.chain())
        })
    }

    fn check(&self, query: Option<&Query>) -> CoreResult<()> {
        match query {
            Some(Query::LogicalPlan(bytes)) => {
                let plan = LogicalPlanNode::try_decode(bytes)?;
                let plan = plan.try_into_logical_plan(&self.context, &self.codec)?;
                sql::check(&plan, &self.archive)
            }
            Some(Query::PhysicalPlan(_) | Query::SubstraitPlan(_)) | None => {
                Err(Error::input("only logical plans are taken"))
            }
        }
    }
}

#[tonic::async_trait]
impl<S: SchedulerGrpc> SchedulerGrpc for Gate<S> {
    type ExecuteQueryPushStream = S::ExecuteQueryPushStream;

    async fn execute_query_push(
        &self,
        request: Request<ExecuteQueryParams>,
    ) -> Result<Response<Self::ExecuteQueryPushStream>, Status> {
        self.rules.admit(request.metadata(), request.get_ref().query.as_ref())?;
        self.inner.execute_query_push(request).await
    }

    async fn execute_query(
        &self,
        request: Request<ExecuteQueryParams>,
    ) -> Result<Response<ExecuteQueryResult>, Status> {
        self.rules.admit(request.metadata(), request.get_ref().query.as_ref())?;
        self.inner.execute_query(request).await
    }

    async fn poll_work(&self, request: Request<PollWorkParams>) -> Result<Response<PollWorkResult>, Status> {
        let PollWorkParams { metadata, task_status, .. } = request.get_ref();
        let executor = metadata.as_ref().map_or("", |executor| executor.id.as_str());
        self.traced.hear(executor, task_status).await;
        self.polls.answer(&self.inner, request).await
    }

    async fn register_executor(
        &self,
        request: Request<RegisterExecutorParams>,
    ) -> Result<Response<RegisterExecutorResult>, Status> {
        self.inner.register_executor(request).await
    }

    async fn heart_beat_from_executor(
        &self,
        request: Request<HeartBeatParams>,
    ) -> Result<Response<HeartBeatResult>, Status> {
        self.inner.heart_beat_from_executor(request).await
    }

    async fn update_task_status(
        &self,
        request: Request<UpdateTaskStatusParams>,
    ) -> Result<Response<UpdateTaskStatusResult>, Status> {
        self.inner.update_task_status(request).await
    }

    async fn create_update_session(
        &self,
        request: Request<CreateUpdateSessionParams>,
    ) -> Result<Response<CreateUpdateSessionResult>, Status> {
        self.inner.create_update_session(request).await
    }

    async fn remove_session(
        &self,
        request: Request<RemoveSessionParams>,
    ) -> Result<Response<RemoveSessionResult>, Status> {
        self.inner.remove_session(request).await
    }

    async fn get_job_status(
        &self,
        request: Request<GetJobStatusParams>,
    ) -> Result<Response<GetJobStatusResult>, Status> {
        self.inner.get_job_status(request).await
    }

    async fn get_job_metrics(
        &self,
        request: Request<GetJobMetricsParams>,
    ) -> Result<Response<GetJobMetricsResult>, Status> {
        self.inner.get_job_metrics(request).await
    }

    async fn executor_stopped(
        &self,
        request: Request<ExecutorStoppedParams>,
    ) -> Result<Response<ExecutorStoppedResult>, Status> {
        self.inner.executor_stopped(request).await
    }

    async fn cancel_job(
        &self,
        request: Request<CancelJobParams>,
    ) -> Result<Response<CancelJobResult>, Status> {
        self.inner.cancel_job(request).await
    }

    async fn clean_job_data(
        &self,
        request: Request<CleanJobDataParams>,
    ) -> Result<Response<CleanJobDataResult>, Status> {
        self.inner.clean_job_data(request).await
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;
    use tidewaiter_archive::write_operator::WriteOperator;
    use tidewaiter_core::{
        plan,
        query::{Plan as _, Run as _},
    };
    use tidewaiter_job::Catalogue;
    use tidewaiter_proto::v1;
    use tonic::Code;

    use super::*;

    const ARCHIVE: &str = "memory://gate/archive";

    fn rules() -> Rules {
        Rules {
            archive: Archive::open(ARCHIVE).expect("opens"),
            secret: "secret".to_owned(),
            codec: LogicalCodec::new(Catalogue::new(&[])),
            context: SessionContext::new().task_ctx(),
        }
    }

    fn metadata(secret: Option<&str>) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        if let Some(secret) = secret {
            metadata.insert(SECRET, secret.parse().expect("a value"));
        }
        metadata
    }

    fn message(frame: datafusion::dataframe::DataFrame) -> Query {
        let codec = LogicalCodec::new(Catalogue::new(&[]));
        let plan = LogicalPlanNode::try_from_logical_plan(frame.logical_plan(), &codec).expect("encodes");
        let mut bytes = Vec::new();
        plan.try_encode(&mut bytes).expect("encodes");
        Query::LogicalPlan(bytes)
    }

    /// Plans that harm: one that copies to a file, one that reads a file, and one with a node that writes an archive.
    async fn harmful(folder: &std::path::Path) -> Vec<(&'static str, Query)> {
        let session = SessionContext::new();
        let (file, out) = (folder.join("secret.csv"), folder.join("out"));
        std::fs::write(&file, "a,b\n1,2\n").expect("written");
        let external = format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{}'", file.display());
        session.query(&external).await.expect("plans").batches().await.expect("runs");
        let values = || session.query("VALUES (1)");
        let copy = session
            .state()
            .create_logical_plan(&format!("COPY t TO '{}' STORED AS CSV", out.display()))
            .await;
        let copy = datafusion::dataframe::DataFrame::new(session.state(), copy.expect("plans"));
        let writes = WriteOperator::new(v1::WriteOperator {
            archive: format!("file://{}", folder.display()),
            table: "t".to_owned(),
            ..v1::WriteOperator::default()
        });
        let writes =
            plan::apply(values().await.expect("plans"), writes.expect("an operator")).expect("plans");
        vec![
            ("COPY", message(copy)),
            ("t, which is not a table", message(session.whole_table("t").await.expect("is there"))),
            ("WriteExec", message(writes)),
            ("only logical plans", Query::PhysicalPlan(Vec::new())),
        ]
    }

    #[tokio::test]
    async fn plans_from_outside_that_do_more_than_read_the_archive_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        for (what, query) in harmful(folder.path()).await {
            for shown in [None, Some("guess"), Some("")] {
                let refused = rules().admit(&metadata(shown), Some(&query)).expect_err(what);
                assert_eq!(refused.code(), Code::PermissionDenied, "{what}");
                assert!(refused.message().contains(what), "{what}: {}", refused.message());
            }
            rules().admit(&metadata(Some("secret")), Some(&query)).expect("the driver's own");
        }
        rules().admit(&metadata(None), None).expect_err("no plan at all");
    }

    #[tokio::test]
    async fn a_query_from_outside_that_reads_nothing_else_is_taken() {
        let frame = SessionContext::new().query("SELECT 1 UNION ALL SELECT 2").await.expect("plans");
        rules().admit(&metadata(None), Some(&message(frame))).expect("taken");
    }
}
