//! The ingest of passengers: PAXLST and PNRGOV messages of any release, IATA's XML, and CSV files by a mapping.
//!
//! Two passes: [`scan`] reads what files hold for its identities; [`choose`] leaves out what the archive has, and messages
//! that come twice; [`store`] makes rows of the others, with keyed pseudonyms in place of identifiers, and writes them
//! below all tables; one commit of several tables adds them. Messages in are messages archived, messages put aside, and
//! messages that the archive has. Nothing of a message is dropped because something is wrong with it: it is archived, and
//! `passengers/issues` says what is wrong, in which segment and at which byte. Put aside is only what has no flight, no
//! traveller or no day, is another type of message, or belongs to no interchange.
//!
//! What is absent: messages in an object store; every executor must be able to open them as files. Start at
//! [`Parameters`].

mod choose;
mod digest;
mod forms;
mod journey;
mod listing;
pub mod messages;
mod parts;
pub(crate) mod quarantine;
mod rows;
pub mod scan;
pub mod store;
#[cfg(test)]
mod tests;
mod units;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidewaiter_archive::{
    DataFile, Table,
    provider::snapshot_provider,
    table::{Change, SourceChange, SourceState, commit_group, finish_groups},
    tasks,
};
use tidewaiter_core::{Error, Result, ResultExt, answers, plan, threads::on_cpu};
use tidewaiter_ingest::{QUARANTINE, quarantine_table_schema};
use tidewaiter_job::{Job, JobParameters, Outcome, async_trait, summary::grouped};

use self::{
    choose::{Choice, choose},
    listing::list,
    scan::{ScanOperator, Scanned},
    store::{StoreOperator, Stored, Tally, Task},
    units::Form,
};
use crate::{
    privacy::key::{self, Key},
    table::{MESSAGES, TABLES},
};

/// The figures of an outcome.
const FIGURES: &str = "passengers";

/// The parameters of an ingest of passengers.
#[derive(Debug, Clone, PartialEq, Eq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Files and folders of messages, as every executor can open them, plain or gzip; in a file's name `*` stands for
    /// anything.
    #[arg(required = true)]
    pub files: Vec<String>,
    /// The reporting country, where there is no mapping, as ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long)]
    pub country: Option<String>,
    /// What the columns of CSV files of travellers (table passengers/lists) or of inspections (passengers/outcomes) mean
    /// (TOML).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long)]
    pub mapping: Option<String>,
    /// Where every process finds the key of the pseudonyms: a file, or env:NAME; default: env:TIDEWAITER_PASSENGERS_KEY.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long)]
    pub key: Option<String>,
}

#[async_trait]
impl JobParameters for Parameters {
    const KIND: &'static str = "ingest";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("table", "passengers"));
    const ABOUT: &'static str = "Passengers: PAXLST and PNRGOV messages, PNR XML, and CSV files of travellers or inspections by a mapping";

    fn paths(&mut self) -> Vec<&mut String> {
        let key = self.key.as_mut().filter(|place| key::is_file(place));
        self.files.iter_mut().chain(&mut self.mapping).chain(key).collect()
    }

    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for wrong parameters and for another key than that of the archive;
    /// [`tidewaiter_core::ErrorKind::Corrupt`] where everything is put aside.
    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        let ingest = Ingest::new(self, job)?;
        finish_groups(job.archive).await?;
        let chosen = job.step("scan", scan_files(job, &ingest)).await?;
        let stored = job.step("store", store_files(job, &ingest, &chosen)).await?;
        let versions = job.step("commit", commit(job, &ingest, &chosen.choice, stored.files)).await?;
        job.outcome.tables.extend(versions);
        finish(job, &chosen.choice, stored.tally)
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        summary(outcome).unwrap_or_default()
    }
}

fn summary(outcome: &Outcome) -> Option<Vec<String>> {
    let figures = outcome.metrics.get(FIGURES)?;
    let count = |of: &Value| grouped(of.as_u64().unwrap_or(0));
    let rows = outcome.rows;
    let mut lines = vec![format!(
        "{} messages or records in = {} archived + {} put aside",
        grouped(rows.read),
        grouped(rows.archived),
        grouped(rows.quarantined)
    )];
    let all = |of: &str| figures[of].as_object().cloned().unwrap_or_default();
    let tables: Vec<String> = all("rows")
        .iter()
        .map(|(table, rows)| format!("{} {}", count(rows), table.trim_start_matches("passengers/")))
        .collect();
    lines.push(format!("rows: {}", tables.join(", ")));
    lines.extend(all("rules").iter().map(|(rule, number)| format!("{:>9} put aside: {rule}", count(number))));
    lines
        .extend(all("issues").iter().map(|(issue, number)| format!("{:>9} flagged: {issue}", count(number))));
    lines.extend(figures["first"].as_str().map(|first| format!("first put aside: {first}")));
    for (name, words) in [
        ("known_files", "files were ingested before: nothing is added for them"),
        ("known", "messages or records were in the archive before"),
        ("repeated", "messages or records come more than once among the files"),
    ] {
        if figures[name].as_u64().is_some_and(|number| number > 0) {
            lines.push(format!("{:>9} {words}", count(&figures[name])));
        }
    }
    Some(lines)
}

