//! Character references of HTML in texts: `caf&eacute;`, `&#233;` and `&#xE9;` for `é`.
//!
//! Web forms store what people type with such references, so that a description has words that nobody wrote. Source:
//! the entities of HTML 4.01 (Latin 1, Greek and the common ones among symbols). A reference that is not known, or that
//! stands for a control character, stays as it is. Start at [`decoded`].

use std::borrow::Cow;

use memchr::memchr_iter;

/// Names of the characters from U+00A0 on, in order.
const LATIN_1: [&str; 96] = [
    "nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf", "laquo",
    "not", "shy", "reg", "macr", "deg", "plusmn", "sup2", "sup3", "acute", "micro", "para", "middot",
    "cedil", "sup1", "ordm", "raquo", "frac14", "frac12", "frac34", "iquest", "Agrave", "Aacute", "Acirc",
    "Atilde", "Auml", "Aring", "AElig", "Ccedil", "Egrave", "Eacute", "Ecirc", "Euml", "Igrave", "Iacute",
    "Icirc", "Iuml", "ETH", "Ntilde", "Ograve", "Oacute", "Ocirc", "Otilde", "Ouml", "times", "Oslash",
    "Ugrave", "Uacute", "Ucirc", "Uuml", "Yacute", "THORN", "szlig", "agrave", "aacute", "acirc", "atilde",
    "auml", "aring", "aelig", "ccedil", "egrave", "eacute", "ecirc", "euml", "igrave", "iacute", "icirc",
    "iuml", "eth", "ntilde", "ograve", "oacute", "ocirc", "otilde", "ouml", "divide", "oslash", "ugrave",
    "uacute", "ucirc", "uuml", "yacute", "thorn", "yuml",
];

/// Names of the Greek capital letters from U+0391 on; U+03A2 is no character.
const GREEK: [&str; 25] = [
    "Alpha", "Beta", "Gamma", "Delta", "Epsilon", "Zeta", "Eta", "Theta", "Iota", "Kappa", "Lambda", "Mu",
    "Nu", "Xi", "Omicron", "Pi", "Rho", "", "Sigma", "Tau", "Upsilon", "Phi", "Chi", "Psi", "Omega",
];

/// Other names.
const OTHERS: [(&str, char); 35] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("OElig", 'Œ'),
    ("oelig", 'œ'),
    ("Scaron", 'Š'),
    ("scaron", 'š'),
    ("Yuml", 'Ÿ'),
    ("fnof", 'ƒ'),
    ("circ", 'ˆ'),
    ("tilde", '˜'),
    ("ensp", '\u{2002}'),
    ("emsp", '\u{2003}'),
    ("thinsp", '\u{2009}'),
    ("ndash", '–'),
    ("mdash", '—'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("sbquo", '‚'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bdquo", '„'),
    ("bull", '•'),
    ("hellip", '…'),
    ("permil", '‰'),
    ("prime", '′'),
    ("Prime", '″'),
    ("lsaquo", '‹'),
    ("rsaquo", '›'),
    ("euro", '€'),
    ("trade", '™'),
    ("le", '≤'),
    ("ge", '≥'),
];

/// The longest reference between `&` and `;`, in bytes.
const LONGEST: usize = 10;

/// A text with its references replaced by their characters; borrowed where it has none.
pub fn decoded(text: &str) -> Cow<'_, str> {
    let mut next = find(text, 0);
    if next.is_none() {
        return Cow::Borrowed(text);
    }
    let (mut result, mut end) = (String::with_capacity(text.len()), 0);
    while let Some(reference) = next {
        result.push_str(&text[end..reference.start]);
        result.push(reference.character);
        end = reference.end;
        next = find(text, end);
    }
    result.push_str(&text[end..]);
    Cow::Owned(result)
}

/// A reference in a text: its character, and where it begins and ends.
#[derive(Clone, Copy)]
struct Reference {
    character: char,
    start: usize,
    end: usize,
}

/// The first reference at or after a place.
fn find(text: &str, from: usize) -> Option<Reference> {
    memchr_iter(b'&', &text.as_bytes()[from..]).find_map(|place| {
        let start = from + place;
        let rest = &text[start + 1..];
        let length = rest.bytes().take(LONGEST + 1).position(|byte| byte == b';')?;
        let character = character(&rest[..length])?;
        Some(Reference { character, start, end: start + length + 2 })
    })
}

/// The character of a reference without its `&` and `;`.
fn character(reference: &str) -> Option<char> {
    if let Some(number) = reference.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => u32::from_str_radix(hex, 16),
            None if number.bytes().all(|byte| byte.is_ascii_digit()) => number.parse(),
            _ => return None,
        };
        return char::from_u32(code.ok()?).filter(|character| !character.is_control());
    }
    let at = |first: u32, place: usize| char::from_u32(first + u32::try_from(place).ok()?);
    if let Some(place) = LATIN_1.iter().position(|name| *name == reference) {
        return at(0xa0, place);
    }
    if let Some((_, character)) = OTHERS.iter().find(|(name, _)| *name == reference) {
        return Some(*character);
    }
    if reference == "sigmaf" {
        return Some('ς');
    }
    let capital = |name: &&str| name.eq_ignore_ascii_case(reference) && name.len() > 1;
    let place = GREEK.iter().position(capital)?;
    if GREEK[place] == reference {
        at(0x391, place)
    } else if reference.bytes().all(|byte| byte.is_ascii_lowercase()) {
        at(0x3b1, place)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::decoded;

    #[test]
    fn references_become_their_characters() {
        for (text, wanted) in [
            ("caf&eacute; vert", "café vert"),
            ("&quot;M8&quot; &amp; &#233;&#xE9;&Omega;&alpha;", "\"M8\" & éé\u{3a9}\u{3b1}"),
            ("AT&T; R&D, a&b", "AT&T; R&D, a&b"),
            ("&nbsp;x&yuml;&euro;&Sigma;", "\u{a0}xÿ€\u{3a3}"),
            ("&#0;&#x110000;&#;&;&&amp;", "&#0;&#x110000;&#;&;&&"),
            ("&amp;eacute;", "&eacute;"),
            ("&é;&unknown;", "&é;&unknown;"),
        ] {
            assert_eq!(decoded(text), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_text_without_references_stays(text in "[&#;a-zé0-9]{0,40}") {
            let result = decoded(&text);
            prop_assert!(text.contains('&') || result == text);
        }
    }
}
