//! An archive that can be repaired, through the built binary: sources, quarantine and lineage, and the commands that take
//! back or replace what an ingest did. The same in one process and on a cluster.

#![allow(clippy::expect_used, reason = "a test stops where it cannot go on")]

use std::{fmt::Write as _, fs, path::Path, process::Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    binary, document,
    processes::{Process, started},
    tidewaiter,
};

const MAPPING: &str = "country = \"PL\"\nFORMATS\n[columns]\ndeclaration_id = { from = \"decl\" }\n\
    item_number = { constant = \"1\" }\nacceptance_date = { from = \"day\" }\nhs_code = { from = \"hs\" }\n\
    customs_value = { from = \"value\" }\n";

/// A folder with exports, mappings and an archive, and how commands are run on it.
struct Place {
    folder: TempDir,
    scheduler: Option<String>,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder"), scheduler: None };
        place.file("iso.toml", &MAPPING.replace("FORMATS", ""));
        place.file("both.toml", &MAPPING.replace("FORMATS", "date_formats = [\"%Y-%m-%d\", \"%d.%m.%Y\"]"));
        place.file("none.toml", &MAPPING.replace("FORMATS", "date_formats = [\"%Y/%m/%d\"]"));
        place
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn file(&self, name: &str, text: &str) -> String {
        fs::write(self.folder.path().join(name), text).expect("written");
        self.path(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let archive = self.folder.path().join("archive");
        match &self.scheduler {
            None => tidewaiter(&archive, arguments),
            Some(url) => tidewaiter(&archive, &[&["--scheduler", url.as_str()], arguments].concat()),
        }
    }

    fn ingest(&self, mapping: &str, options: &[&str], file: &str) -> Output {
        let mapping = self.path(mapping);
        let file = self.path(file);
        self.run(&[&["ingest", "declarations", "--mapping", &mapping], options, &[file.as_str()]].concat())
    }

    fn sql(&self, query: &str) -> Value {
        document(&self.run(&["archive", "sql", query]))
    }

    /// The rows of declarations, of the quarantine, and of sources.
    fn counts(&self) -> [u64; 3] {
        const TABLES: [&str; 3] = ["declarations", "quarantine", "sources"];
        let counts = TABLES.map(|table| format!("(SELECT count(*) FROM {table}) AS {table}"));
        let rows = self.sql(&format!("SELECT {}", counts.join(", ")));
        TABLES.map(|table| rows[0][table].as_u64().expect("a count"))
    }
}

/// Rows of an export, one for each day of a month; every second one is written in the other form.
fn half(days: u32) -> String {
    let mut text = "decl,day,hs,value\n".to_owned();
    for day in 1..=days {
        let date = if day % 2 == 0 { format!("2024-01-{day:02}") } else { format!("{day:02}.01.2024") };
        writeln!(text, "D{day},{date},220300,{day}").expect("in memory");
    }
    text
}

fn rows_of(outcome: &Value) -> (u64, u64, u64) {
    let count = |name: &str| outcome["rows"][name].as_u64().expect("a count");
    (count("in"), count("archived"), count("quarantined"))
}

/// Asserts that a command failed with a status and all of these words.
fn refused(output: &Output, status: i32, words: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{error}");
    for word in words {
        assert!(error.contains(word), "{word:?} is missing in: {error}");
    }
}

/// A source is ingested by a wrong mapping, mended, traced, replaced and forgotten.
fn repairs(place: &Place) {
    place.file("half.csv", &half(28));
    let first = document(&place.ingest("iso.toml", &[], "half.csv"));
    assert_eq!(rows_of(&first), (28, 14, 14));
    assert_eq!(place.counts(), [14, 14, 1]);
    let tables = document(&place.run(&["archive", "tables"]));
    let rows = |name: &str| {
        let found = tables.as_array().into_iter().flatten().find(|table| table["table"] == name);
        found.map(|table| table["rows"].clone())
    };
    assert_eq!(rows("quarantine"), Some(json!(14)), "{tables}");
    let aside = &place.sql("SELECT source, source_row, line, column_name, rule, value, raw, table_name, job FROM quarantine ORDER BY source_row")[0];
    assert_eq!((&aside["source"], &aside["source_row"], &aside["line"]), (&json!(1), &json!(1), &json!(2)));
    assert_eq!((&aside["column_name"], &aside["value"]), (&json!("acceptance_date"), &json!("01.01.2024")));
    assert_eq!(
        (&aside["raw"], &aside["table_name"]),
        (&json!("D1,01.01.2024,220300,1"), &json!("declarations"))
    );

    // The mended mapping adds nothing by itself, and says how it is applied.
    let known = document(&place.ingest("both.toml", &[], "half.csv"));
    assert_eq!(rows_of(&known), (0, 0, 0));
    let said = known["metrics"]["known"][0].as_str().expect("a line");
    for word in ["source 1 (14 rows archived, 14 put aside)", "--again", "both.toml", "half.csv"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let again = document(&place.ingest("both.toml", &["--again"], "half.csv"));
    assert_eq!((rows_of(&again), &again["metrics"]["replaced"]), ((28, 28, 0), &json!(14)));
    assert_eq!(place.counts(), [28, 0, 1]);
    // A mapping by which nothing is left does not take the place of one that archived something.
    refused(&place.ingest("none.toml", &["--again"], "half.csv"), 1, &["all 28 rows aside", "stays"]);
    assert_eq!(place.counts(), [28, 0, 1]);

    let traced = document(&place.run(&["archive", "trace", "D3"]));
    assert_eq!((&traced[0]["line"], &traced[0]["source_row"]), (&json!(4), &json!(3)), "{traced}");
    assert_eq!(traced[0]["raw"], "D3,03.01.2024,220300,3");
    refused(&place.run(&["archive", "trace", "D99"]), 2, &["no row of \"D99\""]);

    // A corrected export of January, and what it must not replace.
    place.file(
        "february.csv",
        "decl,day,hs,value\nF0,2024-01-31,220300,0\nF1,2024-02-01,220300,1\nF2,2024-02-02,220300,2\n",
    );
    document(&place.ingest("iso.toml", &[], "february.csv"));
    let january: String = half(20).replace(",220300,", ",220410,");
    place.file("january.csv", &january);
    let months = |months: &'static str| ["--replace-months", months];
    let wrong = place.ingest("both.toml", &months("2024-02"), "january.csv");
    refused(&wrong, 2, &["rows of other months", "20 of 2024-01"]);
    // A dry run refuses the same, and says what would be replaced.
    let tried = |months: &'static str| {
        place.ingest("both.toml", &["--replace-months", months, "--dry-run"], "january.csv")
    };
    refused(&tried("2024-02"), 2, &["rows of other months", "20 of 2024-01"]);
    assert_eq!(document(&tried("2024-01"))["metrics"]["replaced"], 29);
    refused(
        &place.ingest("none.toml", &["--again", "--dry-run"], "half.csv"),
        1,
        &["all 28 rows are put aside"],
    );
    refused(&place.ingest("both.toml", &months("2024-01"), "nowhere.csv"), 2, &["no month is replaced"]);
    assert_eq!(place.counts(), [31, 0, 2]);
    let replaced = document(&place.ingest("both.toml", &months("2024-01"), "january.csv"));
    assert_eq!((rows_of(&replaced), &replaced["metrics"]["replaced"]), ((20, 20, 0), &json!(29)));
    assert_eq!(place.counts(), [22, 0, 3]);
    // A file that was replaced stays known, and does not bring its rows back.
    let known = document(&place.ingest("both.toml", &[], "half.csv"));
    assert_eq!((rows_of(&known), &known["metrics"]["ingested_before"]), ((0, 0, 0), &json!(1)));
    refused(
        &place.ingest("both.toml", &["--again"], "half.csv"),
        2,
        &["28 of its rows were replaced", "archive forget"],
    );
    // A file without a row of a month does not empty it.
    place.file("cut.csv", "decl,day,hs,value\n");
    refused(&place.ingest("both.toml", &months("2024-01"), "cut.csv"), 2, &["no rows", "20 rows of 2024-01"]);
    assert_eq!(place.counts(), [22, 0, 3]);
    let old = place.sql("SELECT count(*) AS n FROM declarations WHERE month = 1 AND hs_code = '220300'");
    assert_eq!(old[0]["n"], 0);

    let kept = place
        .sql("SELECT rows_archived AS a, rows_replaced AS r FROM sources WHERE file LIKE '%february.csv'");
    assert_eq!(kept, json!([{"a": 2, "r": 1}]), "a source of which something is left stays");

    let sources = place.sql("SELECT source, file FROM sources ORDER BY source");
    let number = sources
        .as_array()
        .into_iter()
        .flatten()
        .find(|source| source["file"].as_str().is_some_and(|file| file.ends_with("february.csv")));
    let number = number.expect("it is known")["source"].to_string();
    let forgotten = document(&place.run(&["archive", "forget", &number]));
    assert_eq!(forgotten["metrics"]["forgotten"]["declarations"]["rows"], 2, "{forgotten}");
    assert_eq!(place.counts(), [20, 0, 2]);
    refused(&place.run(&["archive", "forget", &number]), 2, &["no source", "SELECT source, file"]);
    // A file that was taken out comes back only when that is asked for.
    let known = document(&place.ingest("iso.toml", &[], "february.csv"));
    assert_eq!((rows_of(&known), &known["metrics"]["ingested_before"]), ((0, 0, 0), &json!(1)));
    let said = known["metrics"]["known"][0].as_str().expect("a line");
    assert!(said.contains("archive forget") && said.contains("--again"), "{said}");
    document(&place.ingest("iso.toml", &["--again"], "february.csv"));
    assert_eq!(place.counts(), [23, 0, 3]);

    // An amendment of one declaration, with a new one beside it.
    place.file("amended.csv", "decl,day,hs,value\nF2,2024-02-03,220300,20\nF3,2024-02-04,220300,3\n");
    let tried = document(&place.ingest("iso.toml", &["--amend", "--dry-run"], "amended.csv"));
    assert_eq!((rows_of(&tried), &tried["metrics"]["replaced"]), ((2, 2, 0), &json!(1)));
    assert_eq!(place.counts(), [23, 0, 3]);
    let amended = document(&place.ingest("iso.toml", &["--amend"], "amended.csv"));
    assert_eq!((rows_of(&amended), &amended["metrics"]["replaced"]), ((2, 2, 0), &json!(1)));
    assert_eq!(place.counts(), [24, 0, 4]);
    let values = place.sql(
        "SELECT declaration_id AS d, customs_value AS v FROM declarations WHERE month = 2 ORDER BY declaration_id",
    );
    assert_eq!(values, json!([{"d": "F1", "v": 1.0}, {"d": "F2", "v": 20.0}, {"d": "F3", "v": 3.0}]));
    let conserved = place.sql(
        "SELECT count(*) AS n FROM sources WHERE rows_read <> rows_archived + rows_quarantined + rows_replaced",
    );
    assert_eq!(conserved[0]["n"], 0);
}

#[test]
fn what_an_ingest_did_is_repaired_in_one_process() {
    let place = Place::new();
    repairs(&place);
    // The raw text is shown of the file that was read, and of no other.
    place.file("january.csv", "decl,day,hs,value\n");
    let traced = document(&place.run(&["archive", "trace", "D3"]));
    assert!(traced[0]["raw"].is_null(), "{traced}");
    assert!(traced[0]["not_read"].as_str().is_some_and(|said| said.contains("changed since")), "{traced}");
}

#[test]
fn what_an_ingest_did_is_repaired_on_a_cluster() {
    let mut place = Place::new();
    let folder = place.folder.path().to_owned();
    let mut command = binary();
    command.args(["scheduler", "--bind", "127.0.0.1:0", "--archive"]).arg(folder.join("archive"));
    let (_scheduler, _stderr, line) = started(command.arg("--exports").arg(&folder));
    let url = line.rsplit(' ').next().expect("a word").to_owned();
    let mut command = binary();
    command.args(["executor", "--scheduler", &url, "--port", "0", "--slots", "2", "--work-folder"]);
    let _executor = Process(command.arg(folder.join("executor")).spawn().expect("starts"));
    place.scheduler = Some(url);
    repairs(&place);
}

#[test]
fn of_amended_items_the_highest_version_is_in_force() {
    let place = Place::new();
    let mapping = MAPPING.replace("FORMATS", "") + "version = { from = \"v\" }\n";
    place.file("versions.toml", &mapping);
    let file = |name: &str, rows: &str| place.file(name, &format!("decl,day,hs,value,v\n{rows}"));
    file("first.csv", "A,2024-01-02,220300,10,1\nB,2024-01-02,220300,20,2\nC,2024-01-02,220300,30,\n");
    document(&place.ingest("versions.toml", &[], "first.csv"));
    let rows = "A,2024-02-03,220300,11,3\nA,2024-01-03,220300,12,2\nB,2024-01-03,220300,21,1\n\
                C,2024-01-03,220300,31,\nD,2024-01-03,220300,40,1\n";
    file("amended.csv", rows);
    let amended = document(&place.ingest("versions.toml", &["--amend"], "amended.csv"));
    let metrics = &amended["metrics"];
    assert_eq!((rows_of(&amended), &metrics["replaced"]), ((5, 5, 0), &json!(2)));
    assert_eq!(metrics["outdated"], 2, "A of version 2, and B of version 1");
    let in_force =
        || place.sql("SELECT declaration_id AS d, customs_value AS v FROM declarations ORDER BY d, v");
    let wanted =
        json!([{"d": "A", "v": 11.0}, {"d": "B", "v": 20.0}, {"d": "C", "v": 31.0}, {"d": "D", "v": 40.0}]);
    assert_eq!(in_force(), wanted);
    // A file of which nothing is in force is known all the same.
    file("late.csv", "A,2024-01-02,220300,9,1\n");
    let late = document(&place.ingest("versions.toml", &["--amend"], "late.csv"));
    assert_eq!((&late["metrics"]["outdated"], late["metrics"].get("replaced")), (&json!(1), None));
    let known = document(&place.ingest("versions.toml", &["--amend"], "late.csv"));
    assert_eq!(known["metrics"]["ingested_before"], 1);
    assert_eq!(in_force(), wanted);
    let sources = place
        .sql("SELECT rows_read AS r, rows_archived AS a, rows_replaced AS o FROM sources ORDER BY source");
    assert_eq!(
        sources,
        json!([{"r": 3, "a": 1, "o": 2}, {"r": 5, "a": 3, "o": 2}, {"r": 1, "a": 0, "o": 1}])
    );
}

#[test]
fn keys_that_are_there_already_are_counted_and_of_one_key_the_last_amends() {
    let place = Place::new();
    let text = "decl,day,hs,value\nA,2024-01-02,220300,1\nB,2024-01-02,220300,2\nC,2024-01-02,220300,3\n";
    place.file("first.csv", text);
    let first = document(&place.ingest("iso.toml", &[], "first.csv"));
    assert!(first["metrics"].get("repeated").is_none(), "{first}");
    // The same rows in other bytes, and one of another month beside them.
    place.file("copy.csv", &format!("{text}D,2024-02-02,220300,4\n"));
    let tried = document(&place.ingest("iso.toml", &["--dry-run"], "copy.csv"));
    assert_eq!((rows_of(&tried), &tried["metrics"]["repeated"]), ((4, 4, 0), &json!(3)));
    assert_eq!(place.counts(), [3, 0, 1]);
    let copied = document(&place.ingest("iso.toml", &[], "copy.csv"));
    assert_eq!((rows_of(&copied), &copied["metrics"]["repeated"]), ((4, 4, 0), &json!(3)));
    let tried = document(&place.ingest("iso.toml", &["--dry-run"], "copy.csv"));
    assert_eq!(tried["metrics"]["ingested_before"], 1);
    document(&place.run(&["archive", "forget", "2"]));
    assert_eq!(place.counts(), [3, 0, 1]);

    place.file("twice.csv", "decl,day,hs,value\nA,2024-01-03,220300,5\nA,2024-01-03,220300,6\n");
    for options in [&["--amend", "--dry-run"][..], &["--amend"]] {
        let amended = document(&place.ingest("iso.toml", options, "twice.csv"));
        let metrics = &amended["metrics"];
        assert_eq!((rows_of(&amended), &metrics["replaced"]), ((2, 2, 0), &json!(1)), "{options:?}");
        assert_eq!(metrics["outdated"], 1, "{options:?}");
    }
    let values = place.sql("SELECT customs_value AS v FROM declarations WHERE declaration_id = 'A'");
    assert_eq!(values, json!([{"v": 6.0}]));
    let conserved = place.sql(
        "SELECT count(*) AS n FROM sources WHERE rows_read <> rows_archived + rows_quarantined + rows_replaced",
    );
    assert_eq!(conserved[0]["n"], 0);
}

#[test]
fn one_of_many_small_files_is_forgotten_and_the_others_stay() {
    let place = Place::new();
    let folder = place.folder.path().join("exports");
    fs::create_dir(&folder).expect("made");
    for number in 0..20 {
        let text = format!("decl,day,hs,value\nS{number},2024-03-01,220300,1\nX{number},soon,220300,1\n");
        fs::write(folder.join(format!("{number:02}.csv")), text).expect("written");
    }
    let ingested = document(&place.ingest("iso.toml", &[], "exports/*.csv"));
    assert_eq!(rows_of(&ingested), (40, 20, 20));
    assert_eq!(place.counts(), [20, 20, 20]);
    let shared = place.sql("SELECT count(DISTINCT source) AS n, min(source_row) AS least, max(source_row) AS most FROM declarations");
    assert_eq!(shared, json!([{"n": 20, "least": 1, "most": 1}]));
    let digest = place.sql("SELECT digest FROM sources WHERE file LIKE '%/07.csv'")[0]["digest"].clone();
    let digest = digest.as_str().expect("a digest");
    document(&place.run(&["archive", "forget", &digest[..12]]));
    assert_eq!(place.counts(), [19, 19, 19]);
    let left = place.sql("SELECT count(*) AS n FROM declarations WHERE declaration_id = 'S7'");
    assert_eq!(left[0]["n"], 0);
    let all = place.sql("SELECT count(DISTINCT declaration_id) AS n FROM declarations");
    assert_eq!(all[0]["n"], 19);
    // Earlier snapshots have what has gone.
    let again = document(&place.ingest("iso.toml", &[], "exports/*.csv"));
    assert_eq!((rows_of(&again), &again["metrics"]["ingested_before"]), ((0, 0, 0), &json!(20)));
    let again = document(&place.ingest("iso.toml", &["--again"], "exports/07.csv"));
    assert_eq!(rows_of(&again), (2, 1, 1));
    assert_eq!(place.counts(), [20, 20, 20]);
}

#[test]
fn what_is_wrong_on_the_command_line_says_so_and_leaves_nothing() {
    let place = Place::new();
    place.file("good.csv", "decl,day,hs,value\nD1,2024-01-02,220300,1\n");
    document(&place.ingest("iso.toml", &["--dry-run"], "good.csv"));
    assert!(!Path::new(&place.path("archive")).exists(), "a dry run makes no archive");
    refused(&place.ingest(".", &[], "good.csv"), 2, &["is a folder", "name a mapping"]);
    let words = ["all 1 rows are put aside", "%Y-%m-%d fits 1"];
    refused(&place.ingest("none.toml", &[], "good.csv"), 1, &words);
    place.file("letters.toml", &MAPPING.replace("FORMATS", "date_formats = [\"DD.MM.YYYY\"]"));
    refused(&place.ingest("letters.toml", &[], "good.csv"), 2, &["has no %", "%d.%m.%Y"]);
    refused(&place.run(&["quality"]), 2, &["nothing to judge", "1 were refused at ingest"]);
    let nowhere = tidewaiter(Path::new(&place.path("nowhere")), &["archive", "verify"]);
    refused(&nowhere, 2, &["neither a table nor a model", "--archive"]);
    let none = place.ingest("iso.toml", &[], "missing.csv");
    assert!(!String::from_utf8_lossy(&none.stderr).contains("put aside"), "nothing was");
    let output = tidewaiter(
        Path::new(&place.path("archive")),
        &["--scheduler", "localhost:50050", "archive", "tables"],
    );
    refused(&output, 2, &["is no URL", "http://host:port"]);
    let secret = place.file("secret.txt", "root:x:0:0:secret word\n");
    let output = place.run(&["run", &secret]);
    refused(&output, 2, &["secret.txt", "line 1"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("secret word"), "it is quoted");
}
