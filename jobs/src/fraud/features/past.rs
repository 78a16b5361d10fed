//! The past of a row, family by family: what the histories take in, and what they say of it.
//!
//! A batch becomes a list of [`Step`]s, one for each of its days: what became known since the day before, then
//! the rows whose features are asked for. [`Past::pass`] takes every family through the whole list. Families
//! know nothing of each other, so that they run side by side on the process's threads, and no feature depends
//! on how many there are.

use std::{
    array,
    ops::Range,
    sync::{Arc, LazyLock},
};

use rayon::prelude::*;

use super::{
    super::history::{Counts, MISSING, Prices, Table, pair},
    catalogue::{FAMILIES, Family, KEYS},
};

/// The keys of rows, by [`super::catalogue::Key`].
pub(super) type Keys = [Vec<u64>; KEYS];

/// Rows whose keys are visited together, so that a table is read ahead for all of them.
const BLOCK: usize = 64;

/// The keys of up to [`BLOCK`] rows in a family; [`MISSING`] where either half is, and after the last row.
fn block_keys(family: &Family, keys: &Keys, rows: &[u32]) -> [u64; BLOCK] {
    let mut block = [MISSING; BLOCK];
    let first = &keys[family.first as usize];
    match family.second.map(|second| &keys[second as usize]) {
        None => block.iter_mut().zip(rows).for_each(|(key, row)| *key = first[*row as usize]),
        Some(second) => block
            .iter_mut()
            .zip(rows)
            .for_each(|(key, row)| *key = pair(first[*row as usize], second[*row as usize])),
    }
    block
}

/// ln(1 + count): the same value from a table where the count is small, as most are.
fn ln_1p(count: u32) -> f32 {
    static SMALL: LazyLock<Vec<f32>> =
        LazyLock::new(|| (0..4096_u16).map(|count| f32::from(count).ln_1p()).collect());
    SMALL.get(count as usize).copied().unwrap_or_else(|| (count as f32).ln_1p())
}

/// Rows, reduced to what the histories need of them.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) keys: Keys,
    /// Empty where only outcomes are told.
    pub(super) log_prices: Vec<f32>,
    pub(super) outcomes: Vec<Option<bool>>,
}

/// Rows of one day, as pieces of the batches that they came in.
#[derive(Debug)]
pub(super) struct Day {
    pub(super) day: i32,
    pieces: Vec<(Arc<Rows>, Range<u32>)>,
}

impl Day {
    /// A day without rows.
    pub(super) fn new(day: i32) -> Self {
        Self { day, pieces: Vec::new() }
    }

    /// Takes in more rows of the day.
    pub(super) fn note(&mut self, rows: &Arc<Rows>, range: Range<u32>) {
        self.pieces.push((Arc::clone(rows), range));
    }

    /// A copy of its rows with an outcome, without what an outcome does not need, if there are any.
    pub(super) fn known(&self) -> Option<Self> {
        let mut known = Rows::default();
        for (rows, range) in &self.pieces {
            let places: Vec<u32> = rows.known(range).collect();
            for (held, keys) in known.keys.iter_mut().zip(&rows.keys) {
                held.extend(places.iter().map(|row| keys[*row as usize]));
            }
            known.outcomes.extend(places.iter().map(|row| rows.outcomes[*row as usize]));
        }
        let count = known.outcomes.len() as u32;
        (count > 0).then(|| Self { day: self.day, pieces: vec![(Arc::new(known), 0..count)] })
    }

    /// The outcomes that are known.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = bool> {
        let pieces = self.pieces.iter();
        pieces
            .flat_map(|(rows, range)| &rows.outcomes[range.start as usize..range.end as usize])
            .flatten()
            .copied()
    }
}

