//! Changes of several tables that become visible together.
//!
//! A group of changes begins with a marker, which holds all of them ([`super::markers`]). The changes are then made one
//! table after the other, in their order, each once by the group's name. The group is whole when its marker is deleted;
//! until then readers see none of it. The first change decides: where it is refused nothing was changed, and the marker
//! is deleted. Where it was made, the others can be made at any time by anybody, because a marker holds all that they
//! need: whoever begins the next group, or calls [`finish_groups`], makes those that a lost process left.
//!
//! Source: a redo log with one commit point (Gray and Reuter, "Transaction Processing", 1993, chapter 10). What is
//! absent: isolation between groups; one that removes what another has removed is refused. Start at [`commit_group`].

use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, ErrorKind, Result, ResultExt};

use super::{Commit, Table, change::Change, markers};
use crate::Archive;

/// A group of changes.
#[derive(Debug, Serialize, Deserialize)]
struct Group {
    id: String,
    parts: Vec<Part>,
}

/// The change of one table.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    table: String,
    /// The table's newest version when the group began.
    base: u64,
    change: Change,
}

/// Makes changes of several tables, all or none; readers see all of them or none. The tables exist. `id` names the
/// group: asked for again, it changes nothing more. It is letters, digits and `-`.
///
/// # Errors
/// Those of [`Table::change`] for the first table. After any other error the group is finished by the next one, or by
/// [`finish_groups`].
pub async fn commit_group(archive: &Archive, id: &str, changes: Vec<(&Table, Change)>) -> Result<Commit> {
    finish_groups(archive).await?;
    let Some((first, _)) = changes.first() else {
        return Err(Error::internal(format!("the group {id} changes no table")));
    };
    let first = (*first).clone();
    let group = begin(archive, id, changes).await?;
    finish(archive, group).await?;
    Ok(Commit::Version(first.version().await?))
}

