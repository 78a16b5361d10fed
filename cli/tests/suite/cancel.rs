//! What becomes of real processes when a user cancels a job: nobody computes for it any more, its slots serve the next
//! job, and its files are gone. Time is the processor time of the processes, which no other load changes.

#![allow(
    clippy::disallowed_methods,
    reason = "a test measures how long something takes, and gives up in the end"
)]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{ChildStderr, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    binary, document,
    processes::{Process, pause, started},
    tidewaiter,
};

/// Within so long after a cancellation nobody computes for the job.
const IDLE_WITHIN: Duration = Duration::from_secs(5);

/// How long a job may take to begin its work, on a busy machine.
const BEGINS_WITHIN: Duration = Duration::from_secs(120);

/// How often every exported row is repeated, so that a job takes long enough to be cancelled in it.
const REPEATED: usize = 8;

/// Files that a vacuum deletes.
const FILES_LEFT: usize = 20_000;

/// A scheduler and two executors of two slots each.
struct Cluster {
    folder: TempDir,
    url: String,
    scheduler: Process,
    _stderr: BufReader<ChildStderr>,
    executors: Vec<Process>,
    /// Runs after each cancellation.
    query: &'static str,
}

impl Cluster {
    fn new(query: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = binary();
        command.args(["scheduler", "--bind", "127.0.0.1:0", "--archive"]).arg(folder.path().join("archive"));
        command.arg("--exports").arg(folder.path());
        let (scheduler, stderr, line) = started(&mut command);
        let url = line.rsplit(' ').next().expect("a word").to_owned();
        let executors = (0..2).map(|number| {
            let mut command = binary();
            command.args(["executor", "--scheduler", &url, "--port", "0", "--slots", "2", "--work-folder"]);
            Process(command.arg(folder.path().join(format!("executor-{number}"))).spawn().expect("starts"))
        });
        let executors = executors.collect();
        Self { folder, url, scheduler, _stderr: stderr, executors, query }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The document of a command of a user of this cluster, which must succeed.
    fn run(&self, arguments: &[&str]) -> Value {
        let mut command = binary();
        document(
            &command
                .args(["--output", "json", "--scheduler", &self.url])
                .args(arguments)
                .output()
                .expect("starts"),
        )
    }

    /// Submits a job, cancels it while a process computes for it, and looks at what is left of it.
    fn cancel(&self, what: &str, step: &str, computes: &[&Process], arguments: &[&str]) {
        let submitted = self.run(&[&["--detach"], arguments].concat());
        let job = submitted["job"].as_str().expect("an id");
        let begin = Instant::now();
        let ticks = || computes.iter().map(|process| process.ticks()).sum::<u64>();
        let mut since = None;
        loop {
            let shown = self.run(&["jobs", "show", job]);
            let status = shown["status"].as_str().expect("a status");
            assert!(
                ["queued", "running"].contains(&status),
                "{what} ended before it could be cancelled: {shown}"
            );
            if shown["step"].as_str().is_some_and(|now| now.ends_with(step)) {
                // Some tenths of a second of work for this step.
                let since = *since.get_or_insert_with(ticks);
                if ticks() > since + 40 {
                    break;
                }
            }
            assert!(begin.elapsed() < BEGINS_WITHIN, "{what} does not begin its step {step}: {shown}");
        }
        assert_eq!(self.run(&["jobs", "cancel", job])["status"], "cancelled", "{what}");
        let cancelled = Instant::now();
        for process in self.executors.iter().chain([&self.scheduler]) {
            let left = IDLE_WITHIN.saturating_sub(cancelled.elapsed());
            assert!(
                process.is_idle(left),
                "{what}: a process computes on {IDLE_WITHIN:?} after the cancellation"
            );
        }
        assert!(!self.path("archive/work").join(job).exists(), "{what} leaves its files");
        let again = self.run(&["jobs", "cancel", job]);
        assert_eq!(again["status"], "cancelled", "{what}: cancelling what is cancelled changes nothing");
        let begin = Instant::now();
        self.run(&["archive", "sql", self.query]);
        let next = begin.elapsed();
        assert!(next < IDLE_WITHIN, "{what}: the next query took {next:?}");
    }
}

/// Arguments that ingest exports, written below `folder`, in which each row of the generated ones stands so often.
fn ingest(folder: &Path, name: &str, times: usize) -> Vec<String> {
    let generated = folder.join("generated");
    if !generated.exists() {
        let out = generated.display().to_string();
        let options =
            ["--country", "TW", "--years", "1", "--rows-per-year", "9000", "--inspection-rate", "0.4"];
        document(&tidewaiter(&folder.join("unused"), &[&["synth", &out], &options[..]].concat()));
    }
    fs::create_dir_all(folder.join(name)).expect("a folder");
    let mapping = generated.join("mapping.toml").display().to_string();
    let mut arguments = ["ingest", "declarations", "--mapping", &mapping].map(str::to_owned).to_vec();
    for entry in fs::read_dir(&generated).expect("exports") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "csv") {
            let text = fs::read_to_string(&path).expect("is read");
            let (header, rows) = text.split_once('\n').expect("a header");
            let file = folder.join(name).join(path.file_name().expect("a name"));
            fs::write(&file, format!("{header}\n{}", rows.repeat(times))).expect("is written");
            arguments.push(file.display().to_string());
        }
    }
    arguments
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

