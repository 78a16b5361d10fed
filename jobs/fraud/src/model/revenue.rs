//! The revenue head: what an illicit item is expected to raise, from what it declares.
//!
//! DATE (Kim et al., KDD 2020) has a second head for the revenue. The other classifiers have none; for them it is a
//! ridge regression of ln(1 + revenue) on a few logarithms of the declaration, fitted on illicit items with known
//! revenue. Duan's smearing factor ("Smearing estimate", JASA 1983) turns the mean logarithm into a mean amount
//! without an assumption on the errors. An item's expected revenue is this amount times its probability. The fit is a
//! sum over rows in the order given, so the same rows give the same bytes.
//!
//! The head is part of the model's bytes (see [`super::FraudModel`]). Start at [`RevenueHead::fit`].

use tidewaiter_core::{Error, Result, statistics::linear::solve_positive_definite};

use crate::features::features;

/// The features that the head reads.
pub const FEATURES: [&str; 6] =
    ["ln_customs_value", "ln_net_mass", "duty_rate", "tax_ratio", "hs6_price_deviation", "hs6_price_ratio"];

/// Terms of the regression: one, then those of [`FEATURES`].
const TERMS: usize = FEATURES.len() + 1;
/// Weight of the quadratic penalty, in rows, on terms of unit variance.
const RIDGE: f64 = 1.0;
/// Standardised terms are limited to this range, so that one odd price does not decide an amount.
const MOST_DEVIATIONS: f64 = 4.0;

/// The fitted head.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RevenueHead {
    /// The terms' coefficients, the constant first.
    #[prost(double, repeated, tag = "1")]
    pub coefficients: Vec<f64>,
    /// Means of the terms in the fit, which replace missing values.
    #[prost(double, repeated, tag = "2")]
    pub means: Vec<f64>,
    /// Standard deviations of the terms in the fit.
    #[prost(double, repeated, tag = "3")]
    pub deviations: Vec<f64>,
    /// Mean of the exponential of the errors, about 1 or more.
    #[prost(double, tag = "4")]
    pub smearing: f64,
    /// Illicit items that it was fitted on.
    #[prost(uint64, tag = "5")]
    pub rows: u64,
}

/// The indices of [`FEATURES`] among all features.
pub fn feature_indices() -> [usize; FEATURES.len()] {
    FEATURES.map(|name| features().iter().position(|feature| feature.name == name).unwrap_or_default())
}

impl RevenueHead {
    /// Fits the head on illicit items: `columns` holds the features of [`FEATURES`] (NaN is missing) and `revenue` an
    /// amount above 0 for each. `None` for fewer rows than there are terms.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when the columns differ in length.
    pub fn fit(columns: &[Vec<f32>], revenue: &[f64]) -> Result<Option<Self>> {
        if columns.len() != FEATURES.len() || columns.iter().any(|column| column.len() != revenue.len()) {
            return Err(Error::internal("the revenue head's columns do not fit its rows"));
        }
        let rows = revenue.len();
        if rows < TERMS {
            return Ok(None);
        }
        let mut head = Self { rows: rows as u64, smearing: 1.0, ..Self::default() };
        for column in columns {
            let known = || column.iter().filter(|value| value.is_finite()).map(|value| f64::from(*value));
            let count = known().count().max(1) as f64;
            let mean = known().sum::<f64>() / count;
            let variance = known().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count;
            head.means.push(mean);
            head.deviations.push(if variance > 1e-12 { variance.sqrt() } else { 1.0 });
        }
        let (mut matrix, mut right) = ([[0.0; TERMS]; TERMS], [0.0; TERMS]);
        for (row, revenue) in revenue.iter().enumerate() {
            let terms = head.terms(|term| columns[term][row]);
            for (at, term) in terms.iter().enumerate() {
                right[at] += term * revenue.ln_1p();
                for (cell, other) in matrix[at].iter_mut().zip(&terms) {
                    *cell += term * other;
                }
            }
        }
        for (at, cells) in matrix.iter_mut().enumerate().skip(1) {
            cells[at] += RIDGE;
        }
        head.coefficients = solve_positive_definite(matrix, right).to_vec();
        let errors = revenue.iter().enumerate().map(|(row, revenue)| {
            (revenue.ln_1p() - head.logarithm(&head.terms(|term| columns[term][row]))).exp()
        });
        head.smearing = errors.sum::<f64>() / rows as f64;
        Ok(Some(head))
    }

