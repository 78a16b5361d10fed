//! What an operator sees of real processes: their metrics, and what the doctor finds.

#![allow(clippy::disallowed_methods, reason = "a test polls with a deadline")]

use std::{
    fs,
    io::{BufRead, BufReader, Read as _, Write as _},
    net::TcpStream,
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
const DEADLINE: Duration = Duration::from_secs(60);

/// The address behind a word in a line, such as `http://127.0.0.1:1234/metrics`.
fn address(line: &str) -> String {
    let url = line.split_whitespace().find_map(|word| word.strip_suffix("/metrics"));
    url.and_then(|url| url.strip_prefix("http://")).expect("an address of metrics").to_owned()
}

/// The samples of a page of metrics.
fn scrape(address: &str) -> String {
    let mut connection = TcpStream::connect(address).expect("connects");
    connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n").expect("written");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("read");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    answer
}

/// The sum of the samples of a page whose names begin so.
fn sum(page: &str, name: &str) -> f64 {
    let samples = page.lines().filter(|line| line.starts_with(name));
    samples.map(|line| line.rsplit(' ').next().expect("a value").parse::<f64>().expect("a number")).sum()
}

fn scheduler(folder: &Path) -> (Process, BufReader<ChildStderr>, String, String) {
    let mut command = binary();
    command.args(["scheduler", "--bind", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--archive"]);
    command.arg(folder.join("archive")).arg("--exports").arg(folder);
    let (process, mut stderr, line) = started(&mut command);
    let url = line.rsplit(' ').next().expect("a word").to_owned();
    let mut second = String::new();
    stderr.read_line(&mut second).expect("it says where its metrics are");
    (process, stderr, url, address(&second))
}

/// Findings of a level, as `check of subject`.
fn found(findings: &Value, level: &str) -> Vec<String> {
    let findings = findings.as_array().expect("a list").iter();
    let of_level = findings.filter(|finding| finding["level"] == level);
    of_level
        .map(|finding| {
            let word = |key: &str| finding[key].as_str().expect("a text").to_owned();
            assert!(level == "fine" || finding["remedy"].is_string(), "{finding}");
            format!("{} of {}", word("check"), word("subject"))
        })
        .collect()
}

#[test]
fn metrics_of_real_processes_move_with_a_job_and_the_doctor_sees_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_scheduler, _stderr, url, of_scheduler) = scheduler(folder.path());
    let mut command = binary();
    command.args(["executor", "--scheduler", &url, "--port", "0", "--name", "one", "--memory-mib", "64"]);
    let work = folder.path().join("work");
    command.args(["--slots", "2", "--metrics", "127.0.0.1:0", "--work-folder"]).arg(&work);
    let (executor, _stderr_of_executor, line) = started(&mut command);
    let of_executor = address(&line);
    let begin = Instant::now();
    while sum(&scrape(&of_scheduler), "tidewaiter_executors{device=\"cpu\"}") < 1.0 {
        assert!(begin.elapsed() < DEADLINE, "the executor does not join");
        pause(Duration::from_millis(20));
    }

    let mapping = folder.path().join("mapping.toml");
    let text = "table = \"releases\"\ncountry = \"UG\"\n[columns]\ncase_id = { from = \"case\" }\n\
                event = { from = \"event\" }\nevent_time = { from = \"time\" }\n";
    fs::write(&mapping, text).expect("is written");
    let csv = folder.path().join("events.csv");
    fs::write(&csv, "case,event,time\n1,lodge,2024-02-03T08:00Z\n").expect("is written");
    let mut command = binary();
    command.args(["--output", "json", "--scheduler", &url, "ingest", "releases", "--mapping"]);
    let ingested = document(&command.arg(&mapping).arg(&csv).output().expect("starts"));
    assert_eq!(ingested["rows"]["archived"], 1);
    let query = "SELECT count(*) AS n FROM releases";
    let counted = binary().args(["--output", "json", "--scheduler", &url, "archive", "sql", query]).output();
    assert_eq!(document(&counted.expect("starts"))[0]["n"], 1);

    let page = scrape(&of_scheduler);
    for (name, least) in [
        ("tidewaiter_jobs_submitted_total{kind=\"ingest", 1.0),
        ("tidewaiter_jobs_ended_total{kind=\"ingest", 1.0),
        ("tidewaiter_job_queue_seconds_count{kind=\"ingest", 1.0),
        ("tidewaiter_job_seconds_count{kind=\"ingest", 1.0),
        ("tidewaiter_store_requests_total{operation=\"put\"}", 3.0),
        ("tidewaiter_store_bytes_total{direction=\"written\"}", 100.0),
        ("tidewaiter_slots{device=\"cpu\"}", 2.0),
        ("tidewaiter_executors_memory_bytes{device=\"cpu\"}", 67_108_864.0),
        ("tidewaiter_scheduler_ready", 1.0),
        ("tidewaiter_build_info{", 1.0),
    ] {
        assert!(sum(&page, name) >= least, "{name}: {page}");
    }
    assert_eq!(sum(&page, "tidewaiter_jobs{"), 0.0, "no job is under way");
    let page = scrape(&of_executor);
    for (name, least) in [
        ("tidewaiter_tasks_total{status=\"done\"}", 2.0),
        ("tidewaiter_rows_read_total", 1.0),
        ("tidewaiter_store_requests_total", 1.0),
        ("tidewaiter_executor_memory_bytes", 67_108_864.0),
        ("tidewaiter_executor_disk_free_bytes", 1.0),
    ] {
        assert!(sum(&page, name) >= least, "{name}: {page}");
    }
    assert_eq!(sum(&page, "tidewaiter_executor_tasks_running"), 0.0);
    // The documentation lists every family of both.
    let listed = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations/metrics.md"));
    let listed = listed.expect("is there");
    for page in [scrape(&of_scheduler), page] {
        for name in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
            assert!(listed.contains(&format!("`{name}`")), "docs/operations/metrics.md lacks {name}");
        }
    }

    let diagnosed = binary().args(["--output", "json", "--scheduler", &url, "doctor"]).output();
    let diagnosed = diagnosed.expect("starts");
    let findings: Value = serde_json::from_slice(&diagnosed.stdout).expect("JSON");
    let fine = found(&findings, "fine");
    for check in
        ["store of ", "conditional put of ", "version of cpu-one", "clock of cpu-one", "devices of cpu-one"]
    {
        assert!(fine.iter().any(|finding| finding.starts_with(check)), "{check}: {findings}");
    }
    // The disk of a test's machine may be full.
    let wrong: Vec<_> =
        found(&findings, "wrong").into_iter().filter(|finding| !finding.starts_with("disk")).collect();
    assert_eq!(wrong, [""; 0], "{findings}");

    // One that stands still is found, with exit status 1.
    assert!(
        std::process::Command::new("kill").args(["-STOP", &executor.0.id().to_string()]).status().is_ok()
    );
    let begin = Instant::now();
    loop {
        let output =
            binary().args(["--output", "json", "--scheduler", &url, "doctor"]).output().expect("starts");
        let findings: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        if found(&findings, "wrong").contains(&"executors of cpu-one".to_owned()) {
            assert_eq!(output.status.code(), Some(1));
            break;
        }
        assert!(begin.elapsed() < DEADLINE, "{findings}");
        pause(Duration::from_millis(200));
    }
}

