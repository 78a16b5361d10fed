//! The gamma function.

/// The logarithm of the gamma function of a number above 0: Stirling's series, from 32 on with an error below
/// 1e-12; smaller numbers are raised by the recurrence.
pub fn ln_gamma(number: f64) -> f64 {
    let (mut n, mut below) = (number, 0.0);
    while n < 32.0 {
        below += n.ln();
        n += 1.0;
    }
    let series = 1.0 / (12.0 * n) - 1.0 / (360.0 * n.powi(3)) + 1.0 / (1260.0 * n.powi(5));
    (n - 0.5) * n.ln() - n + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - below
}

/// The logarithm of a factorial.
pub fn ln_factorial(n: f64) -> f64 {
    ln_gamma(n + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factorials_of_small_numbers_are_exact_to_twelve_digits() {
        let mut factorial = 1.0_f64;
        for n in 1..20 {
            factorial *= f64::from(n);
            assert!((ln_factorial(f64::from(n)) - factorial.ln()).abs() < 1e-12, "{n}");
        }
    }
}
