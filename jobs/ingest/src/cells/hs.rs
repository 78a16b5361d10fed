//! HS codes: their length, and the zero that spreadsheets take from the codes of chapters 1 to 9.
//!
//! A code has an even number of digits, unless the mapping says how many it has. Any other number of digits is a code
//! that lost its zero, or one that was cut: `9011100` can be `09011100` (coffee) and `901110` with a digit too many
//! (microscopes). It is restored where exactly one reading is in the nomenclature, and refused elsewhere. Start at
//! [`code`].

use std::borrow::Cow;

use super::{numbers::whole, rules::HsRule};

/// The correction of a restored code, as it is counted.
pub(super) const RESTORED: &str = "leading zero of an HS code restored";

/// The most digits of a code.
const MOST_DIGITS: usize = 12;

/// The code of a cell.
pub(super) fn code<'a>(rule: &HsRule, text: &'a str) -> Result<Cow<'a, str>, Cow<'static, str>> {
    // Databases write a code as a decimal number.
    let text = if text.contains('.') { whole(text, false) } else { text };
    if !(2..=MOST_DIGITS).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("not an HS code of 2 to 12 digits".into());
    }
    let is_whole = match rule.digits.is_empty() {
        true => text.len() % 2 == 0,
        false => rule.digits.contains(&text.len()),
    };
    if is_whole {
        return Ok(Cow::Borrowed(text));
    }
    let restored = format!("0{text}");
    let is_long_enough = match rule.digits.is_empty() {
        true => restored.len() <= MOST_DIGITS,
        false => rule.digits.contains(&restored.len()),
    };
    let is_read_with_zero = is_long_enough && rule.has(&restored);
    // Without a known length the code may also be one with a digit too many or too few.
    let is_read_as_it_is = rule.digits.is_empty() && rule.has(text);
    if is_read_with_zero && !is_read_as_it_is {
        return Ok(Cow::Owned(restored));
    }
    Err(refusal(rule))
}

impl HsRule {
    /// Whether the nomenclature has the longest beginning of a code that it can have.
    fn has(&self, code: &str) -> bool {
        let length = code.len().min(6) / 2 * 2;
        self.nomenclature.contains(&code[..length])
    }
}

/// Why a code of an odd length is refused.
fn refusal(rule: &HsRule) -> Cow<'static, str> {
    let digits: Vec<String> = rule.digits.iter().map(usize::to_string).collect();
    match (digits.is_empty(), rule.nomenclature.is_empty()) {
        (true, true) => "an HS code with an odd number of digits: it may have lost its leading zero".into(),
        (false, true) => format!(
            "an HS code that does not have {} digits: it may have lost its leading zero",
            digits.join(" or ")
        )
        .into(),
        (true, false) => {
            "an HS code with an odd number of digits that the nomenclature does not decide".into()
        }
        (false, false) => format!(
            "an HS code that does not have {} digits, nor with a leading zero in the nomenclature",
            digits.join(" or ")
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
            let found = code(&rule(digits, codes), text);
            assert_eq!(found.as_deref().ok(), wanted, "{digits:?} {text}: {found:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_an_even_code_stays(text in "[0-9é.]{0,14}", digits in 2_usize..13) {
            let _ = code(&rule(&[digits], &["0101", "010121"]), &text);
            if let Ok(found) = code(&rule(&[], &[]), &text) {
                prop_assert!(text.starts_with(found.as_ref()) && found.len() % 2 == 0);
            }
        }
    }
}
