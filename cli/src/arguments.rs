//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use tidewaiter_catalogue::CATALOGUE;

/// Batch analytics on a national customs archive.
#[derive(Debug, Parser)]
#[command(name = "tidewaiter", version)]
pub(crate) struct Arguments {
    /// Where the archive is: a folder, or a file://, s3:// or memory:// URL; default: ./archive, or what a
    /// pipeline names.
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "TIDEWAITER_ARCHIVE")]
    pub(crate) archive: Option<String>,
    /// How results are written to stdout.
    #[arg(long, global = true, help_heading = EVERYWHERE, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// The heading of the options that every command has.
const EVERYWHERE: &str = "Options of every command";

/// Where jobs and queries run.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Run on the cluster of this scheduler (http://host:port), in the scheduler's archive.
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "TIDEWAITER_SCHEDULER")]
    pub(crate) scheduler: Option<String>,
    /// With --scheduler: submit the job, print its id, and do not follow it.
    #[arg(long, global = true, help_heading = EVERYWHERE, requires = "scheduler")]
    pub(crate) detach: bool,
    /// Without --scheduler: tasks that run at once; default: the machine's cores.
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) workers: Option<usize>,
    /// Without --scheduler: memory for sorts and buffers, beyond which they spill to disk, in MiB.
    #[arg(long, global = true, help_heading = EVERYWHERE, default_value_t = 1024)]
    pub(crate) memory_mib: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Text for people.
    Text,
    /// One JSON document.
    Json,
}

/// The commands that are neither jobs nor a domain's.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Do the jobs of a pipeline's file, one after the other.
    Run {
        /// The pipeline (TOML).
        pipeline: PathBuf,
    },
    /// Look at the scheduler's jobs.
    #[command(subcommand)]
    Jobs(Jobs),
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

/// The whole command line: the commands here, the jobs, and the commands of the domains.
pub(crate) fn command_line() -> clap::Command {
    let command = Command::augment_subcommands(Arguments::command()).subcommands(CATALOGUE.job_commands());
    let domains = CATALOGUE.commands().map(|command| (command.arguments)(clap::Command::new(command.name)));
    // The commands bring a text of their own, which takes the place of the program's.
    let command = command.subcommands(domains).about("Batch analytics on a national customs archive");
    command.subcommand_required(true).arg_required_else_help(true)
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
