//! Quantile bins of features, from summaries of the shards that merge exactly.
//!
//! A summary holds the distinct values of a feature with exact counts. When there are more than [`SUMMARY_VALUES`],
//! those with the smallest hashes are kept (a bottom-k sketch, Cohen and Kaplan, PODC 2007): a value whose hash is among
//! the smallest of all rows is also among the smallest of every shard that holds it, so merging loses nothing and the
//! bins do not depend on the sharding.
//!
//! Start at [`summarise`] (a shard), then [`merge`] and [`quantile_edges`] (the leader), then [`BinEdges::bin_all`].

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasherDefault, Hasher},
};

use tidewaiter_core::{Error, Result, chance::mix};

/// The most distinct values that a summary keeps per feature.
pub(crate) const SUMMARY_VALUES: usize = 16384;

/// Distinct values of one feature with their exact counts.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FeatureSummary {
    /// The values as integers of the same order (see [`key_of`]), ascending.
    #[prost(fixed32, repeated, tag = "1")]
    pub(crate) keys: Vec<u32>,
    /// How many rows have each value.
    #[prost(uint64, repeated, tag = "2")]
    pub(crate) counts: Vec<u64>,
}

/// The bins of one feature: bin 0 is that of missing values.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BinEdges {
    /// The upper edges of all bins from 1 on but the last; a value equal to an edge is below it.
    #[prost(float, repeated, tag = "1")]
    pub(crate) upper: Vec<f32>,
}

/// Maps a number that is not NaN to an integer of the same order; both zeros have the same key.
fn key_of(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | (1 << 31) }
}

fn value_of(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

/// Summarises the values of one feature; missing values (NaN) are left out.
pub(crate) fn summarise(values: impl Iterator<Item = f32>) -> FeatureSummary {
    // Keys by their hashes; no two keys have the same hash.
    let mut counts: HashMap<u64, (u32, u64), BuildHasherDefault<Identity>> = HashMap::default();
    let mut largest = u64::MAX;
    for key in values.filter(|value| !value.is_nan()).map(key_of) {
        let hash = mix(u64::from(key));
        // This is the case for most rows of a feature with many values.
        if hash > largest {
            continue;
        }
        counts.entry(hash).or_insert((key, 0)).1 += 1;
        if counts.len() == 2 * SUMMARY_VALUES {
            let mut hashes: Vec<u64> = counts.keys().copied().collect();
            largest = *hashes.select_nth_unstable(SUMMARY_VALUES - 1).1;
            counts.retain(|hash, _| *hash <= largest);
        }
    }
    let mut distinct: Vec<_> = counts.into_values().collect();
    distinct.sort_unstable();
    bounded(distinct)
}

/// A hasher for keys that are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = mix(self.0 ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The summary of distinct values with their counts, in ascending order.
fn bounded(mut distinct: Vec<(u32, u64)>) -> FeatureSummary {
    if distinct.len() > SUMMARY_VALUES {
        distinct.select_nth_unstable_by_key(SUMMARY_VALUES, |(key, _)| mix(u64::from(*key)));
        distinct.truncate(SUMMARY_VALUES);
        distinct.sort_unstable();
    }
    let (keys, counts) = distinct.into_iter().unzip();
    FeatureSummary { keys, counts }
}

/// Merges the summaries of one feature from all shards.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when a summary's lists differ in length.
pub(crate) fn merge<'a>(summaries: impl Iterator<Item = &'a FeatureSummary>) -> Result<FeatureSummary> {
    let mut distinct = BTreeMap::new();
    for summary in summaries {
        if summary.keys.len() != summary.counts.len() {
            return Err(Error::internal("boosted trees: a shard's summary has keys without counts"));
        }
        for (key, count) in summary.keys.iter().zip(&summary.counts) {
            *distinct.entry(*key).or_insert(0) += count;
        }
    }
    Ok(bounded(distinct.into_iter().collect()))
}

/// Divides a feature into at most `bins` bins, that of missing values not counted: one for each value when there are
/// few, else bins of about equal counts, with frequent values alone in theirs.
pub(crate) fn quantile_edges(summary: &FeatureSummary, bins: usize) -> BinEdges {
    let (keys, counts) = (&summary.keys, &summary.counts);
    let between = |at: usize| {
        let (below, above) = (value_of(keys[at]), value_of(keys[at + 1]));
        let middle = below + (above - below) / 2.0;
        // Rounding and infinities can put the middle outside; the lower value is always a good edge.
        if below <= middle && middle < above { middle } else { below }
    };
    if keys.len() <= bins {
        return BinEdges { upper: (0..keys.len().saturating_sub(1)).map(between).collect() };
    }
    let total: u64 = counts.iter().sum();
    let mean = total as f64 / bins as f64;
    let (mut upper, mut filled, mut left) = (Vec::with_capacity(bins - 1), 0, total);
    for at in 0..keys.len() - 1 {
        let open = bins - upper.len();
        if open == 1 {
            break;
        }
        filled += counts[at];
        let target = left as f64 / open as f64;
        let frequent_next = counts[at + 1] as f64 >= mean && filled as f64 >= mean / 2.0;
        if filled as f64 >= target || frequent_next {
            upper.push(between(at));
            left -= filled;
            filled = 0;
        }
    }
    BinEdges { upper }
}

