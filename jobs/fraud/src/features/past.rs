//! The histories of declarations, by families of keys, and the features that are read from them.
//!
//! A batch becomes a list of [`DayStep`]s, one for each of its days: first what became known since the day before,
//! then the rows whose features are needed. [`Histories::advance`] takes every family through the whole list.
//! Families are independent of each other, so they run in parallel on the process's threads, and no feature depends
//! on the number of threads.

use std::{
    array,
    ops::Range,
    sync::{Arc, LazyLock},
};

use rayon::prelude::*;

use super::{
    bounded_table::BoundedTable,
    catalogue::{FAMILIES, Family, KEYS},
    keys::{MISSING, pair},
    statistics::{OutcomeCounts, PriceStatistics},
};

/// The keys of rows, by [`super::catalogue::Key`].
pub(super) type KeyColumns = [Vec<u64>; KEYS];

/// Rows whose keys are visited together, so that a table is prefetched for all of them.
const BLOCK: usize = 64;

/// The keys of up to [`BLOCK`] rows in a family; [`MISSING`] where either half is, and after the last row.
fn block_keys(family: &Family, keys: &KeyColumns, rows: &[u32]) -> [u64; BLOCK] {
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

/// ln(1 + count), from a table where the count is small, as most are; the value is the same.
fn ln_1p(count: u32) -> f32 {
    static SMALL: LazyLock<Vec<f32>> =
        LazyLock::new(|| (0..4096_u16).map(|count| f32::from(count).ln_1p()).collect());
    SMALL.get(count as usize).copied().unwrap_or_else(|| (count as f32).ln_1p())
}

/// Rows, reduced to what the histories need.
#[derive(Debug, Default)]
pub(super) struct HistoryRows {
    pub(super) keys: KeyColumns,
    /// Logarithms of the prices per kilogram; empty where only outcomes are added.
    pub(super) log_prices: Vec<f32>,
    pub(super) outcomes: Vec<Option<bool>>,
}

/// Rows of one day, as ranges of the batches that they came in.
#[derive(Debug)]
pub(super) struct Day {
    pub(super) day: i32,
    pieces: Vec<(Arc<HistoryRows>, Range<u32>)>,
}

impl Day {
    /// A day without rows.
    pub(super) fn new(day: i32) -> Self {
        Self { day, pieces: Vec::new() }
    }

    /// Adds rows of the day.
    pub(super) fn push(&mut self, rows: &Arc<HistoryRows>, range: Range<u32>) {
        self.pieces.push((Arc::clone(rows), range));
    }

    /// A copy of its rows with a known outcome, without their prices; `None` where no outcome is known.
    pub(super) fn known(&self) -> Option<Self> {
        let mut known = HistoryRows::default();
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

impl HistoryRows {
    /// Those of a range whose outcome is known.
    fn known(&self, range: &Range<u32>) -> impl Iterator<Item = u32> {
        range.clone().filter(|row| self.outcomes[*row as usize].is_some())
    }
}

/// The step of the histories to the rows of one day.
pub(super) struct DayStep {
    /// The day that ended since the step before, if one did.
    pub(super) over: Option<Day>,
    /// Days whose outcomes became known since.
    pub(super) known: Vec<Day>,
    /// The share of illicit rows among all outcomes known; NaN before the first.
    pub(super) rate: f64,
    /// The day of the rows, since 1970-01-01.
    pub(super) day: i32,
    /// The rows that need features, by their indices in the batch.
    pub(super) rows: Vec<u32>,
}

/// The histories of all families.
#[derive(Debug)]
pub(super) struct Histories {
    families: Vec<FamilyHistory>,
    smoothing: f64,
}

impl Histories {
    /// Empty histories; `smoothing` is the weight of the overall rate in a key's rate, in rows.
    pub(super) fn new(capacity: usize, smoothing: f64) -> Self {
        Self {
            families: FAMILIES.iter().map(|family| FamilyHistory::new(family, capacity)).collect(),
            smoothing,
        }
    }

    /// How many keys were forgotten so far.
    pub(super) fn forgotten(&self) -> u64 {
        self.families.iter().map(FamilyHistory::forgotten).sum()
    }

    /// Number of keys in the largest family.
    #[cfg(test)]
    pub(super) fn largest(&self) -> usize {
        self.families.iter().map(|history| history.counts.len()).max().unwrap_or_default()
    }

    /// Goes through the steps of a batch, and appends the features of the rows that need them to `columns`: those of
    /// all families, in their order.
    pub(super) fn advance(&mut self, steps: &[DayStep], batch: &HistoryRows, columns: &mut [Vec<f32>]) {
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
                history.update(step);
                history.append_features(step, prior, batch, columns);
            }
        });
    }
}

/// The history of one family.
#[derive(Debug)]
struct FamilyHistory {
    family: &'static Family,
    counts: BoundedTable<OutcomeCounts>,
    /// Present where the family has features of prices.
    prices: Option<BoundedTable<PriceStatistics>>,
}

impl FamilyHistory {
    fn new(family: &'static Family, capacity: usize) -> Self {
        Self {
            family,
            counts: BoundedTable::new(capacity),
            prices: family.prices.then(|| BoundedTable::new(capacity)),
        }
    }

    fn forgotten(&self) -> u64 {
        self.counts.forgotten() + self.prices.as_ref().map_or(0, BoundedTable::forgotten)
    }

    /// Adds what became known.
    fn update(&mut self, step: &DayStep) {
        if let Some(over) = &step.over {
            self.add_rows(over);
        }
        for day in &step.known {
            self.add_outcomes(day);
        }
    }

    /// Adds the rows of a day that ended, without their outcomes.
    fn add_rows(&mut self, over: &Day) {
        for (rows, range) in &over.pieces {
            in_blocks(range.clone(), |block| {
                let keys = block_keys(self.family, &rows.keys, block);
                self.counts.read_ahead(&keys);
                for (key, row) in present(&keys, block) {
                    self.counts.touch(key).add_row(over.day);
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

    /// Adds the outcomes of a day.
    fn add_outcomes(&mut self, day: &Day) {
        for (rows, range) in &day.pieces {
            in_blocks(rows.known(range), |block| {
                let keys = block_keys(self.family, &rows.keys, block);
                self.counts.read_ahead(&keys);
                for (key, row) in present(&keys, block) {
                    self.counts.touch(key).add_outcome(rows.outcomes[row as usize] == Some(true));
                }
            });
        }
    }

    /// Appends the features of a step's rows.
    fn append_features(&self, step: &DayStep, prior: f64, batch: &HistoryRows, columns: &mut [Vec<f32>]) {
        for block in step.rows.chunks(BLOCK) {
            let keys = block_keys(self.family, &batch.keys, block);
            let keys = &keys[..block.len()];
            self.counts.read_ahead(keys);
            let known: [Option<OutcomeCounts>; BLOCK] = array::from_fn(|place| match keys.get(place) {
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

/// Appends one feature of rows by their counts; NaN where a row has no key.
fn append(column: &mut Vec<f32>, known: &[Option<OutcomeCounts>], value: impl Fn(OutcomeCounts) -> f32) {
    column.extend(known.iter().map(|known| known.map_or(f32::NAN, &value)));
}

/// Visits rows in blocks of up to [`BLOCK`].
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
