//! Drives the built binary as a user does: exports in, archive, quality, a retrained model.

#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test stops where it cannot go on, and says what it skips"
)]

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use crate::support::{binary, document, tidewaiter};

/// The error text of a command that must fail with a status.
fn refusal(output: &Output, status: i32) -> String {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{error}");
    error
}

fn generate(folder: &Path, archive: &Path) -> Vec<String> {
    let exports = folder.join("exports");
    let out = exports.display().to_string();
    let options =
        ["synth", "--country", "TW", "--years", "1", "--rows-per-year", "12000", "--seed", "3", &out];
    document(&tidewaiter(archive, &options));
    let mut files: Vec<String> = std::fs::read_dir(&exports)
        .expect("the folder was made")
        .map(|entry| entry.expect("an entry").path().display().to_string())
        .filter(|path| path.ends_with(".csv"))
        .collect();
    files.sort();
    files
}

fn ingest(archive: &Path, mapping: &str, files: &[String]) -> Output {
    let mut arguments = vec!["ingest", "declarations", "--mapping", mapping];
    arguments.extend(files.iter().map(String::as_str));
    tidewaiter(archive, &arguments)
}

#[test]
fn a_generated_archive_is_ingested_profiled_and_taught_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    let files = generate(folder.path(), &archive);
    assert_eq!(files.len(), 12);
    let mapping = folder.path().join("exports/mapping.toml").display().to_string();

    let ingested = document(&ingest(&archive, &mapping, &files));
    let rows = |name: &str| ingested["rows"][name].as_u64().expect("a count");
    assert_eq!(rows("in"), 12_000);
    assert_eq!(rows("in"), rows("archived") + rows("quarantined"));
    assert!(rows("quarantined") > 0, "the generator plants errors");

    let again = document(&ingest(&archive, &mapping, &files));
    assert_eq!(again["rows"]["archived"], 0, "the same bytes add nothing");
    let tables = document(&tidewaiter(&archive, &["archive", "tables"]));
    assert_eq!(tables[0]["rows"].as_u64(), Some(rows("archived")));

    let quality = document(&tidewaiter(&archive, &["quality"]));
    for report in quality["reports"].as_array().expect("reports") {
        assert!(PathBuf::from(report.as_str().expect("a path")).exists());
    }
    let report = quality["reports"][1].as_str().expect("a document");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(report).expect("is read")).expect("is JSON");
    assert_eq!(report["quarantined"].as_u64(), Some(rows("quarantined")), "what ingest refused is counted");
    let valid = |scores: &serde_json::Value| scores["validity"].as_f64().expect("a share");
    assert!(valid(&report["scores"]) <= rows("archived") as f64 / rows("in") as f64);
    assert_eq!(report["countries"][0]["quarantined"].as_u64(), Some(rows("quarantined")));
    let folder = PathBuf::from(quality["reports"][2].as_str().expect("a folder"));
    for table in ["scores", "countries", "rules", "columns", "months", "quarantine"] {
        for ending in ["csv", "parquet", "json"] {
            assert!(folder.join(format!("{table}.{ending}")).exists(), "{table}.{ending}");
        }
    }

    let periods =
        ["--train", "2020-01..2020-08", "--valid", "2020-09..2020-10", "--test", "2020-11..2020-12"];
    let size = ["--trees", "20", "--leaves", "8"];
    let mut models = Vec::new();
    for (shards, workers) in [("1", "1"), ("3", "2")] {
        let mut arguments =
            vec!["retrain", "fraud", "--country", "TW", "--shards", shards, "--workers", workers];
        arguments.extend(periods.iter().chain(&size));
        let retrained = document(&tidewaiter(&archive, &arguments));
        let name = retrained["model"].as_str().expect("a model").replace('@', "/");
        models.push(std::fs::read(archive.join("models").join(name).join("model.bin")).expect("the model"));
        let auc = retrained["metrics"]["test"]["roc_auc"].as_f64().expect("a figure");
        assert!((0.5..1.0).contains(&auc), "{auc}");
    }
    assert_eq!(models[0], models[1], "the model does not depend on shards or workers");
    let listed = document(&tidewaiter(&archive, &["models", "list", "fraud-TW"]));
    assert_eq!((listed[0]["champion"].clone(), listed[1]["champion"].clone()), (true.into(), false.into()));

    let one_class =
        ["retrain", "fraud", "--country", "KR", "--train", "2020-01..2020-08", "--test", "2020-11"];
    assert!(refusal(&tidewaiter(&archive, &one_class), 2).contains("known outcome"));
}

