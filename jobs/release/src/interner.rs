//! Interned texts: each different text is kept once and known by a number.
//!
//! [`Interner`] keeps the texts in one buffer and finds them by open addressing; [`ColumnInterner`] numbers
//! columns of text views and caches recent views. Promise: numbers count from 0 in the order of first
//! occurrence.

use arrow::array::{Array, StringViewArray, UInt32Array};
use xxhash_rust::xxh3::xxh3_64;

/// A slot without a text.
const FREE: u32 = u32::MAX;

/// Different texts, numbered from 0 in the order of their first occurrence.
#[derive(Debug, Default)]
pub(super) struct Interner {
    /// The number of the text in each slot; a power of two of slots, at most half of them used.
    slots: Vec<u32>,
    /// The hash of each text.
    hashes: Vec<u64>,
    /// Where each text ends in `all`.
    ends: Vec<usize>,
    /// The texts one after the other.
    all: String,
}

impl Interner {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text of a number; empty where there is none.
    pub(super) fn text(&self, number: u32) -> &str {
        let number = number as usize;
        let from = number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(number).and_then(|end| self.all.get(from..*end)).unwrap_or_default()
    }

    /// The number of a text, which is added if it is new.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        if (self.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let hash = xxh3_64(text.as_bytes());
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.slots[at] {
                FREE => break,
                number if self.hashes[number as usize] == hash && self.text(number) == text => {
                    return number;
                }
                _ => at = (at + 1) & mask,
            }
        }
        let number = self.len() as u32;
        self.slots[at] = number;
        self.hashes.push(hash);
        self.all.push_str(text);
        self.ends.push(self.all.len());
        number
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(64);
        self.slots.clear();
        self.slots.resize(size, FREE);
        for (number, hash) in (0..).zip(&self.hashes) {
            let mut at = *hash as usize & (size - 1);
            while self.slots[at] != FREE {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = number;
        }
    }
}

/// Interns the texts of a column batch by batch. A cache of recent views finds most texts without reading
/// their bytes.
#[derive(Debug)]
pub(super) struct ColumnInterner {
    texts: Interner,
    /// Recent views and the numbers of their texts, each in the slot of its view. Only the empty text's view
    /// is 0.
    recent: Vec<(u128, u32)>,
}

/// Views that are cached: few enough to stay in the processor's cache.
const RECENT_VIEWS: usize = 2048;

/// The longest text, in bytes, that lies in its view as a whole.
const INLINE: u32 = 12;

impl Default for ColumnInterner {
    fn default() -> Self {
        Self { texts: Interner::default(), recent: vec![(0, 0); RECENT_VIEWS] }
    }
}

impl ColumnInterner {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// The text of a number; empty where there is none.
    pub(super) fn text(&self, number: u32) -> &str {
        self.texts.text(number)
    }

    /// The texts in the order of their numbers.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        (0..self.texts.len() as u32).map(|number| self.texts.text(number))
    }

    /// The number of a text, which is added if it is new.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        self.texts.number(text)
    }

    /// The numbers of a column's texts plus 1; 0 stands for null.
    pub(super) fn numbers(&mut self, values: &StringViewArray) -> UInt32Array {
        if values.null_count() == values.len() {
            return UInt32Array::from(vec![0; values.len()]);
        }
        // The view of a longer text is valid in its own batch only.
        for slot in &mut self.recent {
            if slot.0 as u32 > INLINE {
                *slot = (0, 0);
            }
        }
        let views = values.views();
        let number = |row: usize| {
            if values.is_null(row) {
                return 0;
            }
            let view = views[row];
            let mixed = (view as u64 ^ (view >> 64) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let place = (mixed >> 48) as usize % RECENT_VIEWS;
            if view != 0 && self.recent[place].0 == view {
                return self.recent[place].1 + 1;
            }
            let number = self.texts.number(values.value(row));
            self.recent[place] = (view, number);
            number + 1
        };
        UInt32Array::from_iter_values((0..values.len()).map(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_the_same_number_whatever_its_view() {
        let mut interner = ColumnInterner::default();
        let names: Vec<String> =
            (0..5000).map(|n| format!("{}{n}", ["", "a longer name of "][n % 2])).collect();
        for shift in [0, 1, 2500] {
            let column: StringViewArray =
                (0..5000).map(|row| (row % 7 > 0).then(|| names[(row + shift) % 5000].as_str())).collect();
            let numbers = interner.numbers(&column);
            for (row, number) in numbers.values().iter().enumerate() {
                match number.checked_sub(1) {
                    Some(number) => assert_eq!(interner.text(number), names[(row + shift) % 5000]),
                    None => assert_eq!(row % 7, 0),
                }
            }
        }
        let empty = StringViewArray::from(vec![Some(""), None, Some("")]);
        let numbers = interner.numbers(&empty).values().to_vec();
        assert!(numbers[0] == numbers[2] && numbers[1] == 0 && interner.text(numbers[0] - 1).is_empty());
    }

    #[test]
    fn each_text_has_one_number() {
        let mut texts = Interner::default();
        for round in 0..2 {
            for number in 0..10_000_u32 {
                assert_eq!(texts.number(&format!("case {number}")), number, "round {round}");
            }
        }
        assert_eq!(texts.number(""), 10_000);
        assert_eq!(
            (texts.len(), texts.text(77), texts.text(10_000), texts.text(20_000)),
            (10_001, "case 77", "", "")
        );
    }
}
