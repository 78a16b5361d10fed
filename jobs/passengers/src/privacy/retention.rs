//! Depersonalisation and deletion by age, as jobs with a record of what was done.
//!
//! *Depersonalise* seals raw identifiers of old flights under the key, and blanks what else can name a person: particulars
//! of issues, and the raw text of what was put aside. Pseudonyms stay, so that links stay. *Delete* takes the rows of older
//! flights out of all tables. Both make one commit of all tables and the audit record; then the data files that no
//! snapshot of now has are deleted from the store, those of earlier changes too, so that nobody can read what is gone by an
//! old snapshot. A job that reads an old snapshot at that time fails, as it must.
//!
//! What is absent: copies outside of the archive. Start at [`Depersonalise`] and [`Delete`].

use std::collections::{BTreeMap, HashSet};

use chrono::{Datelike, NaiveDate};
use clap::Args;
use datafusion::prelude::SessionContext;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewaiter_archive::{
    Archive, DataFile, Table,
    schema::data_columns,
    table::{Change, commit_group, finish_groups, list_tables},
    tasks,
    write_operator::WriteOperator,
};
use tidewaiter_core::{Result, answers, plan, query::Plan as _};
use tidewaiter_ingest::{QUARANTINE, quarantine_table_schema};
use tidewaiter_job::{Job, JobParameters, Outcome, async_trait, summary::grouped};
use tidewaiter_proto::v1;

use super::{
    age::cutoff,
    audit::{self, Entry},
    key::{self, Key},
    seal::{PassengersSealOperator, SealOperator},
};
use crate::{
    ingest::quarantine::INGESTED_AT,
    table::{AUDIT, FLIGHT_DATE, IDENTITIES, ISSUES, MESSAGES, TABLES, builder::days},
};

/// The table of what models said of travellers, whose rows are deleted with theirs.
const PREDICTIONS: &str = "predictions/passengers";

/// The parameters of a depersonalisation.
#[derive(Debug, Clone, PartialEq, Eq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct Depersonalise {
    /// Age of the flights from which on, in months (6m), years (5y) or days (180d); default: 6m.
    #[serde(default = "half_a_year")]
    #[arg(long, required = false, value_name = "AGE")]
    pub older_than: String,
    /// Where every process finds the key of the pseudonyms: a file, or env:NAME; default: env:TIDEWAITER_PASSENGERS_KEY.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long)]
    pub key: Option<String>,
    /// Count what would be changed, and change nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[arg(long)]
    pub dry_run: bool,
}

/// The parameters of a deletion.
#[derive(Debug, Clone, PartialEq, Eq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    /// Age of the flights from which on, in months (6m), years (5y) or days (180d); default: 5y.
    #[serde(default = "five_years")]
    #[arg(long, required = false, value_name = "AGE")]
    pub older_than: String,
    /// Count what would be deleted, and delete nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[arg(long)]
    pub dry_run: bool,
}

fn half_a_year() -> String {
    "6m".to_owned()
}

fn five_years() -> String {
    "5y".to_owned()
}

#[async_trait]
impl JobParameters for Depersonalise {
    const KIND: &'static str = "passengers";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("task", "depersonalise"));
    const ABOUT: &'static str =
        "Seal the raw identifiers of old flights under the key, and blank what else names persons";

    fn paths(&mut self) -> Vec<&mut String> {
        self.key.as_mut().filter(|place| key::is_file(place)).into_iter().collect()
    }

    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for a wrong age, and without the key of the archive.
    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        let place = self.key.clone().unwrap_or_else(|| key::DEFAULT.to_owned());
        let fingerprint = Key::read(&place)?.fingerprint().to_owned();
        let session = job.session("check the key")?;
        super::reidentify::check_key(&session, job.archive, &fingerprint, &place).await?;
        let before = cutoff(&self.older_than, job.submitted_ms)?;
        let rules = vec![
            Rule::dated(IDENTITIES.table, "value IS NOT NULL", Way::Seal(place)),
            Rule::dated(
                ISSUES.table,
                "(detail IS NOT NULL OR raw IS NOT NULL)",
                Way::Blank(&["detail", "raw"]),
            ),
            Rule::quarantine("(raw <> '' OR value <> '')", Way::Blank(&["raw", "value"])),
            // Entries of a watch list are names.
            Rule::dated(PREDICTIONS, "watch IS NOT NULL", Way::Blank(&["watch"])),
        ];
        retain(job, "depersonalise", before, rules, self.dry_run).await
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        summary(outcome, "depersonalise", "depersonalised")
    }
}

