//! Rows that leave a table: which files go, and which are written again without them.
//!
//! A file's statistics say which sources its rows may come from. A file of one source goes as a whole; one of several is
//! written again by a query without the rows that leave. What is absent: the commit. Start at [`without_sources`].

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::SchemaRef;
use datafusion::{
    logical_expr::{col, lit},
    prelude::{DataFrame, SessionContext},
};
use serde_json::Value;
use tidewaiter_archive::{
    DataFile, Table,
    schema::{SOURCE, data_columns},
    tasks,
    write_operator::WriteOperator,
};
use tidewaiter_core::{Result, plan};
use tidewaiter_proto::v1;

/// A table, and how its files are written.
pub(crate) struct Written<'a> {
    pub(crate) table: &'a Table,
    /// The column of a row's month.
    pub(crate) date_column: &'a str,
    /// The columns by which a file's rows are sorted after their date.
    pub(crate) sort_columns: &'a [&'a str],
    /// Bytes of rows and buffers that one task may hold.
    pub(crate) memory_bytes: u64,
}

/// Files that a change takes out of a table, and those that it puts there instead.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rewritten {
    pub(crate) removes: Vec<DataFile>,
    pub(crate) adds: Vec<DataFile>,
}

impl Rewritten {
    /// Rows that leave the table.
    pub(crate) fn rows(&self) -> u64 {
        let rows = |files: &[DataFile]| files.iter().map(|file| file.rows).sum::<u64>();
        rows(&self.removes).saturating_sub(rows(&self.adds))
    }
}

/// Bytes of rows that a scan gives at a time, at most.
const BATCH_BYTES: u64 = 16 << 20;

/// Rows that a scan gives at a time where nothing else is said.
const BATCH_ROWS: u64 = 8192;

/// How many rows of files a scan may give at a time, where they are so large that the usual number is too much memory.
pub(crate) fn few_rows(files: &[DataFile]) -> Option<u64> {
    let sum = |of: fn(&DataFile) -> u64| files.iter().map(of).sum::<u64>();
    let row_bytes = sum(|file| file.size).checked_div(sum(|file| file.rows)).unwrap_or(0);
    let rows = (BATCH_BYTES / row_bytes.max(1)).max(1);
    (rows < BATCH_ROWS).then_some(rows)
}

/// How the rows of a file relate to sources that leave.
#[derive(Debug, PartialEq, Eq)]
enum Relation {
    /// None of them is of such a source.
    Stays,
    /// All of them are.
    Leaves,
    /// Some may be.
    Mixed,
}

/// What the statistics of a file say about sources that leave.
fn relation(file: &DataFile, leaving: &BTreeSet<i32>) -> Relation {
    let Some(Sources { least, greatest, all_have_one }) = sources_of(file) else { return Relation::Stays };
    if least > greatest || leaving.range(least..=greatest).next().is_none() {
        return Relation::Stays;
    }
    match least == greatest && all_have_one {
        true => Relation::Leaves,
        false => Relation::Mixed,
    }
}

/// The sources of a file's rows, as its statistics have them.
pub(crate) struct Sources {
    pub(crate) least: i32,
    pub(crate) greatest: i32,
    /// Whether every row has a source.
    pub(crate) all_have_one: bool,
}

/// The sources of a file's rows; `None` where it was written before there were any.
pub(crate) fn sources_of(file: &DataFile) -> Option<Sources> {
    let statistics: Value = serde_json::from_str(file.statistics.as_deref()?).ok()?;
    let number = |key: &str| statistics[key][SOURCE].as_i64().and_then(|number| i32::try_from(number).ok());
    let (least, greatest) = (number("minValues")?, number("maxValues")?);
    let all_have_one = statistics["nullCount"][SOURCE].as_i64() == Some(0);
    Some(Sources { least, greatest, all_have_one })
}

