//! What faults cost real processes: time, and no finished work. A killed command goes on where it was, a job outlives
//! transient errors or is retried by its user, and a scheduler starts whatever is in its ledger.

#![allow(
    clippy::disallowed_methods,
    reason = "a test measures how long something takes, and gives up in the end"
)]

use std::{
    collections::BTreeSet,
    fs,
    io::BufReader,
    path::{Path, PathBuf},
    process::{ChildStderr, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    binary, document,
    processes::{Process, RETRAIN, pause, started},
    tidewaiter,
};

/// How long anything may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(400);

/// From the start of a scheduler to its first answer; a build without optimisation on a busy machine is slower.
const SERVES_WITHIN: Duration = Duration::from_secs(6);

/// Looks until something is there.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < DEADLINE, "{what} does not happen");
        pause(Duration::from_millis(20));
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path);
            }
        }
    }
    found
}

/// A folder of exports, and one with an archive for each side.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder") };
        let out = place.path("exports").display().to_string();
        let options =
            ["--country", "TW", "--years", "1", "--rows-per-year", "9000", "--inspection-rate", "0.4"];
        document(&tidewaiter(&place.path("unused"), &[&["synth", &out], &options[..]].concat()));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A pipeline that ingests and retrains.
    fn pipeline(&self) -> String {
        let (pipeline, exports) = (self.path("pipeline.toml"), self.path("exports").display().to_string());
        let text = format!(
            "[[job]]\nkind = \"ingest\"\nmapping = \"{exports}/mapping.toml\"\n\
             files = [\"{exports}/declarations-*.csv\"]\n\
             [[job]]\nkind = \"retrain\"\nmodel = \"fraud\"\ncountry = \"TW\"\ntrain = \"2020-01..2020-08\"\n\
             valid = \"2020-09\"\ntest = \"2020-10..2020-11\"\ntrees = {{ trees = 60, learning_rate = 0.02 }}\nshards = 4\n"
        );
        fs::write(&pipeline, text).expect("is written");
        pipeline.display().to_string()
    }

    fn model(&self, archive: &str) -> Vec<u8> {
        let models = files(&self.path(archive).join("models"));
        fs::read(models.iter().find(|path| path.ends_with("1/model.bin")).expect("a model")).expect("is read")
    }
}

/// A scheduler and an executor.
struct Cluster {
    place: Place,
    url: String,
    scheduler: Process,
    _stderr: BufReader<ChildStderr>,
    executor: Process,
}

impl Cluster {
    fn new(options: &[&str]) -> Self {
        let place = Place::new();
        let (scheduler, stderr, url) = scheduler(place.folder.path(), "127.0.0.1:0", options);
        let executor = executor(&place, &url);
        let cluster = Self { place, url, scheduler, _stderr: stderr, executor };
        for archive in ["archive", "alone"] {
            let exports = cluster.place.path("exports");
            let mapping = exports.join("mapping.toml").display().to_string();
            let files = exports.join("declarations-*.csv").display().to_string();
            let ingest = ["ingest", "declarations", "--mapping", &mapping, &files];
            document(&tidewaiter(&cluster.place.path(archive), &ingest));
        }
        cluster
    }

