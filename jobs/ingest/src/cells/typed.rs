//! Typed columns of an export, taken as they are, without a way through text.
//!
//! Where [`is_taken`] holds, [`take`] gives the same array and the same faults as the column's text would give by
//! [`super::text`]. Elsewhere the text must decide: where the mapping replaces values, or where values of the type are
//! written in another way (decimals, 32-bit floating-point numbers, times of a zone other than UTC). Only the values of
//! faults are formatted.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Int32Array, PrimitiveArray},
    compute::cast,
    datatypes::{DataType, Date32Type, Float64Type, Int32Type, TimestampMicrosecondType},
};
use chrono::NaiveDate;
use tidewaiter_archive::schema::{Check, Kind};
use tidewaiter_core::Result;

use super::rules::{ColumnRule, Faults};

/// The first valid day and the first day after the valid ones, 1900-01-01 and 2201-01-01, since 1970-01-01.
const DAYS: [i32; 2] = [first_day(1900), first_day(2201)];

/// Microseconds in a day.
const DAY: i64 = 86_400_000_000;

const OUTSIDE: &str = "date outside the years 1900 to 2200";

const fn first_day(year: i32) -> i32 {
    match NaiveDate::from_ymd_opt(year, 1, 1) {
        Some(date) => date.to_epoch_days(),
        None => 0,
    }
}

/// A column as it is archived and, for times, the offsets from UTC (all 0).
pub(super) struct Taken {
    pub(super) values: ArrayRef,
    pub(super) offsets: Option<ArrayRef>,
}

/// Whether a column of this type is taken as it is; an offset is, where its time is.
pub(crate) fn is_taken(rule: &ColumnRule, from: &DataType) -> bool {
    rule.takes_values_as_they_are()
        && match rule.column.kind {
            Kind::Number => from.is_integer() || from == &DataType::Float64,
            Kind::Integer => from.is_integer(),
            Kind::Date => matches!(from, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)),
            Kind::Time | Kind::Offset => {
                matches!(from, DataType::Timestamp(_, Some(zone)) if zone.as_ref() == "UTC")
            }
            Kind::Flag => from == &DataType::Boolean,
            Kind::Text | Kind::Position => false,
        }
}

/// The values of a column that [`is_taken`]; values that fail are added to `faults`.
pub(super) fn take(rule: &ColumnRule, source: &ArrayRef, faults: &mut Faults) -> Result<Taken> {
    let values = cast(source, &rule.column.kind.data_type())?;
    let not_negative = rule.column.check == Check::NotNegative;
    let mut offsets = None;
    match rule.column.kind {
        Kind::Number => mark::<Float64Type>(rule, source, &values, faults, "not a number", |value| {
            let negative = (value < 0.0 && not_negative).then_some("negative");
            if value.is_finite() { negative } else { Some("not a number") }
        })?,
        Kind::Integer => mark::<Int32Type>(rule, source, &values, faults, "not a whole number", |value| {
            (value < 0 && not_negative).then_some("negative")
        })?,
        Kind::Date => mark::<Date32Type>(rule, &values, &values, faults, OUTSIDE, |day| {
            (!(DAYS[0]..DAYS[1]).contains(&day)).then_some(OUTSIDE)
        })?,
        Kind::Time => {
            let [first, after] = DAYS.map(|day| i64::from(day) * DAY);
            mark::<TimestampMicrosecondType>(rule, source, &values, faults, OUTSIDE, |time| {
                (!(first..after).contains(&time)).then_some(OUTSIDE)
            })?;
            let zeros = Int32Array::new(vec![0; values.len()].into(), values.nulls().cloned());
            offsets = Some(Arc::new(zeros) as ArrayRef);
        }
        _ => mark_missing(rule, source, faults),
    }
    Ok(Taken { values, offsets })
}

/// Adds the faults of required values that are missing, of values that the archive's type cannot hold (for the reason
/// `beyond`) and of values for which `refused` gives a reason.
fn mark<T: ArrowPrimitiveType>(
    rule: &ColumnRule,
    source: &ArrayRef,
    values: &ArrayRef,
    faults: &mut Faults,
    beyond: &'static str,
    refused: impl Fn(T::Native) -> Option<&'static str>,
) -> Result<()> {
    mark_missing(rule, source, faults);
    let values: &PrimitiveArray<T> = values.as_primitive();
    for (row, value) in values.values().iter().enumerate() {
        let reason = if values.is_valid(row) { refused(*value) } else { Some(beyond) };
        if let Some(reason) = reason
            && source.is_valid(row)
        {
            faults.add(row, rule.column.name, reason, &value_text(source, row)?);
        }
    }
    Ok(())
}

/// Adds the faults of required values that are missing.
fn mark_missing(rule: &ColumnRule, source: &ArrayRef, faults: &mut Faults) {
    if rule.column.required && source.null_count() > 0 {
        for row in (0..source.len()).filter(|row| source.is_null(*row)) {
            faults.add(row, rule.column.name, "missing", "");
        }
    }
}

/// A value as text; empty where it is null.
pub(crate) fn value_text(column: &ArrayRef, row: usize) -> Result<String> {
    let text = cast(&column.slice(row, 1), &DataType::Utf8)?;
    let text = text.as_string::<i32>();
    Ok(if text.is_valid(0) { text.value(0).to_owned() } else { String::new() })
}
