//! The job that ingests exports: one commit for each file, or for a group of small ones.
//!
//! Executors ingest, the driver commits: files are read by the tasks of a query and committed here in the order in
//! which they were named, each as a whole or not at all. Data files are named by the job and the place of the group's
//! first file. A file whose bytes were ingested before adds nothing. Rows that fail a check are written to
//! `quarantine/<job>/`, with the reason and the raw text, before the good ones are committed, so that no row is lost. A
//! file of which no row is archived is not known afterwards, so that it can be read again by a corrected mapping.
//!
//! What is absent: export files in an object store; every executor must be able to open them as files. Start at
//! [`Parameters`].

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Args, Command};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidewaiter_archive::{Commit, Table, tasks};
use tidewaiter_core::{Error, ErrorKind, Result, ResultExt, plan};
use tidewaiter_job::{
    Extensions, Job, JobParameters, Outcome, Rows, async_trait, parameters::with_arguments, summary::grouped,
};

use crate::{
    block::RowCounts,
    dry_run::{DryRun, dry_run},
    group::{Group, GroupReport, SourceStatus, committed_before},
    guess,
    listing::{grouped_files, list},
    mapping::Mapping,
    messages, nomenclature,
    operator::IngestOperator,
    tally::Tally,
};

/// Groups of files that one query reads, at most.
const GROUPS_PER_STEP: usize = 64;

/// Rules and failures that are named to people, at most.
const NAMED: usize = 10;

/// How often a group is read again because another job has ingested some of its files meanwhile.
const ROUNDS: usize = 3;

/// The option that asks for a mapping instead of an ingest.
const GUESS: &str = "guess";

/// Milliseconds in a day.
const DAY_MS: i64 = 86_400_000;

/// The parameters of an ingest.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The table that the mapping must be for; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(skip)]
    pub table: Option<String>,
    /// What the export's columns mean (TOML).
    #[arg(long)]
    pub mapping: String,
    /// The export files, as every executor can open them. In a file's name `*` stands for anything; such
    /// files are taken in the order of their names.
    #[arg(required = true)]
    pub files: Vec<String>,
    /// Count rows and the rules that they break, and write nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[arg(long)]
    pub dry_run: bool,
    /// The largest share of a file's rows that may fail a check, such as 1%; a file above it is not archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long)]
    pub max_quarantined: Option<String>,
}

#[async_trait]
impl JobParameters for Parameters {
    const KIND: &'static str = "ingest";
    const ABOUT: &'static str = "Read exports into the archive";

    /// A sub-command for each table.
    fn arguments(command: Command, extensions: &Extensions) -> Command {
        // The text about the table comes last: the options of `Self` bring a text of their own.
        let tables = extensions.tables().iter().map(|layout| {
            Self::augment_args(Command::new(layout.table))
                .mut_arg("mapping", |mapping| mapping.required(false).required_unless_present(GUESS))
                .arg(Arg::new(GUESS).long(GUESS).action(ArgAction::SetTrue).help(
                    "Write a first mapping of the first file to stdout, with comments, and ingest nothing",
                ))
                .about(layout.about)
                .long_about(None)
        });
        command.subcommand_required(true).arg_required_else_help(true).subcommands(tables)
    }

    fn from_arguments(matches: &ArgMatches) -> Result<Self> {
        let (table, options) =
            matches.subcommand().ok_or_else(|| Error::input("say into which table the exports go"))?;
        Ok(Self { table: Some(table.to_owned()), ..with_arguments(options)? })
    }

    fn paths(&mut self) -> Vec<&mut String> {
        std::iter::once(&mut self.mapping).chain(&mut self.files).collect()
    }

    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        ingest_exports(job, self).await
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let Rows { read, archived, quarantined } = outcome.rows;
        let mut lines = vec![format!(
            "{} rows in = {} archived + {} quarantined",
            grouped(read),
            grouped(archived),
            grouped(quarantined)
        )];
        let counts = |key: &str| outcome.metrics.get(key).and_then(Value::as_object).into_iter().flatten();
        let mut rules: Vec<(&String, u64)> =
            counts("quarantined").map(|(rule, count)| (rule, count.as_u64().unwrap_or(0))).collect();
        rules.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        lines.extend(rules.iter().map(|(rule, count)| format!("{:>9} put aside: {rule}", grouped(*count))));
        lines.extend(counts("repaired").map(|(correction, count)| {
            format!("{:>9} corrected: {correction}", grouped(count.as_u64().unwrap_or(0)))
        }));
        let text = |key: &str| outcome.metrics.get(key).and_then(Value::as_str);
        lines.extend(text("first_quarantined").map(|first| format!("first put aside: {first}")));
        lines.extend(text("quarantine").map(|place| format!("quarantine {place}")));
        lines
    }
}

