//! The mean of the shards' numbers, folded part by part as they arrive.
//!
//! A worker sends what the mean needs to know of each shard first: its weight and the number of its values. When all
//! shards have answered, the hub fetches the values in parts of [`PART_VALUES`], the next part of every shard while it
//! folds the last, and gives the leader one part of the mean after the other. Promises:
//!
//! - a value of the mean is the sum, in the order of the shards and in 64 bits, of share times value: its bits depend on
//!   the number of shards, and neither on the workers that carry them nor on where the parts are cut;
//! - the leader's process holds two parts of each shard and no more, however many values there are;
//! - the parts that are folded stay when a worker is lost: its shards answer again with the same values, because an
//!   answer is a pure function, and only the rest is fetched from their new workers.
//!
//! Start at [`Folding`].

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tidewaiter_core::{Error, Result};
use tidewaiter_proto::v1::{Fetch, ShardValues};

use crate::{
    fit::{Contribution, mismatch},
    values::{Part, mean},
};

/// The values of one part: 4 MiB.
pub(crate) const PART_VALUES: u64 = 1 << 20;

/// How many parts of a shard are under way or wait to be folded.
const PARTS_AHEAD: u64 = 2;

/// A mean under way.
#[derive(Debug)]
pub(crate) struct Folding {
    shards: BTreeMap<u32, Source>,
    /// Values of the mean that are folded.
    folded: u64,
    /// Parts that were asked for and have not arrived, by their first value and their shard.
    asked: BTreeSet<(u64, u32)>,
    /// Parts that have arrived.
    arrived: BTreeMap<(u64, u32), Bytes>,
    part_values: u64,
}

/// A shard that has answered.
#[derive(Debug)]
struct Source {
    /// The worker that holds its values.
    worker: String,
    part: Part,
    /// All values, where they came with the answer.
    values: Option<Bytes>,
}

impl Folding {
    pub(crate) fn new() -> Self {
        Self::in_parts(PART_VALUES)
    }

    fn in_parts(part_values: u64) -> Self {
        Self {
            shards: BTreeMap::new(),
            folded: 0,
            asked: BTreeSet::new(),
            arrived: BTreeMap::new(),
            part_values,
        }
    }

    /// Notes the answer of a shard, whose values `worker` holds.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when it has not as many numbers as the others.
    pub(crate) fn answered(&mut self, worker: &str, answer: ShardValues) -> Result<()> {
        let ShardValues { shard, weight, note, length, values } = answer;
        let is_whole = values.len() as u64 == length * 4;
        if self.shards.values().any(|other| other.part.length != length) || !(is_whole || values.is_empty()) {
            return Err(mismatch());
        }
        let part = Part { shard, weight, note, length };
        let source = Source { worker: worker.to_owned(), part, values: is_whole.then_some(values) };
        self.shards.insert(shard, source);
        Ok(())
    }

    /// Forgets what a lost worker holds; the shards whose values are needed still.
    pub(crate) fn lose(&mut self, worker: &str) -> Vec<u32> {
        let length = self.length();
        let needed =
            |source: &Source| source.worker == worker && source.values.is_none() && self.folded < length;
        let lost: Vec<u32> =
            self.shards.values().filter(|source| needed(source)).map(|source| source.part.shard).collect();
        self.shards.retain(|shard, _| !lost.contains(shard));
        self.asked.retain(|(_, shard)| !lost.contains(shard));
        lost
    }

    /// The parts to ask for now, each of the worker that holds it. All shards have answered.
    pub(crate) fn fetches(&mut self, round: u64) -> Vec<(String, Fetch)> {
        let length = self.length();
        let end = length.min(self.folded + PARTS_AHEAD * self.part_values);
        let mut fetches = Vec::new();
        for first in (self.folded..end).step_by(usize::try_from(self.part_values).unwrap_or(usize::MAX)) {
            for (shard, source) in self.shards.iter().filter(|(_, source)| source.values.is_none()) {
                if !self.arrived.contains_key(&(first, *shard)) && self.asked.insert((first, *shard)) {
                    let count = self.part_values.min(length - first);
                    fetches.push((source.worker.clone(), Fetch { round, shard: *shard, first, count }));
                }
            }
        }
        fetches
    }

    /// Takes a part that was asked of this worker; others are ignored.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when it is cut short.
    pub(crate) fn take(&mut self, worker: &str, shard: u32, first: u64, values: Bytes) -> Result<()> {
        let is_of = self.shards.get(&shard).is_some_and(|source| source.worker == worker);
        if !is_of || !self.asked.remove(&(first, shard)) {
            return Ok(());
        }
        if values.len() as u64 != self.part_values.min(self.length() - first) * 4 {
            return Err(Error::corrupt("a part of a shard's values is cut short"));
        }
        self.arrived.insert((first, shard), values);
        Ok(())
    }

