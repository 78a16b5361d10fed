//! Metrics of a ranking of goods items, and of probabilities.
//!
//! `@K` inspects the K percent of the rows with the highest scores: `n = floor(rows * K / 100)`, at least 1; equal
//! scores are taken in the order of the rows, so a metric never depends on a sort. Rows whose outcome is unknown are
//! left out and counted. The area under the ROC curve is the Mann-Whitney statistic with average ranks for ties;
//! average precision is the step sum over distinct scores, without interpolation (both as scikit-learn defines them);
//! precision, F1 and revenue at K are DATE's (Kim et al., KDD 2020). Start at [`Metrics::of`];
//! [`RankedMetrics`] does the same for rows that come in the order of their ranking.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result};

use crate::calendar::date_of;

/// The shares of rows inspected, in percent.
pub const PERCENTS: [f64; 5] = [0.1, 1.0, 2.0, 5.0, 10.0];

/// Probabilities are limited to this distance from 0 and 1 in the logarithmic loss.
const LEAST_PROBABILITY: f64 = 1e-15;

/// The metrics of one period. In JSON the metrics at K are beside the others: `precision@5`, ...
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Rows with a known outcome.
    pub rows: u64,
    /// Rows left out because their outcome is unknown.
    pub unlabelled: u64,
    /// Illicit rows.
    pub illicit: u64,
    /// Area under the ROC curve, 0 .. 1.
    pub roc_auc: f64,
    /// Average precision, 0 .. 1.
    pub average_precision: f64,
    /// Mean negative logarithm of the probability of the outcome, in nats.
    pub log_loss: f64,
    /// `precision@K` (illicit share of the inspected), `recall@K` (share of the illicit inspected), `f1@K` (the
    /// harmonic mean of both) and `revenue_recall@K` (share of the revenue inspected; absent where there is none),
    /// each 0 .. 1.
    #[serde(flatten)]
    pub at: BTreeMap<String, f64>,
}

impl Metrics {
    /// The metrics of a ranking.
    ///
    /// `scores` are probabilities; `labels` are 1 (illicit), 0, or NaN (unknown); `revenue` is the additional
    /// revenue, in which what is unknown or not above 0 counts as none.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the known outcomes are all the same, or a score or label is out of
    /// range.
    pub fn of(scores: &[f64], labels: &[f32], revenue: Option<&[f64]>) -> Result<Self> {
        let ranking = Ranking::new(scores, labels, revenue)?;
        let mut metrics = RankedMetrics::new(ranking.rows() as u64);
        for row in 0..ranking.rows() {
            let score = ranking.scores[row];
            let label = f32::from(u8::from(ranking.illicit[row]));
            let revenue = ranking.revenue.as_ref().map_or(0.0, |revenue| revenue[row]);
            metrics.push(RankedRow { score, probability: score, label, revenue });
        }
        metrics.unlabelled = ranking.unlabelled;
        metrics.finish()
    }

    /// Illicit share of the K percent inspected first; K is one of [`PERCENTS`].
    pub fn precision_at(&self, percent: f64) -> Option<f64> {
        self.at.get(&format!("precision@{percent}")).copied()
    }

    /// Share of the illicit rows among the K percent inspected first.
    pub fn recall_at(&self, percent: f64) -> Option<f64> {
        self.at.get(&format!("recall@{percent}")).copied()
    }

    /// Harmonic mean of precision and recall of the K percent inspected first.
    pub fn f1_at(&self, percent: f64) -> Option<f64> {
        self.at.get(&format!("f1@{percent}")).copied()
    }

    /// Share of the additional revenue among the K percent inspected first.
    pub fn revenue_recall_at(&self, percent: f64) -> Option<f64> {
        self.at.get(&format!("revenue_recall@{percent}")).copied()
    }
}

/// A row of a ranking.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankedRow {
    /// What the rows are ranked by.
    pub score: f64,
    /// Probability of fraud, 0 to 1.
    pub probability: f64,
    /// 1 illicit, 0 not, NaN unknown.
    pub label: f32,
    /// Additional revenue; what is unknown or not above 0 counts as none.
    pub revenue: f64,
}