/// Ingests export files under one mapping.
///
/// # Errors
/// Those of the files that could not be ingested; the other files are ingested all the same.
async fn ingest_exports(job: &mut Job<'_>, parameters: &Parameters) -> Result<()> {
    let mapping = read_mapping(job, parameters)?;
    let most_quarantined = parameters.max_quarantined.as_deref().map_or(Ok(1.0), share)?;
    let layout = mapping.parsed.layout();
    let roots = job.roots.clone();
    let all = job.step("list files", async { list(&parameters.files, &roots) }).await?;
    if parameters.dry_run {
        let at_once = job.engine.most_tasks().await;
        let DryRun { rows, tally, failures } =
            dry_run(mapping.parsed, all, most_quarantined, at_once).await?;
        let mut committed = Committed { rows, tally, ..Committed::default() };
        committed.failures = failures.iter().map(Failure::of).collect();
        return finish(job, committed, None);
    }
    let table = Table::open_or_create(job.archive, layout.table, &(layout.schema)()).await?;
    let ingest = Ingest { mapping: &mapping, most_quarantined };
    let groups = grouped_files(&all, job.engine.most_tasks().await);
    let mut committed = Committed::default();
    for groups in groups.chunks(GROUPS_PER_STEP) {
        let mut pending = groups.to_vec();
        for round in 0..ROUNDS {
            let (Some(first), Some(last)) = (pending.first(), pending.last()) else { break };
            let again = if round == 0 { String::new() } else { format!(" again {round}") };
            let files = format!("files {}..{}{again}", first.number + 1, last.number + last.files.len());
            let name = format!("read {files}");
            let query = ingest.read(job, &name, &pending);
            let reports = job.step(&name, query).await?;
            let id = job.outcome.job.clone();
            let now = job.step(&format!("commit {files}"), commit(&table, &id, reports)).await?;
            pending = committed.merge(now);
        }
        if !pending.is_empty() {
            return Err(Error::conflict(
                "other jobs ingest the same files; run this again when they are over",
            ));
        }
    }
    job.outcome.tables.push(format!("{}@{}", layout.table, table.version().await?));
    let quarantine = format!("quarantine/{}", job.outcome.job);
    finish(job, committed, Some(job.archive.display(&quarantine)))
}

/// The first mapping that the options of an ingest ask for; `None` where they ask for an ingest.
///
/// # Errors
/// Those of [`guess::mapping`].
pub fn guessed(options: &ArgMatches, extensions: &Extensions) -> Result<Option<String>> {
    let Some((table, options)) = options.subcommand().filter(|(_, options)| options.get_flag(GUESS)) else {
        return Ok(None);
    };
    let layout = extensions.tables().iter().find(|layout| layout.table == table);
    let file = options.get_many::<String>("files").into_iter().flatten().next();
    match (layout, file) {
        (Some(layout), Some(file)) => guess::mapping(layout, Path::new(file)).map(Some),
        _ => Err(Error::input("name a file to look at")),
    }
}

/// A mapping with its text, which executors read.
struct ReadMapping {
    text: String,
    parsed: Mapping,
    today: i32,
}

fn read_mapping(job: &Job<'_>, parameters: &Parameters) -> Result<ReadMapping> {
    let doing = || format!("read the mapping {}", parameters.mapping);
    let text = std::fs::read_to_string(&parameters.mapping).context(doing)?;
    let mut parsed = Mapping::parse(&text, job.extensions.tables()).context(doing)?;
    let layout = parsed.layout();
    if let Some(wanted) = parameters.table.as_ref().filter(|wanted| *wanted != layout.table) {
        return Err(Error::input(format!(
            "the mapping {} is for {} and not for {wanted}; mend its `table`, or say `tidewaiter ingest {}`",
            parameters.mapping, layout.table, layout.table
        )));
    }
    if let Some(file) = parsed.nomenclature_file() {
        let file = Path::new(&parameters.mapping).parent().unwrap_or(Path::new(".")).join(file);
        let file = job.roots.resolve(&file.display().to_string())?;
        let read = || nomenclature::codes(&std::fs::read(&file)?);
        let codes = read().context(|| format!("read the nomenclature {file}"))?;
        parsed = parsed.with_nomenclature(codes);
    }
    // A job without a time, such as a test's, has no day either.
    let day = Some(job.submitted_ms).filter(|time| *time > 0).map(|time| time.div_euclid(DAY_MS));
    let today = day.and_then(|day| i32::try_from(day).ok()).unwrap_or(i32::MAX);
    Ok(ReadMapping { text, parsed: parsed.on_day(today), today })
}

