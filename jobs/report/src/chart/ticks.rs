//! Axis ticks at round numbers.

use crate::format::NumberFormat;

/// Round numbers that cover a range.
#[derive(Debug, Clone, PartialEq)]
pub struct Ticks {
    /// The ticks in rising order, 3 to 10 of them; the first is at or below the range, the last at or above.
    pub values: Vec<f64>,
    /// Decimals that the ticks need.
    pub decimals: usize,
}

impl Ticks {
    /// Ticks for a range; a range without width, or one that is not finite, is widened first.
    pub fn covering(low: f64, high: f64) -> Self {
        let (mut low, mut high) =
            if low.is_finite() && high.is_finite() { (low.min(high), low.max(high)) } else { (0.0, 1.0) };
        let size = low.abs().max(high.abs());
        if high - low <= size * 1e-9 || high - low < 1e-300 {
            let margin = if size < 1e-300 { 1.0 } else { size / 2.0 };
            (low, high) = (low - margin, high + margin);
        }
        // The smallest of 1, 2, 5 times a power of ten that cuts the range into at most five steps.
        let rough = high / 5.0 - low / 5.0;
        let mut exponent = rough.log10().floor() as i32;
        let mantissa = match rough / 10_f64.powi(exponent) {
            m if m <= 1.0 => 1.0,
            m if m <= 2.0 => 2.0,
            m if m <= 5.0 => 5.0,
            _ => {
                exponent += 1;
                1.0
            }
        };
        // Dividing by a whole power gives 0.3, not 0.30000000000000004.
        let tick = |index: f64| match exponent < 0 {
            true => index * mantissa / 10_f64.powi(-exponent),
            false => index * mantissa * 10_f64.powi(exponent),
        };
        let step = tick(1.0);
        let mut first = (low / step).floor();
        if tick(first) > low {
            first -= 1.0;
        }
        let mut last = (high / step).ceil();
        if tick(last) < high {
            last += 1.0;
        }
        let values = (0..=(last - first) as usize).map(|offset| tick(first + offset as f64) + 0.0).collect();
        Self { values, decimals: (-exponent).max(0) as usize }
    }

    /// The first tick.
    pub fn low(&self) -> f64 {
        self.values.first().copied().unwrap_or(0.0)
    }

    /// The last tick.
    pub fn high(&self) -> f64 {
        self.values.last().copied().unwrap_or(1.0)
    }

    /// A tick's label; shares are written in percent.
    pub fn label(&self, numbers: NumberFormat, value: f64, share: bool) -> String {
        match share {
            true => format!("{}\u{a0}%", numbers.fixed(value * 100.0, self.decimals.saturating_sub(2))),
            false if value.abs() >= 1e6 => numbers.money(value),
            false => numbers.fixed(value, self.decimals),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(Ticks::covering(0.0, 1.0).values, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(Ticks::covering(3.0, 97.0).values, [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(Ticks::covering(0.0, 0.1).label(NumberFormat::default(), 0.02, true), "2\u{a0}%");
        assert_eq!(Ticks::covering(7.0, 7.0).values.len(), 6);
    }

    proptest! {
        #[test]
        fn ticks_cover_the_range(low in -1e9_f64..1e9, width in 0.0_f64..1e9, scale in -6_i32..6) {
            let (low, high) = (low * 10_f64.powi(scale), (low + width) * 10_f64.powi(scale));
            let ticks = Ticks::covering(low, high);
            prop_assert!((3..=10).contains(&ticks.values.len()), "{ticks:?}");
            prop_assert!(ticks.low() <= low && ticks.high() >= high, "{ticks:?}");
            prop_assert!(ticks.values.windows(2).all(|pair| pair[0] < pair[1]), "{ticks:?}");
        }
    }
}
