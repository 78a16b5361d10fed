//! Compares a challenger with the champion on the same test rows: is their difference more than chance?
//!
//! The paired bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 16; for rankings
//! Smucker, Allan and Carterette, CIKM 2007): the test rows are resampled with replacement, both models are evaluated on
//! the same resample, and the differences of a figure over many resamples give a percentile interval. Items of one
//! declaration, and declarations of one day, are not independent of each other, so that whole groups are resampled (the
//! cluster bootstrap: Field and Welsh, JRSS B 2007): once declarations, and once days. A challenger is better when both
//! intervals say so. This measures the chance in the test rows, not the chance in the fits. Resamples are seeded and
//! computed on all threads; a repetition gives the same figures. Start at [`compare`]; [`paired_bootstrap`] compares
//! rankings by their average precision.

use std::collections::HashMap;

use clap::ValueEnum;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result, chance::stream, statistics::average_precision};

/// Resamples of a comparison.
pub const RESAMPLES: usize = 1000;

/// What a retrained model must beat to be promoted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Against {
    /// The champion: promoted when the whole 95 % interval of the difference lies above 0, by declaration and by day.
    #[default]
    Champion,
    /// Nothing: published without a comparison, and promoted only where there is no champion.
    Nothing,
}

/// Groups of test rows that are resampled together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    /// The group of each row, from 0.
    group: Vec<u32>,
    count: u32,
}

impl Groups {
    /// Rows with the same key are one group.
    pub fn of<K: std::hash::Hash + Eq>(keys: impl IntoIterator<Item = K>) -> Self {
        let mut numbers = HashMap::new();
        let mut number = |key| {
            let next = numbers.len() as u32;
            *numbers.entry(key).or_insert(next)
        };
        let group = keys.into_iter().map(&mut number).collect();
        Self { group, count: numbers.len() as u32 }
    }

    /// The group of a row, from 0.
    pub fn of_row(&self, row: usize) -> usize {
        self.group[row] as usize
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.group.len()
    }

    /// How many groups there are.
    pub fn count(&self) -> usize {
        self.count as usize
    }
}

/// How a figure varies when whole groups are drawn with replacement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Resampled {
    /// Groups among which was drawn.
    pub groups: u64,
    /// Lower end of the 95 % interval over the resamples.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Share of the resamples in which the figure was above 0, from 0 to 1.
    pub better: f64,
    /// Resamples in which the figure is defined; the others are left out.
    pub resamples: u64,
}

/// The challenger's figure minus the champion's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// On the test rows themselves.
    pub difference: f64,
    /// Lower end of the 95 % interval: the lower one of both ways of resampling.
    pub low: f64,
    /// Upper end: the higher one.
    pub high: f64,
    /// By declaration.
    pub by_declaration: Resampled,
    /// By day of acceptance.
    pub by_day: Resampled,
    /// Seed of the resamples.
    pub seed: u64,
}

impl Comparison {
    /// Whether both intervals lie above 0.
    pub fn is_better(&self) -> bool {
        self.low > 0.0
    }
}

/// Draws groups with replacement, as many as there are, and evaluates `figures` on the number of times that each group
/// was drawn; for each figure how it varies, `None` when it is defined in no resample.
pub fn resample(
    groups: usize,
    resamples: usize,
    seed: u64,
    figures: &(dyn Fn(&[u32]) -> Vec<Option<f64>> + Sync),
) -> Vec<Option<Resampled>> {
    let one = |number: usize| {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(stream(seed, number as u64));
        let mut weights = vec![0_u32; groups];
        for _ in 0..groups {
            weights[rng.random_range(0..groups)] += 1;
        }
        figures(&weights)
    };
    let drawn: Vec<Vec<Option<f64>>> = (0..resamples).into_par_iter().map(one).collect();
    let of_figure = |figure: usize| {
        let mut values: Vec<f64> = drawn.iter().filter_map(|figures| figures[figure]).collect();
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let quantile = |share: f64| values[(share * last as f64).round() as usize];
        let better = values.iter().filter(|value| **value > 0.0).count();
        Some(Resampled {
            groups: groups as u64,
            low: quantile(0.025),
            high: quantile(0.975),
            better: better as f64 / values.len() as f64,
            resamples: values.len() as u64,
        })
    };
    (0..drawn.first().map_or(0, Vec::len)).map(of_figure).collect()
}

