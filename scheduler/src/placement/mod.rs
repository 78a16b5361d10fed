//! Which executor runs which of a stage's partitions: GPU stages on executors that have one.
//!
//! [`place`] is the decision, a pure function from what is pending and what is free to who takes what. Its
//! properties, each held by a test:
//!
//! - a stage that needs a GPU goes to executors that have one, and nowhere else;
//! - other stages go to executors without a GPU while those have room, and to others only when nothing waits for a
//!   GPU, so that GPUs stay free;
//! - no executor is given more tasks than it has free slots, no stage more partitions than it has pending;
//! - nothing that could run is left while a suitable slot is free;
//! - a task has one partition and one slot, or, where all partitions must run as one, all of them.
//!
//! An executor asks for tasks when it has a free slot, and is answered with what falls to it when all executors are
//! considered: [`Roster`](roster::Roster) knows the others by their last requests.

mod policy;
mod roster;

pub(crate) use policy::collapses_its_input;
pub use policy::{DevicePlacement, StageNeeds};

use std::fmt;

/// What an executor has; it is carried in the executor's id, because Ballista's executors have no labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Device {
    /// Processor cores only.
    Cpu,
    /// At least one CUDA device.
    Gpu,
}

impl Device {
    /// The class that an executor's id declares (`gpu-…`, `cpu-…`); one that declares none has no GPU.
    pub fn of_executor(id: &str) -> Self {
        if id.starts_with("gpu-") { Self::Gpu } else { Self::Cpu }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
        })
    }
}

/// A stage with partitions that wait for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Partitions that wait.
    pub partitions: usize,
    /// The device that its plan asks for.
    pub needs: Device,
    /// All partitions make one task (the stage collapses its input).
    pub as_one: bool,
}

/// An executor with free slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    /// Slots that are free.
    pub slots: usize,
    /// What it has.
    pub device: Device,
}

/// One task: partitions of a stage on one slot of an executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// Index of the stage in the problem.
    pub stage: usize,
    /// Index of the executor in the problem.
    pub executor: usize,
    /// Partitions it takes.
    pub partitions: usize,
}

/// Places stages, in their order, on executors.
pub fn place(stages: &[Pending], executors: &[Free]) -> Vec<Task> {
    let mut free: Vec<usize> = executors.iter().map(|executor| executor.slots).collect();
    let mut tasks = Vec::new();
    // Stages that only a GPU can serve choose before those that could go elsewhere.
    let gpu_first = (0..stages.len()).filter(|stage| stages[*stage].needs == Device::Gpu);
    let others = (0..stages.len()).filter(|stage| stages[*stage].needs == Device::Cpu);
    for stage in gpu_first.chain(others) {
        let pending = stages[stage];
        let mut left = pending.partitions;
        while left > 0 {
            let Some(executor) = best_executor(pending.needs, executors, &free) else { break };
            let partitions = if pending.as_one { left } else { 1 };
            free[executor] -= 1;
            left -= partitions;
            tasks.push(Task { stage, executor, partitions });
        }
    }
    tasks
}

/// The suitable executor with most free slots, one without a GPU before one with, the first of equals.
fn best_executor(needs: Device, executors: &[Free], free: &[usize]) -> Option<usize> {
    (0..executors.len())
        .filter(|index| free[*index] > 0)
        .filter(|index| needs == Device::Cpu || executors[*index].device == Device::Gpu)
        .max_by_key(|index| {
            let spares_a_gpu = executors[*index].device == Device::Cpu;
            (spares_a_gpu, free[*index], usize::MAX - *index)
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn device() -> impl Strategy<Value = Device> {
        prop_oneof![Just(Device::Cpu), Just(Device::Gpu)]
    }

    fn stage() -> impl Strategy<Value = Pending> {
        (0usize..10, device(), any::<bool>()).prop_map(|(partitions, needs, as_one)| Pending {
            partitions,
            needs,
            as_one,
        })
    }

    fn executor() -> impl Strategy<Value = Free> {
        (0usize..5, device()).prop_map(|(slots, device)| Free { slots, device })
    }

    proptest! {
        #[test]
        fn placement_keeps_its_properties(
            stages in prop::collection::vec(stage(), 0..6),
            executors in prop::collection::vec(executor(), 0..6),
        ) {
            let tasks = place(&stages, &executors);
            let used = |executor: usize| -> usize {
                tasks.iter().filter(|task| task.executor == executor).count()
            };
            for (index, executor) in executors.iter().enumerate() {
                prop_assert!(used(index) <= executor.slots);
            }
            for (index, stage) in stages.iter().enumerate() {
                let mine: Vec<_> = tasks.iter().filter(|task| task.stage == index).collect();
                let given: usize = mine.iter().map(|task| task.partitions).sum();
                prop_assert!(given <= stage.partitions);
                prop_assert!(mine.iter().all(|task| task.partitions > 0));
                if stage.needs == Device::Gpu {
                    prop_assert!(mine.iter().all(|task| executors[task.executor].device == Device::Gpu));
                }
                if stage.as_one {
                    prop_assert!(mine.is_empty() || (mine.len() == 1 && given == stage.partitions));
                } else {
                    prop_assert!(mine.iter().all(|task| task.partitions == 1));
                }
                if given < stage.partitions {
                    let suitable_and_free = executors.iter().enumerate().any(|(index, executor)| {
                        used(index) < executor.slots
                            && (stage.needs == Device::Cpu || executor.device == Device::Gpu)
                    });
                    prop_assert!(!suitable_and_free, "a slot is free that stage {} could use", index);
                }
            }
        }
    }

    fn on_gpus(tasks: &[Task], executors: &[Free]) -> usize {
        tasks.iter().filter(|task| executors[task.executor].device == Device::Gpu).count()
    }

    #[test]
    fn processor_work_leaves_the_gpu_free() {
        let executors = [Free { slots: 4, device: Device::Gpu }, Free { slots: 8, device: Device::Cpu }];
        let work = |partitions| Pending { partitions, needs: Device::Cpu, as_one: false };
        let tasks = place(&[work(8)], &executors);
        assert_eq!((tasks.len(), on_gpus(&tasks, &executors)), (8, 0));
        // What has no room elsewhere may use a GPU's slots.
        let tasks = place(&[work(10)], &executors);
        assert_eq!((tasks.len(), on_gpus(&tasks, &executors)), (10, 2));
        // Not while something waits for them.
        let waits = Pending { partitions: 4, needs: Device::Gpu, as_one: false };
        let tasks = place(&[work(10), waits], &executors);
        assert_eq!((tasks.len(), on_gpus(&tasks, &executors)), (12, 4));
        assert!(tasks.iter().all(|task| (task.executor == 0) == (task.stage == 1)));
    }

    #[test]
    fn work_is_spread_over_the_executors() {
        let executors = [Free { slots: 4, device: Device::Cpu }; 2];
        let work = [Pending { partitions: 4, needs: Device::Cpu, as_one: false }];
        let tasks = place(&work, &executors);
        let first = tasks.iter().filter(|task| task.executor == 0).count();
        assert_eq!((tasks.len(), first), (4, 2));
    }
}
