//! Tests of the scans.

use std::process::Command;
use tidewaiter_core::query::{Plan as _, Run as _};

use arrow::{
    compute::concat_batches,
    datatypes::{Field, Int32Type},
    util::pretty::pretty_format_batches,
};
use datafusion::{
    physical_plan::collect,
    prelude::{SessionConfig, SessionContext},
};
use datafusion_proto::bytes::{physical_plan_from_bytes, physical_plan_to_bytes};
use proptest::prelude::*;

use super::*;
use crate::{
    schema::with_partitions,
    table::Commit,
    testing::{in_folder, memory, rows, rows_on, schema, write},
};

/// A table of two commits: 300 rows over ten months, and three more.
async fn filled(archive: &Archive) -> Table {
    let table = Table::open_or_create(archive, "declarations", &schema()).await.expect("creates");
    for (job, rows) in [("first", rows(0, 300)), ("second", rows_on(&[18262, 18293, 18262]))] {
        let files = write(archive, "declarations", job, &rows).await;
        let commit = table.commit(&files, &[job.to_owned()], "ingest").await.expect("commits");
        assert!(matches!(commit, Commit::Version(_)));
    }
    table
}

/// Makes an archive's object store known to a session.
fn register_archive(session: &SessionContext, archive: &Archive) {
    session.register_object_store(&archive.store_url(), Arc::clone(archive.store()));
}

async fn session(archive: &Archive, version: Option<u64>) -> SessionContext {
    let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
    register_archive(&session, archive);
    let provider = snapshot_provider(archive, "declarations", version).await.expect("provides");
    session.register_table("declarations", provider).expect("registers");
    session
}

async fn answer(session: &SessionContext, sql: &str) -> String {
    let batches = session.query(sql).await.expect("plans").batches().await.expect("runs");
    pretty_format_batches(&batches).expect("formats").to_string()
}

async fn check_sql(archive: Archive) {
    filled(&archive).await;
    let now = session(&archive, None).await;
    let then = session(&archive, Some(1)).await;
    let count = "SELECT count(*) AS n FROM declarations";
    assert!(answer(&now, count).await.contains("| 303 |"));
    assert!(answer(&then, count).await.contains("| 300 |"));
    let columns = "SELECT declaration_id, item_number, acceptance_date, customs_value FROM declarations \
                   ORDER BY declaration_id, item_number";
    let found = then.query(columns).await.expect("plans").batches().await.expect("runs");
    assert_eq!(concat_batches(&schema(), &found).expect("joins"), rows(0, 300));
    let wrong = "SELECT count(*) AS n FROM declarations WHERE country <> 'KR' \
                 OR year <> date_part('year', acceptance_date) \
                 OR month <> date_part('month', acceptance_date)";
    assert!(answer(&now, wrong).await.contains("| 0 |"));
    let january = "SELECT count(*) AS n, min(acceptance_date) AS d FROM declarations \
                   WHERE year = 2020 AND month = 2 AND customs_value >= 0";
    assert!(answer(&now, january).await.contains("2020-02-01"));
    assert!(answer(&now, "SELECT year FROM declarations LIMIT 2").await.contains("2020"));
    assert!(answer(&now, "SELECT count(*) AS n FROM declarations WHERE year = 1999").await.contains("| 0 |"));
}

