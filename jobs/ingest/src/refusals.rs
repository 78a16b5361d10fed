//! What an ingest refuses for the rows that the archive has, before it changes anything; a dry run refuses the same. Start
//! at [`refuse_emptied`].

use std::collections::{BTreeMap, BTreeSet};

use tidewaiter_archive::DataFile;
use tidewaiter_core::{Error, Period, Result};

use crate::{block::RowCounts, sources::SourceRecord};

/// Sources that an error names, at most.
const NAMED: usize = 5;

/// The number of rows of each year and month.
pub(crate) type RowsByMonth = BTreeMap<(i32, i32), u64>;

/// A file that was read.
pub(crate) struct ReadSource<'a> {
    pub(crate) number: i32,
    pub(crate) file: &'a str,
    pub(crate) rows: RowCounts,
    pub(crate) digest: &'a str,
}

/// The rows of data files by their months.
pub(crate) fn rows_by_month<'a>(files: impl IntoIterator<Item = &'a DataFile>) -> RowsByMonth {
    let mut rows = RowsByMonth::new();
    for file in files {
        *rows.entry((file.year, file.month)).or_default() += file.rows;
    }
    rows
}

/// Whether a year and month is among some months.
pub(crate) fn is_in((year, month): (i32, i32), months: &Period) -> bool {
    let (first_year, first_month) = months.first_month();
    let first = 12 * first_year + i32::try_from(first_month).unwrap_or(1) - 1;
    (first..=months.last_month_number()).contains(&(12 * year + month - 1))
}

/// Refuses to replace months of which the table has rows and the new files have none: such a file is cut or empty.
pub(crate) fn refuse_emptied_months(
    before: &[DataFile],
    added: &RowsByMonth,
    months: &Period,
    country: &str,
) -> Result<()> {
    let before = before.iter().filter(|file| file.country == country);
    let mut before = rows_by_month(before);
    before.retain(|month, _| is_in(*month, months));
    let emptied: Vec<String> = before
        .iter()
        .filter(|(month, _)| !added.contains_key(month))
        .map(|((year, month), rows)| format!("{rows} rows of {year}-{month:02}"))
        .collect();
    if emptied.is_empty() && !(before.is_empty() && added.is_empty()) {
        return Ok(());
    }
    let lost =
        if emptied.is_empty() { String::new() } else { format!(" in the place of {}", emptied.join(", ")) };
    Err(Error::input(format!(
        "the files have no rows{lost}; nothing is changed: name the months that the files have, or take their sources \
         out with `tidewaiter archive forget`"
    )))
}

/// Refuses rows of other months than those that they would replace.
pub(crate) fn refuse_other_months(added: &RowsByMonth, months: &Period) -> Result<()> {
    let others = added.iter().filter(|(month, _)| !is_in(**month, months));
    let named: Vec<String> =
        others.map(|((year, month), rows)| format!("{rows} of {year}-{month:02}")).collect();
    if named.is_empty() {
        return Ok(());
    }
    Err(Error::input(format!(
        "the files have rows of other months than {months}, which they would replace: {}; name all months in \
         --replace-months, or leave these rows out; nothing is changed",
        named.join(", ")
    )))
}

/// Refuses a file that is named twice.
pub(crate) fn refuse_twice(read: &[ReadSource<'_>]) -> Result<()> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for source in read {
        if let Some(before) = seen.insert(source.digest, source.file) {
            return Err(Error::input(format!(
                "{before} and {} have the same bytes; leave one of them out; nothing is changed",
                source.file
            )));
        }
    }
    Ok(())
}

/// A mapping by which nothing of a source is archived does not take the place of one by which something was.
pub(crate) fn refuse_emptied(read: &[ReadSource<'_>], archived: &[&str]) -> Result<()> {
    let is_emptied = |source: &&ReadSource<'_>| {
        source.rows.archived == 0 && source.rows.read > 0 && archived.contains(&source.digest)
    };
    let Some(source) = read.iter().find(is_emptied) else { return Ok(()) };
    Err(Error::corrupt(format!(
        "{}: this mapping puts all {} rows aside, so that what another made of them stays; see the reasons with \
         --dry-run",
        source.file, source.rows.read
    )))
}

/// A source that is read again does not bring back rows that others have replaced.
pub(crate) fn refuse_replaced(before: &[SourceRecord], table: &str) -> Result<()> {
    let Some(record) = before.iter().find(|record| record.replaced > 0) else { return Ok(()) };
    Err(Error::input(format!(
        "{0}: {1} of its rows were replaced by later versions or by a corrected file, beside which --again would bring them \
         back; nothing is changed: tidewaiter archive forget {2}, and then tidewaiter ingest {table} --amend or \
         --replace-months",
        record.file, record.replaced, record.number
    )))
}

/// Refuses to read files again whose rows cannot be told from others.
pub(crate) fn refuse_without_number(archived: &[&str], before: &[SourceRecord], table: &str) -> Result<()> {
    let known: BTreeSet<&str> = before.iter().map(|record| record.digest.as_str()).collect();
    let without: Vec<&str> = archived.iter().copied().filter(|digest| !known.contains(digest)).collect();
    if without.is_empty() {
        return Ok(());
    }
    Err(Error::not_found(format!(
        "{} of the files were archived by a version that did not number the sources of {table} (SHA-256 {}), so that \
         their rows cannot be told from others; replace their months: tidewaiter ingest {table} --replace-months \
         2024-01..2024-03 …",
        without.len(),
        without.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ")
    )))
}