impl BinEdges {
    /// The bin of each value of a column: 0 for a missing one, else 1 and up.
    pub(crate) fn bin_all(&self, column: &[f32]) -> Vec<u8> {
        // A binary search over a table of fixed length, without branches, so that the processor overlaps many searches.
        // There are at most 254 edges, so that the bin fits in a byte.
        let mut upper = [f32::INFINITY; 256];
        upper[..self.upper.len()].copy_from_slice(&self.upper);
        let search = |value: &f32| {
            let mut below = 0;
            for step in [128, 64, 32, 16, 8, 4, 2, 1] {
                below += if upper[(below + step - 1) & 255] < *value { step } else { 0 };
            }
            if value.is_nan() { 0 } else { 1 + below as u8 }
        };
        column.iter().map(search).collect()
    }

    /// The number of bins, that of missing values included.
    pub(crate) fn bins(&self) -> usize {
        self.upper.len() + 2
    }

    /// The largest value of a bin of known values (from 1 on).
    pub(crate) fn threshold(&self, bin: usize) -> f32 {
        self.upper.get(bin - 1).copied().unwrap_or(f32::INFINITY)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_values_get_a_bin_each() {
        let summary = summarise([3.0, 1.0, f32::NAN, 1.0, -0.0, 0.0].into_iter());
        assert_eq!(summary.counts, [2, 2, 1]);
        let edges = quantile_edges(&summary, 255);
        assert_eq!(edges.upper, [0.5, 2.0]);
        assert_eq!(edges.bin_all(&[f32::NAN, -9.0, 0.5, 0.6, 7.0]), [0, 1, 1, 2, 3]);
    }

    #[test]
    fn of_many_values_those_with_the_smallest_hashes_are_kept_with_all_their_rows() {
        let values = |i: u64| (mix(i) % 100_000) as f32;
        let summary = summarise((0..300_000).map(values));
        let mut counts = BTreeMap::new();
        (0..300_000).for_each(|i| *counts.entry(key_of(values(i))).or_insert(0_u64) += 1);
        let mut all: Vec<_> = counts.into_iter().collect();
        all.sort_unstable_by_key(|(key, _)| mix(u64::from(*key)));
        all.truncate(SUMMARY_VALUES);
        all.sort_unstable();
        let (keys, counts) = all.into_iter().unzip();
        assert_eq!(summary, FeatureSummary { keys, counts });
    }

    #[test]
    fn infinities_are_values() {
        let summary = summarise([f32::NEG_INFINITY, 0.0, f32::INFINITY].into_iter());
        let edges = quantile_edges(&summary, 255);
        assert_eq!(edges.bin_all(&[f32::NEG_INFINITY, 0.0, f32::INFINITY]), [1, 2, 3]);
    }

    proptest! {
        #[test]
        fn keys_keep_the_order(a in any::<f32>(), b in any::<f32>()) {
            prop_assume!(!a.is_nan() && !b.is_nan());
            prop_assert_eq!(key_of(a).cmp(&key_of(b)), a.partial_cmp(&b).expect("ordered"));
            prop_assert_eq!(value_of(key_of(a)), a);
        }

        #[test]
        fn merging_does_not_depend_on_the_sharding(seed in any::<u64>(), shards in 2_usize..5) {
            let values: Vec<f32> =
                (0..40_000).map(|i| (mix(seed ^ i) % 30_000) as f32 / 7.0).collect();
            let whole = summarise(values.iter().copied());
            let parts: Vec<_> = (0..shards)
                .map(|shard| summarise(values.iter().copied().skip(shard).step_by(shards)))
                .collect();
            prop_assert_eq!(merge(parts.iter()).expect("merges"), whole);
        }

        #[test]
        fn bins_are_within_bounds_and_ordered(
            mut values in prop::collection::vec(-500_i16..500, 1..900), bins in 2_usize..256
        ) {
            values.sort_unstable();
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let edges = quantile_edges(&summarise(values.iter().copied()), bins);
            prop_assert!(edges.bins() <= bins + 1);
            prop_assert!(edges.upper.windows(2).all(|pair| pair[0] < pair[1]));
            let binned = edges.bin_all(&values);
            prop_assert_eq!(binned[0], 1);
            for (value, bin) in values.iter().zip(binned) {
                prop_assert_eq!(usize::from(bin), 1 + edges.upper.partition_point(|edge| edge < value));
            }
        }
    }
}
