//! The job `archive optimise`: rewrites months of many files ([`crate::compaction`]) into files of the target size, in the
//! table's order.
//!
//! The rows stay the same, and readers of earlier snapshots keep their files until `archive vacuum` deletes those. Each
//! table is one commit; when one of its files was replaced meanwhile, nothing of it changes. Start at
//! [`Parameters::run`].

use std::{collections::HashMap, sync::Arc};

use clap::Args;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewaiter_archive::{
    Archive, Commit, DataFile, Table, WriterSettings,
    provider::ParquetSourceProvider,
    schema::{Layout, PARTITION_COLUMNS},
    table::{Change, LoggedCommit, Snapshot, list_tables},
    write_operator::WriteOperator,
};
use tidewaiter_core::{Error, Result, plan};
use tidewaiter_job::{Job, JobParameters, Outcome, async_trait, summary::grouped};
use tidewaiter_proto::v1::{self, parquet_source::Source};

use crate::{
    age::milliseconds,
    compaction::{Month, worth_rewriting},
};

/// The parameters.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Tables to rewrite; default: all.
    #[arg(value_name = "TABLE")]
    pub tables: Vec<String>,
    /// Say what would be rewritten, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Age that the newest file of a month must have, so that a month that still grows is left alone: 7d, 12h, 30m;
    /// default: 0.
    #[arg(long, required = false, value_name = "AGE")]
    pub older_than: String,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { tables: Vec::new(), dry_run: false, older_than: "0".to_owned() }
    }
}

/// What became of one table.
#[derive(Debug, Serialize, Deserialize)]
struct Optimised {
    table: String,
    version: u64,
    months: u64,
    rows: u64,
    files_before: u64,
    files_after: u64,
    bytes_before: u64,
    bytes_after: u64,
}

#[async_trait]
impl JobParameters for Parameters {
    const KIND: &'static str = "archive";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("action", "optimise"));
    const ABOUT: &'static str =
        "Rewrite months of many small files into few large ones, with late rows in their places";

    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for a wrong age, [`tidewaiter_core::ErrorKind::NotFound`] for a table that
    /// does not exist, [`tidewaiter_core::ErrorKind::Conflict`] when somebody else replaced a file meanwhile.
    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        let age_ms = milliseconds(&self.older_than)?;
        let tables = match self.tables.is_empty() {
            true => list_tables(job.archive).await?,
            false => self.tables.clone(),
        };
        let mut all = Vec::new();
        for table in tables {
            let step = format!("optimise {table}");
            let work = optimise(job, &step, table, job.submitted_ms - age_ms, self.dry_run);
            all.push(job.step(&step, work).await?);
        }
        let changed = all.iter().filter(|one| one.months > 0);
        if !self.dry_run {
            job.outcome.tables = changed.map(|one| format!("{}@{}", one.table, one.version)).collect();
        }
        job.outcome.metrics.insert("optimise".into(), json!({ "dry_run": self.dry_run, "tables": all }));
        Ok(())
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let Some(optimise) = outcome.metrics.get("optimise") else { return Vec::new() };
        let tables: Vec<Optimised> = serde_json::from_value(optimise["tables"].clone()).unwrap_or_default();
        let changed: Vec<&Optimised> = tables.iter().filter(|one| one.months > 0).collect();
        if changed.is_empty() {
            return vec!["no month has more files than it needs".to_owned()];
        }
        let line = |one: &&Optimised| {
            let (months, files) = (grouped(one.months), grouped(one.files_before));
            match optimise["dry_run"] == true {
                true => format!("{}: {months} months of {files} files would be rewritten", one.table),
                false => format!(
                    "{}: {months} months, {files} files are {} now",
                    one.table,
                    grouped(one.files_after)
                ),
            }
        };
        changed.iter().map(line).collect()
    }
}

/// The order of a table's rows: the date column, and those after it.
struct Order {
    date: String,
    others: Vec<String>,
}

