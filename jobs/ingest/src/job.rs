//! The job that ingests exports: one commit for each file, or for a group of small ones.
//!
//! Executors ingest, the driver commits: files are read by the tasks of a query and committed here in the order in
//! which they were named, each as a whole or not at all. Data files are named by the job and the place of the group's
//! first file. Rows that fail a check go to the table of quarantined rows, with the reason and the raw text, by the same
//! commit as the good ones, so that no row is lost.
//!
//! A file whose bytes were ingested before adds nothing, unless all its rows were put aside. With `again` its rows make
//! way for what this mapping makes of it; with `replace_months` all rows of the country in those months do.
//!
//! What is absent: export files in an object store; every executor must be able to open them as files. Start at
//! [`Parameters`].

use std::{ops::RangeInclusive, path::Path};

use clap::{Arg, ArgAction, ArgMatches, Args, Command};
use datafusion::prelude::SessionContext;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use tidewaiter_archive::{table::finish_groups, tasks};
use tidewaiter_core::{Error, ErrorKind, Period, Result, ResultExt, plan, threads::on_cpu};
use tidewaiter_job::{
    Extensions, Job, JobParameters, Outcome, async_trait, parameters::with_arguments, summary::grouped,
};

use crate::{
    commit::{self, Mode, Origin, Tables},
    committed::{Committed, Failure, NAMED},
    dry_run::{DryRun, dry_run},
    foreseen::{Foreseen, comparison, foreseen},
    group::{Group, GroupReport},
    guess,
    keys::MOST_KEYS,
    known,
    listing::{grouped_files, list},
    mapping::Mapping,
    messages, nomenclature, numbers,
    operator::IngestOperator,
    repeated::{Repeated, repeated},
    summary,
};

