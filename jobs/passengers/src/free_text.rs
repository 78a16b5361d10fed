//! Contacts in free text: e-mail addresses and telephone numbers as airlines key them.
//!
//! IATA's reservation procedures (AIRIMP) have no `@`, `_` and `-`: an address is written with `//` for the first,
//! `..` for the second and `./` for the third.

/// What a free text holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// An e-mail address, in small letters.
    Email(String),
    /// A telephone number, its digits and a leading plus sign only.
    Phone(String),
}

/// Contact elements: of the phone of an agency, a business, a home, a mobile, and others.
const PHONES: [&str; 10] = ["CTCA", "CTCB", "CTCC", "CTCF", "CTCH", "CTCM", "CTCO", "CTCP", "CTCR", "CTCT"];

/// The contact that a text names by an element such as `CTCE` or `CTC M`.
#[must_use]
pub fn contact(text: &str) -> Option<Found> {
    let at = text.find("CTC")?;
    let (before, after) = text.split_at(at);
    if before.ends_with(|letter: char| letter.is_alphanumeric()) {
        return None;
    }
    let rest = after[3..].trim_start();
    let kind = rest.chars().next()?;
    let value = rest[kind.len_utf8()..].trim();
    if kind == 'E' {
        return email(value).map(Found::Email);
    }
    let known = PHONES.iter().any(|known| known.ends_with(kind));
    let value = if known { value } else { rest };
    let ends_element = value.starts_with(|letter: char| letter.is_ascii_digit() || letter == '+');
    ends_element.then(|| phone(value)).flatten().map(Found::Phone)
}

/// The e-mail address of a text in which separators are keyed, or which has them.
#[must_use]
pub fn email(text: &str) -> Option<String> {
    let word = text.split_whitespace().find(|word| word.contains("//") || word.contains('@'))?;
    let address = word.replace("//", "@").replace("..", "_").replace("./", "-").to_lowercase();
    let (local, host) = address.split_once('@')?;
    (!local.is_empty() && host.contains('.') && !host.contains('@')).then(|| address.clone())
}

/// The telephone numbers of a text, such as `H5555555555 W 1 555 555 5555`: each of at least five digits.
pub fn phones(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|letter: char| letter.is_ascii_alphabetic()).filter_map(phone)
}

/// The number of a text that has nothing else.
#[must_use]
pub fn phone(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let plus = if text.trim_start().starts_with('+') { "+" } else { "" };
    (digits.len() >= 5).then(|| format!("{plus}{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_are_found_in_free_text() {
        let email = |text: &str| Some(Found::Email(text.to_owned()));
        let phone = |text: &str| Some(Found::Phone(text.to_owned()));
        assert_eq!(contact("CTCE MOLLY..LOBB//GMAIL.COM"), email("molly_lobb@gmail.com"));
        assert_eq!(contact("CTCE LUCA.EULENBERGER//YAHOO.COM"), email("luca.eulenberger@yahoo.com"));
        assert_eq!(contact("CTCE MOLLY..LONT+50BB//GMAIL.COM"), email("molly_lont+50bb@gmail.com"));
        assert_eq!(contact("CTCE A./B//HOST.COM"), email("a-b@host.com"));
        assert_eq!(contact("CTCR 00115555555555"), phone("00115555555555"));
        assert_eq!(contact("YY CTCM 123456789"), phone("123456789"));
        assert_eq!(contact("EK CTC M 5432109876"), phone("5432109876"));
        assert_eq!(contact("CTC +44 20 7946 0000"), phone("+442079460000"));
        assert_eq!(contact("THIS PASSENGER IS A VIP"), None);
        assert_eq!(contact("FACTCM 123456"), None);
        assert_eq!(contact("CTCÜ"), None);
        assert_eq!(contact("CTC"), None);
    }

    #[test]
    fn one_text_can_have_several_telephones() {
        let found: Vec<_> = phones("H5555555555 W 1 555 555 5555 ").collect();
        assert_eq!(found, ["5555555555", "15555555555"]);
        assert_eq!(phones("SL1AA").count(), 0);
    }
}
