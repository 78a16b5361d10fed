//! What is remembered about a key (an importer, a commodity with an origin, ...): bounded tables.
//!
//! A [`Table`] is exact while it meets no more distinct keys than its capacity, and never holds more than
//! twice that. Beyond it the keys unseen for longest are forgotten, a generation at a time, and counted: the
//! two-generation (flip) approximation of a least-recently-used cache, with no list to maintain. Which keys
//! are forgotten depends on the order of the visits only.
//!
//! Nearly every visit to a large table waits for memory. So a key's statistics stand beside the key, in one
//! array with open addressing and linear probing (Knuth, volume 3, 6.4), and [`Table::read_ahead`] makes the
//! waits of many visits one. [`Prices`] keeps mean and variance by Welford's recurrence (Technometrics, 1962).
//! Start at [`Table::touch`].

use std::hint::black_box;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The key that stands for "no value": never stored.
pub const MISSING: u64 = 0;

/// Constants, so that the same text has the same key in every run and on every machine.
const SEED: u64 = 0x7469_6465_7761_6974;
const SECOND_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The key of a text; never [`MISSING`].
pub fn key_of(text: &[u8]) -> u64 {
    xxh3_64_with_seed(text, SEED).max(1)
}

/// The key of two keys taken together; [`MISSING`] when either is. Both are hashes already, so that one folded
/// multiplication mixes them (Wang Yi's wyhash).
pub fn pair(first: u64, second: u64) -> u64 {
    if first == MISSING || second == MISSING {
        return MISSING;
    }
    let product = u128::from(first ^ SEED) * u128::from(second ^ SECOND_SEED);
    (product as u64 ^ (product >> 64) as u64).max(1)
}

/// Room for one key; free where the key is [`MISSING`].
#[derive(Debug, Clone, Copy)]
struct Place<S> {
    key: u64,
    /// Whether the key was seen since the generations turned over.
    recent: bool,
    statistics: S,
}

impl<S: Default> Default for Place<S> {
    fn default() -> Self {
        Self { key: MISSING, recent: false, statistics: S::default() }
    }
}

/// Statistics by key, of bounded size.
#[derive(Debug, Clone)]
pub struct Table<S> {
    /// A power of two of them, at least a quarter free. A key stands at its home, which its last bits name, or
    /// after it, with no free place between.
    places: Vec<Place<S>>,
    /// Keys seen since the generations turned over, and those that were seen only before.
    recent: usize,
    older: usize,
    capacity: usize,
    forgotten: u64,
}

impl<S: Copy + Default> Table<S> {
    /// Places of an empty table.
    const LEAST_PLACES: usize = 16;

    /// An empty table that is exact up to `capacity` (at least 1) distinct keys.
    pub fn new(capacity: usize) -> Self {
        let places = vec![Place::default(); Self::LEAST_PLACES];
        Self { places, recent: 0, older: 0, capacity: capacity.max(1), forgotten: 0 }
    }

    /// Fetches the homes of keys that are visited next. No read waits for another, as the visits themselves would.
    pub fn read_ahead(&self, keys: &[u64]) {
        black_box(keys.iter().fold(0, |all, key| all ^ self.places[self.home(*key)].key));
    }

    /// What is remembered of the key. Looking does not count as seeing.
    pub fn get(&self, key: u64) -> Option<&S> {
        let place = &self.places[self.place_of(key)];
        (place.key == key && key != MISSING).then_some(&place.statistics)
    }

    /// The statistics of a key, which is not [`MISSING`], to be changed; a key not remembered starts from the
    /// default.
    pub fn touch(&mut self, key: u64) -> &mut S {
        let mut at = self.place_of(key);
        if self.places[at].key != key || !self.places[at].recent {
            at = self.renew(key, at);
        }
        &mut self.places[at].statistics
    }

    /// Number of keys remembered now, at most twice the capacity.
    pub fn len(&self) -> usize {
        self.recent + self.older
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many times a key was forgotten.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn home(&self, key: u64) -> usize {
        key as usize & (self.places.len() - 1)
    }

    /// Where the key stands, or else would stand.
    fn place_of(&self, key: u64) -> usize {
        let mut at = self.home(key);
        while self.places[at].key != key && self.places[at].key != MISSING {
            at = (at + 1) & (self.places.len() - 1);
        }
        at
    }

    /// Makes the key at this place a recent one, and gives the place where it stands then.
    #[cold]
    fn renew(&mut self, key: u64, at: usize) -> usize {
        // Taken out before the generations turn over, which would drop it.
        let known = self.places[at].key == key;
        let statistics = if known { self.places[at].statistics } else { S::default() };
        self.older -= usize::from(known);
        let full = self.recent >= self.capacity;
        if full {
            self.forgotten += self.older as u64;
            (self.older, self.recent) = (self.recent, 0);
        }
        let crowded = (self.len() + 1) * 4 > self.places.len() * 3;
        if full || crowded {
            self.rebuild(if crowded { self.places.len() * 2 } else { self.places.len() }, full);
        }
        self.recent += 1;
        let at = self.place_of(key);
        self.places[at] = Place { key, recent: true, statistics };
        at
    }

    /// Moves the keys into so many places; when the generations turn over, only the recent ones, which are then
    /// the older.
    fn rebuild(&mut self, places: usize, turn_over: bool) {
        let before = std::mem::replace(&mut self.places, vec![Place::default(); places]);
        for place in before {
            if place.key != MISSING && (place.recent || !turn_over) {
                let at = self.place_of(place.key);
                self.places[at] = Place { recent: place.recent && !turn_over, ..place };
            }
        }
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
    use std::collections::{BTreeMap, BTreeSet};

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
        assert_eq!(Table::<Counts>::new(1).get(MISSING), None);
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

    /// What a [`Table`] promises, told in the plainest way: two generations of keys.
    struct Generations {
        recent: BTreeMap<u64, u32>,
        older: BTreeMap<u64, u32>,
        forgotten: u64,
    }

    impl Generations {
        fn touch(&mut self, key: u64, capacity: usize) {
            let full = self.recent.len() >= capacity && !self.recent.contains_key(&key);
            let carried = self.recent.get(&key).copied().or_else(|| self.older.remove(&key));
            if full {
                self.forgotten += self.older.len() as u64;
                self.older = std::mem::take(&mut self.recent);
            }
            self.recent.insert(key, carried.unwrap_or_default() + 1);
        }
    }

    proptest! {
        #[test]
        fn a_table_is_bounded_and_exact_up_to_its_capacity(
            // Few last bits, so that many keys have one home.
            keys in prop::collection::vec((1u64..60, 0u64..4).prop_map(|(high, low)| high << 40 | low), 0..600),
            capacity in 1usize..50,
        ) {
            let mut table = Table::<Counts>::new(capacity);
            let mut plain =
                Generations { recent: BTreeMap::new(), older: BTreeMap::new(), forgotten: 0 };
            let distinct = keys.iter().collect::<BTreeSet<_>>();
            for key in &keys {
                table.touch(*key).see(0);
                plain.touch(*key, capacity);
                prop_assert!(table.len() <= 2 * capacity);
                prop_assert_eq!(table.len(), plain.recent.len() + plain.older.len());
            }
            prop_assert_eq!(table.forgotten(), plain.forgotten);
            prop_assert!(plain.forgotten == 0 || distinct.len() > capacity);
            for key in distinct {
                let seen = plain.recent.get(key).or_else(|| plain.older.get(key));
                prop_assert_eq!(table.get(*key).map(|counts| counts.seen), seen.copied());
            }
        }
    }
}
