//! What ingest refused, as far as the profile reads it.
//!
//! The files of the folder `quarantine` have the columns [`COLUMNS`]: the table and the country of the export, and the
//! rule and the column of each row's first failure. Start at [`counts`].

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::prelude::SessionContext;
use tidewaiter_archive::{Archive, tasks};
use tidewaiter_core::{
    Result, ResultExt,
    answers::{count, one_batch, rows, text},
};
use tidewaiter_proto::v1::ParquetFile;

use crate::results::QuarantineCount;

/// The columns that are read.
const COLUMNS: [&str; 4] = ["table", "country", "rule", "column"];

/// The rows of a table that ingest refused, by country, rule and column.
///
/// # Errors
/// Those of the store and of the query.
pub async fn counts(
    session: &SessionContext,
    archive: &Archive,
    table: &str,
) -> Result<Vec<QuarantineCount>> {
    let objects = archive.list("quarantine").await?;
    let files: Vec<ParquetFile> = objects
        .iter()
        .filter_map(|object| Some((archive.relative(&object.location)?, object.size)))
        .filter(|(path, _)| path.ends_with(".parquet"))
        .map(|(path, size)| ParquetFile { path, size })
        .collect();
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let fields = COLUMNS.map(|name| Field::new(name, DataType::Utf8, true)).to_vec();
    let refused = tasks::scan(session, archive, files, Arc::new(Schema::new(fields)), false)?;
    session.register_table("refused", refused.into_view())?;
    let sql = format!(
        "SELECT country, rule, \"column\", count(*) AS n FROM refused WHERE coalesce(\"table\", '{table}') = '{table}' \
         GROUP BY country, rule, \"column\" ORDER BY country, n DESC, rule, \"column\""
    );
    let answer = one_batch(session.sql(&sql).await?).await.context(|| "count what ingest refused")?;
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
