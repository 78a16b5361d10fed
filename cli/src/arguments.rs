//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use tidewaiter_jobs::{fraud::backtest::strategy::Strategy, job::Period};

/// Batch analytics on a national customs archive.
#[derive(Debug, Parser)]
#[command(name = "tidewaiter", version)]
pub(crate) struct Arguments {
    /// Where the archive is: a folder, or a file://, s3:// or memory:// URL; default: ./archive, or what a
    /// pipeline names.
    #[arg(long, global = true, env = "TIDEWAITER_ARCHIVE")]
    pub(crate) archive: Option<String>,
    /// How results are written to stdout.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where jobs and queries run.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Run on the cluster of this scheduler (http://host:port), in the scheduler's archive.
    #[arg(long, global = true, env = "TIDEWAITER_SCHEDULER")]
    pub(crate) scheduler: Option<String>,
    /// With --scheduler: submit the job, print its id, and do not follow it.
    #[arg(long, global = true, requires = "scheduler")]
    pub(crate) detach: bool,
    /// Without --scheduler: tasks that run at once; default: the machine's cores.
    #[arg(long, global = true)]
    pub(crate) workers: Option<usize>,
    /// Without --scheduler: memory for sorts and buffers, beyond which they spill to disk, in MiB.
    #[arg(long, global = true, default_value_t = 1024)]
    pub(crate) memory_mib: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Text for people.
    Text,
    /// One JSON document.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Do the jobs of a pipeline's file, one after the other.
    Run {
        /// The pipeline (TOML).
        pipeline: PathBuf,
    },
    #[command(flatten)]
    Job(JobCommand),
    /// Look at the scheduler's jobs.
    #[command(subcommand)]
    Jobs(Jobs),
    /// Recommend HS codes at once, with reasons.
    #[command(subcommand)]
    Hs(Hs),
    /// Look at the archive's tables.
    #[command(subcommand)]
    Archive(Archive),
    /// Look at models, and choose the champion.
    #[command(subcommand)]
    Models(Models),
    /// Run a scheduler.
    Scheduler(Scheduler),
    /// Run an executor.
    Executor(Executor),
}

/// The commands that are jobs: run in this process or on a cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Read exports into the archive.
    #[command(subcommand)]
    Ingest(Ingest),
    /// Profile the declarations: completeness, validity, uniqueness, consistency.
    Quality,
    /// Study how long goods take to be released, where the time goes, and who holds them.
    ReleaseStudy(ReleaseStudy),
    /// Generate a national archive's raw exports, with the truth beside them.
    Synth(Synth),
    /// Retrain a model on the archive's past, and judge it on its test months.
    #[command(subcommand)]
    Retrain(Retrain),
    /// Score the archive's items by a model.
    #[command(subcommand)]
    Apply(Apply),
    /// Compare strategies of selection, walked over the archive's past.
    #[command(subcommand)]
    Backtest(Backtest),
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseStudy {
    /// Reporting country, ISO 3166-1 alpha-2; default: the only one that the archive has events of.
    #[arg(long)]
    pub(crate) country: Option<String>,
    /// First month or day (2024-01 or 2024-01-15) in which cases begin; default: the first event.
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// Last month or day in which cases begin, included; default: the last event.
    #[arg(long)]
    pub(crate) to: Option<String>,
    /// Columns by whose values cases are told apart, such as office,mode,channel,aeo,permit; guide: those of the WCO's guide.
    #[arg(long, value_delimiter = ',')]
    pub(crate) by: Vec<String>,
    /// A period to compare with, such as 2023-01..2023-12.
    #[arg(long)]
    pub(crate) compare: Option<String>,
    /// Last day of which events are taken, included; cases not over then are open; default: the last event.
    #[arg(long)]
    pub(crate) cut_off: Option<String>,
    /// The stages and opening hours (TOML); default: those of examples/release-stages.toml.
    #[arg(long)]
    pub(crate) stages: Option<PathBuf>,
    /// Seed of what is simulated.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Language of the report: en or fr.
    #[arg(long, default_value = "en")]
    pub(crate) language: String,
}