#[async_trait]
impl JobParameters for Delete {
    const KIND: &'static str = "passengers";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("task", "delete"));
    const ABOUT: &'static str = "Delete the rows of old flights from all tables, for good";

    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for a wrong age.
    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        let before = cutoff(&self.older_than, job.submitted_ms)?;
        let kept = TABLES.iter().filter(|layout| layout.table != AUDIT.table);
        let mut rules: Vec<Rule> =
            kept.map(|layout| Rule::dated(layout.table, "true", Way::Delete)).collect();
        rules.push(Rule::dated(PREDICTIONS, "true", Way::Delete));
        rules.push(Rule::quarantine("true", Way::Delete));
        retain(job, "delete", before, rules, self.dry_run).await
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        summary(outcome, "delete", "deleted")
    }
}

fn summary(outcome: &Outcome, action: &str, done: &str) -> Vec<String> {
    let Some(figures) = outcome.metrics.get(action) else { return Vec::new() };
    let count = |value: &serde_json::Value| grouped(value.as_u64().unwrap_or(0));
    let before = figures["before"].as_str().unwrap_or_default();
    let verb = if figures["dry_run"] == true { format!("would be {done}") } else { done.to_owned() };
    let mut lines = vec![format!("{} rows of flights before {before} {verb}", count(&figures["rows"]))];
    let tables = figures["tables"].as_object().into_iter().flatten();
    lines.extend(tables.map(|(table, rows)| format!("{:>9} {table}", count(rows))));
    lines.push(format!("{} replaced data files are deleted from the store", count(&figures["files"])));
    lines
}

/// What becomes of old rows.
#[derive(Debug, Clone)]
enum Way {
    /// Identifiers are sealed under the key at a place.
    Seal(String),
    /// Columns become null or, where they may not be, empty.
    Blank(&'static [&'static str]),
    /// They leave the table.
    Delete,
}

/// What becomes of the old rows of a table.
#[derive(Debug, Clone)]
struct Rule {
    table: &'static str,
    date_column: &'static str,
    /// Which of the old rows have something to be changed, in SQL.
    concerned: String,
    way: Way,
}

impl Rule {
    fn dated(table: &'static str, concerned: &str, way: Way) -> Self {
        Self { table, date_column: FLIGHT_DATE, concerned: concerned.to_owned(), way }
    }

    /// What other domains put aside stays.
    fn quarantine(concerned: &str, way: Way) -> Self {
        let concerned = format!("table_name LIKE 'passengers/%' AND {concerned}");
        Self { table: QUARANTINE, date_column: INGESTED_AT, concerned, way }
    }

    /// Whether a row is old and concerned, in SQL.
    fn condition(&self, before: NaiveDate) -> String {
        format!("({} < DATE '{before}' AND {})", self.date_column, self.concerned)
    }

