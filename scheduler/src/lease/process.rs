//! A process, as others of the same machine know whether it has ended.
//!
//! Linux tells it below `/proc`: the machine's current start, the space of process numbers (a container has its own),
//! and when a process was started, since its number is given again. Elsewhere nothing is known.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

/// A process of some machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    /// Its number.
    pub(super) number: u32,
    /// The machine's start and its space of process numbers; empty where they are not known.
    machine: String,
    /// When it was started, in the machine's own units.
    started: u64,
}

/// What is known of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It exists, and may stand still.
    Alive,
    /// There is no such process.
    Ended,
    /// It is one of another machine.
    Unknown,
}

impl Process {
    /// This process.
    pub(super) fn own() -> Self {
        let number = std::process::id();
        let started = started(number).unwrap_or_default();
        Self { number, machine: machine().unwrap_or_default(), started }
    }

    /// Whether it exists.
    pub(super) fn sign(&self) -> Sign {
        if self.machine.is_empty() || machine().is_none_or(|machine| machine != self.machine) {
            return Sign::Unknown;
        }
        match started(self.number) {
            Some(started) if started == self.started => Sign::Alive,
            _ => Sign::Ended,
        }
    }
}

#[cfg(test)]
impl Process {
    /// A process of this machine that exists no more.
    pub(super) fn of_an_ended_one(self) -> Self {
        Self { started: self.started + 1, ..self }
    }
}

fn machine() -> Option<String> {
    let start = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let numbers = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", start.trim(), numbers.display()))
}

/// When a process was started; `None` where there is none of the number, or it has ended and nobody has asked how.
fn started(number: u32) -> Option<u64> {
    let status = fs::read_to_string(Path::new("/proc").join(number.to_string()).join("stat")).ok()?;
    // The name may have spaces; what follows it does not.
    let mut fields = status.rsplit(')').next()?.split_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(started)
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_this_machine_is_known_to_live_or_to_have_ended() {
        let own = Process::own();
        assert_eq!(own.sign(), Sign::Alive);
        let mut child = std::process::Command::new("true").spawn().expect("starts");
        let other = Process { number: child.id(), ..own.clone() };
        child.wait().expect("ends");
        assert_eq!(other.sign(), Sign::Ended);
        assert_eq!(own.clone().of_an_ended_one().sign(), Sign::Ended, "a number is given again");
        assert_eq!(Process { machine: "another".to_owned(), ..own }.sign(), Sign::Unknown);
    }
}
