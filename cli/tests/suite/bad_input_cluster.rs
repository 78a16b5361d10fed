//! Wrong input says on a cluster what it says in one process: the same text, once, the same kind and exit status.

use std::{
    fs,
    io::BufReader,
    path::{Path, PathBuf},
    process::{ChildStderr, Output},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    binary, document,
    processes::{Process, started},
    tidewaiter,
};

const MAPPING: &str = r#"
country = "TW"

[columns]
declaration_id = { from = "id" }
item_number = { constant = "1" }
acceptance_date = { from = "date" }
hs_code = { from = "hs" }
origin = { from = "origin" }
net_mass = { from = "mass" }
invoice_currency = { from = "currency" }
illicit = { from = "illicit" }
"#;

const HEADER: &str = "id,date,hs,origin,mass,currency,illicit";

/// An archive of a year of good rows, and a scheduler with two executors that works on it.
struct Place {
    folder: TempDir,
    url: String,
    // Ended before the scheduler that they would look for.
    _executors: Vec<Process>,
    _scheduler: Process,
    _stderr: BufReader<ChildStderr>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = binary();
        command.args(["scheduler", "--bind", "127.0.0.1:0", "--archive"]).arg(folder.path().join("archive"));
        let (scheduler, stderr, line) = started(command.arg("--exports").arg(folder.path()));
        let url = line.rsplit(' ').next().expect("a word").to_owned();
        let executors = (0..2).map(|number| {
            let mut command = binary();
            command.args(["executor", "--scheduler", &url, "--port", "0", "--slots", "2", "--work-folder"]);
            Process(command.arg(folder.path().join(format!("executor-{number}"))).spawn().expect("starts"))
        });
        let executors = executors.collect();
        let place = Self { folder, url, _scheduler: scheduler, _stderr: stderr, _executors: executors };
        place.file("mapping.toml", MAPPING.as_bytes());
        let rows = (1..=12).flat_map(|month| (0..8).map(move |id| row(100 * month + id, month)));
        let good = place.csv("good.csv", &rows.collect::<Vec<_>>());
        document(&place.here(&place.ingest("mapping.toml", &good)));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.path(name), bytes).expect("written");
        self.path(name).display().to_string()
    }

    fn csv(&self, name: &str, rows: &[String]) -> String {
        self.file(name, format!("{HEADER}\n{}\n", rows.join("\n")).as_bytes())
    }

    fn ingest(&self, mapping: &str, file: &str) -> Vec<String> {
        let mapping = self.path(mapping).display().to_string();
        ["ingest", "declarations", "--mapping", &mapping, file].map(str::to_owned).to_vec()
    }

    fn here(&self, arguments: &[String]) -> Output {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        tidewaiter(&self.path("archive"), &arguments)
    }

    fn there(&self, arguments: &[String]) -> Output {
        let mut command = binary();
        command.args(["--output", "json", "--scheduler", &self.url]).args(arguments);
        command.output().expect("the binary starts")
    }

    /// Asserts that a command fails here and there with a status and these words, and says the same.
    fn refuses(&self, status: i32, words: &[&str], arguments: &[String]) {
        let (here, there) = (Said::of(&self.here(arguments)), Said::of(&self.there(arguments)));
        assert_eq!(here, there, "{arguments:?}");
        assert_eq!(here.status, Some(status), "{here:?}");
        let error = here.lines.join("\n");
        assert!(error.starts_with("error: ") && !error.contains("panicked"), "{error}");
        assert!(!error.contains("ERROR") && !error.contains("WARN"), "an error is said once: {error}");
        for word in words {
            assert!(error.contains(word), "{word:?} is missing in: {error}");
        }
    }
}

/// A good row of a month of 2020.
fn row(id: usize, month: usize) -> String {
    format!("D{id},2020-{month:02}-03,610910,CN,12.5,USD,0")
}

fn sql(query: &str) -> Vec<String> {
    ["archive", "sql", query].map(str::to_owned).to_vec()
}

fn retrain(country: &str, [train, valid, test]: [&str; 3]) -> Vec<String> {
    let periods = ["--train", train, "--valid", valid, "--test", test];
    let arguments = [&["retrain", "fraud", "--country", country][..], &periods].concat();
    arguments.into_iter().map(str::to_owned).collect()
}

/// What a command that failed said.
#[derive(Debug, PartialEq)]
struct Said {
    status: Option<i32>,
    lines: Vec<String>,
    error: Value,
    kind: Value,
}