    /// The rows as they are to be, in SQL.
    fn query(&self, before: NaiveDate, columns: &[(String, bool)]) -> String {
        let condition = self.condition(before);
        match &self.way {
            Way::Seal(_) => "SELECT * FROM old".to_owned(),
            Way::Delete => format!("SELECT * FROM old WHERE NOT {condition}"),
            Way::Blank(blanked) => {
                let column = |(name, is_nullable): &(String, bool)| match blanked.contains(&name.as_str()) {
                    true => {
                        let empty = if *is_nullable { "NULL" } else { "''" };
                        format!("CASE WHEN {condition} THEN {empty} ELSE {name} END AS {name}")
                    }
                    false => name.clone(),
                };
                format!("SELECT {} FROM old", columns.iter().map(column).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// What changes in a table.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Changed {
    rows: u64,
    country: String,
    removes: Vec<DataFile>,
    adds: Vec<DataFile>,
}

/// Does what rules say to the rows of flights before a day.
async fn retain(
    job: &mut Job<'_>,
    action: &'static str,
    before: NaiveDate,
    rules: Vec<Rule>,
    dry_run: bool,
) -> Result<()> {
    finish_groups(job.archive).await?;
    let known: HashSet<String> = list_tables(job.archive).await?.into_iter().collect();
    let mut changes: BTreeMap<String, Changed> = BTreeMap::new();
    for rule in rules.into_iter().filter(|rule| known.contains(rule.table)) {
        let step = format!("{action} {}", rule.table);
        let (table, work) = (rule.table, change(job, &step, rule, before, dry_run));
        let changed: Changed = job.step(&step, work).await?;
        if changed.rows > 0 {
            changes.insert(table.to_owned(), changed);
        }
    }
    let rows: u64 = changes.values().map(|changed| changed.rows).sum();
    let tables: BTreeMap<&String, u64> =
        changes.iter().map(|(table, changed)| (table, changed.rows)).collect();
    let mut figures = json!({
        "before": before.to_string(), "dry_run": dry_run, "rows": rows, "tables": tables, "files": 0,
    });
    if !dry_run {
        let commit = commit(job.archive, &changes, action, before, job.outcome.job.clone(), job.submitted_ms);
        let versions = job.step("commit", commit).await?;
        job.outcome.tables.extend(versions);
        let files = job.step("delete files", delete_files(job.archive, known)).await?;
        figures["files"] = json!(files);
    }
    job.outcome.rows.read = rows;
    job.outcome.metrics.insert(action.to_owned(), figures);
    Ok(())
}

/// Writes the rows of old months of a table anew, month by month.
fn change<'a>(
    job: &Job<'a>,
    step: &str,
    rule: Rule,
    before: NaiveDate,
    dry_run: bool,
) -> impl Future<Output = Result<Changed>> + use<'a> {
    let (archive, session, id) = (job.archive, job.session(step), job.outcome.job.clone());
    let memory_bytes = job.engine.task_memory() as u64;
    async move {
        let session = session?;
        let table = Table::open(archive, rule.table).await?;
        let snapshot = table.snapshot(None).await?;
        let last = 12 * before.year() + before.month0() as i32;
        let mut months: BTreeMap<(String, i32), Vec<DataFile>> = BTreeMap::new();
        for file in snapshot.files.into_iter().filter(|file| file.month_number() <= last) {
            months.entry((file.country.clone(), file.month_number())).or_default().push(file);
        }
        let schema = data_columns(&snapshot.schema);
        let columns: Vec<(String, bool)> = match rule.table {
            QUARANTINE => quarantine_table_schema()
                .fields()
                .iter()
                .map(|it| (it.name().clone(), it.is_nullable()))
                .collect(),
            _ => schema.fields().iter().map(|field| (field.name().clone(), field.is_nullable())).collect(),
        };
        let mut changed = Changed::default();
        for (number, ((country, _), files)) in months.into_iter().enumerate() {
            let all: u64 = files.iter().map(|file| file.rows).sum();
            let named = files.iter().map(|file| v1::ParquetFile {
                path: format!("{}/{}", rule.table, file.path),
                size: file.size,
            });
            let rows = tasks::scan(&session, archive, named.collect(), schema.clone().into(), false)?;
            session.deregister_table("old")?;
            session.register_table("old", rows.into_view())?;
            let count = count(&session, &rule.condition(before)).await?;
            if count == 0 {
                continue;
            }
            changed.rows += count;
            changed.country.clone_from(&country);
            if dry_run {
                continue;
            }
            let is_whole = matches!(rule.way, Way::Delete) && count == all;
            if !is_whole {
                let mut rows = session.query(&rule.query(before, &columns)).await?;
                if let Way::Seal(place) = &rule.way {
                    let message = PassengersSealOperator { key: place.clone(), before: days(before) };
                    rows = plan::apply(rows, SealOperator::new(message))?;
                }
                let layout = TABLES.iter().find(|layout| layout.table == rule.table);
                let sort_columns = layout.map_or(&[][..], |layout| layout.sort_columns);
                let writer = WriteOperator::new(v1::WriteOperator {
                    archive: archive.url().to_string(),
                    table: rule.table.to_owned(),
                    country: country.clone(),
                    date_column: rule.date_column.to_owned(),
                    sort_columns: sort_columns.iter().map(|name| (*name).to_owned()).collect(),
                    name: format!("{id}-{number}"),
                    memory_bytes,
                })?;
                let written = plan::reports::<Vec<DataFile>>(plan::apply(rows, writer)?).await?.concat();
                changed.adds.extend(written);
            }
            changed.removes.extend(files);
        }
        Ok(changed)
    }
}

async fn count(session: &SessionContext, condition: &str) -> Result<u64> {
    let rows = session.query(&format!("SELECT count(*) AS n FROM old WHERE {condition}")).await?;
    answers::count(&answers::one_batch(rows).await?, "n", 0)
}

/// Makes all changes and the audit record visible together; gives the tables' versions.
async fn commit(
    archive: &Archive,
    changes: &BTreeMap<String, Changed>,
    action: &str,
    before: NaiveDate,
    job: String,
    at_ms: i64,
) -> Result<Vec<String>> {
    let mut entries: Vec<Entry<'_>> = changes
        .iter()
        .map(|(table, changed)| Entry {
            action,
            job: &job,
            reason: "age",
            cutoff: Some(before),
            table,
            rows: changed.rows,
            key: "",
        })
        .collect();
    if entries.is_empty() {
        // That there was nothing to do is on record too.
        entries.push(Entry { action, job: &job, reason: "age", cutoff: Some(before), ..Entry::default() });
    }
    let country =
        changes.values().map(|changed| changed.country.as_str()).find(|country| !country.is_empty());
    let country = match country {
        Some(country) => country.to_owned(),
        None => {
            let files = Table::open_or_create(archive, MESSAGES.table, &(MESSAGES.schema)())
                .await?
                .snapshot(None)
                .await?
                .files;
            files.first().map_or("ZZ".to_owned(), |file| file.country.clone())
        }
    };
    let audit = Table::open_or_create(archive, AUDIT.table, &(AUDIT.schema)()).await?;
    let adds = audit::write(archive, &entries, &country, &format!("{job}-audit"), at_ms).await?;
    let mut tables = Vec::new();
    for table in changes.keys() {
        tables.push(Table::open(archive, table).await?);
    }
    let operation = || format!("passengers {action}");
    let of_table = |table: &Table| {
        let changed = changes.get(table.name()).cloned().unwrap_or_default();
        let (adds, removes) = (changed.adds, changed.removes);
        Change { adds, removes, operation: operation(), changes_rows: true, ..Change::default() }
    };
    let mut all: Vec<(&Table, Change)> = tables.iter().map(|table| (table, of_table(table))).collect();
    all.push((&audit, Change { adds, operation: operation(), changes_rows: true, ..Change::default() }));
    commit_group(archive, &format!("{job}-{action}"), all).await?;
    let mut versions = Vec::new();
    for table in tables.iter().chain([&audit]) {
        versions.push(format!("{}@{}", table.name(), table.version().await?));
    }
    Ok(versions)
}

/// Deletes the data files of the tables of passengers that were committed once and that no snapshot of now has.
async fn delete_files(archive: &Archive, known: HashSet<String>) -> Result<u64> {
    let tables = TABLES.iter().map(|layout| layout.table).chain([QUARANTINE, PREDICTIONS]);
    let mut deleted = 0;
    for name in tables.filter(|name| known.contains(*name)) {
        let table = Table::open(archive, name).await?;
        let live: HashSet<String> =
            table.snapshot(None).await?.files.into_iter().map(|file| file.path).collect();
        let mut gone: Vec<String> = Vec::new();
        for commit in table.commits().await? {
            gone.extend(commit.removes.into_iter().filter(|path| !live.contains(path)));
        }
        gone.sort_unstable();
        gone.dedup();
        for path in gone {
            let full = format!("{name}/{path}");
            if archive.exists(&full).await? {
                archive.delete(&full).await?;
                deleted += 1;
            }
        }
    }
    Ok(deleted)
}
