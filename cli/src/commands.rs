//! What each command does.

mod archive;
mod hs;
mod jobs;
mod models;
mod servers;
mod summary;

use std::io::Write;

use tidewaiter_jobs::{
    Archive, Error, Result, ResultExt,
    archive::schema,
    catalogue::{self, Specification, read_pipeline},
    fraud, hs as hs_model,
    job::{ingest, release, synth},
    learning::{gbdt, logistic},
    synth::Schemes,
};

use crate::arguments::{
    Apply, Arguments, Backtest, BacktestFraud, Command, Compare, Exports, FraudLearner, Ingest, JobCommand,
    Output, Rank, Retrain, RetrainFraud, RetrainHs,
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
        Command::Hs(command) => hs::run(&open()?, &place, command, output).await,
        Command::Models(command) => models::run(&open()?, command, output).await,
        Command::Run { pipeline } => {
            let (named, specification) = read_pipeline(&pipeline)?;
            let archive = archive.or(named);
            let archive = Archive::open(archive.as_deref().unwrap_or(DEFAULT_ARCHIVE))?;
            jobs::run(&archive, &place, specification, output).await
        }
        Command::Job(command) => jobs::run(&open()?, &place, specification(command)?, output).await,
    }
}

/// The archive of a command that names none.
const DEFAULT_ARCHIVE: &str = "./archive";

/// The generator's schemes but for some.
fn without(names: &[String]) -> Result<Schemes> {
    let mut schemes = Schemes::default();
    for name in names {
        let switch = match name.as_str() {
            "undervaluation" => &mut schemes.undervaluation,
            "misclassification" => &mut schemes.misclassification,
            "false_origin" => &mut schemes.false_origin,
            "under_weighing" => &mut schemes.under_weighing,
            _ => {
                return Err(Error::input(format!(
                    "there is no scheme {name:?} to leave out; see `synth --help`"
                )));
            }
        };
        *switch = false;
    }
    Ok(schemes)
}

