//! Drift of the declarations: of each feature compared with the time before the backtest, and of all features
//! together.
//!
//! Two figures for each feature: the population stability index (PSI; Siddiqi, "Credit Risk Scorecards", 2006) on
//! deciles of the reference, one half added to each count; and a classifier two-sample test (Lopez-Paz and Oquab,
//! ICLR 2017), whose classifier is the ratio of the counts in those deciles on every other row and whose
//! statistic is the area under the ROC curve on the rest: 0.5 means that the two cannot be distinguished. For
//! all features together the classifier is a few boosted trees. Features that change with time in any case are left out:
//! the calendar, and all that are computed from the past, whose counts, rates and usual prices change because the history
//! grows. Start at [`Reference::new`].

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use tidewaiter_core::Result;
use tidewaiter_learning::gbdt::{Dataset, Parameters, fit_alone};

use super::select::draw;
use crate::{
    features::{FeatureBatch, Source, features},
    metrics::Metrics,
};

/// Rows of a sample.
pub(super) const SAMPLE: usize = 4000;
/// Rows of each side of the test on all features.
const JOINT: usize = 1000;
/// Bins of a feature, without that of missing values.
const BINS: usize = 10;
/// Features of the calendar.
const CALENDAR: [&str; 3] = ["day_of_week", "month", "day_of_year"];

/// The drift of one feature in one period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FeatureDrift {
    /// Number of the period, from 0.
    pub period: usize,
    /// The feature.
    pub feature: String,
    /// Population stability index, 0 or more; above 0.25 counts as a large shift.
    pub psi: f64,
    /// Area under the ROC curve of the two-sample test, about 0.5 without drift.
    pub auc: f64,
}

/// The indices of the features whose drift is measured.
pub(super) fn measured_features() -> Vec<usize> {
    let counts = |(_, feature): &(usize, &crate::features::Feature)| match feature.source {
        Source::Row => !CALENDAR.contains(&feature.name.as_str()),
        Source::Code(_) => true,
        Source::Past(..) => false,
    };
    features().iter().enumerate().filter(counts).map(|(place, _)| place).collect()
}

/// Rows of the measured features: a column for each.
pub(super) type Sample = Vec<Vec<f32>>;

/// A sample of a stream of unknown length, every row with the same probability (Vitter's algorithm R, 1985).
#[derive(Debug)]
pub(super) struct ReservoirSampler {
    measured: Vec<usize>,
    sample: Sample,
    seen: u64,
    rng: Xoshiro256PlusPlus,
}

impl ReservoirSampler {
    pub(super) fn new(seed: u64) -> Self {
        let measured = measured_features();
        let sample = vec![Vec::new(); measured.len()];
        Self { measured, sample, seen: 0, rng: Xoshiro256PlusPlus::seed_from_u64(seed) }
    }

    pub(super) fn add(&mut self, batch: &FeatureBatch) {
        use rand::Rng;
        for row in 0..batch.rows() {
            self.seen += 1;
            let held = self.sample.first().map_or(0, Vec::len);
            let place = if held < SAMPLE { held as u64 } else { self.rng.random_range(0..self.seen) };
            let Ok(place) = usize::try_from(place) else { continue };
            for (column, feature) in self.sample.iter_mut().zip(&self.measured) {
                let value = batch.feature(*feature)[row];
                match column.get_mut(place) {
                    Some(cell) => *cell = value,
                    None if place == held && held < SAMPLE => column.push(value),
                    None => {}
                }
            }
        }
    }

    pub(super) fn finish(self) -> Sample {
        self.sample
    }
}

/// The sample with which periods are compared.
#[derive(Debug)]
pub(super) struct Reference {
    measured: Vec<usize>,
    edges: Vec<Vec<f32>>,
    counts: Vec<Halves>,
}

/// Counts by bin, of every other row and of the rest; bin 0 is that of missing values.
type Halves = [[u64; BINS + 1]; 2];

impl Reference {
    pub(super) fn new(sample: &Sample) -> Self {
        let edges: Vec<Vec<f32>> = sample.iter().map(|column| deciles(column)).collect();
        let counts = sample.iter().zip(&edges).map(|(column, edges)| count([column.as_slice()], edges));
        Self { measured: measured_features(), counts: counts.collect(), edges }
    }

