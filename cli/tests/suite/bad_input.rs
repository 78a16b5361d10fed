//! Wrong input, one kind after the other, through the built binary: the message says what, where and what
//! to do, the exit status says whose turn it is, and nothing is half-written.

#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test stops where it cannot go on, and says what it skips"
)]

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Output,
};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Int64Type,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{document, tidewaiter};

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

/// A good row of a month of 2020.
fn row(id: usize, month: usize) -> String {
    format!("D{id},2020-{month:02}-03,610910,CN,12.5,USD,0")
}

/// A folder with a mapping and an archive in which three good rows lie.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder") };
        fs::write(place.path("mapping.toml"), MAPPING).expect("written");
        let good = place.csv("good.csv", &[row(1, 1), row(2, 1), row(3, 2)]);
        document(&place.ingest(&good));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn csv(&self, name: &str, rows: &[String]) -> PathBuf {
        self.file(name, format!("{HEADER}\n{}\n", rows.join("\n")).as_bytes())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).expect("written");
        self.path(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        tidewaiter(&self.path("archive"), arguments)
    }

    fn ingest(&self, file: &Path) -> Output {
        self.ingest_as("mapping.toml", file)
    }

    fn ingest_as(&self, mapping: &str, file: &Path) -> Output {
        let (mapping, file) = (self.path(mapping).display().to_string(), file.display().to_string());
        self.run(&["ingest", "declarations", "--mapping", &mapping, &file])
    }

    fn tables(&self) -> Value {
        document(&self.run(&["archive", "tables"]))
    }

    fn models(&self) -> Value {
        document(&self.run(&["models", "list"]))
    }

    /// Every file of the archive, below a folder of it.
    fn files(&self, below: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.path("archive").join(below)];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries {
                let path = entry.expect("an entry").path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files.sort();
        files
    }

    /// Asserts that what runs fails with a status and these words, and leaves every file as it was.
    fn refuses(&self, status: i32, words: &[&str], run: impl FnOnce() -> Output) {
        let (tables, files) = (self.tables(), self.files(""));
        refused(&run(), status, words);
        assert_eq!(self.tables(), tables);
        assert_eq!(self.files(""), files, "nothing is half-written");
    }
}

/// Asserts the exit status and that the error, which is no panic, says each of the words.
fn refused(output: &Output, status: i32, words: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{error}");
    assert!(!error.contains("panicked"), "{error}");
    for word in words {
        assert!(error.contains(word), "{word:?} is missing in: {error}");
    }
}

/// The rows of a Parquet file.
fn read(path: &Path) -> RecordBatch {
    let file = File::open(path).expect("opens");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("is Parquet").build().expect("reads");
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().expect("reads");
    arrow::compute::concat_batches(&batches[0].schema(), &batches).expect("one schema")
}

#[test]
fn a_mapping_with_a_column_that_does_not_exist_or_without_one_that_must_is_refused() {
    let place = Place::new();
    let file = place.csv("more.csv", &[row(4, 3)]);
    let standard = MAPPING.replace("net_mass =", "nett_mass =");
    let source = MAPPING.replace("from = \"mass\"", "from = \"weight\"");
    let missing = MAPPING.replace("hs_code = { from = \"hs\" }\n", "");
    for (name, text, words) in [
        ("standard.toml", standard, ["nett_mass", "standard columns are"]),
        ("source.toml", source, ["more.csv has no column \"weight\"", "its columns are id, date"]),
        ("missing.toml", missing, ["lacks the required column hs_code", "commodity code"]),
        ("broken.toml", "country = ".to_owned(), ["TOML", "line 1"]),
    ] {
        place.file(name, text.as_bytes());
        let mut words = words.to_vec();
        if name != "source.toml" {
            words.push(name);
        }
        place.refuses(2, &words, || place.ingest_as(name, &file));
    }
    let nowhere = place.path("nowhere.csv");
    place.refuses(2, &["nowhere.csv"], || place.ingest(&nowhere));
    place.refuses(2, &["nowhere.toml"], || place.ingest_as("nowhere.toml", &file));
}

