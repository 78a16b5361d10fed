//! From the text of a column's cells to an Arrow array, with the checks of [`Check`].
//!
//! One pass for each column of a block. A cell that fails becomes null and marks its row, and marked rows are removed
//! from the batch afterwards, so that columns do not depend on each other's failures. Start at [`convert`].

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int32Builder, StringBuilder,
    TimestampMicrosecondBuilder, new_null_array,
};
use chrono::{Datelike, NaiveDate, format::ParseErrorKind};
use tidewaiter_archive::schema::{Check, Kind};

use super::{
    codes,
    rules::{ColumnRule, Faults},
    times::{self, LastDate},
};

/// Day number of 1970-01-01 in chrono's count from the common era.
const EPOCH_DAY: i32 = 719_163;

/// Reads one cell after the other; `push` receives the value of every row.
fn each<'a, T>(
    rule: &'a ColumnRule,
    rows: usize,
    cell: impl Fn(usize) -> Option<&'a str>,
    faults: &mut Faults,
    mut parse: impl FnMut(&'a str) -> Result<T, &'static str>,
    mut push: impl FnMut(Option<T>),
) {
    for row in 0..rows {
        let raw = cell(row);
        let value = match raw.and_then(|raw| rule.clean(raw)) {
            Some(text) => match parse(text) {
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
pub(crate) fn convert<'a>(
    rule: &'a ColumnRule,
    rows: usize,
    cell: impl Fn(usize) -> Option<&'a str>,
    faults: &mut Faults,
) -> ArrayRef {
    match rule.column.kind {
        Kind::Text => {
            let mut builder = StringBuilder::with_capacity(rows, rule.text_bytes.get() * 9 / 8);
            each(rule, rows, cell, faults, |text| rule.text(text), |value| builder.append_option(value));
            rule.text_bytes.set(builder.values_slice().len());
            Arc::new(builder.finish())
        }
        Kind::Date => {
            let mut builder = Date32Builder::with_capacity(rows);
            each(rule, rows, cell, faults, |text| rule.date(text), |value| builder.append_option(value));
            Arc::new(builder.finish())
        }
        Kind::Integer => {
            let mut builder = Int32Builder::with_capacity(rows);
            each(rule, rows, cell, faults, |text| rule.integer(text), |value| builder.append_option(value));
            Arc::new(builder.finish())
        }
        Kind::Number => {
            let mut builder = Float64Builder::with_capacity(rows);
            let mut scratch = String::new();
            let number = |text: &'a str| rule.number(text, &mut scratch);
            each(rule, rows, cell, faults, number, |value| builder.append_option(value));
            Arc::new(builder.finish())
        }
        Kind::Flag => {
            let mut builder = BooleanBuilder::with_capacity(rows);
            each(rule, rows, cell, faults, flag, |value| builder.append_option(value));
            Arc::new(builder.finish())
        }
        Kind::Time => times_and_offsets(rule, rows, cell, faults).0,
        // Not from a cell of its own, but from the time or from the record.
        Kind::Offset | Kind::Position => new_null_array(&rule.column.kind.data_type(), rows),
    }
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
        |text| times::parse(text, &rule.formats, rule.zone, &mut last),
        |time| {
            times.append_option(time.map(|time| time.microseconds));
            offsets.append_option(time.map(|time| time.offset_minutes));
        },
    );
    (Arc::new(times.finish()), Arc::new(offsets.finish()))
}

impl ColumnRule {
    /// The text of a cell after trimming and replacements; `None` where it means null.
    fn clean<'a>(&'a self, cell: &'a str) -> Option<&'a str> {
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

    fn number(&self, text: &str, scratch: &mut String) -> Result<f64, &'static str> {
        let mark = if self.decimal_comma { b',' } else { b'.' };
        let parsed = if let Some(number) = plain_decimal(text, mark) {
            Ok(number)
        } else if self.decimal_comma {
            if text.contains('.') {
                return Err("not a number");
            }
            scratch.clear();
            scratch.extend(text.chars().map(|character| if character == ',' { '.' } else { character }));
            scratch.parse::<f64>()
        } else {
            text.parse::<f64>()
        };
        match parsed {
            Ok(number) if !number.is_finite() => Err("not a number"),
            Ok(number) if number < 0.0 && self.column.check == Check::NotNegative => Err("negative"),
            Ok(number) => Ok(number),
            Err(_) => Err("not a number"),
        }
    }

    fn integer(&self, text: &str) -> Result<i32, &'static str> {
        // Spreadsheets and columns of floating-point numbers write 3 as 3.0.
        let whole = text.strip_suffix(".0").unwrap_or(text);
        match whole.parse::<i32>() {
            Ok(number) if number < 0 && self.column.check == Check::NotNegative => Err("negative"),
            Ok(number) => Ok(number),
            Err(_) => Err("not a whole number"),
        }
    }

    fn date(&self, text: &str) -> Result<i32, &'static str> {
        let mut rule = "not a date in the mapping's formats";
        for format in &self.formats {
            let parsed = if format == "%Y-%m-%d" { iso_date(text) } else { None };
            let parsed = parsed.map_or_else(|| NaiveDate::parse_from_str(text, format), Ok);
            match parsed {
                Ok(date) if (1900..=2200).contains(&date.year()) => {
                    return Ok(date.num_days_from_ce() - EPOCH_DAY);
                }
                Ok(_) => rule = "date outside the years 1900 to 2200",
                Err(error)
                    if matches!(error.kind(), ParseErrorKind::OutOfRange | ParseErrorKind::Impossible) =>
                {
                    rule = "impossible date";
                }
                Err(_) => {}
            }
        }
        Err(rule)
    }

    fn text<'a>(&self, text: &'a str) -> Result<&'a str, &'static str> {
        match self.column.check {
            Check::Country if !codes::is_country(text) => Err("not an ISO 3166-1 alpha-2 country"),
            Check::Currency if !codes::is_currency(text) => Err("not an ISO 4217 currency"),
            Check::HsCode if !(2..=12).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) => {
                Err("not an HS code of 2 to 12 digits")
            }
            Check::OneOf(words) if !words.contains(&text) => Err("not one of the column's words"),
            _ => Ok(text),
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

/// The powers of ten up to the longest fraction that [`plain_decimal`] reads.
const POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// The common case of a number, at most 15 digits and at most one decimal mark; `None` for any other form.
///
/// The digits and the power of ten are both exact then, so that the one division rounds correctly
/// (Clinger, "How to Read Floating Point Numbers Accurately", PLDI 1990).
fn plain_decimal(text: &str, mark: u8) -> Option<f64> {
    if text.len() > 16 {
        return None;
    }
    let (mut number, mut digits, mut before_mark) = (0_u64, 0, None);
    for &byte in text.as_bytes() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            number = number * 10 + u64::from(digit);
            digits += 1;
        } else if byte == mark && before_mark.is_none() {
            before_mark = Some(digits);
        } else {
            return None;
        }
    }
    if digits == 0 || digits > 15 {
        return None;
    }
    Some(number as f64 / POWERS[digits - before_mark.unwrap_or(digits)])
}

