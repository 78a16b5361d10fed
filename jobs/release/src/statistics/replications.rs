//! The figures of a measure and their intervals: the middle 95 % of replications.

use serde::{Deserialize, Serialize};

/// Replications of a measure.
pub(crate) const REPLICATIONS: u64 = 40;

/// Mean, median and 90th percentile of hours, or the changes of these figures.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures([f64; 3]);

impl Figures {
    /// The differences of the figures.
    pub(crate) fn minus(self, other: Self) -> Self {
        Self(std::array::from_fn(|place| self.0[place] - other.0[place]))
    }
}

/// The changes by a measure, in hours; below zero is shorter. Each is the change, and the lower and upper
/// bound of the middle 95 % of the replications.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// Change of the mean.
    pub mean: (f64, f64, f64),
    /// Change of the median.
    pub median: (f64, f64, f64),
    /// Change of the 90th percentile.
    pub p90: (f64, f64, f64),
}

/// The figures of some hours; quantiles by linear interpolation.
pub(crate) fn figures(mut hours: Vec<f64>) -> Figures {
    let mean = hours.iter().sum::<f64>() / hours.len().max(1) as f64;
    let mut quantile = |share: f64| {
        let place = hours.len().saturating_sub(1) as f64 * share;
        let rank = place as usize;
        if rank >= hours.len() {
            return 0.0;
        }
        // Two ranks of many: selection is enough, and nothing is sorted.
        let (_, low, above) = hours.select_nth_unstable_by(rank, f64::total_cmp);
        let next = above.iter().copied().min_by(f64::total_cmp).unwrap_or(*low);
        *low + (next - *low) * place.fract()
    };
    Figures([mean, quantile(0.5), quantile(0.9)])
}

/// The seed of a replication.
pub(crate) fn seed_of(seed: u64, replication: u64) -> u64 {
    seed.wrapping_mul(REPLICATIONS).wrapping_add(replication)
}

/// The changes with their intervals.
pub(crate) fn with_intervals(whole: Figures, replications: &[Figures]) -> Changes {
    let of = |place: usize| {
        let mut values: Vec<f64> = replications.iter().map(|figures| figures.0[place]).collect();
        values.sort_by(f64::total_cmp);
        let last = values.len().saturating_sub(1) as f64;
        let at = |share: f64| values.get((last * share).round() as usize).copied().unwrap_or(whole.0[place]);
        (whole.0[place], at(0.025), at(0.975))
    };
    Changes { mean: of(0), median: of(1), p90: of(2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_intervals_are_those_computed_by_hand() {
        assert_eq!(figures(vec![4.0, 1.0, 3.0, 2.0]), Figures([2.5, 2.5, 3.7]));
        assert_eq!(figures(vec![7.0]), Figures([7.0; 3]));
        assert_eq!(figures(Vec::new()), Figures([0.0; 3]));
        let replications: Vec<Figures> = (0..41).rev().map(|n| Figures([f64::from(n); 3])).collect();
        let found = with_intervals(Figures([20.0, 0.0, 50.0]), &replications);
        assert_eq!((found.mean, found.p90), ((20.0, 1.0, 39.0), (50.0, 1.0, 39.0)));
    }
}
