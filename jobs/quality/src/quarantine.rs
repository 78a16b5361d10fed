//! What ingest refused, as far as the profile reads it.
//!
//! It is in the table `quarantine`; what earlier versions refused is in files of the same folder that belong to no table,
//! with other names of columns. Both have the table and the country of the export, and the rule and the column of each
//! row's first failure. Start at [`counts`].

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::prelude::SessionContext;
use tidewaiter_archive::{Archive, provider::snapshot_provider, table::list_tables, tasks};
use tidewaiter_core::{
    Result, ResultExt,
    answers::{count, one_batch, rows, text},
    query::Plan as _,
};
use tidewaiter_proto::v1::ParquetFile;

use crate::results::QuarantineCount;

/// The table, and the folder of the files of earlier versions.
const QUARANTINE: &str = "quarantine";

/// The columns that are read of the files of earlier versions.
const COLUMNS: [&str; 4] = ["table", "country", "rule", "column"];

/// Whether a file below the folder is of an earlier version: `quarantine/<job>/<name>.parquet`. The files of the table
/// lie in its partitions.
fn is_of_earlier_version(path: &str) -> bool {
    let inner = path.strip_prefix(QUARANTINE).unwrap_or(path).trim_start_matches('/');
    inner.ends_with(".parquet") && !inner.contains('=') && !inner.starts_with("_delta_log")
}

/// The rows of a table that ingest refused, by country, rule and column.
///
/// # Errors
/// Those of the store and of the query.
pub async fn counts(
    session: &SessionContext,
    archive: &Archive,
    table: &str,
) -> Result<Vec<QuarantineCount>> {
    let objects = archive.list(QUARANTINE).await?;
    let files: Vec<ParquetFile> = objects
        .iter()
        .filter_map(|object| Some((archive.relative(&object.location)?, object.size)))
        .filter(|(path, _)| is_of_earlier_version(path))
        .map(|(path, size)| ParquetFile { path, size })
        .collect();
    let mut parts = Vec::new();
    if !files.is_empty() {
        let fields = COLUMNS.map(|name| Field::new(name, DataType::Utf8, true)).to_vec();
        let refused = tasks::scan(session, archive, files, Arc::new(Schema::new(fields)), false)?;
        session.register_table("refused_earlier", refused.into_view())?;
        parts.push(format!(
            "SELECT country, rule, \"column\" FROM refused_earlier WHERE coalesce(\"table\", '{table}') = '{table}'"
        ));
    }
    if list_tables(archive).await?.iter().any(|name| name == QUARANTINE) {
        session.register_table("refused", snapshot_provider(archive, QUARANTINE, None).await?)?;
        parts.push(format!(
            "SELECT country, rule, column_name AS \"column\" FROM refused WHERE table_name = '{table}'"
        ));
    }
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT country, rule, \"column\", count(*) AS n FROM ({}) GROUP BY country, rule, \"column\" \
         ORDER BY country, n DESC, rule, \"column\"",
        parts.join(" UNION ALL ")
    );
    let answer = one_batch(session.query(&sql).await?).await.context(|| "count what ingest refused")?;
    rows(&answer)
        .map(|row| {
            let of =
                |name: &str| Ok::<_, tidewaiter_core::Error>(text(&answer, name, row)?.unwrap_or_default());
            Ok(QuarantineCount {
                country: of("country")?,
                rule: of("rule")?,
                column: of("column")?,
                rows: count(&answer, "n", row)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_earlier_versions_are_those_beside_the_partitions() {
        for (path, wanted) in [
            ("quarantine/01JOB/01JOB-0.parquet", true),
            ("quarantine/country=KR/year=2024/month=1/01JOB-0-00000.parquet", false),
            ("quarantine/_delta_log/00000000000000000010.checkpoint.parquet", false),
            ("quarantine/_delta_log/00000000000000000000.json", false),
        ] {
            assert_eq!(is_of_earlier_version(path), wanted, "{path}");
        }
    }
}
