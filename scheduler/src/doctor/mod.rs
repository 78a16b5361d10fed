//! What is wrong with a cluster, or with one process: findings, each with its remedy.
//!
//! [`store`] writes to the archive and reads it back, [`machine`] and [`executors`] compare what processes say of
//! themselves with what they need. Every check gives a finding, also where all is fine, so that whoever reads them knows
//! what was looked at, and what was not. What is absent: repair; nothing but one object in the archive's folder `doctor` is written, and
//! that is deleted again.

mod certificates;
pub mod executors;
pub mod machine;
pub mod store;

use tidewaiter_proto::v1::{Finding, FindingLevel};

/// What is as it should be.
pub fn fine(check: &str, subject: &str, text: impl Into<String>) -> Finding {
    finding(FindingLevel::Fine, check, subject, text.into(), "")
}

/// What works, and may not for long.
pub fn warning(check: &str, subject: &str, text: impl Into<String>, remedy: &str) -> Finding {
    finding(FindingLevel::Warning, check, subject, text.into(), remedy)
}

/// What is wrong.
pub fn wrong(check: &str, subject: &str, text: impl Into<String>, remedy: &str) -> Finding {
    finding(FindingLevel::Wrong, check, subject, text.into(), remedy)
}

/// What is not looked at.
pub fn unknown(check: &str, subject: &str, text: impl Into<String>, remedy: &str) -> Finding {
    finding(FindingLevel::Unspecified, check, subject, text.into(), remedy)
}

fn finding(level: FindingLevel, check: &str, subject: &str, text: String, remedy: &str) -> Finding {
    Finding {
        level: level.into(),
        check: check.to_owned(),
        subject: subject.to_owned(),
        text,
        remedy: remedy.to_owned(),
    }
}

/// How far the clock of `subject` is from that of this process, in milliseconds.
pub fn clock(subject: &str, skew_ms: i64) -> Finding {
    const REMEDY: &str = "let a time service (chrony, systemd-timesyncd) set the clocks of all machines";
    let text = format!("{:.1} s from this process's clock", skew_ms as f64 / 1000.0);
    match skew_ms.unsigned_abs() {
        0..2_000 => fine("clock", subject, text),
        2_000..60_000 => warning("clock", subject, text, REMEDY),
        _ => wrong("clock", subject, format!("{text}: stores refuse requests of such clocks"), REMEDY),
    }
}

/// Whether the program of `subject` is of this process's version.
pub fn version(subject: &str, version: &str) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    match version {
        "" => wrong(
            "version",
            subject,
            format!("it does not say; this process is {own}"),
            "run one version everywhere: replace the older program",
        ),
        version if version == own => fine("version", subject, version),
        version => wrong(
            "version",
            subject,
            format!("{version}, and this process is {own}"),
            "run one version everywhere: replace the older program",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_and_versions_that_differ_are_found() {
        for (skew_ms, level) in [
            (0, FindingLevel::Fine),
            (-1_999, FindingLevel::Fine),
            (2_000, FindingLevel::Warning),
            (-60_000, FindingLevel::Wrong),
            (i64::MIN, FindingLevel::Wrong),
        ] {
            assert_eq!(clock("a", skew_ms).level(), level, "{skew_ms}");
        }
        assert_eq!(version("a", env!("CARGO_PKG_VERSION")).level(), FindingLevel::Fine);
        for other in ["0.0.1", ""] {
            let found = version("a", other);
            assert!(found.level() == FindingLevel::Wrong && !found.remedy.is_empty(), "{found:?}");
        }
    }
}
