//! Identifiers in their normal form, of which pseudonyms are made: what is written in different ways is the same.
//!
//! The empty text means that there is none. Start at [`name`].

use chrono::NaiveDate;
use tidewaiter_linkage::normalise::fold;

/// A person's name and birth: letters without marks, and the first given name alone, as airlines leave out others.
#[must_use]
pub(crate) fn name(surname: &str, given: &str, birth: Option<NaiveDate>) -> String {
    let (surname, given) = (glued(surname), fold(given));
    if surname.is_empty() {
        return String::new();
    }
    let first = given.split(' ').next().unwrap_or_default();
    format!("{surname}/{first}/{}", day(birth))
}

/// A birth.
#[must_use]
pub(crate) fn day(day: Option<NaiveDate>) -> String {
    day.map_or(String::new(), |day| day.format("%Y%m%d").to_string())
}

/// A document: issuer and number; none without a number.
#[must_use]
pub(crate) fn document(issuer: &str, number: &str) -> String {
    with(issuer, &characters(number))
}

/// A telephone: its digits without zeros before them.
#[must_use]
pub(crate) fn phone(text: &str) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.trim_start_matches('0').to_owned()
}

/// An e-mail address in small letters.
#[must_use]
pub(crate) fn email(text: &str) -> String {
    text.trim().to_lowercase()
}

/// A postal address: the letters and digits of street, city, postcode and country.
#[must_use]
pub(crate) fn address(parts: [&str; 4]) -> String {
    parts.map(glued).concat()
}

/// A payer's name: letters without marks.
#[must_use]
pub(crate) fn payer(text: &str) -> String {
    glued(text)
}

/// A number that is unique with what issued it: a frequent flyer number, a bag's tag, an agent.
#[must_use]
pub(crate) fn number_of(issuer: &str, number: &str) -> String {
    with(issuer, &characters(number))
}

/// A card's account: issuer, account as it is masked, and the month to which it is valid.
#[must_use]
pub(crate) fn account(vendor: &str, account: &str, expires: &str) -> String {
    let account = characters(account);
    if account.bytes().any(|byte| byte.is_ascii_digit()) {
        format!("{vendor}/{account}/{expires}")
    } else {
        String::new()
    }
}

fn with(before: &str, number: &str) -> String {
    if number.is_empty() { String::new() } else { format!("{before}/{number}") }
}

/// Letters without marks, digits, nothing between them.
fn glued(text: &str) -> String {
    fold(text).split(' ').collect()
}

/// Letters and digits, letters in capitals.
fn characters(text: &str) -> String {
    text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_uppercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_of_writing_are_one() {
        let birth = NaiveDate::from_ymd_opt(1980, 1, 2);
        assert_eq!(name("Müller", "Jürgen Kurt", birth), name("MUELLER", "JUERGEN", birth));
        assert_eq!(name("De la Cruz", "Ana", birth), "DELACRUZ/ANA/19800102");
        assert_eq!((name("", "ANA", birth), name("KIM", "", None)), (String::new(), "KIM//".to_owned()));
        assert_eq!(document("KOR", " m 123-456"), "KOR/M123456");
        assert_eq!(
            (document("KOR", "-"), phone("0082 2 123"), phone("+82 2-123")),
            (String::new(), "822123".into(), "822123".into())
        );
        assert_eq!(account("VI", "XXXXXXXXXXXX1234", "0128"), "VI/XXXXXXXXXXXX1234/0128");
        assert_eq!(account("VI", "XXXX", "0128"), "");
        assert_eq!(
            address(["1 Main St.", "Slough", "SL1", "GBR"]),
            address(["1 MAIN ST", "SLOUGH", "SL 1", "GBR"])
        );
    }
}
