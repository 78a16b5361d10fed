//! How many rows the tasks of a stage have read, for those who wait for it.
//!
//! A stage reads the rows of its plan's leaves, scans and shuffles. Ballista tells of them when a task has ended
//! ([`read`]); of the tasks that run, [`Rows::note`] keeps the plans, and [`Rows::of_running`] reads their counters.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use ballista_executor::execution_engine::QueryStageExecutor;
use datafusion::physical_plan::{ExecutionPlan, metrics::MetricsSet};
use tidewaiter_proto::v1::StageRows;

/// The rows that the leaves of a stage's plan have given, by the metrics of its nodes as Ballista collects them: each
/// node before its inputs, without those that have none.
pub fn read(plan: &dyn ExecutionPlan, metrics: &[MetricsSet]) -> u64 {
    fn add(plan: &dyn ExecutionPlan, metrics: &mut std::slice::Iter<'_, MetricsSet>, rows: &mut usize) {
        let own = plan.metrics().and_then(|_| metrics.next());
        if plan.children().is_empty() {
            *rows += own.and_then(MetricsSet::output_rows).unwrap_or(0);
        }
        for input in plan.children() {
            add(input.as_ref(), metrics, rows);
        }
    }
    let mut rows = 0;
    add(plan, &mut metrics.iter(), &mut rows);
    rows as u64
}

struct Task {
    query: String,
    stage: u32,
    plan: Arc<dyn ExecutionPlan>,
    running: Weak<dyn QueryStageExecutor>,
}

/// The tasks that an executor runs. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Rows(Arc<Mutex<Vec<Task>>>);

impl Rows {
    /// Notes a task, by the plan whose rows are counted, for as long as it exists.
    pub(crate) fn note(
        &self,
        query: String,
        stage: usize,
        plan: Arc<dyn ExecutionPlan>,
        task: &Arc<dyn QueryStageExecutor>,
    ) {
        let stage = u32::try_from(stage).unwrap_or(u32::MAX);
        let task = Task { query, stage, plan, running: Arc::downgrade(task) };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    /// What each running task has read until now.
    pub(crate) fn of_running(&self) -> Vec<StageRows> {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| task.running.strong_count() > 0);
        let running = tasks.iter().filter_map(|task| {
            let rows = read(task.plan.as_ref(), &task.running.upgrade()?.collect_plan_metrics());
            Some(StageRows { query: task.query.clone(), stage: task.stage, rows })
        });
        running.collect()
    }
}

#[cfg(test)]
mod tests {
    use ballista_core::utils::collect_plan_metrics;
    use datafusion::{physical_plan::collect, prelude::SessionContext};
    use tidewaiter_core::query::{Plan as _, Run as _};

    use super::*;

    #[tokio::test]
    async fn the_rows_of_a_stage_are_those_that_its_leaves_gave() {
        let session = SessionContext::new();
        let numbers = session.query("SELECT * FROM range(0, 1000)").await.expect("plans").into_view();
        session.register_table("numbers", numbers).expect("registers");
        let query = "SELECT count(*) FROM numbers WHERE value % 2 = 0";
        let plan = session.query(query).await.expect("plans").physical_plan().await.expect("plans");
        assert_eq!(read(plan.as_ref(), &collect_plan_metrics(plan.as_ref())), 0);
        collect(Arc::clone(&plan), session.task_ctx()).await.expect("runs");
        let metrics = collect_plan_metrics(plan.as_ref());
        assert_eq!(read(plan.as_ref(), &metrics), 1000);
        assert_eq!(read(plan.as_ref(), &[]), 0, "no task has ended");
    }
}