    /// Folds the parts that all shards have sent; whether the mean is complete. All shards have answered.
    ///
    /// # Errors
    /// Those of `fold`, which is given the place and the values of the next part of the mean.
    pub(crate) fn advance(&mut self, fold: &mut dyn FnMut(usize, &[f32]) -> Result<()>) -> Result<bool> {
        let length = self.length();
        let weight: u64 = self.shards.values().map(|source| source.part.weight).sum();
        if weight == 0 {
            return Ok(true);
        }
        while self.folded < length {
            let (first, count) = (self.folded, self.part_values.min(length - self.folded));
            let mut parts = Vec::with_capacity(self.shards.len());
            for (shard, source) in &self.shards {
                let part = match &source.values {
                    Some(values) => Some(values.slice(first as usize * 4..(first + count) as usize * 4)),
                    None => self.arrived.get(&(first, *shard)).cloned(),
                };
                let Some(part) = part else { return Ok(false) };
                parts.push((source.part.weight as f64 / weight as f64, part));
            }
            fold(first as usize, &mean(&parts))?;
            self.folded += count;
            self.arrived.retain(|(at, _), _| *at >= self.folded);
        }
        Ok(true)
    }

    /// What the leader is told at the end.
    pub(crate) fn over(self) -> Contribution {
        Contribution::Mean(self.shards.into_values().map(|source| source.part).collect())
    }

    /// How many values each shard has.
    fn length(&self) -> u64 {
        self.shards.values().next().map_or(0, |source| source.part.length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::values::Numbers;

    /// The mean as it is defined, of one value after the other.
    fn expected(shards: &[(u64, Vec<f32>)]) -> Vec<u32> {
        let weight: u64 = shards.iter().map(|(weight, _)| weight).sum();
        let shares: Vec<f64> = shards.iter().map(|(own, _)| *own as f64 / weight as f64).collect();
        let mean = |at: usize| {
            let parts = shards.iter().zip(&shares);
            parts.map(|((_, values), share)| share * f64::from(values[at])).sum::<f64>() as f32
        };
        (0..shards[0].1.len()).map(|at| mean(at).to_bits()).collect()
    }

    fn answer(shard: u32, weight: u64, values: &[f32], inline: bool) -> ShardValues {
        let bytes = Numbers::new(values.to_vec()).bytes();
        let note = Bytes::from(vec![shard as u8]);
        let length = values.len() as u64;
        ShardValues { shard, weight, note, length, values: if inline { bytes } else { Bytes::new() } }
    }

    fn shards() -> impl Strategy<Value = Vec<(u64, Vec<f32>)>> {
        (1..5_usize, 1..40_usize).prop_flat_map(|(shards, values)| {
            let number = prop_oneof![Just(-0.0_f32), -1e3_f32..1e3];
            prop::collection::vec((1..100_u64, prop::collection::vec(number, values)), shards)
        })
    }

    proptest! {
        #[test]
        fn a_mean_has_the_same_bits_in_any_parts_that_arrive_in_any_order(
            shards in shards(), part_values in 1..50_u64, inline in any::<u8>(), order in any::<u64>(), lost in 0..4_u32
        ) {
            let mut folding = Folding::in_parts(part_values);
            let is_inline = |shard: u32| inline >> shard & 1 == 1;
            let worker = |shard: u32| format!("w{}", shard % 2);
            for (shard, (weight, values)) in (0..).zip(&shards) {
                folding.answered(&worker(shard), answer(shard, *weight, values, is_inline(shard))).expect("fits");
            }
            let mut mean: Vec<u32> = Vec::new();
            let (mut random, mut rounds) = (order, 0);
            let mut held: Vec<(String, Fetch)> = Vec::new();
            loop {
                let mut fold = |first: usize, part: &[f32]| {
                    assert_eq!(first, mean.len());
                    mean.extend(part.iter().map(|value| value.to_bits()));
                    Ok(())
                };
                if folding.advance(&mut fold).expect("folds") {
                    break;
                }
                rounds += 1;
                if rounds == lost {
                    // The worker is lost, and its shards answer again on another.
                    for shard in folding.lose("w1") {
                        let (weight, values) = &shards[shard as usize];
                        folding.answered("w2", answer(shard, *weight, values, false)).expect("fits");
                    }
                }
                held.extend(folding.fetches(1));
                prop_assert!(held.len() <= 2 * PARTS_AHEAD as usize * shards.len());
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let (worker, fetch) = held.swap_remove((random >> 33) as usize % held.len());
                let values = Numbers::new(shards[fetch.shard as usize].1.clone());
                let part = values.part(fetch.first, fetch.count).expect("there are so many");
                folding.take(&worker, fetch.shard, fetch.first, part).expect("is whole");
            }
            prop_assert_eq!(mean, expected(&shards));
            let Contribution::Mean(parts) = folding.over() else { panic!("a mean") };
            prop_assert!(parts.iter().map(|part| part.shard).eq(0..shards.len() as u32));
        }
    }

    #[test]
    fn shards_without_weight_have_no_mean() {
        let mut folding = Folding::new();
        folding.answered("w", answer(0, 0, &[f32::NAN], false)).expect("fits");
        assert!(folding.advance(&mut |_, _| panic!("there is none")).expect("is over"));
        let shorter = folding.answered("w", answer(1, 1, &[], false));
        assert!(shorter.is_err(), "shards of different lengths have no mean");
    }
}
