//! That of several processes one drives the jobs of an archive, or one job: real processes, of which some stand still.

#![allow(clippy::disallowed_methods, reason = "a test polls with a deadline")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{ChildStderr, Command, Stdio},
    time::{Duration, Instant},
};

use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest,
    health_check_response::ServingStatus::{self, NotServing, Serving},
    health_client::HealthClient,
};

use crate::support::{
    binary,
    processes::{Process, pause, started},
};

/// How long anything may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long a scheduler that drives nothing may take to end.
const AT_ONCE: Duration = Duration::from_secs(2);

fn scheduler(archive: &Path) -> (Process, BufReader<ChildStderr>, String) {
    let mut command = binary();
    command.args(["scheduler", "--bind", "127.0.0.1:0", "--takeover", "1", "--archive"]);
    started(command.arg(archive))
}

fn signal(process: &Process, name: &str) {
    let pid = process.0.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().expect("kill starts").success());
}

fn next_line(stderr: &mut BufReader<ChildStderr>) -> String {
    let mut line = String::new();
    stderr.read_line(&mut line).expect("it is read");
    line.trim().to_owned()
}

#[test]
fn a_second_scheduler_waits_takes_the_place_of_a_silent_one_and_that_one_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    let (mut first, mut said_by_first, line) = scheduler(&archive);
    let url = line.rsplit(' ').next().expect("a word").to_owned();
    assert!(line.starts_with("scheduler listens on "), "{line}");

    let (second, mut said_by_second, line) = scheduler(&archive);
    let holder = format!("is driven by the scheduler at {url} (process {})", first.0.id());
    assert!(line.contains(&holder), "{line}");
    let waits = waiting(&line);
    assert_eq!((health(&url), health(&waits)), ([Serving, Serving], [Serving, NotServing]));
    signal(&first, "-STOP");
    let line = next_line(&mut said_by_second);
    assert_eq!(line, format!("scheduler listens on {waits}"));
    let url = waits;
    assert_eq!(health(&url), [Serving, Serving]);

    signal(&first, "-CONT");
    assert_eq!(first.ended(DEADLINE).code(), Some(1));
    let line = next_line(&mut said_by_first);
    assert!(line.contains(&url) && line.contains("has taken its place"), "{line}");

    // One of this machine that was killed is not waited for, and one that is asked to end gives the archive back.
    drop(second);
    let (mut third, _stderr, line) = scheduler(&archive);
    assert!(line.starts_with("scheduler listens on "), "{line}");
    let (mut fourth, _said_by_fourth, line) = scheduler(&archive);
    assert_eq!(health(&waiting(&line)), [Serving, NotServing]);
    signal(&fourth, "-TERM");
    assert_eq!(fourth.ended(AT_ONCE).code(), Some(0), "it is asked to end while it waits");
    signal(&third, "-TERM");
    assert_eq!(third.ended(DEADLINE).code(), Some(0));
    assert!(!archive.join("leases").exists());
}

/// Where a scheduler waits, by the line that says so.
fn waiting(line: &str) -> String {
    let (_, rest) = line.split_once("this scheduler waits on ").unwrap_or_else(|| panic!("{line}"));
    rest.split(',').next().unwrap_or_default().to_owned()
}

/// What a probe is told of a scheduler's life and of its jobs.
fn health(url: &str) -> [ServingStatus; 2] {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let endpoint = Endpoint::from_shared(url.to_owned()).expect("a URL");
        let mut client = HealthClient::new(endpoint.connect().await.expect("it answers"));
        let mut told = [NotServing; 2];
        for (told, service) in told.iter_mut().zip(["", "tidewaiter.v1.JobService"]) {
            let request = HealthCheckRequest { service: service.to_owned() };
            *told = client.check(request).await.expect("it answers").into_inner().status();
        }
        told
    })
}

#[test]
fn a_job_whose_process_lives_is_not_resumed() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    let out = folder.path().join("exports").display().to_string();
    let command = |options: &[&str]| {
        let mut command = binary();
        command.arg("--archive").arg(&archive).args(["synth", &out, "--country", "TW", "--years", "1"]);
        command.args(["--rows-per-year", "20000"]).args(options).stdout(Stdio::null());
        command
    };
    let job = Process(command(&[]).stderr(Stdio::null()).spawn().expect("starts"));
    let begin = Instant::now();
    while fs::read_dir(archive.join("ledger-embedded")).map_or(true, |mut jobs| jobs.next().is_none()) {
        assert!(begin.elapsed() < DEADLINE, "it does not begin");
        pause(Duration::from_millis(2));
    }
    signal(&job, "-STOP");
    let refused = command(&["--resume"]).output().expect("starts");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("(process {})", job.0.id())) && said.contains("wait for its end"),
        "{said}"
    );

    drop(job);
    let resumed = command(&["--resume"]).output().expect("starts");
    let said = String::from_utf8_lossy(&resumed.stderr).into_owned();
    assert!(resumed.status.success() && said.contains("goes on"), "{said}");
    assert!(!archive.join("leases").exists(), "the lease is given back");
}
