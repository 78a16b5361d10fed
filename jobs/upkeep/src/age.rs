//! Ages as a user writes them: `7d`, `12h`, `30m`, `45s` or `0`. Start at [`milliseconds`].

use tidewaiter_core::{Error, Result};

/// The milliseconds of an age.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for a text of another form.
pub fn milliseconds(text: &str) -> Result<i64> {
    let wrong =
        || Error::input(format!("{text:?} is no age; write a number and d, h, m or s, such as 7d, or 0"));
    let text = text.trim();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: i64 = digits.parse().map_err(|_| wrong())?;
    let unit: i64 = match &text[digits.len()..] {
        "d" => 24 * 60 * 60 * 1000,
        "h" => 60 * 60 * 1000,
        "m" => 60 * 1000,
        "s" => 1000,
        "" if number == 0 => 0,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).filter(|milliseconds| *milliseconds >= 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_number_and_a_unit() {
        for (text, wanted) in [("0", 0), ("0d", 0), ("45s", 45_000), ("2h", 7_200_000), ("7d", 604_800_000)] {
            assert_eq!(milliseconds(text).expect("an age"), wanted, "{text}");
        }
        for text in ["", "7", "-1d", "1w", "d", "1.5h", "99999999999999999d", "7 days"] {
            assert!(milliseconds(text).is_err(), "{text}");
        }
    }
}
