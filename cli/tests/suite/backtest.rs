//! Drives the built binary through a backtest: a generated archive whose tricks change, and the published files.

#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test stops where it cannot go on, and says what it skips"
)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::support::{document, tidewaiter};

fn files(folder: &Path, begins: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder was made");
    let mut files: Vec<String> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(begins)))
        .map(|path| path.display().to_string())
        .collect();
    files.sort();
    files
}

fn run(archive: &Path, arguments: &[&str], more: &[String]) -> Value {
    let all: Vec<&str> = arguments.iter().copied().chain(more.iter().map(String::as_str)).collect();
    document(&tidewaiter(archive, &all))
}

fn refusal(archive: &Path, arguments: &[&str]) -> String {
    let output = tidewaiter(archive, arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    error
}

/// The bytes of the page and of every table of a backtest, by name.
fn written(outcome: &Value) -> BTreeMap<String, Vec<u8>> {
    let reports: Vec<PathBuf> = outcome["reports"]
        .as_array()
        .expect("reports")
        .iter()
        .map(|path| PathBuf::from(path.as_str().expect("a path")))
        .collect();
    let mut bytes = BTreeMap::from([("page".to_owned(), std::fs::read(&reports[0]).expect("the page"))]);
    for entry in std::fs::read_dir(&reports[1]).expect("the tables") {
        let entry = entry.expect("an entry");
        bytes.insert(
            entry.file_name().to_string_lossy().into_owned(),
            std::fs::read(entry.path()).expect("read"),
        );
    }
    bytes
}

#[test]
fn strategies_are_compared_over_a_generated_past_and_a_repetition_gives_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    let exports = folder.path().join("exports");
    let out = exports.display().to_string();
    let generate = ["synth", "--country", "TW", "--years", "1", "--rows-per-year", "9000", "--seed", "3"];
    let switches = ["--new-scheme-from", "2020-07", "--old-schemes-until", "2020-08", "--heavy-tail", "1.5"];
    run(&archive, &[&generate[..], &switches, &[&out]].concat(), &[]);
    let mapping = exports.join("mapping.toml").display().to_string();
    run(&archive, &["ingest", "declarations", "--mapping", &mapping], &files(&exports, "declarations-"));

    let months = ["backtest", "fraud", "--country", "TW", "--from", "2020-07", "--to", "2020-10"];
    let small = ["--seeds", "2", "--trees", "10", "--leaves", "6", "--workers"];
    let strategies = ["--strategy", "random", "--strategy", "gbdt", "--strategy", "gbdt+badge"];
    let truth: Vec<String> = std::iter::once("--truth".to_owned()).chain(files(&exports, "truth-")).collect();
    let first = run(&archive, &[&months[..], &strategies, &small, &["2"]].concat(), &truth);
    let figures = &first["metrics"]["strategies"];
    for strategy in ["random", "gbdt", "gbdt+badge"] {
        let precision = &figures[strategy]["precision"];
        let (low, mean) =
            (precision["low"].as_f64().expect("a bound"), precision["mean"].as_f64().expect("a mean"));
        assert!((0.0..=1.0).contains(&mean) && low <= mean, "{strategy}: {precision}");
        assert_eq!(figures[strategy]["unknown"], 0.0);
        assert!(figures[strategy]["revenue_recall"]["mean"].as_f64().is_some());
    }
    let first = written(&first);
    let again = run(&archive, &[&months[..], &strategies, &small, &["1"]].concat(), &truth);
    let again = written(&again);
    assert_eq!(first.keys().collect::<Vec<_>>(), again.keys().collect::<Vec<_>>());
    assert_eq!(first.len(), 19, "a page, and six tables as CSV, Parquet and JSON");
    for (name, bytes) in &first {
        assert!(bytes == &again[name], "{name} differs");
    }
    let page = String::from_utf8(first["page"].clone()).expect("UTF-8");
    assert!(page.contains("gbdt+badge") && page.contains("<svg") && !page.contains("NaN"));
    if let Some(kept) = std::env::var_os("TIDEWAITER_KEEP_REPORTS") {
        std::fs::write(Path::new(&kept).join("backtest.html"), &page).expect("the folder can be written");
    }
    // Two strategies times two seeds times five periods, and a line of names.
    let lines = String::from_utf8(first["periods.csv"].clone()).expect("UTF-8").lines().count();
    assert_eq!(lines, 1 + 3 * 2 * 5);

    // Without the truth's files, only what the archive's own inspection saw can be measured. Offices rank their own days.
    let daily = ["--strategy", "random", "--seeds", "1", "--daily-capacity", "3"];
    let own = run(&archive, &[&months[..], &daily].concat(), &[]);
    let page = String::from_utf8(written(&own)["page"].clone()).expect("UTF-8");
    assert!(page.contains("up to 3 items a day and office") && page.contains("ranked by themselves"));
    assert!(own["metrics"]["strategies"]["random"]["unknown"].as_f64().expect("a mean") > 0.0);
}