/// Takes the rows of sources out of files of a table. The names of new files begin with `name`.
///
/// # Errors
/// Those of the query and of the store.
pub(crate) async fn without_sources(
    session: &SessionContext,
    written: &Written<'_>,
    schema: &SchemaRef,
    files: &[DataFile],
    leaving: &BTreeSet<i32>,
    name: &str,
) -> Result<Rewritten> {
    let mut rewritten = Rewritten::default();
    let mut mixed: BTreeMap<&str, Vec<DataFile>> = BTreeMap::new();
    for file in files {
        match relation(file, leaving) {
            Relation::Stays => continue,
            Relation::Leaves => {}
            Relation::Mixed => mixed.entry(&file.country).or_default().push(file.clone()),
        }
        rewritten.removes.push(file.clone());
    }
    for (country, files) in mixed {
        let numbers = leaving.iter().map(|number| lit(*number)).collect();
        let stays = col(SOURCE).is_null().or(col(SOURCE).in_list(numbers, true));
        let rows = scan(session, written, schema, &files)?.filter(stays)?;
        rewritten.adds.extend(write(rows, written, country, name).await?);
    }
    Ok(rewritten)
}

/// The rows of files of a table, without the partition columns.
///
/// # Errors
/// Those of the session.
pub(crate) fn scan(
    session: &SessionContext,
    written: &Written<'_>,
    schema: &SchemaRef,
    files: &[DataFile],
) -> Result<DataFrame> {
    let named = files.iter().map(|file| v1::ParquetFile {
        path: format!("{}/{}", written.table.name(), file.path),
        size: file.size,
    });
    tasks::scan(session, written.table.archive(), named.collect(), data_columns(schema).into(), false)
}

/// Writes rows of a country as files of a table, whose names begin with `name`.
///
/// # Errors
/// Those of the query and of the store.
pub(crate) async fn write(
    rows: DataFrame,
    written: &Written<'_>,
    country: &str,
    name: &str,
) -> Result<Vec<DataFile>> {
    let operator = WriteOperator::new(v1::WriteOperator {
        archive: written.table.archive().url().to_string(),
        table: written.table.name().to_owned(),
        country: country.to_owned(),
        date_column: written.date_column.to_owned(),
        name: format!("{name}-{}", country.to_lowercase()),
        memory_bytes: written.memory_bytes,
        sort_columns: written.sort_columns.iter().map(|column| (*column).to_owned()).collect(),
    })?;
    Ok(plan::reports::<Vec<DataFile>>(plan::apply(rows, operator)?).await?.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(statistics: Option<&str>) -> DataFile {
        DataFile {
            path: "a.parquet".to_owned(),
            size: 1,
            rows: 1,
            country: "KR".to_owned(),
            year: 2020,
            month: 1,
            statistics: statistics.map(str::to_owned),
            digest: None,
        }
    }

    #[test]
    fn large_rows_are_read_few_at_a_time() {
        let of = |size, rows| DataFile { size, rows, ..file(None) };
        assert_eq!(few_rows(&[]), None);
        assert_eq!(few_rows(&[of(50_000_000, 1_000_000)]), None, "declarations");
        assert_eq!(few_rows(&[of(1 << 30, 512), of(1 << 30, 512)]), Some(8), "files of 2 MiB");
        assert_eq!(few_rows(&[of(1 << 40, 1)]), Some(1));
    }

    #[test]
    fn statistics_say_which_files_leave() {
        let range = |least: i32, greatest: i32, nulls: i32| {
            let text = format!(
                r#"{{"minValues":{{"source":{least}}},"maxValues":{{"source":{greatest}}},"nullCount":{{"source":{nulls}}}}}"#
            );
            file(Some(&text))
        };
        let leaving = BTreeSet::from([3, 7]);
        for (file, wanted) in [
            (file(None), Relation::Stays),
            (file(Some("{}")), Relation::Stays),
            (range(3, 3, 0), Relation::Leaves),
            (range(3, 3, 2), Relation::Mixed),
            (range(2, 3, 0), Relation::Mixed),
            (range(4, 6, 0), Relation::Stays),
            (range(8, 8, 0), Relation::Stays),
        ] {
            assert_eq!(relation(&file, &leaving), wanted, "{file:?}");
        }
    }
}
