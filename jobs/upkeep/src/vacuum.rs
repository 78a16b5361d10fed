//! The job `archive vacuum`: deletes what nobody reads any more ([`crate::removable`]).

use std::collections::BTreeMap;

use clap::Args;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewaiter_archive::Archive;
use tidewaiter_core::Result;
use tidewaiter_job::{Job, JobParameters, Outcome, async_trait, summary::grouped};

use crate::{
    age::milliseconds,
    inventory::facts,
    removable::{Reason, Removal, removable},
};

/// Paths that an outcome names, at most.
const EXAMPLES: usize = 20;

/// What is said where the store does not list its unfinished uploads.
const UPLOADS_UNKNOWN: &str = "unfinished uploads of this bucket are not known here: let a lifecycle rule of the bucket \
                               delete what is incomplete after some days";

/// Objects that are deleted at the same time.
const DELETES: usize = 16;

/// The parameters.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Say what would be deleted, and delete nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Age up to which everything stays, and up to which replaced data stay readable: 7d, 12h, 30m; 0 only while nothing
    /// else works on the archive; default: 7d.
    #[arg(long, required = false, value_name = "AGE")]
    pub older_than: String,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { dry_run: false, older_than: "7d".to_owned() }
    }
}

/// What was deleted for one reason.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct Freed {
    objects: u64,
    bytes: u64,
}

/// The outcome of the step.
#[derive(Debug, Serialize, Deserialize)]
struct Vacuumed {
    freed: BTreeMap<Reason, Freed>,
    /// What stays for its age alone.
    #[serde(default)]
    kept: Freed,
    examples: Vec<Removal>,
}

#[async_trait]
impl JobParameters for Parameters {
    const KIND: &'static str = "archive";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("action", "vacuum"));
    const ABOUT: &'static str = "Delete what nobody reads any more: replaced data files, those of failed attempts, unfinished uploads, work folders";

    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for a wrong age; [`tidewaiter_core::ErrorKind::Corrupt`] when a table's log
    /// cannot be read, and then nothing is deleted.
    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        let age_ms = milliseconds(&self.older_than)?;
        let (archive, now_ms, dry_run) = (job.archive, job.submitted_ms, self.dry_run);
        let work = async move {
            let facts = facts(archive).await?;
            let removals = removable(&facts, now_ms, age_ms);
            let of_any_age = removable(&facts, now_ms, 0);
            let sum = |removals: &[Removal]| Freed {
                objects: removals.len() as u64,
                bytes: removals.iter().map(|removal| removal.bytes).sum(),
            };
            let (all, now) = (sum(&of_any_age), sum(&removals));
            let kept = Freed {
                objects: all.objects.saturating_sub(now.objects),
                bytes: all.bytes.saturating_sub(now.bytes),
            };
            if !dry_run {
                delete(archive, &removals).await?;
            }
            let mut freed: BTreeMap<Reason, Freed> = BTreeMap::new();
            for removal in &removals {
                let of_reason = freed.entry(removal.reason).or_default();
                of_reason.objects += 1;
                of_reason.bytes += removal.bytes;
            }
            Ok(Vacuumed { freed, kept, examples: removals.into_iter().take(EXAMPLES).collect() })
        };
        let Vacuumed { freed, kept, examples } = job.step("vacuum", work).await?;
        let total = |count: fn(&Freed) -> u64| freed.values().map(count).sum::<u64>();
        job.outcome.metrics.insert(
            "vacuum".into(),
            json!({
                "dry_run": self.dry_run,
                "lists_uploads": archive.lists_uploads(),
                "kept": kept,
                "older_than": self.older_than,
                "objects": total(|freed| freed.objects),
                "bytes": total(|freed| freed.bytes),
                "reasons": freed,
                "examples": examples,
            }),
        );
        Ok(())
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let Some(vacuum) = outcome.metrics.get("vacuum") else { return Vec::new() };
        let done = if vacuum["dry_run"] == true { "would be deleted" } else { "deleted" };
        let count = |value: &serde_json::Value, name: &str| grouped(value[name].as_u64().unwrap_or_default());
        let mut lines =
            vec![format!("{} objects of {} bytes {done}", count(vacuum, "objects"), count(vacuum, "bytes"))];
        let reasons: BTreeMap<Reason, serde_json::Value> =
            serde_json::from_value(vacuum["reasons"].clone()).unwrap_or_default();
        lines.extend(reasons.iter().map(|(reason, freed)| {
            format!("  {}: {} of {} bytes", reason.words(), count(freed, "objects"), count(freed, "bytes"))
        }));
        if vacuum["kept"]["objects"].as_u64() > Some(0) {
            lines.push(format!(
                "{} objects of {} bytes stay: they are younger than {}",
                count(&vacuum["kept"], "objects"),
                count(&vacuum["kept"], "bytes"),
                vacuum["older_than"].as_str().unwrap_or_default()
            ));
        }
        if vacuum["lists_uploads"] == false {
            lines.push(UPLOADS_UNKNOWN.to_owned());
        }
        let examples: Vec<Removal> = serde_json::from_value(vacuum["examples"].clone()).unwrap_or_default();
        if vacuum["dry_run"] == true {
            lines.extend(examples.iter().map(|example| format!("  {}", example.path)));
        }
        lines
    }
}

async fn delete(archive: &Archive, removals: &[Removal]) -> Result<()> {
    let deletes = removals.iter().map(|removal| async move {
        match removal.reason {
            Reason::Upload => archive.abort_upload(&removal.path).await,
            Reason::Replaced | Reason::Orphan | Reason::Work => archive.delete(&removal.path).await,
        }
    });
    let deletes: Vec<_> = deletes.collect();
    stream::iter(deletes).buffer_unordered(DELETES).try_collect::<()>().await?;
    // Of a job's work folder all folders in it may be empty, and it itself.
    let depth = |removal: &Removal| match removal.reason {
        Reason::Work => 2,
        Reason::Replaced | Reason::Orphan | Reason::Upload => usize::MAX,
    };
    let folder = |removal: &Removal| {
        let (folder, _) = removal.path.rsplit_once('/')?;
        Some(folder.split('/').take(depth(removal)).collect::<Vec<_>>().join("/"))
    };
    let mut folders: Vec<String> = removals.iter().filter_map(folder).collect();
    folders.dedup();
    for folder in folders {
        archive.remove_empty(&folder).await;
    }
    Ok(())
}
