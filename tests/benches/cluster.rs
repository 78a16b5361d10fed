//! A cluster of real processes: from a job's submission to its end when it has next to nothing to do, and a
//! retrain on two executors of one slot against one.
//!
//! `cargo build --release && cargo bench -p tidewaiter-tests --bench cluster`. Arguments: the rows a year of
//! the generated archive (200000) and its months (24). The processes are `target/release/tidewaiter`, or the
//! binary that `TIDEWAITER_BINARY` names.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench takes the time and prints its figures"
)]

use std::{
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tidewaiter_proto::v1::{
    GetJobRequest, JobStatus, SubmitRequest, WatchRequest, job_service_client::JobServiceClient,
};
use tidewaiter_tests::is_bench;

/// Jobs whose median is printed.
const SUBMISSIONS: usize = 20;

fn binary() -> PathBuf {
    env::var_os("TIDEWAITER_BINARY").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/tidewaiter"),
        PathBuf::from,
    )
}

/// A process that ends with the bench.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Cluster {
    url: String,
    _scheduler: (Server, BufReader<ChildStderr>),
    _executors: Vec<Server>,
}

impl Cluster {
    fn new(folder: &Path, executors: usize) -> Self {
        let mut scheduler = Command::new(binary())
            .args(["scheduler", "--bind", "127.0.0.1:0", "--archive"])
            .arg(folder.join("archive"))
            .arg("--exports")
            .arg(env::temp_dir())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary is built");
        let mut stderr = BufReader::new(scheduler.stderr.take().expect("it is piped"));
        let mut line = String::new();
        stderr.read_line(&mut line).expect("it says where it listens");
        let url = line.trim().rsplit(' ').next().expect("a word").to_owned();
        let executors = (0..executors).map(|number| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
            let port = listener.local_addr().expect("has an address").port().to_string();
            let mut command = Command::new(binary());
            command.args(["executor", "--scheduler", &url, "--name", &number.to_string(), "--port", &port]);
            command.args(["--slots", "1", "--work-folder"]).arg(folder.join(format!("executor-{number}")));
            Server(command.spawn().expect("starts"))
        });
        let executors = executors.collect();
        Self { url, _scheduler: (Server(scheduler), stderr), _executors: executors }
    }

    /// Runs a job to its end; gives its outcome and how long it took from its submission.
    async fn run(&self, specification: &Value) -> (Value, Duration) {
        let mut client = JobServiceClient::connect(self.url.clone()).await.expect("the scheduler answers");
        let submit = SubmitRequest { specification: specification.to_string(), request_id: String::new() };
        let begun = Instant::now();
        let job = client.submit(submit).await.expect("it is accepted").into_inner().job;
        let request = WatchRequest { job: job.clone() };
        let mut events = client.watch(request).await.expect("it is known").into_inner();
        while events.message().await.expect("the scheduler lives").is_some() {}
        let took = begun.elapsed();
        let job = client.get(GetJobRequest { job }).await.expect("it is known").into_inner();
        assert_eq!(job.status(), JobStatus::Succeeded, "{}", job.outcome);
        (serde_json::from_str(&job.outcome).expect("an outcome"), took)
    }
}

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` runs benches too, without this argument and without optimisation.
    if !is_bench("a cluster") {
        return;
    }
    let mut sizes = env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let (rows, months) = (sizes.next().unwrap_or(200_000), sizes.next().unwrap_or(24));
    let folder = tempfile::tempdir().expect("a folder");
    submissions(folder.path()).await;
    executors(folder.path(), rows, months).await;
}

/// Small ingests on a warm cluster, one after the other.
async fn submissions(folder: &Path) {
    let mapping = folder.join("mapping.toml");
    let columns = "declaration_id = { from = \"id\" }\nitem_number = { constant = \"1\" }\n\
                   acceptance_date = { from = \"date\" }\nhs_code = { from = \"hs\" }\n";
    std::fs::write(&mapping, format!("country = \"TW\"\n[columns]\n{columns}")).expect("written");
    let cluster = Cluster::new(folder, 1);
    let mut took = Vec::new();
    for number in 0..=SUBMISSIONS {
        let file = folder.join(format!("{number}.csv"));
        std::fs::write(&file, format!("id,date,hs\nD{number},2020-01-03,610910\n")).expect("written");
        let job = serde_json::json!({"kind": "ingest", "mapping": mapping, "files": [file]});
        took.push(cluster.run(&job).await.1);
    }
    // The first one warms the cluster up.
    took.remove(0);
    took.sort();
    let median = (took[SUBMISSIONS / 2 - 1] + took[SUBMISSIONS / 2]) / 2;
    println!(
        "submit to end of a one-row ingest: median {:.0} ms of {SUBMISSIONS}, {:.0} to {:.0} ms",
        median.as_secs_f64() * 1e3,
        took[0].as_secs_f64() * 1e3,
        took[SUBMISSIONS - 1].as_secs_f64() * 1e3,
    );
}

/// The same retrain on one executor and on two.
async fn executors(folder: &Path, rows: u64, months: u64) {
    let exports = folder.join("exports");
    let archive = serde_json::json!({
        "country": "TW", "first_month": [2020, 1], "months": months, "rows_per_year": rows,
        "inspection_rate": 0.5,
    });
    let fill = serde_json::json!({"kind": "pipeline", "jobs": [
        {"kind": "synth", "out": exports, "archive": archive},
        {"kind": "ingest", "mapping": exports.join("mapping.toml"), "files": [exports.join("declarations-*.csv")]},
    ]});
    let month = |since: u64| format!("{}-{:02}", 2020 + since / 12, since % 12 + 1);
    let retrain = serde_json::json!({
        "kind": "retrain", "model": "fraud", "country": "TW",
        "train": format!("{}..{}", month(0), month(months - 5)),
        "valid": format!("{}..{}", month(months - 4), month(months - 3)),
        "test": format!("{}..{}", month(months - 2), month(months - 1)),
        "trees": {"trees": 100, "early_stopping_rounds": 0},
    });
    let folder = folder.join("retrain");
    let seconds = |outcome: &Value, name: &str| {
        let steps = outcome["steps"].as_array().expect("steps");
        let step = steps.iter().find(|step| step["name"] == name).expect("the step");
        step["seconds"].as_f64().expect("seconds")
    };
    let mut alone = None;
    for count in [1, 2] {
        let cluster = Cluster::new(&folder, count);
        cluster.run(&fill).await;
        let (outcome, took) = cluster.run(&retrain).await;
        let fit = seconds(&outcome, "fit");
        println!(
            "{count} executor(s): retrain {:.1} s, of which features {:.1} s and fit {fit:.1} s",
            took.as_secs_f64(),
            seconds(&outcome, "features"),
        );
        match alone {
            None => alone = Some((took.as_secs_f64(), fit)),
            Some((whole, fit_alone)) => println!(
                "two executors against one: retrain {:.2} times as fast, fit {:.2} times",
                whole / took.as_secs_f64(),
                fit_alone / fit
            ),
        }
    }
}
