//! Images come into the archive and out of it, in one process and on a cluster, as a user does it.

use std::{fs, path::Path, process::Output};

use serde_json::{Value, json};

use crate::support::{
    binary, document,
    processes::{Process, started},
    tidewaiter,
};

/// The options of an ingest of a folder of generated images.
fn ingest(folder: &Path) -> Vec<String> {
    let path = |name: &str| folder.join(name).display().to_string();
    let options = ["ingest", "images", "--annotations"].map(str::to_owned);
    [&options[..], &[path("annotations.json"), "--mapping".into(), path("mapping.toml"), path("images")]]
        .concat()
}

fn words(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn sql(archive: &Path, query: &str) -> Value {
    document(&tidewaiter(archive, &["archive", "sql", query]))
}

#[test]
fn generated_images_are_ingested_here_and_on_a_cluster_and_come_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let (made, here, there) = (path("made"), path("here"), path("there"));
    let out = made.display().to_string();
    let options = ["--country", "TW", "--images", "12", "--months", "2024-01..2024-02", "--seed", "3"];
    let synth = document(&tidewaiter(&here, &[&["synth", "xray", &out][..], &options].concat()));
    assert_eq!(synth["metrics"]["xray"]["images"], 12);
    let ingest = ingest(&made);
    let outcome = document(&tidewaiter(&here, &words(&ingest)));
    assert_eq!((&outcome["rows"]["in"], &outcome["rows"]["archived"]), (&12.into(), &12.into()));

    let mut command = binary();
    command.args(["scheduler", "--bind", "127.0.0.1:0", "--archive"]).arg(&there);
    let (_scheduler, _stderr, line) = started(command.arg("--exports").arg(folder.path()));
    let url = line.rsplit(' ').next().expect("a word");
    let executors = (0..2).map(|number| {
        let mut command = binary();
        command.args(["executor", "--scheduler", url, "--port", "0", "--slots", "2", "--work-folder"]);
        Process(command.arg(path(&format!("executor-{number}"))).spawn().expect("starts"))
    });
    let _executors: Vec<Process> = executors.collect();
    let on_cluster = |arguments: &[&str]| -> Output {
        let mut command = binary();
        command.args(["--output", "json", "--scheduler", url]).args(arguments);
        command.output().expect("the binary starts")
    };
    let outcome = document(&on_cluster(&words(&ingest)));
    assert_eq!(outcome["rows"]["archived"], 12);
    let query = "SELECT image_id, taken_at, site, scanner, declaration_id, hs_code, width, channels, bits, objects, \
                 bytes FROM images ORDER BY image_id";
    assert_eq!(sql(&here, query), sql(&there, query), "a cluster archives what one process does");
    let again = document(&on_cluster(&words(&ingest)));
    assert_eq!((&again["rows"]["archived"], &again["metrics"]["ingested_before"]), (&0.into(), &12.into()));
    let sources = "SELECT source, rows_read, rows_archived, rows_quarantined FROM sources";
    let one = json!([{ "source": 1, "rows_read": 12, "rows_archived": 12, "rows_quarantined": 0 }]);
    assert_eq!((sql(&here, sources), sql(&there, sources)), (one.clone(), one), "the folder, once");
    let traced = tidewaiter(&here, &["archive", "trace", "D1", "--table", "images"]);
    let error = String::from_utf8_lossy(&traced.stderr);
    assert!(!traced.status.success() && error.contains("WHERE table_name = 'images'"), "{error}");

    let back = path("back");
    let exported =
        document(&tidewaiter(&there, &["xray", "export", "--format", "coco", &back.display().to_string()]));
    assert_eq!((&exported["images"], &exported["annotated"]), (&12.into(), &12.into()));
    let files = |folder: &Path| {
        let entries = fs::read_dir(folder.join("images")).expect("is there");
        let mut files: Vec<Vec<u8>> =
            entries.map(|entry| fs::read(entry.expect("a file").path()).expect("is read")).collect();
        files.sort();
        files
    };
    assert!(files(&made) == files(&back), "byte for byte");

    let first = sql(&there, "SELECT image_id FROM images ORDER BY image_id LIMIT 1");
    let id = first["rows"][0]["image_id"].as_str().or_else(|| first[0]["image_id"].as_str()).expect("an id");
    let shown = path("shown.png").display().to_string();
    document(&tidewaiter(&there, &["xray", "show", id, "--out", &shown]));
    assert!(fs::read(&shown).expect("is written").starts_with(b"\x89PNG"));
    let missing = tidewaiter(&there, &["xray", "show", "0000000000000000", "--out", &shown]);
    assert!(!missing.status.success());

    let forgotten = document(&on_cluster(&["archive", "forget", "1"]));
    assert_eq!(forgotten["metrics"]["forgotten"]["images"]["rows"], 12);
    let left = "SELECT (SELECT count(*) FROM images) AS images, (SELECT count(*) FROM sources) AS sources";
    assert_eq!(sql(&there, left), json!([{ "images": 0, "sources": 0 }]));
    let again = document(&on_cluster(&words(&ingest)));
    assert_eq!(again["rows"]["archived"], 12, "what was forgotten may come again");
}
