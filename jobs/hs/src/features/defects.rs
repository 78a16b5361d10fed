//! Defects of descriptions, counted for the report; a defective description is used all the same where it has a word.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::ngrams::start_of;

/// Numbers of items by the defects of their descriptions; a description can have several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextDefects {
    /// No description, or only white space.
    pub empty: u64,
    /// One character.
    pub one_character: u64,
    /// Control characters, or bytes that are not UTF-8.
    pub junk: u64,
    /// Letters of several scripts.
    pub mixed_scripts: u64,
}

impl TextDefects {
    /// The defects of one description, 0 or 1 each.
    pub fn of(description: &str) -> Self {
        let text = start_of(description).trim();
        let mut scripts = 0_u32;
        let mut junk = false;
        for character in text.chars() {
            junk |= (character.is_control() && !character.is_whitespace())
                || character == char::REPLACEMENT_CHARACTER;
            scripts |= script(character).map_or(0, |script| 1 << script);
        }
        Self {
            empty: u64::from(text.is_empty()),
            one_character: u64::from(text.chars().take(2).count() == 1),
            junk: u64::from(junk),
            mixed_scripts: u64::from(scripts.count_ones() > 1),
        }
    }

    /// The same defects for so many items.
    pub fn times(self, items: u64) -> Self {
        Self {
            empty: self.empty * items,
            one_character: self.one_character * items,
            junk: self.junk * items,
            mixed_scripts: self.mixed_scripts * items,
        }
    }
}

impl AddAssign for TextDefects {
    fn add_assign(&mut self, other: Self) {
        self.empty += other.empty;
        self.one_character += other.one_character;
        self.junk += other.junk;
        self.mixed_scripts += other.mixed_scripts;
    }
}

/// A number for the script of a letter; Chinese and Japanese count as one. `None` for other scripts and for what is no
/// letter.
fn script(character: char) -> Option<u32> {
    if !character.is_alphabetic() {
        return None;
    }
    Some(match character {
        '\0'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' | '\u{ff21}'..='\u{ff5a}' => 0,
        '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => 1,
        '\u{400}'..='\u{52f}' => 2,
        '\u{530}'..='\u{58f}' => 3,
        '\u{590}'..='\u{5ff}' => 4,
        '\u{600}'..='\u{77f}' | '\u{fb50}'..='\u{feff}' => 5,
        '\u{900}'..='\u{dff}' => 6,
        '\u{e00}'..='\u{eff}' => 7,
        '\u{10a0}'..='\u{10ff}' => 8,
        '\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7af}' => 9,
        '\u{1200}'..='\u{137f}' => 10,
        '\u{2e80}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' => 11,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_defect_is_counted_by_itself() {
        let counts = |text: &str| {
            let TextDefects { empty, one_character, junk, mixed_scripts } = TextDefects::of(text);
            [empty, one_character, junk, mixed_scripts]
        };
        for (text, expected) in [
            ("frozen shrimps, 10 pcs", [0, 0, 0, 0]),
            ("écrevisses congelées", [0, 0, 0, 0]),
            ("", [1, 0, 0, 0]),
            (" \t\n", [1, 0, 0, 0]),
            ("x", [0, 1, 0, 0]),
            ("蝦", [0, 1, 0, 0]),
            ("boots\u{1}\u{7f}", [0, 0, 1, 0]),
            ("\u{fffd}", [0, 1, 1, 0]),
            ("冷凍蝦 shrimps", [0, 0, 0, 1]),
            ("冷凍エビ", [0, 0, 0, 0]),
            ("креветки ｓｈｒｉｍｐｓ", [0, 0, 0, 1]),
        ] {
            assert_eq!(counts(text), expected, "{text:?}");
        }
        let mut sum = TextDefects::of("x").times(3);
        sum += TextDefects::of("");
        assert_eq!((sum.one_character, sum.empty), (3, 1));
    }
}
