//! The upkeep of an archive: one of an earlier version is read and added to, and a scheduler's is kept small and whole.

#![allow(clippy::disallowed_methods, reason = "a test polls with a deadline")]

use std::{
    collections::BTreeSet,
    fs,
    io::BufRead as _,
    path::{Path, PathBuf},
    process::Output,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    binary, document,
    processes::{Process, pause, started},
    tidewaiter,
};

/// How long anything may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// An archive of three months of declarations of TW, a model and its predictions, as `golden.toml` beside it says.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/archive");

const MAPPING: &str = r#"
country = "TW"

[columns]
declaration_id = { from = "id" }
item_number = { constant = "1" }
acceptance_date = { from = "date" }
hs_code = { from = "hs" }
"#;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("is read") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// The archive of an earlier version in a new folder.
fn golden() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    copy(Path::new(GOLDEN), &archive);
    (folder, archive)
}

/// Writes an export of one row on a day of March 2020, and its mapping.
fn export(folder: &Path, id: &str, day: u32) -> [String; 2] {
    let (mapping, file) = (folder.join("mapping.toml"), folder.join(format!("{id}.csv")));
    fs::write(&mapping, MAPPING).expect("written");
    fs::write(&file, format!("id,date,hs\n{id},2020-03-{day:02},0901110000\n")).expect("written");
    [mapping, file].map(|path| path.display().to_string())
}

/// The text of a command that must succeed.
fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn an_archive_of_an_earlier_version_is_read_added_to_and_applied_without_a_hand() {
    let (folder, archive) = golden();
    let count = |query: &str| {
        let answer = document(&tidewaiter(&archive, &["archive", "sql", query]));
        answer[0]["n"].as_u64().expect("a count")
    };
    let predictions = count("SELECT count(*) AS n FROM predictions_fraud");
    let declarations = count("SELECT count(*) AS n FROM declarations");
    assert_eq!((predictions, declarations), (98, 272));
    let verified = document(&tidewaiter(&archive, &["archive", "verify"]));
    assert_eq!(verified["metrics"]["verify"]["decoded"], 4, "no file has a digest");
    let one = "SELECT declaration_id AS d FROM declarations ORDER BY declaration_id LIMIT 1";
    let one = document(&tidewaiter(&archive, &["archive", "sql", one]))[0]["d"].clone();
    let mut trace = binary();
    trace.arg("--archive").arg(&archive).args(["archive", "trace", one.as_str().expect("a number")]);
    let traced = text(&trace.output().expect("the binary starts"));
    assert!(traced.contains("archived by a version that kept no sources"), "{traced}");

    let applied =
        document(&tidewaiter(&archive, &["apply", "fraud", "--country", "TW", "--months", "2020-03"]));
    assert_eq!(applied["model"], "fraud-TW@1");
    assert_eq!(count("SELECT count(*) AS n FROM predictions_fraud"), 2 * predictions);
    let latest = format!(
        "SELECT count(*) AS n FROM predictions_fraud_latest WHERE job = '{}'",
        applied["job"].as_str().expect("an id")
    );
    assert_eq!(count(&latest), predictions);
    assert_eq!(count("SELECT count(*) AS n FROM predictions_fraud_latest"), predictions);

    let [mapping, file] = export(folder.path(), "new", 31);
    document(&tidewaiter(&archive, &["ingest", "declarations", "--mapping", &mapping, &file]));
    assert_eq!(count("SELECT count(*) AS n FROM declarations"), declarations + 1);
    assert_eq!(count("SELECT count(*) AS n FROM declarations WHERE declaration_id = 'new'"), 1);
    let verified = document(&tidewaiter(&archive, &["archive", "verify"]));
    assert_eq!(verified["metrics"]["verify"]["decoded"], 4, "new files have digests");

    // Damage is named, with an exit status.
    let damaged = archive.join("predictions/fraud/_delta_log/00000000000000000002.json");
    let bytes = fs::read_to_string(&damaged).expect("is there");
    fs::write(&damaged, bytes.replace("\"dataChange\":true", "\"dataChange\":frue")).expect("written");
    let refused = tidewaiter(&archive, &["archive", "verify"]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{error}");
    assert!(error.contains("00000000000000000002.json"), "{error}");
}

#[test]
fn a_query_is_written_as_csv_and_nothing_else_is() {
    let (_folder, archive) = golden();
    let run = |words: &[&str]| {
        let mut command = binary();
        command.arg("--archive").arg(&archive).args(words).output().expect("the binary starts")
    };
    let query = "SELECT item_number AS number, 'a, \"b\"' AS text, CAST(NULL AS INT) AS none FROM declarations \
                 ORDER BY declaration_id, item_number LIMIT 1";
    let csv = text(&run(&["archive", "sql", query, "--output", "csv"]));
    assert_eq!(csv, "number,text,none\n1,\"a, \"\"b\"\"\",\n");
    for words in [&["archive", "tables", "--output", "csv"][..], &["quality", "--output", "csv"]] {
        let refused = run(words);
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{error}");
        assert!(error.contains("archive sql"), "{error}");
    }
    let refused = run(&["archive", "sql", "DROP TABLE declarations"]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0), "{error}");
    assert!(error.contains("DropTable is refused: a query is one SELECT"), "{error}");
}

