//! Subgroup discovery: the conjunctions of conditions among whose rows positives are most over-represented.
//!
//! W. Kloesgen, "Explora", 1996; S. Wrobel, "An algorithm for multi-relational discovery of subgroups", PKDD 1997. The
//! quality is the weighted relative accuracy (N. Lavrac, P. Flach, B. Zupan, ILP 1999): the share of rows times the gain
//! of their share of positives over that of all. The search goes through all conjunctions up to a length and leaves out
//! those of which no refinement can come into the list: a refinement has at most the positives, and no other row
//! (Wrobel's optimistic estimate; H. Grosskreutz et al., ECML PKDD 2008). So the list is that of an exhaustive search. Rows
//! are bits, so that a conjunction is counted 64 rows at a time. Start at [`search`].

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BinaryHeap},
};

/// A set of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bits(Vec<u64>);

impl Bits {
    /// The rows for which something holds.
    #[must_use]
    pub fn new(holds: &[bool]) -> Self {
        let word =
            |rows: &[bool]| rows.iter().rev().fold(0_u64, |word, holds| (word << 1) | u64::from(*holds));
        Self(holds.chunks(64).map(word).collect())
    }

    /// How many rows there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// How many rows are in both.
    #[must_use]
    pub fn common(&self, other: &Self) -> u64 {
        self.0.iter().zip(&other.0).map(|(one, other)| u64::from((one & other).count_ones())).sum()
    }

    /// How many rows are in all three.
    fn common_of(&self, second: &Self, third: &Self) -> u64 {
        let words = self.0.iter().zip(&second.0).zip(&third.0);
        words.map(|((one, two), three)| u64::from((one & two & three).count_ones())).sum()
    }

    /// The rows that are in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one & other).collect())
    }

    /// The rows that are in either.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one | other).collect())
    }
}

/// A condition of the search.
#[derive(Debug, Clone)]
pub struct Selector {
    /// The rows of which it holds.
    pub rows: Bits,
    /// Conditions of one group exclude or contain each other, so that a conjunction has one of them at most.
    pub group: u32,
}

/// Settings of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Conditions of a conjunction at most.
    pub depth: usize,
    /// Conjunctions of the list.
    pub top: usize,
    /// Rows of a conjunction at least.
    pub least_rows: u64,
    /// Conjunctions that are tried at most: then the search ends, and its list is the best of those.
    pub most_tried: u64,
}

/// A conjunction.
#[derive(Debug, Clone, PartialEq)]
pub struct Subgroup {
    /// The numbers of its conditions, ascending.
    pub selectors: Vec<usize>,
    /// Its rows.
    pub rows: u64,
    /// Positives among them.
    pub positives: u64,
    /// Weighted relative accuracy.
    pub quality: f64,
}

impl Eq for Subgroup {}

impl Ord for Subgroup {
    /// Better ones are greater; of equal ones shorter and then earlier ones.
    fn cmp(&self, other: &Self) -> Ordering {
        self.quality
            .total_cmp(&other.quality)
            .then_with(|| other.selectors.len().cmp(&self.selectors.len()))
            .then_with(|| other.selectors.cmp(&self.selectors))
    }
}

impl PartialOrd for Subgroup {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The conjunctions of the highest quality above 0, the best first, and how many were tried.
#[must_use]
pub fn search(
    selectors: &[Selector],
    positives: &Bits,
    rows: u64,
    settings: Settings,
) -> (Vec<Subgroup>, u64) {
    let share = positives.count() as f64 / rows.max(1) as f64;
    let mut search = Search {
        selectors,
        positives,
        rows: rows.max(1) as f64,
        share,
        settings,
        order: Vec::new(),
        best: BinaryHeap::new(),
        tried: 0,
    };
    // Good conditions first, so that the list is soon so good that much is left out.
    let mut order: Vec<(f64, usize)> = selectors
        .iter()
        .enumerate()
        .map(|(number, selector)| {
            (search.quality(selector.rows.count(), selector.rows.common(positives)), number)
        })
        .collect();
    order.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
    search.order = order.into_iter().map(|(_, number)| number).collect();
    search.refine(&mut Vec::new(), None, 0);
    let tried = search.tried;
    let mut found: Vec<Subgroup> = search.best.into_iter().map(|worst| worst.0).collect();
    found.sort_unstable();
    found.reverse();
    (found, tried)
}

/// How many conjunctions of conditions there are up to a length, of each group one at most. All of them compete for the list,
/// those too that the search leaves out because they cannot come into it.
#[must_use]
pub fn possible(selectors: &[Selector], depth: usize) -> u64 {
    let mut groups: BTreeMap<u32, u64> = BTreeMap::new();
    for selector in selectors {
        *groups.entry(selector.group).or_default() += 1;
    }
    // By their length; those of length 0 are the empty one.
    let mut counts = vec![0_u64; depth + 1];
    counts[0] = 1;
    for size in groups.into_values() {
        for length in (1..=depth).rev() {
            counts[length] = counts[length].saturating_add(counts[length - 1].saturating_mul(size));
        }
    }
    counts.into_iter().skip(1).fold(0, u64::saturating_add)
}

struct Search<'a> {
    selectors: &'a [Selector],
    positives: &'a Bits,
    rows: f64,
    share: f64,
    settings: Settings,
    order: Vec<usize>,
    /// The list, the worst on top.
    best: BinaryHeap<std::cmp::Reverse<Subgroup>>,
    tried: u64,
}