#[test]
fn the_doctor_looks_at_an_archive_without_a_scheduler() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    let output = tidewaiter(&archive, &["doctor"]);
    let findings: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(found(&findings, "fine").iter().any(|finding| finding.starts_with("conditional put of ")));
    assert!(fs::read_dir(&archive).map_or(true, |mut entries| entries.next().is_none()), "nothing is left");

    // What is no folder cannot be written to.
    let file = folder.path().join("file");
    fs::write(&file, "").expect("is written");
    let output = tidewaiter(&file.join("archive"), &["doctor"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let findings: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(found(&findings, "wrong").iter().any(|finding| finding.starts_with("store of ")), "{findings}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_gpu_that_is_not_there_is_refused_at_the_start_and_an_executor_leaves_a_scheduler_that_is_gone() {
    let mut command = binary();
    command.args(["executor", "--scheduler", "http://127.0.0.1:1", "--port", "0", "--device", "gpu"]);
    let refused = command.args(["--gpus", "99"]).output().expect("starts");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("99 GPU declared") && said.contains("nvidia-smi"), "{said}");

    let folder = tempfile::tempdir().expect("a folder");
    let (scheduler, _stderr, url, of_scheduler) = scheduler(folder.path());
    let mut command = binary();
    command.args(["executor", "--scheduler", &url, "--port", "0", "--leave-after", "1"]);
    let (mut executor, _stderr_of_executor, _) = started(&mut command);
    let begin = Instant::now();
    while sum(&scrape(&of_scheduler), "tidewaiter_executors{device=\"cpu\"}") < 1.0 {
        assert!(begin.elapsed() < DEADLINE, "the executor does not join");
        pause(Duration::from_millis(20));
    }
    drop(scheduler);
    assert_eq!(executor.ended(DEADLINE).code(), Some(1));
}
