//! Quantile bins of features, from summaries of the shards that merge exactly.
//!
//! A summary holds the distinct values of a feature with exact counts. When there are more than [`SUMMARY_VALUES`],
//! those with the smallest hashes are kept (a bottom-k sketch, Cohen and Kaplan, PODC 2007): a value whose hash is among
//! the smallest of all rows is also among the smallest of every shard that holds it, so merging loses nothing and the
//! bins do not depend on the sharding.
//!
//! A frequent value (a duty ratio of 0) may have a large hash, and must have its own bin all the same. A value that
//! one in [`FREQUENT`] rows has, is that frequent in at least one shard, so that each shard names its own candidates and
//! a second round counts all of them everywhere: the frequent values and their counts are exact and do not depend on the
//! sharding either. The sketch then stands for the other values, by their number.
//!
//! Start at [`summarise`] (a shard), then [`candidates`] (the leader), [`count_keys`] (a shard), [`merge`] and
//! [`quantile_edges`] (the leader), then [`BinEdges::bin_all`].

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasherDefault, Hasher},
};

use tidewaiter_core::{Error, Result, chance::mix};

/// The most distinct values that a summary keeps per feature.
pub(crate) const SUMMARY_VALUES: usize = 16384;

/// A value is frequent when at least one in so many rows has it: more often than any bin is wide.
const FREQUENT: u64 = 1024;

/// Distinct values of one feature with their exact counts.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FeatureSummary {
    /// The values as integers of the same order (see [`key_of`]), ascending.
    #[prost(fixed32, repeated, tag = "1")]
    pub(crate) keys: Vec<u32>,
    /// How many rows have each value.
    #[prost(uint64, repeated, tag = "2")]
    pub(crate) counts: Vec<u64>,
    /// How many rows have a value, also one that was not kept.
    #[prost(uint64, tag = "3")]
    pub(crate) rows: u64,
    /// The values that one in [`FREQUENT`] of these rows has, ascending.
    #[prost(message, required, tag = "4")]
    pub(crate) frequent: Keys,
}

/// Values of one feature, as integers of the same order, ascending.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Keys {
    #[prost(fixed32, repeated, tag = "1")]
    pub(crate) keys: Vec<u32>,
}

/// The distinct values of one feature over all shards, ascending, and how many rows each stands for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Distribution {
    keys: Vec<u32>,
    counts: Vec<f64>,
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
pub(crate) fn summarise(values: impl Iterator<Item = f32> + Clone) -> FeatureSummary {
    // Keys by their hashes; no two keys have the same hash.
    let mut counts: HashMap<u64, (u32, u64), BuildHasherDefault<Identity>> = HashMap::default();
    let (mut largest, mut rows) = (u64::MAX, 0);
    let keys = values.filter(|value| !value.is_nan()).map(key_of);
    for key in keys.clone() {
        rows += 1;
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
    let is_frequent = |count: u64| count * FREQUENT >= rows;
    let frequent = if distinct.iter().map(|(_, count)| count).sum::<u64>() == rows {
        distinct.iter().filter(|(_, count)| is_frequent(*count)).map(|(key, _)| *key).collect()
    } else {
        let mut sorted: Vec<u32> = keys.collect();
        sorted.sort_unstable();
        let runs = sorted.chunk_by(|a, b| a == b);
        runs.filter(|run| is_frequent(run.len() as u64)).map(|run| run[0]).collect()
    };
    bound(&mut distinct);
    let (keys, counts) = distinct.into_iter().unzip();
    FeatureSummary { keys, counts, rows, frequent: Keys { keys: frequent } }
}

/// The values of one feature that shards must count besides their summaries: none where these hold all values.
///
/// # Errors
/// As [`merge`].
pub(crate) fn candidates<'a>(summaries: impl Iterator<Item = &'a FeatureSummary> + Clone) -> Result<Keys> {
    let (distinct, rows) = kept(summaries.clone())?;
    if distinct.iter().map(|(_, count)| count).sum::<u64>() == rows {
        return Ok(Keys::default());
    }
    let mut keys: Vec<u32> = summaries.flat_map(|summary| summary.frequent.keys.iter().copied()).collect();
    keys.sort_unstable();
    keys.dedup();
    Ok(Keys { keys })
}

