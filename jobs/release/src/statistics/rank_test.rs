//! The comparison of two periods: the rank test of Mann and Whitney ("On a test of whether one of two random
//! variables is stochastically larger than the other", Annals of Mathematical Statistics 18, 1947).
//!
//! Release times are skewed and some are very long, so that a test of means would be misleading; ranks are
//! not. The p-value is that of the normal approximation with corrections for ties and for continuity,
//! two-sided; it is right from about eight times on each side. The effect sizes are the chance that a time of
//! the later period is the shorter of a pair, and Cliff's delta. One pass over the times of both periods in
//! rising order; who gives times that are cut at the same length for both periods compares them over an equal
//! follow-up. Start at [`RankTest`].

use serde::{Deserialize, Serialize};

use super::normal::upper_tail;

/// The result of the test.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RankTestResult {
    /// Times of the period compared with.
    pub before: u64,
    /// Times of the study's period.
    pub after: u64,
    /// Mann and Whitney's U of the study's period.
    pub u: f64,
    /// The two-sided p-value; 1 where either period has no times.
    pub p_value: f64,
    /// Chance that a time of the study's period is shorter than one of the other; ties count half.
    pub shorter: f64,
    /// Cliff's delta, -1..=1: below zero where times became shorter.
    pub delta: f64,
}

/// The test, which takes the times of both periods in rising order.
#[derive(Debug, Default)]
pub struct RankTest {
    /// The current time.
    value: f64,
    /// Times of each period that equal the current one.
    tied: [f64; 2],
    /// Times before the current one.
    ranked: f64,
    /// Times of each period before the current one.
    counts: [f64; 2],
    /// Sum of the ranks of the study's period.
    ranks: f64,
    /// Sum of t^3 - t over the ties.
    ties: f64,
}

impl RankTest {
    /// Adds the next time; `is_before` is true for the period compared with.
    pub fn push(&mut self, hours: f64, is_before: bool) {
        if hours > self.value {
            self.step();
            self.value = hours;
        }
        self.tied[usize::from(!is_before)] += 1.0;
    }

    fn step(&mut self) {
        let tied = self.tied[0] + self.tied[1];
        let rank = self.ranked + (tied + 1.0) / 2.0;
        self.ranks += self.tied[1] * rank;
        self.ties += tied * tied * tied - tied;
        self.counts[0] += self.tied[0];
        self.counts[1] += self.tied[1];
        self.ranked += tied;
        self.tied = [0.0; 2];
    }

    /// The result.
    pub fn finish(mut self) -> RankTestResult {
        self.step();
        let [before, after] = self.counts;
        let mut found = RankTestResult {
            before: before as u64,
            after: after as u64,
            p_value: 1.0,
            ..RankTestResult::default()
        };
        if before == 0.0 || after == 0.0 {
            return found;
        }
        let (all, pairs) = (before + after, before * after);
        found.u = self.ranks - after * (after + 1.0) / 2.0;
        found.shorter = 1.0 - found.u / pairs;
        found.delta = 2.0 * found.u / pairs - 1.0;
        let variance = pairs / 12.0 * (all + 1.0 - self.ties / (all * (all - 1.0)));
        if variance > 0.0 {
            let distance = ((found.u - pairs / 2.0).abs() - 0.5).max(0.0);
            found.p_value = (2.0 * upper_tail(distance / variance.sqrt())).min(1.0);
        }
        found
    }
}

/// Adjusts several p-values for multiple testing, by Holm ("A simple sequentially rejective multiple test
/// procedure", Scandinavian Journal of Statistics 6, 1979).
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let (mut adjusted, mut least) = (vec![1.0; p_values.len()], 0.0_f64);
    for (done, place) in order.into_iter().enumerate() {
        least = least.max(p_values[place] * (p_values.len() - done) as f64).min(1.0);
        adjusted[place] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(before: &[f64], after: &[f64]) -> RankTestResult {
        let mut all: Vec<(f64, bool)> = before.iter().map(|time| (*time, true)).collect();
        all.extend(after.iter().map(|time| (*time, false)));
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut ranks = RankTest::default();
        all.iter().for_each(|(time, is_before)| ranks.push(*time, *is_before));
        ranks.finish()
    }

    #[test]
    fn ranks_are_those_counted_by_hand() {
        // After: 1, 2 against before 3, 4, 5: no pair in which after is the longer.
        let found = test(&[3.0, 4.0, 5.0], &[1.0, 2.0]);
        assert_eq!((found.u, found.shorter, found.delta), (0.0, 1.0, -1.0));
        // One tie of two pairs, one longer.
        let found = test(&[1.0, 2.0], &[2.0]);
        assert_eq!((found.u, found.shorter), (1.5, 0.25));
        assert_eq!(test(&[1.0], &[]).p_value, 1.0);
        assert_eq!(test(&[1.0; 4], &[1.0; 4]).p_value, 1.0);
    }

    #[test]
    fn p_values_are_those_of_scipy() {
        // scipy 1.17.1, mannwhitneyu(after, before, method="asymptotic"): U and the two-sided p-value.
        let found = test(&[19.0, 22.0, 16.0, 29.0, 24.0], &[20.0, 11.0, 17.0, 12.0]);
        assert_eq!(found.u, 3.0);
        assert!((found.p_value - 0.111_346_886_533_140_41).abs() < 1e-12, "{}", found.p_value);
        let before: Vec<f64> = (0..40).map(|n| f64::from(n % 7)).collect();
        let after: Vec<f64> = (0..30).map(|n| f64::from(n % 5)).collect();
        let found = test(&before, &after);
        assert_eq!(found.u, 450.0);
        assert!((found.p_value - 0.072_255_541_698_175_54).abs() < 1e-12, "{}", found.p_value);
    }

    #[test]
    fn p_values_of_several_tests_are_raised() {
        assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }
}
