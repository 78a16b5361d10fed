//! What each command does.

mod archive;
mod cluster;
mod doctor;
mod embedded;
mod history;
mod jobs;
mod models;
mod query;
mod repair;
mod servers;
mod sources;
mod summary;
mod times;

use clap::{ArgMatches, FromArgMatches};
use tidewaiter_archive::Archive;
use tidewaiter_catalogue::CATALOGUE;
use tidewaiter_core::{Error, Result};
use tidewaiter_job::catalogue::Surroundings;

use crate::{
    arguments::{Arguments, Command},
    output::{check, write},
    progress,
};

/// Runs one command to its end.
pub(crate) async fn run(matches: &ArgMatches) -> Result<()> {
    let Arguments { archive, output, place } = read(matches)?;
    if place.detach && place.scheduler.is_none() {
        return Err(Error::input(
            "--detach submits a job to a scheduler; say to which, with --scheduler URL",
        ));
    }
    let of_archive = matches.subcommand_matches("archive").and_then(ArgMatches::subcommand_name);
    check(output, of_archive == Some("sql"))?;
    let open = || Archive::open(archive.as_deref().unwrap_or(DEFAULT_ARCHIVE));
    if let Some((name, options)) = matches.subcommand() {
        if let Some(text) = tidewaiter_catalogue::text_instead(name, options)? {
            return write(output, &serde_json::json!({ "text": text }), || vec![text.trim_end().to_owned()]);
        }
        if let Some(specification) = CATALOGUE.specification(name, options)? {
            return jobs::run(&open()?, &place, specification, output).await;
        }
        if let Some(command) = CATALOGUE.commands().find(|command| command.name == name) {
            let surroundings = Surroundings { archive: open()?, scheduler: place.scheduler };
            let answer = (command.run)(surroundings, options.clone()).await?;
            answer.remarks.iter().for_each(|remark| progress::say(remark));
            return write(output, &answer.document, || answer.lines);
        }
    }
    match read(matches)? {
        Command::Scheduler(options) => servers::scheduler(open()?, options).await,
        Command::Executor(options) => servers::executor(place, options).await,
        Command::Jobs(command) => jobs::look(&place, command, output).await,
        Command::Cluster => cluster::run(&place, output).await,
        Command::Doctor => doctor::run(&open()?, &place, output).await,
        Command::Archive(command) => archive::run(&open()?, &place, command, output).await,
        Command::Models(command) => models::run(&open()?, &place, command, output).await,
        Command::Run { pipeline } => {
            let (named, specification) = CATALOGUE.read_pipeline(&pipeline)?;
            let archive = archive.or(named);
            let archive = Archive::open(archive.as_deref().unwrap_or(DEFAULT_ARCHIVE))?;
            jobs::run(&archive, &place, specification, output).await
        }
    }
}

/// The archive of a command that names none.
const DEFAULT_ARCHIVE: &str = "./archive";

/// Reads options that the command line has checked.
fn read<T: FromArgMatches>(matches: &ArgMatches) -> Result<T> {
    T::from_arg_matches(matches).map_err(|error| Error::input(error.to_string()))
}
