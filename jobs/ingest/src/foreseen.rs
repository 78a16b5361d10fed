//! What an ingest would do to the rows that the archive has, without doing it: which rows would be replaced, and what would
//! be refused.
//!
//! The keys of the new rows are held where they are compared, and the archive's rows are read past them, so that nothing is
//! written. Start at [`comparison`], by which files are read, and [`foreseen`].

use std::path::Path;

use datafusion::{
    logical_expr::{col, lit},
    prelude::SessionContext,
};
use futures::{StreamExt, TryStreamExt, stream};
use tidewaiter_archive::{
    DataFile,
    schema::{Layout, VERSION},
    table::{Revision, SourceState},
};
use tidewaiter_core::{Error, Result, query::Run, threads::on_cpu};

use crate::{
    commit::{Mode, Tables},
    dry_run::{Compared, Comparison, Known},
    keys::{Keys, MOST_KEYS, Room, has_one_row_a_key},
    readers::source_digest,
    refusals::{
        ReadSource, is_in, refuse_emptied, refuse_emptied_months, refuse_other_months, refuse_replaced,
        refuse_twice, refuse_without_number,
    },
    removal::scan,
    sources,
};

/// What an ingest would do to the rows of the archive.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Foreseen {
    /// Rows of the archive that would be replaced.
    pub(crate) replaced: u64,
    /// New rows that would be left out, because later ones of their key are in force.
    pub(crate) outdated: u64,
    /// New rows whose keys the archive has already.
    pub(crate) repeated: u64,
    /// Files that would be left alone, because they were ingested before.
    pub(crate) known: u64,
    /// Whether the new rows have too many keys to compare: those of the archive are not counted then.
    pub(crate) is_uncompared: bool,
}

/// Whether the ingest would leave a file alone.
fn is_left(mode: &Mode, revision: Revision) -> bool {
    match mode {
        Mode::New => revision.state() == SourceState::Archived || revision.was_forgotten(),
        Mode::Amend => revision.state() == SourceState::Archived,
        Mode::Again | Mode::Months(_) => false,
    }
}

/// Whether the keys of new rows are compared with those of the archive.
fn compares_keys(mode: &Mode, layout: &Layout) -> bool {
    match mode {
        Mode::New => has_one_row_a_key(layout),
        Mode::Amend => true,
        Mode::Again | Mode::Months(_) => false,
    }
}

/// How files are compared with the archive, so many at a time.
///
/// # Errors
/// Those of the store. The error of a file is in the answer.
pub(crate) async fn comparison(
    tables: &Tables,
    mode: &Mode,
    files: Vec<String>,
    at_once: usize,
) -> Result<Comparison> {
    let digests = files
        .into_iter()
        .map(|file| async move { on_cpu(move || Ok(source_digest(Path::new(&file)))).await });
    let digests: Vec<_> = digests.collect();
    let digests: Vec<Result<String>> = stream::iter(digests).buffered(at_once.max(1)).try_collect().await?;
    let read: Vec<&str> = digests.iter().filter_map(|digest| digest.as_deref().ok()).collect();
    let mut revisions = tables.rows.revisions(&read).await?.into_iter();
    let known = digests.into_iter().map(|digest| {
        let digest = digest?;
        let revision = revisions.next().ok_or_else(|| Error::internal("a file was not looked up"))?;
        Ok::<_, Error>(Known { digest, revision, is_left: is_left(mode, revision) })
    });
    let room = compares_keys(mode, tables.layout).then(|| Room::of(MOST_KEYS));
    Ok(Comparison { known: known.collect(), room })
}

/// What the ingest of files, of a country, would do. The files can be ingested.
///
/// # Errors
/// What the ingest itself would refuse; those of the store and of queries.
pub(crate) async fn foreseen(
    session: &SessionContext,
    tables: &Tables,
    mode: &Mode,
    country: &str,
    compared: Vec<Compared>,
) -> Result<Foreseen> {
    let table = tables.layout.table;
    let known = compared.iter().filter(|file| file.known.is_left).count() as u64;
    let mut foreseen = Foreseen { known, ..Foreseen::default() };
    if mode.reads_known() {
        let mut read = Vec::with_capacity(compared.len());
        for Compared { file, known, rows, .. } in &compared {
            read.push(ReadSource { number: 0, file, rows: *rows, digest: &known.digest });
        }
        let archived = compared.iter().filter(|file| file.known.revision.state() == SourceState::Archived);
        let archived: Vec<&str> = archived.map(|file| file.known.digest.as_str()).collect();
        refuse_emptied(&read, &archived)?;
        if let Mode::Months(_) = mode {
            refuse_twice(&read)?;
        } else {
            let before = sources::with_digests(session, tables.rows.archive(), table, &archived).await?;
            refuse_without_number(&archived, &before, table)?;
            refuse_replaced(&before, table)?;
            foreseen.replaced = before.iter().map(|record| record.archived.unsigned_abs()).sum();
        }
    }
    let mut keys = Keys::default();
    compared.into_iter().for_each(|file| keys.merge(file.keys));
    let snapshot = tables.rows.snapshot(None).await?;
    let of_country = snapshot.files.iter().filter(|file| file.country == country);
    let of_country: Vec<DataFile> = of_country.cloned().collect();
    match mode {
        Mode::Months(months) => {
            refuse_other_months(&keys.months, months)?;
            refuse_emptied_months(&of_country, &keys.months, months, country)?;
            let replaced = of_country.iter().filter(|file| is_in((file.year, file.month), months));
            foreseen.replaced = replaced.map(|file| file.rows).sum();
        }
        Mode::Amend => {
            foreseen.is_uncompared = keys.are_too_many;
            foreseen.replaced = meet(session, tables, &mut keys, &of_country).await?;
            if has_one_row_a_key(tables.layout) {
                foreseen.outdated = keys.outdated();
            }
        }
        Mode::New if has_one_row_a_key(tables.layout) => {
            foreseen.is_uncompared = keys.are_too_many;
            let is_near = |file: &&DataFile| keys.months.contains_key(&(file.year, file.month));
            let near: Vec<DataFile> = of_country.iter().filter(is_near).cloned().collect();
            meet(session, tables, &mut keys, &near).await?;
            foreseen.repeated = keys.repeated();
        }
        Mode::New | Mode::Again => {}
    }
    Ok(foreseen)
}

