//! Typed columns of an export, taken as they are, without a way through text.
//!
//! Where [`is_taken`] holds, [`take`] gives the same array and the same faults as the column's text would give by
//! [`super::text`]. Elsewhere the text must decide: where the mapping replaces values, or where values of the type are
//! written in another way (decimals, 32-bit floating-point numbers, times of a zone other than UTC). Only the values of
//! faults are formatted.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, Date32Array, Int32Array, Int64Array, PrimitiveArray,
        make_array,
    },
    compute::cast,
    datatypes::{
        DataType, Date32Type, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    },
};
use tidewaiter_archive::schema::{Check, Kind};
use tidewaiter_core::{Error, Result};

use super::rules::{ColumnRule, Faults, OUTSIDE};

/// Microseconds in a day.
const DAY: i64 = 86_400_000_000;

/// Days before and after 1970 for which the calendar of times with a zone is computed.
const CALENDAR: i64 = 3_650_000;

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
    let values = match rule.column.kind {
        Kind::Date => days(source)?,
        _ => cast(source, &rule.column.kind.data_type())?,
    };
    let not_negative = rule.column.check == Check::NotNegative;
    let mut offsets = None;
    match rule.column.kind {
        Kind::Number => {
            mark::<Float64Type>(rule, [source, source], &values, faults, "not a number", |value| {
                let negative = (value < 0.0 && not_negative).then_some("negative");
                if value.is_finite() { negative } else { Some("not a number") }
            })?
        }
        Kind::Integer => {
            mark::<Int32Type>(rule, [source, source], &values, faults, "not a whole number", |value| {
                (value < 0 && not_negative).then_some("negative")
            })?
        }
        Kind::Date => {
            mark::<Date32Type>(rule, [source, &values], &values, faults, OUTSIDE, |day| {
                rule.days.fault(day)
            })?;
        }
        Kind::Time => {
            mark::<TimestampMicrosecondType>(rule, [source, source], &values, faults, OUTSIDE, |time| {
                rule.days.fault(i32::try_from(time.div_euclid(DAY)).unwrap_or(i32::MAX))
            })?;
            let zeros = Int32Array::new(vec![0; values.len()].into(), values.nulls().cloned());
            offsets = Some(Arc::new(zeros) as ArrayRef);
        }
        _ => mark_missing(rule, source, faults),
    }
    Ok(Taken { values, offsets })
}

/// Adds the faults of required values that are missing, of values that the archive's type cannot hold (for the reason
/// `beyond`) and of values for which `refused` gives a reason. A fault shows the value of the first of `shown`, or of
/// the second where that holds one.
fn mark<T: ArrowPrimitiveType>(
    rule: &ColumnRule,
    shown: [&ArrayRef; 2],
    values: &ArrayRef,
    faults: &mut Faults,
    beyond: &'static str,
    refused: impl Fn(T::Native) -> Option<&'static str>,
) -> Result<()> {
    let [source, read] = shown;
    mark_missing(rule, source, faults);
    let values: &PrimitiveArray<T> = values.as_primitive();
    for (row, value) in values.values().iter().enumerate() {
        let reason = if values.is_valid(row) { refused(*value) } else { Some(beyond) };
        if let Some(reason) = reason
            && source.is_valid(row)
        {
            let shown = if read.is_valid(row) { read } else { source };
            faults.add(row, rule.column.name, reason, &value_text(shown, row)?);
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

/// The days, since 1970-01-01, of a column of days or times, by the clock of its zone; null where an archive's day
/// cannot hold it. Division rounds down, so that no time before 1970 falls on the next day.
pub(crate) fn days(source: &ArrayRef) -> Result<ArrayRef> {
    let in_a_day = match source.data_type() {
        DataType::Date64 | DataType::Timestamp(TimeUnit::Millisecond, _) => 86_400_000,
        DataType::Timestamp(TimeUnit::Second, _) => 86_400,
        DataType::Timestamp(TimeUnit::Microsecond, _) => DAY,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => DAY * 1000,
        _ => return Ok(cast(source, &DataType::Date32)?),
    };
    let numbers = numbers(source)?;
    let numbers = numbers.as_primitive::<Int64Type>();
    if let DataType::Timestamp(_, Some(zone)) = source.data_type()
        && zone.as_ref() != "UTC"
    {
        let is_in_calendar = |number: i64| (-CALENDAR..CALENDAR).contains(&number.div_euclid(in_a_day));
        let kept: Int64Array = numbers.unary_opt(|number| is_in_calendar(number).then_some(number));
        let kept = kept.into_data().into_builder().data_type(source.data_type().clone());
        let kept = kept.build().map_err(|error| Error::internal(format!("numbers are no times: {error}")))?;
        return Ok(cast(&make_array(kept), &DataType::Date32)?);
    }
    let days: Date32Array = numbers.unary_opt(|number| i32::try_from(number.div_euclid(in_a_day)).ok());
    Ok(Arc::new(days))
}

/// The 64-bit numbers of a column of times.
fn numbers(source: &ArrayRef) -> Result<ArrayRef> {
    let data = source.to_data().into_builder().data_type(DataType::Int64);
    let data = data.build().map_err(|error| Error::internal(format!("times are no numbers: {error}")))?;
    Ok(make_array(data))
}

/// A value as text; empty where it is null. A day or time beyond the calendar is given by its number.
pub(crate) fn value_text(column: &ArrayRef, row: usize) -> Result<String> {
    let one = column.slice(row, 1);
    if one.is_null(0) {
        return Ok(String::new());
    }
    if is_binary(column.data_type()) {
        let bytes = cast(&one, &DataType::Binary)?;
        return Ok(String::from_utf8_lossy(bytes.as_binary::<i32>().value(0)).into_owned());
    }
    if let Ok(text) = cast(&one, &DataType::Utf8)
        && text.is_valid(0)
    {
        return Ok(text.as_string::<i32>().value(0).to_owned());
    }
    let unit = match column.data_type() {
        DataType::Date32 => {
            return Ok(format!("{} days since 1970", one.as_primitive::<Date32Type>().value(0)));
        }
        DataType::Date64 | DataType::Timestamp(TimeUnit::Millisecond, _) => "ms",
        DataType::Timestamp(TimeUnit::Second, _) => "s",
        DataType::Timestamp(TimeUnit::Microsecond, _) => "µs",
        DataType::Timestamp(TimeUnit::Nanosecond, _) => "ns",
        _ => return Ok(String::new()),
    };
    Ok(format!("{} {unit} since 1970", numbers(&one)?.as_primitive::<Int64Type>().value(0)))
}

/// Whether a type holds bytes, in which some programs write texts.
pub(crate) fn is_binary(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_)
    )
}
