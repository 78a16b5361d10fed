//! The job `archive verify`: reads every byte of tables, logs and models, and names what is damaged.
//!
//! Data files and checkpoints are compared with the digests that the log has of them, commits with the digest that they
//! carry, models with their manifests, which carry their own. A data file of an older version, of which no digest is known, is decoded from its
//! first page to its last; its numbers may be wrong all the same. What is absent: reports and the ledger. Start at
//! [`damages`].

use std::{collections::BTreeMap, sync::Arc};

use clap::Args;
use futures::{StreamExt, TryStreamExt, stream};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewaiter_archive::{
    Archive, DataFile, Table,
    table::{Damage, list_tables},
    upload::read_digest,
};
use tidewaiter_core::{
    Error, ErrorKind, Result,
    threads::{check, on_cpu},
};
use tidewaiter_job::{Job, JobParameters, Listener, Outcome, async_trait, summary::grouped};
use tidewaiter_registry::Registry;

/// The name of the step.
const STEP: &str = "verify";

/// Files that are read at the same time; one without a digest is held in memory.
const FILES: usize = 4;

/// Damaged objects that an error names, at most.
const NAMED: usize = 10;

/// The parameters.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Tables to verify; default: all, and the models.
    #[arg(value_name = "TABLE")]
    pub tables: Vec<String>,
}

/// What was found.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// Objects whose digests were compared.
    pub compared: u64,
    /// Data files without a digest, which were decoded.
    pub decoded: u64,
    /// Bytes of data files that were read.
    pub bytes: u64,
    /// What is damaged.
    pub damages: Vec<Damage>,
}

#[async_trait]
impl JobParameters for Parameters {
    const KIND: &'static str = "archive";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("action", "verify"));
    const ABOUT: &'static str = "Read every byte of the tables and models, and name what is damaged";

    /// # Errors
    /// [`ErrorKind::Corrupt`], naming what is damaged; [`ErrorKind::NotFound`] for a table that does not exist.
    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        let work = damages(job.archive, &self.tables, Arc::clone(&job.listener));
        let findings = job.step(STEP, work).await?;
        job.outcome.metrics.insert(
            STEP.into(),
            json!({
                "compared": findings.compared,
                "decoded": findings.decoded,
                "bytes": findings.bytes,
                "damages": findings.damages,
            }),
        );
        if findings.damages.is_empty() {
            return Ok(());
        }
        let named = findings.damages.iter().take(NAMED);
        let mut named: Vec<String> =
            named.map(|damage| format!("{}: {}", job.archive.display(&damage.path), damage.what)).collect();
        if findings.damages.len() > NAMED {
            named.push(format!("and {} more, in the outcome's document", findings.damages.len() - NAMED));
        }
        Err(Error::corrupt(format!(
            "{} objects are damaged; restore them from a backup: {}",
            findings.damages.len(),
            named.join("; ")
        )))
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let Some(found) = outcome.metrics.get(STEP) else { return Vec::new() };
        let count = |name: &str| grouped(found[name].as_u64().unwrap_or_default());
        let mut lines = vec![format!("{} objects are as they were written", count("compared"))];
        if found["decoded"].as_u64() > Some(0) {
            lines.push(format!("{} data files without a digest can be read", count("decoded")));
        }
        lines
    }
}