    /// The drift of every measured feature in a period.
    pub(super) fn drift_of(&self, period: usize, batches: &[&FeatureBatch]) -> Vec<FeatureDrift> {
        let of = |(at, place): (usize, &usize)| {
            let now = count(batches.iter().map(|batch| batch.feature(*place)), &self.edges[at]);
            FeatureDrift {
                period,
                feature: features()[*place].name.clone(),
                psi: psi(&both(&self.counts[at]), &both(&now)),
                auc: two_sample(&self.counts[at], &now),
            }
        };
        self.measured.iter().enumerate().map(of).collect()
    }
}

/// The bounds between the deciles of a column's values, in ascending order, without repetition.
fn deciles(column: &[f32]) -> Vec<f32> {
    let mut known: Vec<f32> = column.iter().copied().filter(|value| !value.is_nan()).collect();
    known.sort_by(f32::total_cmp);
    let mut edges: Vec<f32> =
        (1..BINS).filter_map(|decile| known.get(known.len() * decile / BINS).copied()).collect();
    edges.dedup();
    edges
}

/// Counts values by bin.
fn count<'a>(columns: impl IntoIterator<Item = &'a [f32]>, edges: &[f32]) -> Halves {
    let mut counts = [[0; BINS + 1]; 2];
    for (row, value) in columns.into_iter().flatten().enumerate() {
        let bin = if value.is_nan() { 0 } else { 1 + edges.partition_point(|edge| edge <= value) };
        counts[row % 2][bin] += 1;
    }
    counts
}

/// The counts of both halves.
fn both(halves: &Halves) -> [u64; BINS + 1] {
    std::array::from_fn(|bin| halves[0][bin] + halves[1][bin])
}

/// The population stability index of two lists of counts, with one half added to each; bins that are empty in both
/// are left out.
fn psi(reference: &[u64], now: &[u64]) -> f64 {
    let bins = reference.iter().zip(now).filter(|(a, b)| **a + **b > 0);
    let bins: Vec<(f64, f64)> = bins.map(|(a, b)| (*a as f64 + 0.5, *b as f64 + 0.5)).collect();
    let (total_a, total_b) = bins.iter().fold((0.0, 0.0), |sum, bin| (sum.0 + bin.0, sum.1 + bin.1));
    bins.iter().map(|(a, b)| (b / total_b - a / total_a) * ((b / total_b) / (a / total_a)).ln()).sum()
}

/// The area under the ROC curve of the ratio of the first halves' counts, on the second halves.
fn two_sample(reference: &Halves, now: &Halves) -> f64 {
    let share = |counts: &[u64; BINS + 1], bin: usize| {
        (counts[bin] as f64 + 0.5) / (counts.iter().sum::<u64>() as f64 + 0.5 * (BINS + 1) as f64)
    };
    let mut order: Vec<usize> = (0..=BINS).collect();
    let ratio = |bin: usize| share(&now[0], bin) / share(&reference[0], bin);
    order.sort_by(|a, b| ratio(*a).total_cmp(&ratio(*b)).then(a.cmp(b)));
    let (mut below, mut pairs) = (0.0, 0.0);
    // Bins of equal ratio are ties.
    for tie in order.chunk_by(|a, b| ratio(*a) == ratio(*b)) {
        let (old, new) =
            tie.iter().fold((0, 0), |sum, bin| (sum.0 + reference[1][*bin], sum.1 + now[1][*bin]));
        pairs += new as f64 * (below + old as f64 / 2.0);
        below += old as f64;
    }
    let all = now[1].iter().sum::<u64>() as f64 * below;
    if all > 0.0 { pairs / all } else { 0.5 }
}

/// A random sample of a period's rows.
pub(super) fn sample_of(batches: &[&FeatureBatch], rng: &mut Xoshiro256PlusPlus) -> Sample {
    let rows: usize = batches.iter().map(|batch| batch.rows()).sum();
    let mut chosen = draw((0..rows).collect(), JOINT, rng);
    chosen.sort_unstable();
    let mut sample = vec![Vec::new(); measured_features().len()];
    let mut first = 0;
    let mut chosen = chosen.into_iter().peekable();
    for batch in batches {
        while let Some(row) = chosen.next_if(|row| *row < first + batch.rows()) {
            for (column, feature) in sample.iter_mut().zip(measured_features()) {
                column.push(batch.feature(feature)[row - first]);
            }
        }
        first += batch.rows();
    }
    sample
}

