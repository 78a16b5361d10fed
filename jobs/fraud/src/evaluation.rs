//! From the scored test rows to a verdict on a new model: a pure function.
//!
//! Test rows are all goods items of the test months. Only those with a known outcome count for metrics and for the
//! comparison with the champion, which scores the same rows; [`crate::population`] says what the others add. Whether there
//! is a champion or not, the new model's selection is compared with a random one. Start at [`evaluate`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result};
use tidewaiter_registry::comparison::{Comparison, Groups, RESAMPLES, paired_bootstrap};

use crate::{
    metrics::Metrics,
    population::{Items, Population, population},
    scored::ScoredRows,
    significance::{self, over_random},
};

/// Percent of the items that a retrain assumes can be inspected; one of [`crate::metrics::PERCENTS`].
pub(crate) const CAPACITY_PERCENT: f64 = 5.0;

/// The test rows in time order, column by column, as both models score them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TestRows {
    /// Days of acceptance, since 1970-01-01.
    pub days: Vec<i32>,
    /// Keys of the declarations.
    pub declarations: Vec<u64>,
    /// Outcomes: 1 illicit, 0 not, NaN unknown.
    pub labels: Vec<f32>,
    /// Revenue raised by inspection, national currency; NaN where unknown.
    pub revenue: Vec<f64>,
    /// Probabilities by the new model, 0 to 1.
    pub challenger: Vec<f64>,
    /// Probabilities by the champion, where there is one to compare with.
    pub champion: Option<Vec<f64>>,
    /// Revenue that the new model expects, national currency; NaN where it has no revenue head.
    pub expected: Vec<f64>,
    /// Whether a random draw alone chose an item for inspection; `None` where the archive does not say.
    pub random: Vec<Option<bool>>,
    /// The predicted chance that an item's outcome is known; `None` where it is not needed.
    pub propensity: Option<Vec<f64>>,
}

impl TestRows {
    /// The rows as the new model scores them, with the champion's probabilities and the chances of inspection.
    pub fn new(challenger: ScoredRows, champion: Option<Vec<f64>>, propensity: Option<Vec<f64>>) -> Self {
        Self {
            days: challenger.days,
            declarations: challenger.declarations,
            labels: challenger.labels,
            revenue: challenger.revenue,
            challenger: challenger.probabilities,
            champion,
            expected: challenger.expected,
            random: challenger.random,
            propensity,
        }
    }

    /// The revenue raised, where any of it is known.
    pub fn known_revenue(&self) -> Option<&[f64]> {
        self.revenue.iter().any(|revenue| revenue.is_finite()).then_some(self.revenue.as_slice())
    }

    /// What the new model's metrics are computed from.
    pub(crate) fn ranked(&self) -> significance::Rows<'_> {
        let Self { challenger, labels, declarations, days, .. } = self;
        significance::Rows { scores: challenger, labels, declarations, days }
    }

    /// Checks that the columns have the same length.
    fn check(&self) -> Result<()> {
        let rows = self.labels.len();
        let optional = |column: &Option<Vec<f64>>| column.as_ref().map_or(rows, Vec::len);
        let lengths = [
            self.days.len(),
            self.declarations.len(),
            self.revenue.len(),
            self.challenger.len(),
            optional(&self.champion),
            self.expected.len(),
            self.random.len(),
            optional(&self.propensity),
        ];
        if lengths.iter().any(|length| *length != rows) {
            return Err(Error::internal(format!("{rows} test outcomes have columns of {lengths:?} rows")));
        }
        Ok(())
    }

    /// The paired comparison of both models on the rows with a known outcome.
    fn compare(&self, champion: &[f64], seed: u64) -> Result<Comparison> {
        let known: Vec<usize> = (0..self.labels.len()).filter(|row| !self.labels[*row].is_nan()).collect();
        let of = |scores: &[f64]| known.iter().map(|row| scores[*row]).collect::<Vec<_>>();
        let labels: Vec<f32> = known.iter().map(|row| self.labels[*row]).collect();
        let declarations = Groups::of(known.iter().map(|row| self.declarations[*row]));
        let days = Groups::of(known.iter().map(|row| self.days[*row]));
        let groups = (&declarations, &days);
        paired_bootstrap(&of(&self.challenger), &of(champion), &labels, groups, RESAMPLES, seed)
    }
}

/// How the new model did on the test rows, beside the champion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Metrics of the new model on the rows with a known outcome.
    pub challenger: Metrics,
    /// Metrics of the champion on the same rows, where there is one to compare with.
    pub champion: Option<Metrics>,
    /// `precision@K`, `recall@K` and `revenue_recall@K` of the new model when items are ranked by expected revenue;
    /// `None` without expected or known revenue.
    pub by_revenue: Option<BTreeMap<String, f64>>,
    /// The paired comparison with the champion, where there is one to compare with.
    pub comparison: Option<Comparison>,
    /// The share of the known fraud that the riskiest 5 % of the items hold by the new model, minus that of as many drawn at
    /// random.
    pub over_random: Comparison,
    /// Of which items the metrics speak, and an estimate for all.
    pub population: Population,
}

