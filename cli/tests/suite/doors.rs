//! What a server lets nobody do, and what an error does not show; and that `archive` and `models` obey `--scheduler`.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::json;
use tempfile::TempDir;
use tidewaiter_archive::{Archive, write_operator::WriteOperator};
use tidewaiter_catalogue::CATALOGUE;
use tidewaiter_core::{
    plan,
    query::{Plan as _, Run as _},
};
use tidewaiter_executor::session;
use tidewaiter_proto::v1;
use tidewaiter_registry::{Facts, Publication, Registry};

use crate::support::{
    binary, document,
    processes::{Process, started},
    tidewaiter,
};

/// What stands in files that nobody may read.
const SECRET: &str = "hunter2";

/// A folder with exports, of which a scheduler may read, and with secrets.
struct Place {
    folder: TempDir,
    /// The processes, and what reads their stderr, so that they can write to it.
    servers: Vec<(Process, Box<dyn BufRead>)>,
    url: String,
}

impl Place {
    /// With a scheduler and as many executors.
    fn new(executors: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for folder in ["exports", "secret/encoder"] {
            fs::create_dir_all(path(folder)).expect("made");
        }
        let columns = "declaration_id = { from = \"id\" }\nitem_number = { constant = \"1\" }\n\
                       acceptance_date = { from = \"date\" }\nhs_code = { from = \"hs\" }\n";
        let mapping = format!("country = \"TW\"\n[columns]\n{columns}");
        let rows: Vec<_> = (0..700).map(|row| format!("D{row:03},2020-01-03,610910\n")).collect();
        let export = format!("id,date,hs\n{}", rows.concat());
        for folder in ["exports", "secret"] {
            fs::write(path(folder).join("mapping.toml"), &mapping).expect("written");
            fs::write(path(folder).join("items.csv"), &export).expect("written");
        }
        for file in ["passwd", "truth.parquet", "stages.toml", "codes.csv", "encoder/config.json"] {
            fs::write(path("secret").join(file), format!("root:{SECRET}:0:0:/root\n")).expect("written");
        }
        symlink(path("secret"), path("exports/way")).expect("linked");
        symlink(path("secret/passwd"), path("exports/passwd.toml")).expect("linked");

        let mut command = binary();
        command.args(["scheduler", "--bind", "127.0.0.1:0", "--archive"]).arg(path("archive"));
        let (scheduler, stderr, line) = started(command.arg("--exports").arg(path("exports")));
        let url = line.rsplit(' ').next().expect("a word").to_owned();
        let mut servers: Vec<(Process, Box<dyn BufRead>)> = vec![(scheduler, Box::new(stderr))];
        for number in 0..executors {
            let mut command = binary();
            command.args(["executor", "--scheduler", &url, "--port", "0", "--work-folder"]);
            let (executor, stderr, _) = started(command.arg(path(&format!("executor-{number}"))));
            servers.push((executor, Box::new(stderr)));
        }
        Self { folder, servers, url }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A command of a user who knows the scheduler's address and nothing else.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = binary();
        command.args(["--output", "json", "--archive"]).arg(self.path("nowhere"));
        command.args(arguments).args(["--scheduler", &self.url]).output().expect("the binary starts")
    }

    /// Takes the items of the exports into the scheduler's archive.
    fn fill(&self) {
        let (mapping, items) = (self.text("exports/mapping.toml"), self.text("exports/item*.csv"));
        let done = document(&self.run(&["ingest", "declarations", "--mapping", &mapping, &items]));
        assert_eq!(done["rows"]["archived"], 700);
    }
}

/// The error text of a command that must fail with a status and show no secret.
fn refusal(output: &Output, status: i32) -> String {
    let shown =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{shown}");
    assert!(!shown.contains(SECRET), "{shown}");
    shown
}

