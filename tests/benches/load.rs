//! A scheduler under load: many jobs in its queue, and many executors that report and ask for tasks.
//!
//! `cargo build --release && cargo bench -p tidewaiter-tests --bench load`. `TIDEWAITER_BENCH_JOBS` (default 10000) one-row
//! ingests are submitted by two clients, each one after the other, while `TIDEWAITER_BENCH_EXECUTORS` (default 1000)
//! simulated executors report every half second, as real ones do, and ask for tasks every second. They never have a free
//! slot, so that all jobs stay in the queue. Each has two connections of its own: set `ulimit -n` above four times their
//! number. Then the scheduler is killed and started again on its ledger.
//!
//! The scheduler is `target/release/tidewaiter`, or the binary that `TIDEWAITER_BINARY` names. This program works on the
//! same cores; its own processor time is printed beside the scheduler's.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench takes the time and prints its figures"
)]

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ballista_core::{
    BALLISTA_PROTOCOL_VERSION,
    serde::protobuf::{
        ExecutorOperatingSystemSpecification, ExecutorRegistration, ExecutorResource, ExecutorSpecification,
        PollWorkParams, executor_resource::Resource, scheduler_grpc_client::SchedulerGrpcClient,
    },
};
use tidewaiter_proto::v1::{
    ExecutorReport, GetJobRequest, ListJobsRequest, SubmitRequest,
    executor_service_client::ExecutorServiceClient, job_service_client::JobServiceClient,
};
use tidewaiter_tests::{is_bench, number};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Clients that submit at once.
const CLIENTS: usize = 2;

/// Time from an executor's report to its next one; of two it asks for tasks once.
const REPORTS: Duration = Duration::from_millis(500);

/// How long the executors report before the first job is submitted.
const SETTLED: Duration = Duration::from_secs(5);

/// Time between two looks at a scheduler that starts.
const LOOKS: Duration = Duration::from_millis(20);

/// Jobs of a list as `tidewaiter jobs list` asks for it.
const LISTED: u32 = 50;

/// A scheduler process, killed when it is dropped.
struct Scheduler {
    process: Child,
    _stderr: BufReader<ChildStderr>,
    url: String,
    started: Instant,
}

impl Scheduler {
    fn start(folder: &Path) -> Self {
        let binary = env::var_os("TIDEWAITER_BINARY").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/tidewaiter"),
            PathBuf::from,
        );
        let started = Instant::now();
        let mut process = Command::new(binary)
            .args(["scheduler", "--bind", "127.0.0.1:0", "--archive"])
            .arg(folder.join("archive"))
            .arg("--exports")
            .arg(folder)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary is built");
        let mut stderr = BufReader::new(process.stderr.take().expect("it is piped"));
        let mut line = String::new();
        stderr.read_line(&mut line).expect("it says where it listens");
        let url = line.trim().rsplit(' ').next().expect("a word").to_owned();
        Self { process, _stderr: stderr, url, started }
    }

    /// A field of the process's memory, in MiB.
    fn mib(&self, field: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<f64>().expect("KiB") / 1024.0
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The processor seconds of a process so far; `self` is this one.
fn processor_seconds(process: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("Linux");
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("ticks"));
    ticks.sum::<f64>() / 100.0
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    if !is_bench("a scheduler under load") {
        return;
    }
    let (jobs, executors) =
        (number("TIDEWAITER_BENCH_JOBS", 10_000), number("TIDEWAITER_BENCH_EXECUTORS", 1_000));
    let folder = tempfile::tempdir().expect("a folder");
    let scheduler = Scheduler::start(folder.path());
    let reports = Arc::new(Mutex::new(Vec::new()));
    let simulated: Vec<_> = (0..executors)
        .map(|number| tokio::spawn(execute(scheduler.url.clone(), number, Arc::clone(&reports))))
        .collect();
    sleep(SETTLED).await;
    println!("memory of the scheduler with {executors} executors: {:.0} MiB", scheduler.mib("VmRSS:"));

    let specification = specification(folder.path());
    let (begun, ours) = (Instant::now(), processor_seconds("self"));
    let its = processor_seconds(&scheduler.process.id().to_string());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(submit(scheduler.url.clone(), specification.clone(), jobs / CLIENTS)))
        .collect();
    let (mut took, mut last) = (Vec::new(), String::new());
    for client in clients {
        let (seconds, job) = client.await.expect("it does not panic");
        took.extend(seconds);
        last = last.max(job);
    }
    println!(
        "{} submissions in {:.1} s; processor time: scheduler {:.1} s, this program {:.1} s",
        took.len(),
        begun.elapsed().as_secs_f64(),
        processor_seconds(&scheduler.process.id().to_string()) - its,
        processor_seconds("self") - ours,
    );
    print_times("a submission", took);
    print_times("an executor's report", std::mem::take(&mut *reports.lock().expect("not poisoned")));
    println!(
        "memory of the scheduler with the jobs: {:.0} MiB, at most {:.0}",
        scheduler.mib("VmRSS:"),
        scheduler.mib("VmHWM:")
    );
    let begun = Instant::now();
    let mut client = JobServiceClient::connect(scheduler.url.clone()).await.expect("it answers");
    client.list(ListJobsRequest { limit: LISTED }).await.expect("they are listed");
    println!("the newest {LISTED} jobs are listed in {:.2} s", begun.elapsed().as_secs_f64());

    simulated.iter().for_each(tokio::task::JoinHandle::abort);
    drop(scheduler);
    take_up(folder.path(), last).await;
}

