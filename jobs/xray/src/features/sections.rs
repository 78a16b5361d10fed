//! Sections of the Harmonized System, by which the goods of an image are told apart.
//!
//! Source: WCO, Harmonized System nomenclature, edition 2022: 21 sections of 97 chapters. Start at [`section`].

/// The last chapter of each section, from section I on.
const LAST_CHAPTERS: [u32; 21] =
    [5, 14, 15, 24, 27, 38, 40, 43, 46, 49, 63, 67, 70, 71, 83, 85, 89, 92, 93, 96, 97];

/// The section (1 to 21) of a code of at least two digits; `None` for what is no code.
pub fn section(code: &str) -> Option<u32> {
    let chapter: u32 = code.get(..2)?.parse().ok()?;
    let place = LAST_CHAPTERS.iter().position(|last| chapter <= *last)?;
    (chapter > 0).then_some(place as u32 + 1)
}

/// A section as it is printed, in Roman numerals.
pub fn numeral(section: u32) -> String {
    let parts = [(10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")];
    let mut rest = section;
    let mut text = String::new();
    for (value, letters) in parts {
        while rest >= value {
            text.push_str(letters);
            rest -= value;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chapters_lie_in_their_sections() {
        for (code, expected) in [
            ("0101", Some(1)),
            ("1511", Some(3)),
            ("2402", Some(4)),
            ("6109", Some(11)),
            ("8517120000", Some(16)),
            ("97", Some(21)),
            ("9801", None),
            ("0001", None),
            ("x", None),
            ("é1", None),
        ] {
            assert_eq!(section(code), expected, "{code}");
        }
        assert_eq!([1, 4, 9, 14, 21].map(numeral), ["I", "IV", "IX", "XIV", "XXI"]);
    }
}