    /// The revenue expected of each row if it is illicit, national currency; `columns` as for the fit.
    pub fn predict(&self, columns: &[&[f32]]) -> Vec<f64> {
        let rows = columns.first().map_or(0, |column| column.len());
        let amount = |row: usize| {
            let logarithm = self.logarithm(&self.terms(|term| columns[term][row]));
            // Beyond any customs value in any currency; an infinite amount could not be ranked.
            (logarithm.min(60.0).exp() * self.smearing - 1.0).max(0.0)
        };
        (0..rows).map(amount).collect()
    }

    /// Checks that it has the terms of [`FEATURES`].
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when it has others.
    pub fn check(&self) -> Result<()> {
        let lengths = [self.coefficients.len(), self.means.len(), self.deviations.len()];
        match lengths == [TERMS, FEATURES.len(), FEATURES.len()] {
            true => Ok(()),
            false => Err(Error::corrupt("the revenue head of a model has other terms")),
        }
    }

    fn terms(&self, value: impl Fn(usize) -> f32) -> [f64; TERMS] {
        std::array::from_fn(|at| match at.checked_sub(1) {
            None => 1.0,
            Some(term) => {
                let standard = (f64::from(value(term)) - self.means[term]) / self.deviations[term];
                // A missing value is the mean.
                if standard.is_finite() { standard.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS) } else { 0.0 }
            }
        })
    }

    fn logarithm(&self, terms: &[f64; TERMS]) -> f64 {
        self.coefficients.iter().zip(terms).map(|(coefficient, term)| coefficient * term).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of a known relation: ln(1 + revenue) = 2 + 0.9 ln value ± noise.
    fn sample(noise: f64) -> (Vec<Vec<f32>>, Vec<f64>) {
        let mut state = 1_u64;
        let mut next = || {
            state = (state * 1_103_515_245 + 12_345) % (1 << 31);
            (state >> 16) as f64 / 32_768.0
        };
        let (mut columns, mut revenue) = (vec![Vec::new(); FEATURES.len()], Vec::new());
        for row in 0..2000 {
            let value = 5.0 + 6.0 * next();
            columns[0].push(value as f32);
            for column in &mut columns[1..] {
                column.push(if row % 7 == 0 { f32::NAN } else { next() as f32 });
            }
            let sign = if row % 2 == 0 { 1.0 } else { -1.0 };
            revenue.push((2.0 + 0.9 * value + sign * noise).exp_m1());
        }
        (columns, revenue)
    }

    #[test]
    fn a_relation_without_noise_is_found() {
        let (columns, revenue) = sample(0.0);
        let head = RevenueHead::fit(&columns, &revenue).expect("fits").expect("enough rows");
        let columns: Vec<&[f32]> = columns.iter().map(Vec::as_slice).collect();
        for (predicted, revenue) in head.predict(&columns).iter().zip(&revenue) {
            assert!((predicted / revenue - 1.0).abs() < 0.01, "{predicted} {revenue}");
        }
    }

    #[test]
    fn the_mean_is_that_of_the_amounts_and_not_of_their_logarithms() {
        // Errors of -1 and 1 in the logarithm: the factor is their mean exponential, cosh(1) = 1.543.
        let (columns, revenue) = sample(1.0);
        let head = RevenueHead::fit(&columns, &revenue).expect("fits").expect("enough rows");
        assert!((head.smearing - 1.0_f64.cosh()).abs() < 0.02, "{}", head.smearing);
        let columns: Vec<&[f32]> = columns.iter().map(Vec::as_slice).collect();
        let total: f64 = head.predict(&columns).iter().sum();
        assert!((total / revenue.iter().sum::<f64>() - 1.0).abs() < 0.05);
    }

    #[test]
    fn too_few_rows_make_no_head() {
        let columns = vec![vec![1.0; 6]; FEATURES.len()];
        assert_eq!(RevenueHead::fit(&columns, &[1.0; 6]).expect("fits"), None);
    }
}
