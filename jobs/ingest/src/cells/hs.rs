//! HS codes: the marks with which tariffs print them, their length, and the zero that spreadsheets take from the codes of
//! chapters 1 to 9.
//!
//! A code has an even number of digits, unless the mapping says how many it has. Any other number of digits is a code
//! that lost its zero, or one that was cut: `9011100` can be `09011100` (coffee) and `901110` with a digit too many
//! (microscopes). It is restored where exactly one reading is in the nomenclature, and refused elsewhere.
//!
//! Tariffs print `0901.11.00`, `0901 11 00` or `8703.23-1010`. Such marks are dropped where they stand between groups
//! of digits as a tariff has them. A code of which a spreadsheet made a number (`8703.20` becomes `8703.2`, `0901.11`
//! becomes `901.11`) has another number of digits and is refused. Start at [`code`].

use std::borrow::Cow;

use super::{numbers::whole, rules::HsRule};

/// The corrections of codes, as they are counted.
pub(super) const RESTORED: &str = "leading zero of an HS code restored";
pub(super) const JOINED: &str = "marks between the digits of an HS code dropped";

/// The most digits of a code.
const MOST_DIGITS: usize = 12;

/// Digits of a heading and of a subheading: a hyphen or a space stands only after one of them.
const HEADING: usize = 4;
const SUBHEADING: usize = 6;

/// The most digits of a group after a mark.
const MOST_IN_GROUP: usize = 4;

/// How many codes were corrected.
#[derive(Debug, Default)]
pub(super) struct Corrections {
    /// Codes that lacked their leading zero.
    pub(super) restored: u64,
    /// Codes that had marks between their digits.
    pub(super) joined: u64,
}

/// The code of a cell.
pub(super) fn code<'a>(
    rule: &HsRule,
    text: &'a str,
    corrections: &mut Corrections,
) -> Result<Cow<'a, str>, Cow<'static, str>> {
    if is_digits(text) {
        return plain(rule, text, corrections);
    }
    let printed = code_digits(text);
    let is_known_length = printed.as_ref().is_some_and(|printed| rule.has_length(printed));
    // Databases write a code as a decimal number.
    let number = whole(text, false);
    if number.len() < text.len() && is_digits(number) {
        // 2203.00 is the number 2203 or the subheading 2203.00.
        let can_be_printed = number.len() == HEADING && is_known_length;
        match printed.filter(|_| can_be_printed) {
            Some(printed) if !rule.has_length(number) || rule.has(&printed) => {
                corrections.joined += 1;
                return Ok(Cow::Owned(printed));
            }
            Some(_) if rule.nomenclature.is_empty() => {
                return Err("an HS code with and without the zeros after its point: set `digits`".into());
            }
            _ => return plain(rule, number, corrections),
        }
    }
    match printed {
        Some(printed) if is_known_length => {
            corrections.joined += 1;
            Ok(Cow::Owned(printed))
        }
        Some(_) if rule.digits.is_empty() => {
            Err("an HS code with marks and an odd number of digits: it may have lost a zero".into())
        }
        Some(_) => Err(format!("an HS code with marks that does not have {} digits", rule.lengths()).into()),
        None => Err(NO_CODE.into()),
    }
}

/// Why a text is refused that is no code of any length.
const NO_CODE: &str = "not an HS code of 2 to 12 digits";

/// The code of a text of digits.
fn plain<'a>(
    rule: &HsRule,
    text: &'a str,
    corrections: &mut Corrections,
) -> Result<Cow<'a, str>, Cow<'static, str>> {
    if !(2..=MOST_DIGITS).contains(&text.len()) {
        return Err(NO_CODE.into());
    }
    if rule.has_length(text) {
        return Ok(Cow::Borrowed(text));
    }
    let restored = format!("0{text}");
    let is_read_with_zero = rule.has_length(&restored) && rule.has(&restored);
    // Without a known length the code may also be one with a digit too many or too few.
    let is_read_as_it_is = rule.digits.is_empty() && rule.has(text);
    if is_read_with_zero && !is_read_as_it_is {
        corrections.restored += 1;
        return Ok(Cow::Owned(restored));
    }
    Err(refusal(rule))
}

