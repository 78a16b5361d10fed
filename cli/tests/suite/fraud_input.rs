//! What a retrain, an apply or a backtest of fraud cannot use, through the built binary: each is named with its
//! remedy, and nothing is published.

#![allow(clippy::expect_used, reason = "a test stops where it cannot go on")]

use std::path::Path;

use crate::support::{document, tidewaiter};

/// Generates a year's exports of a country and ingests them.
fn ingest(archive: &Path, country: &str, options: &[&str]) {
    let exports = archive.with_file_name(format!("exports-{country}"));
    let out = exports.display().to_string();
    let size = ["--country", country, "--years", "1", "--rows-per-year", "2400"];
    document(&tidewaiter(archive, &[&["synth"][..], &size, options, &[&out]].concat()));
    let mapping = exports.join("mapping.toml").display().to_string();
    let files = exports.join("declarations-*.csv").display().to_string();
    document(&tidewaiter(archive, &["ingest", "declarations", "--mapping", &mapping, &files]));
}

#[test]
fn outcomes_and_months_that_are_not_there_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    // No outcome at all in the one, no illicit one in the other.
    ingest(&archive, "TW", &["--inspection-rate", "0"]);
    ingest(&archive, "ZA", &["--inspection-rate", "0.4", "--illicit-rate", "0"]);

    let refuses = |arguments: &[&str], says: &[&str]| {
        let output = tidewaiter(&archive, arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        for words in says {
            assert!(told.contains(words), "{words:?} is not in {told}");
        }
    };
    let retrain = |country: &'static str, train: &'static str, valid: &'static str, test: &'static str| {
        ["retrain", "fraud", "--country", country, "--train", train, "--valid", valid, "--test", test]
    };
    let year = |country| retrain(country, "2020-01..2020-06", "2020-07..2020-09", "2020-10..2020-12");
    refuses(&year("TW"), &["training months 2020-01..2020-06 of TW", "0 rows with a known outcome"]);
    refuses(&year("ZA"), &["training months", "0 of them illicit", "both outcomes are needed"]);
    refuses(&year("KE"), &["of KE have 0 rows", "the archive has no declarations of KE at all"]);
    let unsplit = ["retrain", "fraud", "--country", "ZA", "--train", "2020-01..2020-06", "--test", "2020-06"];
    refuses(&unsplit, &["validation 2020-06..2020-06 (the last tenth of the training months"]);
    for model in ["gbdt", "logistic"] {
        let before = retrain("ZA", "2015-01..2015-06", "2020-07..2020-09", "2020-10..2020-12");
        refuses(
            &[&before[..], &["--model", model]].concat(),
            &["training months 2015-01..2015-06 of ZA have 0 rows", "choose other months"],
        );
    }
    refuses(&[&year("ZA")[..], &["--members", "0"]].concat(), &["members is 0", "1 to 100"]);
    refuses(&[&year("ZA")[..], &["--model", "oracle"]].concat(), &["oracle", "gbdt", "logistic"]);

    let backtest = |country: &'static str, from: &'static str, options: &[&'static str]| {
        let first =
            ["backtest", "fraud", "--country", country, "--from", from, "--to", "2020-11", "--strategy"];
        [&first[..], options].concat()
    };
    refuses(&backtest("ZA", "2020-09", &["gbdt"]), &["outcomes are known, 0 of them illicit", "both kinds"]);
    refuses(&backtest("TW", "2020-09", &["gbdt"]), &["0 outcomes are known"]);
    refuses(&backtest("ZA", "2019-09", &["random"]), &["begins with 2019-09", "begin later"]);
    for rate in ["0", "-0.1", "100.1", "NaN"] {
        let rate = format!("--capacity-percent={rate}");
        let arguments = backtest("ZA", "2020-09", &["random"]);
        refuses(&[&arguments[..], &[&rate]].concat(), &["the capacity is", "above 0 and at most 100"]);
    }
    refuses(&backtest("ZA", "2020-09", &["oracle"]), &["no strategy \"oracle\"", "risk-profile"]);

    refuses(&["apply", "fraud", "--country", "ZA", "--months", "2020-12"], &["fraud"]);
    let models = document(&tidewaiter(&archive, &["models", "list"]));
    assert_eq!(models, serde_json::json!([]), "nothing is published");
}

#[test]
fn months_before_the_archive_are_not_scored() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    ingest(&archive, "TW", &["--inspection-rate", "0.5"]);
    let months = ["--train", "2020-01..2020-06", "--valid", "2020-07..2020-09", "--test", "2020-10..2020-12"];
    let retrain = ["retrain", "fraud", "--country", "TW", "--model", "logistic"];
    let retrained = document(&tidewaiter(&archive, &[&retrain[..], &months].concat()));
    let [train, test] = ["train", "test"].map(|part| &retrained["metrics"]["outcomes"][part]);
    let number = |value: &serde_json::Value| value.as_u64().expect("a count");
    // Half of the items were inspected, and only these have an outcome.
    assert_eq!(train["labelled"], train["rows"]);
    assert!((400..800).contains(&number(&train["labelled"])), "{train}");
    assert!(number(&test["labelled"]) < 2 * number(&test["rows"]) / 3, "{test}");
    // A model is for its country: there is none of another.
    let other = tidewaiter(&archive, &["apply", "fraud", "--country", "ZA", "--months", "2020-12"]);
    let told = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(
        other.status.code() == Some(2) && told.contains("fraud-ZA") && told.contains("fraud-TW"),
        "{told}"
    );
    // Of months that the model was trained on there are no figures.
    let known = ["apply", "fraud", "--country", "TW", "--months", "2020-08..2020-10"];
    let known = document(&tidewaiter(&archive, &known));
    let selection = &known["metrics"]["selection"];
    assert!(
        0 < number(&selection["in_sample"]) && selection["in_sample"] != selection["items"],
        "{selection}"
    );
    let apply = |options: &[&str]| {
        let output = tidewaiter(&archive, &[&["apply", "fraud", "--country", "TW"][..], options].concat());
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let told = apply(&["--months", "2019-06"]);
    assert!(told.contains("no declarations of TW in 2019-06") && told.contains("archive tables"), "{told}");
    let told = apply(&["--months", "2020-12", "--version", "9"]);
    assert!(told.contains("no version 9") && told.contains("versions: 1"), "{told}");
}
