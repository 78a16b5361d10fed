//! A report's tables as files for other programs: CSV and Parquet, the same bytes for the same table.

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;

use crate::Result;

/// A table as CSV with a line of names; nulls are empty.
///
/// # Errors
/// [`crate::ErrorKind::Internal`] for a column that CSV cannot hold.
pub fn as_csv(table: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = arrow::csv::Writer::new(Vec::new());
    writer.write(table)?;
    Ok(writer.into_inner())
}

/// A table as Parquet.
///
/// # Errors
/// [`crate::ErrorKind::Internal`] when it cannot be encoded.
pub fn as_parquet(table: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = ArrowWriter::try_new(Vec::new(), table.schema(), None)?;
    writer.write(table)?;
    Ok(writer.into_inner()?)
}
