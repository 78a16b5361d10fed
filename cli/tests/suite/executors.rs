//! Executors as real processes: what they say when they start, and what their slots hold.

#![allow(clippy::disallowed_methods, reason = "a test polls with a deadline")]

use std::{
    collections::HashSet,
    fs,
    io::BufRead,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    binary, document,
    processes::{pause, started},
};

/// How long anything may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// The document of a command of a user of a scheduler.
fn run(url: &str, arguments: &[&str]) -> Value {
    document(
        &binary().args(["--output", "json", "--scheduler", url]).args(arguments).output().expect("starts"),
    )
}

/// Arguments that ingest so many small event logs.
fn ingest(folder: &Path, files: usize) -> Vec<String> {
    let mapping = folder.join("mapping.toml");
    let text = "table = \"releases\"\ncountry = \"UG\"\n[columns]\ncase_id = { from = \"case\" }\n\
                event = { from = \"event\" }\nevent_time = { from = \"time\" }\n";
    fs::write(&mapping, text).expect("is written");
    let mut arguments =
        ["ingest", "releases", "--mapping", &mapping.display().to_string()].map(str::to_owned).to_vec();
    for file in 0..files {
        let path = folder.join(format!("{file}.csv"));
        fs::write(&path, format!("case,event,time\n{file},lodge,2024-02-03T08:00Z\n")).expect("is written");
        arguments.push(path.display().to_string());
    }
    arguments
}

#[test]
fn an_executor_takes_a_free_port_says_what_it_serves_and_holds_one_partition_a_slot() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = binary();
    command.args(["scheduler", "--bind", "127.0.0.1:0", "--archive"]).arg(folder.path().join("archive"));
    command.arg("--exports").arg(folder.path());
    let (scheduler, _stderr, line) = started(&mut command);
    let url = line.rsplit(' ').next().expect("a word");

    // What a query of another scheduler left there.
    let work = folder.path().join("work");
    fs::create_dir_all(work.join("tidewaiter-executor/abandoned/1")).expect("a folder");
    let executor = |name: &str, options: &[&str]| {
        let mut command = binary();
        command.args(["executor", "--scheduler", url, "--port", "0", "--name", name]).args(options);
        command
    };
    let named = work.display().to_string();
    let work_folder = ["--work-folder", named.as_str()];
    let mut command = executor("one", &["--slots", "4"]);
    command.args(work_folder);
    command
        .args(["--memory-mib", "512"])
        .env("TIDEWAITER_LOG", "ballista_executor=info")
        .env("NO_COLOR", "1");
    let (served, stderr, line) = started(&mut command);
    assert!(line.contains("executor cpu-one serves 4 slots and 512 MiB on http://127.0.0.1:"), "{line}");
    assert!(line.ends_with(&format!("for the scheduler at {url}")) && !line.contains(":0,"), "{line}");

    // Its name, and its folder, are its own.
    let second = executor("one", &[]).stderr(Stdio::piped()).spawn().expect("starts");
    let third = executor("three", &work_folder).output().expect("starts");
    let said = String::from_utf8_lossy(&third.stderr).into_owned();
    assert!(third.status.code() == Some(2) && said.contains("--work-folder of its own"), "{said}");

    let arguments = ingest(folder.path(), 4);
    let ingested = run(url, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(ingested["rows"]["archived"], 4);
    let of_queries = || {
        let entries = fs::read_dir(work.join("tidewaiter-executor")).expect("a folder").flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| !name.starts_with("datafusion-")).collect::<Vec<_>>()
    };
    let begin = Instant::now();
    while !of_queries().is_empty() {
        assert!(begin.elapsed() < DEADLINE, "files stay that nobody reads: {:?}", of_queries());
        pause(Duration::from_millis(20));
    }
    let answer = run(url, &["archive", "sql", "SELECT count(*) AS n FROM releases"]);
    assert_eq!(answer[0]["n"], 4, "the answer came from the executor's port");

    let second = second.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.code() == Some(2) && said.contains("give this one another --name"), "{said}");
    assert!(said.lines().count() <= 2, "it says so once: {said}");
    assert!(!said.contains("serves"), "it never served: {said}");

    // Without a scheduler an executor says so once.
    let (alone, stderr_alone, _) = started(&mut executor("alone", &["--slots", "1"]));
    let joined = |members: &Value| {
        let mut members = members.as_array().expect("executors").iter();
        members.any(|member| {
            let has_said = member["memory_bytes"].as_u64() > Some(0);
            member["executor"] == "cpu-alone" && member["silent"] == false && has_said
        })
    };
    while !joined(&run(url, &["cluster"])) {
        assert!(begin.elapsed() < DEADLINE, "it does not join");
    }
    // Who closes no connection and says nothing is listed as silent, until it is heard again.
    let silent = |members: &Value| {
        let mut members = members.as_array().expect("executors").iter();
        members.any(|member| member["executor"] == "cpu-alone" && member["silent"] == true)
    };
    for (name, is_silent) in [("-STOP", true), ("-CONT", false)] {
        let pid = alone.0.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().expect("kill starts").success());
        while silent(&run(url, &["cluster"])) != is_silent {
            assert!(begin.elapsed() < DEADLINE, "silent is not {is_silent}");
            pause(Duration::from_millis(50));
        }
    }
    drop(scheduler);
    pause(Duration::from_millis(1200));
    drop((served, alone));
    let lines: Vec<String> = stderr_alone.lines().map_while(Result::ok).collect();
    assert!((1..=2).contains(&lines.len()) && lines[0].contains("the scheduler"), "{lines:?}");
    let received = stderr.lines().map_while(Result::ok).filter_map(|line| {
        let (_, task) = line.split_once("Received task: [TID ")?;
        Some(task.trim_end_matches(']').to_owned())
    });
    // QUERY/STAGE.ATTEMPT/TASK.ATTEMPT
    let received: HashSet<String> = received.collect();
    let stage = |task: &String| task.rsplit_once('/').map(|(stage, _)| stage.to_owned());
    let mut stages: Vec<_> = received.iter().filter_map(stage).collect();
    stages.sort();
    let largest = stages.chunk_by(|one, next| one == next).map(<[String]>::len).max();
    assert_eq!(largest, Some(4), "the four files are four tasks, not one of four partitions: {received:?}");
}