#[test]
fn a_challenger_is_compared_beyond_chance_and_items_are_ranked_by_expected_revenue() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    let exports = folder.path().join("exports");
    let out = exports.display().to_string();
    let generate = ["synth", "--country", "TW", "--years", "1", "--rows-per-year", "12000", "--seed", "3"];
    run(&archive, &[&generate[..], &["--inspection-rate", "0.5", &out]].concat(), &[]);
    let mapping = exports.join("mapping.toml").display().to_string();
    run(&archive, &["ingest", "declarations", "--mapping", &mapping], &files(&exports, "declarations-"));

    let retrain =
        ["retrain", "fraud", "--country", "TW", "--train", "2020-01..2020-07", "--valid", "2020-08..2020-09"];
    let size = ["--test", "2020-10..2020-12", "--leaves", "8", "--compare", "champion", "--trees"];
    let first = run(&archive, &[&retrain[..], &size, &["30"]].concat(), &[]);
    assert_eq!(first["metrics"]["promoted"], true, "there was no champion");
    let over_random = &first["metrics"]["over_random"];
    let [low, difference, high] =
        ["low", "difference", "high"].map(|part| over_random[part].as_f64().expect("a share"));
    assert!(low <= difference && difference <= high && low < high, "{over_random}");
    let share =
        |outcome: &Value, part: &str| outcome["metrics"][part]["revenue_recall@5"].as_f64().expect("a share");
    let (by_revenue, by_probability) = (share(&first, "test_by_revenue"), share(&first, "test"));
    assert!(by_revenue > by_probability, "{by_revenue} by expected revenue, {by_probability} by probability");

    // The same model again, and one of a single tree: neither is better.
    for trees in ["30", "1"] {
        let again = run(&archive, &[&retrain[..], &size, &[trees]].concat(), &[]);
        let comparison = &again["metrics"]["comparison"];
        assert_eq!(again["metrics"]["promoted"], false, "{comparison}");
        assert!(comparison["low"].as_f64().expect("a bound") <= 0.0);
    }
    let shown = run(&archive, &["models", "show", "fraud-TW@3"], &[]);
    assert!(shown["metrics"]["comparison"]["difference"].as_f64().expect("a figure") < 0.0, "{shown}");
    let card = std::fs::read_to_string(archive.join("models/fraud-TW/3/card.html")).expect("the card");
    assert!(card.contains("paired resamples") && card.contains("fraud-TW@1 stays the model in use"));

    let apply = ["apply", "fraud", "--country", "TW", "--months", "2020-12", "--rank-by", "revenue"];
    let applied = run(&archive, &apply, &[]);
    let selected = applied["metrics"]["selection"]["selected"].as_u64().expect("a count");
    let query = "SELECT rank, expected_revenue, probability, reasons IS NOT NULL AS explained \
                 FROM predictions_fraud ORDER BY rank";
    let rows = run(&archive, &["archive", "sql", query], &[]);
    let rows = rows.as_array().expect("rows");
    let amounts: Vec<f64> =
        rows.iter().map(|row| row["expected_revenue"].as_f64().expect("an amount")).collect();
    assert!(amounts.is_sorted_by(|a, b| a >= b) && amounts[0] > 0.0);
    let explained = rows.iter().filter(|row| row["explained"] == true).count() as u64;
    assert_eq!(explained, selected);

    // The whole selection lies beside the page: by item, and by declaration with a quota for each office.
    let page = Path::new(applied["reports"][0].as_str().expect("a report"));
    let table = |name: &str| -> Vec<Value> {
        let bytes = std::fs::read(page.with_extension("").join(format!("{name}.json"))).expect("is read");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    let items = table("selected_items");
    assert_eq!(items.len() as u64, selected);
    assert!(items.iter().all(|item| item["office"].is_string() && item["description"].is_string()));
    let mut offices = std::collections::BTreeMap::<String, Vec<Value>>::new();
    for declaration in table("selected_declarations") {
        let office = declaration["office"].as_str().expect("an office").to_owned();
        offices.entry(office).or_default().push(declaration);
    }
    assert!(offices.len() > 1);
    for declarations in offices.values() {
        let number = |row: &Value, name: &str| row[name].as_u64().expect("a count");
        let quota = (0.05 * number(&declarations[0], "office_declarations") as f64).ceil() as u64;
        let ranks: Vec<u64> = declarations.iter().map(|row| number(row, "rank_in_office")).collect();
        assert_eq!(ranks, (1..=quota).collect::<Vec<u64>>(), "{}", declarations[0]);
    }
}

