//! What is remembered about a key (an importer, a commodity with an origin, ...): bounded tables.
//!
//! A [`Table`] is exact while it meets no more distinct keys than its capacity, and never holds more than
//! twice that. Beyond it the keys unseen for longest are forgotten, a generation at a time, and counted. It
//! is the two-generation (flip) approximation of a least-recently-used cache: one hash look-up per visit
//! and no list to maintain. Which keys are forgotten depends on the order of the visits only.
//! [`Prices`] keeps mean and variance by Welford's recurrence (Technometrics, 1962). Start at
//! [`Table::touch`].

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasherDefault, Hasher},
};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The key that stands for "no value": never stored.
pub const MISSING: u64 = 0;

/// A constant, so that the same text has the same key in every run and on every machine.
const SEED: u64 = 0x7469_6465_7761_6974;

/// The key of a text; never [`MISSING`].
pub fn key_of(text: &[u8]) -> u64 {
    xxh3_64_with_seed(text, SEED).max(1)
}

/// The key of two keys taken together; [`MISSING`] when either is.
pub fn pair(first: u64, second: u64) -> u64 {
    if first == MISSING || second == MISSING {
        return MISSING;
    }
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&first.to_le_bytes());
    bytes[8..].copy_from_slice(&second.to_le_bytes());
    key_of(&bytes)
}

/// Keys are hashes already: the map takes them as they are.
#[derive(Debug, Default, Clone, Copy)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

type Generation<S> = HashMap<u64, S, BuildHasherDefault<AsIs>>;

/// Statistics by key, of bounded size.
#[derive(Debug, Clone)]
pub struct Table<S> {
    recent: Generation<S>,
    older: Generation<S>,
    capacity: usize,
    forgotten: u64,
}

impl<S: Default> Table<S> {
    /// An empty table that is exact up to `capacity` (at least 1) distinct keys.
    pub fn new(capacity: usize) -> Self {
        Self {
            recent: Generation::default(),
            older: Generation::default(),
            capacity: capacity.max(1),
            forgotten: 0,
        }
    }

    /// What is remembered of the key. Looking does not count as seeing.
    pub fn get(&self, key: u64) -> Option<&S> {
        self.recent.get(&key).or_else(|| self.older.get(&key))
    }

    /// The key's statistics, to be changed; a key not remembered starts from the default.
    pub fn touch(&mut self, key: u64) -> &mut S {
        let full = self.recent.len() >= self.capacity && !self.recent.contains_key(&key);
        // Taken out before the generations turn over, which would drop it.
        let carried = if full { self.older.remove(&key) } else { None };
        if full {
            self.forgotten += self.older.len() as u64;
            self.older = std::mem::take(&mut self.recent);
        }
        match self.recent.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(carried.or_else(|| self.older.remove(&key)).unwrap_or_default()),
        }
    }

    /// Number of keys remembered now, at most twice the capacity.
    pub fn len(&self) -> usize {
        self.recent.len() + self.older.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many times a key was forgotten.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

/// Rows and outcomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Rows, whether their outcome is known or not.
    pub seen: u32,
    /// Rows whose outcome is known.
    pub labelled: u32,
    /// Rows found illicit.
    pub illicit: u32,
    /// Last day on which a row came, in days since 1970-01-01; `i32::MIN` before the first.
    pub last_day: i32,
}

impl Default for Counts {
    fn default() -> Self {
        Self { seen: 0, labelled: 0, illicit: 0, last_day: i32::MIN }
    }
}

impl Counts {
    /// Adds a row of that day.
    pub fn see(&mut self, day: i32) {
        self.seen = self.seen.saturating_add(1);
        self.last_day = self.last_day.max(day);
    }

    /// Adds an outcome.
    pub fn learn(&mut self, illicit: bool) {
        self.labelled = self.labelled.saturating_add(1);
        self.illicit = self.illicit.saturating_add(u32::from(illicit));
    }

