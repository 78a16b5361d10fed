//! The sigmoid (logistic) function in plain arithmetic.
//!
//! Promises: the same bits on every system, because it calls no function of the system's library, whose last digits
//! differ between systems; and no branches, so that the compiler computes several values at once.
//!
//! Source: argument reduction after Cody and Waite ("Software Manual for the Elementary Functions", 1980), and the
//! Taylor series of the exponential for the remainder.

/// When this is added to a number below 2^51 in magnitude, the lowest bits of the sum are the nearest integer.
const TO_INTEGER: f64 = 6_755_399_441_055_744.0;

/// The probability, from 0 to 1, of a raw score (log odds); exact to about 1e-14.
#[inline]
pub(crate) fn probability(score: f64) -> f64 {
    1.0 / (1.0 + exp(-score))
}

/// The nearest integer to a number within the range of 32 bits; of two, the even one.
#[inline]
pub(crate) fn round(number: f64) -> i32 {
    (number + TO_INTEGER).to_bits() as i32
}

/// The exponential; arguments are limited to -700..=700.
#[inline]
fn exp(x: f64) -> f64 {
    const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let x = x.clamp(-700.0, 700.0);
    let shifted = x * std::f64::consts::LOG2_E + TO_INTEGER;
    let whole = shifted - TO_INTEGER;
    let rest = (x - whole * LN_2_HIGH) - whole * LN_2_LOW;
    // The terms up to the twelfth power leave an error below 2e-16 for a rest of at most ln(2) / 2.
    let mut sum = 1.0 / 479_001_600.0;
    for factorial in
        [39_916_800.0, 3_628_800.0, 362_880.0, 40_320.0, 5_040.0, 720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0]
    {
        sum = sum * rest + 1.0 / factorial;
    }
    // Two to the power of the whole part: its exponent's bits.
    sum * f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_those_of_the_library() {
        for step in -8000..=8000 {
            let score = f64::from(step) / 100.0 + 0.003;
            let (found, wanted) = (probability(score), 1.0 / (1.0 + (-score).exp()));
            assert!((found - wanted).abs() <= 4e-15 * wanted, "{score}: {found} {wanted}");
        }
        assert_eq!(probability(0.0), 0.5);
        assert!(probability(-1e9) < 1e-300 && probability(1e9) == 1.0);
        assert_eq!(probability(f64::INFINITY), 1.0);
    }

    #[test]
    fn numbers_are_rounded_to_the_nearest() {
        let numbers = [-2.5, -1.6, -0.4, 0.0, 0.6, 1.5, 268_435_455.7, -268_435_456.0];
        assert_eq!(numbers.map(round), [-2, -2, 0, 0, 1, 2, 268_435_456, -268_435_456]);
    }
}
