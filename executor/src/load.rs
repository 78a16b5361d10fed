//! What an executor works on: its tasks under way, the memory that they have reserved, and what its tasks have done.
//!
//! [`Load::counted`] wraps a task. A task counts as done, failed, or stopped where nobody waits for it any more.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use ballista_core::serde::protobuf::{
    RuntimeStatsReport, ShuffleWritePartition, TaskColumnStats, WindowStateReport,
};
use ballista_executor::execution_engine::QueryStageExecutor;
use datafusion::{
    error::Result,
    execution::{TaskContext, memory_pool::MemoryPool},
    physical_plan::{ExecutionPlan, metrics::MetricsSet},
};
use tidewaiter_metrics::families::{BYTES_WRITTEN, ROWS_READ, ROWS_WRITTEN, TASK_SECONDS, TASKS};
use tokio::time::Instant;

use crate::rows::read;

/// The tasks under way. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Load(Arc<Mutex<Tasks>>);

#[derive(Default)]
struct Tasks {
    begun: u64,
    /// The memory of each task under way, by its number.
    pools: Vec<(u64, Arc<dyn MemoryPool>)>,
}

impl Load {
    /// A task that is counted.
    pub(crate) fn counted(
        &self,
        task: Arc<dyn QueryStageExecutor>,
        plan: Arc<dyn ExecutionPlan>,
    ) -> Arc<dyn QueryStageExecutor> {
        Arc::new(Counted { task, plan, load: self.clone() })
    }

    /// How many tasks are under way.
    pub(crate) fn running(&self) -> usize {
        self.tasks().pools.len()
    }

    /// Bytes that they have reserved for sorts and buffers.
    pub(crate) fn reserved(&self) -> usize {
        let tasks = self.tasks();
        // Where the executor was given no memory of its own, its tasks have one pool in common.
        let first = |at: usize, pool: &Arc<dyn MemoryPool>| {
            tasks.pools[..at].iter().all(|(_, other)| !Arc::ptr_eq(other, pool))
        };
        let pools = tasks.pools.iter().enumerate().filter(|(at, (_, pool))| first(*at, pool));
        pools.map(|(_, (_, pool))| pool.reserved()).sum()
    }

    fn begin(&self, context: &TaskContext) -> UnderWay {
        let mut tasks = self.tasks();
        tasks.begun += 1;
        let number = tasks.begun;
        tasks.pools.push((number, Arc::clone(context.memory_pool())));
        UnderWay { load: self.clone(), number, begun: Instant::now(), status: "stopped" }
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task under way; when it is dropped, it has ended.
struct UnderWay {
    load: Load,
    number: u64,
    begun: Instant,
    status: &'static str,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        TASKS.add(&[self.status], 1.0);
        TASK_SECONDS.add(&[self.status], self.begun.elapsed().as_secs_f64());
        self.load.tasks().pools.retain(|(number, _)| *number != self.number);
    }
}

/// A task's part of a stage that is counted.
struct Counted {
    task: Arc<dyn QueryStageExecutor>,
    plan: Arc<dyn ExecutionPlan>,
    load: Load,
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.task, f)
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.task, f)
    }
}

#[async_trait]
impl QueryStageExecutor for Counted {
    async fn execute_query_stage(
        &self,
        task: usize,
        context: Arc<TaskContext>,
    ) -> Result<Vec<ShuffleWritePartition>> {
        let mut under_way = self.load.begin(&context);
        let written = self.task.execute_query_stage(task, context).await;
        under_way.status = if written.is_ok() { "done" } else { "failed" };
        ROWS_READ.add(&[], read(self.plan.as_ref(), &self.task.collect_plan_metrics()) as f64);
        for partition in written.iter().flatten() {
            ROWS_WRITTEN.add(&[], partition.num_rows as f64);
            BYTES_WRITTEN.add(&[], partition.num_bytes as f64);
        }
        written
    }

    fn collect_plan_metrics(&self) -> Vec<MetricsSet> {
        self.task.collect_plan_metrics()
    }

    fn collect_runtime_stats_reports(&self) -> Vec<RuntimeStatsReport> {
        self.task.collect_runtime_stats_reports()
    }

    fn collect_window_state_reports(&self) -> Result<Vec<WindowStateReport>> {
        self.task.collect_window_state_reports()
    }

    fn collect_column_stats(&self) -> Vec<TaskColumnStats> {
        self.task.collect_column_stats()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::{
        execution::{
            memory_pool::{GreedyMemoryPool, MemoryConsumer},
            runtime_env::RuntimeEnvBuilder,
        },
        physical_plan::empty::EmptyExec,
        prelude::SessionConfig,
    };

    use super::*;

    /// A task that reserves memory and ends when it is asked to.
    #[derive(Debug)]
    struct Reserves(tokio::sync::Notify);

    impl fmt::Display for Reserves {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("reserves")
        }
    }

    #[async_trait]
    impl QueryStageExecutor for Reserves {
        async fn execute_query_stage(
            &self,
            _: usize,
            context: Arc<TaskContext>,
        ) -> Result<Vec<ShuffleWritePartition>> {
            let reservation = MemoryConsumer::new("test").register(context.memory_pool());
            reservation.try_grow(1000)?;
            self.0.notified().await;
            Ok(Vec::new())
        }

        fn collect_plan_metrics(&self) -> Vec<MetricsSet> {
            Vec::new()
        }
    }

    #[tokio::test]
    async fn a_task_counts_until_it_ends_or_is_stopped() {
        let load = Load::default();
        let plan = Arc::new(EmptyExec::new(Arc::new(datafusion::arrow::datatypes::Schema::empty())));
        let reserves = Arc::new(Reserves(tokio::sync::Notify::new()));
        let task = load.counted(Arc::clone(&reserves) as _, plan);
        let pool = Arc::new(GreedyMemoryPool::new(10_000));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().expect("builds");
        let context = Arc::new(
            TaskContext::default().with_runtime(runtime).with_session_config(SessionConfig::default()),
        );
        let mut first = Box::pin(task.execute_query_stage(0, Arc::clone(&context)));
        let mut second = Box::pin(task.execute_query_stage(1, context));
        assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
        assert_eq!((load.running(), load.reserved()), (2, 2000), "one pool for both");
        drop(second);
        assert_eq!((load.running(), load.reserved()), (1, 1000));
        reserves.0.notify_one();
        first.await.expect("ends");
        assert_eq!((load.running(), load.reserved()), (0, 0));
        assert!(TASKS.value(&["done"]) >= 1.0 && TASKS.value(&["stopped"]) >= 1.0);
    }
}