impl Said {
    fn of(output: &Output) -> Self {
        let lines = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
        // Only a job has a document.
        let outcome: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let of_outcome = |name: &str| outcome[name].clone();
        Self {
            status: output.status.code(),
            lines,
            error: of_outcome("error"),
            kind: of_outcome("error_kind"),
        }
    }
}

fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "parquet") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_wrong_mapping_or_export_says_the_same_on_a_cluster() {
    let place = Place::new();
    let file = place.csv("more.csv", &[row(4, 3)]);
    for (name, text, words) in [
        (
            "standard.toml",
            MAPPING.replace("net_mass =", "nett_mass ="),
            ["nett_mass", "standard columns are"],
        ),
        ("source.toml", MAPPING.replace("from = \"mass\"", "from = \"weight\""), ["no column", "weight"]),
        ("missing.toml", MAPPING.replace("hs_code = { from = \"hs\" }\n", ""), ["hs_code", "commodity code"]),
        ("broken.toml", "country = ".to_owned(), ["TOML", "line 1"]),
    ] {
        place.file(name, text.as_bytes());
        place.refuses(2, &words, &place.ingest(name, &file));
    }
    let nowhere = place.path("nowhere.csv").display().to_string();
    place.refuses(2, &["nowhere.csv"], &place.ingest("mapping.toml", &nowhere));
    place.refuses(2, &["nowhere.toml"], &place.ingest("nowhere.toml", &file));

    let parquet = fs::read(&parquet_files(&place.path("archive/declarations"))[0]).expect("read");
    let binary = [7, 0, 9, 0, 0, 1].repeat(100);
    let cut_off = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x01\xff\xff\0\0id,date";
    for (name, bytes, words) in [
        ("cut.csv.gz", &cut_off[..], ["cut.csv.gz", "cut off or damaged"]),
        ("empty.csv", &b""[..], ["empty.csv", "empty"]),
        ("binary.csv", &binary[..], ["binary.csv", "NUL bytes"]),
        ("parquet.csv", &parquet[..], ["parquet.csv", "is a Parquet file"]),
    ] {
        let file = place.file(name, bytes);
        place.refuses(2, &words, &place.ingest("mapping.toml", &file));
    }
    place.file("parquet.toml", format!("format = \"parquet\"\n{MAPPING}").as_bytes());
    let cut = place.file("cut.parquet", &parquet[..parquet.len() / 2]);
    place.refuses(2, &["cut.parquet", "not a whole Parquet file"], &place.ingest("parquet.toml", &cut));
}

#[test]
fn a_wrong_query_a_wrong_period_and_damaged_data_say_the_same_on_a_cluster() {
    let place = Place::new();
    place.refuses(2, &["no_such_table"], &sql("SELECT * FROM no_such_table"));
    place.refuses(2, &["no_such_column"], &sql("SELECT no_such_column FROM declarations"));
    place.refuses(2, &["SELEC"], &sql("SELEC 1"));
    // These two are only noticed by the tasks.
    place.refuses(1, &["Divide by zero"], &sql("SELECT 1 / (month - month) FROM declarations"));
    place.refuses(1, &["Cannot cast", "CN"], &sql("SELECT sum(CAST(origin AS INT)) FROM declarations"));

    let year = ["2020-01..2020-06", "2020-07..2020-09", "2020-10..2020-12"];
    place.refuses(2, &["training", "both outcomes are needed"], &retrain("TW", year));
    place.refuses(2, &["2020-01..2020-06 of ZA have 0 rows"], &retrain("ZA", year));
    place.refuses(2, &["must follow each other"], &retrain("TW", [year[1], year[0], year[2]]));

    let files = parquet_files(&place.path("archive/declarations"));
    let (damaged, sound) = (&files[3], fs::read(&files[3]).expect("read"));
    let mut bytes = sound.clone();
    let third = bytes.len() / 3;
    bytes[third..2 * third].iter_mut().for_each(|byte| *byte = !*byte);
    fs::write(damaged, bytes).expect("written");
    let all = "SELECT count(DISTINCT declaration_id), max(hs_code), sum(net_mass), max(acceptance_date) \
               FROM declarations";
    let told = ["Parquet file", "damaged", "backup"];
    place.refuses(1, &told, &sql(all));
    place.refuses(1, &[&told[..], &["features of declarations@"]].concat(), &retrain("TW", year));
    fs::remove_file(damaged).expect("removed");
    place.refuses(1, &["Parquet file", "backup"], &sql(all));
    fs::write(damaged, sound).expect("written");
    document(&place.there(&sql(all)));
}
