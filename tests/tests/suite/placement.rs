//! Placement on a real cluster: a scheduler and two executors in this process, talking over loopback.

#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test stops where it cannot go on, and says what it skips"
)]

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use tidewaiter_core::query::{Plan as _, Run as _};

use arrow::{
    array::{Int64Array, RecordBatch},
    datatypes::{DataType, Field, Schema},
    util::pretty::pretty_format_batches,
};
use datafusion::{physical_plan::ExecutionPlan, prelude::SessionContext};
use tidewaiter_archive::{Archive, provider::ParquetSourceProvider};
use tidewaiter_catalogue::CATALOGUE;
use tidewaiter_executor::session;
use tidewaiter_job::Roots;
use tidewaiter_proto::v1;
use tidewaiter_scheduler::{
    driver::{Retries, Sources},
    placement::Device,
    server,
};

const QUERY: &str = "SELECT k % 7 AS k, count(*) AS n, sum(v) AS s FROM t GROUP BY k % 7 ORDER BY k";

fn everything_needs_a_gpu(_: &Arc<dyn ExecutionPlan>) -> Device {
    Device::Gpu
}

fn schema() -> Arc<Schema> {
    let fields = ["k", "v"].map(|name| Field::new(name, DataType::Int64, false));
    Arc::new(Schema::new(fields.to_vec()))
}

/// Writes four Parquet files, so that the scan has several partitions.
fn write_table(folder: &std::path::Path) {
    let schema = schema();
    for part in 0..4i64 {
        let keys = Int64Array::from_iter_values((0..1000).map(|n| n * 31 + part));
        let values = Int64Array::from_iter_values((0..1000).map(|n| n * n % 101));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(keys), Arc::new(values)]);
        let file = std::fs::File::create(folder.join(format!("{part}.parquet"))).expect("creates");
        let mut writer =
            parquet::arrow::ArrowWriter::try_new(file, Arc::clone(&schema), None).expect("opens");
        writer.write(&batch.expect("a batch")).expect("writes");
        writer.close().expect("closes");
    }
}

async fn answer(context: &SessionContext, archive: &Archive) -> String {
    let objects = archive.list("t").await.expect("lists");
    let files = objects.iter().map(|object| {
        let path = archive.relative(&object.location).expect("a file of the archive");
        v1::ParquetFile { path, size: object.size }
    });
    let list = v1::FileListSource { files: files.collect(), partition_per_file: true };
    let source = Some(v1::parquet_source::Source::Files(list));
    let message = v1::ParquetSource { archive: archive.url().to_string(), source };
    let table = ParquetSourceProvider::try_new(message, schema()).expect("a table");
    context.register_table("t", Arc::new(table)).expect("registers");
    let batches = context.query(QUERY).await.expect("plans").batches().await.expect("runs");
    pretty_format_batches(&batches).expect("formats").to_string()
}

fn start_executor(device: &str, work: &std::path::Path, scheduler: SocketAddr) {
    let options = tidewaiter_executor::Options {
        catalogue: CATALOGUE,
        name: Some("test".into()),
        process: device.into(),
        device: device.into(),
        gpus: 0,
        slots: 2,
        host: "127.0.0.1".into(),
        port: 0,
        scheduler_host: "127.0.0.1".into(),
        scheduler_port: scheduler.port(),
        work_folder: Some(work.join(device)),
        memory: Some(256 << 20),
        about: tidewaiter_executor::About::default(),
    };
    tokio::spawn(tidewaiter_executor::Executor::bind(options).expect("listens").run());
}

/// Which executors wrote shuffle or result files.
fn executors_that_worked(work: &std::path::Path) -> BTreeSet<String> {
    let mut worked = BTreeSet::new();
    let mut folders: HashMap<&str, Vec<std::path::PathBuf>> =
        ["cpu", "gpu"].map(|device| (device, vec![work.join(device)])).into();
    for (device, pending) in &mut folders {
        while let Some(folder) = pending.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    pending.push(entry.path());
                } else {
                    worked.insert((*device).to_owned());
                }
            }
        }
    }
    worked
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_that_need_a_gpu_run_only_where_one_is_and_the_rows_are_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let (table, work) = (folder.path().join("t"), folder.path().join("work"));
    std::fs::create_dir_all(&table).expect("creates");
    write_table(&table);

    let listener = server::bind("127.0.0.1:0".parse().expect("an address")).await.expect("binds");
    let scheduler = listener.local_addr().expect("has an address");
    let archive = Archive::open(&folder.path().display().to_string()).expect("opens");
    let url = server::url(&listener, None).expect("a URL");
    let options = server::Options {
        archive: archive.clone(),
        url: url.clone(),
        needs: everything_needs_a_gpu,
        sources: Sources { now_ms: || 0, new_id: || "job".to_owned() },
        catalogue: CATALOGUE,
        retries: Retries::NONE,
        gpu_wait: Duration::MAX,
        exports: Roots::below(&[]).expect("no folder"),
        patience: server::Patience::default(),
        jobs_at_once: 10,
        metrics: None,
        pools: None,
        routine: None,
        lease: None,
    };
    tokio::spawn(server::serve(listener, options, Box::pin(std::future::pending())));
    start_executor("cpu", &work, scheduler);
    start_executor("gpu", &work, scheduler);

    let remote = session::remote(&url, "test", CATALOGUE, None).expect("a session");
    assert_eq!(answer(&remote, &archive).await, answer(&SessionContext::new(), &archive).await);
    assert_eq!(executors_that_worked(&work), BTreeSet::from(["gpu".to_owned()]));
}
