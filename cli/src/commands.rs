//! What each command does.

mod archive;
mod jobs;
mod models;
mod servers;

use std::io::Write;

use tidewaiter_jobs::{Archive, Result, ResultExt};

use crate::arguments::{Arguments, Command, Output, Retrain};

/// Runs one command to its end.
pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let archive = || Archive::open(&arguments.archive);
    match arguments.command {
        Command::Ingest(command) => jobs::ingest(&archive()?, command, arguments.output).await,
        Command::Quality => jobs::quality(&archive()?, arguments.output).await,
        Command::Synth(options) => jobs::synth(&archive()?, options, arguments.output).await,
        Command::Retrain(Retrain::Fraud(options)) => {
            jobs::retrain_fraud(&archive()?, options, arguments.output).await
        }
        Command::Archive(command) => archive::run(&archive()?, command, arguments.output).await,
        Command::Models(command) => models::run(&archive()?, command, arguments.output).await,
        Command::Scheduler(options) => servers::scheduler(options).await,
        Command::Executor(options) => servers::executor(options).await,
    }
}

/// Writes a command's result: the lines for people, or the JSON document.
fn write(output: Output, json: &serde_json::Value, text: impl FnOnce() -> Vec<String>) -> Result<()> {
    let text = match output {
        Output::Text => text().join("\n"),
        Output::Json => serde_json::to_string_pretty(json)?,
    };
    writeln!(std::io::stdout(), "{text}").context(|| "write the result to stdout")
}
