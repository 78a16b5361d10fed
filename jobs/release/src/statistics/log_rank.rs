//! The log-rank test: whether the times of two periods differ, with cases that are not over.
//!
//! At each time at which cases end, the endings of the study's period are compared with those expected if both periods
//! had the same chance to end (Mantel, "Evaluation of survival data and two new rank order statistics arising in its
//! consideration", Cancer Chemotherapy Reports 50, 1966). A case that is open counts as at risk until the cut-off, so
//! that periods which were followed for different times can be compared. One pass over the times of both periods in
//! rising order. Start at [`LogRank`].

use serde::{Deserialize, Serialize};

use super::normal::upper_tail;

/// The result of the test.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LogRankResult {
    /// Cases of the study's period that ended.
    pub observed: f64,
    /// As many as would have ended with the same chance in both periods.
    pub expected: f64,
    /// The square of their difference, divided by its variance: chi-square with one degree of freedom.
    pub chi_square: f64,
    /// The two-sided p-value; 1 where nothing can be compared.
    pub p_value: f64,
}

/// The test, which takes the times of both periods in rising order; of equal times those that are over come first.
#[derive(Debug)]
pub struct LogRank {
    /// Cases of each period (that compared with, the study's) whose times are not shorter than the current one.
    at_risk: [f64; 2],
    /// The current time.
    time: f64,
    /// Cases of each period that ended at the current time.
    ended: [f64; 2],
    /// Cases of each period that were open at the current time.
    left: [f64; 2],
    observed: f64,
    expected: f64,
    variance: f64,
}

impl LogRank {
    /// Of so many cases in the period compared with and in the study's.
    pub fn new(before: u64, after: u64) -> Self {
        Self {
            at_risk: [before as f64, after as f64],
            time: 0.0,
            ended: [0.0; 2],
            left: [0.0; 2],
            observed: 0.0,
            expected: 0.0,
            variance: 0.0,
        }
    }

    /// Adds the next time; `is_before` is true for the period compared with, `is_over` false for an open case.
    pub fn push(&mut self, hours: f64, is_over: bool, is_before: bool) {
        if hours > self.time {
            self.step();
            self.time = hours;
        }
        let slot = if is_over { &mut self.ended } else { &mut self.left };
        slot[usize::from(!is_before)] += 1.0;
    }

    fn step(&mut self) {
        let (all, ended) = (self.at_risk[0] + self.at_risk[1], self.ended[0] + self.ended[1]);
        if ended > 0.0 {
            let share = self.at_risk[1] / all;
            self.observed += self.ended[1];
            self.expected += ended * share;
            if all > 1.0 {
                self.variance += ended * share * (1.0 - share) * (all - ended) / (all - 1.0);
            }
        }
        for period in 0..2 {
            self.at_risk[period] -= self.ended[period] + self.left[period];
        }
        (self.ended, self.left) = ([0.0; 2], [0.0; 2]);
    }

    /// The result.
    pub fn finish(mut self) -> LogRankResult {
        self.step();
        let Self { observed, expected, variance, .. } = self;
        let mut found = LogRankResult { observed, expected, chi_square: 0.0, p_value: 1.0 };
        if variance > 0.0 {
            let distance = (observed - expected).abs() / variance.sqrt();
            found.chi_square = distance * distance;
            found.p_value = (2.0 * upper_tail(distance)).min(1.0);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(before: &[(f64, bool)], after: &[(f64, bool)]) -> LogRankResult {
        let mut all: Vec<(f64, bool, bool)> =
            before.iter().map(|(time, over)| (*time, *over, true)).collect();
        all.extend(after.iter().map(|(time, over)| (*time, *over, false)));
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        let mut found = LogRank::new(before.len() as u64, after.len() as u64);
        all.iter().for_each(|(time, over, is_before)| found.push(*time, *over, *is_before));
        found.finish()
    }

    #[test]
    fn it_is_that_of_the_published_example() {
        // Remission of leukaemia with a placebo and with 6-MP (Freireich et al., Blood 21, 1963): chi-square 16.793,
        // 9 observed and 19.25 expected under 6-MP (R 4.3, survdiff).
        let placebo = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23];
        let over = [6, 6, 6, 7, 10, 13, 16, 22, 23];
        let open = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35];
        let before: Vec<(f64, bool)> = placebo.map(|time| (f64::from(time), true)).to_vec();
        let after = over.map(|time| (f64::from(time), true)).into_iter();
        let after: Vec<(f64, bool)> = after.chain(open.map(|time| (f64::from(time), false))).collect();
        let found = test(&before, &after);
        assert_eq!(found.observed, 9.0);
        assert!((found.expected - 19.25).abs() < 0.005, "{found:?}");
        assert!((found.chi_square - 16.793).abs() < 0.001, "{found:?}");
        assert!((found.p_value - 4.17e-5).abs() < 1e-7, "{found:?}");
    }

    #[test]
    fn few_cases_are_those_counted_by_hand() {
        // At 1 of two at risk in each period one of "after" ends: expected 1/2, variance 1/4. At 2 one of "before" ends,
        // of two and one at risk: expected 1/3, variance 2/9. The open ones end nowhere.
        let found = test(&[(2.0, true), (3.0, false)], &[(1.0, true), (4.0, false)]);
        assert_eq!(found.observed, 1.0);
        assert!((found.expected - 5.0 / 6.0).abs() < 1e-12);
        assert!((found.chi_square - (1.0_f64 / 6.0).powi(2) / (1.0 / 4.0 + 2.0 / 9.0)).abs() < 1e-12);
        assert_eq!(test(&[], &[(1.0, true)]).p_value, 1.0);
    }
}
