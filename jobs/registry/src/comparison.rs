//! Compares a challenger with the champion on the same test rows: is their difference more than chance?
//!
//! The paired bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 16; for rankings
//! Smucker, Allan and Carterette, CIKM 2007): the test rows are resampled with replacement, both models are evaluated on
//! the same resample, and the differences of their average precision over many resamples give a percentile interval. It
//! measures the chance in the test rows, not the chance in the fits. Resamples are seeded, so that a repetition gives
//! the same figures. Start at [`paired_bootstrap`].

use clap::ValueEnum;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result, statistics::average_precision};

/// Resamples of a comparison.
pub const RESAMPLES: usize = 1000;

/// The model that a retrained model must beat to be promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Against {
    /// The champion: promoted when the whole 95 % interval of the difference lies above 0.
    Champion,
}

/// The challenger's average precision minus the champion's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// On the test rows themselves; from -1 to 1.
    pub difference: f64,
    /// Lower end of the 95 % interval over the resamples.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Share of the resamples in which the challenger was better, from 0 to 1.
    pub better: f64,
    /// Resamples that had both outcomes; the others are left out.
    pub resamples: u64,
    /// Seed of the resamples.
    pub seed: u64,
}

impl Comparison {
    /// Whether the whole interval lies above 0.
    pub fn is_better(&self) -> bool {
        self.low > 0.0
    }
}

/// Compares two models by their scores of the same rows, of which only the order counts; `labels` are 1 (positive) or 0.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when the columns differ in length;
/// [`tidewaiter_core::ErrorKind::Input`] when the rows or all resamples lack one of the outcomes.
pub fn paired_bootstrap(
    challenger: &[f64],
    champion: &[f64],
    labels: &[f32],
    resamples: usize,
    seed: u64,
) -> Result<Comparison> {
    let rows = labels.len();
    if challenger.len() != rows || champion.len() != rows {
        return Err(Error::internal("two models are compared on different rows"));
    }
    let rankings = [Ranking::of(challenger), Ranking::of(champion)];
    let difference = |weights: &[u32]| {
        let [new, old] = [0, 1].map(|model| rankings[model].average_precision(labels, weights));
        Some(new? - old?)
    };
    let whole = difference(&vec![1; rows]);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut weights = vec![0_u32; rows];
    let mut differences = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        weights.fill(0);
        for _ in 0..rows {
            weights[rng.random_range(0..rows)] += 1;
        }
        differences.extend(difference(&weights));
    }
    differences.sort_by(f64::total_cmp);
    let (Some(whole), Some(last)) = (whole, differences.len().checked_sub(1)) else {
        return Err(Error::input(
            "the test rows lack illicit or licit items: two models cannot be compared on them, choose other months",
        ));
    };
    let quantile = |share: f64| differences[(share * last as f64).round() as usize];
    let better = differences.iter().filter(|difference| **difference > 0.0).count();
    Ok(Comparison {
        difference: whole,
        low: quantile(0.025),
        high: quantile(0.975),
        better: better as f64 / differences.len() as f64,
        resamples: differences.len() as u64,
        seed,
    })
}

/// Rows by falling score, in groups of equal scores.
struct Ranking {
    rows: Vec<usize>,
    /// End of each group.
    ends: Vec<usize>,
}

impl Ranking {
    fn of(scores: &[f64]) -> Self {
        let mut rows: Vec<usize> = (0..scores.len()).collect();
        rows.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let mut end = 0;
        let ends = rows.chunk_by(|a, b| scores[*a] == scores[*b]).map(|group| {
            end += group.len();
            end
        });
        let ends = ends.collect();
        Self { rows, ends }
    }

    /// The average precision when each row counts `weights` times; `None` without both outcomes.
    fn average_precision(&self, labels: &[f32], weights: &[u32]) -> Option<f64> {
        let (mut seen, mut found, mut start) = (0_u64, 0_u64, 0);
        let groups = self.ends.iter().map(|end| {
            let (mut hits, mut tied) = (0_u64, 0_u64);
            for row in &self.rows[start..*end] {
                let weight = u64::from(weights[*row]);
                tied += weight;
                hits += if labels[*row] == 1.0 { weight } else { 0 };
            }
            (seen, found, start) = (seen + tied, found + hits, *end);
            (hits, tied)
        });
        let average = average_precision(groups);
        average.filter(|_| found < seen)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidewaiter_core::ErrorKind;

    use super::*;

    fn sample() -> (Vec<f64>, Vec<f64>, Vec<f32>) {
        let mut state = 1_u64;
        let mut next = || {
            state = (state * 1_103_515_245 + 12_345) % (1 << 31);
            ((state >> 16) % 100) as f64 / 100.0
        };
        let (mut good, mut poor, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..400 {
            let risk = next();
            labels.push(f32::from(u8::from(next() < risk * 0.5)));
            good.push(risk);
            poor.push((risk + 9.0 * next()) / 10.0);
        }
        (good, poor, labels)
    }

    #[test]
    fn a_row_counts_as_often_as_its_weight() {
        // By hand: a positive row drawn twice, a negative and a positive one once: precision 1, then 3 of 4.
        let ranking = Ranking::of(&[0.9, 0.5, 0.1, 0.0]);
        let found = ranking.average_precision(&[1.0, 0.0, 1.0, 0.0], &[2, 1, 1, 0]).expect("both kinds");
        assert!((found - (2.0 * 1.0 + 0.75) / 3.0).abs() < 1e-12, "{found}");
        assert_eq!(ranking.average_precision(&[1.0, 0.0, 1.0, 0.0], &[2, 0, 1, 0]), None);
    }

    #[test]
    fn a_clear_difference_is_found_and_the_same_seed_gives_the_same_figures() {
        let (good, poor, labels) = sample();
        let compared = paired_bootstrap(&good, &poor, &labels, 300, 7).expect("compared");
        assert!(compared.is_better() && compared.better > 0.99, "{compared:?}");
        assert!(compared.low < compared.difference && compared.difference < compared.high);
        assert_eq!(compared, paired_bootstrap(&good, &poor, &labels, 300, 7).expect("compared"));
        let reversed = paired_bootstrap(&poor, &good, &labels, 300, 7).expect("compared");
        assert!(!reversed.is_better() && (reversed.difference + compared.difference).abs() < 1e-12);
        let same = paired_bootstrap(&good, &good, &labels, 50, 7).expect("compared");
        assert_eq!((same.difference, same.low, same.high, same.is_better()), (0.0, 0.0, 0.0, false));
    }

    #[test]
    fn rows_of_one_outcome_are_refused() {
        let error = paired_bootstrap(&[0.1, 0.2], &[0.1, 0.2], &[1.0, 1.0], 10, 0).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Input);
    }

    proptest! {
        #[test]
        fn weights_of_one_give_the_average_precision_of_the_ranking(
            rows in prop::collection::vec((0_u8..6, any::<bool>()), 1..60)
        ) {
            let scores: Vec<f64> = rows.iter().map(|(score, _)| f64::from(*score)).collect();
            let labels: Vec<f32> = rows.iter().map(|(_, positive)| f32::from(u8::from(*positive))).collect();
            let groups = (0_u8..6).rev().map(|score| {
                let tied = rows.iter().filter(|row| row.0 == score);
                (tied.clone().filter(|row| row.1).count() as u64, tied.count() as u64)
            });
            let mixed = rows.iter().any(|row| !row.1);
            let weighted = Ranking::of(&scores).average_precision(&labels, &vec![1; rows.len()]);
            prop_assert_eq!(weighted, average_precision(groups).filter(|_| mixed));
        }
    }
}
