//! Which rows of a table are amended by new ones: those of the same country that are equal in the columns of the key
//! ([`tidewaiter_archive::schema::Layout::key`]).
//!
//! Where the table has a column [`VERSION`], the highest version of a key is in force: a new row amends those of no higher
//! version, and one that is older than another, archived or new, is left out. A row without a version is version 0. Of
//! new rows with one key and version the last is in force: files count in the order in which they were named. In a table
//! without that column several rows may have one key, such as the events of a case. Start at [`amended`].

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use datafusion::{
    common::JoinType,
    functions::expr_fn::coalesce,
    functions_aggregate::expr_fn::{count, max},
    logical_expr::{Expr, cast, col, lit},
    prelude::{DataFrame, SessionContext},
};
use tidewaiter_archive::{
    DataFile, Snapshot,
    provider::snapshot_provider,
    schema::{SOURCE, SOURCE_ROW, VERSION},
};
use tidewaiter_core::{Result, answers};

use crate::removal::{Rewritten, Written, scan, write};

/// What a name of a column of the key begins with on the side of the new rows.
const NEW: &str = "new_";

/// The highest version of a key among the new rows, and among all.
const NEW_VERSION: &str = "new_version";
const BEST_VERSION: &str = "best_version";

/// The place of the last new row of a key.
const LAST_POSITION: &str = "last_position";

/// More records than a file has.
const RECORDS_IN_FILE: i64 = 1 << 32;

/// The files that amended rows leave, and how many rows of each source do.
pub(crate) struct Amended {
    pub(crate) rewritten: Rewritten,
    pub(crate) by_source: BTreeMap<i32, i64>,
    /// What takes the place of the new files, where some of their rows are not in force.
    pub(crate) newest: Option<Newest>,
}

/// New rows without those that are not in force.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    pub(crate) adds: Vec<DataFile>,
    /// Rows of each source that are not in force.
    pub(crate) outdated: BTreeMap<i32, i64>,
}

/// Where rows are amended: the table before, and the new files, of one country.
struct Amendment<'a> {
    session: &'a SessionContext,
    written: &'a Written<'a>,
    snapshot: &'a Snapshot,
    key: &'a [&'a str],
    new_key: Vec<String>,
    new: &'a [DataFile],
    country: &'a str,
    has_version: bool,
}

/// Takes the rows out of the months of a snapshot that the rows of the files `new`, of one country, amend. The names of
/// the files that are written begin with `name`.
///
/// # Errors
/// Those of the queries and of the store.
pub(crate) async fn amended(
    session: &SessionContext,
    written: &Written<'_>,
    snapshot: &Snapshot,
    key: &[&str],
    new: &[DataFile],
    name: &str,
) -> Result<Amended> {
    let mut amended = Amended { rewritten: Rewritten::default(), by_source: BTreeMap::new(), newest: None };
    let Some(country) = new.first().map(|file| file.country.as_str()) else { return Ok(amended) };
    let new_key = key.iter().map(|column| format!("{NEW}{column}")).collect();
    let has_version = snapshot.schema.index_of(VERSION).is_ok();
    let amendment = Amendment { session, written, snapshot, key, new_key, new, country, has_version };
    amended.newest = amendment.newest(name).await?;
    let (months, by_source) = amendment.found().await?;
    let is_amended = |file: &&DataFile| {
        file.country == country && months.contains(&(i64::from(file.year), i64::from(file.month)))
    };
    let files: Vec<DataFile> = snapshot.files.iter().filter(is_amended).cloned().collect();
    amended.by_source = by_source;
    if files.is_empty() {
        return Ok(amended);
    }
    let stays = scan(session, written, &snapshot.schema, &files)?;
    let stays = amendment.join(stays, amendment.keys()?, JoinType::LeftAnti, amendment.is_amended())?;
    amended.rewritten.adds = write(stays, written, country, &format!("{name}-amended")).await?;
    amended.rewritten.removes = files;
    Ok(amended)
}