#[test]
fn rows_that_fail_a_check_are_put_aside_with_rule_row_and_text() {
    let place = Place::new();
    let good = row(10, 4);
    let bad = [
        ("12.5", "heavy", "net_mass", "not a number"),
        ("2020-04-03", "2021-02-30", "acceptance_date", "impossible date"),
        ("12.5", "-12.5", "net_mass", "negative"),
        (",CN,", ",QQ,", "origin", "not an ISO 3166-1 alpha-2 country"),
        ("USD", "USS", "invoice_currency", "not an ISO 4217 currency"),
    ];
    let mut rows = vec![good.clone()];
    for (right, wrong, ..) in bad {
        rows.extend([good.replace(right, wrong), good.clone()]);
    }
    let file = place.csv("mixed.csv", &rows);
    let outcome = document(&place.ingest(&file));
    assert_eq!(outcome["rows"], serde_json::json!({"in": 11, "archived": 6, "quarantined": 5}));
    assert_eq!(place.tables()[0]["rows"], 3 + 6);

    let files = place.files("quarantine").into_iter();
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "parquet")).collect();
    let [kept] = &files[..] else { panic!("one file of quarantined rows") };
    let kept = read(kept);
    assert_eq!(kept.num_rows(), bad.len());
    let text = |column: &str, row: usize| kept[column].as_string::<i32>().value(row).to_owned();
    for (place, (right, wrong, column, rule)) in bad.into_iter().enumerate() {
        assert!(text("file", place).ends_with("mixed.csv"));
        let number = 2 * place as i64 + 2;
        assert_eq!(kept["source_row"].as_primitive::<Int64Type>().value(place), number);
        assert_eq!(kept["line"].as_primitive::<Int64Type>().value(place), number + 1);
        assert_eq!((text("column_name", place), text("rule", place)), (column.to_owned(), rule.to_owned()));
        assert_eq!(text("value", place), wrong.trim_matches(','));
        assert_eq!(text("raw", place), good.replace(right, wrong));
    }
}

#[test]
fn a_file_that_is_cut_off_empty_or_no_text_is_refused_whole() {
    let place = Place::new();
    let body = format!("{HEADER}\n{}\n", row(4, 3));
    let length = u16::try_from(body.len()).expect("short").to_le_bytes();
    let inverse = (!u16::from_le_bytes(length)).to_le_bytes();
    // A gzip member with one stored block (RFC 1951, 3.2.4), cut off within its data.
    let gzip = [b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x01", &length[..], &inverse, &body.as_bytes()[..60]].concat();
    let binary: Vec<u8> =
        (0..4096_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let parquet = place
        .files("declarations")
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "parquet"));
    let parquet = fs::read(parquet.expect("the good rows' file")).expect("read");
    for (name, bytes, words) in [
        ("cut.csv.gz", gzip, ["cut off or damaged", "export or copy it again"]),
        ("empty.csv", Vec::new(), ["empty", ""]),
        ("binary.csv", binary, ["not delimited text", "NUL bytes"]),
        ("parquet.csv", parquet.clone(), ["is a Parquet file", "format = \"parquet\""]),
    ] {
        let file = place.file(name, &bytes);
        place.refuses(2, &[name, words[0], words[1]], || place.ingest(&file));
    }
    place.file("parquet.toml", format!("format = \"parquet\"\n{MAPPING}").as_bytes());
    let cut = place.file("cut.parquet", &parquet[..parquet.len() / 2]);
    place.refuses(2, &["cut.parquet", "not a whole Parquet file"], || place.ingest_as("parquet.toml", &cut));
}

#[test]
fn an_archive_that_cannot_be_written_is_named() {
    let place = Place::new();
    let file = place.csv("more.csv", &[row(4, 3)]).display().to_string();
    let mapping = place.path("mapping.toml").display().to_string();
    let arguments = ["ingest", "declarations", "--mapping", &mapping, &file];

    let below_a_file = place.file("occupied", b"a file").join("archive");
    refused(&tidewaiter(&below_a_file, &arguments), 2, &["occupied"]);
    assert_eq!(fs::read(place.path("occupied")).expect("it is still there"), b"a file");

    let shut = place.path("shut");
    fs::create_dir(&shut).expect("made");
    let mut rights = fs::metadata(&shut).expect("is there").permissions();
    rights.set_readonly(true);
    fs::set_permissions(&shut, rights).expect("shut");
    if File::create(shut.join("probe")).is_ok() {
        eprintln!("SKIPPED: this user may write into a folder without write permission");
        return;
    }
    refused(&tidewaiter(&shut.join("archive"), &arguments), 1, &["shut", "permission"]);
}

#[test]
fn a_scheduler_that_is_not_there_and_a_query_that_is_wrong_are_named() {
    let place = Place::new();
    let query = "SELECT count(*) FROM declarations";
    let nobody = "http://127.0.0.1:1";
    let told = ["reach the scheduler at http://127.0.0.1:1", "--scheduler", "refused"];
    place.refuses(1, &told, || place.run(&["archive", "sql", query, "--scheduler", nobody]));
    place.refuses(1, &told, || place.run(&["quality", "--scheduler", nobody]));
    place.refuses(2, &["no_such_table"], || place.run(&["archive", "sql", "SELECT * FROM no_such_table"]));
    place.refuses(2, &["http://host:port"], || place.run(&["executor", "--scheduler", "nobody"]));
}

