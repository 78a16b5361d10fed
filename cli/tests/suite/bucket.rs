//! A pipeline in a bucket: what a cluster makes there, of exports there, is what one process makes in a folder.
//!
//! The server is that of the tests of the store (`tests/tests/suite/store/mod.rs`): moto, which a Python gives that
//! `TIDEWAITER_PEERS_PYTHON` names. Without moto the test says `SKIPPED`, unless `TIDEWAITER_PEERS` is `required`.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{
    binary, document,
    processes::{Process, started},
    tidewaiter,
};

/// What is done with the exports that are generated.
const JOBS: &str = "[[job]]\nkind = \"ingest\"\nmapping = MAPPING\nfiles = [FILES]\n\
    [[job]]\nkind = \"retrain\"\nmodel = \"fraud\"\ncountry = \"TW\"\ntrain = \"2020-01..2020-04\"\n\
    valid = \"2020-05\"\ntest = \"2020-06\"\nshards = 2\ntrees = { trees = 5 }\n\
    [[job]]\nkind = \"apply\"\nmodel = \"fraud\"\ncountry = \"TW\"\nmonths = \"2020-07..2020-08\"\n";

/// What must be equal in both archives: all but the numbers of jobs, the time of day and the names of files.
const EQUAL: [&str; 4] = [
    "SELECT * FROM declarations ORDER BY source, source_row",
    "SELECT * EXCLUDE (job, ingested_at, file) FROM quarantine ORDER BY source, source_row, column_name, rule",
    "SELECT * EXCLUDE (job, ingested_at, file) FROM sources ORDER BY source",
    "SELECT * EXCLUDE (job) FROM predictions_fraud ORDER BY declaration_id, item_number",
];

/// A server of buckets, with a bucket `archive`.
struct Buckets {
    _process: Process,
    port: u16,
}

impl Buckets {
    /// `None` where this machine has none.
    fn start() -> Option<Self> {
        let python = env::var("TIDEWAITER_PEERS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let buckets = Self::of(&python);
        if buckets.is_none() {
            let peers = env::var("TIDEWAITER_PEERS").unwrap_or_default();
            assert_ne!(peers, "required", "{python} lacks a module of .ci/peers.txt");
        }
        buckets
    }

    fn of(python: &str) -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/tests/suite/store/server.py");
        let mut command = Command::new(python);
        // It ends when its stdin does.
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Process(command.spawn().ok()?);
        let mut line = String::new();
        BufReader::new(process.0.stdout.take()?).read_line(&mut line).ok()?;
        Some(Self { port: line.trim().parse().ok()?, _process: process })
    }

    /// Gives a process what it needs to reach the buckets.
    fn known_to<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("AWS_ENDPOINT", format!("http://127.0.0.1:{}", self.port)).envs([
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ])
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        self.ask("PUT", path, bytes);
    }

    fn get(&self, path: &str) -> Vec<u8> {
        self.ask("GET", path, &[])
    }

    /// The body of the answer. The server wants to see a signature and does not look at it.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "{method} /archive/{path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nauthorization: AWS test:test\r\n\
             content-type: text/csv\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            self.port,
            body.len()
        );
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("connects");
        connection.write_all(&[head.as_bytes(), body].concat()).expect("written");
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).expect("read");
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        assert!(
            answer.starts_with(b"HTTP/1.1 200"),
            "{method} {path}: {}",
            String::from_utf8_lossy(&answer[..end])
        );
        answer[end..].to_vec()
    }
}

/// Writes a pipeline of [`JOBS`] over these files, after other jobs.
fn pipeline(folder: &Path, name: &str, before: &str, files: &str) -> String {
    let mapping = folder.join("exports/mapping.toml").display().to_string();
    let jobs = JOBS.replace("MAPPING", &format!("{mapping:?}")).replace("FILES", &format!("{files:?}"));
    let path = folder.join(name);
    fs::write(&path, format!("{before}{jobs}")).expect("written");
    path.display().to_string()
}

#[test]
fn a_cluster_with_all_in_buckets_makes_the_model_and_rows_of_one_process_with_a_folder() {
    let Some(buckets) = Buckets::start() else {
        println!("SKIPPED: Python or a module of .ci/peers.txt is not here, so no pipeline ran in a bucket");
        return;
    };
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path();
    let exports = folder.join("exports").display().to_string();

    let synth = format!(
        "[[job]]\nkind = \"synth\"\nout = {exports:?}\n\
         archive = {{ country = \"TW\", first_month = [2020, 1], months = 8, rows_per_year = 6000, \
         inspection_rate = 0.5 }}\n"
    );
    let local = pipeline(folder, "folder.toml", &synth, &format!("{exports}/declarations-*.csv"));
    let alone = folder.join("archive");
    document(&tidewaiter(&alone, &["run", &local]));

    let mut uploaded = 0;
    for entry in fs::read_dir(&exports).expect("listed") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name.ends_with(".csv") {
            buckets.put(&format!("exports/{name}"), &fs::read(&path).expect("read"));
            uploaded += 1;
        }
    }
    assert_eq!(uploaded, 8, "a file for each month");

    let mut command = binary();
    command.args(["--archive", "s3://archive/national", "scheduler", "--bind", "127.0.0.1:0", "--exports"]);
    command.arg(folder).args(["--exports", "s3://archive/exports"]);
    let (_scheduler, _stderr, line) = started(buckets.known_to(&mut command));
    let url = line.rsplit(' ').next().expect("a word").to_owned();
    let mut command = binary();
    command.args(["executor", "--scheduler", &url, "--port", "0", "--slots", "2", "--work-folder"]);
    command.arg(folder.join("executor"));
    let _executor = Process(buckets.known_to(&mut command).spawn().expect("starts"));

    // Who asks for the job reaches the scheduler alone.
    let there = |arguments: &[&str]| {
        let mut command = binary();
        command.args(["--output", "json", "--scheduler", &url]).args(arguments);
        document(&command.output().expect("the binary starts"))
    };
    let remote = pipeline(folder, "bucket.toml", "", "s3://archive/exports/declarations-*.csv");
    there(&["run", &remote]);

    let model = "models/fraud-TW/1/model.bin";
    let expected = fs::read(alone.join(model)).expect("the model");
    assert!(buckets.get(&format!("national/{model}")) == expected, "the model's bytes differ");
    for query in EQUAL {
        let here = document(&tidewaiter(&alone, &["archive", "sql", query]));
        assert!(!here.as_array().expect("rows").is_empty(), "{query}");
        assert_eq!(there(&["archive", "sql", query]), here, "{query}");
    }
}