impl Search<'_> {
    fn quality(&self, rows: u64, positives: u64) -> f64 {
        (positives as f64 - rows as f64 * self.share) / self.rows
    }

    /// The quality that a refinement has to exceed; none while the list is not full.
    fn bar(&self) -> Option<f64> {
        (self.best.len() >= self.settings.top).then(|| self.best.peek().map_or(0.0, |worst| worst.0.quality))
    }

    /// Adds conditions from a place of the order on to a conjunction, `of` being its rows.
    fn refine(&mut self, conjunction: &mut Vec<usize>, of: Option<&Bits>, from: usize) {
        for place in from..self.order.len() {
            let number = self.order[place];
            let selector = &self.selectors[number];
            if conjunction.iter().any(|other| self.selectors[*other].group == selector.group) {
                continue;
            }
            if self.tried >= self.settings.most_tried {
                return;
            }
            self.tried += 1;
            let (rows, positives) = match of {
                None => (selector.rows.count(), selector.rows.common(self.positives)),
                Some(of) => (of.common(&selector.rows), of.common_of(&selector.rows, self.positives)),
            };
            if rows < self.settings.least_rows || positives == 0 {
                continue;
            }
            let quality = self.quality(rows, positives);
            conjunction.push(number);
            if quality > 0.0 && self.bar().is_none_or(|bar| quality > bar) {
                let mut selectors = conjunction.clone();
                selectors.sort_unstable();
                self.best.push(std::cmp::Reverse(Subgroup { selectors, rows, positives, quality }));
                if self.best.len() > self.settings.top {
                    self.best.pop();
                }
            }
            let most = positives as f64 * (1.0 - self.share) / self.rows;
            if conjunction.len() < self.settings.depth && self.bar().is_none_or(|bar| most > bar) {
                let joined = of.map_or_else(|| selector.rows.clone(), |of| of.and(&selector.rows));
                self.refine(conjunction, Some(&joined), place + 1);
            }
            conjunction.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every conjunction, tried one by one.
    fn all(selectors: &[Selector], positives: &Bits, rows: u64, settings: Settings) -> Vec<f64> {
        let share = positives.count() as f64 / rows as f64;
        let mut found = Vec::new();
        for set in 1_u32..1 << selectors.len() {
            let chosen: Vec<_> = (0..selectors.len()).filter(|place| set >> place & 1 == 1).collect();
            let mut groups: Vec<_> = chosen.iter().map(|place| selectors[*place].group).collect();
            groups.sort_unstable();
            groups.dedup();
            if chosen.len() > settings.depth || groups.len() < chosen.len() {
                continue;
            }
            let joined = chosen[1..]
                .iter()
                .fold(selectors[chosen[0]].rows.clone(), |rows, place| rows.and(&selectors[*place].rows));
            let (count, hits) = (joined.count(), joined.common(positives));
            let quality = (hits as f64 - count as f64 * share) / rows as f64;
            if count >= settings.least_rows && quality > 0.0 {
                found.push(quality);
            }
        }
        found.sort_by(|one, other| other.total_cmp(one));
        found.truncate(settings.top);
        found
    }

    proptest::proptest! {
        #[test]
        fn the_list_is_that_of_an_exhaustive_search(
            table in proptest::collection::vec((0_u16..1 << 9, proptest::bool::weighted(0.3)), 20..150),
        ) {
            let positives = Bits::new(&table.iter().map(|row| row.1).collect::<Vec<_>>());
            let selectors: Vec<Selector> = (0..9)
                .map(|bit| Selector {
                    rows: Bits::new(&table.iter().map(|row| row.0 >> bit & 1 == 1).collect::<Vec<_>>()),
                    group: bit / 2,
                })
                .collect();
            let settings = Settings { depth: 3, top: 5, least_rows: 3, most_tried: u64::MAX };
            let (found, _) = search(&selectors, &positives, table.len() as u64, settings);
            let expected = all(&selectors, &positives, table.len() as u64, settings);
            proptest::prop_assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                proptest::prop_assert!((found.quality - expected).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_planted_conjunction_is_found() {
        let rows: Vec<(bool, bool, bool)> =
            (0..400).map(|row| (row % 2 == 0, row % 5 == 0, row % 3 == 0)).collect();
        let pick = |of: fn(&(bool, bool, bool)) -> bool| Bits::new(&rows.iter().map(of).collect::<Vec<_>>());
        let positives = pick(|row| row.0 && row.1);
        let selectors = [
            Selector { rows: pick(|row| row.2), group: 0 },
            Selector { rows: pick(|row| row.0), group: 1 },
            Selector { rows: pick(|row| row.1), group: 2 },
        ];
        let (found, tried) = search(
            &selectors,
            &positives,
            400,
            Settings { depth: 3, top: 3, least_rows: 5, most_tried: u64::MAX },
        );
        assert_eq!((found[0].selectors.clone(), found[0].rows, found[0].positives), (vec![1, 2], 40, 40));
        assert!(tried <= 7);
        // Three alone, three pairs and all; of two in one group never both.
        let grouped = [0, 0, 1].map(|group| Selector { group, ..selectors[0].clone() });
        assert_eq!((possible(&selectors, 3), possible(&selectors, 2), possible(&grouped, 3)), (7, 6, 5));
    }
}
