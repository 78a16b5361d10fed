//! `tidewaiter doctor`: what is wrong with a cluster, or with this machine and an archive.

use serde_json::{Value, json};
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, ErrorKind, Result};
use tidewaiter_executor::machine::gpus;
use tidewaiter_job::remote;
use tidewaiter_proto::v1::{
    DiagnoseRequest, Finding, FindingLevel, Surroundings, cluster_service_client::ClusterServiceClient,
};
use tidewaiter_scheduler::doctor::{fine, machine, store::store};

use super::{
    embedded::DEFAULT_MEMORY_MIB,
    sources::{new_id, now_ms},
};
use crate::{
    arguments::{Output, Place},
    output::write,
};

/// Looks, says what was found, and fails where something is wrong.
pub(super) async fn run(archive: &Archive, place: &Place, output: Output) -> Result<()> {
    let findings = match &place.scheduler {
        Some(url) => {
            let mut client = ClusterServiceClient::new(remote::connect(url).await?);
            let version = env!("CARGO_PKG_VERSION").to_owned();
            client.diagnose(DiagnoseRequest { clock_ms: now_ms(), version }).await?.into_inner().findings
        }
        None => here(archive, place).await,
    };
    let documents: Value = findings.iter().map(document).collect();
    write(output, &documents, || findings.iter().flat_map(lines).collect())?;
    match findings.iter().filter(|finding| finding.level() == FindingLevel::Wrong).count() {
        0 => Ok(()),
        wrong => {
            let all = findings.len();
            Err(Error::new(
                ErrorKind::Conflict,
                format!("{wrong} of {all} findings say that something is wrong"),
            ))
        }
    }
}

/// This machine, and an archive as this process reaches it.
async fn here(archive: &Archive, place: &Place) -> Vec<Finding> {
    let mut findings = vec![fine("version", "this program", env!("CARGO_PKG_VERSION"))];
    findings.extend(store(archive, &new_id(), now_ms).await);
    let reserved = (place.memory_mib.unwrap_or(DEFAULT_MEMORY_MIB) as u64) << 20;
    findings.extend(machine::own("this machine", reserved, &std::env::temp_dir()));
    let found = u32::try_from(gpus()).unwrap_or(u32::MAX);
    let cuda = cfg!(feature = "cuda");
    let surroundings = Surroundings {
        gpus: if cuda { found } else { 0 },
        gpus_found: found,
        cuda,
        ..Surroundings::default()
    };
    findings.push(machine::devices("this machine", &surroundings));
    findings
}

fn word(finding: &Finding) -> &'static str {
    match finding.level() {
        FindingLevel::Fine => "fine",
        FindingLevel::Warning => "warning",
        FindingLevel::Wrong => "wrong",
        FindingLevel::Unspecified => "unknown",
    }
}

fn document(finding: &Finding) -> Value {
    json!({
        "level": word(finding), "check": finding.check, "subject": finding.subject, "text": finding.text,
        "remedy": (!finding.remedy.is_empty()).then_some(&finding.remedy),
    })
}

fn lines(finding: &Finding) -> Vec<String> {
    let Finding { check, subject, text, remedy, .. } = finding;
    let mut lines = vec![format!("{:<8} {check:<16} {subject}: {text}", word(finding))];
    if !remedy.is_empty() {
        lines.push(format!("{:<8} {:<16} → {remedy}", "", ""));
    }
    lines
}

#[cfg(test)]
mod tests {
    use tidewaiter_scheduler::doctor::wrong;

    use super::*;

    #[test]
    fn a_finding_is_a_line_and_its_remedy_another() {
        let found = wrong("clock", "cpu-1", "90.0 s from this process's clock", "set it");
        assert_eq!(
            lines(&found),
            [
                "wrong    clock            cpu-1: 90.0 s from this process's clock",
                "                          → set it",
            ]
        );
        assert_eq!(document(&found)["level"], "wrong");
        let fine = fine("version", "this program", "0.1.0");
        assert_eq!((lines(&fine).len(), &document(&fine)["remedy"]), (1, &Value::Null));
    }
}