/// How many of the values are each of the keys, which ascend.
pub(crate) fn count_keys(values: impl Iterator<Item = f32>, keys: &Keys) -> Vec<i64> {
    let mut counts = vec![0; keys.keys.len()];
    if counts.is_empty() {
        return counts;
    }
    for key in values.filter(|value| !value.is_nan()).map(key_of) {
        if let Ok(place) = keys.keys.binary_search(&key) {
            counts[place] += 1;
        }
    }
    counts
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

/// Keeps of distinct values, which ascend, those with the smallest hashes.
fn bound(distinct: &mut Vec<(u32, u64)>) {
    if distinct.len() > SUMMARY_VALUES {
        distinct.select_nth_unstable_by_key(SUMMARY_VALUES, |(key, _)| mix(u64::from(*key)));
        distinct.truncate(SUMMARY_VALUES);
        distinct.sort_unstable();
    }
}

/// The values that the summaries of one feature keep together, with their exact counts, and all rows.
fn kept<'a>(summaries: impl Iterator<Item = &'a FeatureSummary>) -> Result<(Vec<(u32, u64)>, u64)> {
    let (mut distinct, mut rows) = (BTreeMap::new(), 0);
    for summary in summaries {
        if summary.keys.len() != summary.counts.len() {
            return Err(Error::internal("boosted trees: a shard's summary has keys without counts"));
        }
        rows += summary.rows;
        for (key, count) in summary.keys.iter().zip(&summary.counts) {
            *distinct.entry(*key).or_insert(0) += count;
        }
    }
    let mut distinct: Vec<(u32, u64)> = distinct.into_iter().collect();
    bound(&mut distinct);
    Ok((distinct, rows))
}

/// Merges the summaries of one feature from all shards, with the counts of its [`candidates`] over all rows.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when a summary's lists differ in length.
pub(crate) fn merge<'a>(
    summaries: impl Iterator<Item = &'a FeatureSummary>,
    candidates: &Keys,
    counts: &[i64],
) -> Result<Distribution> {
    let (distinct, rows) = kept(summaries)?;
    let counted = candidates.keys.iter().zip(counts).map(|(key, count)| (*key, count.unsigned_abs()));
    let frequent: BTreeMap<u32, u64> = counted.filter(|(_, count)| count * FREQUENT >= rows).collect();
    if frequent.is_empty() {
        let (keys, counts) = distinct.into_iter().map(|(key, count)| (key, count as f64)).unzip();
        return Ok(Distribution { keys, counts });
    }
    let others: Vec<_> = distinct.into_iter().filter(|(key, _)| !frequent.contains_key(key)).collect();
    let sampled: u64 = others.iter().map(|(_, count)| count).sum();
    let all_others = rows.saturating_sub(frequent.values().sum());
    let scale = all_others as f64 / sampled.max(1) as f64;
    let mut all: BTreeMap<u32, f64> =
        others.into_iter().map(|(key, count)| (key, count as f64 * scale)).collect();
    all.extend(frequent.into_iter().map(|(key, count)| (key, count as f64)));
    let (keys, counts) = all.into_iter().unzip();
    Ok(Distribution { keys, counts })
}

