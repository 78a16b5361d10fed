//! The thin shell around [`place`]: reads Ballista's running stages and free slots, and binds what the
//! decision says.

use std::{collections::HashMap, sync::Arc};

use ballista_core::{
    JobId,
    config::BallistaConfig,
    execution_plans::{RangeShuffleReaderExec, ShuffleReaderExec},
    serde::{
        protobuf::{AvailableVcores, job_status},
        scheduler::TaskKey,
    },
};
use ballista_scheduler::{
    cluster::{BoundTask, DistributionPolicy},
    state::{
        execution_graph::{TaskDescription, create_task_info},
        execution_stage::RunningStage,
        task_manager::JobInfoCache,
    },
};
use datafusion::physical_plan::ExecutionPlan;

use super::{Device, Free, Pending, Task, place};

/// Says which device a stage's plan asks for.
pub type StageNeeds = fn(&Arc<dyn ExecutionPlan>) -> Device;

/// Ballista's task distribution by [`place`].
#[derive(Debug, Clone, Copy)]
pub struct DevicePlacement {
    needs: StageNeeds,
}

impl DevicePlacement {
    /// Placement by what `needs` says of each stage's plan.
    pub fn new(needs: StageNeeds) -> Self {
        Self { needs }
    }
}

#[async_trait::async_trait]
impl DistributionPolicy for DevicePlacement {
    async fn bind_tasks(
        &self,
        mut budgets: Vec<&mut AvailableVcores>,
        running_jobs: Arc<HashMap<JobId, JobInfoCache>>,
    ) -> datafusion::error::Result<Vec<BoundTask>> {
        let mut bound = Vec::new();
        // The order of a hash map is not the order of anything: go by the jobs' ids.
        let mut jobs: Vec<_> = running_jobs.iter().collect();
        jobs.sort_by_key(|(id, _)| id.to_string());
        for (job, info) in jobs {
            if !matches!(info.status, Some(job_status::Status::Running(_))) {
                continue;
            }
            let mut graph = info.execution_graph.write().await;
            let session = graph.session_id().to_string();
            let mut seen = Vec::new();
            while let Some(stage) = graph.fetch_running_stage(&seen) {
                seen.push(stage.stage_id);
                let free: Vec<Free> = budgets.iter().map(|budget| free(budget)).collect();
                for task in place(&[pending(stage, self.needs)], &free) {
                    bound.extend(bind(stage, &session, job, budgets[task.executor], task));
                }
            }
        }
        Ok(bound)
    }

    fn name(&self) -> &str {
        "device placement"
    }
}

fn free(budget: &AvailableVcores) -> Free {
    Free { slots: budget.vcores as usize, device: Device::of_executor(&budget.executor_id) }
}

fn pending(stage: &RunningStage, needs: StageNeeds) -> Pending {
    let per_task = stage
        .session_config
        .options()
        .extensions
        .get::<BallistaConfig>()
        .map_or(0, BallistaConfig::max_partitions_per_task);
    Pending {
        partitions: stage.pending.remaining(),
        needs: needs(&stage.plan),
        as_one: collapses_its_input(&stage.plan),
        per_task,
    }
}

/// Takes the task's partitions from the stage, notes the task there and debits the executor's slots.
fn bind(
    stage: &mut RunningStage,
    session: &str,
    job: &JobId,
    budget: &mut AvailableVcores,
    task: Task,
) -> Option<BoundTask> {
    let partitions = stage.pending.next_slice(task.partitions);
    let attempt = partitions.iter().map(|partition| stage.task_failure_numbers[*partition]).max()?;
    let task_id = stage.task_infos.len();
    let slots = u32::try_from(task.slots).unwrap_or(u32::MAX);
    let mut info = create_task_info(budget.executor_id.clone(), task_id);
    info.global_input_partition_ids.clone_from(&partitions);
    info.vcores_consumed = slots;
    stage.task_infos.push(info);
    budget.vcores = budget.vcores.saturating_sub(slots);
    let description = TaskDescription {
        session_id: session.to_owned(),
        key: TaskKey { job_id: job.clone(), stage_id: stage.stage_id, task_id },
        stage_attempt_num: stage.stage_attempt_num,
        task_attempt: attempt,
        global_input_partition_ids: partitions,
        vcores_consumed: slots,
        plan: Arc::clone(&stage.plan),
        session_config: Arc::clone(&stage.session_config),
    };
    Some((budget.executor_id.clone(), description))
}

/// Whether all of a stage's partitions must be one task: somewhere above its shuffle inputs the plan has
/// one partition, so a split would give partial results that nothing merges.
fn collapses_its_input(root: &Arc<dyn ExecutionPlan>) -> bool {
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
