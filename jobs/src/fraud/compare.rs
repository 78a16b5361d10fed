//! Challenger against champion on the same rows: is the difference more than the chance of these rows?
//!
//! The paired bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 16; for rankings
//! Smucker, Allan and Carterette, CIKM 2007): the test rows are drawn with replacement, both models are judged on
//! the same draw, and the differences of their average precision over many draws give a percentile interval.
//! Draws are seeded, so that a repetition gives the same figures. Start at [`paired_bootstrap`].

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Draws of a comparison.
pub const RESAMPLES: usize = 1000;

/// What a retrained model is held against before it is promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Against {
    /// The champion: promoted when the whole 95 % interval of the difference lies above 0.
    Champion,
}

/// The challenger's average precision less the champion's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// On the test rows.
    pub difference: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Share of the draws in which the challenger was better.
    pub better: f64,
    /// Draws that had both outcomes.
    pub resamples: u64,
    /// Seed of the draws.
    pub seed: u64,
}

impl Comparison {
    /// Whether the challenger is better beyond the chance of the rows.
    pub fn is_better(&self) -> bool {
        self.low > 0.0
    }
}

/// Compares two models by their scores of the same rows; `labels` are 1 (illicit) or 0.
///
/// # Errors
/// [`crate::ErrorKind::Internal`] when the columns differ in length; [`crate::ErrorKind::Input`] when no draw has
/// both outcomes.
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
    let orders = [Order::of(challenger), Order::of(champion)];
    let difference = |weights: &[u32]| {
        let [new, old] = [0, 1].map(|model| orders[model].average_precision(labels, weights));
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
struct Order {
    rows: Vec<usize>,
    /// End of each group.
    ends: Vec<usize>,
}

impl Order {
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

    /// The average precision of rows that each count so many times; `None` without both outcomes.
    fn average_precision(&self, labels: &[f32], weights: &[u32]) -> Option<f64> {
        let (mut seen, mut found, mut sum, mut start) = (0_u64, 0_u64, 0.0, 0);
        for end in &self.ends {
            let (mut hits, mut tied) = (0_u64, 0_u64);
            for row in &self.rows[start..*end] {
                let weight = u64::from(weights[*row]);
                tied += weight;
                hits += if labels[*row] == 1.0 { weight } else { 0 };
            }
            (seen, found, start) = (seen + tied, found + hits, *end);
            if hits > 0 {
                sum += hits as f64 * found as f64 / seen as f64;
            }
        }
        (found > 0 && found < seen).then(|| sum / found as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fraud::metrics;

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
    fn weights_of_one_give_the_average_precision_of_the_rows() {
        let (good, _, labels) = sample();
        let found = Order::of(&good).average_precision(&labels, &[1; 400]).expect("both kinds");
        let wanted = metrics::evaluate(&good, &labels, None).expect("both kinds").average_precision;
        assert!((found - wanted).abs() < 1e-12, "{found} {wanted}");
    }

    #[test]
    fn a_weighted_row_counts_as_often_as_it_is_drawn() {
        // By hand: illicit drawn twice, licit once, illicit once: precision 1, then 3 of 4.
        let order = Order::of(&[0.9, 0.5, 0.1, 0.0]);
        let found = order.average_precision(&[1.0, 0.0, 1.0, 0.0], &[2, 1, 1, 0]).expect("both kinds");
        assert!((found - (2.0 * 1.0 + 0.75) / 3.0).abs() < 1e-12, "{found}");
        assert_eq!(order.average_precision(&[1.0, 0.0, 1.0, 0.0], &[2, 0, 1, 0]), None);
    }

    #[test]
    fn a_clear_difference_is_told_from_chance_and_a_draw_is_repeated() {
        let (good, poor, labels) = sample();
        let compared = paired_bootstrap(&good, &poor, &labels, 300, 7).expect("compared");
        assert!(compared.is_better() && compared.better > 0.99, "{compared:?}");
        assert!(compared.low < compared.difference && compared.difference < compared.high);
        assert_eq!(compared, paired_bootstrap(&good, &poor, &labels, 300, 7).expect("compared"));
        let turned = paired_bootstrap(&poor, &good, &labels, 300, 7).expect("compared");
        assert!(!turned.is_better() && (turned.difference + compared.difference).abs() < 1e-12);
        let same = paired_bootstrap(&good, &good, &labels, 50, 7).expect("compared");
        assert_eq!((same.difference, same.low, same.high, same.is_better()), (0.0, 0.0, 0.0, false));
    }

    #[test]
    fn one_outcome_alone_cannot_be_compared_on() {
        let error = paired_bootstrap(&[0.1, 0.2], &[0.1, 0.2], &[1.0, 1.0], 10, 0).expect_err("refused");
        assert_eq!(error.kind(), crate::ErrorKind::Input);
    }
}