#[tokio::test]
async fn sql_reads_what_was_written_in_memory() {
    check_sql(memory("provider-sql")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_reads_what_was_written_in_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    check_sql(in_folder(&folder)).await;
}

#[tokio::test]
async fn the_plan_holds_only_the_files_of_the_filtered_months_and_survives_serialisation() {
    let archive = memory("provider-plan");
    filled(&archive).await;
    let session = session(&archive, None).await;
    let sql = "SELECT declaration_id, month FROM declarations WHERE month = 2 ORDER BY declaration_id";
    let plan = session.query(sql).await.expect("plans").physical_plan().await.expect("plans");
    let text = datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string();
    assert!(text.contains("month=2/first") && text.contains("month=2/second"), "{text}");
    assert!(!text.contains("month=1/") && !text.contains("month=3/"), "{text}");
    assert!(!text.contains("FilterExec"), "the files decide, and no row is compared: {text}");
    let bytes = physical_plan_to_bytes(Arc::clone(&plan)).expect("encodes");
    let back = physical_plan_from_bytes(&bytes, &session.task_ctx()).expect("decodes");
    let sent = collect(plan, session.task_ctx()).await.expect("runs");
    let received = collect(back, session.task_ctx()).await.expect("runs");
    assert!(!sent.is_empty());
    assert_eq!(sent, received);
}

#[tokio::test]
async fn a_country_s_months_come_one_after_the_other_in_one_partition() {
    let archive = memory("provider-by-month");
    filled(&archive).await;
    let session = session(&archive, None).await;
    let mut options = session.state().config_options().as_ref().clone();
    options.optimizer.repartition_file_min_size = 1;
    let september = 12 * 2020 + 8;
    for (country, to_month, expected) in [("KR", september, 9), ("KR", september + 12, 10), ("TW", 0, 0)] {
        let table = snapshot_by_month(&archive, "declarations", None, country, to_month).await;
        let table = table.expect("provides");
        let month = vec![table.schema().index_of("month").expect("a column")];
        let scan = table.scan(&session.state(), Some(&month), &[], None).await.expect("plans");
        assert_eq!(scan.properties().partitioning.partition_count(), 1);
        assert!(scan.repartitioned(3, &options).expect("plans").is_none());
        let mut months: Vec<i32> = Vec::new();
        for batch in collect(scan, session.task_ctx()).await.expect("runs") {
            months.extend(batch.column(0).as_primitive::<Int32Type>().values());
        }
        assert!(months.is_sorted());
        months.dedup();
        assert_eq!(months.len(), expected);
    }
}

#[tokio::test]
async fn a_narrowed_reference_and_a_file_list_survive_the_codec() {
    let archive = memory("provider-codec");
    let table = filled(&archive).await;
    let snapshot = table.snapshot(None).await.expect("reads");
    let session = session(&archive, None).await;
    let february = 12 * 2020 + 1;
    let narrowed = v1::SnapshotSource {
        table: "declarations".to_owned(),
        version: snapshot.version,
        countries: vec!["KR".to_owned()],
        from_month: february,
        to_month: february,
        by_month: false,
    };
    let files: Vec<_> = snapshot.files.iter().filter(|file| file.month_number() == february).collect();
    let list = v1::FileListSource {
        files: files
            .iter()
            .map(|file| v1::ParquetFile { path: format!("declarations/{}", file.path), size: file.size })
            .collect(),
        partition_per_file: true,
    };
    let expected: u64 = files.iter().map(|file| file.rows).sum();
    for (name, source, columns) in [
        ("narrowed", Source::Snapshot(narrowed), Arc::clone(&snapshot.schema)),
        ("listed", Source::Files(list), schema()),
    ] {
        let message = v1::ParquetSource { archive: archive.url().to_string(), source: Some(source) };
        let provider = ParquetSourceProvider::try_new(message, Arc::clone(&columns)).expect("fits");
        let bytes = try_encode_provider(&provider).expect("is ours");
        let provider = decode_provider(&bytes, columns).expect("decodes");
        let scan = provider.scan(&session.state(), None, &[], None).await.expect("plans");
        if name == "listed" {
            assert_eq!(scan.properties().partitioning.partition_count(), files.len());
            let mut options = session.state().config_options().as_ref().clone();
            options.optimizer.repartition_file_min_size = 1;
            // More than there are files: none is read from two places at once.
            assert!(scan.repartitioned(files.len() + 4, &options).expect("plans").is_none());
        }
        session.register_table(name, provider).expect("registers");
        let count = answer(&session, &format!("SELECT count(acceptance_date) AS n FROM {name}")).await;
        assert!(count.contains(&format!("| {expected} ")), "{count}");
    }
    assert_eq!(
        decode_provider(b"\xff", schema()).expect_err("cut").kind(),
        tidewaiter_core::ErrorKind::Corrupt
    );
}

/// A Python of other programs that read Delta tables; `TIDEWAITER_PEERS_PYTHON` names it.
fn python() -> String {
    std::env::var("TIDEWAITER_PEERS_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

#[tokio::test]
async fn other_programs_read_the_table_by_its_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = in_folder(&folder);
    let table = filled(&archive).await;
    // A file that is there and no longer part of the table: who reads the folder instead of the log counts its rows, too.
    let removed = table.snapshot(None).await.expect("reads").files.remove(0);
    table.rewrite(std::slice::from_ref(&removed), &[], &[], "forget", true).await.expect("removes");
    let expected = (303 - removed.rows).to_string();
    let table = folder.path().join("declarations");
    let table = table.display();
    let dataset = format!("rows = deltalake.DeltaTable('{table}').to_pyarrow_dataset()");
    let programs = [
        (&["deltalake", "pyarrow"][..], format!("{dataset}; print(rows.to_table().num_rows)")),
        (
            &["deltalake", "pyarrow", "duckdb"],
            format!(
                "{dataset}; print(duckdb.sql(\"SELECT count(*) FROM rows WHERE country = 'KR'\").fetchall()[0][0])"
            ),
        ),
        (
            &["polars", "deltalake"],
            format!("print(polars.scan_delta('{table}').filter(polars.col('year')>0).collect().height)"),
        ),
    ];
    for (modules, code) in programs {
        let (python, import) = (python(), format!("import {}", modules.join(", ")));
        let there = Command::new(&python).args(["-c", &import]).output();
        if !there.is_ok_and(|output| output.status.success()) {
            let is_required = std::env::var("TIDEWAITER_PEERS").is_ok_and(|peers| peers == "required");
            assert!(!is_required || modules.contains(&"polars"), "{python} cannot {import}");
            eprintln!("SKIPPED other_programs_read_the_table_by_its_log: {python} cannot {import}");
            continue;
        }
        let output = Command::new(&python).args(["-c", &format!("{import}; {code}")]).output().expect("runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(out.trim(), expected, "{modules:?}: {err}");
    }
}

proptest! {
    #[test]
    fn a_reference_that_is_not_one_never_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        with_schema: bool,
    ) {
        let source = v1::SnapshotSource {
            table: "declarations".to_owned(),
            version: 3,
            countries: vec!["KR".to_owned()],
            from_month: 24_240,
            to_month: 24_251,
            by_month: true,
        };
        let message = v1::ParquetSource {
            archive: "memory://reference/archive".to_owned(),
            source: Some(Source::Snapshot(source)),
        };
        let mut damaged = message.encode_to_vec();
        for (place, value) in damage {
            let place = place.index(damaged.len());
            damaged[place] = value;
        }
        let schema = if with_schema { with_partitions(&schema()) } else { Arc::new(Schema::empty()) };
        let _ = decode_provider(&bytes, Arc::clone(&schema));
        let _ = decode_provider(&damaged, schema);
    }
}

#[tokio::test]
async fn the_plan_of_a_scan_of_many_files_fits_a_message() {
    let archive = memory("provider-many-files");
    let columns = |column: i32| Field::new(format!("column_{column:02}"), DataType::Float64, true);
    let schema = Schema::new((0..40).map(columns).collect::<Vec<_>>());
    let table = Table::open_or_create(&archive, "many", &schema).await.expect("creates");
    let mut sizes = Vec::new();
    for (from, to) in [(0, 900), (900, 2000)] {
        let mut files = Vec::new();
        for number in from..to {
            let path =
                format!("country=KR/year=2020/month=5/01J0ABCDEFGHJKMNPQRSTVWXYZ-{number:06}-0.parquet");
            archive.put(&format!("many/{path}"), "four").await.expect("written");
            let (country, year, month) = ("KR".to_owned(), 2020, 5);
            files.push(DataFile {
                path,
                size: 4,
                rows: 1,
                country,
                year,
                month,
                statistics: None,
                digest: None,
            });
        }
        table.commit(&files, &[format!("to {to}")], "ingest").await.expect("commits");
        let session = SessionContext::new();
        let provider = snapshot_provider(&archive, "many", None).await.expect("provides");
        let plan = provider.scan(&session.state(), None, &[], None).await.expect("plans");
        sizes.push(physical_plan_to_bytes(plan).expect("encodes").len() / to);
    }
    let most = tidewaiter_proto::LARGEST_MESSAGE / sizes[1];
    assert!(sizes[1] * 4 < sizes[0] && most > 200_000, "{sizes:?} bytes a file: room for {most}");
}