#[test]
fn a_scheduler_optimises_vacuums_and_verifies_its_archive() {
    let (folder, archive) = golden();
    let mut command = binary();
    command.args(["scheduler", "--bind", "127.0.0.1:0", "--archive"]).arg(&archive);
    let (_scheduler, _stderr, line) = started(command.arg("--exports").arg(folder.path()));
    let url = line.rsplit(' ').next().expect("a word").to_owned();
    let mut command = binary();
    command.args(["executor", "--scheduler", &url, "--port", "0", "--slots", "2", "--work-folder"]);
    let _executor = Process(command.arg(folder.path().join("executor")).spawn().expect("starts"));
    let there = |words: &[&str]| {
        let mut command = binary();
        command
            .args(["--output", "json", "--scheduler", &url])
            .args(words)
            .output()
            .expect("the binary starts")
    };
    for (id, day) in [("late", 1), ("later", 2)] {
        let [mapping, file] = export(folder.path(), id, day);
        document(&there(&["ingest", "declarations", "--mapping", &mapping, &file]));
    }
    let query = "SELECT * FROM declarations ORDER BY declaration_id, item_number";
    let before = document(&there(&["archive", "sql", query]));

    let planned = document(&there(&["archive", "optimise", "declarations", "--dry-run"]));
    assert_eq!(planned["metrics"]["optimise"]["tables"][0]["files_before"], 3);
    let optimised = document(&there(&["archive", "optimise", "declarations"]));
    let table = &optimised["metrics"]["optimise"]["tables"][0];
    assert_eq!((&table["files_after"], &table["months"]), (&1.into(), &1.into()));
    assert_eq!(document(&there(&["archive", "sql", query])), before);

    let objects = |words: &[&str]| document(&there(words))["metrics"]["vacuum"]["objects"].clone();
    assert_eq!(objects(&["archive", "vacuum"]), 0, "what is replaced stays for a week");
    let now = ["archive", "vacuum", "--older-than", "0"];
    // Not the one of the snapshot on which the champion was trained.
    assert_eq!(objects(&[&now[..], &["--dry-run"]].concat()), 2);
    assert_eq!(objects(&now), 2);
    assert_eq!(objects(&now), 0);
    assert_eq!(document(&there(&["archive", "sql", query])), before);
    document(&there(&["archive", "verify"]));

    let csv = |place: &[&str]| {
        let mut command = binary();
        let query =
            "SELECT declaration_id, illicit FROM declarations ORDER BY declaration_id, item_number LIMIT 9";
        text(
            &command.args(place).args(["archive", "sql", query, "--output", "csv"]).output().expect("starts"),
        )
    };
    let place = archive.display().to_string();
    assert_eq!(csv(&["--scheduler", &url]), csv(&["--archive", &place]));
}

/// The jobs in the ledger of an archive's schedulers.
fn ledger(archive: &Path) -> BTreeSet<String> {
    let names = ["ledger", "ledger-ended"].into_iter().flat_map(|folder| {
        let entries = fs::read_dir(archive.join(folder)).into_iter().flatten();
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().replace(".json", ""))
    });
    // What was half written when its process was killed is none.
    names.filter(|name| !name.contains('#')).collect()
}

#[test]
fn a_scheduler_vacuums_at_intervals_one_at_a_time_and_a_restart_neither_doubles_nor_forgets_one() {
    let (_folder, archive) = golden();
    let orphan = archive.join("declarations/country=TW/year=2020/month=1/failed-0-0-00000.parquet");
    fs::write(&orphan, "half of a file").expect("written");
    let scheduler = |every: &str| {
        let mut command = binary();
        command.env("TIDEWAITER_LOG", "tidewaiter_scheduler::routine=debug");
        command.args(["scheduler", "--bind", "127.0.0.1:0", "--vacuum-every", every]);
        command.args(["--vacuum-older-than", "1s", "--archive"]).arg(&archive);
        started(&mut command)
    };
    let jobs = |line: &str, words: &[&str]| {
        let url = line.rsplit(' ').next().expect("a word");
        let mut command = binary();
        command.args(["--output", "json", "--scheduler", url, "jobs"]).args(words);
        document(&command.output().expect("the binary starts"))
    };
    let (first, _stderr, line) = scheduler("1s");
    let begin = Instant::now();
    let listed = loop {
        let listed = jobs(&line, &["list"]).as_array().cloned().expect("a list");
        if !orphan.exists() && listed.len() >= 3 {
            break listed;
        }
        assert!(begin.elapsed() < DEADLINE, "{} is there, and the jobs are {listed:?}", orphan.display());
        pause(Duration::from_millis(50));
    };
    let time = |job: &Value, name: &str| job[name].as_i64().unwrap_or(i64::MAX);
    // The newest is the first.
    for pair in listed.windows(2) {
        let (before, next) = (&pair[1], time(&pair[0], "submitted_ms"));
        assert_eq!((&before["kind"], &before["status"]), (&"archive".into(), &"succeeded".into()));
        assert!(next >= time(before, "submitted_ms") + 1000, "{listed:?}");
        assert!(next >= time(before, "ended_ms"), "one began before another had ended: {listed:?}");
    }
    let last = listed.last().and_then(|job| job["job"].as_str()).expect("an id");
    let shown = jobs(&line, &["show", last]);
    assert_eq!(
        (&shown["specification"]["action"], &shown["specification"]["older_than"]),
        (&"vacuum".into(), &"1s".into())
    );

    drop(first);
    let before = ledger(&archive);
    let (_second, mut stderr, line) = scheduler("1d");
    let mut logged = String::new();
    while !logged.contains("of a routine") {
        logged.clear();
        assert!(stderr.read_line(&mut logged).expect("it is read") > 0, "it logs what it decides");
    }
    assert!(logged.contains("is not due"), "{logged}");
    let listed = jobs(&line, &["list", "--limit", "0"]);
    let after =
        listed.as_array().expect("a list").iter().filter_map(|job| job["job"].as_str().map(str::to_owned));
    assert_eq!(after.collect::<BTreeSet<_>>(), before);
}
