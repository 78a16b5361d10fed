//! What executors say of themselves, compared with what they need.

use tidewaiter_executor::machine::Space;
use tidewaiter_proto::v1::{Finding, Surroundings};

use super::{
    clock, fine,
    machine::{devices, disk, memory},
    version, warning, wrong,
};

/// An executor as its scheduler knows it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// Its id.
    pub executor: String,
    /// Whether its reports are missing.
    pub is_silent: bool,
    /// Bytes for sorts and buffers; 0: seven tenths of its memory.
    pub memory_bytes: u64,
    /// How far its clock is from the scheduler's, in milliseconds.
    pub skew_ms: i64,
    /// What it said last.
    pub surroundings: Option<Surroundings>,
}

/// The findings of all executors.
pub fn executors(known: &[Known]) -> Vec<Finding> {
    if known.is_empty() {
        let remedy = "start one that joins this scheduler (tidewaiter executor), or raise a pool's replicas; jobs wait";
        return vec![warning("executors", "cluster", "none is connected", remedy)];
    }
    let mut findings = vec![fine("executors", "cluster", format!("{} connected", known.len()))];
    findings.extend(known.iter().flat_map(of_executor));
    findings
}

fn of_executor(known: &Known) -> Vec<Finding> {
    let Known { executor, is_silent, memory_bytes, skew_ms, surroundings } = known;
    let mut findings = Vec::new();
    if *is_silent {
        let remedy =
            "look at its process and at the network between: after some seconds its tasks run elsewhere";
        findings.push(wrong("executors", executor, "it gives no sign of life", remedy));
    }
    let Some(surroundings) = surroundings else {
        findings.push(version(executor, ""));
        return findings;
    };
    findings.push(version(executor, &surroundings.version));
    if surroundings.clock_ms > 0 {
        findings.push(clock(executor, *skew_ms));
    }
    findings.push(devices(executor, surroundings));
    findings.push(memory(executor, *memory_bytes, surroundings.memory_limit_bytes));
    if surroundings.disk_bytes > 0 {
        let space = Space { free: surroundings.disk_free_bytes, total: surroundings.disk_bytes };
        findings.push(disk(&format!("{executor}, {}", surroundings.work_folder), space));
    }
    findings
}

#[cfg(test)]
mod tests {
    use tidewaiter_proto::v1::FindingLevel;

    use super::*;

    fn healthy() -> Known {
        let surroundings = Surroundings {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            clock_ms: 1,
            memory_limit_bytes: 10 << 30,
            disk_free_bytes: 50 << 30,
            disk_bytes: 100 << 30,
            ..Surroundings::default()
        };
        Known {
            executor: "cpu-1".to_owned(),
            memory_bytes: 7 << 30,
            surroundings: Some(surroundings),
            ..Known::default()
        }
    }

    /// The checks that found something wrong, of one executor.
    fn wrong_checks(known: Known) -> Vec<String> {
        let findings = executors(&[known]);
        let wrong = findings.into_iter().filter(|finding| finding.level() == FindingLevel::Wrong);
        wrong.inspect(|finding| assert!(!finding.remedy.is_empty())).map(|finding| finding.check).collect()
    }

    #[test]
    fn each_thing_that_is_wrong_is_found_and_nothing_else() {
        assert_eq!(wrong_checks(healthy()), [""; 0]);
        assert_eq!(wrong_checks(Known { is_silent: true, ..healthy() }), ["executors"]);
        assert_eq!(wrong_checks(Known { skew_ms: 90_000, ..healthy() }), ["clock"]);
        assert_eq!(wrong_checks(Known { memory_bytes: 11 << 30, ..healthy() }), ["memory"]);
        assert_eq!(wrong_checks(Known { surroundings: None, ..healthy() }), ["version"]);
        let with = |change: fn(&mut Surroundings)| {
            let mut known = healthy();
            known.surroundings.iter_mut().for_each(change);
            known
        };
        assert_eq!(wrong_checks(with(|it| it.gpus = 1)), ["devices"]);
        assert_eq!(wrong_checks(with(|it| it.disk_free_bytes = 1 << 20)), ["disk"]);
        assert_eq!(wrong_checks(with(|it| it.version = "9.9.9".to_owned())), ["version"]);
        let none = executors(&[]);
        assert_eq!((none.len(), none[0].level()), (1, FindingLevel::Warning));
    }
}