/// What all steps of an ingest need.
struct Ingest {
    files: Vec<String>,
    mapping: String,
    form: Form,
    country: String,
    /// Where every process finds the key.
    place: String,
    fingerprint: String,
    ingested_us: i64,
}

impl Ingest {
    fn new(parameters: &Parameters, job: &Job<'_>) -> Result<Self> {
        let doing = || format!("read the mapping {}", parameters.mapping.as_deref().unwrap_or_default());
        let mapping =
            parameters.mapping.as_deref().map(std::fs::read_to_string).transpose().context(doing)?;
        let mapping = mapping.unwrap_or_default();
        let form = Form::of(&mapping).context(doing)?;
        let country = match (form.country(), &parameters.country) {
            (Some(of_mapping), Some(named)) if of_mapping != named => {
                return Err(Error::input(format!(
                    "--country {named} is not that of the mapping, {of_mapping}; leave it out"
                )));
            }
            (Some(country), _) => country.to_owned(),
            (None, Some(country)) => country.clone(),
            (None, None) => {
                return Err(Error::input("say whose border control got the messages, such as --country KR"));
            }
        };
        let place = parameters.key.clone().unwrap_or_else(|| key::DEFAULT.to_owned());
        let fingerprint = Key::read(&place)?.fingerprint().to_owned();
        let ingested_us = job.submitted_ms.saturating_mul(1000);
        Ok(Self { files: parameters.files.clone(), mapping, form, country, place, fingerprint, ingested_us })
    }
}

/// The files, and what is stored of them.
#[derive(Debug, Serialize, Deserialize)]
struct ChosenFiles {
    /// The paths, by the places that the choice names.
    paths: Vec<String>,
    bytes: Vec<u64>,
    choice: Choice,
}

fn scan_files<'a>(job: &Job<'a>, ingest: &'a Ingest) -> impl Future<Output = Result<ChosenFiles>> + use<'a> {
    let (archive, engine, session) = (job.archive, job.engine, job.session("scan"));
    let (work, roots, named) = (job.work_folder().to_owned(), job.roots.clone(), ingest.files.clone());
    async move {
        let session = session?;
        for layout in TABLES {
            Table::open_or_create(archive, layout.table, &(layout.schema)()).await?;
        }
        let messages = session.read_table(snapshot_provider(archive, MESSAGES.table, None).await?)?;
        let first = answers::one_batch(messages.select_columns(&["key"])?.limit(0, Some(1))?).await?;
        if first.num_rows() > 0 && answers::text(&first, "key", 0)?.as_ref() != Some(&ingest.fingerprint) {
            return Err(Error::input(format!(
                "the pseudonyms of the archive were made with another key than that in {}; give the same",
                ingest.place
            )));
        }
        let listed = on_cpu(move || list(&named, &roots)).await?;
        let at_once = engine.most_tasks().await.max(1);
        let files = listed.iter().enumerate().map(|(number, file)| ((number, file.path.clone()), file.bytes));
        let tasks = listing::tasks(files.collect(), at_once);
        let tasks = tasks.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        let folder = format!("{work}/scan");
        let rows = tasks::spread(&session, archive, &folder, &tasks, at_once.min(tasks.len())).await?;
        let operator =
            ScanOperator::new(messages::PassengersScanOperator { mapping: ingest.mapping.clone() })?;
        let scanned = plan::reports::<Vec<Scanned>>(plan::apply(rows, operator)?).await?.concat();
        let layout = ingest.form.layout();
        let (table, column) = (Table::open(archive, layout.table).await?, layout.columns[0].name);
        let choice = choose(&session, &table, column, scanned).await?;
        let (paths, bytes) = listed.into_iter().map(|file| (file.path, file.bytes)).unzip();
        Ok(ChosenFiles { paths, bytes, choice })
    }
}