/// Compares two models by the difference of a figure of theirs; `difference` computes it when each row counts as often
/// as its group is drawn (the second argument), in groups of the first argument.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when the groups are of different rows;
/// [`tidewaiter_core::ErrorKind::Input`] when the figure is not defined on these rows.
pub fn compare(
    (declarations, days): (&Groups, &Groups),
    resamples: usize,
    seed: u64,
    difference: &(dyn Fn(&Groups, &[u32]) -> Option<f64> + Sync),
) -> Result<Comparison> {
    if declarations.rows() != days.rows() {
        return Err(Error::internal("two models are compared on different rows"));
    }
    let whole = difference(days, &vec![1; days.count()]);
    let drawn = |groups: &Groups, seed: u64| {
        let one = |weights: &[u32]| vec![difference(groups, weights)];
        resample(groups.count(), resamples, seed, &one).pop().flatten()
    };
    let by_declaration = drawn(declarations, stream(seed, 0));
    let by_day = drawn(days, stream(seed, 1));
    let (Some(whole), Some(by_declaration), Some(by_day)) = (whole, by_declaration, by_day) else {
        return Err(Error::input(
            "the test rows lack illicit or licit items: two models cannot be compared on them, choose other months",
        ));
    };
    Ok(Comparison {
        difference: whole,
        low: by_declaration.low.min(by_day.low),
        high: by_declaration.high.max(by_day.high),
        by_declaration,
        by_day,
        seed,
    })
}

/// Compares two models by the average precision of their scores of the same rows, of which only the order counts;
/// `labels` are 1 (positive) or 0.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when the columns differ in length;
/// [`tidewaiter_core::ErrorKind::Input`] when the rows or all resamples lack one of the outcomes.
pub fn paired_bootstrap(
    challenger: &[f64],
    champion: &[f64],
    labels: &[f32],
    groups: (&Groups, &Groups),
    resamples: usize,
    seed: u64,
) -> Result<Comparison> {
    let rows = labels.len();
    if [challenger.len(), champion.len(), groups.0.rows(), groups.1.rows()].iter().any(|len| *len != rows) {
        return Err(Error::internal("two models are compared on different rows"));
    }
    let rankings = [Ranking::of(challenger), Ranking::of(champion)];
    compare(groups, resamples, seed, &|groups, weights| {
        let [new, old] = [0, 1].map(|model| rankings[model].average_precision(labels, groups, weights));
        Some(new? - old?)
    })
}

/// Rows by falling score, in groups of equal scores.
struct Ranking {
    rows: Vec<u32>,
    /// End of each group.
    ends: Vec<u32>,
}