#[test]
fn only_who_says_insecure_listens_beyond_loopback() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    for server in [
        &["scheduler", "--bind", "0.0.0.0:0"][..],
        &["scheduler", "--bind", "[::]:0", "--advertise", "http://127.0.0.1:50050"],
        &["executor", "--host", "0.0.0.0", "--port", "0"],
    ] {
        let error = refusal(&tidewaiter(&archive, server), 2);
        assert!(error.contains("no access control") && error.contains("--insecure"), "{server:?}: {error}");
    }
    let open = ["scheduler", "--bind", "0.0.0.0:0", "--insecure"];
    let error = refusal(&tidewaiter(&archive, &open), 2);
    assert!(error.contains("--advertise http://host:"), "{error}");
    let mut command = binary();
    command.args(open).args(["--advertise", "http://127.0.0.1:50050", "--archive"]);
    let (_scheduler, _stderr, line) = started(command.arg(&archive));
    assert!(line.contains("scheduler listens on http://0.0.0.0:"), "{line}");
    let help = String::from_utf8_lossy(&tidewaiter(&archive, &["scheduler", "--help"]).stdout).into_owned();
    assert!(help.starts_with("Run a scheduler"), "{help}");
    assert!(help.contains("--exports <FOLDER>") && help.contains("no access control"), "{help}");
}

#[test]
fn a_job_on_a_server_names_files_below_the_operators_folders_only() {
    let place = Place::new(0);
    let (mapping, items) = (place.text("exports/mapping.toml"), place.text("exports/items.csv"));
    let out = |name: &str| place.text(name);
    let period = ["--country", "TW", "--train", "2020-01", "--valid", "2020-02", "--test", "2020-03"];
    let hs = [&["retrain", "hs"][..], &period].concat();
    let walk = ["backtest", "fraud", "--country", "TW", "--from", "2020-01", "--to", "2020-02"];
    let walk = [&walk[..], &["--strategy", "random"]].concat();
    let ingest = |mapping: &str, file: &str| {
        ["ingest", "declarations", "--mapping", mapping, file].map(str::to_owned).to_vec()
    };
    let with = |command: &[&str], option: &str, path: String| {
        let words = command.iter().copied().chain([option]).map(str::to_owned);
        words.chain([path]).collect::<Vec<String>>()
    };
    for arguments in [
        ingest("/etc/passwd", &items),
        ingest(&out("secret/mapping.toml"), &items),
        ingest(&out("exports/../secret/passwd"), &items),
        ingest(&out("exports/way/passwd"), &items),
        ingest(&out("exports/passwd.toml"), &items),
        ingest(&mapping, &out("secret/items.csv")),
        ingest(&mapping, &out("secret/*.csv")),
        ingest(&mapping, &out("exports/way/item*")),
        ingest(&mapping, &out("exports/pass*.toml")),
        ingest(&mapping, &out("secret/not-there.csv")),
        with(&["synth", "--country", "TW", "--years", "1"], "--seed=1", out("secret/made")),
        with(&["synth", "--country", "TW", "--years", "1"], "--seed=1", out("exports/way/made")),
        with(&["release-study"], "--stages", out("secret/stages.toml")),
        with(&walk, "--truth", out("secret/truth.parquet")),
        with(&hs, "--nomenclature", out("secret/codes.csv")),
        with(&hs, "--encoder", out("secret/encoder")),
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let error = refusal(&place.run(&arguments), 2);
        assert!(error.contains("out of bounds") && error.contains(&out("exports")), "{arguments:?}: {error}");
    }
    assert!(!place.path("secret/made").exists());

    // What lies there is taken; options work wherever they stand.
    let made = out("exports/made");
    let synth = ["synth", "--country", "TW", "--years", "1", "--rows-per-year", "1200", &made];
    let submitted = document(&place.run(&[&["--detach"], &synth[..]].concat()));
    let job = submitted["job"].as_str().expect("an id");
    assert_eq!(document(&place.run(&["jobs", "watch", job]))["status"], "succeeded");
    assert!(place.path("exports/made/mapping.toml").exists());
    let nobody = refusal(&tidewaiter(&place.path("nowhere"), &["--detach", "quality"]), 2);
    assert!(nobody.contains("--scheduler"), "{nobody}");
}

