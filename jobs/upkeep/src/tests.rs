//! Tests of the jobs on small archives, in this process.

use std::{fs, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BinaryArray, Date32Array, Int32Array, ListArray, RecordBatch, StringArray, StructArray,
    },
    datatypes::{DataType, Field, Int32Type, Schema, SchemaRef},
};
use tempfile::TempDir;
use tidewaiter_archive::{Archive, Commit, PartitionWriter, Table, WriterSettings, sql};
use tidewaiter_core::{ErrorKind, Result, plan::Meter, query::Run as _};
use tidewaiter_job::{
    Catalogue, Job, JobParameters, Listener, NoLog, Outcome, Roots, Setting,
    engine::{Engine as _, Local},
};
use tidewaiter_registry::{Card, Facts, Publication, Registry};

use crate::{DOMAIN, optimise, vacuum, verify};

static CATALOGUE: Catalogue = Catalogue::new(&[&DOMAIN]);

/// When the jobs are asked for: in 2100, long after every file was written.
const NOW_MS: i64 = 4_102_444_800_000;

struct Nobody;

impl Listener for Nobody {
    fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
}

/// Rows with every kind of column that a table may have.
fn schema() -> SchemaRef {
    let item = Field::new("item", DataType::Int32, true);
    let inner = vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Utf8, true)];
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("day", DataType::Date32, false),
        Field::new("image", DataType::Binary, true),
        Field::new("codes", DataType::List(Arc::new(item)), true),
        Field::new("box", DataType::Struct(inner.into()), true),
    ]))
}

/// Rows of these days since 1970.
fn rows(days: &[i32]) -> RecordBatch {
    let numbers = || days.iter().copied();
    let Ok(boxes) = StructArray::try_new(
        vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Utf8, true)].into(),
        vec![
            Arc::new(Int32Array::from_iter(numbers().map(|day| (day % 2 == 0).then_some(day)))),
            Arc::new(StringArray::from_iter_values(numbers().map(|day| format!("y{day}")))),
        ],
        None,
    ) else {
        panic!("a structure")
    };
    let codes = numbers().map(|day| (day % 3 != 0).then(|| vec![Some(day), None]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(numbers().map(|day| format!("id{day}")))),
        Arc::new(Date32Array::from(days.to_vec())),
        Arc::new(BinaryArray::from_iter_values(numbers().map(|day| day.to_be_bytes()))),
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(codes)),
        Arc::new(boxes),
    ];
    RecordBatch::try_new(schema(), columns).expect("a batch")
}

async fn write(archive: &Archive, table: &str, job: &str, days: &[i32]) -> Vec<tidewaiter_archive::DataFile> {
    let (order, settings) = (["day"], WriterSettings::default());
    let mut writer =
        PartitionWriter::new(archive, table, &schema(), "KR", &order, job, settings).expect("a writer");
    writer.write(&rows(days)).await.expect("takes");
    writer.finish().await.expect("finishes")
}

async fn add(archive: &Archive, table: &str, job: &str, days: &[i32]) {
    let opened = Table::open_or_create(archive, table, &schema()).await.expect("creates");
    let files = write(archive, table, job, days).await;
    let commit = opened.commit(&files, &[job.to_owned()], "ingest").await.expect("commits");
    assert!(matches!(commit, Commit::Version(_)));
}

/// An archive in a folder: two months of `images` in five files, one of `notes` in one.
async fn filled(folder: &TempDir) -> Archive {
    let archive = Archive::open(&folder.path().display().to_string()).expect("opens");
    for (number, days) in
        [[18262, 18264, 18300], [18263, 18265, 18301], [18290, 18262, 18262]].iter().enumerate()
    {
        add(&archive, "images", &format!("job{number}"), days).await;
    }
    add(&archive, "notes", "job9", &[18262]).await;
    archive
}

async fn run<P: JobParameters>(archive: &Archive, id: &str, parameters: &P) -> (Outcome, Result<()>) {
    let engine = Local::new(2, 64 << 20).expect("an engine");
    let setting = Setting {
        archive,
        engine: &engine,
        extensions: CATALOGUE.extensions(),
        listener: Arc::new(Nobody),
        log: &NoLog,
        id,
        submitted_ms: NOW_MS,
        roots: Roots::Anywhere,
    };
    let mut job = Job::new(P::KIND, setting);
    job.outcome.variant = P::VARIANT.map(|(_, variant)| variant.to_owned());
    let result = parameters.run(&mut job).await;
    (job.finish(&result), result)
}

