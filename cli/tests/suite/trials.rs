//! Inputs of the kinds that people reported to other tools, through the built binary: each is read as its right result
//! says, or put aside or refused with the reason. The inputs and their right results lie beside the checkout
//! (`../shared/trials`).

#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test stops where it cannot go on, and says what it skips"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{document, tidewaiter};

/// The folder of a trial, where it lies beside the checkout.
fn trial(name: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/trials")).join(name);
    if !folder.is_dir() {
        eprintln!("SKIPPED: the trial {name} is not beside the checkout");
        return None;
    }
    Some(folder)
}

/// A fresh archive.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn archive(&self) -> PathBuf {
        self.0.path().join("archive")
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        tidewaiter(&self.archive(), arguments)
    }

    fn ingest(&self, table: &str, mapping: &str, files: &[&str]) -> Output {
        self.run(&[&["ingest", table, "--mapping", mapping], files].concat())
    }

    /// The rows that an ingest must archive and put aside.
    fn takes(&self, table: &str, mapping: &str, file: &str, archived: u64, quarantined: u64) -> Value {
        let outcome = document(&self.ingest(table, mapping, &[file]));
        assert_eq!(counts(&outcome), (archived + quarantined, archived, quarantined), "{file}: {outcome}");
        outcome
    }

    fn sql(&self, query: &str) -> Value {
        document(&self.run(&["archive", "sql", query]))
    }
}

