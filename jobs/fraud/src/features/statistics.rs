//! What is remembered of a key: how many rows and outcomes it had, and its prices.
//!
//! Rates are smoothed towards the overall rate (Micci-Barreca, SIGKDD Explorations, 2001); mean and variance of
//! prices are kept by Welford's recurrence (Technometrics, 1962).

/// Rows and outcomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutcomeCounts {
    /// Rows, whether their outcome is known or not.
    pub(super) seen: u32,
    /// Rows whose outcome is known.
    pub(super) labelled: u32,
    /// Rows found illicit.
    pub(super) illicit: u32,
    /// Last day on which a row came, in days since 1970-01-01; `i32::MIN` before the first.
    pub(super) last_day: i32,
}

impl Default for OutcomeCounts {
    fn default() -> Self {
        Self { seen: 0, labelled: 0, illicit: 0, last_day: i32::MIN }
    }
}

impl OutcomeCounts {
    /// Adds a row of a day (since 1970-01-01).
    pub(super) fn add_row(&mut self, day: i32) {
        self.seen = self.seen.saturating_add(1);
        self.last_day = self.last_day.max(day);
    }

    /// Adds an outcome.
    pub(super) fn add_outcome(&mut self, illicit: bool) {
        self.labelled = self.labelled.saturating_add(1);
        self.illicit = self.illicit.saturating_add(u32::from(illicit));
    }

    /// Illicit share, 0 to 1, shrunk towards `global` as if `prior` more rows had been seen with that share.
    pub(super) fn rate(&self, prior: f64, global: f64) -> f64 {
        (f64::from(self.illicit) + prior * global) / (f64::from(self.labelled) + prior)
    }
}

/// Mean and spread of the logarithm of a key's prices.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct PriceStatistics {
    count: u32,
    mean: f64,
    squares: f64,
}

impl PriceStatistics {
    /// The least standard deviation of log prices that a deviation is measured in: one percent.
    pub(super) const LEAST_DEVIATION: f64 = 0.01;

    /// Adds one log price.
    pub(super) fn add(&mut self, log_price: f64) {
        self.count = self.count.saturating_add(1);
        let before = log_price - self.mean;
        self.mean += before / f64::from(self.count);
        self.squares += before * (log_price - self.mean);
    }

    /// Log price less the mean log price; `None` before the first price.
    pub(super) fn log_ratio(&self, log_price: f64) -> Option<f64> {
        (self.count > 0).then_some(log_price - self.mean)
    }

    /// Deviation from the mean in sample standard deviations (no less than
    /// [`Self::LEAST_DEVIATION`]); `None` before the second price.
    pub(super) fn deviation(&self, log_price: f64) -> Option<f64> {
        (self.count > 1).then(|| {
            let spread = (self.squares.max(0.0) / f64::from(self.count - 1)).sqrt();
            (log_price - self.mean) / spread.max(Self::LEAST_DEVIATION)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn welford_agrees_with_a_hand_computed_case() {
        let mut prices = PriceStatistics::default();
        assert_eq!(prices.log_ratio(1.0), None);
        for price in [1.0, 2.0, 3.0, 6.0] {
            prices.add(price);
        }
        // Mean 3, squares 4 + 1 + 0 + 9 = 14, variance 14 / 3.
        assert!((prices.log_ratio(5.0).expect("seen") - 2.0).abs() < 1e-12);
        let expected = 2.0 / (14.0_f64 / 3.0).sqrt();
        assert!((prices.deviation(5.0).expect("two prices") - expected).abs() < 1e-12);
    }

    #[test]
    fn a_constant_price_does_not_divide_by_zero() {
        let mut prices = PriceStatistics::default();
        prices.add(2.0);
        assert_eq!(prices.deviation(3.0), None);
        prices.add(2.0);
        assert!((prices.deviation(3.0).expect("two prices") - 100.0).abs() < 1e-9);
    }
}
