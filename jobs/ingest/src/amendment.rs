//! Which rows of a table are amended by new ones: those of the same country that are equal in the columns of the key
//! ([`tidewaiter_archive::schema::Layout::key`]). Start at [`amended`].

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::JoinType,
    functions_aggregate::expr_fn::count,
    logical_expr::{col, lit},
    prelude::{DataFrame, SessionContext},
};
use tidewaiter_archive::{DataFile, Snapshot, provider::snapshot_provider, schema::SOURCE};
use tidewaiter_core::{Result, answers};

use crate::removal::{Rewritten, Written, scan, write};

/// What a name of a column of the key begins with on the side of the new rows.
const NEW: &str = "new_";

/// The files that amended rows leave, and how many rows of each source do.
pub(crate) struct Amended {
    pub(crate) rewritten: Rewritten,
    pub(crate) by_source: BTreeMap<i32, i64>,
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
    let mut amended = Amended { rewritten: Rewritten::default(), by_source: BTreeMap::new() };
    let Some(country) = new.first().map(|file| file.country.as_str()) else { return Ok(amended) };
    let keys = keys(session, written, &snapshot.schema, key, new)?;
    let new_key: Vec<String> = key.iter().map(|column| format!("{NEW}{column}")).collect();
    let new_key: Vec<&str> = new_key.iter().map(String::as_str).collect();

    let (archive, table) = (written.table.archive(), written.table.name());
    let rows = session.read_table(snapshot_provider(archive, table, Some(snapshot.version)).await?)?;
    let source = if snapshot.schema.index_of(SOURCE).is_ok() { col(SOURCE) } else { lit(0) };
    let columns = key.iter().map(|column| col(*column));
    let columns = columns.chain([col("year"), col("month"), source.alias("number")]);
    let found = rows
        .filter(col("country").eq(lit(country)))?
        .select(columns.collect::<Vec<_>>())?
        .join(keys.clone(), JoinType::LeftSemi, key, &new_key, None)?
        .aggregate(vec![col("year"), col("month"), col("number")], vec![count(lit(1)).alias("n")])?;
    let found = answers::one_batch(found).await?;
    let mut months = Vec::new();
    for row in answers::rows(&found) {
        let of =
            |name: &str| answers::count(&found, name, row).map(|count| i64::try_from(count).unwrap_or(0));
        months.push((of("year")?, of("month")?));
        // Rows that were archived without a number count as of source 0, which there is not.
        *amended.by_source.entry(i32::try_from(of("number")?).unwrap_or(0)).or_default() += of("n")?;
    }
    amended.by_source.remove(&0);
    let is_amended = |file: &&DataFile| {
        file.country == country && months.contains(&(i64::from(file.year), i64::from(file.month)))
    };
    let files: Vec<DataFile> = snapshot.files.iter().filter(is_amended).cloned().collect();
    if files.is_empty() {
        return Ok(amended);
    }
    let stays = scan(session, written, &snapshot.schema, &files)?;
    let stays = stays.join(keys, JoinType::LeftAnti, key, &new_key, None)?;
    amended.rewritten.adds = write(stays, written, country, &format!("{name}-amended")).await?;
    amended.rewritten.removes = files;
    Ok(amended)
}

/// The keys of the rows of files, each once.
fn keys(
    session: &SessionContext,
    written: &Written<'_>,
    schema: &SchemaRef,
    key: &[&str],
    files: &[DataFile],
) -> Result<DataFrame> {
    let named = key.iter().map(|column| col(*column).alias(format!("{NEW}{column}")));
    Ok(scan(session, written, schema, files)?.select(named.collect::<Vec<_>>())?.distinct()?)
}