fn optimise<'a>(
    job: &Job<'a>,
    step: &str,
    table: String,
    settled_ms: i64,
    dry_run: bool,
) -> impl Future<Output = Result<Optimised>> + use<'a> {
    let (archive, engine, id) = (job.archive, job.engine, job.outcome.job.clone());
    let layout = job.extensions.layouts().find(|layout| layout.table == table);
    let session = job.session(step);
    async move {
        let session = session?;
        let opened = Table::open(archive, &table).await?;
        let snapshot = opened.snapshot(None).await?;
        let committed = committed_ms(&opened.commits().await?);
        let is_settled =
            |file: &DataFile| committed.get(&file.path).is_none_or(|committed| *committed <= settled_ms);
        let months =
            worth_rewriting(&snapshot.files, WriterSettings::default().target_file_bytes, is_settled);
        let removes: Vec<DataFile> =
            months.iter().flat_map(|month| month.files.iter().copied().cloned()).collect();
        let mut optimised = Optimised {
            table: table.clone(),
            version: snapshot.version,
            months: months.len() as u64,
            rows: removes.iter().map(|file| file.rows).sum(),
            files_before: removes.len() as u64,
            files_after: removes.len() as u64,
            bytes_before: removes.iter().map(|file| file.size).sum(),
            bytes_after: removes.iter().map(|file| file.size).sum(),
        };
        if months.is_empty() || dry_run {
            return Ok(optimised);
        }
        let order = order(&snapshot, layout)?;
        let rewrites = months.iter().map(|month| {
            let query = rewrite(archive, &snapshot, &table, month, &order, &id, engine.task_memory());
            let (session, table) = (&session, table.as_str());
            async move {
                let (provider, writer) = query?;
                let rows = session.read_table(Arc::new(provider))?;
                let data = rows.schema().fields().iter().map(|field| field.name().as_str());
                let data: Vec<&str> = data.filter(|name| !PARTITION_COLUMNS.contains(name)).collect();
                let rows = rows.clone().select_columns(&data)?;
                let files = plan::reports::<Vec<DataFile>>(plan::apply(rows, writer)?).await?.concat();
                whole(table, month, files)
            }
        });
        let rewrites: Vec<_> = rewrites.collect();
        let at_once = engine.most_tasks().await.max(1);
        let adds: Vec<Vec<DataFile>> = stream::iter(rewrites).buffered(at_once).try_collect().await?;
        let adds = adds.concat();
        optimised.files_after = adds.len() as u64;
        optimised.bytes_after = adds.iter().map(|file| file.size).sum();
        let change = Change {
            adds,
            removes,
            operation: "optimise".to_owned(),
            changes_rows: false,
            once: Some(format!("{id}-{}", table.replace('/', "-"))),
            ..Change::default()
        };
        optimised.version = match opened.change(&change).await? {
            Commit::Version(version) => version,
            Commit::AlreadyThere => opened.version().await?,
        };
        Ok(optimised)
    }
}

/// When each file was committed last.
fn committed_ms(commits: &[LoggedCommit]) -> HashMap<String, i64> {
    let adds = |commit: &LoggedCommit| {
        let at_ms = commit.committed_ms;
        commit.adds.iter().map(move |file| (file.path.clone(), at_ms)).collect::<Vec<_>>()
    };
    commits.iter().flat_map(adds).collect()
}

/// The order of a table's rows: that of its layout; of a table without one, by its first column of dates or times, rows
/// of one date as their files follow each other.
fn order(snapshot: &Snapshot, layout: Option<&Layout>) -> Result<Order> {
    if let Some(layout) = layout {
        let others = layout.sort_columns.iter().map(|name| (*name).to_owned()).collect();
        return Ok(Order { date: layout.date_column.to_owned(), others });
    }
    let is_date = |field: &&Arc<arrow::datatypes::Field>| {
        use arrow::datatypes::DataType::{Date32, Timestamp};
        matches!(field.data_type(), Date32 | Timestamp(..)) && !field.is_nullable()
    };
    let date = snapshot.schema.fields().iter().find(is_date);
    let date =
        date.ok_or_else(|| Error::input("the table has no column of dates by which its rows are stored"))?;
    Ok(Order { date: date.name().clone(), others: Vec::new() })
}

/// The rows of a month, one file after the other, and what writes them.
fn rewrite(
    archive: &Archive,
    snapshot: &Snapshot,
    table: &str,
    month: &Month<'_>,
    order: &Order,
    job: &str,
    memory: usize,
) -> Result<(ParquetSourceProvider, WriteOperator)> {
    let source = v1::SnapshotSource {
        table: table.to_owned(),
        version: snapshot.version,
        countries: vec![month.country.to_owned()],
        from_month: month.month,
        to_month: month.month,
        by_month: true,
    };
    let message =
        v1::ParquetSource { archive: archive.url().to_string(), source: Some(Source::Snapshot(source)) };
    let provider = ParquetSourceProvider::try_new(message, Arc::clone(&snapshot.schema))?;
    let writer = WriteOperator::new(v1::WriteOperator {
        archive: archive.url().to_string(),
        table: table.to_owned(),
        country: month.country.to_owned(),
        date_column: order.date.clone(),
        sort_columns: order.others.clone(),
        name: job.to_owned(),
        memory_bytes: memory as u64,
    })?;
    Ok((provider, writer))
}

/// Holds that the new files of a month have the rows of the old ones.
fn whole(table: &str, month: &Month<'_>, files: Vec<DataFile>) -> Result<Vec<DataFile>> {
    let inside = files.iter().filter(|file| file.month_number() == month.month);
    let rows: u64 = inside.map(|file| file.rows).sum();
    let all: u64 = files.iter().map(|file| file.rows).sum();
    if rows == month.rows() && all == rows {
        return Ok(files);
    }
    Err(Error::internal(format!(
        "{rows} of {} rows of table {table} stand in month {} of year {} of {} by their dates; the table stays as it is",
        month.rows(),
        month.month.rem_euclid(12) + 1,
        month.month.div_euclid(12),
        month.country
    )))
}