const RETRAIN: [&str; 9] = [
    "retrain",
    "fraud",
    "--country",
    "TW",
    "--train",
    "2020-01..2020-08",
    "--test",
    "2020-10..2020-11",
    "--trees",
];

const BACKTEST: [&str; 14] = [
    "backtest",
    "fraud",
    "--country",
    "TW",
    "--from",
    "2020-05",
    "--to",
    "2020-12",
    "--seeds",
    "4",
    "--strategy",
    "gbdt+badge",
    "--trees",
    "300",
];

/// The same backtest as a part of another job.
const PIPELINE: &str = "[[job]]\nkind = \"backtest\"\nmodel = \"fraud\"\ncountry = \"TW\"\nfrom = \"2020-05\"\n\
                        to = \"2020-12\"\nseeds = 4\nstrategies = [\"gbdt+badge\"]\ntrees = { trees = 300 }\n";

/// An event log of so many cases.
fn write_events(path: &Path, cases: u32) {
    let mut rows = String::from("case,event,begin,end,office\n");
    for case in 0..cases {
        let (day, office) = (1 + case % 27, ["A", "B", "C"][(case / 7 % 3) as usize]);
        rows +=
            &format!("{case},lodge,2024-02-{day:02}T08:00Z,2024-02-{day:02}T08:{:02}Z,{office}\n", case % 60);
        rows += &format!(
            "{case},check,2024-02-{day:02}T09:10Z,2024-02-{day:02}T09:{:02}Z,\n",
            10 + case * 7 % 50
        );
        let hour = 10 + case % 13;
        rows += &format!("{case},free,2024-03-{day:02}T{hour}:00Z,2024-03-{day:02}T{hour}:05Z,\n");
    }
    fs::write(path, rows).expect("is written");
}

const EVENTS: &str = "table = \"releases\"\ncountry = \"UG\"\n[columns]\ncase_id = { from = \"case\" }\n\
                      event = { from = \"event\" }\nevent_time = { from = \"end\" }\nstart_time = { from = \"begin\" }\n\
                      role = { from = \"event\", other = \"\", values = { lodge = \"lodgement\", free = \"release\" } }\n\
                      office = { from = \"office\" }\n";

/// Arguments that ingest an event log of so many cases, written below a folder.
fn ingest_events(folder: &Path, cases: u32) -> Vec<String> {
    let (mapping, events) = (folder.join("events.toml"), folder.join("events.csv"));
    fs::write(&mapping, EVENTS).expect("is written");
    write_events(&events, cases);
    let [mapping, events] = [mapping, events].map(|path| path.display().to_string());
    ["ingest", "releases", "--mapping", &mapping, &events].map(str::to_owned).to_vec()
}