/// Reads rows of files past the keys, and gives the number of those that new rows would amend.
async fn meet(session: &SessionContext, tables: &Tables, keys: &mut Keys, files: &[DataFile]) -> Result<u64> {
    if files.is_empty() || keys.is_empty() {
        return Ok(0);
    }
    let schema = tables.rows.snapshot(None).await?.schema;
    let version = if schema.index_of(VERSION).is_ok() { col(VERSION) } else { lit(0_i32).alias(VERSION) };
    let columns = tables.layout.key.iter().map(|column| col(*column)).chain([version]).collect::<Vec<_>>();
    let rows = scan(session, &tables.rows_written(), &schema, files)?.select(columns)?;
    let mut rows = rows.batch_stream().await?;
    let mut amended = 0;
    while let Some(batch) = rows.next().await {
        amended += keys.meet(&batch?, tables.layout.key)?;
    }
    Ok(amended)
}

#[cfg(test)]
mod tests {
    use tidewaiter_archive::Archive;
    use tidewaiter_declarations::LAYOUT;

    use super::*;
    use crate::{
        dry_run::dry_run,
        tests::{HEADER, mapping},
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn only_keys_that_are_compared_are_held_and_take_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, ids: &[u32]| {
            let rows: String = ids.iter().map(|id| format!("{id},2020-01-01,0101,KR,,1,A\n")).collect();
            let path = folder.path().join(name);
            std::fs::write(&path, format!("{HEADER}{rows}")).expect("written");
            path.display().to_string()
        };
        let files = vec![file("known.csv", &[1, 2, 3]), file("new.csv", &[4, 5])];
        let archive = Archive::open("memory://foreseen/archive").expect("opens");
        let tables = Tables::open(&archive, &LAYOUT, 64 << 20).await.expect("opens");
        let known = source_digest(Path::new(&files[0])).expect("reads");
        tables.rows.commit(&[], &[known], "ingest").await.expect("commits");
        for (mode, held, months) in [
            (Mode::New, [false, true], [0_u64, 2]),
            (Mode::Amend, [false, true], [0, 2]),
            (Mode::Again, [false, false], [3, 2]),
        ] {
            let mut comparison = comparison(&tables, &mode, files.clone(), 2).await.expect("looks");
            // There is room for the keys of the new file alone.
            comparison.room = comparison.room.map(|_| Room::of(2));
            let done = dry_run(mapping(), files.clone(), 1.0, 2, Some(comparison)).await.expect("reads");
            assert_eq!((done.rows.archived, done.failures.len()), (5, 0), "{mode:?}");
            assert!(done.compared.iter().all(|file| !file.keys.are_too_many), "{mode:?}");
            let are_held: Vec<bool> = done.compared.iter().map(|file| !file.keys.is_empty()).collect();
            assert_eq!(are_held, held, "{mode:?}");
            let rows = |file: &Compared| file.keys.months.values().sum::<u64>();
            assert_eq!(done.compared.iter().map(rows).collect::<Vec<_>>(), months, "{mode:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_that_cannot_be_read_fails_by_itself() {
        let archive = Archive::open("memory://foreseen-missing/archive").expect("opens");
        let tables = Tables::open(&archive, &LAYOUT, 64 << 20).await.expect("opens");
        let folder = tempfile::tempdir().expect("a folder");
        let good = folder.path().join("good.csv").display().to_string();
        std::fs::write(&good, format!("{HEADER}1,2020-01-01,0101,KR,,1,A\n")).expect("written");
        let files = vec![folder.path().join("missing.csv").display().to_string(), good];
        let comparison = comparison(&tables, &Mode::New, files.clone(), 1).await.expect("looks");
        let done = dry_run(mapping(), files, 1.0, 1, Some(comparison)).await.expect("reads");
        assert_eq!((done.compared.len(), done.failures.len()), (1, 1));
        assert!(done.compared[0].file.ends_with("good.csv"));
        assert!(!done.compared[0].known.is_left && !done.compared[0].keys.is_empty());
    }
}