#[derive(Debug, Args)]
pub(crate) struct Synth {
    /// Reporting country, ISO 3166-1 alpha-2.
    #[arg(long)]
    pub(crate) country: String,
    /// Whole years, from January.
    #[arg(long, default_value_t = 3)]
    pub(crate) years: u32,
    /// The first year.
    #[arg(long, default_value_t = 2020)]
    pub(crate) first_year: i32,
    /// Goods items a year.
    #[arg(long, default_value_t = 200_000)]
    pub(crate) rows_per_year: u64,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Share of the items that try to evade duty.
    #[arg(long, default_value_t = 0.06)]
    pub(crate) illicit_rate: f64,
    /// Share of the items that the archive's own inspection looks at.
    #[arg(long, default_value_t = 0.1)]
    pub(crate) inspection_rate: f64,
    /// How far that inspection follows its risk rule: 0 (by lot) to 1.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) inspection_bias: f64,
    /// Month from which a new trick appears, such as 2021-06.
    #[arg(long)]
    pub(crate) new_scheme_from: Option<Period>,
    /// Share of the traders that take to the new trick.
    #[arg(long, default_value_t = 0.06)]
    pub(crate) new_scheme_traders: f64,
    /// Share of their items on which they practise it.
    #[arg(long, default_value_t = 0.35)]
    pub(crate) new_scheme_share: f64,
    /// How many times as large their discounted shipments are.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) new_scheme_size: f64,
    /// The new trick is that of traders with a clean past.
    #[arg(long)]
    pub(crate) new_scheme_by_unsuspected: bool,
    /// The new trick goes through brokers that nobody knows.
    #[arg(long)]
    pub(crate) new_scheme_by_new_brokers: bool,
    /// The new trick is practised on goods that are free of duty
    #[arg(long)]
    pub(crate) new_scheme_on_free_goods: bool,
    /// An old trick that nobody practises (undervaluation, misclassification, false_origin, under_weighing).
    #[arg(long)]
    pub(crate) without_scheme: Vec<String>,
    /// Last month in which the old tricks are practised in full.
    #[arg(long)]
    pub(crate) old_schemes_until: Option<Period>,
    /// Share of the old tricks that goes on after it.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) old_schemes_left: f64,
    /// Traders change their ways every half year.
    #[arg(long)]
    pub(crate) drift: bool,
    /// Honest trade moves to other goods.
    #[arg(long)]
    pub(crate) covariate_drift: bool,
    /// Pareto index of the size of shipments; the smaller, the heavier the tail of the revenue.
    #[arg(long)]
    pub(crate) heavy_tail: Option<f64>,
    /// Write the event log of the declarations' releases, too, with planted clock errors and the truth.
    #[arg(long)]
    pub(crate) releases: bool,
    /// All traders are alike in their inclination to fraud.
    #[arg(long)]
    pub(crate) no_histories: bool,
    /// There are no rings.
    #[arg(long)]
    pub(crate) no_rings: bool,
    /// Folder that receives the files.
    pub(crate) out: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ingest {
    /// Declarations: CSV (plain, gzip or zstd) or Parquet, one row per goods item.
    Declarations(Exports),
    /// Release events: CSV or XES (plain, gzip or zstd) or Parquet, one row per event.
    Releases(Exports),
}

#[derive(Debug, Args)]
pub(crate) struct Exports {
    /// What the export's columns mean (TOML).
    #[arg(long)]
    pub(crate) mapping: PathBuf,
    /// The export's files.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Retrain {
    /// The fraud model: which goods items an inspection should look at.
    Fraud(RetrainFraud),
    /// The HS model: which HS codes a description of goods speaks for.
    Hs(RetrainHs),
}

#[derive(Debug, Args)]
pub(crate) struct RetrainHs {
    /// Reporting country, ISO 3166-1 alpha-2.
    #[arg(long)]
    pub(crate) country: String,
    /// Months that teach, such as 2020-01..2020-12.
    #[arg(long)]
    pub(crate) train: Period,
    /// Months that settle the probabilities; default: the last tenth of the training months.
    #[arg(long)]
    pub(crate) valid: Option<Period>,
    /// Months that judge the model, looked at once.
    #[arg(long)]
    pub(crate) test: Period,
    /// Table of the codes that there are and their texts: CSV with `hscode` and `description`.
    #[arg(long)]
    pub(crate) nomenclature: Option<PathBuf>,
    /// Table that carries codes of other HS editions into the nomenclature: CSV with `from_hs6` and `to_hs6`.
    #[arg(long, requires = "nomenclature")]
    pub(crate) correlation: Option<PathBuf>,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Parts of the work.
    #[arg(long, default_value_t = 8)]
    pub(crate) shards: u32,
    /// What a text on the wrong side costs beside the size of the weights.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) cost: f64,
    /// Most training texts.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) most_texts: u64,
    /// Most past declarations that are kept to compare with.
    #[arg(long, default_value_t = 200_000)]
    pub(crate) precedents: u64,
    /// A description whose best heading is less likely is too vague, 0 to 1.
    #[arg(long, default_value_t = 0.5)]
    pub(crate) vague_below: f32,
    /// Folder of a BERT sentence encoder (config.json, tokenizer.json, model.safetensors), in the archive or here.
    #[arg(long)]
    pub(crate) encoder: Option<String>,
    /// Passes over the texts in which the encoder's last layers are trained, too.
    #[arg(long, default_value_t = 0, requires = "encoder")]
    pub(crate) fine_tune_epochs: u32,
    /// How many of the encoder's last layers those are.
    #[arg(long, default_value_t = 2, requires = "encoder")]
    pub(crate) fine_tune_layers: u32,
}

/// Commands on the HS model that are no jobs.
#[derive(Debug, Subcommand)]
pub(crate) enum Hs {
    /// The five best codes at 2, 4 and 6 digits for a description, or for a column of a CSV file.
    Suggest {
        /// The description of the goods.
        #[arg(required_unless_present = "file", conflicts_with = "file")]
        description: Option<String>,
        /// A CSV file with a header.
        #[arg(long, requires = "column")]
        file: Option<PathBuf>,
        /// The file's column of descriptions.
        #[arg(long, requires = "file")]
        column: Option<String>,
        /// Country of origin, ISO 3166-1 alpha-2; with --file, the column of it.
        #[arg(long)]
        origin: Option<String>,
        /// Unit of the quantity, as declarations have it; with --file, the column of it.
        #[arg(long)]
        unit: Option<String>,
        /// Customs value per unit, or per kilogram without a unit; with --file, the column of it.
        #[arg(long)]
        unit_value: Option<String>,
        /// Version of the model; default: the champion.
        #[arg(long)]
        version: Option<u64>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RetrainFraud {
    /// Reporting country, ISO 3166-1 alpha-2.
    #[arg(long)]
    pub(crate) country: String,
    /// Months that teach, such as 2020-01..2020-12.
    #[arg(long)]
    pub(crate) train: Period,
    /// Months that stop the fit; default: the last tenth of the training months.
    #[arg(long)]
    pub(crate) valid: Option<Period>,
    /// Months that judge the model, looked at once.
    #[arg(long)]
    pub(crate) test: Period,
    /// What learns.
    #[arg(long, value_enum, default_value_t = FraudLearner::Gbdt)]
    pub(crate) model: FraudLearner,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Parts of the training data.
    #[arg(long, default_value_t = 8)]
    pub(crate) shards: u32,
    /// Most trees; default: 300, by DATE 100.
    #[arg(long)]
    pub(crate) trees: Option<u32>,
    /// Leaves of each tree; default: 31, by DATE 16.
    #[arg(long)]
    pub(crate) leaves: Option<u32>,
    /// Share of each tree's correction that is kept; default: 0.1, by DATE 0.3.
    #[arg(long)]
    pub(crate) learning_rate: Option<f64>,
    /// Share of the features that each tree may use.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) feature_fraction: f64,
    /// Fewest training rows of a leaf; default: 20, by DATE 1.
    #[arg(long)]
    pub(crate) min_rows_per_leaf: Option<u64>,
    /// Most passes of DATE over the training rows; default: 5, and more where that is less than 600 steps.
    #[arg(long)]
    pub(crate) epochs: Option<u32>,
    /// Boosters whose mean is the model; more than 1 helps with a feature fraction below 1.
    #[arg(long, default_value_t = 1)]
    pub(crate) members: u32,
    /// Days after acceptance when an outcome is known.
    #[arg(long, default_value_t = 1)]
    pub(crate) label_delay_days: u32,
    /// Promote only when better than this beyond the chance of the test items.
    #[arg(long, value_enum)]
    pub(crate) compare: Option<Compare>,
}

/// What learns which items are illicit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FraudLearner {
    /// Boosted trees.
    Gbdt,
    /// Logistic regression on binned features: the baseline.
    Logistic,
    /// DATE: a network over the leaves of boosted trees, asked by importer and HS code.
    Date,
}

/// What a retrained model is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compare {
    /// The champion, by a paired bootstrap.
    Champion,
}

/// What items are ranked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rank {
    /// The probability of fraud.
    Probability,
    /// The revenue that an inspection is expected to raise.
    Revenue,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Apply {
    /// The fraud model: probability, rank and reasons of the goods items of some months.
    Fraud(ApplyFraud),
    /// The HS model: recommended codes of the goods items of some months, and doubtful declared ones.
    Hs(ApplyHs),
}

#[derive(Debug, Args)]
pub(crate) struct ApplyHs {
    /// Reporting country, ISO 3166-1 alpha-2.
    #[arg(long)]
    pub(crate) country: String,
    /// Months whose items are scored, such as 2021-04..2021-06.
    #[arg(long)]
    pub(crate) months: Period,
    /// Version of the model; default: the champion.
    #[arg(long)]
    pub(crate) version: Option<u64>,
    /// Do not look for similar past declarations: faster, a little less right.
    #[arg(long)]
    pub(crate) fast: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyFraud {
    /// Reporting country, ISO 3166-1 alpha-2.
    #[arg(long)]
    pub(crate) country: String,
    /// Months whose items are scored, such as 2021-04..2021-06.
    #[arg(long)]
    pub(crate) months: Period,
    /// Version of the model; default: the champion.
    #[arg(long)]
    pub(crate) version: Option<u64>,
    /// Percent of the items that can be inspected; those get reasons.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) capacity_percent: f64,
    /// What the items are ranked by.
    #[arg(long, value_enum, default_value_t = Rank::Probability)]
    pub(crate) rank_by: Rank,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Backtest {
    /// Strategies of selecting goods items for inspection.
    Fraud(BacktestFraud),
}

#[derive(Debug, Args)]
pub(crate) struct BacktestFraud {
    /// Reporting country, ISO 3166-1 alpha-2.
    #[arg(long)]
    pub(crate) country: String,
    /// First month walked, such as 2021-01; all before it is known history.
    #[arg(long)]
    pub(crate) from: Period,
    /// Last month walked.
    #[arg(long)]
    pub(crate) to: Period,
    /// A strategy, such as random, risk-profile, gbdt, gbdt+random or date; several may be given.
    #[arg(long = "strategy", required = true)]
    pub(crate) strategies: Vec<Strategy>,
    /// A file of the true outcomes (Parquet), such as the generator's; none: the archive's outcomes are the truth.
    #[arg(long, num_args = 1..)]
    pub(crate) truth: Vec<PathBuf>,
    /// Repetitions of each strategy.
    #[arg(long, default_value_t = 3)]
    pub(crate) seeds: u32,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Days of a period.
    #[arg(long, default_value_t = 28)]
    pub(crate) period_days: u32,
    /// Share of a period's items that is inspected.
    #[arg(long, default_value_t = 0.05)]
    pub(crate) inspection_rate: f64,
    /// Share of the inspections that hybrids spend on exploration.
    #[arg(long, default_value_t = 0.1)]
    pub(crate) exploration: f64,
    /// Days after acceptance when an outcome is known.
    #[arg(long, default_value_t = 1)]
    pub(crate) label_delay_days: u32,
    /// Keys of each history that are remembered exactly; 30 to 75 bytes each.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) history_capacity: usize,
    /// Most outcomes, the newest, that a model learns from.
    #[arg(long, default_value_t = 500_000)]
    pub(crate) training_rows: usize,
    /// Trees of each model.
    #[arg(long, default_value_t = 100)]
    pub(crate) trees: u32,
    /// Leaves of each tree.
    #[arg(long, default_value_t = 15)]
    pub(crate) leaves: u32,
    /// Share of each tree's correction that is kept.
    #[arg(long, default_value_t = 0.1)]
    pub(crate) learning_rate: f64,
    /// Passes of DATE over its rows; default: 5, and more where that is less than 600 steps.
    #[arg(long)]
    pub(crate) epochs: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Jobs {
    /// Every job, the newest first.
    List {
        /// Most jobs; 0: all.
        #[arg(long, default_value_t = 0)]
        limit: u32,
    },
    /// One job as it stands.
    Show {
        /// Its id.
        job: String,
    },
    /// Follow a job to its end.
    Watch {
        /// Its id.
        job: String,
    },
    /// End a job and free its executors.
    Cancel {
        /// Its id.
        job: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Archive {
    /// The tables, with their rows and files.
    Tables,
    /// The snapshots of a table, the oldest first.
    Snapshots {
        /// Name of the table.
        table: String,
    },
    /// Run a query over the tables; `/` in a table's name is written `_`.
    Sql {
        /// The query.
        query: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Models {
    /// Every version of every model, or of one.
    List {
        /// Name of the model.
        name: Option<String>,
    },
    /// One version's manifest: NAME (its champion) or NAME@VERSION.
    Show {
        /// The model.
        model: String,
    },
    /// Make NAME@VERSION the champion.
    Promote {
        /// The model and its version.
        model: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Scheduler {
    /// Address to listen on; port 0 takes a free one and prints it.
    #[arg(long, default_value = "127.0.0.1:50050")]
    pub(crate) bind: SocketAddr,
    /// Address at which executors reach it, as http://host:port; default: the one it listens on.
    #[arg(long)]
    pub(crate) advertise: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Executor {
    /// Unique name of this executor.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What it has: cpu or gpu.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
    /// Tasks that may run at once.
    #[arg(long, default_value_t = 1)]
    pub(crate) slots: usize,
    /// Address from which results are fetched.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// Port from which results are fetched.
    #[arg(long, default_value_t = 50051)]
    pub(crate) port: u16,
    /// Folder for shuffle data and spills.
    #[arg(long)]
    pub(crate) work_folder: Option<PathBuf>,
}
