//! This process as the system sees it, under the names that every Prometheus client uses. On Linux only.

use crate::page::{Kind, Page};

/// Seconds of the clock ticks in which Linux counts processor time for programs.
const TICK: f64 = 0.01;

/// Writes processor time, memory and open files; nothing where the system does not say.
pub(crate) fn write(page: &mut Page) {
    let Ok(status) = std::fs::read_to_string("/proc/self/stat") else { return };
    // The name may have spaces; what follows it does not.
    let fields: Vec<f64> = status
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|field| field.parse().unwrap_or_default())
        .collect();
    if let [user, system, ..] = fields.get(11..).unwrap_or_default() {
        let name = "process_cpu_seconds_total";
        page.family(name, "Processor time of this process, in user and in system mode.", Kind::Counter);
        page.sample(name, &[], (user + system) * TICK);
    }
    if let Some(bytes) = memory("VmRSS:") {
        page.gauge("process_resident_memory_bytes", "Memory of this process that is in use.", bytes);
    }
    if let Some(bytes) = memory("VmHWM:") {
        page.gauge("process_resident_memory_peak_bytes", "The most memory that was in use at once.", bytes);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        page.gauge("process_open_fds", "Open files and connections.", files.count() as f64);
    }
}

/// A line of the process's status, in bytes.
fn memory(name: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024.0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_its_memory_and_files() {
        let mut page = Page::default();
        write(&mut page);
        for name in ["process_cpu_seconds_total ", "process_resident_memory_bytes ", "process_open_fds "] {
            let line = page.text().lines().find(|line| line.starts_with(name));
            let value: f64 =
                line.expect(name).rsplit(' ').next().expect("a value").parse().expect("a number");
            assert!(value >= 0.0 && (value > 0.0 || name.starts_with("process_cpu")), "{name}{value}");
        }
    }
}
