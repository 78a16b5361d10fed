//! The command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use tidewaiter_catalogue::{CATALOGUE, milliseconds_of_age};

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
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) detach: bool,
    /// Without --scheduler: go on with the last run of this very job that was interrupted or failed by a transient error,
    /// from its last finished step.
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) resume: bool,
    /// Without --scheduler: tasks that run at once; default: the machine's cores.
    #[arg(long, global = true, help_heading = EVERYWHERE, value_parser = at_least_one)]
    pub(crate) workers: Option<usize>,
    /// Memory for sorts and buffers of this process, beyond which they spill to disk, in MiB; default: 1024, and seven
    /// tenths of the machine's or container's for an executor.
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) memory_mib: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Text for people.
    Text,
    /// One JSON document.
    Json,
    /// The rows of `archive sql` as CSV, with a header.
    Csv,
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
    /// List a scheduler's executors: device, slots, memory, last sign of life.
    Cluster,
    /// Look for what is wrong with this machine and the archive's store, or (with --scheduler) with a cluster: store, clocks,
    /// versions, devices, memory, disks. Exit status 1 where something is.
    Doctor,
    /// Look at the archive's tables, and keep them small and whole.
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
    let mut command = Command::augment_subcommands(Arguments::command());
    for jobs in CATALOGUE.job_commands() {
        // Jobs may stand among the commands that are none.
        let name = jobs.get_name().to_owned();
        command = match command.find_subcommand(&name).is_some() {
            true => command.mut_subcommand(name, |known| known.subcommands(jobs.get_subcommands().cloned())),
            false => command.subcommand(jobs),
        };
    }
    let domains = CATALOGUE.commands().map(|command| (command.arguments)(clap::Command::new(command.name)));
    // The commands bring a text of their own, which takes the place of the program's.
    let command = command.subcommands(domains).about("Batch analytics on a national customs archive");
    command.subcommand_required(true).arg_required_else_help(true)
}