fn flag(text: &str) -> Result<bool, &'static str> {
    match text {
        "true" | "1" => return Ok(true),
        "false" | "0" => return Ok(false),
        _ => {}
    }
    let is = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["1", "true", "yes", "y"]) {
        Ok(true)
    } else if is(["0", "false", "no", "n"]) {
        Ok(false)
    } else {
        Err("not true or false")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::plain_decimal;

    #[test]
    fn plain_decimals_are_those_of_at_most_15_digits() {
        assert_eq!(plain_decimal("12,5", b','), Some(12.5));
        for text in ["5.", ".5", "007", "123456789012345", "0.00000000000001", "999999999999.999"] {
            assert_eq!(plain_decimal(text, b'.'), text.parse().ok(), "{text}");
        }
        for text in ["", ".", "-1", "+1", "1e5", "1,5", "1.2.3", "1234567890123456", "nan", "١"] {
            assert_eq!(plain_decimal(text, b'.'), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_plain_decimal_is_read_as_the_standard_library_reads_it(
            digits in 0_u64..1_000_000_000_000_000, places in 0_usize..16,
        ) {
            let mut text = digits.to_string();
            text.insert(text.len().saturating_sub(places), '.');
            let number = plain_decimal(&text, b'.').expect("is plain");
            prop_assert_eq!(number.to_bits(), text.parse::<f64>().expect("is a number").to_bits());
        }
    }
}
