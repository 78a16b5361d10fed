//! Rows whose keys other sources of the archive have as well, such as those of an export that was saved once more: a reader
//! of the ingest's outcome should know. Only the months of the new rows are looked at, and where both sides have too many
//! rows they are not compared, which the outcome says. Start at [`repeated`].

use std::{fmt::Display, ops::RangeInclusive};

use datafusion::{
    common::JoinType,
    functions_aggregate::expr_fn::count,
    logical_expr::{col, lit},
    prelude::SessionContext,
};
use tidewaiter_archive::{DataFile, schema::SOURCE};
use tidewaiter_core::{Result, answers};
use tidewaiter_job::summary::grouped;

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

/// What is known of the keys of new rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// So many of the rows have keys that the archive had.
    Rows(u64),
    /// They were not compared, for a reason that people can read.
    NotCompared(String),
}

impl Repeated {
    /// The keys were not compared, because of something that stands at the end of a sentence.
    pub(crate) fn not_compared(why: impl Display) -> Self {
        Self::NotCompared(format!(
            "the keys of the new rows are not compared with those of the archive: {why}; `tidewaiter quality` finds rows of \
             one key"
        ))
    }

    /// That there are too many new rows, and rows of others in their months, to compare; `None` where there are not.
    fn too_many(rows: u64, others: u64) -> Option<Self> {
        if rows.min(others) <= MOST_KEYS && rows.max(others) <= MOST_ROWS {
            return None;
        }
        Some(Self::not_compared(format_args!(
            "the new data files have {} rows and the others of their months {}, and it is done where one of the two is at \
             most {} and the other at most {}; ingest fewer files at a time",
            grouped(rows),
            grouped(others),
            grouped(MOST_KEYS),
            grouped(MOST_ROWS)
        )))
    }
}

/// The rows of the sources with these numbers, of a country, whose keys rows of other sources have in the same months.
///
/// # Errors
/// Those of the store and of the query.
pub(crate) async fn repeated(
    session: &SessionContext,
    tables: &Tables,
    country: &str,
    sources: RangeInclusive<i32>,
) -> Result<Repeated> {
    let snapshot = tables.rows.snapshot(None).await?;
    let (first, last) = sources.into_inner();
    if !has_one_row_a_key(tables.layout) || snapshot.schema.index_of(SOURCE).is_err() {
        return Ok(Repeated::Rows(0));
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
    if new.is_empty() || others.is_empty() {
        return Ok(Repeated::Rows(0));
    }
    if let Some(too_many) = Repeated::too_many(rows, other_rows) {
        return Ok(too_many);
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
    let count = if counted.num_rows() == 0 { 0 } else { answers::count(&counted, "n", 0)? };
    Ok(Repeated::Rows(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_beyond_a_limit_are_not_compared_and_the_reason_is_told() {
        for (rows, others) in [(1, MOST_ROWS), (MOST_ROWS, 1), (MOST_KEYS, MOST_KEYS), (MOST_KEYS, MOST_ROWS)]
        {
            assert_eq!(Repeated::too_many(rows, others), None, "{rows} {others}");
        }
        for (rows, others) in [(MOST_KEYS + 1, MOST_KEYS + 1), (1, MOST_ROWS + 1), (MOST_ROWS + 1, 1)] {
            let Some(Repeated::NotCompared(why)) = Repeated::too_many(rows, others) else {
                panic!("{rows} {others} are compared");
            };
            for part in
                [grouped(rows).as_str(), grouped(others).as_str(), "5,000,000", "50,000,000", "fewer files"]
            {
                assert!(why.contains(part), "{part} is not in {why}");
            }
        }
    }
}