async fn answer(archive: &Archive, text: &str) -> String {
    let session =
        Local::new(2, 64 << 20).expect("an engine").session("sql", Meter::new(|_| ())).expect("a session");
    let batches = sql::query(&session, archive, text).await.expect("plans").batches().await.expect("runs");
    arrow::util::pretty::pretty_format_batches(&batches).expect("formats").to_string()
}

const ALL: &str =
    "SELECT id, day, encode(image, 'hex') AS image, codes, box, year, month FROM images ORDER BY day, id";

#[tokio::test(flavor = "multi_thread")]
async fn months_of_many_files_become_one_file_with_the_same_rows_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = filled(&folder).await;
    let before = answer(&archive, ALL).await;
    let files = async |table: &str| {
        Table::open(&archive, table).await.expect("opens").snapshot(None).await.expect("reads").files
    };
    let dry = optimise::Parameters { dry_run: true, ..Default::default() };
    let (outcome, result) = run(&archive, "dry", &dry).await;
    result.expect("says");
    assert_eq!(outcome.metrics["optimise"]["tables"][0]["files_before"], 5);
    assert_eq!(files("images").await.len(), 5, "nothing was written");
    assert!(outcome.tables.is_empty());

    let fresh = optimise::Parameters { older_than: "400000d".to_owned(), ..Default::default() };
    run(&archive, "fresh", &fresh).await.1.expect("leaves all");
    assert_eq!(files("images").await.len(), 5, "more may come to months of today");

    let (outcome, result) = run(&archive, "first", &optimise::Parameters::default()).await;
    result.expect("rewrites");
    assert_eq!(outcome.tables, ["images@4"]);
    let after = files("images").await;
    let found: Vec<_> = after.iter().map(|file| (file.month, file.rows)).collect();
    assert_eq!(found, [(1, 7), (2, 2)]);
    assert!(after.iter().all(|file| file.digest.is_some() && file.path.contains("/first-")));
    assert_eq!(answer(&archive, ALL).await, before);
    let days = answer(&archive, "SELECT day FROM images WHERE month = 1").await;
    let days: Vec<&str> = days.lines().collect();
    assert!(days[3..10].is_sorted(), "late rows stand in their places: {days:?}");
    assert_eq!(files("notes").await.len(), 1);

    let (outcome, result) = run(&archive, "second", &optimise::Parameters::default()).await;
    result.expect("has nothing to do");
    assert!(outcome.tables.is_empty());
    // Readers of the earlier snapshot have their files.
    let old = Table::open(&archive, "images").await.expect("opens").snapshot(Some(3)).await.expect("reads");
    assert_eq!((old.files.len(), old.rows()), (5, 9));

    let missing = optimise::Parameters { tables: vec!["nowhere".to_owned()], ..Default::default() };
    assert_eq!(run(&archive, "third", &missing).await.1.expect_err("none").kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn vacuum_deletes_what_was_replaced_or_never_committed_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = filled(&folder).await;
    run(&archive, "optimised", &optimise::Parameters::default()).await.1.expect("rewrites");
    let before = answer(&archive, ALL).await;
    write(&archive, "images", "failed", &[18262]).await;
    write(&archive, "images", "01RUNNING", &[18262]).await;
    archive.put("ledger/01RUNNING/00000000.json", "{}").await.expect("written");
    archive.put("work/01RUNNING/part.parquet", "x").await.expect("written");
    archive.put("work/01ENDED/2/part.parquet", "xy").await.expect("written");
    archive.put("reports/page.html", "x").await.expect("written");
    archive.put("quarantine/job/0.parquet", "x").await.expect("written");
    let month = folder.path().join("images/country=KR/year=2020/month=1");
    fs::write(month.join("failed-0-00001.parquet#1"), "half").expect("written");

    let dry = vacuum::Parameters { dry_run: true, ..Default::default() };
    let (outcome, result) = run(&archive, "dry", &dry).await;
    result.expect("says");
    let reasons = &outcome.metrics["vacuum"]["reasons"];
    // The running job began after the files were replaced, so that it reads the newer ones.
    for (reason, objects) in [("replaced", 5), ("orphan", 1), ("upload", 1), ("work", 1)] {
        assert_eq!(reasons[reason]["objects"], objects, "{reason}: {reasons}");
    }
    let lines = CATALOGUE.summary(&outcome).join("\n");
    let young = vacuum::Parameters { dry_run: true, older_than: "40000d".to_owned() };
    let (outcome, result) = run(&archive, "young", &young).await;
    result.expect("says");
    let said = CATALOGUE.summary(&outcome).join("\n");
    assert!(said.contains("0 objects of 0 bytes would be deleted"), "{said}");
    assert!(said.contains("8 objects of") && said.contains("stay: they are younger than 40000d"), "{said}");
    assert!(lines.contains("8 objects") && lines.contains("work/01ENDED/2/part.parquet"), "{lines}");
    assert!(month.join("failed-0-00001.parquet#1").exists(), "nothing is deleted");

    run(&archive, "real", &vacuum::Parameters::default()).await.1.expect("deletes");
    assert!(!month.join("failed-0-00001.parquet#1").exists());
    assert!(!folder.path().join("work/01ENDED").exists());
    for kept in ["work/01RUNNING/part.parquet", "reports/page.html", "quarantine/job/0.parquet"] {
        assert!(archive.exists(kept).await.expect("answered"), "{kept}");
    }
    assert_eq!(answer(&archive, ALL).await, before);
    let left = archive.list("images/country=KR").await.expect("lists");
    assert_eq!(left.len(), 3, "two months, and the file of the job that runs");
    let (outcome, result) = run(&archive, "again", &vacuum::Parameters::default()).await;
    result.expect("has nothing to do");
    assert_eq!(outcome.metrics["vacuum"]["objects"], 0);
    verify::damages(&archive, &[], Arc::new(Nobody)).await.expect("what is gone is not missed");
    let wrong = vacuum::Parameters { older_than: "soon".to_owned(), ..Default::default() };
    assert_eq!(run(&archive, "wrong", &wrong).await.1.expect_err("no age").kind(), ErrorKind::Input);
}

