//! Whether a machine or container has what a process was told to use.

use std::path::Path;

use tidewaiter_executor::machine::{Space, memory_limit, space};
use tidewaiter_proto::v1::{Finding, Surroundings};

use super::{fine, warning, wrong};

/// Bytes of a disk below which hardly anything can be written.
const FEW: u64 = 1 << 30;

/// What of a disk should be free.
const FREE: f64 = 0.1;

/// What of a machine's memory sorts and buffers may have; the rest is for models, decoded data and code.
const SHARE: f64 = 0.75;

/// The disk on which something is written.
pub fn disk(subject: &str, space: Space) -> Finding {
    let Space { free, total } = space;
    let text = format!("{} of {} are free", gib(free), gib(total));
    let remedy = "free space, or give it a larger disk; what does not fit any more fails";
    match free {
        free if free < FEW.min(total / 2) => wrong("disk", subject, text, remedy),
        free if (free as f64) < total as f64 * FREE => warning("disk", subject, text, remedy),
        _ => fine("disk", subject, text),
    }
}

/// The memory that sorts and buffers may have, beside what the machine or container has.
pub fn memory(subject: &str, reserved: u64, limit: u64) -> Finding {
    let text = match (reserved, limit) {
        (reserved, 0) => {
            format!("sorts and buffers may take {}; the machine's memory is not known", gib(reserved))
        }
        (0, limit) => format!("sorts and buffers may take seven tenths of {}", gib(limit)),
        (reserved, limit) => format!("sorts and buffers may take {} of {}", gib(reserved), gib(limit)),
    };
    let remedy =
        "lower --memory-mib to seven tenths of the memory (the chart does so), or give it more memory";
    match reserved as f64 / limit.max(1) as f64 {
        _ if limit == 0 => fine("memory", subject, text),
        share if share > 1.0 => {
            wrong("memory", subject, format!("{text}: it will be killed before they spill"), remedy)
        }
        share if share > SHARE => {
            warning("memory", subject, format!("{text}: little is left for models and data"), remedy)
        }
        _ => fine("memory", subject, text),
    }
}

/// The NVIDIA devices that a process declares, beside those that are there.
pub fn devices(subject: &str, surroundings: &Surroundings) -> Finding {
    let Surroundings { gpus, gpus_found, cuda, .. } = surroundings;
    let text = format!("{gpus} declared, {gpus_found} found");
    if gpus_found < gpus {
        let remedy = "look whether nvidia-smi lists it there and whether the container was given it; work for a GPU runs on \
                      processors meanwhile";
        return wrong("devices", subject, text, remedy);
    }
    if *gpus > 0 && !cuda {
        let text = format!("{text}; the program was not built for CUDA");
        let remedy = "run the image with -cuda, or a program that was built with the feature cuda";
        return wrong("devices", subject, text, remedy);
    }
    fine("devices", subject, text)
}

/// This process's own machine, for a process that may take `reserved` bytes for sorts and buffers and spills to `folder`.
pub fn own(subject: &str, reserved: u64, folder: &Path) -> Vec<Finding> {
    let mut findings = vec![memory(subject, reserved, memory_limit().unwrap_or(0))];
    findings.extend(space(folder).map(|space| disk(&format!("{subject}, {}", folder.display()), space)));
    findings
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use tidewaiter_proto::v1::FindingLevel;

    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_disk_is_judged_by_what_is_free() {
        for (free, total, level) in
            [(50, 100, FindingLevel::Fine), (9, 100, FindingLevel::Warning), (0, 100, FindingLevel::Wrong)]
        {
            let space = Space { free: free * GIB, total: total * GIB };
            assert_eq!(disk("a", space).level(), level, "{free} of {total}");
        }
        assert_eq!(
            disk("a", Space { free: GIB / 2, total: GIB / 2 }).level(),
            FindingLevel::Fine,
            "a small one"
        );
    }

    #[test]
    fn memory_is_judged_by_what_is_left() {
        for (reserved, limit, level) in [
            (7, 10, FindingLevel::Fine),
            (8, 10, FindingLevel::Warning),
            (11, 10, FindingLevel::Wrong),
            (0, 10, FindingLevel::Fine),
            (7, 0, FindingLevel::Fine),
        ] {
            assert_eq!(memory("a", reserved * GIB, limit * GIB).level(), level, "{reserved} of {limit}");
        }
    }

    #[test]
    fn devices_are_there_and_can_be_used() {
        for (gpus, gpus_found, cuda, level) in [
            (0, 0, false, FindingLevel::Fine),
            (1, 1, true, FindingLevel::Fine),
            (1, 0, true, FindingLevel::Wrong),
            (2, 1, true, FindingLevel::Wrong),
            (1, 1, false, FindingLevel::Wrong),
        ] {
            let surroundings = Surroundings { gpus, gpus_found, cuda, ..Surroundings::default() };
            assert_eq!(devices("a", &surroundings).level(), level, "{gpus} {gpus_found} {cuda}");
        }
    }
}
