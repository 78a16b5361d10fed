//! The revenue head: what an illicit item is expected to raise, from what it declares.
//!
//! DATE (Kim et al., KDD 2020) has a second head for the revenue. Boosted trees have none, so that a ridge
//! regression of ln(1 + revenue) on a few logarithms of the declaration, fitted on illicit items with a known
//! revenue, takes its place; Duan's smearing factor ("Smearing estimate", JASA 1983) brings the logarithm's mean
//! back to an amount without an assumption on the errors. An item's expected revenue is its probability times
//! this. The fit is a sum over rows in the order given, so that the same rows give the same bytes.
//!
//! The head travels in the model's bytes (see [`super::model`]). Start at [`RevenueHead::fit`].

use std::{collections::BTreeMap, ops::RangeInclusive};

use arrow::{
    array::AsArray,
    datatypes::{Float32Type, Float64Type},
};
use datafusion::{
    common::ScalarValue,
    prelude::{SessionContext, col, lit},
};
use tidewaiter_proto::v1::ParquetFile;

use super::{
    features::{FeatureFile, features, file_schema},
    metrics,
    scoring::by_time,
};
use crate::{Archive, Error, Result, plan::tasks};

/// The features that it reads.
pub const READS: [&str; 6] =
    ["ln_customs_value", "ln_net_mass", "duty_rate", "tax_ratio", "hs6_price_deviation", "hs6_price_ratio"];

/// Terms of the regression: one, then those of [`READS`].
const TERMS: usize = READS.len() + 1;
/// Weight of the quadratic penalty, in rows, on terms of unit variance.
const RIDGE: f64 = 1.0;
/// Deviations beyond so many are held there: one odd price must not decide an amount.
const MOST_DEVIATIONS: f64 = 4.0;

/// The fitted head.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RevenueHead {
    /// The terms' coefficients, the constant first.
    #[prost(double, repeated, tag = "1")]
    pub coefficients: Vec<f64>,
    /// Means of the terms in the fit, which stand for missing values.
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

/// The places of [`READS`] among all features.
pub fn places() -> [usize; READS.len()] {
    READS.map(|name| features().iter().position(|feature| feature.name == name).unwrap_or_default())
}