#[test]
fn an_error_quotes_nothing_of_a_file_that_is_no_mapping_and_logs_have_no_colours_in_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("items.csv"), "id,date,hs\nD1,2020-01-03,610910\n").expect("written");
    for (text, says) in [
        (format!("root:{SECRET}:0:0:/root:/bin/sh\nuser:{SECRET}\n"), "line 1"),
        (format!("[{SECRET}]\npassword = \"{SECRET}\"\n"), "expected one of"),
        (format!("country = [\"{SECRET}\"]\n"), "line 1"),
        (format!("{SECRET} = 1\n{SECRET} = 2\n"), "line 2"),
    ] {
        fs::write(path("mapping.toml"), text).expect("written");
        let arguments = ["ingest", "declarations", "--mapping", &path("mapping.toml"), &path("items.csv")];
        let error = refusal(&tidewaiter(&folder.path().join("archive"), &arguments), 2);
        assert!(error.contains(says) && error.contains("mapping.toml"), "{error}");
    }
    let columns = "declaration_id = { from = \"id\" }\nitem_number = { constant = \"1\" }\n\
                   acceptance_date = { from = \"date\" }\nhs_code = { from = \"hs\" }\n";
    fs::write(path("mapping.toml"), format!("country = \"TW\"\n[columns]\n{columns}")).expect("written");
    let arguments = ["ingest", "declarations", "--mapping", &path("mapping.toml"), &path("items.csv")];
    document(&tidewaiter(&folder.path().join("archive"), &arguments));
    let again = tidewaiter(&folder.path().join("archive"), &arguments);
    let log = String::from_utf8_lossy(&again.stderr);
    assert!(log.contains("ingested before") && !log.contains('\u{1b}'), "{log:?}");
}

#[test]
fn archive_and_models_are_those_of_the_scheduler() {
    let place = Place::new(1);
    place.fill();
    let archive = place.path("archive");
    let number = "SELECT month, count(*) AS n FROM declarations GROUP BY month";
    let many = "SELECT a.declaration_id AS a, b.declaration_id AS b FROM declarations a, declarations b \
                ORDER BY a, b LIMIT 20000";
    for arguments in [
        &["archive", "tables"][..],
        &["archive", "snapshots", "declarations"],
        &["archive", "sql", number],
        &["archive", "sql", many],
        &["archive", "sql", "SELECT declaration_id FROM declarations WHERE year = 1999"],
    ] {
        let (there, here) = (place.run(arguments), tidewaiter(&archive, arguments));
        assert_eq!(document(&there), document(&here), "{arguments:?}");
        let texts = [arguments, &["--output", "text"]].concat();
        let (there, here) = (place.run(&texts), tidewaiter(&archive, &texts));
        assert_eq!(String::from_utf8_lossy(&there.stdout), String::from_utf8_lossy(&here.stdout));
    }
    publish_two_models(&archive);
    let promoted = document(&place.run(&["models", "promote", "fraud@2"]));
    assert_eq!(promoted, json!({"name": "fraud", "version": 2}));
    for arguments in [&["models", "list"][..], &["models", "show", "fraud"], &["models", "show", "fraud@1"]] {
        let (there, here) = (document(&place.run(arguments)), document(&tidewaiter(&archive, arguments)));
        assert_eq!(there, here, "{arguments:?}");
    }
    let listed = document(&place.run(&["models", "list", "fraud"]));
    assert_eq!((&listed[0]["champion"], &listed[1]["champion"]), (&json!(false), &json!(true)));
    assert!(refusal(&place.run(&["models", "promote", "fraud@9"]), 2).contains("no version 9"));
    assert!(refusal(&place.run(&["archive", "snapshots", "nothing"]), 2).contains("there is no table"));
    assert!(!place.path("nowhere").exists());
}

#[tokio::main(flavor = "current_thread")]
async fn publish_two_models(archive: &Path) {
    let registry = Registry::new(&Archive::open(&archive.display().to_string()).expect("opens"));
    for model in ["one", "two"] {
        let facts = Facts {
            job: model.to_owned(),
            config: json!({}),
            features: Vec::new(),
            snapshot: None,
            code_version: "0".to_owned(),
            metrics: json!({"test": {"roc_auc": 0.75}}),
            seed: 1,
            created_ms: 0,
        };
        let publication = Publication { model: model.to_owned().into(), card: None, facts };
        registry.publish("fraud", publication).await.expect("publishes");
    }
}

