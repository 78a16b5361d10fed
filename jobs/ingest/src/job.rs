//! The job that ingests exports: one commit for each file.
//!
//! Executors ingest, the driver commits: files are read by the tasks of a query and committed here in the order in
//! which they were named, each as a whole or not at all. Data files are named by the job and the file's number. A file
//! whose bytes were ingested before adds nothing. Rows that fail a check are written to `quarantine/<job>/`, with the
//! reason and the raw text, before the good ones are committed, so that no row is lost.
//!
//! What is absent: export files in an object store; every executor must be able to open them as files. Start at
//! [`Parameters`].

use std::path::Path;

use clap::{ArgMatches, Args, Command};
use serde::{Deserialize, Serialize};
use tidewaiter_archive::{Commit, Table, tasks};
use tidewaiter_core::{Error, ErrorKind, Result, ResultExt, plan};
use tidewaiter_job::{
    Extensions, Job, JobParameters, Outcome, Rows, async_trait, parameters::with_arguments, summary::grouped,
};

use crate::{
    mapping::Mapping,
    messages,
    operator::{FileReport, FileStatus, IngestOperator},
};

/// Files that one query reads, at most.
const FILES_PER_STEP: usize = 64;

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
}

#[async_trait]
impl JobParameters for Parameters {
    const KIND: &'static str = "ingest";
    const ABOUT: &'static str = "Read exports into the archive";

    /// A sub-command for each table.
    fn arguments(command: Command, extensions: &Extensions) -> Command {
        // The text about the table comes last: the options of `Self` bring a text of their own.
        let tables = extensions.tables().iter().map(|layout| {
            Self::augment_args(Command::new(layout.table)).about(layout.about).long_about(None)
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
        vec![format!(
            "{} rows in = {} archived + {} quarantined",
            grouped(read),
            grouped(archived),
            grouped(quarantined)
        )]
    }
}

/// Ingests export files under one mapping.
///
/// # Errors
/// That of the first file that could not be ingested; the other files are ingested all the same.
async fn ingest_exports(job: &mut Job<'_>, parameters: &Parameters) -> Result<()> {
    let doing = || format!("read the mapping {}", parameters.mapping);
    let mapping = std::fs::read_to_string(&parameters.mapping).context(doing)?;
    let layout = Mapping::parse(&mapping, job.extensions.tables()).context(doing)?.layout();
    if let Some(wanted) = parameters.table.as_ref().filter(|wanted| *wanted != layout.table) {
        return Err(Error::input(format!(
            "the mapping {} is for {} and not for {wanted}; mend its `table`, or say `tidewaiter ingest {}`",
            parameters.mapping, layout.table, layout.table
        )));
    }
    let all = job.step("list files", async { list(&parameters.files) }).await?;
    let table = Table::open_or_create(job.archive, layout.table, &(layout.schema)()).await?;
    let mut failures = Vec::new();
    for (step, files) in all.chunks(FILES_PER_STEP).enumerate() {
        let first = step * FILES_PER_STEP;
        let name = format!("read files {}..{}", first + 1, first + files.len());
        let query = read(job, &name, &mapping, first, files);
        let reports = job.step(&name, query).await?;
        let name = format!("commit files {}..{}", first + 1, first + files.len());
        let committed = job.step(&name, commit(&table, reports)).await?;
        job.outcome.rows.read += committed.rows.read;
        job.outcome.rows.archived += committed.rows.archived;
        job.outcome.rows.quarantined += committed.rows.quarantined;
        failures.extend(committed.failures);
    }
    job.outcome.tables.push(format!("{}@{}", layout.table, table.version().await?));
    match failures.into_iter().next() {
        None => Ok(()),
        Some(failure) => Err(Error::new(failure.kind, failure.error)),
    }
}

/// The files of the names, in which a `*` stands for anything.
fn list(named: &[String]) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for name in named {
        let path = Path::new(name);
        let pattern = path.file_name().and_then(|name| name.to_str()).filter(|name| name.contains('*'));
        let Some((before, after)) = pattern.and_then(|pattern| pattern.split_once('*')) else {
            files.push(name.clone());
            continue;
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).context(|| format!("list {}", folder.display()))? {
            let entry = entry.context(|| format!("list {}", folder.display()))?.path();
            let matches = |name: &str| {
                name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
            };
            if entry.file_name().and_then(|name| name.to_str()).is_some_and(matches) {
                found.push(entry.display().to_string());
            }
        }
        if found.is_empty() {
            return Err(Error::not_found(format!("no file is named {name}")));
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

/// Ingests files by the tasks of one query, up to their commit.
fn read<'a>(
    job: &Job<'a>,
    step: &str,
    mapping: &'a str,
    first: usize,
    files: &'a [String],
) -> impl Future<Output = Result<Vec<FileReport>>> + use<'a> {
    let (archive, id, session) = (job.archive, job.outcome.job.clone(), job.session(step));
    let tables = job.extensions.tables().to_vec();
    let (folder, engine) = (format!("{}/files-{first}", job.work_folder()), job.engine);
    async move {
        let partitions = engine.most_tasks().await.min(files.len()).max(1);
        let rows = tasks::spread(&session?, archive, &folder, files, partitions).await?;
        let message = messages::IngestOperator {
            archive: archive.url().to_string(),
            job: id,
            first: u32::try_from(first).unwrap_or(u32::MAX),
            mapping: mapping.to_owned(),
            memory_bytes: engine.task_memory() as u64,
        };
        let query = plan::above(rows, IngestOperator::new(message, &tables)?)?;
        let mut reports: Vec<FileReport> = plan::reports::<Vec<FileReport>>(query).await?.concat();
        reports.sort_by_key(|report| report.number);
        Ok(reports)
    }
}

/// What was committed of several files.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Committed {
    rows: Rows,
    failures: Vec<Failure>,
}

/// The error of a file that was not ingested.
#[derive(Debug, Serialize, Deserialize)]
struct Failure {
    error: String,
    kind: ErrorKind,
}

/// Commits what was written, one file after the other.
async fn commit(table: &Table, reports: Vec<FileReport>) -> Result<Committed> {
    let mut committed = Committed::default();
    for FileReport { file, status, .. } in reports {
        match status {
            FileStatus::Written { rows, digest, files } => {
                match table.commit(&files, &[digest], "ingest").await? {
                    Commit::Version(_) => {
                        committed.rows.read += rows.read;
                        committed.rows.archived += rows.archived;
                        committed.rows.quarantined += rows.quarantined;
                    }
                    Commit::AlreadyThere => skipped(&file),
                }
            }
            FileStatus::AlreadyThere => skipped(&file),
            FileStatus::Failed { error, kind } => {
                tracing::error!(file, error, "file is not ingested");
                committed.failures.push(Failure { error, kind });
            }
        }
    }
    Ok(committed)
}

fn skipped(file: &str) {
    tracing::warn!(file, "file was ingested before: nothing is added");
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
    fn a_star_stands_for_anything_in_a_files_name() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b-2.csv", "b-1.csv", "c-1.csv", "b-.txt"] {
            std::fs::write(folder.path().join(name), "").expect("written");
        }
        let path = |name: &str| folder.path().join(name).display().to_string();
        let listed = list(&[path("c-1.csv"), path("b-*.csv")]).expect("lists");
        assert_eq!(listed, [path("c-1.csv"), path("b-1.csv"), path("b-2.csv")]);
        let error = list(&[path("d-*.csv")]).expect_err("there is none");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