impl RevenueHead {
    /// Fits the head on illicit items: `columns` holds the features of [`READS`] (NaN is missing) and `revenue` an
    /// amount above 0 for each. `None` for fewer rows than there are terms.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Internal`] when the columns differ in length.
    pub fn fit(columns: &[Vec<f32>], revenue: &[f64]) -> Result<Option<Self>> {
        if columns.len() != READS.len() || columns.iter().any(|column| column.len() != revenue.len()) {
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
        head.coefficients = solve(matrix, right).to_vec();
        let errors = revenue.iter().enumerate().map(|(row, revenue)| {
            (revenue.ln_1p() - head.logarithm(&head.terms(|term| columns[term][row]))).exp()
        });
        head.smearing = errors.sum::<f64>() / rows as f64;
        Ok(Some(head))
    }

    /// The revenue expected of each row if it is illicit, national currency; `columns` as for the fit.
    pub fn predict(&self, columns: &[&[f32]]) -> Vec<f64> {
        let rows = columns.first().map_or(0, |column| column.len());
        let of = |row: usize| {
            let logarithm = self.logarithm(&self.terms(|term| columns[term][row]));
            // Beyond any customs value in any currency; an infinite amount could not be ranked.
            (logarithm.min(60.0).exp() * self.smearing - 1.0).max(0.0)
        };
        (0..rows).map(of).collect()
    }

    /// Checks that it has the terms of [`READS`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when it has others.
    pub fn check(&self) -> Result<()> {
        let lengths = [self.coefficients.len(), self.means.len(), self.deviations.len()];
        match lengths == [TERMS, READS.len(), READS.len()] {
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

/// Fits the head on the illicit rows of some days in feature files; `None` where there are too few.
pub(super) async fn of_files(
    session: &SessionContext,
    archive: &Archive,
    files: &[FeatureFile],
    days: &RangeInclusive<i32>,
) -> Result<Option<RevenueHead>> {
    let files = files.iter().filter(|file| file.rows > 0);
    let files = files.map(|file| ParquetFile { path: file.path.clone(), size: file.size }).collect();
    let day = |day: i32| lit(ScalarValue::Date32(Some(day)));
    let taught = col("label")
        .eq(lit(1.0_f32))
        .and(col("additional_revenue").gt(lit(0.0)))
        .and(col("acceptance_date").between(day(*days.start()), day(*days.end())));
    let rows = tasks::scan(session, archive, files, file_schema(), false)?.filter(taught)?;
    // An order that does not depend on the shards: sums of floating numbers do.
    let mut order = by_time();
    order.push(col("additional_revenue").sort(true, false));
    let rows = rows.sort(order)?.select_columns(&[&READS[..], &["additional_revenue"]].concat())?;
    let (mut columns, mut revenue) = (vec![Vec::new(); READS.len()], Vec::new());
    for batch in rows.collect().await? {
        for (column, values) in columns.iter_mut().zip(batch.columns()) {
            column.extend_from_slice(values.as_primitive::<Float32Type>().values());
        }
        revenue.extend_from_slice(batch.column(READS.len()).as_primitive::<Float64Type>().values());
    }
    RevenueHead::fit(&columns, &revenue)
}

/// What inspecting the items of the highest expected revenue finds: `precision@K`, `recall@K` and
/// `revenue_recall@K`; `None` without expected or known revenue.
///
/// # Errors
/// As [`metrics::evaluate`].
pub(super) fn found_by(
    expected: &[f64],
    labels: &[f32],
    revenue: Option<&[f64]>,
) -> Result<Option<BTreeMap<String, f64>>> {
    let Some(revenue) = revenue.filter(|_| expected.iter().all(|expected| expected.is_finite())) else {
        return Ok(None);
    };
    let mut order: Vec<usize> = (0..expected.len()).collect();
    order.sort_by(|a, b| expected[*a].total_cmp(&expected[*b]));
    // Scores of 0 to 1 in the same order, equal where the amounts are.
    let mut scores = vec![0.0; expected.len()];
    let mut below = 0;
    for tie in order.chunk_by(|a, b| expected[*a] == expected[*b]) {
        tie.iter().for_each(|row| scores[*row] = below as f64 / expected.len() as f64);
        below += tie.len();
    }
    Ok(Some(metrics::evaluate(&scores, labels, Some(revenue))?.at))
}

/// Solves a symmetric positive definite system by Cholesky's decomposition.
fn solve(mut matrix: [[f64; TERMS]; TERMS], mut right: [f64; TERMS]) -> [f64; TERMS] {
    for at in 0..TERMS {
        for before in 0..at {
            let factor = matrix[at][before];
            for row in matrix.iter_mut().skip(at) {
                row[at] -= factor * row[before];
            }
            right[at] -= factor * right[before];
        }
        let root = matrix[at][at].max(1e-12).sqrt();
        for row in matrix.iter_mut().skip(at) {
            row[at] /= root;
        }
        right[at] /= root;
    }
    for at in (0..TERMS).rev() {
        let done: f64 = (at + 1..TERMS).map(|later| matrix[later][at] * right[later]).sum();
        right[at] = (right[at] - done) / matrix[at][at];
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of a known law: ln(1 + revenue) = 2 + 0.9 ln value + noise of two points.
    fn sample(noise: f64) -> (Vec<Vec<f32>>, Vec<f64>) {
        let mut state = 1_u64;
        let mut next = || {
            state = (state * 1_103_515_245 + 12_345) % (1 << 31);
            (state >> 16) as f64 / 32_768.0
        };
        let (mut columns, mut revenue) = (vec![Vec::new(); READS.len()], Vec::new());
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
    fn a_law_without_noise_is_found() {
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
        let columns = vec![vec![1.0; 6]; READS.len()];
        assert_eq!(RevenueHead::fit(&columns, &[1.0; 6]).expect("fits"), None);
    }
}