    /// The document of a command of a user, which must succeed.
    fn run(&self, arguments: &[&str]) -> Value {
        document(&self.command(arguments).output().expect("starts"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = binary();
        command.args(["--output", "json", "--scheduler", &self.url]).args(arguments);
        command
    }

    /// Submits a retrain whose fitted model cannot be written, because a folder has its place.
    fn submit_blocked(&self) -> (String, PathBuf) {
        let job = self.run(&[&["--detach"], &RETRAIN[..]].concat());
        let job = job["job"].as_str().expect("an id").to_owned();
        let work = self.place.path("archive/work").join(&job);
        let blocked = work.join("model.bin");
        fs::create_dir_all(&blocked).expect("a folder");
        (job, blocked)
    }

    /// The job as soon as it is as wanted.
    fn shown(&self, job: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        until("what is wanted of the job", || Some(self.run(&["jobs", "show", job])).filter(&wanted))
    }

    fn assert_same_model(&self) {
        document(&tidewaiter(&self.place.path("alone"), &RETRAIN));
        assert!(self.place.model("archive") == self.place.model("alone"), "the models' bytes differ");
    }
}

fn executor(place: &Place, url: &str) -> Process {
    let mut executor = binary();
    executor.args(["executor", "--scheduler", url, "--port", "0", "--work-folder"]);
    executor.arg(place.path("executor")).stderr(Stdio::null());
    Process(executor.spawn().expect("starts"))
}

/// A scheduler that listens, its stderr, and its URL; its archive is below a folder.
fn scheduler(folder: &Path, address: &str, options: &[&str]) -> (Process, BufReader<ChildStderr>, String) {
    let mut command = binary();
    command.args(["scheduler", "--bind", address, "--archive"]).arg(folder.join("archive"));
    command.arg("--exports").arg(folder).args(options);
    let (process, stderr, line) = started(&mut command);
    let url = line.rsplit(' ').next().expect("a word").to_owned();
    (process, stderr, url)
}

fn tries(job: &Value, step: &str) -> u64 {
    let steps = job["steps"].as_array().expect("steps");
    let step = steps.iter().find(|known| known["name"] == step).expect("the step");
    step["tries"].as_u64().expect("a number")
}

#[test]
fn a_killed_command_goes_on_from_its_checkpoint_with_the_same_bytes() {
    let place = Place::new();
    let (pipeline, archive) = (place.pipeline(), place.path("archive"));
    let mut command = binary();
    command.args(["--output", "json", "--archive"]).arg(&archive).args(["run", &pipeline]);
    let mut killed =
        Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts"));
    until("a checkpoint", || {
        assert!(killed.0.try_wait().expect("it is a child").is_none(), "it ended before it could be killed");
        files(&archive.join("work")).into_iter().find(|path| path.ends_with("checkpoint"))
    });
    killed.0.kill().expect("it runs");
    killed.0.wait().expect("it ends");
    let events = files(&archive.join("ledger-embedded"));
    let finished = |step: &str| {
        let events = events.iter().map(|path| fs::read_to_string(path).expect("an event"));
        let mut events = events.map(|event| serde_json::from_str::<Value>(&event).expect("JSON"));
        events.find(|event| event["event"] == "step_finished" && event["step"] == step)
    };
    let ingested = finished("1 ingest").expect("the ingest was over");
    assert!(finished("2 retrain: features").is_some() && finished("2 retrain: fit").is_none());

    let resumed = tidewaiter(&archive, &["run", &pipeline, "--resume"]);
    let said = String::from_utf8_lossy(&resumed.stderr).into_owned();
    let resumed = document(&resumed);
    assert!(said.contains("goes on in its step \"2 retrain: fit\""), "{said}");
    let folder = events.iter().next().and_then(|event| event.parent()).and_then(Path::file_name);
    assert_eq!(resumed["job"].as_str().map(AsRef::as_ref), folder, "it is the same job");
    assert_eq!(resumed["parts"][0], ingested["outcome"], "the ingest is not done again");
    let steps = resumed["parts"][1]["steps"].as_array().expect("steps");
    let names: Vec<_> = steps.iter().map(|step| step["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["champion", "features", "fit", "evaluate"]);
    for left in ["ledger-embedded", "work"] {
        assert_eq!(files(&archive.join(left)), BTreeSet::new(), "{left}");
    }

    document(&tidewaiter(&place.path("alone"), &["run", &pipeline]));
    assert!(place.model("archive") == place.model("alone"), "the models' bytes differ");
    let another = tidewaiter(&archive, &["quality", "--resume"]);
    let said = String::from_utf8_lossy(&another.stderr).into_owned();
    assert!(said.contains("begins anew") && another.status.success(), "{said}");
}

#[test]
fn executors_that_are_away_and_a_write_that_fails_cost_retries_and_no_finished_step() {
    let mut cluster = Cluster::new(&["--executor-timeout", "1", "--executor-wait", "1"]);
    let (job, blocked) = cluster.submit_blocked();
    let retries =
        |count: usize| move |job: &Value| job["retries"].as_array().is_some_and(|all| all.len() >= count);
    cluster.shown(&job, |job| job["step"] == "features");
    drop(cluster.executor.0.kill());
    cluster.executor.0.wait().expect("it ends");
    let lost = cluster.shown(&job, retries(1));
    let reason = lost["retries"][0]["error"].as_str().expect("a reason");
    assert!(lost["retries"][0]["step"] == "features" && reason.contains("executors were lost"), "{lost}");

    // It is listed as gone, and not as if it had never been.
    let gone = cluster.run(&["cluster"]);
    assert!(gone[0]["gone"] == true && gone[0]["memory_bytes"].as_u64() > Some(0), "{gone}");

    cluster.executor = executor(&cluster.place, &cluster.url);
    let waiting = cluster.shown(&job, retries(2));
    assert_eq!(waiting["status"], "running", "{waiting}");
    assert_eq!(waiting["retries"][1]["step"], "fit");
    fs::remove_dir_all(&blocked).expect("it goes away");
    let ended = cluster.shown(&job, |job| job["ended_ms"].is_i64());
    assert_eq!(ended["status"], "succeeded", "{ended}");
    assert_eq!(tries(&ended, "features"), 2);
    assert!(tries(&ended, "fit") > 1, "{ended}");
    cluster.assert_same_model();
    until("its files are gone", || (!cluster.place.path("archive/work").join(&job).exists()).then_some(()));
}

#[test]
fn a_failed_job_keeps_its_work_until_it_is_retried_or_given_up() {
    let mut cluster = Cluster::new(&["--retries", "0"]);
    let (job, blocked) = cluster.submit_blocked();
    let failed = cluster.shown(&job, |job| job["ended_ms"].is_i64());
    assert_eq!((&failed["status"], &failed["can_be_retried"]), (&json!("failed"), &json!(true)));
    let listed = &cluster.run(&["jobs", "list"])[0];
    assert_eq!((&listed["job"], &listed["status"]), (&json!(job), &json!("failed")));
    assert!(listed["error"].as_str().is_some_and(|error| error.contains("model.bin")), "{listed}");
    assert!(listed["begun_ms"].as_i64() < listed["ended_ms"].as_i64(), "{listed}");

    // A scheduler that starts anew leaves it alone.
    drop(cluster.scheduler.0.kill());
    cluster.scheduler.0.wait().expect("it ends");
    let address = cluster.url.trim_start_matches("http://").to_owned();
    let folder = cluster.place.folder.path().to_owned();
    (cluster.scheduler, cluster._stderr, cluster.url) = scheduler(&folder, &address, &["--retries", "0"]);
    assert_eq!(cluster.run(&["jobs", "show", &job]), failed);

    fs::remove_dir_all(&blocked).expect("it goes away");
    let retried = cluster.run(&["jobs", "retry", &job]);
    assert_eq!(retried["status"], "succeeded");
    let ended = cluster.run(&["jobs", "show", &job]);
    assert_eq!((tries(&ended, "features"), tries(&ended, "fit")), (1, 2));
    cluster.assert_same_model();
    let again = cluster.command(&["jobs", "retry", &job]).output().expect("starts");
    assert_eq!(again.status.code(), Some(1), "{}", String::from_utf8_lossy(&again.stderr));

    let (job, blocked) = cluster.submit_blocked();
    cluster.shown(&job, |job| job["status"] == "failed");
    assert!(blocked.exists());
    assert_eq!(cluster.run(&["jobs", "cancel", &job])["status"], "cancelled");
    assert!(!cluster.place.path("archive/work").join(&job).exists());
}

#[test]
fn a_scheduler_starts_beside_damaged_events_and_jobs_that_it_cannot_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = folder.path().join("archive/ledger");
    let unknown = "{\"event\": \"submitted\", \"specification\": {\"kind\": \"dance\"}, \"at_ms\": 1}";
    for (job, text) in [("01A", "{\"event\": \"subm"), ("01B", unknown), ("01C", "")] {
        fs::create_dir_all(ledger.join(job)).expect("a folder");
        fs::write(ledger.join(job).join("00000000.json"), text).expect("is written");
    }
    let (_scheduler, _stderr, url) = scheduler(folder.path(), "127.0.0.1:0", &[]);
    let run = |arguments: &[&str]| {
        document(
            &binary()
                .args(["--output", "json", "--scheduler", &url])
                .args(arguments)
                .output()
                .expect("starts"),
        )
    };
    let jobs = run(&["jobs", "list"]);
    let known: Vec<_> =
        jobs.as_array().expect("jobs").iter().map(|job| (&job["job"], &job["status"])).collect();
    let wanted =
        [("01C", "damaged"), ("01B", "queued"), ("01A", "damaged")].map(|(a, b)| (json!(a), json!(b)));
    assert_eq!(known, wanted.iter().map(|(a, b)| (a, b)).collect::<Vec<_>>());
    for (job, words) in [(0, "01C/00000000.json"), (1, "dance"), (2, "01A/00000000.json")] {
        assert!(jobs[job]["error"].as_str().is_some_and(|error| error.contains(words)), "{}", jobs[job]);
    }
    for job in ["01A", "01B", "01C"] {
        assert_eq!(run(&["jobs", "cancel", job])["status"], "cancelled", "{job}");
    }
    let jobs = run(&["jobs", "list"]);
    assert!(jobs.as_array().expect("jobs").iter().all(|job| job["status"] == "cancelled"), "{jobs}");
}

#[test]
fn a_job_waits_for_executors_as_long_as_it_may_and_can_be_retried() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = ["--retry-for", "1", "--query-wait", "1"];
    let (_scheduler, _stderr, url) = scheduler(folder.path(), "127.0.0.1:0", &options);
    let mapping = folder.path().join("mapping.toml");
    let text = "table = \"releases\"\ncountry = \"UG\"\n[columns]\ncase_id = { from = \"case\" }\n\
                event = { from = \"event\" }\nevent_time = { from = \"time\" }\n";
    fs::write(&mapping, text).expect("is written");
    let export = folder.path().join("export.csv");
    fs::write(&export, "case,event,time\n1,lodge,2024-02-03T08:00Z\n").expect("is written");
    let mut command = binary();
    command.args(["--scheduler", &url, "ingest", "releases", "--mapping"]).arg(&mapping).arg(&export);
    let failed = command.output().expect("starts");
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(said.contains("waits for an executor: none is connected"), "{said}");
    assert!(said.contains("waited 1 s for an executor") && said.contains("tidewaiter jobs retry"), "{said}");
    let mut list = binary();
    list.args(["--output", "json", "--scheduler", &url, "jobs", "list"]);
    let job = &document(&list.output().expect("starts"))[0];
    assert_eq!((&job["status"], &job["can_be_retried"]), (&json!("failed"), &json!(true)), "{job}");

    // A query says so, too, and does not wait for ever.
    let [mapping, export] = [mapping, export].map(|path| path.display().to_string());
    let ingest = ["ingest", "releases", "--mapping", &mapping, &export];
    document(&tidewaiter(&folder.path().join("archive"), &ingest));
    let mut query = binary();
    query.args(["--scheduler", &url, "archive", "sql", "SELECT count(*) AS n FROM releases"]);
    let failed = query.output().expect("starts");
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(said.contains("the query waits for an executor: none is connected"), "{said}");
    assert!(said.contains("the query waited 1 s for an executor") && said.contains("--query-wait"), "{said}");
}

#[test]
fn a_scheduler_serves_at_once_with_ten_thousand_jobs_in_its_ledger() {
    let folder = tempfile::tempdir().expect("a folder");
    let ended = folder.path().join("archive/ledger-ended");
    fs::create_dir_all(&ended).expect("a folder");
    let events = json!([
        {"event": "submitted", "specification": {"kind": "quality"}, "at_ms": 1000},
        {"event": "step_started", "step": "profile", "at_ms": 2000},
        {"event": "step_finished", "step": "profile", "outcome": {}, "at_ms": 3000},
        {"event": "succeeded", "outcome": {}, "at_ms": 4000},
    ]);
    let events = events.to_string();
    for job in 0..10_000 {
        fs::write(ended.join(format!("01JOB{job:05}.json")), &events).expect("is written");
    }
    let begin = Instant::now();
    let (_scheduler, _stderr, url) = scheduler(folder.path(), "127.0.0.1:0", &[]);
    let run = |arguments: &[&str]| {
        let output = binary().args(["--scheduler", &url]).args(arguments).output().expect("starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let shown = run(&["jobs", "show", "01JOB00007"]);
    let served = begin.elapsed();
    let listed = run(&["jobs", "list", "--limit", "20"]);
    println!("first answer after {served:?}, a list of the newest after {:?}", begin.elapsed());
    assert!(shown.contains("succeeded") && shown.contains("profile"), "{shown}");
    assert!(listed.contains("01JOB09999") && listed.contains("9,980 older"), "{listed}");
    assert!(served < SERVES_WITHIN, "it took {served:?}");
}
