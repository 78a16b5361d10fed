//! The past of a row, family by family: what the histories take in, and what they say of it.
//!
//! A batch becomes a list of [`Step`]s, one for each of its days: what became known since the day before, then
//! the rows whose features are asked for. [`Past::pass`] takes every family through the whole list. Families
//! know nothing of each other, so that they run side by side on the process's threads, and no feature depends
//! on how many there are.

use std::ops::Range;

use arrow::array::{Array, BooleanArray};
use rayon::prelude::*;

use super::{
    super::history::{Counts, MISSING, Prices, Table, pair},
    catalogue::{FAMILIES, Family, KEYS},
};

/// The keys of rows, by [`super::catalogue::Key`].
pub(super) type Keys = [Vec<u64>; KEYS];

/// The key of a row in a family; [`MISSING`] when either half is.
fn key(family: &Family, keys: &Keys, row: usize) -> u64 {
    let first = keys[family.first as usize][row];
    family.second.map_or(first, |second| pair(first, keys[second as usize][row]))
}

/// Rows of one day, reduced to what the histories need of them.
#[derive(Debug, Default)]
pub(super) struct Day {
    pub(super) day: i32,
    pub(super) keys: Keys,
    /// Empty where only outcomes are told.
    pub(super) log_prices: Vec<f32>,
    pub(super) outcomes: Vec<Option<bool>>,
}

impl Day {
    /// Takes in more rows of the day.
    pub(super) fn note(
        &mut self,
        keys: &Keys,
        log_prices: &[f32],
        outcomes: &BooleanArray,
        range: Range<usize>,
    ) {
        for (held, keys) in self.keys.iter_mut().zip(keys) {
            held.extend_from_slice(&keys[range.clone()]);
        }
        self.log_prices.extend_from_slice(&log_prices[range.clone()]);
        self.outcomes.extend(range.map(|row| outcomes.is_valid(row).then(|| outcomes.value(row))));
    }

    /// Its rows with an outcome, without what an outcome does not need.
    pub(super) fn known(&self) -> Self {
        let keys = self.keys.each_ref().map(|keys| {
            let known = keys.iter().zip(&self.outcomes).filter(|(_, outcome)| outcome.is_some());
            known.map(|(key, _)| *key).collect()
        });
        let outcomes = self.outcomes.iter().copied().filter(Option::is_some).collect();
        Self { day: self.day, keys, log_prices: Vec::new(), outcomes }
    }
}

/// What happens to the histories with the rows of one day, in this order.
pub(super) struct Step {
    /// The day that is over since the step before, if one is.
    pub(super) over: Option<Day>,
    /// Days whose outcomes became known since.
    pub(super) known: Vec<Day>,
    /// The share of illicit rows among all outcomes known; NaN before the first.
    pub(super) rate: f64,
    /// Then come rows of this day,
    pub(super) day: i32,
    /// of which these want features: places in the batch.
    pub(super) rows: Vec<usize>,
}

/// The histories of all families.
#[derive(Debug)]
pub(super) struct Past {
    families: Vec<History>,
    smoothing: f64,
}

impl Past {
    /// Nothing is remembered; `smoothing` is the weight of the overall rate in a key's, in rows.
    pub(super) fn new(capacity: usize, smoothing: f64) -> Self {
        Self { families: FAMILIES.iter().map(|family| History::new(family, capacity)).collect(), smoothing }
    }

    /// How many keys were forgotten so far.
    pub(super) fn forgotten(&self) -> u64 {
        self.families.iter().map(History::forgotten).sum()
    }

    /// How many keys the family holds that holds most.
    #[cfg(test)]
    pub(super) fn largest(&self) -> usize {
        self.families.iter().map(|history| history.counts.len()).max().unwrap_or_default()
    }

    /// Goes through the steps of a batch with these keys and prices, and appends the features of the rows that
    /// want them to `columns`, which are all families' in their order.
    pub(super) fn pass(&mut self, steps: &[Step], keys: &Keys, log_prices: &[f32], columns: &mut [Vec<f32>]) {
        let mut rest = columns;
        let mut work = Vec::with_capacity(self.families.len());
        for history in &mut self.families {
            let (columns, others) = rest.split_at_mut(history.family.columns());
            rest = others;
            work.push((history, columns));
        }
        let prior = self.smoothing;
        work.into_par_iter().with_max_len(1).for_each(|(history, columns)| {
            for step in steps {
                history.take_in(step);
                history.look_up(step, prior, keys, log_prices, columns);
            }
        });
    }
}

/// What one family remembers.
#[derive(Debug)]
struct History {
    family: &'static Family,
    counts: Table<Counts>,
    /// Where the family has them.
    prices: Option<Table<Prices>>,
}

impl History {
    fn new(family: &'static Family, capacity: usize) -> Self {
        Self { family, counts: Table::new(capacity), prices: family.prices.then(|| Table::new(capacity)) }
    }

    fn forgotten(&self) -> u64 {
        self.counts.forgotten() + self.prices.as_ref().map_or(0, Table::forgotten)
    }

    /// Takes in what became known.
    fn take_in(&mut self, step: &Step) {
        if let Some(over) = &step.over {
            self.remember(over);
        }
        for day in &step.known {
            self.learn(day);
        }
    }

    /// Takes in the rows of a day that is over, without their outcomes.
    fn remember(&mut self, over: &Day) {
        for (row, log_price) in over.log_prices.iter().enumerate() {
            let key = key(self.family, &over.keys, row);
            if key == MISSING {
                continue;
            }
            self.counts.touch(key).see(over.day);
            if let Some(prices) = &mut self.prices
                && log_price.is_finite()
            {
                prices.touch(key).add(f64::from(*log_price));
            }
        }
    }

    /// Takes in the outcomes of a day.
    fn learn(&mut self, day: &Day) {
        for (row, outcome) in day.outcomes.iter().enumerate() {
            let key = key(self.family, &day.keys, row);
            if let Some(illicit) = *outcome
                && key != MISSING
            {
                self.counts.touch(key).learn(illicit);
            }
        }
    }

    /// Appends the features of a step's rows.
    fn look_up(&self, step: &Step, prior: f64, keys: &Keys, log_prices: &[f32], columns: &mut [Vec<f32>]) {
        for row in step.rows.iter().copied() {
            let key = key(self.family, keys, row);
            let known = (key != MISSING).then(|| self.counts.get(key).copied().unwrap_or_default());
            let value = |of: &dyn Fn(Counts) -> f32| known.map_or(f32::NAN, of);
            columns[0].push(value(&|known| known.rate(prior, step.rate) as f32));
            columns[1].push(value(&|known| (known.labelled as f32).ln_1p()));
            let mut next = 2;
            if self.family.activity {
                columns[2].push(value(&|known| (known.seen as f32).ln_1p()));
                columns[3].push(value(&|known| match known.last_day {
                    i32::MIN => f32::NAN,
                    last => (step.day - last) as f32,
                }));
                next = 4;
            }
            if let Some(prices) = &self.prices {
                let log_price = f64::from(log_prices[row]);
                let past = prices.get(key).copied().unwrap_or_default();
                columns[next].push(past.deviation(log_price).map_or(f32::NAN, |value| value as f32));
                columns[next + 1].push(past.log_ratio(log_price).map_or(f32::NAN, |value| value as f32));
            }
        }
    }
}
