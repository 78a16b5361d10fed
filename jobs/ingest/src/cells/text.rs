//! From the text of a column's cells to an Arrow array, with the checks of [`Check`].
//!
//! One pass for each column of a block. A cell that fails becomes null and marks its row, and marked rows are removed
//! from the batch afterwards, so that columns do not depend on each other's failures. Numbers and flags are read by
//! [`super::numbers`], HS codes by [`super::hs`]. Start at [`convert`].

use std::{borrow::Cow, sync::Arc};

use arrow::array::{
    Array, ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int32Builder, StringArray, StringBuilder,
    TimestampMicrosecondBuilder, new_null_array,
};
use chrono::{Datelike, NaiveDate, format::ParseErrorKind};
use memchr::{memchr, memchr2};
use tidewaiter_archive::schema::{Check, Kind};

use super::{
    codes::{self, List},
    hs,
    numbers::flag,
    rules::{ColumnRule, Faults, OUTSIDE},
    times::{self, LastDate},
};
use crate::entities;

/// Day number of 1970-01-01 in chrono's count from the common era.
const EPOCH_DAY: i32 = 719_163;

/// Microseconds in a day.
const DAY: i64 = 86_400_000_000;

/// The faults of a text that is no date.
pub(crate) const NO_DATE: &str = "not a date in the mapping's formats";
pub(crate) const IMPOSSIBLE_DATE: &str = "impossible date";

/// Why a cell is refused.
type Reason = Cow<'static, str>;

/// Reads one cell after the other; `push` receives the value of every row.
fn each<'a, T, R: Into<Reason>>(
    rule: &'a ColumnRule,
    rows: usize,
    cell: impl Fn(usize) -> Option<&'a str>,
    faults: &mut Faults,
    mut parse: impl FnMut(usize, &'a str) -> Result<T, R>,
    mut push: impl FnMut(Option<T>),
) {
    for row in 0..rows {
        let raw = cell(row);
        let value = match raw.and_then(|raw| rule.clean(raw)) {
            Some(text) => match parse(row, text) {
                Ok(value) => Some(value),
                Err(reason) => {
                    faults.add(row, rule.column.name, reason, raw.unwrap_or_default());
                    None
                }
            },
            None => {
                if rule.column.required {
                    faults.add(row, rule.column.name, "missing", raw.unwrap_or_default());
                }
                None
            }
        };
        push(value);
    }
}

/// The array of one column. A cell that fails is null in it and added to `faults`.
///
/// `day` gives the day of a row, since 1970-01-01, where it is known.
pub(crate) fn convert<'a>(
    rule: &'a ColumnRule,
    rows: usize,
    cell: impl Fn(usize) -> Option<&'a str>,
    day: impl Fn(usize) -> Option<i32>,
    faults: &mut Faults,
) -> ArrayRef {
    match rule.column.kind {
        Kind::Text if rule.column.check == Check::HsCode => {
            let mut builder = StringBuilder::with_capacity(rows, rule.text_bytes.get() * 9 / 8);
            let mut corrections = hs::Corrections::default();
            let code = |_, text: &'a str| hs::code(&rule.hs, text, &mut corrections);
            each(rule, rows, cell, faults, code, |value| builder.append_option(value));
            faults.repaired(rule.column.name, hs::RESTORED, corrections.restored);
            faults.repaired(rule.column.name, hs::JOINED, corrections.joined);
            rule.text_bytes.set(builder.values_slice().len());
            Arc::new(builder.finish())
        }
        Kind::Text => {
            let mut builder = StringBuilder::with_capacity(rows, rule.text_bytes.get() * 9 / 8);
            let text = |row: usize, text: &'a str| rule.text(text, || day(row));
            each(rule, rows, cell, faults, text, |value| builder.append_option(value));
            rule.text_bytes.set(builder.values_slice().len());
            readable(rule, builder.finish(), faults)
        }
        Kind::Date => {
            let mut builder = Date32Builder::with_capacity(rows);
            // Exports are more or less in the order of days, so that most cells are like the one before.
            let mut last: Option<(&'a str, i32)> = None;
            let date = |_, text: &'a str| match last {
                Some((before, day)) if before == text => Ok(day),
                _ => rule.date(text).inspect(|day| last = Some((text, *day))),
            };
            each(rule, rows, cell, faults, date, |value| builder.append_option(value));
            Arc::new(builder.finish())
        }
        Kind::Integer => {
            let mut builder = Int32Builder::with_capacity(rows);
            let mut scratch = String::new();
            let integer = |_, text: &'a str| rule.integer(text, &mut scratch);
            each(rule, rows, cell, faults, integer, |value| builder.append_option(value));
            Arc::new(builder.finish())
        }
        Kind::Number => {
            let mut builder = Float64Builder::with_capacity(rows);
            let mut scratch = String::new();
            let number = |_, text: &'a str| rule.number(text, &mut scratch);
            each(rule, rows, cell, faults, number, |value| builder.append_option(value));
            Arc::new(builder.finish())
        }
        Kind::Flag => {
            let mut builder = BooleanBuilder::with_capacity(rows);
            let flag = |_, text: &'a str| flag(text, rule.decimal_comma);
            each(rule, rows, cell, faults, flag, |value| builder.append_option(value));
            Arc::new(builder.finish())
        }
        Kind::Time => times_and_offsets(rule, rows, cell, faults).0,
        // Not from a cell of its own, but from the time or from the record.
        Kind::Offset | Kind::Position => new_null_array(&rule.column.kind.data_type(), rows),
    }
}

