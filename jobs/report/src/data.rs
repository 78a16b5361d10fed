//! A report's tables for other programs: makes them of columns, and writes them as CSV and Parquet. The same table gives
//! the same bytes. Start at [`batch`].

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array},
    datatypes::{Field, Schema},
};
use parquet::arrow::ArrowWriter;
use tidewaiter_core::Result;

/// A column of text.
pub fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// A column of counts.
pub fn counts(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(UInt64Array::from_iter_values(values))
}

/// A column of 64-bit floats.
pub fn numbers(values: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

/// A table of named columns. All columns may hold nulls, so that the schema does not depend on the values.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] for columns of different lengths.
pub fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// The table as CSV, the names of the columns in the first line; nulls are empty.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] for a column that CSV cannot hold.
pub fn as_csv(table: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = arrow::csv::Writer::new(Vec::new());
    writer.write(table)?;
    Ok(writer.into_inner())
}

/// The table as a Parquet file.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when it cannot be encoded.
pub fn as_parquet(table: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = ArrowWriter::try_new(Vec::new(), table.schema(), None)?;
    writer.write(table)?;
    Ok(writer.into_inner()?)
}