/// A share, written as `1%` or `0.01`.
fn share(text: &str) -> Result<f64> {
    let (number, unit) = match text.trim().strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    let share = number.trim().parse::<f64>().ok().map(|number| number / unit);
    share.filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| {
        Error::input(format!("--max-quarantined is {text:?}; give a share such as 1% or 0.01"))
    })
}

/// Notes in the outcome what became of the rows, and fails for the files that were not ingested.
fn finish(job: &mut Job<'_>, committed: Committed, quarantine: Option<String>) -> Result<()> {
    job.outcome.rows = committed.rows;
    let metrics = &mut job.outcome.metrics;
    if !committed.tally.rules.is_empty() {
        metrics.insert("quarantined".to_owned(), json!(committed.tally.rules));
    }
    if !committed.tally.repairs.is_empty() {
        metrics.insert("repaired".to_owned(), json!(committed.tally.repairs));
    }
    if let Some(first) = &committed.tally.first {
        metrics.insert("first_quarantined".to_owned(), json!(first));
    }
    if let Some(quarantine) = quarantine.as_ref().filter(|_| committed.rows.quarantined > 0) {
        metrics.insert("quarantine".to_owned(), json!(quarantine));
    }
    if committed.known > 0 {
        tracing::warn!(files = committed.known, "files were ingested before: nothing is added for them");
        metrics.insert("ingested_before".to_owned(), json!(committed.known));
    }
    let aside =
        quarantine.map(|place| format!("; the rows that were put aside are in {place}")).unwrap_or_default();
    let named: Vec<&str> =
        committed.failures.iter().take(NAMED).map(|failure| failure.error.as_str()).collect();
    match committed.failures.as_slice() {
        [] => Ok(()),
        [failure] if failure.has_quarantine => {
            Err(Error::new(failure.kind, format!("{}{aside}", failure.error)))
        }
        [failure] => Err(Error::new(failure.kind, failure.error.clone())),
        [failure, ..] => Err(Error::new(
            failure.kind,
            format!("{} files are not ingested: {}{aside}", committed.failures.len(), named.join("; ")),
        )),
    }
}

/// How groups are read.
struct Ingest<'a> {
    mapping: &'a ReadMapping,
    most_quarantined: f64,
}

impl<'a> Ingest<'a> {
    /// Ingests groups by the tasks of one query, up to their commit.
    fn read<'j>(
        &self,
        job: &Job<'j>,
        step: &str,
        groups: &[Group],
    ) -> impl Future<Output = Result<Vec<GroupReport>>> + use<'a, 'j> {
        let (archive, id, session) = (job.archive, job.outcome.job.clone(), job.session(step));
        let tables = job.extensions.tables().to_vec();
        let first = groups.first().map_or(0, |group| group.number);
        let (folder, engine) = (format!("{}/files-{first}", job.work_folder()), job.engine);
        let texts = groups.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
        let (mapping, most_quarantined) = (self.mapping, self.most_quarantined);
        async move {
            let texts = texts?;
            let partitions = engine.most_tasks().await.min(texts.len()).max(1);
            let rows = tasks::spread(&session?, archive, &folder, &texts, partitions).await?;
            let codes: Vec<&str> = mapping.parsed.nomenclature().iter().map(String::as_str).collect();
            let message = messages::IngestOperator {
                archive: archive.url().to_string(),
                job: id,
                mapping: mapping.text.clone(),
                memory_bytes: engine.task_memory() as u64,
                nomenclature: codes.join("\n"),
                today: mapping.today,
                most_quarantined,
            };
            let query = plan::apply(rows, IngestOperator::new(message, &tables)?)?;
            let mut reports: Vec<GroupReport> = plan::reports::<Vec<GroupReport>>(query).await?.concat();
            reports.sort_by_key(|report| report.group.number);
            Ok(reports)
        }
    }
}

/// What was committed of several groups.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Committed {
    rows: Rows,
    tally: Tally,
    failures: Vec<Failure>,
    /// Files that were ingested before.
    known: u64,
    /// Groups that must be read again, because some of their files were ingested meanwhile.
    again: Vec<Group>,
}

/// The error of a file that was not ingested.
#[derive(Debug, Serialize, Deserialize)]
struct Failure {
    error: String,
    kind: ErrorKind,
    /// Whether its rows are in quarantine.
    has_quarantine: bool,
}

impl Failure {
    fn of(error: &Error) -> Self {
        Self { error: error.chain(), kind: error.kind(), has_quarantine: false }
    }
}

