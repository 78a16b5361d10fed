//! Chance for the generator: each thing has a stream of numbers of its own, by which it does not depend on others.

use tidewaiter_core::chance::{mix, stream};

/// A stream of numbers.
#[derive(Debug, Clone)]
pub(super) struct Draws {
    seed: u64,
    taken: u64,
}

impl Draws {
    /// The stream of a thing: of its kind and its numbers.
    pub(super) fn of(seed: u64, kind: u64, numbers: [u64; 2]) -> Self {
        let seed =
            numbers.into_iter().fold(stream(mix(seed), kind), |seed, number| mix(stream(seed, number)));
        Self { seed, taken: 0 }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.taken += 1;
        stream(self.seed, self.taken)
    }

    /// A number from 0 to 1, without 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number below another.
    pub(super) fn below(&mut self, most: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(most.max(1))) >> 64) as u64
    }

    /// Whether something of this probability happens.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of several.
    pub(super) fn one<T: Copy>(&mut self, of: &[T], default: T) -> T {
        let place = usize::try_from(self.below(of.len() as u64)).unwrap_or(0);
        of.get(place).copied().unwrap_or(default)
    }

    /// Decimal digits.
    pub(super) fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b'0' + (self.below(10) as u8))).collect()
    }

    /// Capital letters.
    pub(super) fn letters(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b'A' + (self.below(26) as u8))).collect()
    }
}