impl Verdict {
    /// Whether the new model is better than the champion beyond chance. It always is where there was none to compare
    /// with.
    pub fn is_better(&self) -> bool {
        self.comparison.as_ref().is_none_or(Comparison::is_better)
    }
}

/// Evaluates the new model, and the champion, on the test rows. `seed` is that of the resamples.
///
/// # Errors
/// As [`Metrics::of`]; [`tidewaiter_core::ErrorKind::Internal`] when the columns differ in length.
pub fn evaluate(rows: &TestRows, seed: u64) -> Result<Verdict> {
    rows.check()?;
    let TestRows { labels, challenger, champion, .. } = rows;
    let metrics = |scores: &[f64]| Metrics::of(scores, labels, rows.known_revenue());
    let (new, old) = (metrics(challenger)?, champion.as_deref().map(metrics).transpose()?);
    let by_revenue = found_by_revenue(&rows.expected, labels, rows.known_revenue())?;
    let comparison = champion.as_deref().map(|champion| rows.compare(champion, seed)).transpose()?;
    let over_random = over_random(rows.ranked(), CAPACITY_PERCENT, seed)?;
    let items = Items {
        scores: challenger,
        labels,
        revenue: &rows.revenue,
        declarations: &rows.declarations,
        random: &rows.random,
        propensity: rows.propensity.as_deref(),
    };
    let population = population(items, seed)?;
    Ok(Verdict { challenger: new, champion: old, by_revenue, comparison, over_random, population })
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
            declarations: vec![1, 2, 3],
            labels: vec![1.0, 0.0, 1.0],
            revenue: vec![10.0, f64::NAN, 30.0],
            challenger: vec![0.9, 0.2, 0.8],
            champion: Some(vec![0.4, 0.5, 0.6]),
            expected: vec![f64::NAN; 3],
            random: vec![None; 3],
            propensity: None,
        }
    }

    #[test]
    fn both_models_are_evaluated_on_the_same_rows() {
        let verdict = evaluate(&rows(), 0).expect("a verdict");
        let (challenger, champion) = (&verdict.challenger, verdict.champion.as_ref().expect("a champion"));
        assert_eq!((challenger.roc_auc, champion.roc_auc), (1.0, 0.5));
        assert_eq!((challenger.rows, champion.rows), (3, 3));
        // One row is inspected: the first by 0.9, and by 0.6 the third.
        assert_eq!(
            (challenger.revenue_recall_at(5.0), champion.revenue_recall_at(5.0)),
            (Some(0.25), Some(0.75))
        );
        assert_eq!((verdict.by_revenue.as_ref(), &verdict.population), (None, &Population::All));
    }

    #[test]
    fn revenue_counts_only_where_any_is_known() {
        let unknown = TestRows { revenue: vec![f64::NAN; 3], champion: None, ..rows() };
        let verdict = evaluate(&unknown, 0).expect("a verdict");
        assert_eq!((verdict.challenger.revenue_recall_at(5.0), verdict.champion.as_ref()), (None, None));
        assert!(verdict.is_better() && verdict.comparison.is_none(), "there is no champion");
        assert!(!verdict.over_random.is_better(), "three rows show nothing: {:?}", verdict.over_random);
    }

    #[test]
    fn a_ranking_by_expected_revenue_finds_the_revenue() {
        let verdict = evaluate(&TestRows { expected: vec![1.0, 2.0, 3.0], ..rows() }, 0);
        let by_revenue = verdict.expect("a verdict").by_revenue.expect("known revenue");
        assert_eq!((by_revenue["revenue_recall@5"], by_revenue["precision@5"]), (0.75, 1.0));
    }

    /// Three rows are no evidence, though the average precision of the new model is higher.
    #[test]
    fn a_difference_within_chance_promotes_nothing() {
        let verdict = evaluate(&rows(), 7).expect("a verdict");
        let comparison = verdict.comparison.expect("a comparison");
        assert!(comparison.difference > 0.0 && !verdict.is_better(), "{comparison:?}");
        assert_eq!(comparison.seed, 7);
    }

    #[test]
    fn rows_without_an_outcome_change_no_metric() {
        let mut more = rows();
        more.days.push(18_750);
        more.declarations.push(4);
        more.labels.push(f32::NAN);
        more.revenue.push(f64::NAN);
        more.challenger.push(0.95);
        more.expected.push(f64::NAN);
        more.random.push(None);
        if let Some(champion) = &mut more.champion {
            champion.push(0.1);
        }
        let (all, known) = (evaluate(&more, 1).expect("a verdict"), evaluate(&rows(), 1).expect("a verdict"));
        assert_eq!((all.challenger.at, all.comparison), (known.challenger.at, known.comparison));
        assert_eq!((all.challenger.rows, all.challenger.unlabelled), (3, 1));
        assert!(matches!(all.population, Population::Inspected { .. }), "{:?}", all.population);
    }

    #[test]
    fn columns_of_different_length_are_a_bug() {
        let error = evaluate(&TestRows { days: vec![], ..rows() }, 0).expect_err("refused");
        assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Internal);
    }
}
