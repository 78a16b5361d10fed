//! What becomes of a fit on real processes when one of them stands still: an executor that is stopped closes no
//! connection, as one whose host has lost its power.

use std::{
    fs,
    io::BufReader,
    process::{ChildStderr, Command},
    time::Duration,
};

use tempfile::TempDir;
use tidewaiter_proto::v1::{
    GetJobRequest, Job, JobStatus, WatchRequest, job_service_client::JobServiceClient,
};
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;

use crate::support::{
    binary, document, model_alone,
    processes::{Process, RETRAIN, started},
    tidewaiter, year,
};

/// A fit that goes on without its silent worker ends within this; one that waits for it does not.
const ENDS_WITHIN: Duration = Duration::from_secs(300);

/// A scheduler and executors of one slot each, over an archive that was filled before.
struct Cluster {
    _folder: TempDir,
    url: String,
    _scheduler: Process,
    _stderr: BufReader<ChildStderr>,
    executors: Vec<Process>,
}

impl Cluster {
    fn new(folder: TempDir, executors: usize) -> Self {
        let mut command = binary();
        command.args(["scheduler", "--bind", "127.0.0.1:0", "--executor-timeout", "4", "--archive"]);
        command.arg(folder.path().join("archive"));
        let (scheduler, stderr, line) = started(command.arg("--exports").arg(folder.path()));
        let url = line.rsplit(' ').next().expect("a word").to_owned();
        let executors = (0..executors).map(|number| {
            let mut command = binary();
            command.args(["executor", "--scheduler", &url, "--port", "0", "--work-folder"]);
            Process(command.arg(folder.path().join(format!("executor-{number}"))).spawn().expect("starts"))
        });
        let executors = executors.collect();
        Self { _folder: folder, url, _scheduler: scheduler, _stderr: stderr, executors }
    }

    /// Submits a job and waits until its fit has so many trees.
    async fn submit_and_follow(&self, arguments: &[&str], trees: u64) -> String {
        let mut command = binary();
        command.args(["--output", "json", "--scheduler", &self.url, "--detach"]).args(arguments);
        let submitted = document(&command.output().expect("the binary starts"));
        let job = submitted["job"].as_str().expect("an id").to_owned();
        let request = WatchRequest { job: job.clone() };
        let mut events = self.client().await.watch(request).await.expect("it is known").into_inner();
        loop {
            let event = events.message().await.expect("the scheduler lives").expect("the fit goes on");
            if event.progress.is_some_and(|progress| progress.step == "fit" && progress.done >= trees) {
                return job;
            }
        }
    }

    /// The job at its end.
    async fn end(&self, job: &str) -> Job {
        let request = WatchRequest { job: job.to_owned() };
        let mut events = self.client().await.watch(request).await.expect("it is known").into_inner();
        while events.message().await.expect("the scheduler lives").is_some() {}
        let request = GetJobRequest { job: job.to_owned() };
        self.client().await.get(request).await.expect("it is known").into_inner()
    }

    async fn client(&self) -> JobServiceClient<Channel> {
        JobServiceClient::connect(self.url.clone()).await.expect("the scheduler answers")
    }
}

fn signal(process: &Process, name: &str) {
    let pid = process.0.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().expect("kill starts").success());
}

/// The state of a process; T: it is stopped.
fn state(process: &Process) -> String {
    let status = fs::read_to_string(format!("/proc/{}/stat", process.0.id())).expect("it exists");
    status.rsplit(')').next().expect("fields").split_whitespace().next().expect("a state").to_owned()
}

#[tokio::test]
async fn a_fit_goes_on_without_an_executor_that_is_stopped_and_gives_the_same_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    document(&tidewaiter(&archive, &["run", &year(folder.path())]));
    let cluster = Cluster::new(folder, 2);
    let job = cluster.submit_and_follow(&RETRAIN, 12).await;
    signal(&cluster.executors[0], "-STOP");
    let stopped = Instant::now();
    let job = timeout(ENDS_WITHIN, cluster.end(&job)).await.expect("the fit goes on");
    println!("the job ended {:?} after the executor was stopped", stopped.elapsed());
    assert_eq!(job.status(), JobStatus::Succeeded, "{}", job.outcome);
    let lost = job.notes.iter().find(|note| note.text.contains("was lost")).expect("what the job outlived");
    assert_eq!(lost.step, "fit");
    assert_eq!(state(&cluster.executors[0]), "T", "it is still stopped");
    let model = fs::read(archive.join("models/fraud-TW/1/model.bin")).expect("the model");
    assert!(model == model_alone(), "the model is that of an undisturbed fit");

    // It learns that the fit is over, and computes for nobody.
    signal(&cluster.executors[0], "-CONT");
    assert!(cluster.executors[0].is_idle(ENDS_WITHIN), "its slot is free");
}
