//! The normal distribution.

/// The probability that a standard normal variable exceeds z >= 0: by the series of the error function below
/// 2, and by Laplace's continued fraction above.
pub(super) fn upper_tail(z: f64) -> f64 {
    let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if z < 2.0 {
        let (mut term, mut sum, mut k) = (z, z, 1.0);
        while term > sum * 1e-17 && k < 200.0 {
            term *= z * z / (2.0 * k + 1.0);
            sum += term;
            k += 1.0;
        }
        return 0.5 - density * sum;
    }
    let mut fraction = 0.0;
    for k in (1..=200).rev() {
        fraction = f64::from(k) / (z + fraction);
    }
    density / (z + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_the_tables() {
        assert!((upper_tail(1.959_963_984_540_054) - 0.025).abs() < 1e-12);
        assert!((upper_tail(6.0) / 9.865_876_450_376_946e-10 - 1.0).abs() < 1e-10);
        assert_eq!(upper_tail(0.0), 0.5);
    }
}
