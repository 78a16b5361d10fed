//! What an ingest would do to the rows that the archive has, without doing it: which rows would be replaced, and what would
//! be refused.
//!
//! The keys of the new rows are held, and the archive's rows are read past them, so that nothing is written. Start at
//! [`foreseen`].

use datafusion::{
    logical_expr::{col, lit},
    prelude::SessionContext,
};
use futures::StreamExt;
use tidewaiter_archive::{
    DataFile,
    schema::VERSION,
    table::{Revision, SourceState},
};
use tidewaiter_core::{Result, query::Run};

use crate::{
    commit::{Mode, Tables},
    dry_run::Compared,
    keys::{Keys, has_one_row_a_key},
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
    let digests: Vec<&str> = compared.iter().map(|file| file.digest.as_str()).collect();
    let revisions = tables.rows.revisions(&digests).await?;
    let is_left = |revision: Revision| match mode {
        Mode::New => revision.state() == SourceState::Archived || revision.was_forgotten(),
        Mode::Amend => revision.state() == SourceState::Archived,
        Mode::Again | Mode::Months(_) => false,
    };
    let known = revisions.iter().filter(|revision| is_left(**revision)).count() as u64;
    let mut foreseen = Foreseen { known, ..Foreseen::default() };
    if mode.reads_known() {
        let mut read = Vec::with_capacity(compared.len());
        for Compared { file, digest, rows, .. } in &compared {
            read.push(ReadSource { number: 0, file, rows: *rows, digest });
        }
        let of_state = |state: SourceState| {
            let pairs = digests.iter().zip(&revisions);
            pairs.filter(move |(_, revision)| revision.state() == state).map(|(digest, _)| *digest)
        };
        let archived: Vec<&str> = of_state(SourceState::Archived).collect();
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
    for (file, revision) in compared.into_iter().zip(&revisions) {
        if !is_left(*revision) {
            keys.merge(file.keys);
        }
    }
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
