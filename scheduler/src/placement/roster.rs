//! The executors of a cluster, as they were when each last asked for tasks.
//!
//! One that has a free slot asks many times a second, so one that has not asked for a moment is not there. Start at
//! [`Roster::hear`].

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::{Device, Free};

/// How long after its last request an executor counts as one that could take a task.
const PRESENT: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Heard {
    free: usize,
    at: Instant,
}

/// The executors that asked for tasks, by their ids.
#[derive(Debug)]
pub(super) struct Roster {
    executors: BTreeMap<String, Heard>,
    /// When an executor with a GPU last asked.
    gpu: Instant,
}

impl Roster {
    /// A roster of nobody.
    pub(super) fn new(now: Instant) -> Self {
        Self { executors: BTreeMap::new(), gpu: now }
    }

    /// Notes that an executor asks for tasks, for so many slots.
    pub(super) fn hear(&mut self, executor: &str, free: usize, now: Instant) {
        self.executors.retain(|_, heard| now - heard.at < PRESENT);
        self.executors.insert(executor.to_owned(), Heard { free, at: now });
        if Device::of_executor(executor) == Device::Gpu {
            self.gpu = now;
        }
    }

    /// Notes that an executor was given a task.
    pub(super) fn give(&mut self, executor: &str) {
        if let Some(heard) = self.executors.get_mut(executor) {
            heard.free = heard.free.saturating_sub(1);
        }
    }

    /// The executors that can take tasks, in the order of their ids.
    pub(super) fn present(&self, now: Instant) -> (Vec<&str>, Vec<Free>) {
        let present = self.executors.iter().filter(|(_, heard)| now - heard.at < PRESENT);
        present
            .map(|(id, heard)| (id.as_str(), Free { slots: heard.free, device: Device::of_executor(id) }))
            .unzip()
    }

    /// How long no executor with a GPU has asked.
    pub(super) fn without_gpu(&self, now: Instant) -> Duration {
        now - self.gpu
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executor_counts_with_what_it_has_left_until_it_is_silent() {
        let start = Instant::now();
        let mut roster = Roster::new(start);
        roster.hear("cpu-1", 2, start);
        roster.hear("gpu-1", 4, start + PRESENT / 2);
        roster.give("cpu-1");
        let slots = |roster: &Roster, now| -> Vec<usize> {
            roster.present(now).1.into_iter().map(|free| free.slots).collect()
        };
        assert_eq!(slots(&roster, start + PRESENT / 2), [1, 4]);
        assert_eq!(slots(&roster, start + PRESENT), [4]);
        roster.hear("gpu-1", 3, start + PRESENT);
        assert_eq!(roster.present(start + PRESENT).0, ["gpu-1"], "a silent executor is forgotten");
        assert_eq!(roster.without_gpu(start + 3 * PRESENT), 2 * PRESENT);
    }
}