/// Computes [`Metrics`] of rows that come in the order of a ranking, the highest score first, without keeping them.
#[derive(Debug, Clone)]
pub struct RankedMetrics {
    /// At each of [`PERCENTS`]: how many rows are inspected, and the illicit ones and the revenue among them.
    cuts: [(u64, u64, f64); PERCENTS.len()],
    rows: u64,
    unlabelled: u64,
    illicit: u64,
    revenue: f64,
    loss: f64,
    /// The score of the last rows, and how many rows and illicit rows have it.
    tie: (f64, u64, u64),
    /// Pairs in the right order and the sum of the average precision, without the last rows of one score.
    pairs: f64,
    precisions: f64,
}

impl RankedMetrics {
    /// The metrics of a ranking of which so many rows have a known outcome.
    pub fn new(rows: u64) -> Self {
        let inspected = |percent| inspected(usize::try_from(rows).unwrap_or(usize::MAX), percent) as u64;
        Self {
            cuts: PERCENTS.map(|percent| (inspected(percent), 0, 0.0)),
            rows: 0,
            unlabelled: 0,
            illicit: 0,
            revenue: 0.0,
            loss: 0.0,
            tie: (f64::NAN, 0, 0),
            pairs: 0.0,
            precisions: 0.0,
        }
    }

    /// Takes the next row.
    pub fn push(&mut self, row: RankedRow) {
        if row.label.is_nan() {
            self.unlabelled += 1;
            return;
        }
        if row.score != self.tie.0 {
            self.end_tie();
            self.tie.0 = row.score;
        }
        let illicit = row.label == 1.0;
        self.rows += 1;
        self.tie.1 += 1;
        self.tie.2 += u64::from(illicit);
        self.illicit += u64::from(illicit);
        if row.revenue.is_finite() && row.revenue > 0.0 {
            self.revenue += row.revenue;
        }
        let probability = if illicit { row.probability } else { 1.0 - row.probability };
        self.loss -= probability.clamp(LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY).ln();
        for (inspected, found, revenue) in &mut self.cuts {
            if self.rows == *inspected {
                (*found, *revenue) = (self.illicit, self.revenue);
            }
        }
    }

    /// Counts the rows of the last score, which are in no order among themselves.
    fn end_tie(&mut self) {
        let (_, tied, hits) = std::mem::replace(&mut self.tie, (f64::NAN, 0, 0));
        let found = self.illicit - hits;
        // Each illicit row above a clean row is a pair in the right order; one of the same score is half a pair.
        self.pairs += (tied - hits) as f64 * (found as f64 + hits as f64 / 2.0);
        if hits > 0 {
            self.precisions += hits as f64 * self.illicit as f64 / self.rows as f64;
        }
    }

    /// The metrics of all rows.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the known outcomes are all the same.
    pub fn finish(mut self) -> Result<Metrics> {
        self.end_tie();
        let Self { rows, illicit, .. } = self;
        if illicit == 0 || illicit == rows {
            return Err(Error::input(format!(
                "a period has {illicit} illicit rows among {rows} with a known outcome: a ranking cannot be evaluated \
                 without both kinds, choose a longer period"
            )));
        }
        let mut at = BTreeMap::new();
        for (percent, (inspected, found, revenue)) in PERCENTS.into_iter().zip(self.cuts) {
            let found = found as f64;
            at.insert(format!("precision@{percent}"), found / inspected as f64);
            at.insert(format!("recall@{percent}"), found / illicit as f64);
            at.insert(format!("f1@{percent}"), 2.0 * found / (inspected + illicit) as f64);
            if self.revenue > 0.0 {
                at.insert(format!("revenue_recall@{percent}"), revenue / self.revenue);
            }
        }
        Ok(Metrics {
            rows,
            unlabelled: self.unlabelled,
            illicit,
            roc_auc: self.pairs / (illicit as f64 * (rows - illicit) as f64),
            average_precision: self.precisions / illicit as f64,
            log_loss: self.loss / rows as f64,
            at,
        })
    }
}