#[test]
fn a_query_reads_tables_and_does_nothing_else() {
    let place = Place::new(0);
    let out = place.text("out.parquet");
    let secret = place.text("secret/codes.csv");
    for query in [
        format!("COPY (SELECT 1) TO '{out}'"),
        format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{secret}'"),
        format!("SELECT * FROM '{secret}'"),
        "SET datafusion.execution.batch_size = 1".to_owned(),
        "SELECT * FROM generate_series(1, 5)".to_owned(),
        "SELECT 1; SELECT 2".to_owned(),
    ] {
        refusal(&place.run(&["archive", "sql", &query]), 2);
        refusal(&tidewaiter(&place.path("archive"), &["archive", "sql", &query]), 2);
    }
    assert!(!place.path("out.parquet").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_from_outside_reads_the_archive_and_does_nothing_else() {
    let place = Place::new(0);
    let session = session::remote(&place.url, "outside", CATALOGUE, None).expect("a session");
    let (out, secret) = (place.path("out"), place.text("secret/codes.csv"));
    let external = format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{secret}'");
    session.query(&external).await.expect("plans").batches().await.expect("it is the client's own");
    let operator = WriteOperator::new(v1::WriteOperator {
        archive: format!("file://{}", out.display()),
        table: "t".to_owned(),
        name: "x".to_owned(),
        ..v1::WriteOperator::default()
    });
    let values = session.query("SELECT 1 AS n").await.expect("plans");
    let writes = plan::apply(values, operator.expect("an operator")).expect("plans");
    let copy = format!("COPY (SELECT 1 AS n) TO '{}.parquet'", out.display());
    for (what, frame) in [
        ("WriteExec is refused", writes),
        ("COPY is refused", session.query(&copy).await.expect("plans")),
        ("not a table of the archive", session.query("SELECT * FROM t").await.expect("plans")),
        (
            "not a table of the archive",
            session.query("SELECT (SELECT count(*) FROM t)").await.expect("plans"),
        ),
    ] {
        let error = frame.batches().await.expect_err(what).to_string();
        assert!(error.contains(what) && !error.contains(SECRET), "{what}: {error}");
    }
    let made = fs::read_dir(place.folder.path()).expect("lists").filter_map(Result::ok);
    let names: Vec<_> = made.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(!names.iter().any(|name| name.starts_with("out")), "{names:?}");
}

/// The most memory that a process has held, in MiB.
fn peak_mib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("a number") >> 10
}

#[test]
fn the_rows_of_a_query_are_never_all_in_memory() {
    // Rows of 1,000 bytes; memory is looked at after each step of them.
    const ROWS: usize = 60_000;
    const STEP: usize = 10_000;
    const MOST_GROWTH_MIB: u64 = 25;
    let place = Place::new(1);
    place.fill();
    let query = format!("SELECT repeat('x', 1000) AS x FROM declarations a, declarations b LIMIT {ROWS}");
    let there = ["--scheduler", &place.url];
    for scheduler in [&[][..], &there] {
        let mut command: Command = binary();
        command.args(["--output", "json", "--archive"]).arg(place.path("archive")).args(["archive", "sql"]);
        let mut child = command.arg(&query).args(scheduler).stdout(Stdio::piped()).spawn().expect("starts");
        let stdout = child.stdout.take().expect("it is piped");
        let mut process = Process(child);
        let (mut rows, mut peaks) = (0, Vec::new());
        for line in BufReader::new(stdout).lines() {
            let is_row = line.expect("text").starts_with("{\"x\":");
            rows += usize::from(is_row);
            if is_row && rows % STEP == 0 {
                peaks.push([process.0.id(), place.servers[0].0.0.id()].map(peak_mib));
            }
        }
        assert!(process.0.wait().expect("ends").success());
        assert_eq!((rows, peaks.len()), (ROWS, ROWS / STEP));
        let (first, last) = (peaks[0], peaks[peaks.len() - 1]);
        let growth = [0, 1].map(|process| last[process] - first[process]);
        assert!(
            growth.iter().all(|growth| *growth < MOST_GROWTH_MIB),
            "{peaks:?} MiB of command and scheduler"
        );
    }
}
