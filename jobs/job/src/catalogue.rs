//! What a program can do: the domains that it was built with, by registration.
//!
//! A [`Domain`] lists the tables, plan nodes, learners, jobs, services and commands of one crate; a [`Catalogue`] is
//! the list of domains, and the only thing that servers and the command line know of them.

use std::{any::Any, fmt, path::Path, sync::Arc};

use clap::{ArgMatches, Command as Arguments};
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Map, Value};
use tidewaiter_archive::{Archive, listed_scan::ListedScan, schema::Layout, write_operator::WriteOperator};
use tidewaiter_core::{
    Error, Result, ResultExt,
    plan::{self, Operator},
};
use tidewaiter_proto::v1;
use tonic::service::RoutesBuilder;

use crate::{
    extensions::{Extensions, Learner},
    outcome::Outcome,
    parameters::JobKind,
    specification::{PIPELINE, Specification},
    user_file,
};

/// What one crate adds to a program.
pub struct Domain {
    /// The tables that exports are read into.
    pub tables: &'static [&'static Layout],
    /// The tables that only its own jobs write.
    pub written: &'static [&'static Layout],
    /// The plan nodes.
    pub operators: &'static [OperatorKind],
    /// What learns from shards.
    pub learners: &'static [Learner],
    /// The kinds of job.
    pub jobs: &'static [JobKind],
    /// The commands that are no jobs.
    pub commands: &'static [Command],
    /// Adds gRPC services over an archive to a scheduler's.
    pub services: &'static [fn(&Archive, &mut RoutesBuilder)],
    /// What other crates look for by its type ([`Extensions::all`]).
    pub extensions: &'static [&'static (dyn Any + Send + Sync)],
}

impl Domain {
    /// A domain that adds nothing.
    pub const EMPTY: Self = Self {
        tables: &[],
        written: &[],
        operators: &[],
        learners: &[],
        jobs: &[],
        commands: &[],
        services: &[],
        extensions: &[],
    };
}

/// Makes an operator of its payload.
pub type ReadOperator = fn(&[u8], &Extensions) -> Result<Arc<dyn Operator>>;

/// A plan node by the name that its operator has ([`Operator::name`]).
pub struct OperatorKind {
    /// The name.
    pub name: &'static str,
    /// Makes the operator of its payload.
    pub read: ReadOperator,
}

/// A command that is no job.
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// Adds its help, options and sub-commands.
    pub arguments: fn(Arguments) -> Arguments,
    /// Does it.
    pub run: fn(Surroundings, ArgMatches) -> BoxFuture<'static, Result<Answer>>,
}

/// Where a command runs.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The archive.
    pub archive: Archive,
    /// The scheduler to ask, `http://host:port`; absent: this process works.
    pub scheduler: Option<String>,
}

/// What a command answers.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The document of `--output json`.
    pub document: Value,
    /// The lines for people.
    pub lines: Vec<String>,
    /// What a person hears beside it, on the error stream.
    pub remarks: Vec<String>,
}

/// What every program has: the plan nodes that write tables, and that read many files.
static FOUNDATION: Domain = Domain {
    operators: &[
        OperatorKind {
            name: WriteOperator::NAME,
            read: |payload, _| Ok(Arc::new(WriteOperator::new(prost::Message::decode(payload)?)?)),
        },
        OperatorKind { name: ListedScan::NAME, read: |payload, _| Ok(Arc::new(ListedScan::read(payload)?)) },
    ],
    ..Domain::EMPTY
};

/// The domains of a program.
#[derive(Clone, Copy)]
pub struct Catalogue(&'static [&'static Domain]);

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalogue").field("domains", &self.0.len()).finish()
    }
}