/// Groups of files that one query reads, at most.
const GROUPS_PER_STEP: usize = 64;

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
    /// The export files, as every executor can open them, or their URLs in an object store (s3://BUCKET/PATH). In a
    /// file's name `*` stands for anything; such files are taken in the order of their names.
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
    /// Read files that were ingested before once more, as after a corrected mapping: what is made of them takes the place
    /// of their rows and quarantined rows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[arg(long)]
    pub again: bool,
    /// Let the files take the place of all rows of the mapping's country in these months, such as 2024-01..2024-03; all
    /// or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "MONTHS", conflicts_with = "again")]
    pub replace_months: Option<Period>,
    /// Let each row take the place of earlier ones of the same declaration and item (of another table: of the same key);
    /// where the column `version` is mapped, of no later version.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[arg(long, conflicts_with_all = ["again", "replace_months"])]
    pub amend: bool,
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
        summary::lines(outcome)
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
    let (named, roots) = (parameters.files.clone(), job.roots.clone());
    let all = job.step("list files", on_cpu(move || list(&named, &roots))).await?;
    let mode = match parameters.replace_months {
        Some(months) => Mode::Months(months),
        None if parameters.again => Mode::Again,
        None if parameters.amend => Mode::Amend,
        None => Mode::New,
    };
    if parameters.dry_run {
        return try_exports(job, mapping.parsed, all, most_quarantined, &mode).await;
    }
    finish_groups(job.archive).await?;
    let tables = Tables::open(job.archive, layout, job.engine.task_memory() as u64).await?;
    let archive = job.archive;
    let reserved = job.step("number sources", numbers::reserve(archive, all.len())).await?;
    let origin = mapping.origin(job, reserved.first);
    let ingest = Ingest { mapping: &mapping, most_quarantined, origin: &origin, mode: &mode };
    let groups = grouped_files(&all, job.engine.most_tasks().await);
    let mut committed = Committed::default();
    if matches!(mode, Mode::Months(_)) {
        let mut reports = Vec::new();
        for groups in groups.chunks(GROUPS_PER_STEP) {
            let name = format!("read {}", files_of(groups));
            let query = ingest.read(job, &name, groups);
            reports.extend(job.step(&name, query).await?);
        }
        let session = job.session("replace months")?;
        let id = job.outcome.job.clone();
        let replace = ingest.replace(&session, &tables, &id, reports);
        committed.merge(job.step("replace months", replace).await?);
    } else {
        for groups in groups.chunks(GROUPS_PER_STEP) {
            let mut pending = groups.to_vec();
            for round in 0..ROUNDS {
                if pending.is_empty() {
                    break;
                }
                let again = if round == 0 { String::new() } else { format!(" again {round}") };
                let name = format!("read {}{again}", files_of(&pending));
                let query = ingest.read(job, &name, &pending);
                let reports = job.step(&name, query).await?;
                let name = format!("commit {}{again}", files_of(&pending));
                let session = job.session(&name)?;
                let commit = ingest.commit(&session, &tables, reports);
                pending = committed.merge(job.step(&name, commit).await?);
            }
            if !pending.is_empty() {
                return Err(Error::conflict(
                    "other jobs ingest the same files; run this again when they are over",
                ));
            }
        }
    }
    job.outcome.tables.push(format!("{}@{}", layout.table, tables.rows.version().await?));
    numbers::settle(archive, reserved, committed.rows.read > 0).await?;
    if !committed.known.is_empty() {
        let session = job.session("known files")?;
        let named = &committed.known[..committed.known.len().min(NAMED)];
        let known = known::told(&session, &tables, &origin, &parameters.mapping, named).await?;
        job.outcome.metrics.insert("known".to_owned(), json!(known));
    }
    if committed.rows.archived > 0 && matches!(mode, Mode::New | Mode::Again) {
        let session = job.session("look for keys")?;
        let more = i32::try_from(all.len()).unwrap_or(i32::MAX).saturating_sub(1);
        let last = origin.first_source.saturating_add(more);
        let looked = look_for_keys(&session, &tables, &origin, origin.first_source..=last).await?;
        note_keys(job, looked);
    }
    let advice = advice(mapping.parsed.clone(), all, &committed).await?;
    let query = format!("tidewaiter archive sql \"SELECT * FROM quarantine WHERE job = '{}'\"", origin.job);
    finish(job, committed, Some(query), advice)
}

/// The new rows whose keys the archive had. The rows are archived, whatever becomes of the question.
async fn look_for_keys(
    session: &SessionContext,
    tables: &Tables,
    origin: &Origin,
    sources: RangeInclusive<i32>,
) -> Result<Repeated> {
    match repeated(session, tables, &origin.country, sources).await {
        Err(error) if error.kind() != ErrorKind::Cancelled => Ok(Repeated::not_compared(error.chain())),
        looked => looked,
    }
}

/// Notes in the outcome what is known of the keys of new rows.
fn note_keys(job: &mut Job<'_>, looked: Repeated) {
    let metrics = &mut job.outcome.metrics;
    match looked {
        Repeated::Rows(0) => {}
        Repeated::Rows(rows) => {
            metrics.insert("repeated".to_owned(), json!(rows));
        }
        Repeated::NotCompared(why) => {
            metrics.insert("uncompared".to_owned(), json!(why));
        }
    }
}

