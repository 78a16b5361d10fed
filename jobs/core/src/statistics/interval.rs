//! The confidence interval of a mean over few repetitions, such as the seeds of an experiment.
//!
//! Source: Student, "The probable error of a mean", Biometrika 6 (1908).

use serde::{Deserialize, Serialize};

/// The 0.975 quantiles of Student's t distribution with 1 to 30 degrees of freedom; beyond, [`NORMAL`] is taken.
const STUDENT: [f64; 30] = [
    12.706_204_736,
    4.302_652_730,
    3.182_446_305,
    2.776_445_105,
    2.570_581_836,
    2.446_911_851,
    2.364_624_252,
    2.306_004_135,
    2.262_157_163,
    2.228_138_852,
    2.200_985_160,
    2.178_812_830,
    2.160_368_656,
    2.144_786_688,
    2.131_449_546,
    2.119_905_299,
    2.109_815_578,
    2.100_922_040,
    2.093_024_054,
    2.085_963_447,
    2.079_613_845,
    2.073_873_068,
    2.068_657_610,
    2.063_898_562,
    2.059_538_553,
    2.055_529_439,
    2.051_830_516,
    2.048_407_142,
    2.045_229_642,
    2.042_272_456,
];

/// The 0.975 quantile of the normal distribution.
const NORMAL: f64 = 1.959_963_985;

/// A mean over seeds and its 95 % confidence interval, which is absent with one seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean, in the unit of the values.
    pub mean: f64,
    /// The lower end of the interval.
    pub low: Option<f64>,
    /// The upper end of the interval.
    pub high: Option<f64>,
    /// The number of seeds, at least 1.
    pub seeds: u64,
}

/// The mean of one value for each seed, with its interval; `None` without values.
///
/// The interval is the mean plus and minus `t s / sqrt(n)`: `n` values, their standard deviation `s` (with the
/// denominator `n - 1`), and the 0.975 quantile `t` of Student's distribution with `n - 1` degrees of freedom.
pub fn mean_interval(values: &[f64]) -> Option<Interval> {
    let count = values.len();
    if count == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count as f64;
    let mut interval = Interval { mean, low: None, high: None, seeds: count as u64 };
    if count > 1 {
        let variance =
            values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (count - 1) as f64;
        let reach = STUDENT.get(count - 2).copied().unwrap_or(NORMAL) * (variance / count as f64).sqrt();
        (interval.low, interval.high) = (Some(mean - reach), Some(mean + reach));
    }
    Some(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(values: &[f64]) -> (f64, f64) {
        let interval = mean_interval(values).expect("values");
        (interval.low.expect("more than one value"), interval.high.expect("more than one value"))
    }

    #[test]
    fn an_interval_is_students() {
        // By hand: mean 2, standard deviation 1, two degrees of freedom: 2 ± 4.302653 / √3.
        let interval = mean_interval(&[1.0, 2.0, 3.0]).expect("values");
        assert_eq!((interval.mean, interval.seeds), (2.0, 3));
        let ((low, high), reach) = (ends(&[1.0, 2.0, 3.0]), 4.302_652_730 / 3.0_f64.sqrt());
        assert!((low - (2.0 - reach)).abs() < 1e-9 && (high - (2.0 + reach)).abs() < 1e-9);
    }

    #[test]
    fn one_value_has_a_mean_and_no_interval() {
        let expected = Interval { mean: 5.0, low: None, high: None, seeds: 1 };
        assert_eq!(mean_interval(&[5.0]), Some(expected));
        assert_eq!(mean_interval(&[]), None);
    }

    #[test]
    fn many_values_have_the_normal_interval() {
        // 100 values, half 0 and half 1: mean 0.5, variance 25 / 99.
        let (_, high) = ends(&[0.0, 1.0].repeat(50));
        assert!((high - 0.5 - NORMAL * (25.0 / 99.0_f64).sqrt() / 10.0).abs() < 1e-9);
    }

    #[test]
    fn the_quantiles_are_those_of_the_published_tables() {
        // t for 0.975 as the NIST/SEMATECH e-Handbook of Statistical Methods (1.3.6.7.2) prints it, for 1 to 30 degrees
        // of freedom, and for infinitely many.
        let published = [
            12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
            2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052,
            2.048, 2.045, 2.042,
        ];
        for (quantile, printed) in STUDENT.iter().zip(published) {
            assert!((quantile - printed).abs() <= 0.0005, "{quantile} instead of {printed}");
        }
        assert!((NORMAL - 1.960).abs() <= 0.0005);
    }
}
