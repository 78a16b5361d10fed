//! Drives a cluster of real processes, made of the built binary: the same results as in one process, and
//! what becomes of a job when an executor or the scheduler is killed.

#![allow(clippy::expect_used, reason = "a test stops where it cannot go on")]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use tidewaiter_proto::v1::{
    GetJobRequest, GetModelRequest, Job, JobStatus, ListModelsRequest, PartitionsRequest, Progress,
    PromoteRequest, SnapshotsRequest, TablesRequest, WatchRequest,
    archive_service_client::ArchiveServiceClient, job_service_client::JobServiceClient,
    model_service_client::ModelServiceClient,
};
use tonic::{Code, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::support::{
    binary, document, encoder::write_encoder, model_alone, processes::RETRAIN, tidewaiter, year,
};

/// A process that ends with the test.
struct Server(Child);

impl Server {
    /// Ends it as `kill -9` does.
    fn kill(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A scheduler with its archive, and executors of one slot each.
struct Cluster {
    folder: TempDir,
    url: String,
    scheduler: Server,
    /// Stays open for as long as the scheduler may write to it.
    _stderr: BufReader<ChildStderr>,
    executors: Vec<Server>,
}

impl Cluster {
    fn new(executors: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (scheduler, stderr, url) = start_scheduler(&folder.path().join("archive"), "127.0.0.1:0");
        let mut cluster = Self { folder, url, scheduler, _stderr: stderr, executors: Vec::new() };
        for number in 0..executors {
            cluster.add_executor(number);
        }
        cluster
    }

    fn add_executor(&mut self, number: usize) {
        let work = self.path(&format!("executor-{number}")).display().to_string();
        let (name, port) = (number.to_string(), free_port());
        let mut command = binary();
        command.args(["executor", "--scheduler", &self.url, "--name", &name, "--port", &port]);
        self.executors.push(Server(command.args(["--work-folder", &work]).spawn().expect("starts")));
    }

    /// Kills the scheduler and starts another at the same address.
    fn restart_scheduler(&mut self) {
        self.scheduler.kill();
        let address = self.url.trim_start_matches("http://").to_owned();
        let (scheduler, stderr, url) = start_scheduler(&self.path("archive"), &address);
        (self.scheduler, self._stderr, self.url) = (scheduler, stderr, url);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command of a user of this cluster.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = binary();
        command.args(["--output", "json", "--scheduler", &self.url, "--archive"]).arg(self.path("archive"));
        command.args(arguments).output().expect("the binary starts")
    }

    /// Generates exports and takes them into the cluster's archive.
    fn fill(&self) -> Value {
        document(&self.run(&["run", &year(self.folder.path())]))
    }

    /// The same, and in this process into another archive.
    fn fill_both(&self) {
        let there = self.fill();
        let here = document(&tidewaiter(&self.path("alone"), &["run", &year(self.folder.path())]));
        assert_eq!(there["rows"], here["rows"]);
        assert!(there["rows"]["archived"].as_u64() > Some(8_900));
    }

    /// Submits a retrain and waits until its fit has grown so many trees.
    async fn submit_and_follow(&self, trees: u64) -> String {
        let submitted = document(&self.run(&[&["--detach"], &RETRAIN[..]].concat()));
        let job = submitted["job"].as_str().expect("an id").to_owned();
        let grown = self.follow(&job, |progress| progress.step == "fit" && progress.done >= trees).await;
        assert!(grown.is_some(), "the fit ended before it had {trees} trees");
        job
    }

    async fn client(&self) -> JobServiceClient<Channel> {
        JobServiceClient::connect(self.url.clone()).await.expect("the scheduler answers")
    }

    /// The first progress of a job that is as wanted; `None` when the job ends before.
    async fn follow(&self, job: &str, wanted: impl Fn(&Progress) -> bool) -> Option<Progress> {
        let request = WatchRequest { job: job.to_owned() };
        let mut events = self.client().await.watch(request).await.expect("it is known").into_inner();
        while let Some(event) = events.message().await.expect("the scheduler lives") {
            if let Some(progress) = event.progress.filter(&wanted) {
                return Some(progress);
            }
        }
        None
    }

    /// The job at its end.
    async fn end(&self, job: &str) -> Job {
        self.follow(job, |_| false).await;
        let request = GetJobRequest { job: job.to_owned() };
        self.client().await.get(request).await.expect("it is known").into_inner()
    }

    /// The services over models and tables say what the commands say; health and reflection are served.
    async fn assert_services_answer(&self) {
        let channel =
            Channel::from_shared(self.url.clone()).expect("a URL").connect().await.expect("it answers");
        let mut models = ModelServiceClient::new(channel.clone());
        let request = GetModelRequest { name: "fraud-TW".to_owned(), version: 0 };
        let champion = models.get(request).await.expect("there is a champion").into_inner();
        assert_eq!((champion.version, champion.champion), (1, true));
        let request = PromoteRequest { name: "fraud-TW".to_owned(), version: 9 };
        let refused = models.promote(request).await.expect_err("there is no such version");
        assert_eq!(refused.code(), Code::NotFound);
        let listed = models.list(ListModelsRequest::default()).await.expect("answers").into_inner();
        assert_eq!(listed.models.len(), 1);

        let mut tables = ArchiveServiceClient::new(channel.clone());
        let listed = tables.tables(TablesRequest {}).await.expect("answers").into_inner().tables;
        assert_eq!(
            listed.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(),
            ["declarations", "predictions/fraud", "quarantine", "sources"]
        );
        let request = SnapshotsRequest { table: "declarations".to_owned() };
        let snapshots = tables.snapshots(request).await.expect("answers").into_inner().snapshots;
        assert_eq!(snapshots.last().map(|newest| newest.version), Some(listed[0].version));
        let request = PartitionsRequest { table: "declarations".to_owned(), version: None };
        let partitions = tables.partitions(request).await.expect("answers").into_inner().partitions;
        assert_eq!(partitions.iter().map(|partition| partition.rows).sum::<u64>(), listed[0].rows);
        assert_eq!(partitions.len(), 12);

        let health = HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await;
        assert_eq!(health.expect("answers").into_inner().status(), ServingStatus::Serving);
        let request = ServerReflectionRequest {
            message_request: Some(MessageRequest::ListServices(String::new())),
            ..ServerReflectionRequest::default()
        };
        let mut reflection = ServerReflectionClient::new(channel);
        let stream = reflection.server_reflection_info(tokio_stream::iter([request])).await.expect("answers");
        let answer = stream.into_inner().message().await.expect("streams").expect("an answer");
        let Some(MessageResponse::ListServicesResponse(services)) = answer.message_response else {
            panic!("not a list of services: {answer:?}")
        };
        let names: Vec<_> = services.service.iter().map(|service| service.name.as_str()).collect();
        for name in ["HsService", "JobService", "ModelService", "ArchiveService", "FitService"] {
            assert!(names.contains(&format!("tidewaiter.v1.{name}").as_str()), "{names:?}");
        }
    }

    /// The model of a retrain on this cluster must be the one of a retrain in this process.
    fn assert_same_model(&self) {
        let model = std::fs::read(self.path("archive/models/fraud-TW/1/model.bin")).expect("the model");
        assert!(model == model_alone(), "the model does not depend on where it was made");
    }
}

/// A scheduler that listens, its stderr, and its URL.
fn start_scheduler(archive: &Path, address: &str) -> (Server, BufReader<ChildStderr>, String) {
    let mut command = binary();
    let exports = archive.parent().expect("the test's folder");
    command.args(["scheduler", "--bind", address, "--exports"]).arg(exports);
    command.arg("--archive").arg(archive).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("it says where it listens");
    let url = line.trim().rsplit(' ').next().expect("a word").to_owned();
    (Server(child), stderr, url)
}

fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    listener.local_addr().expect("has an address").port().to_string()
}

#[tokio::test]
async fn every_job_gives_on_a_cluster_what_it_gives_in_one_process() {
    let cluster = Cluster::new(2);
    cluster.fill_both();
    let query = "SELECT month, origin, count(*) AS n, max(customs_value) AS most FROM declarations \
                 WHERE country = 'TW' GROUP BY month, origin ORDER BY month, origin";
    let there = document(&cluster.run(&["archive", "sql", query]));
    assert!(there.as_array().is_some_and(|rows| rows.len() > 12));
    assert_eq!(there, document(&tidewaiter(&cluster.path("alone"), &["archive", "sql", query])));

    let retrained = document(&cluster.run(&RETRAIN));
    document(&tidewaiter(&cluster.path("alone"), &RETRAIN));
    cluster.assert_same_model();
    let apply = ["apply", "fraud", "--country", "TW", "--months", "2020-12", "--capacity-percent", "3"];
    let (there, here) = (cluster.run(&apply), tidewaiter(&cluster.path("alone"), &apply));
    assert_eq!(document(&there)["metrics"], document(&here)["metrics"]);
    // Files may be cut elsewhere; the rows are the same.
    let query = "SELECT declaration_id, item_number, probability, rank, reasons, model FROM predictions_fraud \
                 ORDER BY rank";
    let there = document(&tidewaiter(&cluster.path("archive"), &["archive", "sql", query]));
    assert!(there.as_array().is_some_and(|rows| rows.len() > 500));
    assert_eq!(there, document(&tidewaiter(&cluster.path("alone"), &["archive", "sql", query])));

    let profiled = document(&cluster.run(&["quality"]));
    assert_eq!(profiled["metrics"], document(&tidewaiter(&cluster.path("alone"), &["quality"]))["metrics"]);

    let jobs = document(&cluster.run(&["jobs", "list"]));
    let kinds: Vec<_> = jobs.as_array().expect("jobs").iter().map(|job| &job["kind"]).collect();
    assert_eq!(kinds, ["quality", "apply", "retrain", "pipeline"]);
    let id = retrained["job"].as_str().expect("an id");
    assert_eq!(document(&cluster.run(&["jobs", "show", id]))["outcome"], retrained);
    assert_eq!(document(&cluster.run(&["jobs", "watch", id])), retrained);
    cluster.assert_services_answer().await;
    let unknown = cluster.run(&["jobs", "show", "01NOBODY"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", String::from_utf8_lossy(&unknown.stderr));

    // A job that fails says there what it says here.
    let wrong = ["retrain", "fraud", "--country", "KR", "--train", "2020-01..2020-08", "--test", "2020-11"];
    let refused = cluster.run(&wrong);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("known outcome"));
}

#[test]
fn hs_codes_are_learned_and_recommended_on_a_cluster_as_in_one_process() {
    let cluster = Cluster::new(2);
    cluster.fill_both();
    write_encoder(&cluster.path("encoder"));
    let encoder = cluster.path("encoder").display().to_string();
    let retrain = ["retrain", "hs", "--country", "TW", "--train", "2020-06..2020-08", "--valid", "2020-09"];
    let retrain = [&retrain[..], &["--test", "2020-11", "--shards", "3", "--encoder", &encoder]].concat();
    let retrain = [&retrain[..], &["--fine-tune-epochs", "1", "--fine-tune-layers", "1"]].concat();
    let apply = ["apply", "hs", "--country", "TW", "--months", "2020-12"];
    let alone = cluster.path("alone");
    let suggest = ["hs", "suggest", "frozen shrimps, peeled"];
    let early = cluster.run(&suggest);
    assert!(!early.status.success() && String::from_utf8_lossy(&early.stderr).contains("hs"));
    let (there, here) = (document(&cluster.run(&retrain)), document(&tidewaiter(&alone, &retrain)));
    assert_eq!(there["metrics"]["test"], here["metrics"]["test"]);
    // The scheduler answers from memory what a command answers that reads the model itself.
    for _ in 0..2 {
        let (there, here) = (document(&cluster.run(&suggest)), document(&tidewaiter(&alone, &suggest)));
        assert_eq!(there, here);
    }
    let model = |archive: &str| std::fs::read(cluster.path(archive).join("models/hs-TW/1/model.bin"));
    assert_eq!(model("archive").expect("a model"), model("alone").expect("a model"));

    let (there, here) = (document(&cluster.run(&apply)), document(&tidewaiter(&alone, &apply)));
    assert!(there["metrics"]["items"]["items"].as_u64() > Some(500), "{}", there["metrics"]);
    assert_eq!(there["metrics"], here["metrics"]);
    let query = "SELECT code_6, count(*) AS n, max(probability_6) AS p, min(misclassification) AS m, \
                 max(duty_at_stake) AS d FROM predictions_hs GROUP BY code_6 ORDER BY code_6";
    let rows = |archive: &Path| document(&tidewaiter(archive, &["archive", "sql", query]));
    assert_eq!(rows(&cluster.path("archive")), rows(&alone));
}

#[test]
fn date_is_trained_and_applied_on_a_cluster_as_in_one_process() {
    let cluster = Cluster::new(2);
    cluster.fill_both();
    let retrain = ["retrain", "fraud", "--model", "date", "--country", "TW", "--train", "2020-01..2020-08"];
    let options = ["--valid", "2020-09", "--test", "2020-10..2020-11", "--shards", "3", "--trees", "12"];
    let retrain = [&retrain[..], &options, &["--leaves", "8", "--epochs", "6"]].concat();
    let alone = cluster.path("alone");
    let (there, here) = (document(&cluster.run(&retrain)), document(&tidewaiter(&alone, &retrain)));
    assert!(there["metrics"]["test"]["roc_auc"].as_f64() > Some(0.5), "{}", there["metrics"]);
    assert_eq!(there["metrics"], here["metrics"]);
    let model = |archive: &str| std::fs::read(cluster.path(archive).join("models/fraud-TW/1/model.bin"));
    assert_eq!(model("archive").expect("a model"), model("alone").expect("a model"));

    let apply = ["apply", "fraud", "--country", "TW", "--months", "2020-12", "--rank-by", "revenue"];
    document(&cluster.run(&apply));
    document(&tidewaiter(&alone, &apply));
    let query = "SELECT declaration_id, item_number, probability, expected_revenue, rank, reasons \
                 FROM predictions_fraud ORDER BY rank";
    let rows = |archive: &Path| document(&tidewaiter(archive, &["archive", "sql", query]));
    let there = rows(&cluster.path("archive"));
    assert_eq!(there, rows(&alone));
    let first = &there[0];
    assert!(first["expected_revenue"].as_f64() > Some(0.0), "{first}");
    let reasons: serde_json::Value =
        serde_json::from_str(first["reasons"].as_str().expect("reasons")).expect("JSON");
    assert!(reasons[0]["log_odds"].is_f64() && reasons[0]["feature"].is_string(), "{reasons}");
}

#[test]
fn strategies_walk_on_a_cluster_as_in_one_process() {
    let cluster = Cluster::new(2);
    cluster.fill_both();
    let truth = std::fs::read_dir(cluster.path("exports"))
        .expect("exports")
        .map(|entry| entry.expect("an entry").path());
    let mut truth: Vec<String> = truth.map(|path| path.display().to_string()).collect();
    truth.retain(|path| path.contains("/truth-"));
    truth.sort();
    let walk =
        ["backtest", "fraud", "--country", "TW", "--from", "2020-09", "--to", "2020-10", "--seeds", "1"];
    let options = ["--trees", "8", "--strategy", "random", "--strategy", "gbdt+badge", "--truth"];
    let arguments: Vec<&str> =
        walk.into_iter().chain(options).chain(truth.iter().map(String::as_str)).collect();
    let there = document(&cluster.run(&arguments));
    let here = document(&tidewaiter(&cluster.path("alone"), &arguments));
    assert!(there["metrics"]["strategies"]["gbdt+badge"].is_object(), "{}", there["metrics"]);
    assert_eq!(there["metrics"], here["metrics"]);
}

#[tokio::test]
async fn a_fit_survives_the_death_of_an_executor_with_the_same_model() {
    let mut cluster = Cluster::new(2);
    cluster.fill();
    let job = cluster.submit_and_follow(12).await;
    cluster.executors[0].kill();
    let job = cluster.end(&job).await;
    assert_eq!(job.status(), JobStatus::Succeeded, "{}", job.outcome);
    cluster.assert_same_model();
}

#[tokio::test]
async fn a_killed_scheduler_goes_on_from_the_last_checkpoint_with_the_same_model() {
    let mut cluster = Cluster::new(2);
    cluster.fill();
    let job = cluster.submit_and_follow(25).await;
    cluster.restart_scheduler();
    let resumed = cluster.follow(&job, |progress| progress.step == "fit").await.expect("the fit goes on");
    assert!(resumed.done >= 10, "it goes on from a checkpoint and not from tree {}", resumed.done);
    let end = cluster.end(&job).await;
    assert_eq!(end.status(), JobStatus::Succeeded, "{}", end.outcome);
    let features = end.steps.iter().find(|step| step.name == "features").expect("a step");
    assert_eq!(features.tries, 1, "a finished step is not repeated");
    cluster.assert_same_model();
}

#[test]
fn a_release_study_is_the_same_on_a_cluster_as_in_one_process() {
    let cluster = Cluster::new(2);
    let mapping = cluster.path("releases.toml");
    let text = "table = \"releases\"\ncountry = \"UG\"\n[columns]\ncase_id = { from = \"case\" }\nevent = { from = \"event\" }\n\
                role = { from = \"event\", other = \"\", values = { lodge = \"lodgement\", free = \"release\" } }\n\
                event_time = { from = \"end\" }\nstart_time = { from = \"begin\" }\noffice = { from = \"office\" }\n";
    std::fs::write(&mapping, text).expect("written");
    let mut arguments =
        vec!["ingest".to_owned(), "releases".into(), "--mapping".into(), mapping.display().to_string()];
    for file in 0..3_u32 {
        let mut rows = String::from("case,event,begin,end,office\n");
        for case in (0..300_u32).map(|case| case * 3 + file) {
            let (day, office) = (1 + case % 27, ["A", "B", ""][(case / 7 % 3) as usize]);
            rows += &format!(
                "{case},lodge,2024-02-{day:02}T08:00Z,2024-02-{day:02}T08:{:02}Z,{office}\n",
                case % 60
            );
            rows += &format!(
                "{case},check,2024-02-{day:02}T09:10Z,2024-02-{day:02}T09:{:02}Z,\n",
                10 + case * 7 % 50
            );
            if case % 11 > 0 {
                let hour = 10 + case * case % 13;
                rows += &format!("{case},free,2024-03-{day:02}T{hour}:00Z,2024-03-{day:02}T{hour}:05Z,\n");
            }
        }
        let path = cluster.path(&format!("releases-{file}.csv"));
        std::fs::write(&path, rows).expect("written");
        arguments.push(path.display().to_string());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let study =
        ["release-study", "--by", "office", "--from", "2024-02-10", "--compare", "2024-02-01..2024-02-09"];
    let read = |outcome: serde_json::Value| {
        let document = outcome["reports"][1].as_str().expect("a document").to_owned();
        std::fs::read_to_string(document).expect("is read")
    };
    document(&cluster.run(&arguments));
    let there = read(document(&cluster.run(&study)));
    let alone = cluster.path("alone");
    document(&tidewaiter(&alone, &arguments));
    let here = read(document(&tidewaiter(&alone, &study)));
    assert!(here.contains("\"cases\": 594"), "{here}");
    assert_eq!(there, here);
}
