//! The summary of times that come in rising order, in one pass and constant memory.
//!
//! [`Distribution`] gives exactly the mean, the trimmed mean, quantiles by linear interpolation (Hyndman and
//! Fan's type 7, "Sample quantiles in statistical packages", The American Statistician 50, 1996; NumPy's
//! default), and confidence intervals of quantiles. The intervals are those of
//! order statistics by the binomial distribution (Conover, "Practical Nonparametric Statistics", section
//! 3.2): they hold for any distribution of the times.

use serde::{Deserialize, Serialize};

use super::gamma::ln_factorial;

/// The quantiles that are reported.
pub const QUANTILES: [f64; 6] = [0.1, 0.25, 0.5, 0.75, 0.9, 0.99];

/// The share that the trimmed mean leaves out at each end.
pub const TRIMMED: f64 = 0.05;

/// The lower bounds of the histogram's classes, in hours; the last class has no upper bound.
pub const CLASSES: [f64; 13] = [0.0, 1.0, 2.0, 4.0, 8.0, 12.0, 24.0, 48.0, 72.0, 168.0, 336.0, 720.0, 2160.0];

/// The summary of some times, in hours.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The number of times; without any, every figure is 0.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Mean without the shortest and the longest twentieth.
    pub trimmed_mean: f64,
    /// Standard deviation, of the sample.
    pub deviation: f64,
    /// Least.
    pub min: f64,
    /// Greatest.
    pub max: f64,
    /// [`QUANTILES`].
    pub quantiles: [f64; 6],
    /// The 95 % confidence interval of the median of all such cases; absent where there are too few.
    pub median_interval: Option<(f64, f64)>,
    /// The 95 % confidence interval of the 90th percentile.
    pub p90_interval: Option<(f64, f64)>,
    /// Times in each class of [`CLASSES`].
    pub histogram: [u64; 13],
}

impl Summary {
    /// The median.
    pub fn median(&self) -> f64 {
        self.quantiles[2]
    }

    /// The 90th percentile.
    pub fn p90(&self) -> f64 {
        self.quantiles[4]
    }
}

/// Sums up a known number of times in rising order.
#[derive(Debug)]
pub struct Distribution {
    count: usize,
    seen: usize,
    trim: usize,
    trimmed_sum: f64,
    /// Sum of the squared differences from the least time, which loses less precision than that of the times.
    squares: f64,
    summary: Summary,
    /// Ranks from 0 whose times are kept, rising.
    ranks: Vec<usize>,
    /// The times of these ranks.
    kept: Vec<f64>,
}

impl Distribution {
    /// Of `count` times.
    pub fn new(count: u64) -> Self {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let mut ranks = Vec::new();
        for quantile in QUANTILES {
            let (low, _) = position(count, quantile);
            ranks.extend([low, low + 1]);
        }
        for quantile in [0.5, 0.9] {
            if let Some((low, high)) = interval_ranks(count as u64, quantile, 0.95) {
                ranks.extend([low, high]);
            }
        }
        ranks.sort_unstable();
        ranks.dedup();
        ranks.retain(|rank| *rank < count);
        Self {
            count,
            seen: 0,
            trim: (count as f64 * TRIMMED).floor() as usize,
            trimmed_sum: 0.0,
            squares: 0.0,
            summary: Summary::default(),
            kept: Vec::with_capacity(ranks.len()),
            ranks,
        }
    }

    /// Adds the next time.
    pub fn push(&mut self, hours: f64) {
        if self.seen == 0 {
            self.summary.min = hours;
        }
        self.summary.max = hours;
        self.summary.sum += hours;
        self.squares += (hours - self.summary.min).powi(2);
        if self.seen >= self.trim && self.seen + self.trim < self.count {
            self.trimmed_sum += hours;
        }
        let class = CLASSES.partition_point(|bound| *bound <= hours).max(1) - 1;
        self.summary.histogram[class] += 1;
        if self.ranks.get(self.kept.len()) == Some(&self.seen) {
            self.kept.push(hours);
        }
        self.seen += 1;
    }

    /// The summary.
    pub fn finish(self) -> Summary {
        let Self { seen, trim, trimmed_sum, squares, mut summary, ranks, kept, .. } = self;
        if seen == 0 {
            return summary;
        }
        let at = |rank: usize| ranks.binary_search(&rank).ok().and_then(|place| kept.get(place)).copied();
        summary.count = seen as u64;
        summary.mean = summary.sum / seen as f64;
        if seen > 1 {
            let above = summary.mean - summary.min;
            let variance = (squares - seen as f64 * above * above) / (seen as f64 - 1.0);
            summary.deviation = variance.max(0.0).sqrt();
        }
        let middle = seen.saturating_sub(2 * trim).max(1);
        summary.trimmed_mean = trimmed_sum / middle as f64;
        for (slot, quantile) in summary.quantiles.iter_mut().zip(QUANTILES) {
            let (rank, part) = position(seen, quantile);
            let low = at(rank).unwrap_or(summary.max);
            *slot = low + (at(rank + 1).unwrap_or(low) - low) * part;
        }
        let interval = |quantile| {
            let (low, high) = interval_ranks(seen as u64, quantile, 0.95)?;
            Some((at(low)?, at(high)?))
        };
        summary.median_interval = interval(0.5);
        summary.p90_interval = interval(0.9);
        summary
    }
}