fn counts(outcome: &Value) -> (u64, u64, u64) {
    let count = |name: &str| outcome["rows"][name].as_u64().expect("a count");
    (count("in"), count("archived"), count("quarantined"))
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

/// Asserts that a command failed with a status and all of these words; gives its error.
fn refused(output: &Output, status: i32, words: &[&str]) -> String {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{error}");
    assert!(
        !error.contains("panicked") && words.iter().all(|word| error.contains(word)),
        "{words:?}: {error}"
    );
    error
}

#[test]
fn files_of_every_packing_and_encoding_are_read() {
    for (name, map, file, table, archived, quarantined) in [
        ("01-gzip-padding", "map.toml", "members.csv.gz", "declarations", 5, 0),
        ("01-gzip-padding", "map.toml", "padded.csv.gz", "declarations", 2, 0),
        ("02-oracle-number", "map.toml", "number.parquet", "declarations", 3, 0),
        ("03-impala-binary", "map.toml", "impala.parquet", "declarations", 2, 1),
        ("03-impala-binary", "map.toml", "control-strings.parquet", "declarations", 2, 0),
        ("04-pandas-float-flags", "map.toml", "pandas.csv", "declarations", 3, 0),
        ("04-pandas-float-flags", "map-parquet.toml", "pandas.parquet", "declarations", 3, 0),
        ("09-xes-latin1", "map.toml", "latin1.xes", "releases", 2, 0),
        ("09-xes-latin1", "map-latin1.toml", "latin1.xes", "releases", 2, 0),
        ("10-xes-events-outside-traces", "map.toml", "stream.xes", "releases", 2, 2),
        ("12-utf16-excel", "map.toml", "unicode.txt", "declarations", 2, 0),
        ("13-nul-bytes", "map.toml", "early.csv", "declarations", 2, 1),
        ("14-preamble-footer", "map.toml", "sep.csv", "declarations", 2, 0),
        ("14-preamble-footer", "map.toml", "title.csv", "declarations", 2, 2),
        ("14-preamble-footer", "map.toml", "footer.csv", "declarations", 4, 3),
        ("16-withdrawn-codes", "map.toml", "old.csv", "declarations", 9, 2),
        ("16-withdrawn-codes", "map-values.toml", "old.csv", "declarations", 11, 0),
        ("18-int96-9999", "map.toml", "spark.parquet", "declarations", 2, 2),
        ("24-zip-and-workbooks", "map.toml", "january.zip", "declarations", 5, 4),
        ("24-zip-and-workbooks", "map.toml", "january.csv.bz2", "declarations", 5, 0),
        ("24-zip-and-workbooks", "map.toml", "january.csv.xz", "declarations", 5, 0),
    ] {
        let Some(folder) = trial(name) else { return };
        let outcome =
            Place::new().takes(table, &path(&folder, map), &path(&folder, file), archived, quarantined);
        assert_eq!(outcome["metrics"]["quarantined"].is_object(), quarantined > 0, "{outcome}");
    }
}

#[test]
fn values_are_those_that_were_meant() {
    let place = Place::new();
    let Some(folder) = trial("02-oracle-number") else { return };
    place.takes("declarations", &path(&folder, "map.toml"), &path(&folder, "number.parquet"), 3, 0);
    let query = "SELECT declaration_id, item_number, hs_code, customs_value, illicit FROM declarations WHERE illicit = false";
    let row = &place.sql(query)[0];
    assert_eq!(
        (&row["declaration_id"], &row["hs_code"]),
        (&"100200301".into(), &"8703231128".into()),
        "{row}"
    );
    assert_eq!((row["item_number"].as_i64(), row["customs_value"].as_f64()), (Some(1), Some(2809.5)));

    let Some(folder) = trial("12-utf16-excel") else { return };
    let place = Place::new();
    place.takes("declarations", &path(&folder, "map.toml"), &path(&folder, "unicode.txt"), 2, 0);
    assert_eq!(place.sql("SELECT max(description) AS d FROM declarations")[0]["d"], "thé noir");
    let error = refused(
        &place.ingest("declarations", &path(&folder, "map.toml"), &[&path(&folder, "nobom.txt")]),
        2,
        &["UTF-16"],
    );
    assert!(error.contains("encoding = \"utf-16le\""), "{error}");

    let Some(folder) = trial("09-xes-latin1") else { return };
    let place = Place::new();
    place.takes("releases", &path(&folder, "map.toml"), &path(&folder, "latin1.xes"), 2, 0);
    assert_eq!(place.sql("SELECT min(event) AS e FROM releases")[0]["e"], "Dépôt");
}

#[test]
fn what_could_be_taken_for_another_thing_is_put_aside() {
    let Some(folder) = trial("05-hs-leading-zeros") else { return };
    let place = Place::new();
    place.takes("declarations", &path(&folder, "map.toml"), &path(&folder, "excel.csv"), 1, 5);
    assert_eq!(place.sql("SELECT hs_code FROM declarations")[0]["hs_code"], "87032319");
    let place = Place::new();
    let outcome = document(&place.ingest(
        "declarations",
        &path(&folder, "map-parquet.toml"),
        &[&path(&folder, "ints.parquet")],
    ));
    let (read, archived, quarantined) = counts(&outcome);
    assert!(read == archived + quarantined && quarantined > 0, "{outcome}");
    let place = Place::new();
    let lost = document(&place.ingest(
        "declarations",
        &path(&folder, "map.toml"),
        &[&path(&folder, "train-lost-zero.csv")],
    ));
    assert!(counts(&lost).2 >= 480, "{lost}");
    assert_eq!(place.sql("SELECT count(*) AS n FROM declarations WHERE hs_code LIKE '90%'")[0]["n"], 0);

    let Some(folder) = trial("15-thousands") else { return };
    let place = Place::new();
    place.takes("declarations", &path(&folder, "map.toml"), &path(&folder, "fr.csv"), 1, 9);

    let Some(folder) = trial("17-backslash-escapes") else { return };
    let place = Place::new();
    place.takes("declarations", &path(&folder, "map.toml"), &path(&folder, "mysql.csv"), 2, 3);
    let text = fs::read_to_string(path(&folder, "map.toml")).expect("read");
    let escaping = place.file("escape.toml", &format!("escape = \"\\\\\"\n{text}"));
    let place = Place::new();
    place.takes("declarations", &escaping, &path(&folder, "mysql.csv"), 5, 0);
    assert_eq!(
        place.sql("SELECT description AS d FROM declarations ORDER BY declaration_id")[0]["d"],
        "Bolt \"M8\""
    );
    assert_eq!(
        place.sql("SELECT description AS d FROM declarations WHERE declaration_id = 'B4'")[0]["d"],
        "path C:\\"
    );

    let Some(folder) = trial("13-nul-bytes") else { return };
    let place = Place::new();
    let late =
        document(&place.ingest("declarations", &path(&folder, "map.toml"), &[&path(&folder, "late.csv")]));
    assert_eq!(counts(&late).2, 1, "{late}");

    let Some(folder) = trial("18-int96-9999") else { return };
    let place = Place::new();
    let outcome =
        place.takes("declarations", &path(&folder, "map.toml"), &path(&folder, "spark.parquet"), 2, 2);
    assert!(
        outcome["metrics"]["first_quarantined"].as_str().is_some_and(|first| first.contains("9999-12-31")),
        "{outcome}"
    );
}

#[test]
fn files_that_are_no_export_are_named_with_the_remedy() {
    let Some(folder) = trial("24-zip-and-workbooks") else { return };
    let place = Place::new();
    let map = path(&folder, "map.toml");
    refused(&place.ingest("declarations", &map, &[&path(&folder, "january.xlsx")]), 2, &["workbook", "CSV"]);
    let page = place.file("page.csv", "<!DOCTYPE html>\n<html><body>Log in</body></html>\n");
    refused(&place.ingest("declarations", &map, &[&page]), 2, &["HTML page", "download"]);

    let Some(folder) = trial("10-xes-events-outside-traces") else { return };
    let output = place.ingest("releases", &path(&folder, "map.toml"), &[&path(&folder, "only-stream.xes")]);
    refused(&output, 1, &["all 1 rows are put aside", "case_id: missing", "quarantine"]);
}

#[test]
fn a_wide_table_and_a_log_with_schedules_give_the_right_study() {
    let Some(folder) = trial("06-trs-wide") else { return };
    let place = Place::new();
    for (map, archived, quarantined) in [
        ("map-arrival.toml", 4, 0),
        ("map-lodgement.toml", 4, 0),
        ("map-inspection-end.toml", 2, 2),
        ("map-release.toml", 4, 0),
    ] {
        let place = Place::new();
        place.takes("releases", &path(&folder, map), &path(&folder, "trs.csv"), archived, quarantined);
    }
    let milestones = "table = \"releases\"\ncountry = \"UG\"\ntime_zone = \"Africa/Kampala\"\n\
        [columns]\ncase_id = { from = \"consignment\" }\nmode = { from = \"mode\" }\n\
        [[milestones]]\nevent = \"arrival\"\nrole = \"arrival\"\nevent_time = \"arrival\"\n\
        [[milestones]]\nevent = \"lodgement\"\nrole = \"lodgement\"\nevent_time = \"lodged\"\n\
        [[milestones]]\nevent = \"inspection-end\"\nrole = \"inspection-end\"\nevent_time = \"inspected_to\"\nstart_time = \"inspected_from\"\n\
        [[milestones]]\nevent = \"release\"\nrole = \"release\"\nevent_time = \"released\"\n";
    let mapping = place.file("wide.toml", milestones);
    place.takes("releases", &mapping, &path(&folder, "trs.csv"), 14, 0);
    let hours = place.sql(
        "SELECT CAST((max(arrow_cast(event_time, 'Int64')) - min(arrow_cast(event_time, 'Int64'))) / 3600000000 AS BIGINT) AS h \
         FROM releases GROUP BY case_id ORDER BY case_id",
    );
    let hours: Vec<i64> =
        hours.as_array().expect("rows").iter().filter_map(|row| row["h"].as_i64()).collect();
    assert_eq!(hours, [10, 4, 24, 2]);

    let Some(folder) = trial("07-lifecycle-schedule") else { return };
    let mut figures = Vec::new();
    for log in ["log.csv", "control.csv"] {
        let place = Place::new();
        document(&place.ingest("releases", &path(&folder, "map.toml"), &[&path(&folder, log)]));
        let study = document(&place.run(&["release-study", "--from", "2024-04", "--to", "2024-04"]));
        assert_eq!(study["metrics"]["release"]["cases"], 6, "{study}");
        let reports = fs::read_dir(place.archive().join("reports")).expect("reports");
        let tables = reports.map(|entry| entry.expect("an entry").path()).find(|path| path.is_dir());
        figures.push(fs::read_to_string(tables.expect("tables").join("stages.csv")).expect("read"));
    }
    assert_eq!(figures[0], figures[1], "a schedule is neither a start nor a completion");
}

#[test]
fn a_file_that_was_put_aside_entirely_is_read_by_the_mended_mapping() {
    let Some(folder) = trial("28-mended-mapping") else { return };
    let place = Place::new();
    let file = path(&folder, "jan.csv");
    let wrong = place.ingest("declarations", &path(&folder, "map-wrong.toml"), &[&file]);
    refused(&wrong, 1, &["all 28 rows are put aside", "28 × acceptance_date", "line 2", "quarantine"]);
    place.takes("declarations", &path(&folder, "map.toml"), &file, 28, 0);
    let again = document(&place.ingest("declarations", &path(&folder, "map.toml"), &[&file]));
    assert_eq!(counts(&again), (0, 0, 0));

    let place = Place::new();
    let (half, both) = (path(&folder, "half.csv"), path(&folder, "map-both.toml"));
    place.takes("declarations", &path(&folder, "map.toml"), &half, 14, 14);
    let known = document(&place.ingest("declarations", &both, &[&half]));
    assert!(known["metrics"]["known"][0].as_str().is_some_and(|said| said.contains("--again")), "{known}");
    let again = place.run(&["ingest", "declarations", "--again", "--mapping", &both, &half]);
    assert_eq!(counts(&document(&again)), (28, 28, 0));
    assert_eq!(place.sql("SELECT count(*) AS n FROM declarations")[0]["n"], 28);
    assert_eq!(place.sql("SELECT count(*) AS n FROM quarantine")[0]["n"], 0);
}

#[test]
fn an_ingest_can_be_tried_without_writing_and_limited() {
    let place = Place::new();
    let map = "country = \"PL\"\n[columns]\ndeclaration_id = { from = \"decl\" }\nitem_number = { constant = \"1\" }\n\
               acceptance_date = { from = \"day\" }\nhs_code = { from = \"hs\" }\nchannel = { from = \"channel\" }\n";
    let map = place.file("map.toml", map);
    let rows: String = (0..98).map(|id| format!("D{id},2024-01-02,220300,green\n")).collect();
    let file = place.file(
        "a.csv",
        &format!("decl,day,hs,channel\n{rows}X1,soon,220300,red\nX2,2024-01-02,220300,blue\n"),
    );
    let outcome = document(&place.run(&["ingest", "declarations", "--mapping", &map, "--dry-run", &file]));
    assert_eq!(counts(&outcome), (100, 98, 2));
    let rules = &outcome["metrics"]["quarantined"];
    assert_eq!(rules["channel: not one of green, yellow, red"], 1, "{rules}");
    let written = fs::read_dir(place.archive()).map_or(0, Iterator::count);
    assert_eq!(written, 0, "a dry run writes nothing");
    let limited = |limit: &str| {
        place.run(&["ingest", "declarations", "--mapping", &map, "--max-quarantined", limit, &file])
    };
    refused(&limited("1%"), 1, &["2 of 100 rows fail a check", "a.csv, line 100"]);
    refused(&limited("many"), 2, &["--max-quarantined"]);
    assert_eq!(place.sql("SELECT count(*) AS n FROM declarations")[0]["n"], 0);
    assert_eq!(counts(&document(&limited("2%"))), (100, 98, 2));
}

#[test]
fn a_good_file_beside_a_folder_is_ingested() {
    let place = Place::new();
    let map = "country = \"PL\"\n[columns]\ndeclaration_id = { from = \"decl\" }\nitem_number = { constant = \"1\" }\n\
               acceptance_date = { from = \"day\" }\nhs_code = { from = \"hs\" }\n";
    let map = place.file("map.toml", map);
    let good = place.file("good.csv", "decl,day,hs\nD1,2024-01-02,220300\n");
    let folder = place.0.path().join("folder.csv");
    fs::create_dir(&folder).expect("made");
    let output = place.ingest("declarations", &map, &[&folder.display().to_string(), &good]);
    refused(&output, 2, &["folder.csv is a folder"]);
    assert_eq!(place.sql("SELECT count(*) AS n FROM declarations")[0]["n"], 1);
}

#[test]
fn many_small_files_share_commits_and_each_is_known() {
    let place = Place::new();
    let map = "country = \"PL\"\n[columns]\ndeclaration_id = { from = \"decl\" }\nitem_number = { constant = \"1\" }\n\
               acceptance_date = { from = \"day\" }\nhs_code = { from = \"hs\" }\n";
    let map = place.file("map.toml", map);
    let folder = place.0.path().join("exports");
    fs::create_dir(&folder).expect("made");
    let write = |number: usize, rows: &str| {
        fs::write(folder.join(format!("{number:03}.csv")), format!("decl,day,hs\n{rows}")).expect("written");
    };
    for number in 0..120 {
        write(number, &format!("D{number},2024-01-02,220300\nX{number},soon,220300\n"));
    }
    write(40, "D39,2024-01-02,220300\nX39,soon,220300\n");
    write(39, "D39,2024-01-02,220300\nX39,soon,220300\n");
    write(60, "X60,soon,220300\n");
    fs::write(folder.join("061.csv"), "decl,day\n").expect("written");
    let all = folder.join("*.csv").display().to_string();
    let output = place.ingest("declarations", &map, &[&all]);
    refused(&output, 1, &["2 files are not ingested", "060.csv: all 1 rows", "061.csv", "no column \"hs\""]);
    assert_eq!(
        place.sql("SELECT count(*) AS n, count(DISTINCT declaration_id) AS d FROM declarations")[0],
        serde_json::json!({"n": 117, "d": 117})
    );
    let snapshots = document(&place.run(&["archive", "snapshots", "declarations"]));
    assert!(snapshots.as_array().is_some_and(|snapshots| snapshots.len() < 12), "{snapshots}");
    write(61, "D61,2024-01-02,220300\n");
    write(60, "D60,2024-01-02,220300\n");
    let again = document(&place.ingest("declarations", &map, &[&all]));
    assert_eq!(counts(&again), (2, 2, 0), "{again}");
    assert_eq!(again["metrics"]["ingested_before"], 118);
}

/// The page of the columns, made from what `archive columns` lists.
fn page(columns: &Value) -> String {
    let mut page = String::from(
        "# Columns\n\nThe columns into which exports are read, as `tidewaiter archive columns` lists them. A mapping names \
         for each the column\nof the export. Required ones are in bold.\n",
    );
    let mut last = "";
    for column in columns.as_array().expect("a list") {
        let text = |name: &str| column[name].as_str().unwrap_or_default();
        if text("table") != last {
            last = text("table");
            page.push_str(&format!(
                "\n## {last}\n\n| column | type | meaning | values | WCO Data Model |\n|---|---|---|---|---|\n"
            ));
        }
        let name = if column["required"] == true {
            format!("**{}**", text("column"))
        } else {
            text("column").to_owned()
        };
        let cells = [name.as_str(), text("type"), text("meaning"), text("check"), text("wco_data_model")];
        page.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    page
}

#[test]
fn the_page_of_the_columns_is_that_of_the_tables() {
    let place = Place::new();
    let columns = document(&place.run(&["archive", "columns"]));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/columns.md");
    let written = fs::read_to_string(file).expect("docs/columns.md is there");
    assert_eq!(written, page(&columns), "write docs/columns.md anew from `archive columns`");
    let error = refused(&place.run(&["archive", "columns", "nothing"]), 2, &["declarations"]);
    assert!(error.contains("releases"), "{error}");
    let guessed = place.file("a.csv", "decl;day;hs\nD1;31/01/2024;220300\nD2;01/02/2024;870323\n");
    let text = document(&place.run(&["ingest", "declarations", "--guess", &guessed]));
    let text = text["text"].as_str().expect("a mapping").replace("\"ZZ\"", "\"PL\"");
    let text = text.replace("# item_number = ", "item_number = ");
    let mapping = place.file("guessed.toml", &text);
    place.takes("declarations", &mapping, &guessed, 2, 0);
}
