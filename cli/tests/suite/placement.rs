//! Which of a cluster's real processes does which work: GPUs are kept free for what needs one.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::ChildStderr,
};

use serde_json::Value;

use crate::support::{
    binary, document,
    processes::{Process, started},
};

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