impl Ranking {
    fn of(scores: &[f64]) -> Self {
        let mut rows: Vec<u32> = (0..scores.len() as u32).collect();
        rows.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]));
        let mut end = 0;
        let ends = rows.chunk_by(|a, b| scores[*a as usize] == scores[*b as usize]).map(|tie| {
            end += tie.len() as u32;
            end
        });
        let ends = ends.collect();
        Self { rows, ends }
    }

    /// The average precision when each row counts as often as its group; `None` without both outcomes.
    fn average_precision(&self, labels: &[f32], groups: &Groups, weights: &[u32]) -> Option<f64> {
        let (mut seen, mut found, mut start) = (0_u64, 0_u64, 0);
        let ties = self.ends.iter().map(|end| {
            let (mut hits, mut tied) = (0_u64, 0_u64);
            for row in &self.rows[start..*end as usize] {
                let row = *row as usize;
                let weight = u64::from(weights[groups.of_row(row)]);
                tied += weight;
                hits += if labels[row] == 1.0 { weight } else { 0 };
            }
            (seen, found, start) = (seen + tied, found + hits, *end as usize);
            (hits, tied)
        });
        let average = average_precision(ties);
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

    /// Every row alone, and twenty days.
    fn groups(rows: usize) -> (Groups, Groups) {
        (Groups::of(0..rows), Groups::of((0..rows).map(|row| row * 20 / rows)))
    }

    #[test]
    fn a_row_counts_as_often_as_its_group() {
        // By hand: a positive row drawn twice, a negative and a positive one once: precision 1, then 3 of 4.
        let ranking = Ranking::of(&[0.9, 0.5, 0.1, 0.0]);
        let (alone, labels) = (Groups::of(0..4), [1.0, 0.0, 1.0, 0.0]);
        let found = ranking.average_precision(&labels, &alone, &[2, 1, 1, 0]).expect("both kinds");
        assert!((found - (2.0 * 1.0 + 0.75) / 3.0).abs() < 1e-12, "{found}");
        assert_eq!(ranking.average_precision(&labels, &alone, &[2, 0, 1, 0]), None);
        // The first two rows are one declaration, drawn twice: precision 1 and 1, then 3 of 5.
        let pairs = Groups::of(["A", "A", "B", "C"]);
        assert_eq!((pairs.rows(), pairs.count()), (4, 3));
        let found = ranking.average_precision(&labels, &pairs, &[2, 1, 0]).expect("both kinds");
        assert!((found - (2.0 * 1.0 + 0.6) / 3.0).abs() < 1e-12, "{found}");
    }

    #[test]
    fn a_clear_difference_is_found_and_the_same_seed_gives_the_same_figures() {
        let (good, poor, labels) = sample();
        let (declarations, days) = groups(labels.len());
        let compare = |one: &[f64], other: &[f64]| {
            paired_bootstrap(one, other, &labels, (&declarations, &days), 300, 7)
        };
        let compared = compare(&good, &poor).expect("compared");
        assert!(compared.is_better() && compared.by_declaration.better > 0.99, "{compared:?}");
        assert!(compared.low < compared.difference && compared.difference < compared.high);
        assert_eq!((compared.by_declaration.groups, compared.by_day.groups), (400, 20));
        assert_eq!(compared, compare(&good, &poor).expect("compared"));
        let reversed = compare(&poor, &good).expect("compared");
        assert!(!reversed.is_better() && (reversed.difference + compared.difference).abs() < 1e-12);
        let same = compare(&good, &good).expect("compared");
        assert_eq!((same.difference, same.low, same.high, same.is_better()), (0.0, 0.0, 0.0, false));
    }

    /// Items of one declaration have one outcome and one score: forty copies of ten declarations are no more evidence
    /// than ten, though an item-wise resample would say so.
    #[test]
    fn copies_within_a_declaration_are_no_evidence() {
        let labels: Vec<f32> = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0].repeat(40);
        let challenger: Vec<f64> = [0.9, 0.8, 0.7, 0.3, 0.2, 0.6, 0.4, 0.5, 0.15, 0.1].repeat(40);
        let champion: Vec<f64> = [0.9, 0.8, 0.6, 0.7, 0.2, 0.5, 0.4, 0.3, 0.15, 0.1].repeat(40);
        let (alone, declarations) = (Groups::of(0..400), Groups::of((0..400).map(|row| row % 10)));
        let by = |groups: &Groups| {
            paired_bootstrap(&challenger, &champion, &labels, (groups, groups), 500, 3).expect("compared")
        };
        assert!(by(&alone).is_better(), "{:?}", by(&alone));
        assert!(!by(&declarations).is_better(), "{:?}", by(&declarations));
    }

    #[test]
    fn rows_of_one_outcome_are_refused() {
        let (declarations, days) = groups(2);
        let error = paired_bootstrap(&[0.1, 0.2], &[0.1, 0.2], &[1.0, 1.0], (&declarations, &days), 10, 0);
        assert_eq!(error.expect_err("refused").kind(), ErrorKind::Input);
    }

    proptest! {
        #[test]
        fn weights_of_one_give_the_average_precision_of_the_ranking(
            rows in prop::collection::vec((0_u8..6, any::<bool>()), 1..60)
        ) {
            let scores: Vec<f64> = rows.iter().map(|(score, _)| f64::from(*score)).collect();
            let labels: Vec<f32> = rows.iter().map(|(_, positive)| f32::from(u8::from(*positive))).collect();
            let ties = (0_u8..6).rev().map(|score| {
                let tied = rows.iter().filter(|row| row.0 == score);
                (tied.clone().filter(|row| row.1).count() as u64, tied.count() as u64)
            });
            let mixed = rows.iter().any(|row| !row.1);
            let alone = Groups::of(0..rows.len());
            let weighted = Ranking::of(&scores).average_precision(&labels, &alone, &vec![1; rows.len()]);
            prop_assert_eq!(weighted, average_precision(ties).filter(|_| mixed));
        }
    }
}
