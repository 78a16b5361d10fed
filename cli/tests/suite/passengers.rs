//! Messages of airlines come into the archive and become persons, in one process and on a cluster, as a user does it.

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::Value;

use crate::support::{
    binary, document,
    processes::{Process, started},
    tidewaiter,
};

fn words(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn sql(archive: &Path, query: &str) -> Value {
    document(&tidewaiter(archive, &["archive", "sql", query]))
}

/// What an ingest and a linking leave, but for who did it and when.
const QUERIES: [&str; 5] = [
    "SELECT message_id, flight_id, kind, travellers, bookings, issues, characters FROM passengers_messages ORDER BY message_id",
    "SELECT * FROM passengers_travellers ORDER BY traveller_id",
    "SELECT owner_id, kind, key, value, given, birth FROM passengers_identities ORDER BY owner_id, kind, key, value",
    "SELECT booking_id, contact_key, account_key, c.traveller_id FROM passengers_contacts c \
     JOIN passengers_payments p USING (booking_id) ORDER BY 1, 2, 3, 4",
    "SELECT * FROM passengers_persons ORDER BY traveller_id",
];

#[test]
fn generated_messages_become_the_same_persons_here_and_on_a_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let text = |name: &str| path(name).display().to_string();
    let (here, there) = (path("here"), path("there"));
    let made = text("made");
    let options = [
        "--country",
        "KR",
        "--months",
        "2024-02..2024-04",
        "--travellers",
        "300",
        "--ring-share",
        "0.1",
        "--base-rate",
        "0.02",
        "--random-share",
        "0.4",
        "--officer-share",
        "0.2",
        "--seed",
        "2",
    ];
    let synth = document(&tidewaiter(&here, &[&["synth", "passengers", &made][..], &options].concat()));
    let travellers = synth["metrics"]["passengers"]["travellers"].as_u64().expect("a count");
    let key = text("made/pseudonym.key");
    let ingest =
        ["ingest", "passengers", &text("made/messages"), "--country", "KR", "--key", &key].map(str::to_owned);
    let outcome = document(&tidewaiter(&here, &words(&ingest)));
    assert_eq!(outcome["rows"]["in"], outcome["rows"]["archived"]);
    assert_eq!(outcome["metrics"]["passengers"]["rows"]["passengers/travellers"], 2 * travellers);
    let linked = document(&tidewaiter(&here, &["passengers", "link"]));
    assert_eq!(linked["metrics"]["link"]["travellers"], 2 * travellers);

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
    document(&on_cluster(&words(&ingest)));
    document(&on_cluster(&["passengers", "link", "--country", "KR"]));
    for query in QUERIES {
        assert_eq!(sql(&here, query), sql(&there, query), "{query}");
    }
    let again = document(&on_cluster(&words(&ingest)));
    assert_eq!(
        (&again["rows"]["archived"], again["metrics"]["passengers"]["known_files"].as_u64()),
        (&0.into(), Some(90))
    );

    let mapping = text("made/outcomes.toml");
    let outcomes = ["ingest", "passengers", &text("made/outcomes.csv"), "--mapping", &mapping, "--key", &key];
    document(&tidewaiter(&here, &outcomes));
    let outcomes = document(&on_cluster(&outcomes));
    assert_eq!(outcomes["rows"]["archived"], synth["metrics"]["passengers"]["inspected"]);

    // A graph network is the same here and on a cluster.
    let months = ["--train", "2024-02", "--valid", "2024-03", "--test", "2024-04", "--model", "graph"];
    let retrain = [&["retrain", "passengers", "--country", "KR"][..], &months].concat();
    let (one, other) = (document(&tidewaiter(&here, &retrain)), document(&on_cluster(&retrain)));
    assert_eq!(one["metrics"]["test"], other["metrics"]["test"]);
    assert!(one["metrics"]["learned"]["training"].as_u64().is_some_and(|trips| trips > 50), "{one}");

    let apply = ["apply", "passengers", "--country", "KR", "--months", "2024-04"];
    let (one, other) = (document(&tidewaiter(&here, &apply)), document(&on_cluster(&apply)));
    assert_eq!(one["rows"]["archived"], other["rows"]["archived"]);
    let scores = "SELECT trip_id, probability, rank FROM predictions_passengers ORDER BY trip_id";
    assert_eq!(sql(&here, scores), sql(&there, scores));

    let sealed = document(&on_cluster(&["passengers", "depersonalise", "--older-than", "6m", "--key", &key]));
    assert!(sealed["metrics"]["depersonalise"]["rows"].as_u64().is_some_and(|rows| rows > 3 * travellers));
    let clear = sql(&there, "SELECT count(*) AS n FROM passengers_identities WHERE value IS NOT NULL");
    assert!(
        clear.to_string().contains('0')
            && !clear.to_string().contains(|digit: char| ('1'..='9').contains(&digit)),
        "{clear}"
    );
    let person = sql(
        &here,
        "SELECT owner_id, value FROM passengers_identities WHERE kind = 'name' ORDER BY owner_id LIMIT 1",
    );
    let row = person["rows"].get(0).or_else(|| person.get(0)).expect("a row");
    let (owner, surname) = (row["owner_id"].as_str().expect("an id"), row["value"].as_str().expect("a name"));
    let ask = |reason: &str| tidewaiter(&there, &["reidentify", owner, "--reason", reason, "--key", &key]);
    let named = document(&ask("case 17 of 2024, order of the court"));
    assert!(named.to_string().contains(surname), "{named}");
    assert!(!ask("why not").status.success());
    let deleted = document(&on_cluster(&["passengers", "delete", "--older-than", "6m"]));
    assert!(deleted["metrics"]["delete"]["files"].as_u64().is_some_and(|files| files > 5));
}

/// The folder of sample messages, if it is beside the checkout.
fn samples() -> Option<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|above| above.join("shared/data/passengers"))
        .find(|folder| folder.is_dir())
}

#[test]
fn published_samples_are_archived_with_what_is_wrong_with_them() {
    let Some(samples) = samples() else {
        eprintln!("SKIPPED: the sample messages are not beside the checkout (shared/data/passengers)");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    let names = ["paxlst", "pnrgov", "pnrgov-xml"].map(|name| samples.join(name).display().to_string());
    let mut command = binary();
    command.args(["--output", "json", "--archive"]).arg(&archive).args([
        "ingest",
        "passengers",
        "--country",
        "US",
    ]);
    command.args(&names).env("TIDEWAITER_PASSENGERS_KEY", "a key for the samples");
    let outcome = document(&command.output().expect("the binary starts"));
    let count = |name: &str| outcome["rows"][name].as_u64().expect("a count");
    assert_eq!(count("in"), count("archived") + count("quarantined"));
    assert!(count("archived") > 20, "{outcome}");
}