/// Finishes the groups that are under way: makes their changes, or deletes those whose first change is refused.
///
/// # Errors
/// Those of the store; [`ErrorKind::Corrupt`] where a group whose first change was made cannot be finished.
pub async fn finish_groups(archive: &Archive) -> Result<()> {
    for text in markers::texts(archive).await? {
        let group: Group = serde_json::from_slice(&text)
            .context(|| format!("read the markers in {}", archive.display(markers::FOLDER)))?;
        let id = group.id.clone();
        match finish(archive, group).await {
            Ok(()) => tracing::info!(group = id, "changes of several tables that were begun are finished"),
            Err(error) if is_refused(&error) => {
                tracing::warn!(group = id, error = error.chain(), "changes that were begun are refused");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes the marker of a group.
async fn begin(archive: &Archive, id: &str, changes: Vec<(&Table, Change)>) -> Result<Group> {
    let mut parts = Vec::with_capacity(changes.len());
    for (table, change) in changes {
        let base = table.version().await?;
        let change = Change { once: Some(id.to_owned()), ..change };
        parts.push(Part { table: table.name().to_owned(), base, change });
    }
    let group = Group { id: id.to_owned(), parts };
    let path = markers::path(id);
    archive.put(&path, serde_json::to_vec(&group)?).await?;
    archive.sync(&path).await?;
    Ok(group)
}

/// Makes the changes of a group that are not made, and deletes its marker.
async fn finish(archive: &Archive, group: Group) -> Result<()> {
    let Group { id, parts } = group;
    for (place, part) in parts.into_iter().enumerate() {
        let table = Table::open(archive, &part.table).await?;
        let Err(error) = table.change(&part.change).await else { continue };
        if !is_refused(&error) {
            return Err(error);
        }
        if place > 0 {
            let text = format!("the group of changes {id} is half made: {}; call an operator", error.chain());
            return Err(Error::corrupt(text));
        }
        archive.delete(&markers::path(&id)).await?;
        return Err(error);
    }
    archive.delete(&markers::path(&id)).await
}

/// Whether an error says that a change cannot be made, now or later.
fn is_refused(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Input | ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        table::{DataFile, SourceChange, SourceState},
        testing::{in_folder, memory, rows, schema, write},
    };

    async fn two_tables(archive: &Archive) -> [Table; 2] {
        let open =
            |name| async move { Table::open_or_create(archive, name, &schema()).await.expect("a table") };
        [open("images").await, open("annotations").await]
    }

    fn change(adds: Vec<DataFile>) -> Change {
        let source = SourceChange { digest: "digest".to_owned(), from: None, to: SourceState::Archived };
        Change {
            adds,
            sources: vec![source],
            operation: "ingest".to_owned(),
            changes_rows: true,
            ..Change::default()
        }
    }

    async fn changes<'a>(archive: &Archive, tables: &'a [Table; 2], job: &str) -> Vec<(&'a Table, Change)> {
        let [images, annotations] = tables;
        vec![
            (images, change(write(archive, "images", job, &rows(0, 10)).await)),
            (annotations, change(write(archive, "annotations", job, &rows(0, 30)).await)),
        ]
    }

    async fn counts(tables: &[Table; 2]) -> (u64, u64) {
        let rows = |table: &Table| {
            let table = table.clone();
            async move { table.snapshot(None).await.expect("reads").rows() }
        };
        (rows(&tables[0]).await, rows(&tables[1]).await)
    }

    #[tokio::test]
    async fn a_group_that_a_lost_process_left_is_hidden_and_then_finished() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = in_folder(&folder);
        let tables = two_tables(&archive).await;
        let group =
            begin(&archive, "job-0", changes(&archive, &tables, "job-0").await).await.expect("begins");
        assert_eq!(counts(&tables).await, (0, 0), "begun");
        tables[0].change(&group.parts[0].change).await.expect("is made");
        assert_eq!(counts(&tables).await, (0, 0), "the process was lost between the tables");
        // A commit of somebody else on top is seen when the group is whole.
        let other = write(&archive, "images", "other", &rows(100, 1)).await;
        tables[0].commit(&other, &["other".to_owned()], "ingest").await.expect("commits");
        assert_eq!(counts(&tables).await, (0, 0));
        finish_groups(&archive).await.expect("finishes");
        assert_eq!(counts(&tables).await, (11, 30));
        finish_groups(&archive).await.expect("nothing is left");
        let again = commit_group(&archive, "job-0", changes(&archive, &tables, "job-0").await).await;
        assert!(matches!(again, Ok(Commit::Version(_))));
        assert_eq!(counts(&tables).await, (11, 30), "it is made once");
        assert!(archive.list(markers::FOLDER).await.expect("lists").is_empty());
    }

    #[tokio::test]
    async fn a_group_whose_first_change_is_refused_changes_nothing() {
        let archive = memory("group-refused");
        let tables = two_tables(&archive).await;
        let files = write(&archive, "images", "first", &rows(0, 5)).await;
        tables[0].commit(&files, &["digest".to_owned()], "ingest").await.expect("commits");
        let refused = commit_group(&archive, "job-1", changes(&archive, &tables, "job-1").await).await;
        assert_eq!(refused.expect_err("the source is known").kind(), ErrorKind::Conflict);
        assert_eq!(counts(&tables).await, (5, 0));
        // The same left by a lost process.
        begin(&archive, "job-2", changes(&archive, &tables, "job-2").await).await.expect("begins");
        finish_groups(&archive).await.expect("deletes it");
        assert_eq!(counts(&tables).await, (5, 0));
        assert!(archive.list(markers::FOLDER).await.expect("lists").is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn groups_at_once_are_each_made_once() {
        let archive = memory("group-at-once");
        let tables = two_tables(&archive).await;
        let jobs = (0..4).map(|job| {
            let (archive, tables) = (archive.clone(), tables.clone());
            tokio::spawn(async move {
                let name = format!("job-{job}");
                let mut changes = changes(&archive, &tables, &name).await;
                for (_, change) in &mut changes {
                    change.sources.clear();
                }
                commit_group(&archive, &name, changes).await
            })
        });
        for job in jobs.collect::<Vec<_>>() {
            job.await.expect("the task ends").expect("commits");
        }
        assert_eq!(counts(&tables).await, (40, 120));
        assert!(archive.list(markers::FOLDER).await.expect("lists").is_empty());
    }

    #[tokio::test]
    async fn files_are_replaced_once_and_earlier_snapshots_stay() {
        let archive = memory("group-replaced");
        let [images, _] = two_tables(&archive).await;
        let old = write(&archive, "images", "old", &rows(0, 40)).await;
        images.commit(&old, &["old".to_owned()], "ingest").await.expect("commits");
        let (removed, new) = (&old[..1], write(&archive, "images", "new", &rows(0, 3)).await);
        images.rewrite(removed, &new, &[], "replace", true).await.expect("replaces");
        let kept = 40 - removed[0].rows;
        assert_eq!(images.snapshot(None).await.expect("reads").rows(), kept + 3);
        assert_eq!(images.snapshot(Some(1)).await.expect("reads").rows(), 40);
        let again = images.rewrite(removed, &[], &[], "replace", true).await.expect_err("it is gone");
        assert_eq!(again.kind(), ErrorKind::Conflict);
        // A source that is forgotten can come again.
        let digest = ["old"];
        let from = images.revisions(&digest).await.expect("reads")[0];
        let forget = SourceChange { digest: "old".to_owned(), from: Some(from), to: SourceState::Unknown };
        let forget = Change {
            removes: old[1..].to_vec(),
            sources: vec![forget],
            operation: "forget".to_owned(),
            changes_rows: true,
            ..Change::default()
        };
        images.change(&forget).await.expect("forgets");
        let stale = images.change(&Change { removes: Vec::new(), ..forget }).await.expect_err("it is stale");
        assert_eq!(stale.kind(), ErrorKind::Conflict);
        assert!(images.known_sources(&["old".to_owned()]).await.expect("reads").is_empty());
        let files = write(&archive, "images", "again", &rows(0, 40)).await;
        images.commit(&files, &["old".to_owned()], "ingest").await.expect("commits");
        assert_eq!(images.snapshot(None).await.expect("reads").rows(), 43);
    }
}