/// How well two samples can be distinguished by all features: from 0 (not at all) to 1. Trees are fitted on every
/// other row and evaluated on the rest; 0 for fewer than 40 rows.
pub(super) fn joint_drift(old: &Sample, new: &Sample, seed: u64) -> Result<f64> {
    let rows = |sample: &Sample| sample.first().map_or(0, Vec::len).min(JOINT);
    let (olds, news) = (rows(old), rows(new));
    if olds < 40 || news < 40 {
        return Ok(0.0);
    }
    let half = |side: usize| -> (Vec<Vec<f32>>, Vec<f32>) {
        let columns = old.iter().zip(new).map(|(old, new)| {
            let of = |column: &[f32], rows: usize| -> Vec<f32> {
                column[..rows].iter().copied().skip(side).step_by(2).collect()
            };
            [of(old, olds), of(new, news)].concat()
        });
        let count = |rows: usize| rows.saturating_sub(side).div_ceil(2);
        (columns.collect(), [vec![0.0; count(olds)], vec![1.0; count(news)]].concat())
    };
    let (training, labels) = half(0);
    let rows = labels.len();
    let parameters = Parameters { trees: 30, leaves: 8, seed, ..Parameters::default() };
    let model = fit_alone(Dataset::new(training, &labels, vec![false; rows])?, &parameters)?;
    let (test, labels) = half(1);
    let columns: Vec<&[f32]> = test.iter().map(Vec::as_slice).collect();
    let scores = model.predict_probability(&columns)?;
    let area = Metrics::of(&scores, &labels, None)?.roc_auc;
    Ok((2.0 * area - 1.0).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn psi_is_as_computed_by_hand() {
        // Shares (10.5, 30.5) / 41 and (20.5, 20.5) / 41; the third bin is empty in both.
        let (a, b) = (10.5 / 41.0_f64, 30.5 / 41.0_f64);
        let wanted = (0.5 - a) * (0.5 / a).ln() + (0.5 - b) * (0.5 / b).ln();
        assert!((psi(&[10, 30, 0], &[20, 20, 0]) - wanted).abs() < 1e-12);
        assert_eq!(psi(&[5, 5], &[5, 5]), 0.0);
    }

    /// By Python: `p, q = [[(n + .5) / (sum(x) + 2.5) for n in x] for x in ([12,7,1,0,30], [3,9,8,2,28])]` and
    /// `sum((b - a) * math.log(b / a) for a, b in zip(p, q))`.
    #[test]
    fn psi_agrees_with_another_implementation() {
        assert!((psi(&[12, 7, 1, 0, 30], &[3, 9, 8, 2, 28]) - 0.522_403_753_213_465).abs() < 1e-12);
    }

    #[test]
    fn the_two_sample_test_of_a_small_case() {
        let (mut old, mut new) = ([[0; BINS + 1]; 2], [[0; BINS + 1]; 2]);
        // The first halves say that bin 2 is new; the second halves have 3 of 4 and 1 of 4 there.
        (old[0][1], old[0][2], new[0][1], new[0][2]) = (3, 1, 1, 3);
        (old[1][1], old[1][2], new[1][1], new[1][2]) = (3, 1, 1, 3);
        // Pairs: 3 new in bin 2 beat 3 old and tie with 1; 1 new in bin 1 ties with 3: 9 + 1.5 + 1.5 of 16.
        assert!((two_sample(&old, &new) - 12.0 / 16.0).abs() < 1e-12);
        assert!((two_sample(&old, &old) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn what_changes_because_the_history_grows_is_not_measured() {
        let names: Vec<&str> =
            measured_features().into_iter().map(|place| features()[place].name.as_str()).collect();
        assert!(names.contains(&"ln_price_per_kg") && names.contains(&"origin_code"), "{names:?}");
        for moving in ["hs6_price_deviation", "hs6_price_ratio", "importer_rate", "day_of_year"] {
            assert!(features().iter().any(|feature| feature.name == moving), "{moving}");
            assert!(!names.contains(&moving), "{moving}");
        }
    }

    fn sample(shift: f32) -> Sample {
        let mut state = 3_u64;
        let mut next = || {
            state = (state * 1_103_515_245 + 12_345) % (1 << 31);
            (state >> 16) as f32 / 32_768.0
        };
        let width = measured_features().len();
        let mut sample = vec![Vec::new(); width];
        for _ in 0..800 {
            for (feature, column) in sample.iter_mut().enumerate() {
                column.push(next() + if feature == 0 { shift } else { 0.0 });
            }
        }
        sample
    }

    #[test]
    fn joint_drift_is_high_with_a_shift_and_low_without() {
        let other = sample(0.0).into_iter().map(|column| column.into_iter().rev().collect()).collect();
        assert!(joint_drift(&sample(0.0), &other, 1).expect("tested") < 0.2);
        assert!(joint_drift(&sample(0.0), &sample(0.8), 1).expect("tested") > 0.7);
    }
}