/// A model with a card, which is the champion.
async fn publish(archive: &Archive) {
    let registry = Registry::new(archive);
    let facts = Facts {
        job: "job".to_owned(),
        config: serde_json::json!({}),
        features: vec!["value".to_owned()],
        snapshot: None,
        code_version: "0".to_owned(),
        metrics: serde_json::json!({ "roc_auc": 0.75 }),
        seed: 1,
        created_ms: 0,
    };
    let card: Card = Arc::new(|version, _| Ok(format!("version {version}")));
    let publication = Publication { model: vec![7; 300].into(), card: Some(card), facts };
    registry.publish("fraud-KR", publication).await.expect("publishes");
    registry.promote("fraud-KR", 1, 0).await.expect("promotes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_of_any_object_of_a_table_is_found_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = filled(&folder).await;
    // Enough commits for a checkpoint.
    for number in 10..17 {
        add(&archive, "images", &format!("job{number}"), &[18262]).await;
    }
    publish(&archive).await;
    let findings = || verify::damages(&archive, &[], Arc::new(Nobody));
    let sound = findings().await.expect("reads");
    assert_eq!((sound.damages.clone(), sound.decoded), (Vec::new(), 0));
    let mut objects: Vec<String> = Vec::new();
    for table in ["images", "notes", "models"] {
        let listed = archive.list(table).await.expect("lists");
        objects.extend(listed.iter().filter_map(|object| archive.relative(&object.location)));
    }
    assert!(objects.iter().any(|path| path.ends_with(".checkpoint.parquet")), "{objects:?}");
    assert!(objects.iter().any(|path| path.ends_with("_last_checkpoint")), "{objects:?}");
    for file in ["model.bin", "model.json", "card.html", "champion/0000000001"] {
        assert!(objects.iter().any(|path| path.ends_with(file)), "{file}: {objects:?}");
    }
    for (number, path) in objects.iter().enumerate() {
        let file = folder.path().join(path);
        let bytes = fs::read(&file).expect("is there");
        // Another place in each object: its beginning, its end, or between; and some are cut.
        let bits = bytes.len() * 8;
        let bit = [number * 7919 % bits, 0, bits - 1][number % 3];
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let cut = bytes[..bytes.len() - 1].to_vec();
        for damaged in [Some(damaged), (number % 5 == 0).then_some(cut)].into_iter().flatten() {
            fs::write(&file, damaged).expect("written");
            let found = findings().await.unwrap_or_else(|error| panic!("{path}: {}", error.chain()));
            let is_named = found.damages.iter().any(|damage| damage.path == *path);
            assert!(is_named, "{path} bit {bit}: {:?}", found.damages);
        }
        fs::write(&file, bytes).expect("written");
    }
    assert_eq!(findings().await.expect("reads"), sound);

    let gone = objects.iter().find(|path| path.contains("country=KR")).expect("a data file");
    fs::remove_file(folder.path().join(gone)).expect("deleted");
    let (outcome, result) = run(&archive, "verify", &verify::Parameters::default()).await;
    let error = result.expect_err("it is missing");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.chain().contains(gone) && error.chain().contains("missing"), "{}", error.chain());
    assert_eq!(outcome.metrics["verify"]["damages"][0]["path"], gone.as_str());
}
