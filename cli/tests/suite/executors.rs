//! Executors as real processes: what they say when they start, and what their slots hold.

use std::{collections::HashSet, fs, io::BufRead, path::Path};

use serde_json::Value;

use crate::support::{binary, document, processes::started};

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
    let (_scheduler, _stderr, line) = started(&mut command);
    let url = line.rsplit(' ').next().expect("a word");

    let mut command = binary();
    command.args(["executor", "--scheduler", url, "--port", "0", "--slots", "4", "--name", "one"]);
    command
        .args(["--memory-mib", "512"])
        .env("TIDEWAITER_LOG", "ballista_executor=info")
        .env("NO_COLOR", "1");
    let (executor, stderr, line) = started(&mut command);
    assert!(line.contains("executor cpu-one serves 4 slots and 512 MiB on http://127.0.0.1:"), "{line}");
    assert!(line.ends_with(&format!("for the scheduler at {url}")) && !line.contains(":0,"), "{line}");

    let arguments = ingest(folder.path(), 4);
    let ingested = run(url, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(ingested["rows"]["archived"], 4);
    let answer = run(url, &["archive", "sql", "SELECT count(*) AS n FROM releases"]);
    assert_eq!(answer[0]["n"], 4, "the answer came from the executor's port");

    drop(executor);
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
