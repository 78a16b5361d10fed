//! What an archive in a bucket promises, against a real S3-compatible server: conditional writes, uploads in parts, long
//! listings, and commits that are neither lost nor doubled when the server is slow, silent or refuses.
//!
//! The server is moto, which a Python gives (`pip install --requirement .ci/peers.txt`); `TIDEWAITER_PEERS_PYTHON` names
//! the Python, and without moto the tests say `SKIPPED`, unless `TIDEWAITER_PEERS` is `required`. What is absent: the
//! checks of signatures, which moto does not make.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test stops where it cannot go on, and says what it skips"
)]

mod proxy;

use std::{
    env,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use arrow::{
    array::{Date32Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use futures::future::join_all;
use object_store::{
    BackoffConfig, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};
use tidewaiter_archive::{
    Archive, Commit, DataFile, PartitionWriter, Table, WriterSettings, bucket_uploads::BucketUploads,
    table::list_tables, upload::upload,
};
use tidewaiter_core::ErrorKind;
use tokio::io::AsyncWriteExt as _;

use self::proxy::{Fault, Proxy};

/// Commits of each of two writers, enough for a checkpoint; `TIDEWAITER_STORE_COMMITS=50` makes it a long test.
const COMMITS: usize = 5;

/// The server's process; it ends when its stdin is closed.
struct Server {
    process: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The server that the tests which run at the moment share.
static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// The server; `None` where this machine has none.
fn server() -> Option<Arc<Server>> {
    let mut shared = SERVER.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let python = env::var("TIDEWAITER_PEERS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/store/server.py");
    let mut command = Command::new(&python);
    command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut process) = command.spawn() else { return absent(&python) };
    let mut line = String::new();
    BufReader::new(process.stdout.take()?).read_line(&mut line).expect("it says its port, or ends");
    let Ok(port) = line.trim().parse() else {
        let _ = process.wait();
        return absent(&python);
    };
    let server = Arc::new(Server { process, port });
    *shared = Arc::downgrade(&server);
    Some(server)
}

/// Says that this Python is no server, which may be required.
fn absent(python: &str) -> Option<Arc<Server>> {
    let peers = env::var("TIDEWAITER_PEERS").unwrap_or_default();
    assert_ne!(peers, "required", "{python} lacks a module of .ci/peers.txt");
    eprintln!("SKIPPED a test of an archive in a bucket: {python} lacks a module of .ci/peers.txt");
    None
}

/// A client of the bucket at a port.
fn client(port: u16) -> AmazonS3 {
    builder(port).build().expect("a client")
}

fn builder(port: u16) -> AmazonS3Builder {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(5),
        max_backoff: Duration::from_millis(50),
        base: 2.0,
    };
    AmazonS3Builder::new()
        .with_endpoint(format!("http://127.0.0.1:{port}"))
        .with_allow_http(true)
        .with_bucket_name("archive")
        .with_region("us-east-1")
        .with_access_key_id("test")
        .with_secret_access_key("test")
        .with_retry(RetryConfig { backoff, max_retries: 4, retry_timeout: Duration::from_secs(20) })
}

/// The archive of a prefix of the bucket.
fn archive(port: u16, prefix: &str) -> Archive {
    Archive::of_store(&format!("s3://archive/{prefix}"), Arc::new(client(port))).expect("opens")
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("declaration_id", DataType::Utf8, false),
        Field::new("acceptance_date", DataType::Date32, false),
    ]))
}

/// Writes a file of so many rows, without committing it.
async fn write(archive: &Archive, job: &str, rows: usize) -> Vec<DataFile> {
    let ids = StringArray::from_iter_values((0..rows).map(|row| format!("{job}-{row}")));
    let days = Date32Array::from(vec![18262; rows]);
    let batch = RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(days)]).expect("a batch");
    let (order, settings) = (["acceptance_date"], WriterSettings::default());
    let writer = PartitionWriter::new(archive, "declarations", &schema(), "KR", &order, job, settings);
    let mut writer = writer.expect("a writer");
    writer.write(&batch).await.expect("takes");
    writer.finish().await.expect("finishes")
}

