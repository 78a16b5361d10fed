//! The thin shell around [`place`]: reads Ballista's running stages and free slots, and binds what the
//! decision says.
//!
//! A poll names one executor. The decision is made for all that are present and all that waits, and the poll is answered
//! with the share of the one that polls; the others come for theirs.

use std::{any::Any, collections::HashMap, sync::Arc, time::Duration};

use ballista_core::{
    JobId,
    execution_plans::{RangeShuffleReaderExec, ShuffleReaderExec},
    serde::{
        protobuf::{AvailableVcores, job_status},
        scheduler::TaskKey,
    },
};
use ballista_scheduler::{
    cluster::{BoundTask, DistributionPolicy},
    state::{
        execution_graph::{ExecutionGraphBox, TaskDescription, create_task_info},
        execution_stage::RunningStage,
        task_manager::JobInfoCache,
    },
};
use datafusion::{
    common::tree_node::{Transformed, TreeNode},
    datasource::{
        physical_plan::{FileScanConfig, FileScanConfigBuilder},
        source::DataSourceExec,
    },
    error::Result,
    physical_plan::ExecutionPlan,
};
use tokio::{
    sync::{Mutex, RwLockWriteGuard},
    time::Instant,
};

use super::{Device, Pending, Task, place, roster::Roster};

/// Says which device a stage's plan asks for.
pub type StageNeeds = fn(&Arc<dyn ExecutionPlan>) -> Device;

/// Ballista's task distribution by [`place`].
#[derive(Debug)]
pub struct DevicePlacement {
    needs: StageNeeds,
    gpu_wait: Duration,
    roster: Mutex<Roster>,
}

impl DevicePlacement {
    /// Placement by what `needs` says of each stage's plan. Stages that need a GPU run on processors when no executor
    /// with a GPU has been heard of for `gpu_wait`.
    pub fn new(needs: StageNeeds, gpu_wait: Duration) -> Self {
        Self { needs, gpu_wait, roster: Mutex::new(Roster::new(Instant::now())) }
    }

    fn pending(&self, stage: &RunningStage, roster: &Roster, now: Instant) -> Pending {
        let needs = granted((self.needs)(&stage.plan), roster.without_gpu(now), self.gpu_wait);
        Pending { partitions: stage.pending.remaining(), needs, as_one: collapses_its_input(&stage.plan) }
    }
}

/// The device on which a stage runs that asks for one: processors, where no GPU was there for as long as it waits.
fn granted(needs: Device, without_gpu: Duration, gpu_wait: Duration) -> Device {
    if without_gpu >= gpu_wait { Device::Cpu } else { needs }
}

/// A running query, while it is decided what of it runs where.
type Graph<'a> = RwLockWriteGuard<'a, ExecutionGraphBox>;

#[async_trait::async_trait]
impl DistributionPolicy for DevicePlacement {
    async fn bind_tasks(
        &self,
        mut budgets: Vec<&mut AvailableVcores>,
        running_jobs: Arc<HashMap<JobId, JobInfoCache>>,
    ) -> Result<Vec<BoundTask>> {
        // One decision at a time: each must see what the one before gave away.
        let mut roster = self.roster.lock().await;
        let now = Instant::now();
        for budget in &budgets {
            roster.hear(&budget.executor_id, budget.vcores as usize, now);
        }
        if budgets.iter().all(|budget| budget.vcores == 0) {
            return Ok(Vec::new());
        }
        let mut graphs = running(&running_jobs).await;
        let mut waiting = Vec::new();
        for (query, graph) in graphs.iter_mut().enumerate() {
            let mut seen = Vec::new();
            while let Some(stage) = graph.fetch_running_stage(&seen) {
                seen.push(stage.stage_id);
                waiting.push((query, stage.stage_id, self.pending(stage, &roster, now)));
            }
        }
        waiting.sort_by_key(|(query, stage, _)| (*query, *stage));
        let pending: Vec<Pending> = waiting.iter().map(|(.., pending)| *pending).collect();
        let (executors, free) = roster.present(now);
        let executors: Vec<String> = executors.into_iter().map(str::to_owned).collect();

        let mut bound = Vec::new();
        for task in place(&pending, &free) {
            let executor = &executors[task.executor];
            // What falls to others they are given when they ask.
            let budget = budgets.iter_mut().find(|budget| budget.executor_id == *executor);
            let Some(budget) = budget else { continue };
            let (query, stage, _) = waiting[task.stage];
            if let Some(task) = bind(&mut graphs[query], stage, executor, task) {
                if (self.needs)(&task.plan) == Device::Gpu && Device::of_executor(executor) == Device::Cpu {
                    let (query, waited) = (task.key.job_id.as_str(), self.gpu_wait);
                    tracing::warn!(query, ?waited, "no executor with a GPU is there: processors do its work");
                }
                budget.vcores = budget.vcores.saturating_sub(1);
                roster.give(executor);
                bound.push((executor.clone(), task));
            }
        }
        Ok(bound)
    }