/// Reads tables, or all tables and models where none is named, and says what is damaged.
///
/// # Errors
/// [`ErrorKind::NotFound`] for a table that does not exist, and where there is no archive; those of the store.
pub async fn damages(archive: &Archive, tables: &[String], listener: Arc<dyn Listener>) -> Result<Findings> {
    let mut findings = Findings::default();
    let all = if tables.is_empty() { list_tables(archive).await? } else { tables.to_vec() };
    for name in &all {
        let table = Table::open(archive, name).await?;
        let (damages, commits) = table.check_log().await?;
        findings.compared += commits.len() as u64;
        let is_sound = damages.is_empty();
        findings.damages.extend(damages);
        // A damaged log is not read any further.
        if is_sound && let Err(error) = table.snapshot(None).await {
            findings.damages.push(Damage::new(format!("{name}/_delta_log"), error.chain()));
        }
        // Also what only earlier snapshots have, as far as it is there.
        let mut files: BTreeMap<String, (DataFile, bool)> = BTreeMap::new();
        for commit in commits {
            for path in commit.removes {
                files.entry(path).and_modify(|(_, is_live)| *is_live = false);
            }
            files.extend(commit.adds.into_iter().map(|file| (file.path.clone(), (file, true))));
        }
        let total = files.len() as u64;
        let checks = files.into_values().map(|(file, is_live)| checked(archive, name, file, is_live));
        let checks: Vec<_> = checks.collect();
        let mut checks = stream::iter(checks).buffer_unordered(FILES);
        let mut done = 0;
        while let Some(checked) = checks.try_next().await? {
            done += 1;
            listener.progress(STEP, done, total, "files");
            match checked {
                Checked::Whole { bytes } => {
                    (findings.compared, findings.bytes) = (findings.compared + 1, findings.bytes + bytes)
                }
                Checked::Readable { bytes } => {
                    (findings.decoded, findings.bytes) = (findings.decoded + 1, findings.bytes + bytes)
                }
                Checked::Gone => {}
                Checked::Damaged(damage) => findings.damages.push(damage),
            }
        }
    }
    if tables.is_empty() {
        let (compared, damages) = Registry::new(archive).verify().await?;
        if all.is_empty() && compared == 0 && damages.is_empty() {
            return Err(Error::not_found(format!(
                "there is neither a table nor a model at {}; name the archive with --archive",
                archive.display("")
            )));
        }
        findings.compared += compared;
        findings.damages.extend(damages);
    }
    findings.damages.sort_by(|a, b| a.path.cmp(&b.path));
    findings.damages.dedup_by(|a, b| a.path == b.path);
    Ok(findings)
}

/// What a data file turned out to be.
enum Checked {
    Whole {
        bytes: u64,
    },
    Readable {
        bytes: u64,
    },
    /// No longer there, and not needed.
    Gone,
    Damaged(Damage),
}

async fn checked(archive: &Archive, table: &str, file: DataFile, is_live: bool) -> Result<Checked> {
    let path = format!("{table}/{}", file.path);
    let (bytes, digest) = match read_digest(archive, &path).await {
        Ok(read) => read,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(match is_live {
                true => Checked::Damaged(Damage::new(path, "it is missing")),
                false => Checked::Gone,
            });
        }
        Err(error) => return Err(error),
    };
    if bytes != file.size {
        return Ok(Checked::Damaged(Damage::new(
            path,
            format!("it has {bytes} bytes instead of {}", file.size),
        )));
    }
    match file.digest {
        Some(wanted) if wanted == digest => Ok(Checked::Whole { bytes }),
        Some(wanted) => {
            let what = format!("its bytes are not those that were committed ({digest} instead of {wanted})");
            Ok(Checked::Damaged(Damage::new(path, what)))
        }
        None => Ok(match decoded_rows(archive, &path).await {
            Ok(rows) if rows == file.rows => Checked::Readable { bytes },
            Ok(rows) => {
                Checked::Damaged(Damage::new(path, format!("it has {rows} rows instead of {}", file.rows)))
            }
            Err(error) => Checked::Damaged(Damage::new(path, error.chain())),
        }),
    }
}

/// The rows of a Parquet file, each of whose pages is decoded.
async fn decoded_rows(archive: &Archive, path: &str) -> Result<u64> {
    let bytes = archive.get(path).await?;
    let decoded = on_cpu(move || {
        let mut rows = 0;
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
            check()?;
            rows += batch?.num_rows() as u64;
        }
        Ok(rows)
    });
    decoded.await
}