/// The rank from 0 below a quantile of `count` sorted values, and how far it lies towards the next.
fn position(count: usize, quantile: f64) -> (usize, f64) {
    let place = count.saturating_sub(1) as f64 * quantile;
    (place.floor() as usize, place.fract())
}

/// The ranks from 0 of the order statistics between which a quantile lies with at least this confidence, as
/// narrow as possible at each end; `None` where there are no such ranks.
pub fn interval_ranks(count: u64, quantile: f64, confidence: f64) -> Option<(usize, usize)> {
    let tail = (1.0 - confidence) / 2.0;
    let (n, p) = (count as f64, quantile);
    let spread = (n * p * (1.0 - p)).sqrt();
    // Beyond twelve standard deviations the probabilities are negligible.
    let first = (n * p - 12.0 * spread - 2.0).floor().max(0.0);
    let last = (n * p + 12.0 * spread + 2.0).ceil().min(n);
    let mut probability = (ln_factorial(n) - ln_factorial(first) - ln_factorial(n - first)
        + first * p.ln()
        + (n - first) * (1.0 - p).ln())
    .exp();
    let (mut below, mut successes) = (0.0, first);
    let (mut low, mut high) = (None, None);
    while successes <= last {
        // P(B < k) at most the tail: the k-th smallest is a lower bound.
        if below <= tail && successes >= 1.0 {
            low = Some(successes as usize - 1);
        }
        below += probability;
        // P(B <= k - 1) at least the rest: the k-th smallest is an upper bound.
        if high.is_none() && below >= 1.0 - tail && successes < n {
            high = Some(successes as usize);
        }
        probability *= (n - successes) / (successes + 1.0) * p / (1.0 - p);
        successes += 1.0;
    }
    low.zip(high)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn summary(times: &[f64]) -> Summary {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        let mut distribution = Distribution::new(sorted.len() as u64);
        sorted.iter().for_each(|time| distribution.push(*time));
        distribution.finish()
    }

    #[test]
    fn a_few_times_are_summed_up_as_by_hand() {
        let found = summary(&[4.0, 1.0, 3.0, 2.0, 100.0]);
        assert_eq!((found.count, found.sum, found.mean), (5, 110.0, 22.0));
        assert_eq!((found.min, found.max, found.median()), (1.0, 100.0, 3.0));
        // Type 7: 4 * 0.9 = 3.6, so 4 + 0.6 * 96; 4 * 0.1 = 0.4.
        assert!((found.p90() - 61.6).abs() < 1e-12);
        assert!((found.quantiles[0] - 1.4).abs() < 1e-12);
        assert!((found.deviation - 1902.5_f64.sqrt()).abs() < 1e-9);
        assert_eq!(found.median_interval, None, "five times are too few");
        assert_eq!(found.histogram[..4], [0, 1, 2, 1]);
        assert_eq!(found.histogram[8], 1);
        let twenty: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(summary(&twenty).trimmed_mean, 10.5);
        assert_eq!(summary(&[]), Summary::default());
        assert_eq!(summary(&[7.0]).quantiles, [7.0; 6]);
    }

    #[test]
    fn the_interval_of_a_median_is_that_of_the_tables() {
        // Tables of the sign test at 95 %: of 6 the 1st and 6th, of 10 the 2nd and 9th, of 20 the 6th and 15th,
        // of 100 the 40th and 61st.
        for (count, low, high) in [(6, 1, 6), (10, 2, 9), (20, 6, 15), (100, 40, 61)] {
            assert_eq!(interval_ranks(count, 0.5, 0.95), Some((low - 1, high - 1)), "{count}");
        }
        assert_eq!(interval_ranks(5, 0.5, 0.95), None);
        assert_eq!(interval_ranks(0, 0.5, 0.95), None);
        let (low, high) = interval_ranks(1_000_000, 0.9, 0.95).expect("is large");
        // The normal approximation: 900000 and 1.96 times 300 to each side.
        assert!((899_410..=899_413).contains(&low) && (900_586..=900_590).contains(&high), "{low} {high}");
    }

    proptest! {
        #[test]
        fn figures_are_those_of_the_whole_list(times in prop::collection::vec(0.0_f64..5000.0, 1..200)) {
            let found = summary(&times);
            let mut sorted = times.clone();
            sorted.sort_by(f64::total_cmp);
            for (quantile, value) in QUANTILES.iter().zip(found.quantiles) {
                let place = (sorted.len() - 1) as f64 * quantile;
                let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
                prop_assert!((value - (low + (high - low) * place.fract())).abs() < 1e-9);
            }
            prop_assert_eq!(found.histogram.iter().sum::<u64>(), times.len() as u64);
            let trim = times.len() / 20;
            let middle = &sorted[trim..sorted.len() - trim];
            prop_assert!((found.trimmed_mean - middle.iter().sum::<f64>() / middle.len() as f64).abs() < 1e-6);
        }
    }
}
