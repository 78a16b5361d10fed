//! Tests of the tables.

use super::*;
use crate::testing::{in_folder, memory, rows, schema, write};

/// Eight tasks that commit one file each, to a table that they create together.
async fn concurrent(archive: Archive) {
    let tasks = (0..8).map(|task| {
        let archive = archive.clone();
        tokio::spawn(async move {
            let table = Table::open_or_create(&archive, "declarations", &schema()).await?;
            let files = write(&archive, "declarations", &format!("job{task}"), &rows(task * 40, 40)).await;
            table.commit(&files, &[format!("digest{task}")], "ingest").await
        })
    });
    let mut versions = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        match task.await.expect("the task ends").expect("commits") {
            Commit::Version(version) => versions.push(version),
            Commit::AlreadyThere => panic!("each source is new"),
        }
    }
    versions.sort_unstable();
    assert_eq!(versions, (1..=8).collect::<Vec<_>>());
    let table = Table::open(&archive, "declarations").await.expect("opens");
    assert_eq!(table.snapshot(None).await.expect("reads").rows(), 320);
    let history = table.snapshots().await.expect("reads");
    assert_eq!(history.len(), 9);
    assert!(history[1..].iter().all(|entry| entry.operation == "ingest" && entry.committed_ms > 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_commits_are_never_lost_in_memory() {
    concurrent(memory("table-concurrent")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_commits_are_never_lost_in_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    concurrent(in_folder(&folder)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_source_committed_concurrently_is_added_once() {
    let archive = memory("table-once");
    Table::open_or_create(&archive, "declarations", &schema()).await.expect("creates");
    let tasks = (0..6).map(|task| {
        let archive = archive.clone();
        tokio::spawn(async move {
            let table = Table::open(&archive, "declarations").await.expect("opens");
            let files = write(&archive, "declarations", &format!("job{task}"), &rows(0, 50)).await;
            table.commit(&files, &["same".to_owned()], "ingest").await.expect("answers")
        })
    });
    let mut added = 0;
    for task in tasks.collect::<Vec<_>>() {
        added += usize::from(task.await.expect("the task ends") != Commit::AlreadyThere);
    }
    assert_eq!(added, 1);
    let table = Table::open(&archive, "declarations").await.expect("opens");
    assert_eq!(table.snapshot(None).await.expect("reads").rows(), 50);
}

#[tokio::test]
async fn snapshots_and_sources_outlive_checkpoints() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = in_folder(&folder);
    let table = Table::open_or_create(&archive, "predictions/fraud", &schema()).await.expect("creates");
    for step in 0..12_u64 {
        let files = write(&archive, table.name(), &format!("job{step}"), &rows(0, 3)).await;
        let commit = table.commit(&files, &[format!("digest{step}")], "apply").await.expect("commits");
        assert_eq!(commit, Commit::Version(step + 1));
    }
    let log = archive.list("predictions/fraud/_delta_log").await.expect("lists");
    assert!(log.iter().any(|meta| meta.location.as_ref().ends_with("checkpoint.parquet")));
    assert_eq!(table.snapshot(Some(4)).await.expect("reads").rows(), 12);
    assert_eq!(table.snapshot(None).await.expect("reads").rows(), 36);
    let first = ["digest0".to_owned()];
    assert_eq!(table.commit(&[], &first, "apply").await.expect("answers"), Commit::AlreadyThere);
    let some = ["digest0".to_owned(), "new".to_owned()];
    assert_eq!(table.known_sources(&some).await.expect("reads"), first);
    let error = table.commit(&[], &some, "apply").await.expect_err("half is there");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let error = table.snapshot(Some(99)).await.expect_err("not there");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(list_tables(&archive).await.expect("lists"), ["predictions/fraud"]);
    let error = Table::open(&archive, "declarations").await.expect_err("not there");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.chain().contains("predictions/fraud"), "{}", error.chain());
}

#[tokio::test]
async fn a_commit_of_a_file_that_is_not_whole_adds_nothing() {
    let archive = memory("table-whole");
    let table = Table::open_or_create(&archive, "declarations", &schema()).await.expect("creates");
    let mut files = write(&archive, "declarations", "job", &rows(0, 10)).await;
    files[0].size += 1;
    let error = table.commit(&files, &[], "ingest").await.expect_err("it is short");
    assert_eq!(error.kind(), ErrorKind::Input);
    files[0].path.push('x');
    let error = table.commit(&files, &[], "ingest").await.expect_err("it is absent");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(table.version().await.expect("reads"), 0);
    let error = Table::open(&archive, "../declarations").await.expect_err("not a name");
    assert_eq!(error.kind(), ErrorKind::Input);
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_cannot_be_written_is_denied() {
    use std::{fs, os::unix::fs::PermissionsExt};
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).expect("sets");
    if fs::write(folder.path().join("probe"), "").is_ok() {
        eprintln!("SKIPPED a_folder_that_cannot_be_written_is_denied: this user may write anywhere (root)");
        return;
    }
    let created = Table::open_or_create(&in_folder(&folder), "declarations", &schema()).await;
    assert_eq!(created.expect_err("not writable").kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn the_sources_of_one_commit_are_known_together_and_one_by_one() {
    let archive = memory("table-many-sources");
    let table = Table::open_or_create(&archive, "declarations", &schema()).await.expect("creates");
    let sources: Vec<String> = (0..100).map(|number| format!("digest{number}")).collect();
    let files = write(&archive, "declarations", "job-0", &rows(0, 40)).await;
    table.commit(&files, &sources[..90], "ingest").await.expect("commits");
    assert_eq!(table.known_sources(&sources).await.expect("reads"), sources[..90]);
    assert_eq!(table.known_sources(&sources[88..92]).await.expect("reads"), sources[88..90]);
    assert_eq!(table.commit(&files, &sources[..90], "ingest").await.expect("answers"), Commit::AlreadyThere);
    let error = table.commit(&files, &sources, "ingest").await.expect_err("some are there");
    assert_eq!(error.kind(), ErrorKind::Conflict);
}