/// What the server has of uploads that are neither finished nor given up.
async fn unfinished(port: u16) -> usize {
    let answer = proxy::get(port, "/archive?uploads").await;
    answer.matches("<UploadId>").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_writers_makes_an_object_and_the_others_are_told() {
    let Some(server) = server() else { return };
    let archive = archive(server.port, "conditional");
    assert!(archive.put_new("a/b", "1").await.expect("written"));
    assert!(!archive.put_new("a/b", "2").await.expect("answered"));
    assert_eq!(archive.get("a/b").await.expect("read"), "1");
    let writers = (0..8).map(|writer| {
        let archive = archive.clone();
        async move { archive.put_new("contended", format!("{writer}")).await.expect("answered") }
    });
    let made = join_all(writers).await;
    assert_eq!(made.iter().filter(|made| **made).count(), 1, "{made:?}");
    archive.delete("a/b").await.expect("deleted");
    assert_eq!(archive.get("a/b").await.expect_err("gone").kind(), ErrorKind::NotFound);
    assert_eq!(archive.get("nowhere").await.expect_err("never there").kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_parts_is_whole_or_leaves_nothing() {
    let Some(server) = server() else { return };
    let archive = archive(server.port, "parts");
    let piece = vec![7_u8; 3 << 20];
    let mut whole = upload(&archive, "whole");
    for _ in 0..4 {
        whole.write_all(&piece).await.expect("written");
    }
    assert!(!archive.exists("whole").await.expect("answered"), "it is not complete");
    whole.shutdown().await.expect("completed");
    assert_eq!(archive.size("whole").await.expect("there"), 12 << 20);
    let mut given_up = upload(&archive, "given-up");
    for _ in 0..4 {
        given_up.write_all(&piece).await.expect("written");
    }
    given_up.abort().await.expect("given up");
    assert!(!archive.exists("given-up").await.expect("answered"));
    assert_eq!(unfinished(server.port).await, 0);

    // A process that is lost leaves uploads, which are listed and ended.
    for name in ["lost", "lost-2"] {
        let mut lost = upload(&archive, name);
        for _ in 0..4 {
            lost.write_all(&piece).await.expect("written");
        }
    }
    let bucket = BucketUploads::new(builder(server.port)).expect("a bucket");
    let uploads = bucket.list(&Path::from("parts")).await.expect("lists");
    assert_eq!(uploads.len(), 2, "{uploads:?}");
    // The server says of every upload that it began in 2010.
    assert!(uploads.iter().all(|upload| upload.begun_ms > 1_000_000_000_000), "{uploads:?}");
    assert!(bucket.list(&Path::from("elsewhere")).await.expect("lists").is_empty());
    for upload in &uploads {
        bucket.abort(&upload.path, &upload.id).await.expect("ended");
    }
    assert_eq!(unfinished(server.port).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_more_than_a_thousand_objects_is_listed_whole_and_in_order() {
    let Some(server) = server() else { return };
    let archive = archive(server.port, "many");
    let listed = archive.list("objects").await.expect("lists");
    assert_eq!(listed.len(), 1105);
    assert!(listed.is_sorted_by(|a, b| a.location < b.location));
    assert_eq!(archive.folders("").await.expect("lists"), ["objects"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_is_waited_for_and_a_commit_that_is_not_answered_is_not_made_twice() {
    let Some(server) = server() else { return };
    let proxy = Proxy::start(server.port).await;
    let archive = archive(proxy.port, "faults");
    let table = Table::open_or_create(&archive, "declarations", &schema()).await.expect("creates");
    // The server refuses for a while whatever is asked.
    proxy.next([Fault::slow_down("PUT", "/faults/", 2), Fault::slow_down("GET", "", 2)]);
    let files = write(&archive, "first", 3).await;
    let first = ["first".to_owned()];
    assert_eq!(table.commit(&files, &first, "ingest").await.expect("commits"), Commit::Version(1));
    assert!(proxy.is_spent(), "the faults took place");

    // The commit is written, and the answer is lost.
    let files = write(&archive, "second", 4).await;
    proxy.next([Fault::lost_answer("PUT", "_delta_log/00000000000000000002.json")]);
    let second = ["second".to_owned()];
    match table.commit(&files, &second, "ingest").await {
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "it is tried again: {}", error.chain());
            let again = table.commit(&files, &second, "ingest").await.expect("answers");
            assert_eq!(again, Commit::AlreadyThere);
        }
        Ok(commit) => assert!(matches!(commit, Commit::AlreadyThere | Commit::Version(2)), "{commit:?}"),
    }
    assert!(proxy.is_spent(), "the fault took place");

    // A data file is written, and the answer is lost: it is written again.
    proxy.next([Fault::lost_answer("PUT", "third")]);
    let files = write(&archive, "third", 5).await;
    assert!(proxy.is_spent(), "the fault took place");
    table.commit(&files, &["third".to_owned()], "ingest").await.expect("commits");
    let snapshot = table.snapshot(None).await.expect("reads");
    assert_eq!((snapshot.version, snapshot.rows()), (3, 12));

    // A server that goes on refusing is an error that waiting can cure.
    proxy.next([Fault::slow_down("", "", 200)]);
    let error = table.snapshot(None).await.expect_err("it refuses");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.chain());
    let error = archive.put_new("x", "y").await.expect_err("it refuses");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.chain());
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_credentials_are_said_to_be_that_and_not_waited_for() {
    let Some(server) = server() else { return };
    let proxy = Proxy::start(server.port).await;
    let archive = archive(proxy.port, "expired");
    let table = Table::open_or_create(&archive, "declarations", &schema()).await.expect("creates");
    proxy.next([Fault::expired(1000)]);
    for error in [
        archive.get("declarations/x").await.expect_err("refused"),
        archive.put_new("x", "y").await.expect_err("refused"),
        archive.list("").await.expect_err("refused"),
        table.snapshot(None).await.expect_err("refused"),
        list_tables(&archive).await.expect_err("refused"),
    ] {
        assert_eq!(error.kind(), ErrorKind::Denied, "{}", error.chain());
        assert!(error.chain().contains("ExpiredToken"), "{}", error.chain());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_writers_at_once_have_all_their_commits_in_the_table_once() {
    let Some(server) = server() else { return };
    let commits = env::var("TIDEWAITER_STORE_COMMITS").ok().and_then(|count| count.parse().ok());
    let commits: usize = commits.unwrap_or(COMMITS);
    let writers = ["a", "b"].map(|writer| {
        let archive = archive(server.port, "writers");
        tokio::spawn(async move {
            let table = Table::open_or_create(&archive, "declarations", &schema()).await.expect("creates");
            for number in 0..commits {
                let job = format!("{writer}-{number}");
                let files = write(&archive, &job, 1).await;
                let commit = table.commit(&files, &[job], "ingest").await.expect("commits");
                assert!(matches!(commit, Commit::Version(_)));
            }
        })
    });
    for writer in writers {
        writer.await.expect("it ends");
    }
    let archive = archive(server.port, "writers");
    let table = Table::open(&archive, "declarations").await.expect("opens");
    let snapshot = table.snapshot(None).await.expect("reads");
    assert_eq!(snapshot.version as usize, 2 * commits);
    let mut jobs: Vec<String> = snapshot.files.iter().map(|file| file.path.clone()).collect();
    jobs.sort();
    jobs.dedup();
    assert_eq!((jobs.len(), snapshot.rows() as usize), (2 * commits, 2 * commits));
    let (damages, logged) = table.check_log().await.expect("reads");
    assert_eq!((damages, logged.len()), (Vec::new(), 2 * commits + 1));
}