    fn name(&self) -> &str {
        "device placement"
    }
}

/// The running queries, the oldest first.
async fn running(jobs: &HashMap<JobId, JobInfoCache>) -> Vec<Graph<'_>> {
    // Locked in one order, whoever asks.
    let mut jobs: Vec<_> = jobs.iter().collect();
    jobs.sort_by_key(|(id, _)| id.as_str());
    let mut graphs = Vec::new();
    for (_, info) in jobs {
        if matches!(info.status, Some(job_status::Status::Running(_))) {
            graphs.push(info.execution_graph.write().await);
        }
    }
    graphs.sort_by_key(|graph| graph.start_time());
    graphs
}

/// Takes the task's partitions from the stage and notes the task there.
fn bind(graph: &mut Graph<'_>, stage: usize, executor: &str, task: Task) -> Option<TaskDescription> {
    let (query, session) = (graph.job_id().clone(), graph.session_id().to_owned());
    let others: Vec<usize> = graph.stages().keys().copied().filter(|other| *other != stage).collect();
    let stage = graph.fetch_running_stage(&others)?;
    let partitions = stage.pending.next_slice(task.partitions);
    let attempt = partitions.iter().map(|partition| stage.task_failure_numbers[*partition]).max()?;
    let task_id = stage.task_infos.len();
    let mut info = create_task_info(executor.to_owned(), task_id);
    info.global_input_partition_ids.clone_from(&partitions);
    info.vcores_consumed = 1;
    stage.task_infos.push(info);
    Some(TaskDescription {
        session_id: session,
        key: TaskKey { job_id: query, stage_id: stage.stage_id, task_id },
        stage_attempt_num: stage.stage_attempt_num,
        task_attempt: attempt,
        global_input_partition_ids: partitions,
        vcores_consumed: 1,
        // A plan that cannot be rewritten is still right.
        plan: without_declared_partitions(&stage.plan).unwrap_or_else(|_| Arc::clone(&stage.plan)),
        session_config: Arc::clone(&stage.session_config),
    })
}

/// A stage's plan, whose scans do not declare how many partitions they have. The declaration keeps the optimizer from
/// dividing the files anew, which is over; a task's slice of a scan has fewer partitions than the scan.
fn without_declared_partitions(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = Arc::clone(plan).transform_down(|node| {
        let scan = node.downcast_ref::<DataSourceExec>();
        let scan =
            scan.and_then(|scan| (scan.data_source().as_ref() as &dyn Any).downcast_ref::<FileScanConfig>());
        Ok(match scan {
            Some(scan) if scan.output_partitioning.is_some() => {
                let scan = FileScanConfigBuilder::from(scan.clone()).with_output_partitioning(None);
                Transformed::yes(DataSourceExec::from_data_source(scan.build()) as Arc<dyn ExecutionPlan>)
            }
            _ => Transformed::no(node),
        })
    })?;
    Ok(plan.data)
}

/// Whether all of a stage's partitions must be one task: somewhere above its shuffle inputs the plan has
/// one partition, so a split would give partial results that nothing merges.
pub(crate) fn collapses_its_input(root: &Arc<dyn ExecutionPlan>) -> bool {
    fn walk(node: &Arc<dyn ExecutionPlan>) -> bool {
        if node.is::<ShuffleReaderExec>() || node.is::<RangeShuffleReaderExec>() {
            return false;
        }
        if node.properties().output_partitioning().partition_count() == 1 {
            return true;
        }
        match node.children().as_slice() {
            [child] => walk(child),
            _ => false,
        }
    }
    match root.children().as_slice() {
        [child] => walk(child),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::Free;

    #[test]
    fn what_needs_a_gpu_waits_for_one_and_then_runs_on_processors() {
        let wait = Duration::from_secs(60);
        let processors = [Free { slots: 2, device: Device::Cpu }];
        let placed = |needs, without_gpu| {
            let needs = granted(needs, without_gpu, wait);
            place(&[Pending { partitions: 2, needs, as_one: false }], &processors).len()
        };
        assert_eq!(placed(Device::Gpu, Duration::from_secs(59)), 0);
        assert_eq!(placed(Device::Gpu, wait), 2);
        assert_eq!(placed(Device::Cpu, Duration::ZERO), 2);
    }
}
