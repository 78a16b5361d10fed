//! The job that takes sources out of the archive: their rows, their quarantined rows and their records, by one commit.
//! The digests of exports are remembered, so that a file is not read again unless that is asked for (`ingest --again`).
//! Start at [`Parameters`].

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use datafusion::{
    logical_expr::{col, lit},
    prelude::SessionContext,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidewaiter_archive::{Archive, DataFile, table::finish_groups};
use tidewaiter_core::{Error, Result};
use tidewaiter_job::{Job, JobParameters, Outcome, async_trait, summary::grouped};

use crate::{
    commit::Tables,
    removal::few_rows,
    sources::{self, SourceRecord},
};

/// Bytes of large rows that a writer holds, at most: a reader of the files that it writes holds as much.
const LARGE_ROWS_BYTES: u64 = 64 << 20;

/// The fewest characters of a digest that name a source.
const DIGEST_CHARACTERS: usize = 8;

/// The figures of an outcome: what left the archive, by table.
const FORGOTTEN: &str = "forgotten";

/// The parameters of the job.
#[derive(Debug, Clone, PartialEq, Eq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The sources: the number of each, or the first 8 characters or more of its SHA-256.
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<String>,
}

/// What left the archive.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Forgotten {
    sources: Vec<String>,
    rows: u64,
    quarantined: u64,
}

#[async_trait]
impl JobParameters for Parameters {
    const KIND: &'static str = "archive";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("action", "forget"));
    const ABOUT: &'static str =
        "Take sources out of the archive: their rows, and those of them that were put aside";

    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        finish_groups(job.archive).await?;
        let (archive, session, named) = (job.archive, job.session("find sources")?, self.sources.clone());
        let find = async move { find(&session, archive, &named).await };
        let found: Vec<(String, Vec<i32>)> = job.step("find sources", find).await?;
        let mut forgotten = serde_json::Map::new();
        for (table, numbers) in found {
            let layout = job.extensions.layouts().find(|layout| layout.table == table);
            let layout = layout.ok_or_else(|| {
                Error::input(format!("this version does not know {table}; use the one that ingested it"))
            })?;
            let mut tables = Tables::open(job.archive, layout, job.engine.task_memory() as u64).await?;
            let name = format!("forget {table}");
            let (session, id) =
                (job.session(&name)?, format!("{}-{}", job.outcome.job, table.replace('/', "-")));
            let before = tables.rows.snapshot(None).await?;
            limit_memory(&session, &mut tables, &before.files)?;
            let forget = forget(&session, &tables, &id, &numbers);
            let Forgotten { sources, rows, quarantined } = job.step(&name, forget).await?;
            job.outcome.tables.push(format!("{table}@{}", tables.rows.version().await?));
            let document = json!({ "sources": sources, "rows": rows, "quarantined": quarantined });
            forgotten.insert(table, document);
        }
        job.outcome.metrics.insert(FORGOTTEN.to_owned(), Value::Object(forgotten));
        Ok(())
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let mut lines = Vec::new();
        let forgotten = outcome.metrics.get(FORGOTTEN).and_then(Value::as_object);
        for (table, gone) in forgotten.into_iter().flatten() {
            let count = |name: &str| grouped(gone[name].as_u64().unwrap_or(0));
            lines.push(format!(
                "{} rows of {table} and {} of quarantine are gone; earlier snapshots have them until `archive vacuum`",
                count("rows"),
                count("quarantined")
            ));
            let named = gone["sources"].as_array().into_iter().flatten().filter_map(Value::as_str);
            lines.extend(named.map(|source| format!("  {source}")));
        }
        lines
    }
}

/// Lets a table of large rows, such as those that hold files, be read and written in a little memory.
fn limit_memory(session: &SessionContext, tables: &mut Tables, files: &[DataFile]) -> Result<()> {
    let Some(rows) = few_rows(files) else { return Ok(()) };
    tables.memory_bytes = tables.memory_bytes.min(LARGE_ROWS_BYTES);
    let state = session.state_ref();
    let mut state = state.write();
    state.config_mut().options_mut().set("datafusion.execution.batch_size", &rows.to_string())?;
    Ok(())
}

/// The numbers of the sources that are named, by table.
async fn find(
    session: &SessionContext,
    archive: &Archive,
    named: &[String],
) -> Result<Vec<(String, Vec<i32>)>> {
    let mut found: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    for name in named {
        let condition = match name.parse::<i32>() {
            Ok(number) => col("source").eq(lit(number)),
            Err(_) => {
                let digest = name.to_lowercase();
                let is_digest =
                    digest.len() >= DIGEST_CHARACTERS && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
                if !is_digest {
                    return Err(Error::input(format!(
                        "{name:?} is neither the number of a source nor the first {DIGEST_CHARACTERS} or more \
                         characters of a SHA-256; {LIST}"
                    )));
                }
                col("digest").like(lit(format!("{digest}%")))
            }
        };
        let records = sources::matching(session, archive, condition).await?;
        if records.is_empty() {
            return Err(Error::not_found(format!("the archive has no source {name}; {LIST}")));
        }
        for record in records {
            found.entry(record.table).or_default().insert(record.number);
        }
    }
    Ok(found.into_iter().map(|(table, numbers)| (table, numbers.into_iter().collect())).collect())
}

/// How sources are listed.
const LIST: &str = "the sources: tidewaiter archive sql \"SELECT source, file, job, rows_archived, rows_quarantined FROM \
                    sources ORDER BY source\"";

async fn forget(session: &SessionContext, tables: &Tables, id: &str, numbers: &[i32]) -> Result<Forgotten> {
    let archive = tables.rows.archive();
    let values = numbers.iter().map(|number| lit(*number));
    let records: Vec<SourceRecord> = sources::with_values(session, archive, "source", values).await?;
    let rows = tables.forget(session, id, &records).await?;
    Ok(Forgotten {
        sources: records.iter().map(|record| format!("{} {}", record.number, record.file)).collect(),
        rows,
        quarantined: records.iter().map(|record| record.quarantined.unsigned_abs()).sum(),
    })
}
