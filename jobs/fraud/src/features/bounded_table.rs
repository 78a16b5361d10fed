//! Statistics by key (an importer, a commodity with an origin, ...) in bounded memory.
//!
//! A [`BoundedTable`] is exact while it meets no more distinct keys than its capacity, and never holds more than
//! twice that. Beyond it the keys that were not seen for longest are forgotten, a generation at a time, and counted:
//! the two-generation (flip) approximation of a least-recently-used cache, which needs no list. Which keys are
//! forgotten depends only on the order of the visits.
//!
//! Nearly every visit to a large table waits for memory. So a key's statistics are beside the key, in one array with
//! open addressing and linear probing (Knuth, "The Art of Computer Programming", volume 3, section 6.4), and
//! [`BoundedTable::read_ahead`] lets many visits wait at once. Start at [`BoundedTable::touch`].

use std::hint::black_box;

use super::keys::MISSING;

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
pub(super) struct BoundedTable<S> {
    /// A power of two of them, at least a quarter free. A key is at its home, which its last bits name, or after it
    /// with no free place between.
    places: Vec<Place<S>>,
    /// Keys seen since the generations turned over, and those that were seen only before.
    recent: usize,
    older: usize,
    capacity: usize,
    forgotten: u64,
}

impl<S: Copy + Default> BoundedTable<S> {
    /// Places of an empty table.
    const LEAST_PLACES: usize = 16;

    /// An empty table that is exact up to `capacity` (at least 1) distinct keys.
    pub(super) fn new(capacity: usize) -> Self {
        let places = vec![Place::default(); Self::LEAST_PLACES];
        Self { places, recent: 0, older: 0, capacity: capacity.max(1), forgotten: 0 }
    }

    /// Prefetches the homes of keys that are visited next: these reads do not wait for each other, as the visits
    /// would.
    pub(super) fn read_ahead(&self, keys: &[u64]) {
        black_box(keys.iter().fold(0, |all, key| all ^ self.places[self.home(*key)].key));
    }

    /// The statistics of the key, if it is held. Reading does not count as seeing it.
    pub(super) fn get(&self, key: u64) -> Option<&S> {
        let place = &self.places[self.place_of(key)];
        (place.key == key && key != MISSING).then_some(&place.statistics)
    }

    /// The statistics of a key, which must not be [`MISSING`], for a change; a key that is not held starts from the
    /// default.
    pub(super) fn touch(&mut self, key: u64) -> &mut S {
        let mut at = self.place_of(key);
        if self.places[at].key != key || !self.places[at].recent {
            at = self.renew(key, at);
        }
        &mut self.places[at].statistics
    }

    /// Number of keys held, at most twice the capacity.
    pub(super) fn len(&self) -> usize {
        self.recent + self.older
    }

    /// How many times a key was forgotten.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn home(&self, key: u64) -> usize {
        key as usize & (self.places.len() - 1)
    }

    /// Where the key is, or would be inserted.
    fn place_of(&self, key: u64) -> usize {
        let mut at = self.home(key);
        while self.places[at].key != key && self.places[at].key != MISSING {
            at = (at + 1) & (self.places.len() - 1);
        }
        at
    }

    /// Makes the key at this place a recent one, and gives its place afterwards.
    #[cold]
    fn renew(&mut self, key: u64, at: usize) -> usize {
        // Copied before the generations turn over, which would drop it.
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

    /// Moves the keys into an array of so many places; when the generations turn over, only the recent keys, which
    /// become the older ones.
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::{super::statistics::OutcomeCounts, *};

    #[test]
    fn the_longest_unseen_are_forgotten_and_counted() {
        let mut table = BoundedTable::<OutcomeCounts>::new(2);
        assert_eq!(table.get(MISSING), None);
        for key in [1, 2, 3, 4] {
            table.touch(key).add_row(0);
        }
        // Generations: {1, 2} and {3, 4}. Seeing 1 turns them over: 2 goes, 1 stays.
        table.touch(1).add_row(1);
        assert_eq!(table.get(1).map(|counts| counts.seen), Some(2));
        assert_eq!(table.get(2), None);
        assert!(table.get(3).is_some() && table.get(4).is_some());
        assert_eq!(table.forgotten(), 1);
    }

    /// What a [`BoundedTable`] promises, in the simplest way: two generations of keys.
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
            let mut table = BoundedTable::<OutcomeCounts>::new(capacity);
            let mut plain =
                Generations { recent: BTreeMap::new(), older: BTreeMap::new(), forgotten: 0 };
            let distinct = keys.iter().collect::<BTreeSet<_>>();
            for key in &keys {
                table.touch(*key).add_row(0);
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