fn store_files<'a>(
    job: &Job<'a>,
    ingest: &'a Ingest,
    chosen: &'a ChosenFiles,
) -> impl Future<Output = Result<Stored>> + use<'a> {
    let (archive, engine, session) = (job.archive, job.engine, job.session("store"));
    let (work, id) = (job.work_folder().to_owned(), job.outcome.job.clone());
    async move {
        let session = session?;
        let ChosenFiles { paths, bytes, choice } = chosen;
        let at_once = engine.most_tasks().await.max(1);
        let files = choice.files.iter().filter_map(|file| {
            let (path, bytes) = (paths.get(file.number)?.clone(), bytes.get(file.number)?);
            Some((Task { path, left_out: file.left_out.clone() }, *bytes))
        });
        let tasks = listing::tasks(files.collect(), at_once);
        if tasks.is_empty() {
            return Ok(Stored::default());
        }
        let tasks = tasks.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        let folder = format!("{work}/store");
        let rows = tasks::spread(&session, archive, &folder, &tasks, at_once.min(tasks.len())).await?;
        let operator = StoreOperator::new(messages::PassengersStoreOperator {
            archive: archive.url().to_string(),
            country: ingest.country.clone(),
            mapping: ingest.mapping.clone(),
            key: ingest.place.clone(),
            fingerprint: ingest.fingerprint.clone(),
            job: id,
            ingested_us: ingest.ingested_us,
            memory_bytes: engine.task_memory() as u64,
        })?;
        let mut stored = Stored::default();
        for part in plan::reports::<Stored>(plan::apply(rows, operator)?).await? {
            stored.tally.merge(part.tally);
            for (table, files) in part.files {
                stored.files.entry(table).or_default().extend(files);
            }
        }
        Ok(stored)
    }
}

/// Makes the rows of all tables, and what is put aside, visible together; gives the tables' versions.
fn commit<'a>(
    job: &Job<'a>,
    ingest: &'a Ingest,
    choice: &'a Choice,
    mut files: BTreeMap<String, Vec<DataFile>>,
) -> impl Future<Output = Result<Vec<String>>> + use<'a> {
    let (archive, id) = (job.archive, job.outcome.job.clone());
    async move {
        let own = ingest.form.layout().table;
        // A file of which nothing was archived may come again, when it is mended.
        let state = |stored: u64| if stored > 0 { SourceState::Archived } else { SourceState::PutAside };
        let sources: BTreeSet<(&str, u64)> =
            choice.files.iter().map(|file| (file.digest.as_str(), file.stored)).collect();
        let sources: Vec<SourceChange> = sources
            .into_iter()
            .map(|(digest, stored)| SourceChange { digest: digest.to_owned(), from: None, to: state(stored) })
            .collect();
        let change = |adds, sources| Change {
            adds,
            sources,
            operation: Parameters::KIND.to_owned(),
            changes_rows: true,
            ..Change::default()
        };
        let quarantine = Table::open_or_create(archive, QUARANTINE, &quarantine_table_schema()).await?;
        let mut tables = Vec::new();
        for layout in TABLES {
            tables.push(Table::open(archive, layout.table).await?);
        }
        // The table of the identities first: by it another ingest of the same files is refused.
        tables.sort_by_key(|table| table.name() != own);
        let mut changes = Vec::new();
        for table in tables.iter().chain([&quarantine]) {
            let adds = files.remove(table.name()).unwrap_or_default();
            let sources = if table.name() == own { sources.clone() } else { Vec::new() };
            if !adds.is_empty() || !sources.is_empty() {
                changes.push((table, change(adds, sources)));
            }
        }
        let changed: Vec<&Table> = changes.iter().map(|(table, _)| *table).collect();
        if !changes.is_empty() {
            commit_group(archive, &format!("{id}-passengers"), changes).await?;
        }
        let mut versions = Vec::new();
        for table in changed {
            versions.push(format!("{}@{}", table.name(), table.version().await?));
        }
        Ok(versions)
    }
}

/// Notes in the outcome what became of the messages.
fn finish(job: &mut Job<'_>, choice: &Choice, tally: Tally) -> Result<()> {
    let known = choice.known + choice.repeated;
    job.outcome.rows.read = tally.archived + tally.quarantined;
    job.outcome.rows.archived = tally.archived;
    job.outcome.rows.quarantined = tally.quarantined;
    let figures = json!({
        "rows": tally.rows,
        "rules": tally.rules,
        "issues": tally.issues,
        "first": tally.first,
        "known_files": choice.known_files,
        "known": choice.known,
        "repeated": choice.repeated,
    });
    job.outcome.metrics.insert(FIGURES.to_owned(), figures);
    if tally.quarantined > 0 && tally.archived + known == 0 {
        return Err(Error::corrupt(format!(
            "everything is put aside; first: {}; the table {QUARANTINE} has the reasons",
            tally.first.unwrap_or_default()
        )));
    }
    Ok(())
}
