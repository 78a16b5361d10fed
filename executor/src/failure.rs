//! How the error of a task, or of a plan that cannot be read, reaches the driver.
//!
//! Ballista hands an error back as text, wrapped and quoted. So that kind, message and remedy are the same as in one
//! process, an error becomes one of ours where it leaves a process ([`as_text`]) and carries kind and message in that
//! text ([`Error::encode`]); whoever turns the engine's error into ours reads them again. What can be retried stays an
//! IO error, the only kind that Ballista retries; what Ballista must see itself, such as a lost shuffle file, passes
//! unchanged. Start at [`as_text`].

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use ballista_core::{
    error::BallistaError,
    serde::protobuf::{RuntimeStatsReport, ShuffleWritePartition, TaskColumnStats, WindowStateReport},
};
use ballista_executor::execution_engine::QueryStageExecutor;
use datafusion::{
    catalog::Session,
    error::{DataFusionError, Result},
    execution::{TaskContext, context::QueryPlanner},
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, metrics::MetricsSet},
};
use tidewaiter_core::{Error, ErrorKind};

/// An error for a place from which it goes on as text.
pub fn as_text(error: Error) -> DataFusionError {
    let text = error.encode();
    match error.kind() {
        ErrorKind::Unavailable => DataFusionError::IoError(std::io::Error::other(text)),
        _ => DataFusionError::Execution(text),
    }
}

/// The error of a task as Ballista shall report it.
pub(crate) fn of_task(error: DataFusionError) -> DataFusionError {
    match ours(&error) {
        Some(ours) => as_text(ours),
        None => error,
    }
}

/// A task's error as one of ours; `None` for one that Ballista means for itself, such as a lost shuffle file.
fn ours(error: &DataFusionError) -> Option<Error> {
    let ballista = match error.find_root() {
        DataFusionError::External(root) => root.downcast_ref::<BallistaError>(),
        _ => None,
    };
    match ballista {
        None => Some(error.into()),
        // What its shuffle writers only carry.
        Some(BallistaError::DataFusionError(carried)) => ours(carried),
        Some(BallistaError::ArrowError(carried)) => Some(Error::from(&**carried)),
        Some(_) => None,
    }
}

/// A planner for a process in which plans of other processes are planned.
#[derive(Debug)]
pub struct Planner<P>(pub P);

#[async_trait]
impl<P: QueryPlanner + fmt::Debug + Send + Sync> QueryPlanner for Planner<P> {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.create_physical_plan(plan, session).await.map_err(|error| as_text(error.into()))
    }
}

/// A task's part of a stage, whose errors are reported by [`of_task`].
#[derive(Debug)]
pub(crate) struct Stage(pub(crate) Arc<dyn QueryStageExecutor>);

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl QueryStageExecutor for Stage {
    async fn execute_query_stage(
        &self,
        task: usize,
        context: Arc<TaskContext>,
    ) -> Result<Vec<ShuffleWritePartition>> {
        self.0.execute_query_stage(task, context).await.map_err(of_task)
    }

    fn collect_plan_metrics(&self) -> Vec<MetricsSet> {
        self.0.collect_plan_metrics()
    }

    fn collect_runtime_stats_reports(&self) -> Vec<RuntimeStatsReport> {
        self.0.collect_runtime_stats_reports()
    }

    fn collect_window_state_reports(&self) -> Result<Vec<WindowStateReport>> {
        self.0.collect_window_state_reports().map_err(of_task)
    }

    fn collect_column_stats(&self) -> Vec<TaskColumnStats> {
        self.0.collect_column_stats()
    }
}

#[cfg(test)]
mod tests {
    use ballista_core::serde::protobuf::{FailedTask, failed_task::FailedReason};

    use super::*;

    /// What Ballista reports of a task that failed so, and what the driver makes of it.
    fn reported(error: DataFusionError) -> (FailedTask, Error) {
        let task = FailedTask::from(BallistaError::from(of_task(error)));
        let stage = format!("Job failed due to stage 1 failed: {}\n", task.error);
        let driver = DataFusionError::Execution(format!("Job aB3 failed: {stage}"));
        (task, driver.into())
    }

    #[test]
    fn kind_and_message_reach_the_driver_and_only_transient_errors_are_retried() {
        for kind in [ErrorKind::Input, ErrorKind::Corrupt, ErrorKind::Internal, ErrorKind::Unavailable] {
            let error = || Error::new(kind, "read \"a\"").with_source(Error::new(kind, "line\n2"));
            let wrapped = DataFusionError::from(error()).context("features");
            let carried = || BallistaError::DataFusionError(Box::new(error().into())).into_datafusion();
            for (error, message) in [
                (DataFusionError::from(error()), error().chain()),
                (wrapped, format!("features: {}", error().chain())),
                (carried(), error().chain()),
                (DataFusionError::Shared(Arc::new(carried())), error().chain()),
            ] {
                let (task, driver) = reported(error);
                assert_eq!((driver.kind(), driver.chain()), (kind, message));
                assert_eq!(task.retryable, kind == ErrorKind::Unavailable, "{}", task.error);
            }
        }
    }

    #[test]
    fn a_lost_shuffle_file_stays_one_for_ballista() {
        let lost = || BallistaError::FetchFailed("cpu-1".into(), 1, 2, "gone".into()).into_datafusion();
        for error in [lost(), lost().context("read the input"), DataFusionError::Shared(Arc::new(lost()))] {
            let (task, driver) = reported(error);
            assert!(
                matches!(task.failed_reason, Some(FailedReason::FetchPartitionError(_))),
                "{}",
                task.error
            );
            assert_eq!(driver.kind(), ErrorKind::Internal, "nobody reads the text while Ballista recovers");
        }
    }
}