#[derive(Debug, Subcommand)]
pub(crate) enum Jobs {
    /// The newest jobs: begin, length, progress or error.
    List {
        /// Most jobs; 0: all.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// What happened to a job, what came of it, and what was asked.
    Show {
        /// Its id.
        job: String,
    },
    /// Follow a job to its end.
    Watch {
        /// Its id.
        job: String,
    },
    /// End a job and free its executors, or give up one that failed.
    Cancel {
        /// Its id.
        job: String,
    },
    /// Go on with a job that failed, from its last finished step.
    Retry {
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
    /// The columns into which exports are read: type, check, meaning, and name in the WCO Data Model.
    Columns {
        /// Name of the table; default: every table.
        table: Option<String>,
    },
    /// Follow the rows of a declaration back to their files: source, record, line and raw text.
    Trace {
        /// The number of the declaration, or the case of another table.
        declaration: String,
        /// Name of the table.
        #[arg(long, default_value = "declarations")]
        table: String,
    },
    /// Run a query over the tables; `/` in a table's name is written `_`, and `predictions_fraud_latest` has the latest
    /// prediction for each item (so for every table of predictions).
    Sql {
        /// The query: SELECT, WITH … SELECT, VALUES or EXPLAIN.
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
    /// Address at which executors reach it, as http://host:port; default: the one it listens on. Needed where --bind
    /// means every address of the machine.
    #[arg(long)]
    pub(crate) advertise: Option<String>,
    /// Folder in or below which jobs may name files: mappings, exports, truth, stages, encoders, a generator's output.
    /// Links and `..` that lead out of it are refused; a URL (s3://BUCKET/FOLDER) is for exports there. Several may be
    /// given; without any, jobs name no files.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) exports: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) exposure: Exposure,
    /// How often a job is tried again after transient errors, from its last finished step and checkpoint; a step that is
    /// finished starts the count anew.
    #[arg(long, default_value_t = 10)]
    pub(crate) retries: u32,
    /// Seconds from the first of these errors after which it is not tried again, and for which a job waits where no
    /// executor is connected that could run its tasks.
    #[arg(long, default_value_t = 3600)]
    pub(crate) retry_for: u64,
    /// How many jobs run at once; the others wait for their turn, in the order in which they came.
    #[arg(long, default_value_t = 100, value_parser = at_least_one)]
    pub(crate) jobs_at_once: usize,
    /// Seconds without a sign of life of an executor after which it counts as lost and its tasks run elsewhere.
    #[arg(long, default_value_t = 8)]
    pub(crate) executor_timeout: u64,
    /// Seconds from the loss of the last executor after which the step under way fails, and is tried again.
    #[arg(long, default_value_t = 180)]
    pub(crate) executor_wait: u64,
    /// Seconds for which a query (`archive sql`) waits where no executor is connected that could run it.
    #[arg(long, default_value_t = 300)]
    pub(crate) query_wait: u64,
    /// Seconds without a sign of life of the archive's scheduler after which another one takes its place. One that starts
    /// while another lives waits.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) takeover: u64,
    /// Address on which Prometheus reads this scheduler's metrics, as http://HOST:PORT/metrics; default: nowhere.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Pools whose executors are pods of Kubernetes that come when a job needs them and go with it (JSON, as the Helm chart
    /// writes it).
    #[arg(long, value_name = "FILE")]
    pub(crate) pods: Option<PathBuf>,
    /// Delete what nobody reads any more (`archive vacuum`) at such intervals: 1d, 12h. The scheduler submits a job for it,
    /// when the last one of this archive was submitted that long ago; default: never.
    #[arg(long, value_name = "AGE", value_parser = interval)]
    pub(crate) vacuum_every: Option<Duration>,
    /// With --vacuum-every: age up to which everything stays, and up to which replaced data stay readable: 7d, 12h;
    /// default: 7d.
    #[arg(long, value_name = "AGE", requires = "vacuum_every", value_parser = age_beside_others)]
    pub(crate) vacuum_older_than: Option<String>,
    /// Seconds for which work that needs a GPU waits when no executor with one is there; then processors do it.
    #[arg(long, default_value_t = 300)]
    pub(crate) gpu_wait: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Executor {
    /// Unique name of this executor; the device is put before it, as in cpu-NAME.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What it has: cpu or gpu.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
    /// With --device gpu: how many GPUs it has; each fit's task has one of them for itself. 0: all share the first.
    #[arg(long, default_value_t = 0)]
    pub(crate) gpus: usize,
    /// Tasks that may run at once.
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    pub(crate) slots: usize,
    /// Address from which results are fetched.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// Port from which results are fetched; 0 takes a free one.
    #[arg(long, default_value_t = 50051)]
    pub(crate) port: u16,
    /// Folder in which shuffle data and spills have a folder of their own, for this executor alone.
    #[arg(long)]
    pub(crate) work_folder: Option<PathBuf>,
    /// Address on which Prometheus reads this executor's metrics, as http://HOST:PORT/metrics; default: nowhere.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Seconds without an answer of its scheduler after which it ends; default: it waits for good.
    #[arg(long)]
    pub(crate) leave_after: Option<u64>,
    /// For trials: declare a device that the machine does not have. Work for it runs on processors.
    #[arg(long)]
    pub(crate) assume_device: bool,
    #[command(flatten)]
    pub(crate) exposure: Exposure,
}

/// A time that is not 0.
fn interval(text: &str) -> Result<Duration, String> {
    let milliseconds = milliseconds_of_age(text).map_err(|error| error.chain())?;
    match u64::try_from(milliseconds) {
        Ok(0) | Err(_) => Err("use 1s or more".to_owned()),
        Ok(milliseconds) => Ok(Duration::from_millis(milliseconds)),
    }
}

/// An age for a vacuum while others work on the archive.
fn age_beside_others(text: &str) -> Result<String, String> {
    match interval(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}: jobs and queries may read what is younger")),
    }
}

/// A number that is not 0.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("use 1 or more".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

/// Who may reach a server.
#[derive(Debug, Args)]
pub(crate) struct Exposure {
    /// Listen on an address that other machines reach. There is no TLS and no access control yet: whoever reaches the
    /// port runs jobs with this process's rights, and reads and changes the archive. Use it only inside a network that
    /// you protect.
    #[arg(long)]
    pub(crate) insecure: bool,
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;

    #[test]
    fn the_options_of_every_command_work_wherever_they_stand() {
        let options: [&[&str]; 6] = [
            &["--archive", "a"],
            &["--output", "json"],
            &["--scheduler", "http://s:1"],
            &["--detach"],
            &["--workers", "3"],
            &["--memory-mib", "77"],
        ];
        let commands: [&[&str]; 3] = [
            &["run", "p.toml"],
            &["archive", "tables"],
            &["apply", "fraud", "--country", "TW", "--months", "2020-12"],
        ];
        for command in commands {
            for option in options {
                let end = command.len();
                for place in (0..=end).filter(|place| *place < 2 || *place == end) {
                    let line = [&["tidewaiter"], &command[..place], option, &command[place..]].concat();
                    let matches = command_line().try_get_matches_from(&line);
                    let matches = matches.unwrap_or_else(|error| panic!("{line:?}: {error}"));
                    let Arguments { archive, output, place } =
                        Arguments::from_arg_matches(&matches).expect("reads");
                    let given = [
                        archive.as_deref() == Some("a"),
                        output == Output::Json,
                        place.scheduler.as_deref() == Some("http://s:1"),
                        place.detach,
                        place.workers == Some(3),
                        place.memory_mib == Some(77),
                    ];
                    assert_eq!(given.iter().filter(|given| **given).count(), 1, "{line:?}");
                }
            }
        }
    }

    /// The words of the line of a document that calls this program; none where it calls another, or leaves words out.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
        for letter in line.chars() {
            match (quote, letter) {
                (Some(open), letter) if letter == open => quote = None,
                (None, '\'' | '"') => {
                    quote = Some(letter);
                    word.get_or_insert_default();
                }
                (None, ' ') => words.extend(word.take()),
                (None, '#' | '>' | '&' | '|') if word.is_none() => break,
                (_, letter) => word.get_or_insert_default().push(letter),
            }
        }
        words.extend(word);
        // A setting of the environment may stand before it.
        let own = words.iter().position(|word| !word.contains('=')).unwrap_or_default();
        words.drain(..own);
        let is_own = words.first().is_some_and(|program| program == "tidewaiter");
        if is_own && !words.iter().any(|word| word == "…") { words } else { Vec::new() }
    }

    #[test]
    fn the_command_lines_of_the_documentation_are_taken() {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let pages = std::fs::read_dir(docs.join("operations")).expect("is there");
        let pages = pages.map(|page| page.expect("an entry").path());
        let (mut tried, mut wrong) = (0, Vec::new());
        for page in pages.chain([docs.join("guide.md"), docs.join("../README.md")]) {
            let text = std::fs::read_to_string(&page).expect("it is text").replace("\\\n", " ");
            for line in text.lines().filter(|line| line.starts_with("    ")) {
                let words = words(line);
                if words.is_empty() {
                    continue;
                }
                tried += 1;
                if let Err(error) = command_line().try_get_matches_from(&words) {
                    wrong.push(format!("{}: {}\n{error}", page.display(), line.trim()));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(tried > 50, "only {tried} were found");
    }

    #[test]
    fn the_words_of_a_line_are_those_of_a_shell() {
        let line = "    A=http://b:1 tidewaiter archive  sql \"SELECT 'a' > 1\" --output 'csv' # why \"not\"";
        assert_eq!(words(line), ["tidewaiter", "archive", "sql", "SELECT 'a' > 1", "--output", "csv"]);
        assert_eq!(words("    tidewaiter ingest a#1.csv '' > out"), ["tidewaiter", "ingest", "a#1.csv", ""]);
        assert_eq!(words("    helm install tidewaiter"), [""; 0]);
        assert_eq!(words("    tidewaiter retrain fraud … --scheduler x"), [""; 0]);
    }

    #[test]
    fn a_vacuum_on_a_schedule_has_an_interval_and_an_age() {
        let read = |words: &[&str]| {
            let line = [&["tidewaiter", "scheduler"][..], words].concat();
            command_line().try_get_matches_from(line).map_err(|error| error.to_string())
        };
        read(&[]).expect("no vacuum");
        read(&["--vacuum-every", "1d"]).expect("the age by default");
        read(&["--vacuum-every", "12h", "--vacuum-older-than", "30d"]).expect("both");
        let wrong: [(&[&str], &str); 5] = [
            (&["--vacuum-every", "daily"], "7d, or 0"),
            (&["--vacuum-every", "0"], "use 1s or more"),
            (&["--vacuum-every", "1d", "--vacuum-older-than", "0"], "may read what is younger"),
            (&["--vacuum-every", "1d", "--vacuum-older-than", "week"], "is no age"),
            (&["--vacuum-older-than", "7d"], "--vacuum-every"),
        ];
        for (words, says) in wrong {
            let refused = read(words).expect_err("it is refused");
            assert!(refused.contains(says), "{words:?}: {refused}");
        }
    }

    #[test]
    fn nobody_works_with_no_workers() {
        for line in
            [&["tidewaiter", "quality", "--workers", "0"], &["tidewaiter", "executor", "--slots", "0"]]
        {
            let wrong = command_line().try_get_matches_from(line).expect_err("0 is refused").to_string();
            assert!(wrong.contains("use 1 or more"), "{wrong}");
        }
    }
}
