//! A report's tables for other programs: columns to make them of, and CSV and Parquet, the same bytes for the
//! same table.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array},
    datatypes::{Field, Schema},
};
use parquet::arrow::ArrowWriter;

use crate::Result;

/// A column of text.
pub fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// A column of counts.
pub fn counts(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(UInt64Array::from_iter_values(values))
}

/// A column of measured numbers.
pub fn numbers(values: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

/// A table of named columns, all of which may be null: a column's type must not depend on what it holds.
///
/// # Errors
/// [`crate::ErrorKind::Internal`] for columns of different lengths.
pub fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

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
