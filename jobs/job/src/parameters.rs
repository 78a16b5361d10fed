//! A kind of job: its parameters, which say how it is asked for and what it does.
//!
//! A parameter is one field of one struct: `serde` reads it from a pipeline's file and the ledger, and gives its
//! default; `clap` makes an option of it. Start at [`JobParameters`].

use async_trait::async_trait;
use clap::{ArgMatches, Args, Command};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tidewaiter_core::{Error, Result};

use crate::{extensions::Extensions, job::Job, outcome::Outcome};

/// The parameters of one kind of job.
#[async_trait]
pub trait JobParameters: Args + Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The kind: the command, and `kind` in a pipeline's file.
    const KIND: &'static str;

    /// What tells it from others of its kind, where there are such: a key of the pipeline's file and its value, which is
    /// the sub-command (`("model", "fraud")`).
    const VARIANT: Option<(&'static str, &'static str)> = None;

    /// What it does, in the words of `--help`.
    const ABOUT: &'static str;

    /// Adds its options to a command.
    fn arguments(command: Command, extensions: &Extensions) -> Command {
        let _ = extensions;
        Self::augment_args(command)
    }

    /// Reads a command's options over the defaults of a pipeline's file.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for options that contradict each other.
    fn from_arguments(matches: &ArgMatches) -> Result<Self> {
        with_arguments(matches)
    }

    /// The paths among the parameters that mean something on the caller's machine: made absolute there, and on a
    /// server taken only where its operator lets jobs name files ([`crate::Roots`]). A file that the job opens by a
    /// name of its parameters must be among them.
    fn paths(&mut self) -> Vec<&mut String> {
        Vec::new()
    }

    /// Does the job.
    ///
    /// # Errors
    /// The job's own.
    async fn run(&self, job: &mut Job<'_>) -> Result<()>;

    /// What an outcome came to, in a few lines for people.
    fn summary(outcome: &Outcome) -> Vec<String> {
        let _ = outcome;
        Vec::new()
    }
}

/// Parameters with the defaults that `serde` gives, and over them the options of a command.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for an option that is not what its parameter can be.
pub fn with_arguments<P: Args + DeserializeOwned>(matches: &ArgMatches) -> Result<P> {
    let wrong = |error: &dyn std::fmt::Display| Error::input(error.to_string());
    let options = P::augment_args(Command::new("job"));
    let mut required = Map::new();
    for option in options.get_arguments().filter(|option| option.is_required_set()) {
        let name = option.get_id().as_str();
        let given = matches.get_raw(name).into_iter().flatten();
        let mut given: Vec<Value> = given.map(|text| text.to_string_lossy().into_owned().into()).collect();
        let many = matches!(option.get_action(), clap::ArgAction::Append);
        let value = if many { Value::Array(given) } else { given.pop().unwrap_or_default() };
        required.insert(name.to_owned(), value);
    }
    let mut parameters: P = serde_json::from_value(Value::Object(required)).map_err(|error| wrong(&error))?;
    parameters.update_from_arg_matches(matches).map_err(|error| wrong(&error))?;
    Ok(parameters)
}

/// Parameters of whichever kind.
#[async_trait]
pub(crate) trait Work: Send + Sync {
    fn write(&self) -> Result<Value>;
    fn paths(&mut self) -> Vec<&mut String>;
    fn boxed(&self) -> Box<dyn Work>;
    async fn run(&self, job: &mut Job<'_>) -> Result<()>;
}

#[async_trait]
impl<P: JobParameters> Work for P {
    fn write(&self) -> Result<Value> {
        Ok(serde_json::to_value(self)?)
    }

    fn paths(&mut self) -> Vec<&mut String> {
        JobParameters::paths(self)
    }

    fn boxed(&self) -> Box<dyn Work> {
        Box::new(self.clone())
    }

    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        JobParameters::run(self, job).await
    }
}

/// One kind of job, as a domain registers it.
pub struct JobKind {
    pub(crate) kind: &'static str,
    pub(crate) variant: Option<(&'static str, &'static str)>,
    pub(crate) about: &'static str,
    pub(crate) read: fn(Value) -> Result<Box<dyn Work>>,
    pub(crate) arguments: fn(Command, &Extensions) -> Command,
    pub(crate) from_arguments: fn(&ArgMatches) -> Result<Box<dyn Work>>,
    pub(crate) summary: fn(&Outcome) -> Vec<String>,
}

impl JobKind {
    /// The kind of job of some parameters.
    pub const fn of<P: JobParameters>() -> Self {
        Self {
            kind: P::KIND,
            variant: P::VARIANT,
            about: P::ABOUT,
            read: read::<P>,
            arguments: P::arguments,
            from_arguments: from_arguments::<P>,
            summary: P::summary,
        }
    }
}

fn read<P: JobParameters>(value: Value) -> Result<Box<dyn Work>> {
    let parameters: P = serde_json::from_value(value).map_err(|error| Error::input(error.to_string()))?;
    Ok(Box::new(parameters))
}

fn from_arguments<P: JobParameters>(matches: &ArgMatches) -> Result<Box<dyn Work>> {
    Ok(Box::new(P::from_arguments(matches)?))
}