/// Reads and checks export files, says what their ingest would do, and writes nothing.
async fn try_exports(
    job: &mut Job<'_>,
    mapping: Mapping,
    files: Vec<String>,
    most_quarantined: f64,
    mode: &Mode,
) -> Result<()> {
    let memory = job.engine.task_memory() as u64;
    let tables = Tables::existing(job.archive, mapping.layout(), memory).await?;
    let at_once = job.engine.most_tasks().await;
    let comparison = match &tables {
        Some(tables) => Some(comparison(tables, mode, files.clone(), at_once).await?),
        None => None,
    };
    let done = dry_run(mapping.clone(), files.clone(), most_quarantined, at_once, comparison).await?;
    let DryRun { rows, tally, failures, compared } = done;
    job.outcome.metrics.insert("dry_run".to_owned(), json!(true));
    let mut committed = Committed { rows, tally, ..Committed::default() };
    committed.failures = failures.iter().map(Failure::of).collect();
    if let (Some(tables), true) = (tables, committed.failures.is_empty()) {
        let session = job.session("compare with the archive")?;
        let Foreseen { replaced, outdated, repeated, known, is_uncompared } =
            foreseen(&session, &tables, mode, &mapping.file.country, compared).await?;
        (committed.replaced, committed.outdated) = (replaced, outdated);
        for (name, count) in [("repeated", repeated), ("ingested_before", known)] {
            if count > 0 {
                job.outcome.metrics.insert(name.to_owned(), json!(count));
            }
        }
        if is_uncompared {
            let why = format!(
                "the rows have more than {} keys: which of them the archive has already is not counted before the \
                 ingest; try fewer files at a time",
                grouped(MOST_KEYS)
            );
            job.outcome.metrics.insert("uncompared".to_owned(), json!(why));
        }
    }
    let advice = advice(mapping, files, &committed).await?;
    finish(job, committed, None, advice)
}

/// The formats of dates that would fit better than those of the mapping.
async fn advice(mapping: Mapping, files: Vec<String>, committed: &Committed) -> Result<Vec<String>> {
    let (tally, rows) = (committed.tally.clone(), committed.rows.read);
    on_cpu(move || Ok(guess::advice(&mapping, &files, &tally, rows))).await
}

/// Groups of files by the places of the first and the last file in the job's list.
fn files_of(groups: &[Group]) -> String {
    let first = groups.first().map_or(0, |group| group.number + 1);
    let last = groups.last().map_or(0, |group| group.number + group.files.len());
    format!("files {first}..{last}")
}