#[test]
fn wrong_input_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    let exports = folder.path().join("exports");
    let out = exports.display().to_string();
    run(
        &archive,
        &[
            "synth",
            "--country",
            "TW",
            "--years",
            "1",
            "--rows-per-year",
            "2400",
            "--inspection-rate",
            "0",
            &out,
        ],
        &[],
    );
    let mapping = exports.join("mapping.toml").display().to_string();
    run(&archive, &["ingest", "declarations", "--mapping", &mapping], &files(&exports, "declarations-"));
    let with = |from: &'static str, to: &'static str, strategy: &'static str, more: &[&'static str]| {
        let first =
            ["backtest", "fraud", "--country", "TW", "--from", from, "--to", to, "--strategy", strategy];
        refusal(&archive, &[&first[..], more].concat())
    };
    for (told, says) in [
        (with("2020-06", "2020-08", "random", &["--capacity-percent", "0"]), "above 0 and at most 100"),
        (with("2020-06", "2020-08", "random", &["--capacity-percent", "150"]), "above 0 and at most 100"),
        (with("2020-06", "2020-08", "random", &["--daily-capacity", "0"]), "capacity of a day is 0"),
        (with("2020-06", "2020-08", "magic", &[]), "gbdt+badge"),
        (with("2019-06", "2020-08", "random", &[]), "begin later"),
        (with("2020-06", "2024-08", "random", &[]), "last declarations"),
        (with("2020-08", "2020-06", "random", &[]), "before it begins"),
        (with("2020-06", "2020-08", "random", &["--seeds", "0"]), "seeds is 0"),
        (with("2020-06", "2020-08", "random", &["--exploration", "2"]), "from 0 to 1"),
        // Nothing was ever inspected: no truth without its files, and nothing to learn from with them.
        (with("2020-06", "2020-08", "random", &[]), "--truth"),
        (with("2020-06", "2020-08", "gbdt", &[]), "0 outcomes are known"),
        (with("2020-06", "2020-08", "random", &["--truth", "nowhere.parquet"]), "nowhere.parquet"),
    ] {
        assert!(told.contains(says), "{says:?} is not in {told}");
    }
    let other = [
        "backtest",
        "fraud",
        "--country",
        "KR",
        "--from",
        "2020-06",
        "--to",
        "2020-08",
        "--strategy",
        "random",
    ];
    assert!(refusal(&archive, &other).contains("no declarations of KR"));
}

#[test]
fn the_published_korean_files_are_walked_by_their_own_labels() {
    let checkout = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let data = PathBuf::from(checkout).join("../shared/data/declarations");
    if !data.is_dir() {
        eprintln!("SKIPPED: the published declarations are not beside the checkout");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let exports = ["train", "valid", "test"]
        .map(|part| data.join(format!("df_syn_{part}_eng.csv.gz")).display().to_string());
    run(
        folder.path(),
        &["ingest", "declarations", "--mapping", &format!("{checkout}/examples/korea.toml")],
        &exports,
    );
    let months =
        ["backtest", "fraud", "--country", "KR", "--from", "2021-01", "--to", "2021-06", "--seeds", "1"];
    let strategies = ["--strategy", "random", "--strategy", "gbdt", "--trees", "60", "--workers", "2"];
    let outcome = run(folder.path(), &[&months[..], &strategies].concat(), &[]);
    let figures = &outcome["metrics"]["strategies"];
    let precision = |strategy: &str| figures[strategy]["precision"]["mean"].as_f64().expect("a mean");
    // A fifth of the items is illicit; a quarter of a year's boosted trees reach more than four in five.
    assert!((0.15..0.30).contains(&precision("random")), "{figures}");
    assert!(precision("gbdt") > 0.75, "{figures}");
    assert_eq!(figures["gbdt"]["unknown"], 0.0);
    assert!(figures["gbdt"].get("revenue_recall").is_none(), "the file has no revenue");
}
