//! What pools on demand are asked for: the jobs of this scheduler, and the tasks for which its other executors have no slot.
//!
//! The need comes from the driver's jobs and their queries' tasks. A job's tasks take the slots of executors outside of the
//! pools first, the oldest job's before others'; those of GPUs and of processors are counted apart.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use tidewaiter_pools::{Look, Queue, Settings, settings::Device as PoolDevice};

use crate::{ballista::Ballista, driver::Driver, placement::Device};

/// The jobs of a scheduler.
pub(crate) struct Demand {
    pub(crate) driver: Driver,
    pub(crate) ballista: Ballista,
    /// Milliseconds since 1970.
    pub(crate) now_ms: fn() -> i64,
}

/// How many tasks that need a GPU the pools can run at once when they are as large as they may be.
pub(crate) fn most_on_gpus(settings: &Settings) -> usize {
    let pools = settings.pools.values().filter(|pool| pool.device == PoolDevice::Gpu);
    pools.map(|pool| pool.most.min(settings.most).saturating_mul(pool.slots)).sum()
}

#[async_trait]
impl Queue for Demand {
    async fn look(&self, pods: &BTreeSet<String>) -> Option<Look> {
        if !self.driver.has_taken_up() {
            return None;
        }
        let mut jobs = self.driver.driven();
        jobs.sort_by(|a, b| (a.submitted_ms, &a.id).cmp(&(b.submitted_ms, &b.id)));
        let executors = self.ballista.executors().get_executors_state().await.unwrap_or_default();
        let (mut processors, mut gpus) = (0, 0);
        for (executor, ..) in &executors {
            let (_, name) = executor.id.split_once('-').unwrap_or(("", &executor.id));
            if pods.contains(name) || self.driver.cluster().executors().said_by(&executor.id).is_silent() {
                continue;
            }
            let slots = match Device::of_executor(&executor.id) {
                Device::Cpu => &mut processors,
                Device::Gpu => &mut gpus,
            };
            *slots += executor.specification.vcores as usize;
        }
        let known = self.driver.cluster().waiting().tasks();
        let mut tasks = Vec::new();
        for job in &jobs {
            let Some(of_job) = known.get(&job.id) else { continue };
            let of_processors = (of_job.running + of_job.waiting).saturating_sub(of_job.of_gpu);
            for (device, wanted, free) in [
                (PoolDevice::Cpu, of_processors, &mut processors),
                (PoolDevice::Gpu, of_job.of_gpu, &mut gpus),
            ] {
                let taken = wanted.min(*free);
                *free -= taken;
                if wanted > taken {
                    tasks.push((job.id.clone(), device, wanted - taken));
                }
            }
        }
        Some(Look { live: jobs.into_iter().map(|job| job.id).collect(), tasks })
    }

    fn explain(&self, notes: BTreeMap<String, String>) {
        self.driver.cluster().waiting().explain(notes);
    }

    fn now_ms(&self) -> i64 {
        (self.now_ms)()
    }
}