impl Committed {
    /// Adds what was committed later, and gives the groups that must be read again.
    fn merge(&mut self, other: Self) -> Vec<Group> {
        self.rows.read += other.rows.read;
        self.rows.archived += other.rows.archived;
        self.rows.quarantined += other.rows.quarantined;
        self.tally.merge(other.tally);
        self.failures.extend(other.failures);
        self.known += other.known;
        other.again
    }

    fn count(&mut self, rows: RowCounts, tally: Tally) {
        let (failures, known, again) = (Vec::new(), 0, Vec::new());
        let rows = Rows { read: rows.read, archived: rows.archived, quarantined: rows.quarantined };
        self.merge(Self { rows, tally, failures, known, again });
    }
}

/// Commits what a job has written, one group after the other.
async fn commit(table: &Table, job: &str, reports: Vec<GroupReport>) -> Result<Committed> {
    let mut committed = Committed::default();
    for GroupReport { group, sources, files, resumed } in reports {
        let digests = sources.iter().filter_map(|source| match source {
            // What is put aside entirely can be read again.
            SourceStatus::Read { rows, digest, .. } if rows.archived > 0 || rows.read == 0 => {
                Some(digest.clone())
            }
            _ => None,
        });
        let digests: Vec<String> = digests.collect();
        let mut resumed = resumed;
        if !digests.is_empty()
            && !is_new(table.commit(&files, &digests, "ingest").await, table, &digests).await?
        {
            // This job has committed the group before it was taken up again, or another job some of its files meanwhile.
            resumed = committed_before(table, &format!("{job}-{}", group.number)).await?;
            if resumed.is_none() {
                committed.again.push(group);
                continue;
            }
        }
        let is_resumed = resumed.is_some();
        if let Some((rows, tally)) = resumed {
            committed.count(rows, tally);
        }
        for (file, source) in group.files.iter().zip(sources) {
            match source {
                SourceStatus::Read { rows, .. } if is_resumed && rows.archived > 0 => {}
                SourceStatus::AlreadyThere if is_resumed => {}
                SourceStatus::AlreadyThere => committed.known += 1,
                SourceStatus::Read { rows, tally, .. } => {
                    committed.failures.extend(put_aside(file, rows, &tally));
                    committed.count(rows, tally);
                }
                SourceStatus::Failed { error, kind } => {
                    committed.failures.push(Failure { error, kind, has_quarantine: false });
                }
            }
        }
    }
    Ok(committed)
}

/// Whether a commit added its sources; false where the table had some of them.
async fn is_new(commit: Result<Commit>, table: &Table, digests: &[String]) -> Result<bool> {
    match commit {
        Ok(Commit::Version(_)) => Ok(true),
        Ok(Commit::AlreadyThere) => Ok(false),
        Err(error) if error.kind() == ErrorKind::Conflict => {
            if table.known_sources(digests).await?.is_empty() { Err(error) } else { Ok(false) }
        }
        Err(error) => Err(error),
    }
}

/// The failure of a file none of whose rows is archived.
fn put_aside(file: &str, rows: RowCounts, tally: &Tally) -> Option<Failure> {
    if rows.archived > 0 || rows.quarantined == 0 {
        return None;
    }
    let rules = tally.frequent();
    let named = rules.iter().take(NAMED).map(|(rule, count)| format!("{count} × {rule}")).collect::<Vec<_>>();
    let error = format!(
        "{file}: all {} rows are put aside ({}); first: {}; correct the mapping or the file and ingest it again",
        rows.quarantined,
        named.join(", "),
        tally.first.as_deref().unwrap_or("unknown")
    );
    Some(Failure { error, kind: ErrorKind::Corrupt, has_quarantine: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_of_a_table_is_its_own() {
        static DOMAINS: &[&tidewaiter_job::Domain] = &[&tidewaiter_declarations::DOMAIN];
        let extensions = tidewaiter_job::Catalogue::new(DOMAINS).extensions();
        let command = Parameters::arguments(Command::new("ingest"), &extensions);
        let table =
            command.find_subcommand(tidewaiter_declarations::DECLARATIONS).expect("one for each table");
        let about = table.get_about().map(ToString::to_string);
        assert_eq!(about.as_deref(), Some(tidewaiter_declarations::LAYOUT.about));
        assert!(table.get_long_about().is_none());
    }

    #[test]
    fn a_share_is_a_number_or_percent() {
        assert_eq!(
            (share("1%").ok(), share("0.25").ok(), share("100 %").ok()),
            (Some(0.01), Some(0.25), Some(1.0))
        );
        for text in ["", "101%", "-1%", "one", "2"] {
            assert_eq!(share(text).expect_err(text).kind(), ErrorKind::Input);
        }
    }
}