/// A column of texts without NUL, and without references of HTML where the texts are people's. Both are rare, so that
/// the column is searched as a whole first.
fn readable(rule: &ColumnRule, texts: StringArray, faults: &mut Faults) -> ArrayRef {
    let Some(first) = memchr2(0, b'&', texts.value_data()) else { return Arc::new(texts) };
    if memchr(0, texts.value_data()).is_some() {
        for (row, text) in texts.iter().enumerate() {
            if let Some(text) = text.filter(|text| memchr(0, text.as_bytes()).is_some()) {
                faults.add(row, rule.column.name, "a NUL byte", text);
            }
        }
    }
    let is_reference = memchr(b';', &texts.value_data()[first..]).is_some();
    if rule.column.check != Check::Any || !is_reference {
        return Arc::new(texts);
    }
    let mut decoded = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
    let mut count = 0;
    for text in &texts {
        let text = text.map(entities::decoded);
        count += u64::from(matches!(text, Some(Cow::Owned(_))));
        decoded.append_option(text);
    }
    faults.repaired(rule.column.name, "HTML character references decoded", count);
    Arc::new(decoded.finish())
}

/// The times of a column, and the offsets from UTC with which they were written.
pub(super) fn times_and_offsets<'a>(
    rule: &'a ColumnRule,
    rows: usize,
    cell: impl Fn(usize) -> Option<&'a str>,
    faults: &mut Faults,
) -> (ArrayRef, ArrayRef) {
    let mut times =
        TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(rule.column.kind.data_type());
    let mut offsets = Int32Builder::with_capacity(rows);
    let mut last = LastDate::default();
    each(
        rule,
        rows,
        cell,
        faults,
        |_, text| {
            let time = times::parse(text, &rule.formats, rule.zone, &mut last)?;
            let day = i32::try_from(time.microseconds.div_euclid(DAY)).unwrap_or(i32::MAX);
            rule.days.fault(day).map_or(Ok(time), Err)
        },
        |time| {
            times.append_option(time.map(|time| time.microseconds));
            offsets.append_option(time.map(|time| time.offset_minutes));
        },
    );
    (Arc::new(times.finish()), Arc::new(offsets.finish()))
}

impl ColumnRule {
    /// The text of a cell after trimming and replacements; `None` where it means null.
    pub(super) fn clean<'a>(&'a self, cell: &'a str) -> Option<&'a str> {
        let mut text = trim(cell);
        if text.is_empty() || self.nulls.iter().any(|null| null == text) {
            return None;
        }
        if !(self.values.is_empty() && self.other.is_none())
            && let Some(value) = self.values.get(text).or(self.other.as_ref())
        {
            text = value;
        }
        (!text.is_empty()).then_some(text)
    }

    fn date(&self, text: &str) -> Result<i32, &'static str> {
        let mut rule = NO_DATE;
        for format in &self.formats {
            let parsed = if format == "%Y-%m-%d" { iso_date(text) } else { None };
            let parsed = parsed.map_or_else(|| NaiveDate::parse_from_str(text, format), Ok);
            match parsed {
                Ok(date) if (1900..=2200).contains(&date.year()) => {
                    let day = date.num_days_from_ce() - EPOCH_DAY;
                    match self.days.fault(day) {
                        None => return Ok(day),
                        Some(fault) => rule = fault,
                    }
                }
                Ok(_) => rule = OUTSIDE,
                Err(error)
                    if matches!(error.kind(), ParseErrorKind::OutOfRange | ParseErrorKind::Impossible) =>
                {
                    rule = IMPOSSIBLE_DATE;
                }
                Err(_) => {}
            }
        }
        Err(rule)
    }

    /// A text that satisfies the column's check; `day` is asked for the day of the row where a code's dates matter.
    fn text<'a>(&self, text: &'a str, day: impl Fn() -> Option<i32>) -> Result<&'a str, Reason> {
        let (list, never, not_then) = match self.column.check {
            Check::Country => (
                List::Countries,
                "not an ISO 3166-1 alpha-2 country",
                "a country code that was not in force on that day",
            ),
            Check::Currency => {
                (List::Currencies, "not an ISO 4217 currency", "a currency that was not in force on that day")
            }
            Check::OneOf(words) if !words.contains(&text) => {
                return Err(Cow::Owned(format!("not one of {}", words.join(", "))));
            }
            _ => return Ok(text),
        };
        match codes::in_force(list, text, &day) {
            Ok(true) => Ok(text),
            _ if self.user_codes.iter().any(|code| code == text) => Ok(text),
            Ok(false) => Err(not_then.into()),
            Err(codes::Unknown) => Err(never.into()),
        }
    }
}

/// The common case of a date, ten bytes `YYYY-MM-DD`, without chrono's interpreter of formats.
fn iso_date(text: &str) -> Option<NaiveDate> {
    let bytes: &[u8; 10] = text.as_bytes().try_into().ok()?;
    let mut parts = [0_u32; 3];
    let mut part = 0;
    for (place, &byte) in bytes.iter().enumerate() {
        match (place, byte) {
            (4 | 7, b'-') => part += 1,
            (4 | 7, _) => return None,
            (_, b'0'..=b'9') => parts[part] = parts[part] * 10 + u32::from(byte - b'0'),
            _ => return None,
        }
    }
    NaiveDate::from_ymd_opt(i32::try_from(parts[0]).ok()?, parts[1], parts[2])
}

/// A cell without the white space around it, which most cells do not have.
fn trim(cell: &str) -> &str {
    match (cell.as_bytes().first(), cell.as_bytes().last()) {
        (Some(b'!'..=b'~'), Some(b'!'..=b'~')) => cell,
        _ => cell.trim(),
    }
}