impl Rows {
    /// Those of a range whose outcome is known.
    fn known(&self, range: &Range<u32>) -> impl Iterator<Item = u32> {
        range.clone().filter(|row| self.outcomes[*row as usize].is_some())
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
    pub(super) rows: Vec<u32>,
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

    /// Goes through the steps of a batch, and appends the features of its rows that want them to `columns`, which
    /// are all families' in their order.
    pub(super) fn pass(&mut self, steps: &[Step], batch: &Rows, columns: &mut [Vec<f32>]) {
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
                history.look_up(step, prior, batch, columns);
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
        for (rows, range) in &over.pieces {
            in_blocks(range.clone(), |block| {
                let keys = block_keys(self.family, &rows.keys, block);
                self.counts.read_ahead(&keys);
                for (key, row) in present(&keys, block) {
                    self.counts.touch(key).see(over.day);
                    let log_price = rows.log_prices[row as usize];
                    if let Some(prices) = &mut self.prices
                        && log_price.is_finite()
                    {
                        prices.touch(key).add(f64::from(log_price));
                    }
                }
            });
        }
    }

    /// Takes in the outcomes of a day.
    fn learn(&mut self, day: &Day) {
        for (rows, range) in &day.pieces {
            in_blocks(rows.known(range), |block| {
                let keys = block_keys(self.family, &rows.keys, block);
                self.counts.read_ahead(&keys);
                for (key, row) in present(&keys, block) {
                    self.counts.touch(key).learn(rows.outcomes[row as usize] == Some(true));
                }
            });
        }
    }

    /// Appends the features of a step's rows.
    fn look_up(&self, step: &Step, prior: f64, batch: &Rows, columns: &mut [Vec<f32>]) {
        for block in step.rows.chunks(BLOCK) {
            let keys = block_keys(self.family, &batch.keys, block);
            let keys = &keys[..block.len()];
            self.counts.read_ahead(keys);
            let known: [Option<Counts>; BLOCK] = array::from_fn(|place| match keys.get(place) {
                None | Some(&MISSING) => None,
                Some(key) => Some(self.counts.get(*key).copied().unwrap_or_default()),
            });
            let known = &known[..block.len()];
            append(&mut columns[0], known, |known| known.rate(prior, step.rate) as f32);
            append(&mut columns[1], known, |known| ln_1p(known.labelled));
            let mut next = 2;
            if self.family.activity {
                append(&mut columns[2], known, |known| ln_1p(known.seen));
                append(&mut columns[3], known, |known| match known.last_day {
                    i32::MIN => f32::NAN,
                    last => (step.day - last) as f32,
                });
                next = 4;
            }
            let Some(prices) = &self.prices else { continue };
            for (key, row) in keys.iter().zip(block) {
                let log_price = f64::from(batch.log_prices[*row as usize]);
                let past = prices.get(*key).copied().unwrap_or_default();
                columns[next].push(past.deviation(log_price).map_or(f32::NAN, |value| value as f32));
                columns[next + 1].push(past.log_ratio(log_price).map_or(f32::NAN, |value| value as f32));
            }
        }
    }
}

/// Appends a feature of rows of which this is known; NaN where a row has no key.
fn append(column: &mut Vec<f32>, known: &[Option<Counts>], value: impl Fn(Counts) -> f32) {
    column.extend(known.iter().map(|known| known.map_or(f32::NAN, &value)));
}

/// Hands out rows in blocks of up to [`BLOCK`].
fn in_blocks(mut rows: impl Iterator<Item = u32>, mut visit: impl FnMut(&[u32])) {
    let mut block = [0; BLOCK];
    loop {
        let count = block.iter_mut().zip(rows.by_ref()).map(|(held, row)| *held = row).count();
        if count == 0 {
            return;
        }
        visit(&block[..count]);
    }
}

/// The rows of a block that have a key.
fn present(keys: &[u64; BLOCK], block: &[u32]) -> impl Iterator<Item = (u64, u32)> {
    keys.iter().copied().zip(block.iter().copied()).filter(|(key, _)| *key != MISSING)
}