/// The metrics of one calendar month.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Month {
    /// Year and month, `2021-04`.
    pub month: String,
    /// Rows with a known outcome.
    pub rows: u64,
    /// Illicit rows.
    pub illicit: u64,
    /// The metrics; absent where all known outcomes are the same.
    pub metrics: Option<Metrics>,
}

/// A point of the gain curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// Share of the rows inspected, 0 .. 1.
    pub inspected: f64,
    /// Share of the illicit rows found, 0 .. 1.
    pub recall: f64,
    /// Illicit share of the rows inspected, 0 .. 1; absent where the share is less than one row.
    pub precision: Option<f64>,
    /// Share of the revenue found, 0 .. 1; absent where there is none.
    pub revenue_recall: Option<f64>,
}

/// Rows of similar score: the predicted and the observed share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Rows.
    pub rows: u64,
    /// Mean score, 0 .. 1.
    pub predicted: f64,
    /// Illicit share, 0 .. 1.
    pub observed: f64,
}

/// Rows with an outcome, the highest score first, ties in the order of the rows.
struct Ranking {
    scores: Vec<f64>,
    illicit: Vec<bool>,
    revenue: Option<Vec<f64>>,
    unlabelled: u64,
}

impl Ranking {
    fn new(scores: &[f64], labels: &[f32], revenue: Option<&[f64]>) -> Result<Self> {
        if scores.len() != labels.len() || revenue.is_some_and(|revenue| revenue.len() != scores.len()) {
            return Err(Error::internal("scores, labels and revenue of a period differ in length"));
        }
        if let Some(row) = scores.iter().position(|score| !(0.0..=1.0).contains(score)) {
            return Err(Error::input(format!(
                "the score of row {row} is {}: give probabilities between 0 and 1",
                scores[row]
            )));
        }
        if let Some(row) = labels.iter().position(|label| !(label.is_nan() || *label == 0.0 || *label == 1.0))
        {
            return Err(Error::input(format!(
                "the label of row {row} is {}: give 1 (illicit), 0 or NaN (unknown)",
                labels[row]
            )));
        }
        let mut order: Vec<usize> = (0..scores.len()).filter(|row| !labels[*row].is_nan()).collect();
        // The sort is stable: equal scores stay in the order of the rows.
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let known = |value: f64| if value.is_finite() && value > 0.0 { value } else { 0.0 };
        Ok(Self {
            scores: order.iter().map(|row| scores[*row]).collect(),
            illicit: order.iter().map(|row| labels[*row] == 1.0).collect(),
            revenue: revenue
                .map(|revenue| order.iter().map(|row| known(revenue[*row])).collect::<Vec<_>>())
                .filter(|revenue| revenue.iter().any(|value| *value > 0.0)),
            unlabelled: (scores.len() - order.len()) as u64,
        })
    }

    fn rows(&self) -> usize {
        self.scores.len()
    }

    fn found(&self, inspected: usize) -> usize {
        self.illicit[..inspected].iter().filter(|illicit| **illicit).count()
    }

    fn revenue_share(&self, inspected: usize) -> Option<f64> {
        let revenue = self.revenue.as_ref()?;
        Some(revenue[..inspected].iter().sum::<f64>() / revenue.iter().sum::<f64>())
    }
}

/// Number of rows that a share of K percent inspects: rounded down, at least 1.
pub fn inspected(rows: usize, percent: f64) -> usize {
    inspected_or_none(rows, percent).max(1)
}

fn inspected_or_none(rows: usize, percent: f64) -> usize {
    // In thousandths of a percent, so that 0.1 percent of 1000 rows is 1 and not a rounding error below it.
    let thousandths = (percent * 1000.0).round() as u128;
    let count = rows as u128 * thousandths / 100_000;
    usize::try_from(count).unwrap_or(rows).min(rows)
}