/// The job that a command asks for.
fn specification(command: JobCommand) -> Result<Specification> {
    let text = |path: std::path::PathBuf| path.display().to_string();
    Ok(match command {
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
            releases: options.releases,
            archive: tidewaiter_jobs::synth::Parameters {
                country: options.country,
                first_month: (options.first_year, 1),
                months: options.years * 12,
                rows_per_year: options.rows_per_year,
                seed: options.seed,
                illicit_rate: options.illicit_rate,
                inspection_rate: options.inspection_rate,
                inspection_bias: options.inspection_bias,
                schemes: without(&options.without_scheme)?,
                new_scheme_traders: options.new_scheme_traders,
                new_scheme_share: options.new_scheme_share,
                new_scheme_size: options.new_scheme_size,
                old_schemes_left: options.old_schemes_left,
                new_scheme_by_new_brokers: options.new_scheme_by_new_brokers,
                new_scheme_on_free_goods: options.new_scheme_on_free_goods,
                new_scheme_by_unsuspected: options.new_scheme_by_unsuspected,
                new_scheme_from: options.new_scheme_from.map(|month| month.first_month()),
                old_schemes_until: options.old_schemes_until.map(|month| month.first_month()),
                drift: options.drift,
                covariate_drift: options.covariate_drift,
                heavy_tail: options.heavy_tail,
                histories: !options.no_histories,
                rings: !options.no_rings,
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
        JobCommand::Retrain(Retrain::Hs(options)) => {
            Specification::Retrain(catalogue::Retrain::Hs(retrain_hs(options)))
        }
        JobCommand::Apply(Apply::Hs(options)) => {
            Specification::Apply(catalogue::Apply::Hs(hs_model::apply::Parameters {
                country: options.country,
                months: options.months,
                version: options.version,
                fast: options.fast,
            }))
        }
        JobCommand::Backtest(Backtest::Fraud(options)) => {
            Specification::Backtest(catalogue::Backtest::Fraud(backtest_fraud(options)))
        }
        JobCommand::Apply(Apply::Fraud(options)) => {
            Specification::Apply(catalogue::Apply::Fraud(fraud::apply::Parameters {
                country: options.country,
                months: options.months,
                version: options.version,
                capacity_percent: options.capacity_percent,
                rank_by: match options.rank_by {
                    Rank::Probability => fraud::apply::RankBy::Probability,
                    Rank::Revenue => fraud::apply::RankBy::Revenue,
                },
            }))
        }
    })
}

fn backtest_fraud(options: BacktestFraud) -> fraud::backtest::Parameters {
    fraud::backtest::Parameters {
        country: options.country,
        from: options.from,
        to: options.to,
        strategies: options.strategies,
        truth: options.truth.iter().map(|path| path.display().to_string()).collect(),
        seeds: options.seeds,
        seed: options.seed,
        period_days: options.period_days,
        inspection_rate: options.inspection_rate,
        exploration: options.exploration,
        features: fraud::features::Parameters {
            label_delay_days: options.label_delay_days,
            history_capacity: options.history_capacity,
            ..fraud::features::Parameters::default()
        },
        trees: gbdt::Parameters {
            trees: options.trees,
            leaves: options.leaves,
            learning_rate: options.learning_rate,
            ..fraud::backtest::trees()
        },
        date: date_parameters(options.epochs),
        training_rows: options.training_rows,
    }
}

/// DATE with so many epochs where they are asked for, and else with as many as few rows need.
fn date_parameters(epochs: Option<u32>) -> fraud::date::Parameters {
    let usual = fraud::date::Parameters::default();
    match epochs {
        Some(epochs) => fraud::date::Parameters { epochs, least_steps: 0, ..usual },
        None => usual,
    }
}

fn retrain_fraud(options: RetrainFraud) -> fraud::retrain::Parameters {
    let trees = |usual: gbdt::Parameters| gbdt::Parameters {
        trees: options.trees.unwrap_or(usual.trees),
        leaves: options.leaves.unwrap_or(usual.leaves),
        learning_rate: options.learning_rate.unwrap_or(usual.learning_rate),
        feature_fraction: options.feature_fraction,
        min_rows_per_leaf: options.min_rows_per_leaf.unwrap_or(usual.min_rows_per_leaf),
        seed: options.seed,
        ..usual
    };
    let date = date_parameters(options.epochs);
    fraud::retrain::Parameters {
        country: options.country,
        train: options.train,
        valid: options.valid,
        test: options.test,
        features: fraud::features::Parameters {
            label_delay_days: options.label_delay_days,
            ..fraud::features::Parameters::default()
        },
        learner: match options.model {
            FraudLearner::Gbdt => fraud::fitting::Learner::Gbdt,
            FraudLearner::Logistic => fraud::fitting::Learner::Logistic,
            FraudLearner::Date => fraud::fitting::Learner::Date,
        },
        members: options.members,
        logistic: logistic::Parameters::default(),
        trees: trees(gbdt::Parameters::default()),
        date: fraud::date::Parameters { booster: trees(date.booster.clone()), seed: options.seed, ..date },
        shards: options.shards,
        compare: options.compare.map(|Compare::Champion| fraud::compare::Against::Champion),
    }
}

fn retrain_hs(options: RetrainHs) -> hs_model::retrain::Parameters {
    let (epochs, layers, seed) = (options.fine_tune_epochs, options.fine_tune_layers, options.seed);
    let encoder = |path: String| hs_model::encoder::Parameters {
        fine_tune_epochs: epochs,
        fine_tune_layers: layers,
        seed,
        ..hs_model::encoder::Parameters::new(path)
    };
    hs_model::retrain::Parameters {
        country: options.country,
        train: options.train,
        valid: options.valid,
        test: options.test,
        classifiers: hs_model::learner::Parameters {
            cost: options.cost,
            most_texts: options.most_texts,
            seed: options.seed,
            ..hs_model::learner::Parameters::default()
        },
        shards: options.shards,
        precedents: options.precedents,
        vague_below: options.vague_below,
        nomenclature: options.nomenclature.map(|path| path.display().to_string()),
        correlation: options.correlation.map(|path| path.display().to_string()),
        encoder: options.encoder.map(encoder),
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