/// The digits of a code without the marks between them; `None` where a mark stands in another place than a tariff prints
/// it: `0901 0902` are two headings, and `901.11` is what a spreadsheet makes of `0901.11`.
pub fn code_digits(text: &str) -> Option<String> {
    let mut code = String::with_capacity(text.len());
    // The mark before the group, and the digits of the code before the group.
    let (mut mark, mut before) = (None, 0);
    for character in text.chars() {
        if character.is_ascii_digit() {
            code.push(character);
        } else if is_mark(character)
            && (code.len() - before).is_multiple_of(2)
            && is_group(mark, before, code.len())
        {
            (mark, before) = (Some(character), code.len());
        } else {
            return None;
        }
    }
    is_group(mark, before, code.len()).then_some(code)
}

/// Whether the digits between two places of a code can be a group after a mark.
fn is_group(mark: Option<char>, from: usize, to: usize) -> bool {
    let digits = to - from;
    match mark {
        None => digits > 0 && digits.is_multiple_of(2),
        Some('.') => (1..=MOST_IN_GROUP).contains(&digits),
        Some(_) if from == HEADING => digits == SUBHEADING - HEADING,
        Some(_) => from >= SUBHEADING && (1..=MOST_IN_GROUP).contains(&digits),
    }
}

fn is_mark(character: char) -> bool {
    matches!(character, '.' | '-' | ' ' | '\u{a0}' | '\u{2009}' | '\u{202f}')
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

impl HsRule {
    /// Whether a code has as many digits as a whole one.
    fn has_length(&self, code: &str) -> bool {
        match self.digits.is_empty() {
            true => (2..=MOST_DIGITS).contains(&code.len()) && code.len().is_multiple_of(2),
            false => self.digits.contains(&code.len()),
        }
    }

    /// The lengths of whole codes, as text.
    fn lengths(&self) -> String {
        self.digits.iter().map(usize::to_string).collect::<Vec<_>>().join(" or ")
    }

    /// Whether the nomenclature has the longest beginning of a code that it can have.
    fn has(&self, code: &str) -> bool {
        let length = code.len().min(6) / 2 * 2;
        self.nomenclature.contains(&code[..length])
    }
}

/// Why a code of an odd length is refused.
fn refusal(rule: &HsRule) -> Cow<'static, str> {
    match (rule.digits.is_empty(), rule.nomenclature.is_empty()) {
        (true, true) => "an HS code with an odd number of digits: it may have lost its leading zero".into(),
        (false, true) => format!(
            "an HS code that does not have {} digits: it may have lost its leading zero",
            rule.lengths()
        )
        .into(),
        (true, false) => {
            "an HS code with an odd number of digits that the nomenclature does not decide".into()
        }
        (false, false) => format!(
            "an HS code that does not have {} digits, nor with a leading zero in the nomenclature",
            rule.lengths()
        )
        .into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn rule(digits: &[usize], codes: &[&str]) -> HsRule {
        let nomenclature = codes.iter().map(|code| (*code).to_owned()).collect();
        HsRule { digits: digits.to_vec(), nomenclature: Arc::new(nomenclature) }
    }

    #[test]
    fn a_lost_zero_is_restored_where_one_reading_exists() {
        let both = ["0901", "090111", "9011", "901110", "0302", "030222", "010121", "0701", "07"];
        type Case<'a> = (&'a [usize], &'a [&'a str], &'a str, Option<&'a str>);
        let cases: [Case<'_>; 15] = [
            (&[], &[], "090111", Some("090111")),
            (&[], &[], "90111", None),
            (&[], &[], "1012100", None),
            (&[], &[], "8703231128.0000", Some("8703231128")),
            (&[], &both, "9011100", None),
            (&[8], &both, "9011100", Some("09011100")),
            (&[8], &both, "3022200", Some("03022200")),
            (&[], &both, "3022200", Some("03022200")),
            (&[], &both, "10121", Some("010121")),
            (&[], &both, "701", Some("0701")),
            (&[8], &[], "9011100", None),
            (&[8], &both, "901110", None),
            (&[9], &[], "850440019", Some("850440019")),
            (&[8, 10], &both, "8703231128", Some("8703231128")),
            (&[11], &[], "12345678", None),
        ];
        for (digits, codes, text, wanted) in cases {
            let found = code(&rule(digits, codes), text, &mut Corrections::default());
            assert_eq!(found.as_deref().ok(), wanted, "{digits:?} {text}: {found:?}");
        }
    }

    #[test]
    fn marks_of_tariffs_are_dropped_and_numbers_are_not_taken_for_codes() {
        let codes = ["2203", "220300", "0901", "090111", "8703"];
        type Case<'a> = (&'a [usize], &'a [&'a str], &'a str, Option<&'a str>);
        let cases: [Case<'_>; 34] = [
            (&[], &[], "0901.11.00", Some("09011100")),
            (&[], &[], "8703.23.31", Some("87032331")),
            (&[], &[], "0901 11 00", Some("09011100")),
            (&[], &[], "0901\u{a0}11\u{202f}00", Some("09011100")),
            (&[], &[], "0901-11", Some("090111")),
            (&[], &[], "8703.23-1010", Some("8703231010")),
            (&[], &[], "0901.1100", Some("09011100")),
            (&[], &[], "09.01", Some("0901")),
            (&[9], &[], "0901.11-000", Some("090111000")),
            (&[], &[], "0901.11-000", None),
            (&[8], &[], "0901.11.00", Some("09011100")),
            (&[10], &[], "0901.11.00", None),
            // Numbers that lost a zero.
            (&[], &[], "8703.2", None),
            (&[], &codes, "8703.2", None),
            (&[6], &codes, "8703.2", None),
            (&[], &codes, "901.11", None),
            (&[], &[], "901.110", None),
            (&[8], &codes, "901.1100", None),
            (&[], &codes, "901.11.00", None),
            // A subheading of zeros, or a number with zeros after its point.
            (&[], &[], "2203.00", None),
            (&[6], &[], "2203.00", Some("220300")),
            (&[4], &[], "2203.00", Some("2203")),
            (&[4, 6], &[], "2203.00", None),
            (&[], &codes, "2203.00", Some("220300")),
            (&[], &codes, "8703.00", Some("8703")),
            (&[], &[], "8703.0", Some("8703")),
            (&[], &[], "870323.00", Some("870323")),
            // Two codes, and what is none.
            (&[], &[], "0901 0902", None),
            (&[], &[], "090111-090112", None),
            (&[], &[], "87 88", None),
            (&[], &[], "0901..11", None),
            (&[], &[], "0901.11.", None),
            (&[], &[], ".090111", None),
            (&[], &[], "-0901", None),
        ];
        for (digits, codes, text, wanted) in cases {
            let found = code(&rule(digits, codes), text, &mut Corrections::default());
            assert_eq!(found.as_deref().ok(), wanted, "{digits:?} {codes:?} {text}: {found:?}");
        }
        let mut corrections = Corrections::default();
        for text in ["0901.11", "090111", "8703.0"] {
            code(&rule(&[], &[]), text, &mut corrections).expect("is a code");
        }
        assert_eq!((corrections.joined, corrections.restored), (1, 0));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_an_even_code_stays(text in "[0-9é. -]{0,14}", digits in 2_usize..13) {
            let _ = code(&rule(&[digits], &["0101", "010121"]), &text, &mut Corrections::default());
            if let Ok(found) = code(&rule(&[], &[]), &text, &mut Corrections::default()) {
                let digits: String = text.chars().filter(char::is_ascii_digit).collect();
                prop_assert!(digits.starts_with(found.as_ref()) && found.len() % 2 == 0);
            }
        }
    }
}
