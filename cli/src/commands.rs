//! What each command does.

mod archive;
mod jobs;
mod models;
mod servers;
mod summary;

use std::io::Write;

use tidewaiter_jobs::{
    Archive, Result, ResultExt,
    archive::schema,
    catalogue::{self, Specification, read_pipeline},
    fraud,
    job::{ingest, release, synth},
    learning::gbdt,
};

use crate::arguments::{
    Apply, Arguments, Command, Exports, Ingest, JobCommand, Output, Retrain, RetrainFraud,
};

/// Runs one command to its end.
pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let Arguments { archive, output, place, command } = arguments;
    let open = || Archive::open(archive.as_deref().unwrap_or(DEFAULT_ARCHIVE));
    match command {
        Command::Scheduler(options) => servers::scheduler(open()?, options).await,
        Command::Executor(options) => servers::executor(place, options).await,
        Command::Jobs(command) => jobs::look(&place, command, output).await,
        Command::Archive(command) => archive::run(&open()?, &place, command, output).await,
        Command::Models(command) => models::run(&open()?, command, output).await,
        Command::Run { pipeline } => {
            let (named, specification) = read_pipeline(&pipeline)?;
            let archive = archive.or(named);
            let archive = Archive::open(archive.as_deref().unwrap_or(DEFAULT_ARCHIVE))?;
            jobs::run(&archive, &place, specification, output).await
        }
        Command::Job(command) => jobs::run(&open()?, &place, specification(command), output).await,
    }
}

/// The archive of a command that names none.
const DEFAULT_ARCHIVE: &str = "./archive";

/// The job that a command asks for.
fn specification(command: JobCommand) -> Specification {
    let text = |path: std::path::PathBuf| path.display().to_string();
    match command {
        JobCommand::Quality => Specification::Quality {},
        JobCommand::ReleaseStudy(options) => Specification::ReleaseStudy(release::Parameters {
            country: options.country,
            from: options.from,
            to: options.to,
            by: options.by,
            compare: options.compare,
            cut_off: options.cut_off,
            stages: options.stages.map(text),
            seed: options.seed,
            language: options.language,
        }),
        JobCommand::Synth(options) => Specification::Synth(synth::Parameters {
            out: text(options.out),
            archive: tidewaiter_jobs::synth::Parameters {
                country: options.country,
                first_month: (options.first_year, 1),
                months: options.years * 12,
                rows_per_year: options.rows_per_year,
                seed: options.seed,
                ..tidewaiter_jobs::synth::Parameters::default()
            },
        }),
        JobCommand::Ingest(command) => {
            let (table, Exports { mapping, files }) = match command {
                Ingest::Declarations(exports) => (schema::DECLARATIONS, exports),
                Ingest::Releases(exports) => (schema::RELEASES, exports),
            };
            let files = files.into_iter().map(text).collect();
            let table = Some(table.to_owned());
            Specification::Ingest(ingest::Parameters { table, mapping: text(mapping), files })
        }
        JobCommand::Retrain(Retrain::Fraud(options)) => {
            Specification::Retrain(catalogue::Retrain::Fraud(retrain_fraud(options)))
        }
        JobCommand::Apply(Apply::Fraud(options)) => {
            Specification::Apply(catalogue::Apply::Fraud(fraud::apply::Parameters {
                country: options.country,
                months: options.months,
                version: options.version,
                capacity_percent: options.capacity_percent,
            }))
        }
    }
}

fn retrain_fraud(options: RetrainFraud) -> fraud::retrain::Parameters {
    fraud::retrain::Parameters {
        country: options.country,
        train: options.train,
        valid: options.valid,
        test: options.test,
        features: fraud::features::Parameters {
            label_delay_days: options.label_delay_days,
            ..fraud::features::Parameters::default()
        },
        trees: gbdt::Parameters {
            trees: options.trees,
            leaves: options.leaves,
            learning_rate: options.learning_rate,
            feature_fraction: options.feature_fraction,
            min_rows_per_leaf: options.min_rows_per_leaf,
            seed: options.seed,
            ..gbdt::Parameters::default()
        },
        shards: options.shards,
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
