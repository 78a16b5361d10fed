//! The raw export: batches as CSV text, with some of the errors that real exports have. Start at [`write_csv`].

use std::io::Write;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType, Date32Type, Float64Type, Int32Type},
};
use chrono::{DateTime, Datelike};
use tidewaiter_core::{Error, Result};

use crate::batch::SynthBatch;

/// Writes a batch as CSV (RFC 4180, line feeds) with the errors that its truth names, and returns how many rows have one.
/// With `header` the first line has the column names, which are those of the archive. Dates are `YYYY-MM-DD`, nulls are
/// empty, flags are `true` and `false`.
///
/// # Errors
/// Those of `writer`; [`tidewaiter_core::ErrorKind::Internal`] when the truth does not belong to the declarations.
pub fn write_csv(batch: &SynthBatch, header: bool, writer: &mut impl Write) -> Result<u64> {
    let (rows, truth) = (&batch.declarations, &batch.truth);
    let planted = truth.column_by_name("planted_error").filter(|planted| planted.len() == rows.num_rows());
    let planted =
        planted.ok_or_else(|| Error::internal("the truth has no planted_error for each declaration"))?;
    let planted = planted.as_string::<i32>();
    let mut text = Vec::with_capacity(1 << 16);
    if header {
        for (index, field) in rows.schema().fields().iter().enumerate() {
            separate(&mut text, index);
            text.extend_from_slice(field.name().as_bytes());
        }
        text.push(b'\n');
    }
    let columns = ErrorColumns::of(rows)?;
    let mut bad = 0;
    for row in 0..rows.num_rows() {
        let error = planted.is_valid(row).then(|| planted.value(row));
        bad += u64::from(error.is_some());
        for (index, column) in rows.columns().iter().enumerate() {
            separate(&mut text, index);
            match error {
                Some("impossible_date") if index == columns.date => text.extend_from_slice(b"2021-02-30"),
                Some("unknown_country") if index == columns.origin => text.extend_from_slice(b"QQ"),
                Some("negative_mass") if index == columns.mass => {
                    text.push(b'-');
                    cell(&mut text, column, row)?;
                }
                Some("letters_in_number") if index == columns.value => {
                    cell(&mut text, column, row)?;
                    text.extend_from_slice(b"O0");
                }
                _ => cell(&mut text, column, row)?,
            }
        }
        text.push(b'\n');
        if text.len() >= 1 << 16 {
            writer.write_all(&text)?;
            text.clear();
        }
    }
    writer.write_all(&text)?;
    Ok(bad)
}

/// The columns that get the planted errors.
struct ErrorColumns {
    date: usize,
    origin: usize,
    mass: usize,
    value: usize,
}

impl ErrorColumns {
    fn of(rows: &RecordBatch) -> Result<Self> {
        let schema = rows.schema();
        Ok(Self {
            date: schema.index_of("acceptance_date")?,
            origin: schema.index_of("origin")?,
            mass: schema.index_of("net_mass")?,
            value: schema.index_of("customs_value")?,
        })
    }
}

fn separate(text: &mut Vec<u8>, index: usize) {
    if index > 0 {
        text.push(b',');
    }
}

fn cell(text: &mut Vec<u8>, column: &ArrayRef, row: usize) -> Result<()> {
    if column.is_null(row) {
        return Ok(());
    }
    match column.data_type() {
        DataType::Utf8 => {
            let value = column.as_string::<i32>().value(row).as_bytes();
            if value.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
                text.push(b'"');
                for &byte in value {
                    if byte == b'"' {
                        text.push(b'"');
                    }
                    text.push(byte);
                }
                text.push(b'"');
            } else {
                text.extend_from_slice(value);
            }
        }
        DataType::Date32 => {
            let days = i64::from(column.as_primitive::<Date32Type>().value(row));
            let date = DateTime::from_timestamp(days * 86_400, 0).unwrap_or_default().date_naive();
            write!(text, "{:04}-{:02}-{:02}", date.year(), date.month(), date.day())?;
        }
        DataType::Int32 => write!(text, "{}", column.as_primitive::<Int32Type>().value(row))?,
        DataType::Float64 => number(text, column.as_primitive::<Float64Type>().value(row))?,
        DataType::Boolean => {
            text.extend_from_slice(if column.as_boolean().value(row) { b"true" } else { b"false" });
        }
        other => return Err(Error::internal(format!("no CSV form for {other}"))),
    }
    Ok(())
}

/// Writes a number: hundredths with two decimals, which is faster than the shortest exact form; others in that form.
fn number(text: &mut Vec<u8>, value: f64) -> Result<()> {
    let hundredths = (value * 100.0).round();
    if hundredths / 100.0 == value && (0.0..1e15).contains(&hundredths) {
        let hundredths = hundredths as u64;
        write!(text, "{}.{:02}", hundredths / 100, hundredths % 100)?;
    } else {
        write!(text, "{value}")?;
    }
    Ok(())
}
