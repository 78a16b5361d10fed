//! How far a job's queries are on a cluster of real processes, for programs and for people.

#![allow(clippy::disallowed_methods, reason = "a test polls with a deadline")]

use std::{
    fs,
    time::{Duration, Instant},
};

use tidewaiter_proto::v1::{WatchRequest, job_service_client::JobServiceClient};

use crate::support::{
    binary, document,
    processes::{Process, started},
};

/// Files of the export, and tasks; the one slot takes them one after the other.
const FILES: u64 = 8;

/// How long anything may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_query_tells_its_tasks_by_stage_and_watch_writes_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let scheduler = |address: &str| {
        let mut command = binary();
        command.args(["scheduler", "--bind", address, "--archive"]).arg(folder.path().join("archive"));
        started(command.arg("--exports").arg(folder.path()))
    };
    let (first, _stderr, line) = scheduler("127.0.0.1:0");
    let url = line.rsplit(' ').next().expect("a word").to_owned();

    let mapping = folder.path().join("mapping.toml");
    let text = "table = \"releases\"\ncountry = \"UG\"\n[columns]\ncase_id = { from = \"case\" }\n\
                event = { from = \"event\" }\nevent_time = { from = \"time\" }\n";
    fs::write(&mapping, text).expect("is written");
    let mut command = binary();
    command.args(["--output", "json", "--scheduler", &url, "--detach", "ingest", "releases", "--mapping"]);
    command.arg(&mapping);
    for file in 0..FILES {
        let rows = (0..6_000).map(|case| format!("{file}-{case},lodge,2024-02-03T08:00Z\n"));
        let path = folder.path().join(format!("{file}.csv"));
        fs::write(&path, format!("case,event,time\n{}", rows.collect::<String>())).expect("is written");
        command.arg(path);
    }
    let submitted = document(&command.output().expect("the binary starts"));
    let job = submitted["job"].as_str().expect("an id").to_owned();
    let mut watch = binary();
    watch.args(["--output", "json", "--scheduler", &url, "jobs", "watch", &job]);
    let watch = tokio::task::spawn_blocking(move || watch.output().expect("the binary starts"));

    // Nobody has joined the scheduler.
    let shown = || {
        document(
            &binary()
                .args(["--output", "json", "--scheduler", &url, "jobs", "show", &job])
                .output()
                .expect("starts"),
        )
    };
    let begin = Instant::now();
    while shown()["status"] != "waiting" {
        assert!(begin.elapsed() < DEADLINE, "the job does not wait: {}", shown());
    }
    assert_eq!(shown()["waits_for"], "an executor: none is connected");

    // The scheduler is lost, and started again: whoever watches is not.
    drop(first);
    let (_scheduler, _stderr, _) = scheduler(url.trim_start_matches("http://"));
    let mut client = JobServiceClient::connect(url.clone()).await.expect("the scheduler answers");
    let events = client.watch(WatchRequest { job: job.clone() }).await.expect("it is known");
    let mut events = events.into_inner();
    let mut executor = binary();
    executor.args(["executor", "--scheduler", &url, "--port", "0", "--work-folder"]);
    let _executor = Process(executor.arg(folder.path().join("work")).spawn().expect("starts"));

    let mut told = Vec::new();
    while let Some(event) = events.message().await.expect("the scheduler lives") {
        told.extend(event.progress.filter(|progress| progress.total == FILES));
    }
    assert!(told.iter().any(|progress| 0 < progress.done && progress.done < FILES), "{told:?}");
    assert!(
        told.iter().all(|progress| progress.step == "read files 1..8" && progress.unit == "tasks"),
        "{told:?}"
    );
    assert!(told.is_sorted_by_key(|progress| progress.done), "{told:?}");
    assert!(
        told.iter().all(|progress| {
            let note = format!("stage 1: {} of 8 tasks", progress.done);
            progress.note.starts_with(&note)
        }),
        "{told:?}"
    );

    let watched = watch.await.expect("ends");
    assert_eq!(document(&watched)["rows"]["archived"], 6_000 * FILES);
    let said = String::from_utf8_lossy(&watched.stderr);
    assert!(said.contains(&format!("job {job} waits for an executor")), "{said}");
    assert!(said.contains(&format!("job {job} is followed as soon as it does again")), "{said}");
    let notes = &shown()["notes"];
    let note = notes[0]["text"].as_str().expect("a note");
    assert!(notes[0]["step"] == "read files 1..8" && note.contains("its successor"), "{notes}");
    assert!(
        (0..=FILES)
            .any(|done| said
                .contains(&format!("read files 1..8: {done} of 8 tasks; stage 1: {done} of 8 tasks"))),
        "{said}"
    );
}