#[test]
fn executors_stand_still_when_a_job_of_any_kind_is_cancelled() {
    let cluster = Cluster::new("SELECT count(*) AS n FROM declarations WHERE month = 1");
    let executors: Vec<&Process> = cluster.executors.iter().collect();
    let folder = cluster.folder.path();
    cluster.run(&borrowed(&ingest(folder, "exports", REPEATED)));

    let more = ingest(folder, "more", REPEATED + 1);
    cluster.cancel("ingest", "", &executors, &borrowed(&more));
    cluster.cancel("quality", "profile", &executors, &["quality"]);
    let long = [&RETRAIN[..], &["3000"]].concat();
    cluster.cancel("retrain fraud", "features", &executors, &long);
    cluster.cancel("retrain fraud", "fit", &executors, &long);
    let date = ["--model", "date", "--epochs", "200"];
    cluster.cancel("retrain fraud --model date", "fit", &executors, &[&RETRAIN[..], &["10"], &date].concat());
    let hs = ["retrain", "hs", "--country", "TW", "--train", "2020-01..2020-08", "--valid", "2020-09"];
    cluster.cancel("retrain hs", "texts", &executors, &[&hs[..], &["--test", "2020-10..2020-11"]].concat());
    cluster.cancel("backtest fraud", "runs", &executors, &BACKTEST);

    let pipeline = cluster.path("pipeline.toml");
    fs::write(&pipeline, PIPELINE).expect("is written");
    let pipeline = pipeline.display().to_string();
    cluster.cancel("a pipeline", "runs", &executors, &["run", &pipeline]);

    let out = cluster.path("synth").display().to_string();
    let synth = ["synth", &out, "--country", "TW", "--years", "20", "--rows-per-year", "200000"];
    cluster.cancel("synth", "generate", &[&cluster.scheduler], &synth);

    assert_eq!(
        cluster.run(&["models", "list"]),
        serde_json::json!([]),
        "a cancelled retrain publishes nothing"
    );
    // Applying needs a model; that one is trained shows that nothing is left of the cancelled ones.
    cluster.run(&[&RETRAIN[..], &["2"]].concat());
    let apply = ["apply", "fraud", "--country", "TW", "--months", "2020-12"];
    cluster.cancel("apply fraud", "features", &executors, &apply);

    cluster.run(&borrowed(&ingest_events(folder, 60_000)));
    let study = ["release-study", "--by", "office", "--from", "2024-02-01"];
    cluster.cancel("release-study", "cases", &executors, &study);

    // Every month has two files, and some that no table knows.
    cluster.run(&borrowed(&more));
    cluster.cancel("archive optimise", "declarations", &executors, &["archive", "optimise", "declarations"]);
    let left = cluster.path("archive/declarations/country=TW/year=2020/month=1");
    for file in 0..FILES_LEFT {
        fs::write(left.join(format!("01LEFT-{file:05}.parquet")), "").expect("is written");
    }
    let vacuum = ["archive", "vacuum", "--older-than", "0"];
    cluster.cancel("archive vacuum", "vacuum", &[&cluster.scheduler], &vacuum);
}

#[test]
fn executors_stand_still_when_a_job_of_airlines_or_images_is_cancelled() {
    let cluster = Cluster::new("SELECT count(*) AS n FROM releases");
    let executors: Vec<&Process> = cluster.executors.iter().collect();
    let all: Vec<&Process> = cluster.executors.iter().chain([&cluster.scheduler]).collect();
    let folder = cluster.folder.path();
    cluster.run(&borrowed(&ingest_events(folder, 10)));
    let text = |name: &str| cluster.path(name).display().to_string();
    let generate = |kind: &str, out: &str, options: &[&str]| {
        document(&tidewaiter(&folder.join("unused"), &[&["synth", kind, out], options].concat()));
    };

    let made = text("made");
    let size = ["--country", "KR", "--months", "2024-01..2024-03", "--travellers", "1000"];
    generate("passengers", &made, &size);
    let (key, mapping) = (text("made/pseudonym.key"), text("made/outcomes.toml"));
    let messages = ["ingest", "passengers", &text("made/messages"), "--country", "KR", "--key", &key];
    cluster.cancel("ingest passengers", "", &executors, &messages);
    cluster.run(&messages);
    let outcomes = ["ingest", "passengers", &text("made/outcomes.csv"), "--mapping", &mapping, "--key", &key];
    cluster.run(&outcomes);
    let link = ["passengers", "link", "--country", "KR"];
    cluster.cancel("passengers link", "", &all, &link);
    cluster.run(&link);
    cluster.cancel("passengers network", "", &all, &["passengers", "network", "--country", "KR"]);
    let months = ["--train", "2024-01", "--valid", "2024-02", "--test", "2024-03"];
    let retrain =
        [&["retrain", "passengers", "--country", "KR"][..], &months, &["--trees", "20000"]].concat();
    cluster.cancel("retrain passengers", "", &all, &retrain);

    let drawn = text("drawn");
    let size = ["--country", "TW", "--images", "40", "--months", "2024-01..2024-03", "--threats", "0.6"];
    generate("xray", &drawn, &size);
    let (labels, mapping) = (text("drawn/annotations.json"), text("drawn/mapping.toml"));
    cluster.run(&[
        "ingest",
        "images",
        "--annotations",
        &labels,
        "--mapping",
        &mapping,
        &text("drawn/images"),
    ]);
    let retrain = |epochs: &str| {
        let size = ["--side", "64", "--width", "8", "--shards", "4", "--epochs", epochs];
        let arguments = [&["retrain", "xray", "--country", "TW"][..], &months, &size].concat();
        arguments.into_iter().map(str::to_owned).collect::<Vec<String>>()
    };
    cluster.cancel("retrain xray", "fit", &executors, &borrowed(&retrain("500")));
    cluster.run(&borrowed(&retrain("1")));
    let apply = ["apply", "xray", "--country", "TW", "--months", "2024-01..2024-03"];
    cluster.cancel("apply xray", "find", &executors, &apply);
}

