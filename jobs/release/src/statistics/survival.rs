//! The survival curve of times that come in rising order, of which some are not over.
//!
//! [`Survival`] is the product-limit estimate of Kaplan and Meier ("Nonparametric estimation from incomplete
//! observations", JASA 53, 1958), which also uses the cases that were open at the cut-off. Its intervals are those of
//! Brookmeyer and Crowley ("A confidence interval for the median survival time", Biometrics 38, 1982) with Greenwood's
//! variance.

use serde::{Deserialize, Serialize};

use super::distribution::QUANTILES;

/// The summary of times of which some are not over.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SurvivalSummary {
    /// Cases whose time is over.
    pub complete: u64,
    /// Cases that were not over at the cut-off.
    pub open: u64,
    /// [`QUANTILES`]; absent where the curve does not reach them, because many cases are not over.
    pub quantiles: [Option<f64>; 6],
    /// The ends of the 95 % confidence interval of the median; absent where the curve's band does not reach it.
    pub median_interval: (Option<f64>, Option<f64>),
    /// Those of the 90th percentile.
    pub p90_interval: (Option<f64>, Option<f64>),
    /// The steps of the curve: hours, and the share of cases that take longer. Small steps are joined.
    pub curve: Vec<(f64, f64)>,
}

/// Sums up a known number of times in rising order; of equal times those that are over come first.
#[derive(Debug)]
pub struct Survival {
    /// Cases whose times are not shorter than the current one.
    at_risk: f64,
    /// The current time, in hours.
    time: f64,
    /// Cases that ended at the current time.
    ended: f64,
    /// Cases that were open at the current time.
    left: f64,
    /// The share of cases that take longer.
    share: f64,
    /// Greenwood's sum: the variance of the share, divided by its square.
    greenwood: f64,
    summary: SurvivalSummary,
}

/// The half width of a 95 % interval in standard deviations.
const HALF_WIDTH: f64 = 1.96;

/// The least step of the curve that is kept.
const LEAST_STEP: f64 = 0.004;

impl Survival {
    /// Of `count` times.
    pub fn new(count: u64) -> Self {
        let summary = SurvivalSummary { curve: vec![(0.0, 1.0)], ..SurvivalSummary::default() };
        Self { at_risk: count as f64, time: 0.0, ended: 0.0, left: 0.0, share: 1.0, greenwood: 0.0, summary }
    }

    /// Adds the next time; `is_over` is false for one that had not ended at the cut-off.
    pub fn push(&mut self, hours: f64, is_over: bool) {
        if hours > self.time {
            self.step();
            self.time = hours;
        }
        if is_over {
            self.ended += 1.0;
            self.summary.complete += 1;
        } else {
            self.left += 1.0;
            self.summary.open += 1;
        }
    }

    /// Adds a step to the curve for the current time, all of whose cases have come.
    fn step(&mut self) {
        if self.ended > 0.0 {
            self.share *= 1.0 - self.ended / self.at_risk;
            for (slot, quantile) in self.summary.quantiles.iter_mut().zip(QUANTILES) {
                // Rounding may leave the share just above the quantile's.
                if slot.is_none() && self.share <= 1.0 - quantile + 1e-12 {
                    *slot = Some(self.time);
                }
            }
            self.take_intervals();
            let last = self.summary.curve.last().map_or(1.0, |point| point.1);
            if last - self.share >= LEAST_STEP || self.share <= 0.0 {
                self.summary.curve.push((self.time, self.share));
            }
        }
        self.at_risk -= self.ended + self.left;
        (self.ended, self.left) = (0.0, 0.0);
    }

    /// Adds the current time to the intervals whose ends the curve's band reaches with it.
    fn take_intervals(&mut self) {
        // When the last case at risk has ended, the variance is not known.
        if self.at_risk > self.ended {
            self.greenwood += self.ended / (self.at_risk * (self.at_risk - self.ended));
            let half = HALF_WIDTH * self.share * self.greenwood.sqrt();
            for (quantile, (low, high)) in
                [(0.5, &mut self.summary.median_interval), (0.9, &mut self.summary.p90_interval)]
            {
                for (end, bound) in [(low, self.share - half), (high, self.share + half)] {
                    if end.is_none() && bound <= 1.0 - quantile {
                        *end = Some(self.time);
                    }
                }
            }
        }
    }

    /// The summary.
    pub fn finish(mut self) -> SurvivalSummary {
        self.step();
        if self.summary.curve.last().is_none_or(|point| point.0 < self.time) {
            self.summary.curve.push((self.time, self.share));
        }
        self.summary
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn survival_is_that_of_the_published_example() {
        // Remission of leukaemia under 6-MP (Freireich et al., Blood 21, 1963), a plus for those not over.
        let over = [6, 6, 6, 7, 10, 13, 16, 22, 23];
        let open = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35];
        let mut times: Vec<(i32, bool)> =
            over.map(|t| (t, true)).into_iter().chain(open.map(|t| (t, false))).collect();
        times.sort_by_key(|(time, is_over)| (*time, !is_over));
        let mut survival = Survival::new(times.len() as u64);
        times.iter().for_each(|(time, is_over)| survival.push(f64::from(*time), *is_over));
        let found = survival.finish();
        assert_eq!((found.complete, found.open), (9, 12));
        let published = [
            (6.0, 0.857),
            (7.0, 0.807),
            (10.0, 0.753),
            (13.0, 0.690),
            (16.0, 0.627),
            (22.0, 0.538),
            (23.0, 0.448),
        ];
        for (time, share) in published {
            let point = found.curve.iter().find(|point| point.0 == time).expect("is a step");
            assert!((point.1 - share).abs() < 5e-4, "{time}: {}", point.1);
        }
        assert_eq!(found.quantiles, [Some(6.0), Some(13.0), Some(23.0), None, None, None]);
        // The band of 95 % reaches a half at 13, where it is 0.690 less 1.96 times 0.1068, and never from above.
        assert_eq!(found.median_interval, (Some(13.0), None));
    }

    proptest! {
        #[test]
        fn without_open_cases_survival_is_the_share_of_longer_times(
            mut times in prop::collection::vec(0_u32..50, 1..60),
        ) {
            times.sort_unstable();
            let mut survival = Survival::new(times.len() as u64);
            times.iter().for_each(|time| survival.push(f64::from(*time), true));
            for (time, share) in survival.finish().curve {
                let longer = times.iter().filter(|other| f64::from(**other) > time).count();
                if time > 0.0 {
                    prop_assert!((share - longer as f64 / times.len() as f64).abs() < 1e-9);
                }
            }
        }
    }
}
