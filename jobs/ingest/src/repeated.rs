//! Rows whose keys other sources of the archive have as well, such as those of an export that was saved once more: a reader
//! of the ingest's outcome should know. Only the months of the new rows are looked at. Start at [`repeated`].

use std::ops::RangeInclusive;

use datafusion::{
    common::JoinType,
    functions_aggregate::expr_fn::count,
    logical_expr::{col, lit},
    prelude::SessionContext,
};
use tidewaiter_archive::{DataFile, schema::SOURCE};
use tidewaiter_core::{Result, answers};

use crate::{
    commit::Tables,
    keys::{MOST_KEYS, has_one_row_a_key},
    refusals::rows_by_month,
    removal::{Sources, scan, sources_of},
};

/// What the name of a column of the key begins with on the side of the new rows.
const NEW: &str = "new_";

/// Rows whose keys are read, at most.
const MOST_ROWS: u64 = 50_000_000;

/// The number of rows of the sources with these numbers, of a country, whose keys rows of other sources have in the same
/// months.
///
/// # Errors
/// Those of the store and of the query.
pub(crate) async fn repeated(
    session: &SessionContext,
    tables: &Tables,
    country: &str,
    sources: RangeInclusive<i32>,
) -> Result<u64> {
    let snapshot = tables.rows.snapshot(None).await?;
    let (first, last) = sources.into_inner();
    if !has_one_row_a_key(tables.layout) || snapshot.schema.index_of(SOURCE).is_err() {
        return Ok(0);
    }
    let of_country = || snapshot.files.iter().filter(|file| file.country == country);
    let has_new =
        |file: &&DataFile| sources_of(file).is_some_and(|of| of.least <= last && of.greatest >= first);
    let new: Vec<DataFile> = of_country().filter(has_new).cloned().collect();
    let months = rows_by_month(&new);
    let has_others = |file: &&DataFile| {
        let is_new = |of: &Sources| of.least >= first && of.greatest <= last && of.all_have_one;
        months.contains_key(&(file.year, file.month)) && !sources_of(file).as_ref().is_some_and(is_new)
    };
    let others: Vec<DataFile> = of_country().filter(has_others).cloned().collect();
    let count_of = |files: &[DataFile]| files.iter().map(|file| file.rows).sum::<u64>();
    let (rows, other_rows) = (count_of(&new), count_of(&others));
    if new.is_empty()
        || others.is_empty()
        || rows.min(other_rows) > MOST_KEYS
        || rows.max(other_rows) > MOST_ROWS
    {
        return Ok(0);
    }
    let written = tables.rows_written();
    let key = tables.layout.key;
    let new_key: Vec<String> = key.iter().map(|column| format!("{NEW}{column}")).collect();
    let new_names: Vec<&str> = new_key.iter().map(String::as_str).collect();
    let of_new = || col(SOURCE).between(lit(first), lit(last));
    let names = key.iter().zip(&new_key).map(|(column, new)| col(*column).alias(new)).collect::<Vec<_>>();
    let new = scan(session, &written, &snapshot.schema, &new)?.filter(of_new())?.select(names)?;
    let names = key.iter().map(|column| col(*column)).collect::<Vec<_>>();
    let is_other = col(SOURCE).is_null().or(!of_new());
    let others = scan(session, &written, &snapshot.schema, &others)?.filter(is_other)?.select(names)?;
    // The left side of a join is held.
    let found = match rows <= other_rows {
        true => new.join(others, JoinType::LeftSemi, &new_names, key, None)?,
        false => others.join(new, JoinType::RightSemi, key, &new_names, None)?,
    };
    let counted = answers::one_batch(found.aggregate(Vec::new(), vec![count(lit(1)).alias("n")])?).await?;
    if counted.num_rows() == 0 { Ok(0) } else { answers::count(&counted, "n", 0) }
}