/// A one-row ingest, as a job's specification.
fn specification(folder: &Path) -> String {
    let (mapping, file) = (folder.join("mapping.toml"), folder.join("export.csv"));
    let columns = "declaration_id = { from = \"id\" }\nitem_number = { constant = \"1\" }\n\
                   acceptance_date = { from = \"date\" }\nhs_code = { from = \"hs\" }\n";
    fs::write(&mapping, format!("country = \"TW\"\n[columns]\n{columns}")).expect("written");
    fs::write(&file, "id,date,hs\nD,2020-01-03,610910\n").expect("written");
    serde_json::json!({"kind": "ingest", "mapping": mapping, "files": [file]}).to_string()
}

/// Submits so many jobs, one after the other; gives the seconds that each took, and the last one's id.
async fn submit(url: String, specification: String, jobs: usize) -> (Vec<f64>, String) {
    let mut client = JobServiceClient::connect(url).await.expect("it answers");
    let (mut took, mut last) = (Vec::with_capacity(jobs), String::new());
    for _ in 0..jobs {
        let request = SubmitRequest { specification: specification.clone(), request_id: String::new() };
        let begun = Instant::now();
        last = client.submit(request).await.expect("it is accepted").into_inner().job;
        took.push(begun.elapsed().as_secs_f64());
    }
    (took, last)
}

/// An executor without a free slot, until the task is aborted.
async fn execute(url: String, number: usize, reports: Arc<Mutex<Vec<f64>>>) {
    let id = format!("executor-{number}");
    let report = ExecutorReport {
        executor: id.clone(),
        process: id.clone(),
        address: format!("http://127.0.0.1:{}", 10_000 + number),
        ..ExecutorReport::default()
    };
    let registration = ExecutorRegistration {
        id,
        host: Some("127.0.0.1".to_owned()),
        port: 10_000 + u32::try_from(number).expect("a port"),
        grpc_port: 0,
        specification: Some(ExecutorSpecification {
            resources: vec![ExecutorResource { resource: Some(Resource::Vcores(1)) }],
        }),
        os_info: Some(ExecutorOperatingSystemSpecification::default()),
        ballista_protocol_version: BALLISTA_PROTOCOL_VERSION,
    };
    let ask = PollWorkParams { metadata: Some(registration), num_free_vcores: 0, task_status: Vec::new() };
    let mut service = ExecutorServiceClient::connect(url.clone()).await.expect("the scheduler answers");
    let mut ballista = SchedulerGrpcClient::connect(url).await.expect("the scheduler answers");
    let mut ticks = interval(REPORTS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 0_u64.. {
        ticks.tick().await;
        let begun = Instant::now();
        service.report(report.clone()).await.expect("it is known");
        reports.lock().expect("not poisoned").push(begun.elapsed().as_secs_f64());
        if round.is_multiple_of(2) {
            let answer = ballista.poll_work(ask.clone()).await.expect("it is known").into_inner();
            assert!(answer.tasks.is_empty(), "it has no free slot");
        }
    }
}

/// Starts a scheduler on the ledger, and waits until it drives the last job.
async fn take_up(folder: &Path, last: String) {
    let scheduler = Scheduler::start(folder);
    println!("after a kill the scheduler listens in {:.2} s", scheduler.started.elapsed().as_secs_f64());
    let mut client = JobServiceClient::connect(scheduler.url.clone()).await.expect("it answers");
    loop {
        let job = client.get(GetJobRequest { job: last.clone() }).await.expect("it is known").into_inner();
        if job.waits_for.starts_with("its turn") {
            break;
        }
        sleep(LOOKS).await;
    }
    println!(
        "and has taken up all jobs in {:.2} s, with {:.0} MiB",
        scheduler.started.elapsed().as_secs_f64(),
        scheduler.mib("VmRSS:")
    );
}

fn print_times(what: &str, mut seconds: Vec<f64>) {
    seconds.sort_by(f64::total_cmp);
    let at = |share: f64| 1e3 * seconds[((seconds.len() - 1) as f64 * share) as usize];
    println!("{what}: median {:.1} ms, 99th percentile {:.1} ms, most {:.1} ms", at(0.5), at(0.99), at(1.0));
}
