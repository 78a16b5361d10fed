//! What the machine or container of this process has: memory, disk, NVIDIA devices. On Linux; elsewhere nothing is known.
//!
//! What is absent: the devices themselves, which `tidewaiter_tensors` opens.

use std::{fs, path::Path};

/// Space of a file system, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// What is free for this process.
    pub free: u64,
    /// All.
    pub total: u64,
}

/// The most memory that this process can have: that of its container, or the machine's; `None` where the system does not
/// say.
pub fn memory_limit() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kib * 1024)
    });
    let container = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let container = container.iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    machine.into_iter().chain(container).min()
}

/// The space of the file system of a folder; `None` where the system does not say.
pub fn space(folder: &Path) -> Option<Space> {
    #[cfg(unix)]
    {
        let status = rustix::fs::statvfs(folder).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(status.f_frsize);
        Some(Space { free: bytes(status.f_bavail), total: bytes(status.f_blocks) })
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        None
    }
}

/// How many NVIDIA devices this process finds: in a container, those that it was given.
pub fn gpus() -> usize {
    let devices = fs::read_dir("/dev").into_iter().flatten().flatten();
    let devices = devices.filter(|entry| is_gpu(&entry.file_name().to_string_lossy())).count();
    // Under Windows' subsystem for Linux all devices are behind one file.
    devices.max(usize::from(Path::new("/dev/dxg").exists()))
}

fn is_gpu(name: &str) -> bool {
    let number = name.strip_prefix("nvidia");
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_numbered_files_are_devices() {
        for (name, is) in [
            ("nvidia0", true),
            ("nvidia15", true),
            ("nvidia", false),
            ("nvidiactl", false),
            ("nvidia-uvm", false),
            ("nvidia0x", false),
        ] {
            assert_eq!(is_gpu(name), is, "{name}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_and_disk_are_known() {
        assert!(memory_limit().is_some_and(|bytes| bytes > 64 << 20));
        let folder = tempfile::tempdir().expect("a folder");
        let space = space(folder.path()).expect("known");
        assert!(space.free <= space.total && space.total > 0, "{space:?}");
    }
}