/// Divides a feature into at most `bins` bins, that of missing values not counted: one for each value when there are
/// few, else bins of about equal counts, with frequent values alone in theirs.
pub(crate) fn quantile_edges(values: &Distribution, bins: usize) -> BinEdges {
    let Distribution { keys, counts } = values;
    let between = |at: usize| {
        let (below, above) = (value_of(keys[at]), value_of(keys[at + 1]));
        let middle = below + (above - below) / 2.0;
        // Rounding and infinities can put the middle outside; the lower value is always a good edge.
        if below <= middle && middle < above { middle } else { below }
    };
    if keys.len() <= bins {
        return BinEdges { upper: (0..keys.len().saturating_sub(1)).map(between).collect() };
    }
    let total: f64 = counts.iter().sum();
    let mean = total / bins as f64;
    let (mut upper, mut filled, mut left) = (Vec::with_capacity(bins - 1), 0.0, total);
    for at in 0..keys.len() - 1 {
        let open = bins - upper.len();
        if open == 1 {
            break;
        }
        filled += counts[at];
        let target = left / open as f64;
        let frequent_next = counts[at + 1] >= mean && filled >= mean / 2.0;
        if filled >= target || frequent_next {
            upper.push(between(at));
            left -= filled;
            filled = 0.0;
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

    /// The values of one summary that holds all of them.
    fn alone(summary: &FeatureSummary) -> Distribution {
        merge([summary].into_iter(), &Keys::default(), &[]).expect("merges")
    }

    /// The distribution of values that are spread over shards, by both rounds.
    fn whole(shards: &[&[f32]]) -> Distribution {
        let summaries: Vec<_> = shards.iter().map(|shard| summarise(shard.iter().copied())).collect();
        let candidates = candidates(summaries.iter()).expect("candidates");
        let mut counts = vec![0; candidates.keys.len()];
        for shard in shards {
            let own = count_keys(shard.iter().copied(), &candidates);
            counts.iter_mut().zip(own).for_each(|(count, own)| *count += own);
        }
        merge(summaries.iter(), &candidates, &counts).expect("merges")
    }

    #[test]
    fn few_values_get_a_bin_each() {
        let summary = summarise([3.0, 1.0, f32::NAN, 1.0, -0.0, 0.0].into_iter());
        assert_eq!((summary.counts.as_slice(), summary.rows), (&[2, 2, 1][..], 5));
        let edges = quantile_edges(&alone(&summary), 255);
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
        let (keys, counts): (Vec<u32>, Vec<u64>) = all.into_iter().unzip();
        assert_eq!((summary.keys, summary.counts, summary.rows), (keys, counts, 300_000));
    }

    /// Three in ten rows have a value whose hash is among the largest, so that the sketch does not keep it.
    fn with_a_frequent_value(rows: u64) -> (f32, Vec<f32>) {
        let value = |i: u64| (mix(i) % 50_000) as f32 / 8.0;
        let frequent = (1_u64..).map(|i| -(i as f32)).find(|value| mix(u64::from(key_of(*value))) >> 62 == 3);
        let frequent = frequent.expect("a value");
        (frequent, (0..rows).map(|i| if i % 10 < 3 { frequent } else { value(i) }).collect())
    }

    #[test]
    fn a_frequent_value_beyond_the_sketch_has_a_bin_of_its_own_and_its_exact_count() {
        let (frequent, values) = with_a_frequent_value(200_000);
        let summary = summarise(values.iter().copied());
        assert!(!summary.keys.contains(&key_of(frequent)), "the sketch alone loses it");
        let merged = whole(&[values.as_slice()]);
        let place = merged.keys.binary_search(&key_of(frequent)).expect("it is kept");
        assert_eq!(merged.counts[place], 60_000.0);
        let total: f64 = merged.counts.iter().sum();
        assert!((total - 200_000.0).abs() < 1e-6, "the sketch stands for the other rows: {total}");
        let edges = quantile_edges(&merged, 20);
        // It is the smallest value. The other 140,000 rows share 19 bins evenly, to within the error of the sketch.
        let mut filled = vec![0; edges.bins()];
        edges.bin_all(&values).into_iter().for_each(|bin| filled[usize::from(bin)] += 1);
        assert_eq!(filled[1], 60_000, "{filled:?}");
        assert!(filled[2..].iter().all(|rows| (5_500..9_500).contains(rows)), "{filled:?}");
    }

    #[test]
    fn infinities_are_values() {
        let summary = summarise([f32::NEG_INFINITY, 0.0, f32::INFINITY].into_iter());
        let edges = quantile_edges(&alone(&summary), 255);
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
        fn merging_does_not_depend_on_the_sharding(
            seed in any::<u64>(), shards in 2_usize..5, frequent in any::<bool>()
        ) {
            let values: Vec<f32> = if frequent {
                with_a_frequent_value(40_000 + seed % 1000).1
            } else {
                (0..40_000).map(|i| (mix(seed ^ i) % 30_000) as f32 / 7.0).collect()
            };
            // Shards of different sizes; all frequent values may be in one of them.
            let size = values.len() / shards + 1;
            let parts: Vec<&[f32]> = values.chunks(size).collect();
            prop_assert_eq!(whole(&parts), whole(&[values.as_slice()]));
            let mut sorted = values.clone();
            sorted.sort_unstable_by(f32::total_cmp);
            let parts: Vec<&[f32]> = sorted.chunks(size).collect();
            prop_assert_eq!(whole(&parts), whole(&[values.as_slice()]));
        }

        #[test]
        fn bins_are_within_bounds_and_ordered(
            mut values in prop::collection::vec(-500_i16..500, 1..900), bins in 2_usize..256
        ) {
            values.sort_unstable();
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let edges = quantile_edges(&whole(&[values.as_slice()]), bins);
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