/// The first mapping that the options of an ingest ask for; `None` where they ask for an ingest.
///
/// # Errors
/// Those of [`guess::mapping`].
pub fn guessed(options: &ArgMatches, extensions: &Extensions) -> Result<Option<String>> {
    // A table that another domain ingests by itself, such as one of files, has no such option.
    let asked =
        |options: &ArgMatches| options.try_get_one::<bool>(GUESS).is_ok_and(|asked| asked == Some(&true));
    let Some((table, options)) = options.subcommand().filter(|(_, options)| asked(options)) else {
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

impl ReadMapping {
    /// The codes of the nomenclature that it names, one a line.
    fn codes(&self) -> String {
        let codes: Vec<&str> = self.parsed.nomenclature().iter().map(String::as_str).collect();
        codes.join("\n")
    }

    fn origin(&self, job: &Job<'_>, first_source: i32) -> Origin {
        let digest = Sha256::new().chain_update(&self.text).chain_update([0]).chain_update(self.codes());
        Origin {
            country: self.parsed.file.country.clone(),
            mapping_digest: digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
            mapping: self.text.clone(),
            job: job.outcome.job.clone(),
            ingested_us: job.submitted_ms.saturating_mul(1000),
            first_source,
        }
    }
}

fn read_mapping(job: &Job<'_>, parameters: &Parameters) -> Result<ReadMapping> {
    let doing = || format!("read the mapping {}", parameters.mapping);
    if Path::new(&parameters.mapping).is_dir() {
        return Err(Error::input(format!(
            "--mapping {0} is a folder; name a mapping in it, such as {0}/mapping.toml",
            parameters.mapping.trim_end_matches('/')
        )));
    }
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
fn finish(
    job: &mut Job<'_>,
    committed: Committed,
    quarantine: Option<String>,
    advice: Vec<String>,
) -> Result<()> {
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
    if !committed.known.is_empty() {
        tracing::warn!(
            files = committed.known.len(),
            "files were ingested before: nothing is added for them"
        );
        metrics.insert("ingested_before".to_owned(), json!(committed.known.len()));
    }
    if committed.replaced > 0 {
        metrics.insert("replaced".to_owned(), json!(committed.replaced));
    }
    if committed.outdated > 0 {
        metrics.insert("outdated".to_owned(), json!(committed.outdated));
    }
    let aside = quarantine
        .map(|query| format!("; the rows that were put aside are in the table quarantine: {query}"))
        .unwrap_or_default();
    let mut aside =
        if committed.failures.iter().any(|failure| failure.has_quarantine) { aside } else { String::new() };
    aside.extend(advice.iter().map(|advice| format!("; {advice}")));
    if !advice.is_empty() {
        tracing::warn!(columns = advice.len(), "other formats of dates fit better than those of the mapping");
        metrics.insert("date_formats".to_owned(), json!(advice));
    }
    let mut named: Vec<String> =
        committed.failures.iter().take(NAMED).map(|failure| failure.error.clone()).collect();
    if committed.failures.len() > NAMED {
        named.push(format!("and {} more", committed.failures.len() - NAMED));
    }
    match committed.failures.as_slice() {
        [] => Ok(()),
        [failure] => Err(Error::new(failure.kind, format!("{}{aside}", failure.error))),
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
    origin: &'a Origin,
    mode: &'a Mode,
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
        let (origin, again, forgotten) = (self.origin, self.mode.reads_known(), self.mode.reads_forgotten());
        async move {
            let texts = texts?;
            let partitions = engine.most_tasks().await.min(texts.len()).max(1);
            let rows = tasks::spread(&session?, archive, &folder, &texts, partitions).await?;
            let message = messages::IngestOperator {
                archive: archive.url().to_string(),
                job: id,
                mapping: mapping.text.clone(),
                memory_bytes: engine.task_memory() as u64,
                nomenclature: mapping.codes(),
                today: mapping.today,
                most_quarantined,
                first_source: origin.first_source,
                again,
                ingested_us: origin.ingested_us,
                forgotten,
            };
            let query = plan::apply(rows, IngestOperator::new(message, &tables)?)?;
            let mut reports: Vec<GroupReport> = plan::reports::<Vec<GroupReport>>(query).await?.concat();
            reports.sort_by_key(|report| report.group.number);
            Ok(reports)
        }
    }

    /// Commits what was written, one group after the other.
    async fn commit(
        &self,
        session: &SessionContext,
        tables: &Tables,
        reports: Vec<GroupReport>,
    ) -> Result<Committed> {
        let mut committed = Committed::default();
        for report in reports {
            let id = format!("{}-{}", self.origin.job, report.group.number);
            let reports = std::slice::from_ref(&report);
            match tables.commit(session, &id, self.origin, reports, self.mode).await? {
                commit::Committed::Again => committed.again.push(report.group),
                commit::Committed::Done { replaced, outdated } => {
                    committed.replaced += replaced;
                    committed.outdated += outdated;
                    committed.count_group(report);
                }
            }
        }
        Ok(committed)
    }

    /// Commits what was written of all groups at once; nothing where a file could not be ingested.
    async fn replace(
        &self,
        session: &SessionContext,
        tables: &Tables,
        id: &str,
        reports: Vec<GroupReport>,
    ) -> Result<Committed> {
        let mut counted = Committed::default();
        reports.iter().for_each(|report| counted.count_group(report.clone()));
        if let Some(failure) = counted.failures.first() {
            return Err(Error::new(
                failure.kind,
                format!(
                    "{} of the files cannot be ingested, so that no month is replaced: {}",
                    counted.failures.len(),
                    failure.error
                ),
            ));
        }
        match tables.commit(session, id, self.origin, &reports, self.mode).await? {
            commit::Committed::Again => {
                Err(Error::conflict("other jobs ingest the same files; run this again"))
            }
            commit::Committed::Done { replaced, outdated } => Ok(Committed { replaced, outdated, ..counted }),
        }
    }
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
