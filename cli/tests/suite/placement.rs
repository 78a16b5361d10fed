//! Which of a cluster's real processes does which work: GPUs are kept free for what needs one, and awaited by it.

#![allow(
    clippy::disallowed_methods,
    reason = "a test measures how long something waits, and gives up in the end"
)]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::ChildStderr,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    binary, document,
    processes::{Process, pause, started},
    tidewaiter,
};

/// How long anything may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// An executor that writes which tasks it receives.
struct Executor {
    process: Process,
    stderr: BufReader<ChildStderr>,
}

impl Executor {
    /// An executor that has begun to ask for tasks.
    fn new(url: &str, device: &str, slots: &str) -> Self {
        let mut command = binary();
        command.args(["executor", "--scheduler", url, "--port", "0", "--device", device, "--slots", slots]);
        command.arg("--assume-device");
        command.env("TIDEWAITER_LOG", "ballista_executor=info").env("NO_COLOR", "1");
        let (process, mut stderr, _) = started(&mut command);
        let mut line = String::new();
        while !line.contains("Starting poll work loop") {
            line.clear();
            assert!(stderr.read_line(&mut line).expect("is read") > 0, "the executor ended");
        }
        Self { process, stderr }
    }

    /// How many tasks it received until now.
    fn tasks(self) -> usize {
        drop(self.process);
        self.stderr.lines().map_while(Result::ok).filter(|line| line.contains("Received task: [TID ")).count()
    }
}

fn run(url: &str, arguments: &[&str]) -> Value {
    let mut command = binary();
    command.args(["--output", "json", "--scheduler", url]).args(arguments);
    document(&command.output().expect("the binary starts"))
}

/// Arguments that ingest so many small event logs.
fn ingest(folder: &Path, files: usize) -> Vec<String> {
    let mapping = folder.join("mapping.toml");
    let text = "table = \"releases\"\ncountry = \"UG\"\n[columns]\ncase_id = { from = \"case\" }\n\
                event = { from = \"event\" }\nevent_time = { from = \"time\" }\n";
    fs::write(&mapping, text).expect("is written");
    let mapping = mapping.display().to_string();
    let mut arguments = ["ingest", "releases", "--mapping", &mapping].map(str::to_owned).to_vec();
    for file in 0..files {
        let path = folder.join(format!("{file}.csv"));
        fs::write(&path, format!("case,event,time\n{file},lodge,2024-02-03T08:00Z\n")).expect("is written");
        arguments.push(path.display().to_string());
    }
    arguments
}

#[test]
fn an_executor_with_a_gpu_is_given_no_other_work_while_processors_are_free() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = binary();
    command.args(["scheduler", "--bind", "127.0.0.1:0", "--archive"]).arg(folder.path().join("archive"));
    let (_scheduler, _stderr, line) = started(command.arg("--exports").arg(folder.path()));
    let url = line.rsplit(' ').next().expect("a word");
    let executors = [Executor::new(url, "gpu", "4"), Executor::new(url, "cpu", "8")];

    let arguments = ingest(folder.path(), 8);
    let ingested = run(url, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(ingested["rows"]["archived"], 8);
    for _ in 0..6 {
        let counted = run(url, &["archive", "sql", "SELECT count(*) AS n FROM releases"]);
        assert_eq!(counted[0]["n"], 8);
    }
    let [on_gpu, on_processors] = executors.map(Executor::tasks);
    assert!(on_processors >= 14, "{on_processors}");
    assert_eq!(on_gpu, 0, "of {} tasks", on_gpu + on_processors);
}

#[test]
fn work_that_finds_no_free_processor_uses_an_idle_gpu_s_executor() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = binary();
    command.args(["scheduler", "--bind", "127.0.0.1:0", "--archive"]).arg(folder.path().join("archive"));
    let (_scheduler, _stderr, line) = started(command.arg("--exports").arg(folder.path()));
    let url = line.rsplit(' ').next().expect("a word");
    let executor = Executor::new(url, "gpu", "2");
    let arguments = ingest(folder.path(), 3);
    let ingested = run(url, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(ingested["rows"]["archived"], 3);
    assert!(executor.tasks() >= 3);
}

/// A fit that gains from a GPU: its booster is small, its network takes some seconds.
const RETRAIN: [&str; 17] = [
    "retrain",
    "fraud",
    "--country",
    "TW",
    "--train",
    "2020-01..2020-06",
    "--valid",
    "2020-07",
    "--test",
    "2020-08..2020-09",
    "--model",
    "date",
    "--trees",
    "4",
    "--epochs",
    "60",
    "--detach",
];

#[test]
fn a_fit_whose_gpu_is_gone_waits_for_it_as_long_as_it_may_and_goes_on_on_processors() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    let out = folder.path().join("exports").display().to_string();
    let size = ["--country", "TW", "--years", "1", "--rows-per-year", "3000", "--inspection-rate", "0.5"];
    document(&tidewaiter(&archive, &[&["synth", &out], &size[..]].concat()));
    let mapping = format!("{out}/mapping.toml");
    let files = format!("{out}/declarations-*.csv");
    document(&tidewaiter(&archive, &["ingest", "declarations", "--mapping", &mapping, &files]));

    let mut command = binary();
    command.args(["scheduler", "--bind", "127.0.0.1:0", "--executor-timeout", "1", "--gpu-wait", "4"]);
    command.env("NO_COLOR", "1").arg("--archive").arg(&archive);
    let (scheduler, log, line) = started(&mut command);
    let url = line.rsplit(' ').next().expect("a word");
    let gpu = Executor::new(url, "gpu", "2");
    let job = run(url, &RETRAIN)["job"].as_str().expect("an id").to_owned();
    let shown = |wanted: &dyn Fn(&Value) -> bool| {
        let begin = Instant::now();
        loop {
            let shown = run(url, &["jobs", "show", &job]);
            if wanted(&shown) {
                return shown;
            }
            assert!(begin.elapsed() < DEADLINE && shown["status"] != "failed", "{shown}");
            pause(Duration::from_millis(10));
        }
    };
    // The network is trained, on the only GPU.
    shown(&|job| job["progress"]["unit"] == "steps");
    drop(gpu);
    let gone = Instant::now();
    let _processors = Executor::new(url, "cpu", "2");
    let waiting = shown(&|job| job["waits_for"] == "an executor with a GPU: none is connected");
    let ended = shown(&|job| job["ended_ms"].is_i64());
    assert_eq!(ended["status"], "succeeded", "{waiting} {ended}");
    assert!(gone.elapsed() > Duration::from_secs(3), "it waited: {:?}", gone.elapsed());
    drop(scheduler);
    let said: Vec<String> = log.lines().map_while(Result::ok).collect();
    assert!(said.iter().any(|line| line.contains("processors do its work")), "{said:?}");
}