    /// Illicit share, pulled towards `global` as if `prior` more rows of that rate had been seen.
    pub fn rate(&self, prior: f64, global: f64) -> f64 {
        (f64::from(self.illicit) + prior * global) / (f64::from(self.labelled) + prior)
    }
}

/// Mean and spread of the logarithm of a key's prices.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Prices {
    count: u32,
    mean: f64,
    squares: f64,
}

impl Prices {
    /// The least standard deviation of log prices that a deviation is measured in: one percent.
    pub const LEAST_DEVIATION: f64 = 0.01;

    /// Adds one log price.
    pub fn add(&mut self, log_price: f64) {
        self.count = self.count.saturating_add(1);
        let before = log_price - self.mean;
        self.mean += before / f64::from(self.count);
        self.squares += before * (log_price - self.mean);
    }

    /// Log price less the mean log price; `None` before the first price.
    pub fn log_ratio(&self, log_price: f64) -> Option<f64> {
        (self.count > 0).then_some(log_price - self.mean)
    }

    /// Deviation from the mean in sample standard deviations (no less than
    /// [`Self::LEAST_DEVIATION`]); `None` before the second price.
    pub fn deviation(&self, log_price: f64) -> Option<f64> {
        (self.count > 1).then(|| {
            let spread = (self.squares.max(0.0) / f64::from(self.count - 1)).sqrt();
            (log_price - self.mean) / spread.max(Self::LEAST_DEVIATION)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn welford_agrees_with_a_hand_computed_case() {
        let mut prices = Prices::default();
        assert_eq!(prices.log_ratio(1.0), None);
        for price in [1.0, 2.0, 3.0, 6.0] {
            prices.add(price);
        }
        // Mean 3, squares 4 + 1 + 0 + 9 = 14, variance 14 / 3.
        assert!((prices.log_ratio(5.0).expect("seen") - 2.0).abs() < 1e-12);
        let expected = 2.0 / (14.0_f64 / 3.0).sqrt();
        assert!((prices.deviation(5.0).expect("two prices") - expected).abs() < 1e-12);
    }

    #[test]
    fn a_constant_price_does_not_divide_by_zero() {
        let mut prices = Prices::default();
        prices.add(2.0);
        assert_eq!(prices.deviation(3.0), None);
        prices.add(2.0);
        assert!((prices.deviation(3.0).expect("two prices") - 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_pair_with_a_missing_half_is_missing_and_order_matters() {
        let (a, b) = (key_of(b"CN"), key_of(b"KR"));
        assert_eq!(pair(a, MISSING), MISSING);
        assert_eq!(pair(MISSING, b), MISSING);
        assert_ne!(pair(a, b), pair(b, a));
    }

    #[test]
    fn the_longest_unseen_are_forgotten_and_counted() {
        let mut table = Table::<Counts>::new(2);
        for key in [1, 2, 3, 4] {
            table.touch(key).see(0);
        }
        // Generations: {1, 2} and {3, 4}. Seeing 1 turns them over: 2 goes, 1 stays.
        table.touch(1).see(1);
        assert_eq!(table.get(1).map(|counts| counts.seen), Some(2));
        assert_eq!(table.get(2), None);
        assert!(table.get(3).is_some() && table.get(4).is_some());
        assert_eq!(table.forgotten(), 1);
    }

    proptest! {
        #[test]
        fn a_table_is_bounded_and_exact_up_to_its_capacity(
            keys in prop::collection::vec(1u64..40, 0..400), capacity in 1usize..50,
        ) {
            let mut table = Table::<Counts>::new(capacity);
            let mut exact = std::collections::BTreeMap::<u64, u32>::new();
            for key in keys {
                table.touch(key).see(0);
                *exact.entry(key).or_default() += 1;
                prop_assert!(table.len() <= 2 * capacity);
                prop_assert!(table.get(key).is_some());
            }
            if exact.len() <= capacity {
                prop_assert_eq!(table.forgotten(), 0);
                for (key, seen) in exact {
                    prop_assert_eq!(table.get(key).map(|counts| counts.seen), Some(seen));
                }
            }
        }
    }
}