#[test]
fn a_second_executor_on_a_port_is_told_address_port_and_remedy() {
    let first = TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = first.local_addr().expect("has an address").port().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let output = tidewaiter(
        folder.path(),
        &["executor", "--scheduler", "http://127.0.0.1:1", "--host", "127.0.0.1", "--port", &port],
    );
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{error}");
    for part in [&format!("127.0.0.1:{port}"), "--port", "in use"] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
}

#[test]
fn a_model_that_does_not_exist_is_answered_with_what_does() {
    let place = Place::new();
    for (action, model) in [("show", "fraud@7"), ("show", "fraud"), ("promote", "fraud@7")] {
        place.refuses(2, &["no model fraud", "models here: none"], || place.run(&["models", action, model]));
    }
    place.refuses(2, &["fraud@seven", "fraud@1"], || place.run(&["models", "show", "fraud@seven"]));
}

#[test]
fn a_training_period_with_one_class_or_no_rows_makes_no_model() {
    let place = Place::new();
    let rows: Vec<String> =
        (1..=12).flat_map(|month| (0..8).map(move |id| row(100 * month + id, month))).collect();
    document(&place.ingest(&place.csv("year.csv", &rows)));
    let retrain = |country: &str, months: [&str; 3]| {
        let [train, valid, test] = months;
        let periods = ["--train", train, "--valid", valid, "--test", test];
        place.run(&[&["retrain", "fraud", "--country", country][..], &periods].concat())
    };
    let year = ["2020-01..2020-06", "2020-07..2020-09", "2020-10..2020-12"];
    place.refuses(2, &["training", "2020-01..2020-06 of TW", "both outcomes are needed"], || {
        retrain("TW", year)
    });
    place.refuses(2, &["2020-01..2020-06 of ZA have 0 rows"], || retrain("ZA", year));
    place.refuses(2, &["2020-13"], || retrain("TW", ["2020-13", year[1], year[2]]));
    place.refuses(2, &["must follow each other"], || retrain("TW", [year[1], year[0], year[2]]));
    assert_eq!(place.models(), serde_json::json!([]));
}

/// Inverts the bytes of the middle third of a file.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    let third = bytes.len() / 3;
    for byte in &mut bytes[third..2 * third] {
        *byte = !*byte;
    }
    fs::write(path, bytes).expect("written");
}

#[test]
fn damaged_data_and_a_damaged_champion_are_named_and_nothing_is_promoted() {
    let place = Place::new();
    let exports = place.path("exports").display().to_string();
    let size = ["--country", "TW", "--years", "1", "--first-year", "2021", "--rows-per-year", "6000"];
    document(&place.run(&[&["synth"][..], &size, &[&exports]].concat()));
    place.file("mapping.toml", &fs::read(place.path("exports/mapping.toml")).expect("read"));
    for month in 1..=12 {
        document(&place.ingest(&place.path(&format!("exports/declarations-2021-{month:02}.csv"))));
    }
    let retrain = || {
        let periods =
            ["--train", "2021-01..2021-08", "--valid", "2021-09..2021-10", "--test", "2021-11..2021-12"];
        let size = ["--trees", "4", "--leaves", "4", "--shards", "2"];
        place.run(&[&["retrain", "fraud", "--country", "TW"][..], &periods, &size].concat())
    };
    assert_eq!(document(&retrain())["model"], "fraud-TW@1");
    let (models, moves) = (place.models(), place.files("models/fraud-TW/champion"));

    let champion = place.path("archive/models/fraud-TW/1/model.bin");
    let sound = fs::read(&champion).expect("read");
    damage(&champion);
    place.refuses(1, &["models/fraud-TW/1/model.bin", "SHA-256", "backup"], retrain);
    assert_eq!((place.models(), place.files("models/fraud-TW/champion")), (models.clone(), moves.clone()));
    fs::write(&champion, sound).expect("mended");

    let data = place.files("declarations").into_iter();
    let data = data.filter(|path| path.extension().is_some_and(|end| end == "parquet"));
    let data: Vec<PathBuf> = data.filter(|path| path.display().to_string().contains("year=2021")).collect();
    damage(&data[data.len() / 2]);
    let query =
        "SELECT sum(net_mass), count(DISTINCT importer), max(hs_code), max(description) FROM declarations";
    let told = ["Parquet file", "damaged", "backup"];
    place.refuses(1, &told, || place.run(&["archive", "sql", query]));
    place.refuses(1, &[&told[..], &["features of declarations@"]].concat(), retrain);
    assert_eq!((place.models(), place.files("models/fraud-TW/champion")), (models, moves));
}
