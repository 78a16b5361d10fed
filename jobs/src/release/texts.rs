//! Texts by number: each kept once, in one buffer, found by open addressing.

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
    bytes: Vec<u8>,
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
        let bytes = self.ends.get(number).and_then(|end| self.bytes.get(from..*end)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
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
                number if self.hashes[number as usize] == hash && self.text(number) == text => return number,
                _ => at = (at + 1) & mask,
            }
        }
        let number = self.len() as u32;
        self.slots[at] = number;
        self.hashes.push(hash);
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len());
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

#[cfg(test)]
mod tests {
    use super::*;

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
