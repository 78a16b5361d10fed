//! Numbers and flags as people and programs write them: decimal marks, marks between thousands, whole numbers with zeros
//! after the mark. A text that could be read in two ways is refused. Start at [`ColumnRule::number`].

use tidewaiter_archive::schema::Check;

use super::rules::ColumnRule;

impl ColumnRule {
    /// A number of the column; `scratch` is used for texts that must be rewritten.
    pub(super) fn number(&self, text: &str, scratch: &mut String) -> Result<f64, &'static str> {
        let mark = if self.decimal_comma { b',' } else { b'.' };
        let parsed = if let Some(number) = plain_decimal(text, mark) {
            Some(number)
        } else if !self.thousands.is_empty() && text.contains(|character| self.is_thousands(character)) {
            self.without_thousands(text, scratch)
                .and_then(|()| plain_decimal(scratch, b'.').or_else(|| scratch.parse().ok()))
        } else if self.decimal_comma {
            scratch.clear();
            scratch.extend(text.chars().map(|character| if character == ',' { '.' } else { character }));
            if text.contains('.') { None } else { scratch.parse().ok() }
        } else {
            text.parse().ok()
        };
        match parsed {
            Some(number) if !number.is_finite() => Err("not a number"),
            Some(number) if number < 0.0 && self.column.check == Check::NotNegative => Err("negative"),
            Some(number) => Ok(number),
            None => Err("not a number"),
        }
    }

    /// A whole number of the column.
    pub(super) fn integer(&self, text: &str, scratch: &mut String) -> Result<i32, &'static str> {
        let marked = !self.thousands.is_empty() && text.contains(|character| self.is_thousands(character));
        let text = match marked {
            true => self.without_thousands(text, scratch).map_or(text, |()| scratch.as_str()),
            false => text,
        };
        match whole(text, self.decimal_comma).parse::<i32>() {
            Ok(number) if number < 0 && self.column.check == Check::NotNegative => Err("negative"),
            Ok(number) => Ok(number),
            Err(_) => Err("not a whole number"),
        }
    }

    /// Whether a character is one of the mapping's marks between thousands.
    fn is_thousands(&self, character: char) -> bool {
        self.thousands.iter().any(|mark| match mark {
            ' ' => matches!(character, ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}'),
            '\'' => matches!(character, '\'' | '\u{2019}'),
            mark => *mark == character,
        })
    }

    /// Writes a number without its marks between thousands, and with a decimal point, into `scratch`. The marks must be
    /// alike and stand where they belong: before three digits at the end of the whole part, before two or three
    /// elsewhere (`12,34,567` in India).
    fn without_thousands(&self, text: &str, scratch: &mut String) -> Option<()> {
        let decimal = if self.decimal_comma { ',' } else { '.' };
        let (whole, fraction) = match text.split_once(decimal) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let (sign, digits) = match whole.strip_prefix(['-', '+']) {
            Some(digits) => (&whole[..1], digits),
            None => ("", whole),
        };
        let mark = digits.chars().find(|character| self.is_thousands(*character))?;
        let mut groups = digits.split(mark).peekable();
        scratch.clear();
        scratch.push_str(sign);
        let mut is_first = true;
        while let Some(group) = groups.next() {
            let lengths = match (is_first, groups.peek().is_none()) {
                (true, _) => 1..=3,
                (_, true) => 3..=3,
                _ => 2..=3,
            };
            if !lengths.contains(&group.len()) || !group.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            is_first = false;
            scratch.push_str(group);
        }
        if let Some(fraction) = fraction {
            if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            scratch.push('.');
            scratch.push_str(fraction);
        }
        Some(())
    }
}

/// A whole number without the zeros of its fraction: databases and spreadsheets write 3 as `3.0` or `3.0000000000`.
pub(super) fn whole(text: &str, decimal_comma: bool) -> &str {
    let is_mark = |character: char| character == '.' || (character == ',' && decimal_comma);
    match text.split_once(is_mark) {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => whole,
        _ => text,
    }
}

/// A flag in one of the common notations.
pub(super) fn flag(text: &str, decimal_comma: bool) -> Result<bool, &'static str> {
    match text {
        "true" | "1" => return Ok(true),
        "false" | "0" => return Ok(false),
        _ => {}
    }
    let is = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match whole(text, decimal_comma) {
        "1" => Ok(true),
        "0" => Ok(false),
        _ if is(["true", "yes", "y"]) => Ok(true),
        _ if is(["false", "no", "n"]) => Ok(false),
        _ => Err("not true or false"),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{flag, plain_decimal, whole};

    #[test]
    fn whole_numbers_and_flags_may_have_zeros_after_the_mark() {
        for (text, wanted) in
            [("1.0", "1"), ("123.0000000000", "123"), ("1.5", "1.5"), ("1.", "1."), ("", "")]
        {
            assert_eq!(whole(text, false), wanted);
        }
        assert_eq!((whole("3,0", true), whole("3,0", false)), ("3", "3,0"));
        assert_eq!(
            (flag("1.0", false), flag("0.00", false), flag("YES", false)),
            (Ok(true), Ok(false), Ok(true))
        );
        assert!(flag("1.5", false).is_err() && flag("", false).is_err() && flag("2.0", false).is_err());
    }

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
