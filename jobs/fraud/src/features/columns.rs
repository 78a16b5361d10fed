//! Reading the columns of a batch of declarations, whole columns at a time.

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Date32Array, Int32Array, RecordBatch, StringArray},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Float64Type},
};
use tidewaiter_core::{Error, Result};

use super::keys::{MISSING, key_of};

/// A column in the archive's own type (engines also give views and dictionaries); `None` when the batch
/// lacks it.
pub(crate) fn column(batch: &RecordBatch, name: &str, kind: &DataType) -> Result<Option<ArrayRef>> {
    let Some(array) = batch.column_by_name(name) else { return Ok(None) };
    if array.data_type() == kind {
        return Ok(Some(array.clone()));
    }
    // Not `safe`: a value that does not convert is an error and does not turn into a missing one.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, kind, &options).map(Some).map_err(|error| {
        Error::input(format!("column {name} of a batch of declarations cannot be read as {kind}"))
            .with_source(error)
    })
}

/// A column that every row must have.
pub(crate) fn required(batch: &RecordBatch, name: &str, kind: &DataType) -> Result<ArrayRef> {
    let array = column(batch, name, kind)?.ok_or_else(|| {
        Error::input(format!("a batch of declarations lacks the column {name}: select it from the archive"))
    })?;
    if array.null_count() > 0 {
        return Err(Error::input(format!("a declaration has no {name}: ingest quarantines such rows")));
    }
    Ok(array)
}

/// A text column, null throughout when the batch lacks it.
pub(crate) fn text(batch: &RecordBatch, name: &str) -> Result<StringArray> {
    Ok(match column(batch, name, &DataType::Utf8)? {
        Some(array) => array.as_string::<i32>().clone(),
        None => StringArray::new_null(batch.num_rows()),
    })
}

/// A number column: NaN where null, negative, infinite, or the batch lacks it.
pub(crate) fn numbers(batch: &RecordBatch, name: &str) -> Result<Vec<f64>> {
    Ok(match column(batch, name, &DataType::Float64)? {
        Some(array) => array
            .as_primitive::<Float64Type>()
            .iter()
            .map(|value| value.filter(|value| value.is_finite() && *value >= 0.0).unwrap_or(f64::NAN))
            .collect(),
        None => vec![f64::NAN; batch.num_rows()],
    })
}

/// A flag column, null throughout when the batch lacks it.
pub(crate) fn flags(batch: &RecordBatch, name: &str) -> Result<BooleanArray> {
    Ok(match column(batch, name, &DataType::Boolean)? {
        Some(array) => array.as_boolean().clone(),
        None => BooleanArray::new_null(batch.num_rows()),
    })
}

/// The days of acceptance.
pub(crate) fn days(batch: &RecordBatch) -> Result<Date32Array> {
    Ok(required(batch, "acceptance_date", &DataType::Date32)?.as_primitive().clone())
}

/// The numbers of the goods items.
pub(crate) fn item_numbers(batch: &RecordBatch) -> Result<Int32Array> {
    Ok(required(batch, "item_number", &DataType::Int32)?.as_primitive().clone())
}

/// Keys of a text column; with `length`, of its first bytes, and missing where it is shorter.
pub(crate) fn keys(column: &StringArray, length: Option<usize>) -> Vec<u64> {
    column
        .iter()
        .map(|value| match value.map(str::as_bytes) {
            None | Some([]) => MISSING,
            Some(bytes) => match length {
                None => key_of(bytes),
                Some(length) => bytes.get(..length).map_or(MISSING, key_of),
            },
        })
        .collect()
}

/// The first `length` digits as a number; NaN where there are fewer.
pub(crate) fn digits(column: &StringArray, length: usize) -> Vec<f32> {
    let number = |bytes: &[u8]| {
        bytes.get(..length)?.iter().try_fold(0.0_f32, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10.0 + f32::from(byte - b'0'))
        })
    };
    column.iter().map(|value| value.and_then(|value| number(value.as_bytes())).unwrap_or(f32::NAN)).collect()
}

/// The first three bytes as a big-endian number, which keeps the order of codes and is exact in `f32`.
pub(crate) fn codes(column: &StringArray) -> Vec<f32> {
    column
        .iter()
        .map(|value| match value.map(str::as_bytes) {
            None | Some([]) => f32::NAN,
            Some(bytes) => (0..3).fold(0.0, |number, place| {
                number * 256.0 + f32::from(bytes.get(place).copied().unwrap_or_default())
            }),
        })
        .collect()
}