/// The metrics of each calendar month; `days` are days since 1970-01-01, in any order.
///
/// # Errors
/// As [`Metrics::of`], except that a month whose outcomes are all the same has no metrics.
pub fn by_month(days: &[i32], scores: &[f64], labels: &[f32], revenue: Option<&[f64]>) -> Result<Vec<Month>> {
    if days.len() != scores.len() {
        return Err(Error::internal("days and scores of a period differ in length"));
    }
    // Checks the whole period, so that an error names the row in the period.
    Ranking::new(scores, labels, revenue)?;
    rows_by_month(days)
        .into_iter()
        .map(|(month, rows)| {
            let labels: Vec<f32> = rows.iter().map(|row| labels[*row]).collect();
            let illicit = labels.iter().filter(|label| **label == 1.0).count();
            let known = labels.iter().filter(|label| !label.is_nan()).count();
            let metrics = if illicit == 0 || illicit == known {
                None
            } else {
                let scores: Vec<f64> = rows.iter().map(|row| scores[*row]).collect();
                let revenue: Option<Vec<f64>> =
                    revenue.map(|revenue| rows.iter().map(|row| revenue[*row]).collect());
                Some(Metrics::of(&scores, &labels, revenue.as_deref())?)
            };
            Ok(Month { month, rows: known as u64, illicit: illicit as u64, metrics })
        })
        .collect()
}

/// The rows of each calendar month, in their order; `days` are days since 1970-01-01.
pub(crate) fn rows_by_month(days: &[i32]) -> BTreeMap<String, Vec<usize>> {
    let mut months = BTreeMap::<String, Vec<usize>>::new();
    for (row, day) in days.iter().enumerate() {
        months.entry(date_of(*day).format("%Y-%m").to_string()).or_default().push(row);
    }
    months
}

/// The gain curve at some shares of the rows; a share is in 0 .. 1, its number of rows is rounded down.
///
/// # Errors
/// As [`Metrics::of`], except that only illicit rows are needed, not both kinds.
pub fn gain_curve(
    scores: &[f64],
    labels: &[f32],
    revenue: Option<&[f64]>,
    shares: &[f64],
) -> Result<Vec<Gain>> {
    let ranking = Ranking::new(scores, labels, revenue)?;
    let rows = ranking.rows();
    let illicit = ranking.found(rows);
    if illicit == 0 {
        return Err(Error::input(
            "a period has no illicit row: there is nothing to gain, choose a longer period",
        ));
    }
    let gain = |share: &f64| {
        let inspected = inspected_or_none(rows, share * 100.0);
        let found = ranking.found(inspected) as f64;
        Gain {
            inspected: *share,
            recall: found / illicit as f64,
            precision: (inspected > 0).then(|| found / inspected as f64),
            revenue_recall: ranking.revenue_share(inspected),
        }
    };
    Ok(shares.iter().map(gain).collect())
}

