//! From the scored test rows to a verdict on a new model: a pure function.
//!
//! Only rows with a known outcome are test rows. Both models score the same rows, so their metrics differ by the
//! models alone. Start at [`evaluate`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result};
use tidewaiter_registry::comparison::{Against, Comparison, RESAMPLES, paired_bootstrap};

use crate::{metrics::Metrics, scored::ScoredRows};

/// The test rows in time order, column by column, as both models score them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TestRows {
    /// Days of acceptance, since 1970-01-01.
    pub days: Vec<i32>,
    /// Outcomes: 1 illicit, 0 not.
    pub labels: Vec<f32>,
    /// Revenue raised by inspection, national currency; NaN where unknown.
    pub revenue: Vec<f64>,
    /// Probabilities by the new model, 0 to 1.
    pub challenger: Vec<f64>,
    /// Probabilities by the champion, where there is one.
    pub champion: Option<Vec<f64>>,
    /// Revenue that the new model expects, national currency; NaN where it has no revenue head.
    pub expected: Vec<f64>,
}

impl TestRows {
    /// The rows as the new model scores them, with the champion's probabilities.
    pub fn new(challenger: ScoredRows, champion: Option<Vec<f64>>) -> Self {
        Self {
            days: challenger.days,
            labels: challenger.labels,
            revenue: challenger.revenue,
            challenger: challenger.probabilities,
            champion,
            expected: challenger.expected,
        }
    }

    /// The revenue raised, where any of it is known.
    pub fn known_revenue(&self) -> Option<&[f64]> {
        self.revenue.iter().any(|revenue| revenue.is_finite()).then_some(self.revenue.as_slice())
    }

    /// Checks that the columns have the same length and every outcome is known.
    fn check(&self) -> Result<()> {
        let rows = self.labels.len();
        let champion = self.champion.as_ref().map_or(rows, Vec::len);
        let lengths =
            [self.days.len(), self.revenue.len(), self.challenger.len(), champion, self.expected.len()];
        if lengths.iter().any(|length| *length != rows) {
            return Err(Error::internal(format!("{rows} test outcomes have columns of {lengths:?} rows")));
        }
        if self.labels.iter().any(|label| label.is_nan()) {
            return Err(Error::internal("a test row has no known outcome"));
        }
        Ok(())
    }
}

/// How the new model did on the test rows, beside the champion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Metrics of the new model.
    pub challenger: Metrics,
    /// Metrics of the champion, where there is one.
    pub champion: Option<Metrics>,
    /// `precision@K`, `recall@K` and `revenue_recall@K` of the new model when items are ranked by expected revenue;
    /// `None` without expected or known revenue.
    pub by_revenue: Option<BTreeMap<String, f64>>,
    /// The paired comparison with the champion, where it was asked for.
    pub comparison: Option<Comparison>,
}

impl Verdict {
    /// Whether the new model is better than the champion: beyond chance where a comparison was asked for, otherwise
    /// by its average precision. It always is where there is no champion.
    pub fn is_better(&self) -> bool {
        match (&self.comparison, &self.champion) {
            (Some(comparison), _) => comparison.is_better(),
            (None, Some(champion)) => self.challenger.average_precision > champion.average_precision,
            (None, None) => true,
        }
    }
}

/// Evaluates the new model, and the champion, on the test rows. `seed` is that of the paired bootstrap, which
/// `compare` asks for.
///
/// # Errors
/// As [`Metrics::of`]; [`tidewaiter_core::ErrorKind::Internal`] when the columns differ in length or an outcome is
/// not known.
pub fn evaluate(rows: &TestRows, compare: Option<Against>, seed: u64) -> Result<Verdict> {
    rows.check()?;
    let TestRows { labels, challenger, champion, .. } = rows;
    let metrics = |scores: &[f64]| Metrics::of(scores, labels, rows.known_revenue());
    let (new, old) = (metrics(challenger)?, champion.as_deref().map(metrics).transpose()?);
    let by_revenue = found_by_revenue(&rows.expected, labels, rows.known_revenue())?;
    let comparison = match (compare, champion) {
        (Some(Against::Champion), Some(champion)) => {
            Some(paired_bootstrap(challenger, champion, labels, RESAMPLES, seed)?)
        }
        _ => None,
    };
    Ok(Verdict { challenger: new, champion: old, by_revenue, comparison })
}

/// The metrics at K when items are ranked by expected revenue; `None` without expected or known revenue.
fn found_by_revenue(
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
    Ok(Some(Metrics::of(&scores, labels, Some(revenue))?.at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> TestRows {
        TestRows {
            days: vec![18_718, 18_719, 18_748],
            labels: vec![1.0, 0.0, 1.0],
            revenue: vec![10.0, f64::NAN, 30.0],
            challenger: vec![0.9, 0.2, 0.8],
            champion: Some(vec![0.4, 0.5, 0.6]),
            expected: vec![f64::NAN; 3],
        }
    }

    #[test]
    fn both_models_are_evaluated_on_the_same_rows() {
        let verdict = evaluate(&rows(), None, 0).expect("a verdict");
        let (challenger, champion) = (&verdict.challenger, verdict.champion.as_ref().expect("a champion"));
        assert_eq!((challenger.roc_auc, champion.roc_auc), (1.0, 0.5));
        assert_eq!((challenger.rows, champion.rows), (3, 3));
        // One row is inspected: the first by 0.9, and by 0.6 the third.
        assert_eq!(
            (challenger.revenue_recall_at(5.0), champion.revenue_recall_at(5.0)),
            (Some(0.25), Some(0.75))
        );
        assert!(verdict.is_better() && verdict.by_revenue.is_none() && verdict.comparison.is_none());
    }

    #[test]
    fn revenue_counts_only_where_any_is_known() {
        let unknown = TestRows { revenue: vec![f64::NAN; 3], champion: None, ..rows() };
        let verdict = evaluate(&unknown, Some(Against::Champion), 0).expect("a verdict");
        assert_eq!((verdict.challenger.revenue_recall_at(5.0), verdict.champion.as_ref()), (None, None));
        assert!(verdict.is_better(), "there is no champion");
    }

    #[test]
    fn a_ranking_by_expected_revenue_finds_the_revenue() {
        let verdict = evaluate(&TestRows { expected: vec![1.0, 2.0, 3.0], ..rows() }, None, 0);
        let by_revenue = verdict.expect("a verdict").by_revenue.expect("known revenue");
        assert_eq!((by_revenue["revenue_recall@5"], by_revenue["precision@5"]), (0.75, 1.0));
    }

    #[test]
    fn a_comparison_decides_where_it_was_asked_for() {
        let verdict = evaluate(&rows(), Some(Against::Champion), 7).expect("a verdict");
        let comparison = verdict.comparison.expect("a comparison");
        assert_eq!(verdict.is_better(), comparison.is_better());
        assert_eq!(comparison.seed, 7);
    }

    #[test]
    fn columns_of_different_length_are_a_bug() {
        let error = evaluate(&TestRows { days: vec![], ..rows() }, None, 0).expect_err("refused");
        assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Internal);
    }
}