#[test]
fn the_log_says_what_was_cancelled_and_nobody_minds_a_reader_that_leaves() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = binary();
    command.args(["scheduler", "--bind", "127.0.0.1:0", "--archive"]).arg(folder.path().join("archive"));
    command.arg("--exports").arg(folder.path()).env("TIDEWAITER_LOG", "tidewaiter_scheduler=info");
    let (scheduler, stderr, line) = started(&mut command);
    let url = line.rsplit(' ').next().expect("a word").to_owned();
    let user = |arguments: &[&str]| {
        let mut command = binary();
        command.args(["--output", "json", "--scheduler", &url]).args(arguments);
        command
    };
    let run = |arguments: &[&str]| document(&user(arguments).output().expect("starts"));

    // A scheduler generates exports itself.
    let out = folder.path().join("synth").display().to_string();
    let synth = ["--detach", "synth", &out, "--country", "TW", "--years", "20", "--rows-per-year", "200000"];
    let submitted = run(&synth);
    let job = submitted["job"].as_str().expect("an id");
    let begin = Instant::now();
    while run(&["jobs", "show", job])["step"] != "generate" {
        assert!(begin.elapsed() < BEGINS_WITHIN, "it does not begin");
    }
    assert_eq!(run(&["jobs", "cancel", job])["status"], "cancelled");

    // As `tidewaiter jobs show ID | head -0`: the reader is gone before the first byte.
    for arguments in [&["jobs", "show", job][..], &["jobs", "list"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let shown = user(arguments).stdout(writer).stderr(Stdio::piped()).output().expect("starts");
        let said = String::from_utf8_lossy(&shown.stderr).into_owned();
        assert_eq!((shown.status.code(), said.as_str()), (Some(0), ""), "{arguments:?}");
    }
    drop(scheduler);
    let lines: Vec<String> = stderr.lines().map_while(Result::ok).collect();
    let cancelled: Vec<_> = lines.iter().filter(|line| line.contains("a job is cancelled")).collect();
    let said = [job, "kind=\"synth\"", "step=\"generate\""];
    assert!(cancelled.len() == 1 && said.iter().all(|word| cancelled[0].contains(word)), "{lines:?}");
}

#[test]
fn an_interrupted_job_of_this_process_ends_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    document(&tidewaiter(&archive, &borrowed(&ingest(folder.path(), "exports", 6))));
    let mut command = binary();
    command.arg("--archive").arg(&archive).args(BACKTEST).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut job = Process(command.spawn().expect("starts"));
    let begin = Instant::now();
    while job.ticks() < 300 {
        assert!(begin.elapsed() < BEGINS_WITHIN, "the job computes nothing");
        assert!(
            job.0.try_wait().expect("it is a child").is_none(),
            "the job ended before it was interrupted"
        );
        pause(Duration::from_millis(50));
    }
    job.interrupt();
    assert_eq!(job.ended(IDLE_WITHIN).code(), Some(130));
    let said = std::io::read_to_string(job.0.stderr.take().expect("it is piped")).expect("is read");
    assert!(said.contains("--resume goes on from there") && said.contains("interrupted"), "{said}");
}
