//! Texts by number: each kept once, in one buffer, found by open addressing.

use arrow::array::{Array, StringViewArray, UInt32Array};
use xxhash_rust::xxh3::xxh3_64;

/// A slot without a text.
const FREE: u32 = u32::MAX;

/// Different texts, numbered from 0 as they come.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// A power of two of them, at most half full.
    slots: Vec<u32>,
    hashes: Vec<u64>,
    ends: Vec<usize>,
    all: String,
}

impl Texts {
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

    /// The number of a text, a new one where it is new.
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

/// Numbers the texts of a column batch by batch: those met lately are known by their views, without their bytes.
#[derive(Debug)]
pub(super) struct Numbering {
    texts: Texts,
    /// Views and the numbers of their texts, each at the place of its view; no view is 0 but that of the empty text.
    lately: Vec<(u128, u32)>,
}

/// Views that are remembered: few enough to stay near the processor.
const LATELY: usize = 2048;

/// The longest text that lies in its view as a whole.
const INLINE: u32 = 12;

impl Default for Numbering {
    fn default() -> Self {
        Self { texts: Texts::default(), lately: vec![(0, 0); LATELY] }
    }
}

impl Numbering {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// The text of a number; empty where there is none.
    pub(super) fn text(&self, number: u32) -> &str {
        self.texts.text(number)
    }

    /// The texts by their numbers.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        (0..self.texts.len() as u32).map(|number| self.texts.text(number))
    }

    /// The number of a text, a new one where it is new.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        self.texts.number(text)
    }

    /// The numbers of a batch's texts, from 1; 0 where there is none.
    pub(super) fn numbers(&mut self, values: &StringViewArray) -> UInt32Array {
        if values.null_count() == values.len() {
            return UInt32Array::from(vec![0; values.len()]);
        }
        // The view of a longer text means it in its own batch only.
        for slot in &mut self.lately {
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
            let place = (mixed >> 48) as usize % LATELY;
            if view != 0 && self.lately[place].0 == view {
                return self.lately[place].1 + 1;
            }
            let number = self.texts.number(values.value(row));
            self.lately[place] = (view, number);
            number + 1
        };
        UInt32Array::from_iter_values((0..values.len()).map(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_numbered_alike_however_often_their_views_change() {
        let mut numbering = Numbering::default();
        let names: Vec<String> =
            (0..5000).map(|n| format!("{}{n}", ["", "a longer name of "][n % 2])).collect();
        for shift in [0, 1, 2500] {
            let column: StringViewArray =
                (0..5000).map(|row| (row % 7 > 0).then(|| names[(row + shift) % 5000].as_str())).collect();
            let numbers = numbering.numbers(&column);
            for (row, number) in numbers.values().iter().enumerate() {
                match number.checked_sub(1) {
                    Some(number) => assert_eq!(numbering.text(number), names[(row + shift) % 5000]),
                    None => assert_eq!(row % 7, 0),
                }
            }
        }
        let empty = StringViewArray::from(vec![Some(""), None, Some("")]);
        let numbers = numbering.numbers(&empty).values().to_vec();
        assert!(numbers[0] == numbers[2] && numbers[1] == 0 && numbering.text(numbers[0] - 1).is_empty());
    }

    #[test]
    fn each_text_has_one_number() {
        let mut texts = Texts::default();
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