/// Predicted and observed shares in `bins` groups of equally many rows (to within one), lowest scores first;
/// fewer groups where there are fewer rows.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] when a score or label is out of range.
pub fn calibration(scores: &[f64], labels: &[f32], bins: usize) -> Result<Vec<CalibrationBin>> {
    let ranking = Ranking::new(scores, labels, None)?;
    let rows = ranking.rows();
    let bins = bins.min(rows);
    let bin = |bin: usize| {
        let range = rows * bin / bins..rows * (bin + 1) / bins;
        let count = range.len() as f64;
        CalibrationBin {
            rows: range.len() as u64,
            predicted: ranking.scores[range.clone()].iter().sum::<f64>() / count,
            observed: ranking.illicit[range].iter().filter(|illicit| **illicit).count() as f64 / count,
        }
    };
    Ok((0..bins).rev().map(bin).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-12, "{actual} is not {expected}");
    }

    #[test]
    fn a_hand_computed_case_with_ties_and_an_unknown_outcome() {
        let scores = [0.9, 0.8, 0.8, 0.3, 0.1, 0.95];
        let labels = [1.0, 0.0, 1.0, 0.0, 1.0, f32::NAN];
        let revenue = [10.0, 0.0, 30.0, f64::NAN, 60.0, 1000.0];
        let metrics = Metrics::of(&scores, &labels, Some(&revenue)).expect("both kinds");
        assert_eq!((metrics.rows, metrics.unlabelled, metrics.illicit), (5, 1, 3));
        // Pairs won: 0.9 beats both clean rows; 0.8 beats 0.3 and halves with 0.8; 0.1 beats none. 3.5 of 6.
        near(metrics.roc_auc, 3.5 / 6.0);
        // Recall steps: 1/3 at precision 1, 1/3 at 2/3, none at 0.3, 1/3 at 3/5.
        near(metrics.average_precision, (1.0 + 2.0 / 3.0 + 3.0 / 5.0) / 3.0);
        let loss = -(0.9_f64.ln() + 0.2_f64.ln() + 0.8_f64.ln() + 0.7_f64.ln() + 0.1_f64.ln()) / 5.0;
        near(metrics.log_loss, loss);
        near(metrics.precision_at(10.0).expect("K"), 1.0);
        near(metrics.recall_at(0.1).expect("K"), 1.0 / 3.0);
        // Precision 1 and recall 1/3.
        near(metrics.f1_at(0.1).expect("K"), 0.5);
        near(metrics.revenue_recall_at(5.0).expect("K"), 0.1);
    }

    #[test]
    fn equal_scores_are_inspected_in_the_order_of_the_rows() {
        let mut labels = vec![0.0; 100];
        labels[4] = 1.0;
        let scores = vec![0.5; 100];
        let metrics = Metrics::of(&scores, &labels, None).expect("both kinds");
        near(metrics.recall_at(5.0).expect("K"), 1.0);
        near(metrics.recall_at(2.0).expect("K"), 0.0);
        near(metrics.f1_at(5.0).expect("K"), 2.0 / 6.0);
        near(metrics.f1_at(2.0).expect("K"), 0.0);
        near(metrics.roc_auc, 0.5);
        assert_eq!(metrics.revenue_recall_at(5.0), None);
    }

    #[test]
    fn the_number_inspected_is_rounded_down_and_at_least_one() {
        assert_eq!(inspected(8481, 5.0), 424);
        assert_eq!(inspected(1000, 0.1), 1);
        assert_eq!(inspected(10, 0.1), 1);
        assert_eq!(inspected(29_000, 0.1), 29);
    }

    #[test]
    fn the_names_in_json_are_the_documented_ones() {
        let metrics = Metrics::of(&[0.9, 0.1], &[1.0, 0.0], Some(&[5.0, 0.0])).expect("both kinds");
        let json = serde_json::to_value(&metrics).expect("JSON");
        for name in [
            "roc_auc",
            "average_precision",
            "log_loss",
            "precision@0.1",
            "recall@10",
            "f1@5",
            "revenue_recall@5",
        ] {
            assert!(json.get(name).is_some_and(serde_json::Value::is_number), "{name} in {json}");
        }
        assert_eq!(serde_json::from_value::<Metrics>(json).expect("read back"), metrics);
    }

    #[test]
    fn a_period_of_one_kind_or_a_bad_number_is_refused() {
        for (scores, labels) in [
            (vec![], vec![]),
            (vec![0.1, 0.2], vec![0.0, 0.0]),
            (vec![0.1, 0.2], vec![1.0, 1.0]),
            (vec![f64::NAN, 0.2], vec![1.0, 0.0]),
            (vec![1.5, 0.2], vec![1.0, 0.0]),
            (vec![0.5, 0.2], vec![2.0, 0.0]),
        ] {
            let error = Metrics::of(&scores, &labels, None).expect_err("refused");
            assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Input);
        }
    }

    #[test]
    fn each_month_has_metrics_unless_its_outcomes_are_all_the_same() {
        let days = [18_718, 18_717, 18_718, 18_748]; // 2021-04-01, 2021-03-31, 2021-04-01, 2021-05-01
        let months =
            by_month(&days, &[0.9, 0.5, 0.1, 0.3], &[1.0, 1.0, 0.0, f32::NAN], None).expect("months");
        let names: Vec<&str> = months.iter().map(|month| month.month.as_str()).collect();
        assert_eq!(names, ["2021-03", "2021-04", "2021-05"]);
        assert!(months[0].metrics.is_none() && months[2].metrics.is_none());
        near(months[1].metrics.as_ref().expect("both kinds").roc_auc, 1.0);
        assert_eq!(months[2].rows, 0);
    }

    #[test]
    fn the_gain_curve_and_the_calibration_of_a_small_case() {
        let scores = [0.8, 0.6, 0.4, 0.2];
        let labels = [1.0, 0.0, 1.0, 0.0];
        let revenue = [3.0, 0.0, 1.0, 0.0];
        let curve = gain_curve(&scores, &labels, Some(&revenue), &[0.0, 0.5, 1.0]).expect("illicit rows");
        let half = Gain { inspected: 0.5, recall: 0.5, precision: Some(0.5), revenue_recall: Some(0.75) };
        assert_eq!(curve[1], half);
        assert_eq!((curve[0].recall, curve[0].precision), (0.0, None));
        near(curve[2].recall, 1.0);
        let bins = calibration(&scores, &labels, 2).expect("bins");
        assert_eq!(bins.len(), 2);
        near(bins[0].predicted, 0.3);
        near(bins[1].observed, 0.5);
        assert!(calibration(&[], &[], 10).expect("no rows").is_empty());
    }

    /// The figures of scikit-learn 1.9.1 on the numbers of this generator, by:
    ///
    /// ```python
    /// from sklearn.metrics import roc_auc_score, average_precision_score, log_loss
    /// s, rows = 1, []
    /// for _ in range(500):
    ///     s = (s * 1103515245 + 12345) % 2**31; p = (s >> 16) % 100 / 100 * 0.98 + 0.01
    ///     s = (s * 1103515245 + 12345) % 2**31; rows.append((p, int((s >> 16) % 100 < 60 * p)))
    /// p, y = zip(*rows)
    /// # Printed: 164 0.6888882839721255 0.4794025643143965 0.7321272002079962
    /// print(sum(y), repr(roc_auc_score(y, p)), repr(average_precision_score(y, p)), repr(log_loss(y, p)))
    /// ```
    #[test]
    fn figures_agree_with_scikit_learn() {
        let mut state = 1u64;
        let mut next = || {
            state = (state * 1_103_515_245 + 12_345) % (1 << 31);
            (state >> 16) % 100
        };
        let (mut scores, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..500 {
            let score = next() as f64 / 100.0 * 0.98 + 0.01;
            scores.push(score);
            labels.push(if (next() as f64) < 60.0 * score { 1.0 } else { 0.0 });
        }
        let metrics = Metrics::of(&scores, &labels, None).expect("both kinds");
        assert_eq!(metrics.illicit, 164);
        near(metrics.roc_auc, 0.6888882839721255);
        near(metrics.average_precision, 0.4794025643143965);
        near(metrics.log_loss, 0.7321272002079962);
    }

    proptest! {
        #[test]
        fn figures_are_shares_and_recall_grows(
            rows in prop::collection::vec((0.0..=1.0f64, any::<bool>()), 2..200),
        ) {
            let (scores, labels): (Vec<f64>, Vec<f32>) =
                rows.iter().map(|(score, illicit)| (*score, f32::from(u8::from(*illicit)))).unzip();
            prop_assume!(labels.contains(&1.0) && labels.contains(&0.0));
            let metrics = Metrics::of(&scores, &labels, None).expect("both kinds");
            prop_assert!((0.0..=1.0).contains(&metrics.roc_auc));
            prop_assert!((0.0..=1.0).contains(&metrics.average_precision));
            let recalls: Vec<f64> = PERCENTS.iter().filter_map(|percent| metrics.recall_at(*percent)).collect();
            prop_assert!(recalls.len() == 5 && recalls.is_sorted());
            // Inverting every outcome inverts the area.
            let turned: Vec<f32> = labels.iter().map(|label| 1.0 - label).collect();
            let other = Metrics::of(&scores, &turned, None).expect("both kinds");
            prop_assert!((metrics.roc_auc + other.roc_auc - 1.0).abs() < 1e-12);
        }
    }
}