#[test]
fn the_published_korean_files_are_archived_whole() {
    let checkout = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let data = PathBuf::from(checkout).join("../shared/data/declarations");
    if !data.is_dir() {
        eprintln!("SKIPPED: the published declarations are not beside the checkout");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let files = ["train", "valid", "test"]
        .map(|part| data.join(format!("df_syn_{part}_eng.csv.gz")).display().to_string());
    let ingested = document(&ingest(folder.path(), &format!("{checkout}/examples/korea.toml"), &files));
    assert_eq!(ingested["rows"]["archived"], 37_385 + 8_134 + 8_481);
    assert_eq!(ingested["rows"]["quarantined"], 0);
    let query = "SELECT year, count(*) AS n, count(*) FILTER (WHERE illicit) AS illicit FROM declarations GROUP BY year ORDER BY year";
    let answer = document(&tidewaiter(folder.path(), &["archive", "sql", query]));
    assert_eq!(answer[0]["n"], 37_385);
    assert_eq!(answer[0]["illicit"], 7_720 + 394);
}

#[test]
fn wrong_input_is_named_and_nothing_is_half_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    let files = generate(folder.path(), &archive);
    let mapping = folder.path().join("exports/mapping.toml").display().to_string();

    let missing = ingest(&archive, &mapping, &["nowhere.csv".into()]);
    assert!(refusal(&missing, 2).contains("nowhere.csv"));

    let empty = folder.path().join("empty.csv");
    std::fs::write(&empty, "").expect("written");
    assert!(refusal(&ingest(&archive, &mapping, &[empty.display().to_string()]), 2).contains("empty"));

    let odd = folder.path().join("odd.toml");
    let text = std::fs::read_to_string(&mapping).expect("read").replace("net_mass =", "nett_mass =");
    std::fs::write(&odd, text).expect("written");
    let refused = ingest(&archive, &odd.display().to_string(), &files[..1]);
    assert!(refusal(&refused, 2).contains("nett_mass"));

    let tables = document(&tidewaiter(&archive, &["archive", "tables"]));
    assert_eq!(tables[0]["rows"], 0);
    assert!(refusal(&tidewaiter(&archive, &["models", "show", "fraud@7"]), 2).contains("fraud"));
    let period = ["retrain", "fraud", "--country", "TW", "--train", "2020-13", "--test", "2021-01"];
    assert!(refusal(&tidewaiter(&archive, &period), 2).contains("2020-13"));
}

#[test]
fn a_pipeline_that_fails_shows_what_its_first_jobs_did_and_what_is_missing_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let (archive, pipeline) = (folder.path().join("archive"), folder.path().join("pipeline.toml"));
    let out = folder.path().join("exports").display().to_string();
    let text = format!(
        "[[job]]\nkind = \"synth\"\nout = {out:?}\n\
         archive = {{ country = \"TW\", first_month = [2020, 1], months = 1, rows_per_year = 600 }}\n\
         [[job]]\nkind = \"ingest\"\nmapping = \"{out}/mapping.toml\"\nfiles = [\"{out}/declarations-*.csv\"]\n\
         [[job]]\nkind = \"apply\"\nmodel = \"fraud\"\ncountry = \"TW\"\nmonths = \"2020-01\"\n"
    );
    std::fs::write(&pipeline, text).expect("written");
    let run = |arguments: &[&str]| {
        binary().arg("--archive").arg(&archive).args(arguments).output().expect("the binary starts")
    };
    let traced = run(&["archive", "trace", "TW-1"]);
    assert!(refusal(&traced, 2).contains("there is no table declarations; tables here: none"));
    let failed = run(&["run", &pipeline.display().to_string()]);
    let error = refusal(&failed, 2);
    assert!(error.contains("job 3 of the pipeline (apply)"), "{error}");
    let told = String::from_utf8_lossy(&failed.stdout);
    let lines = |begins: &str| told.lines().filter(|line| line.starts_with(begins)).collect::<Vec<_>>();
    assert!(lines("ingest").len() == 1 && lines("ingest")[0].contains(" rows in = "), "{told}");
    assert!(lines("apply").len() == 1 && lines("apply")[0].ends_with("failed"), "{told}");
    let listed = run(&["models", "list"]);
    assert!(String::from_utf8_lossy(&listed.stdout).starts_with("no models"), "{listed:?}");
}

#[test]
fn help_says_what_the_program_and_each_command_are_about() {
    let help = |words: &[&str]| {
        let output = binary().args(words).arg("--help").output().expect("the binary starts");
        assert!(output.status.success(), "{words:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let all = help(&[]);
    assert!(all.starts_with("Batch analytics on a national customs archive"), "{all}");
    for command in ["ingest", "quality", "release-study", "synth", "retrain", "apply", "backtest", "hs"] {
        assert!(all.contains(&format!("\n  {command} ")), "{command}: {all}");
    }
    for (words, about) in [
        (&["ingest", "releases"][..], "Release events: CSV or XES"),
        (&["retrain", "fraud"], "The fraud model: which goods items"),
        (&["apply", "hs"], "The HS model: recommended codes"),
        (&["hs"], "Recommend HS codes at once"),
    ] {
        let text = help(words);
        assert!(text.starts_with(about), "{words:?}: {text}");
        assert!(text.contains("Options of every command:"), "{words:?}: {text}");
    }
}
