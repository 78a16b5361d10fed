//! The time of a stage as one whole number, and what became of the stage.

/// What became of a stage of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It ended.
    Complete = 0,
    /// It had not ended at the cut-off.
    Open = 1,
    /// The case went on, but the end was not recorded.
    Missing = 2,
    /// Its end is before its beginning.
    Negative = 3,
}

impl Status {
    /// Whether its time is known, or known to be longer than until the cut-off.
    pub(super) fn is_timed(self) -> bool {
        matches!(self, Self::Complete | Self::Open)
    }
}

/// The time of a stage as one whole number, so that many are sorted quickly. The order is by stage, then by
/// length; of equal lengths those that are over come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The stage's number, at most [`crate::stage_file::MAX_STAGES`].
    pub stage: i32,
    /// Its length in microseconds, below 2283 years.
    pub length: i64,
    /// Whether it was not over at the cut-off.
    pub is_open: bool,
}

impl Key {
    const LENGTH_BITS: u32 = 56;

    /// The number.
    pub fn number(self) -> i64 {
        let longest = (1 << Self::LENGTH_BITS) - 1;
        let length = self.length.clamp(0, longest);
        i64::from(self.stage) << (Self::LENGTH_BITS + 1) | length << 1 | i64::from(self.is_open)
    }

    /// The key of a number.
    pub fn of(number: i64) -> Self {
        Self {
            stage: (number >> (Self::LENGTH_BITS + 1)) as i32,
            length: (number >> 1) & ((1 << Self::LENGTH_BITS) - 1),
            is_open: number & 1 == 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_stage_length_and_end() {
        let key = |stage, length, is_open| Key { stage, length, is_open };
        let rising = [
            key(0, 0, false),
            key(0, 0, true),
            key(0, 1, false),
            key(0, 1 << 55, true),
            key(1, 0, false),
            key(62, 5, true),
        ];
        let numbers = rising.map(Key::number);
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        assert_eq!(numbers.map(Key::of), rising);
    }
}