impl Catalogue {
    /// A catalogue of some domains.
    pub const fn new(domains: &'static [&'static Domain]) -> Self {
        Self(domains)
    }

    fn domains(&self) -> impl Iterator<Item = &'static Domain> + use<> {
        std::iter::once(&FOUNDATION).chain(self.0.iter().copied())
    }

    /// What the domains registered for each other.
    pub fn extensions(&self) -> Extensions {
        Extensions {
            tables: self.domains().flat_map(|domain| domain.tables).copied().collect(),
            written: self.domains().flat_map(|domain| domain.written).copied().collect(),
            learners: self.domains().flat_map(|domain| domain.learners).collect(),
            others: self.domains().flat_map(|domain| domain.extensions).copied().collect(),
        }
    }

    /// The kinds of job.
    fn jobs(&self) -> impl Iterator<Item = &'static JobKind> + use<> {
        self.domains().flat_map(|domain| domain.jobs)
    }

    /// The commands that are no jobs.
    pub fn commands(&self) -> impl Iterator<Item = &'static Command> + use<> {
        self.domains().flat_map(|domain| domain.commands)
    }

    /// Adds every domain's gRPC services over an archive.
    pub fn add_services(&self, archive: &Archive, routes: &mut RoutesBuilder) {
        for add in self.domains().flat_map(|domain| domain.services) {
            add(archive, routes);
        }
    }

    /// Makes a plan node of its message.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when the message is not one of this version.
    pub fn operator(&self, message: &v1::PlanOperator) -> Result<Arc<dyn Operator>> {
        let mut kinds = self.domains().flat_map(|domain| domain.operators);
        let kind = kinds.find(|kind| kind.name == message.name).ok_or_else(plan::unknown)?;
        (kind.read)(&message.payload, &self.extensions())
    }

    /// The names of all plan nodes.
    pub fn operator_names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.domains().flat_map(|domain| domain.operators).map(|kind| kind.name)
    }

    /// The commands that are jobs, with their options.
    pub fn job_commands(&self) -> Vec<Arguments> {
        let extensions = self.extensions();
        let mut commands: Vec<Arguments> = Vec::new();
        for job in self.jobs() {
            let place = commands.iter().position(|command| command.get_name() == job.kind);
            let known = place.map(|place| commands.remove(place));
            let command = known.unwrap_or_else(|| Arguments::new(job.kind));
            let command = match job.variant {
                None => options_of(job, command, &extensions),
                Some((_, variant)) => {
                    let options = options_of(job, Arguments::new(variant), &extensions);
                    let about = command.get_about().is_none().then(|| about_of(job.kind));
                    let command = command.subcommand(options);
                    match about {
                        Some(about) => {
                            command.subcommand_required(true).arg_required_else_help(true).about(about)
                        }
                        // What the command itself needs, its sub-commands do not.
                        None => command.subcommand_negates_reqs(true),
                    }
                }
            };
            commands.insert(place.unwrap_or(commands.len()), command);
        }
        commands
    }

    /// The job that a command's options ask for; `None` when it is no job.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for options that contradict each other.
    pub fn specification(&self, command: &str, matches: &ArgMatches) -> Result<Option<Specification>> {
        let of_kind = || self.jobs().filter(|job| job.kind == command);
        let variant = matches.subcommand().and_then(|(name, options)| {
            let job = of_kind().find(|job| job.variant.is_some_and(|(_, variant)| variant == name))?;
            Some((job, options))
        });
        let plain = || Some((of_kind().find(|job| job.variant.is_none())?, matches));
        let Some((job, options)) = variant.or_else(plain) else { return Ok(None) };
        Ok(Some(Specification::of_kind(job, (job.from_arguments)(options)?)))
    }

    /// What an outcome came to, in a few lines for people.
    pub fn summary(&self, outcome: &Outcome) -> Vec<String> {
        let variant = outcome.variant.as_deref();
        let is_it = |job: &&JobKind| job.kind == outcome.kind && job.variant.map(|(_, name)| name) == variant;
        self.jobs().find(is_it).map(|job| (job.summary)(outcome)).unwrap_or_default()
    }

    /// Reads the JSON that a specification is sent and kept as.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when it is not one of the catalogue.
    pub fn read(&self, text: &str) -> Result<Specification> {
        let value = serde_json::from_str(text).map_err(|error| Error::input(error.to_string()));
        value.and_then(|value| self.read_value(value)).context(|| "read the job's specification")
    }

    /// Reads a pipeline: the archive that it names, if any, and its jobs.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`], naming the job that is wrong.
    pub fn read_pipeline(&self, path: &Path) -> Result<(Option<String>, Specification)> {
        let bytes = std::fs::read(path).context(|| format!("read the pipeline {}", path.display()))?;
        let wrong = |error: &dyn fmt::Display| Error::input(format!("{}: {error}", path.display()));
        let no_text = |_| wrong(&"it is no text; a pipeline is TOML in UTF-8 with one [[job]] for each job");
        let text = String::from_utf8(bytes).map_err(no_text)?;
        // What stands in a file that is no pipeline is not shown.
        let file: PipelineFile = user_file::read(&text).map_err(|error| wrong(&error.chain()))?;
        let mut jobs = Vec::new();
        for (number, job) in file.jobs.into_iter().enumerate() {
            let job = self.read_value(job);
            jobs.push(job.map_err(|error| wrong(&format!("job {}: {}", number + 1, error.chain())))?);
        }
        if jobs.is_empty() {
            return Err(wrong(&"there is no [[job]]: a pipeline has one for each job, with its kind"));
        }
        Ok((file.archive, Specification::pipeline(jobs)))
    }

    fn read_value(&self, value: Value) -> Result<Specification> {
        let Value::Object(mut fields) = value else {
            return Err(Error::input("a job is not a table of parameters"));
        };
        if fields.get("kind").and_then(Value::as_str) == Some(PIPELINE) {
            let Some(Value::Array(jobs)) = fields.remove("jobs") else {
                return Err(Error::input("a pipeline has no list of `jobs`"));
            };
            let jobs = jobs.into_iter().map(|job| self.read_value(job));
            return Ok(Specification::pipeline(jobs.collect::<Result<_>>()?));
        }
        let kind = self.kind_of(&mut fields)?;
        Ok(Specification::of_kind(kind, (kind.read)(Value::Object(fields))?))
    }

    /// The kind of job that a specification names; what told it from others is taken out.
    pub(crate) fn kind_of(&self, specification: &mut Map<String, Value>) -> Result<&'static JobKind> {
        let kind = match specification.remove("kind") {
            Some(Value::String(kind)) => kind,
            _ => return Err(Error::input("the job has no `kind`")),
        };
        let of_kind: Vec<_> = self.jobs().filter(|job| job.kind == kind).collect();
        if of_kind.is_empty() {
            let mut known: Vec<_> = self.jobs().map(|job| job.kind).collect();
            known.push(PIPELINE);
            known.sort_unstable();
            known.dedup();
            return Err(Error::input(format!("unknown kind `{kind}`; the kinds are {}", known.join(", "))));
        }
        let said = |job: &&&'static JobKind| {
            job.variant
                .is_some_and(|(key, value)| specification.get(key).and_then(Value::as_str) == Some(value))
        };
        if let Some(job) = of_kind.iter().find(said) {
            if let Some((key, _)) = job.variant {
                specification.remove(key);
            }
            return Ok(job);
        }
        if let Some(job) = of_kind.iter().find(|job| job.variant.is_none()) {
            return Ok(job);
        }
        let known: Vec<_> = of_kind
            .iter()
            .filter_map(|job| job.variant)
            .map(|(key, value)| format!("{key} = {value:?}"))
            .collect();
        Err(Error::input(format!("{kind} of what? say one of {}", known.join(", "))))
    }
}

/// A pipeline's file: TOML with one `[[job]]` table per job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PipelineFile {
    archive: Option<String>,
    #[serde(rename = "job", default)]
    jobs: Vec<Value>,
}

/// A command with a job's options; what it is about is said last, as options bring a text of their own.
fn options_of(job: &JobKind, command: Arguments, extensions: &Extensions) -> Arguments {
    (job.arguments)(command, extensions).about(job.about).long_about(None)
}

/// What a command of several variants is about.
fn about_of(kind: &str) -> &'static str {
    match kind {
        "retrain" => "Retrain a model on the archive's past, and evaluate it on its test months",
        "apply" => "Score the archive's items by a model",
        "backtest" => "Compare strategies of selection over the archive's past",
        "passengers" => {
            "Link travellers to persons, draw networks, find risk profiles, and delete what has had its time"
        }
        _ => "Choose one of the sub-commands",
    }
}