impl Amendment<'_> {
    /// The rows of the country that the table has: their keys, versions, months and sources.
    async fn before(&self) -> Result<DataFrame> {
        let (archive, table) = (self.written.table.archive(), self.written.table.name());
        let provider = snapshot_provider(archive, table, Some(self.snapshot.version)).await?;
        let rows = self.session.read_table(provider)?;
        let source = if self.snapshot.schema.index_of(SOURCE).is_ok() { col(SOURCE) } else { lit(0) };
        let columns = self.key.iter().map(|column| col(*column));
        let columns = columns.chain([self.version().alias(VERSION), col("year"), col("month")]);
        let columns = columns.chain([source.alias("number")]).collect::<Vec<_>>();
        Ok(rows.filter(col("country").eq(lit(self.country)))?.select(columns)?)
    }

    /// The version of a row.
    fn version(&self) -> Expr {
        if self.has_version { coalesce(vec![col(VERSION), lit(0_i32)]) } else { lit(0_i32) }
    }

    /// Whether a row is amended by the new one of its key.
    fn is_amended(&self) -> Option<Expr> {
        self.has_version.then(|| self.version().lt_eq(col(NEW_VERSION)))
    }

    /// The keys of the new rows, each once, with its highest version.
    fn keys(&self) -> Result<DataFrame> {
        let rows = scan(self.session, self.written, &self.snapshot.schema, self.new)?;
        self.highest(rows, NEW_VERSION)
    }

    /// The keys of rows, each once, with the highest version.
    fn highest(&self, rows: DataFrame, name: &str) -> Result<DataFrame> {
        self.greatest(rows, self.version(), name)
    }

    /// The keys of rows, each once, with the greatest value.
    fn greatest(&self, rows: DataFrame, value: Expr, name: &str) -> Result<DataFrame> {
        let keys: Vec<Expr> =
            self.key.iter().zip(&self.new_key).map(|(column, new)| col(*column).alias(new)).collect();
        let rows = rows.select([keys, vec![value.alias(name)]].concat())?;
        Ok(rows.aggregate(self.new_key(), vec![max(col(name)).alias(name)])?)
    }

    fn join(
        &self,
        rows: DataFrame,
        keys: DataFrame,
        kind: JoinType,
        filter: Option<Expr>,
    ) -> Result<DataFrame> {
        let new_key: Vec<&str> = self.new_key.iter().map(String::as_str).collect();
        Ok(rows.join(keys, kind, self.key, &new_key, filter)?)
    }

    /// The months of the rows that are amended, and how many there are of each source.
    async fn found(&self) -> Result<(Vec<(i64, i64)>, BTreeMap<i32, i64>)> {
        let found = self.join(self.before().await?, self.keys()?, JoinType::LeftSemi, self.is_amended())?;
        let found = found
            .aggregate(vec![col("year"), col("month"), col("number")], vec![count(lit(1)).alias("n")])?;
        let found = answers::one_batch(found).await?;
        let (mut months, mut by_source) = (Vec::new(), BTreeMap::new());
        for row in answers::rows(&found) {
            let of = |name: &str| answers::count(&found, name, row).map(signed);
            months.push((of("year")?, of("month")?));
            // Rows that were archived without a number count as of source 0, which there is not.
            *by_source.entry(i32::try_from(of("number")?).unwrap_or(0)).or_default() += of("n")?;
        }
        by_source.remove(&0);
        Ok((months, by_source))
    }

    /// The new rows that are in force, where others are not.
    async fn newest(&self, name: &str) -> Result<Option<Newest>> {
        if !self.has_version {
            return Ok(None);
        }
        let rows = || scan(self.session, self.written, &self.snapshot.schema, self.new);
        let best = self.best().await?;
        let is_outdated = || Some(self.version().lt(col(BEST_VERSION)));
        let of_best_version = || self.join(rows()?, best.clone(), JoinType::LeftAnti, is_outdated());
        let last = self.greatest(of_best_version()?, position(), LAST_POSITION)?;
        let is_earlier = || Some(position().lt(col(LAST_POSITION)));
        let earlier = self.join(of_best_version()?, last.clone(), JoinType::LeftSemi, is_earlier())?;
        let outdated = self.join(rows()?, best.clone(), JoinType::LeftSemi, is_outdated())?;
        let outdated = outdated.select(vec![col(SOURCE)])?.union(earlier.select(vec![col(SOURCE)])?)?;
        let counted = outdated.aggregate(vec![col(SOURCE)], vec![count(lit(1)).alias("n")])?;
        let counted = answers::one_batch(counted).await?;
        if counted.num_rows() == 0 {
            return Ok(None);
        }
        let mut newest = Newest::default();
        for row in answers::rows(&counted) {
            let of = |name: &str| answers::count(&counted, name, row).map(signed);
            newest.outdated.insert(i32::try_from(of(SOURCE)?).unwrap_or(0), of("n")?);
        }
        let stays = self.join(of_best_version()?, last, JoinType::LeftAnti, is_earlier())?;
        newest.adds = write(stays, self.written, self.country, &format!("{name}-newest")).await?;
        Ok(Some(newest))
    }

    /// The keys of the new rows, each once, with its highest version among archived and new rows.
    async fn best(&self) -> Result<DataFrame> {
        let before = self.join(self.before().await?, self.keys()?, JoinType::LeftSemi, None)?;
        let all = self.highest(before, NEW_VERSION)?.union(self.keys()?)?;
        Ok(all.aggregate(self.new_key(), vec![max(col(NEW_VERSION)).alias(BEST_VERSION)])?)
    }

    fn new_key(&self) -> Vec<Expr> {
        self.new_key.iter().map(|column| col(column.as_str())).collect()
    }
}

/// The place of a row among the new ones: files by their numbers, and within a file its records.
fn position() -> Expr {
    let file = cast(col(SOURCE), DataType::Int64) * lit(RECORDS_IN_FILE);
    file + col(SOURCE_ROW)
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(0)
}
