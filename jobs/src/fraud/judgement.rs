//! The test rows with both models' probabilities: what a retrain is judged on.
//!
//! Only rows whose outcome is known belong here. The same rows judge the challenger and the champion, so
//! their figures differ by the models alone. Start at [`Judged::metrics`].

use super::metrics::{self, Metrics};
use crate::{Error, Result};

/// The test rows with a known outcome, in time order, column by column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judged {
    /// Days of acceptance, since 1970-01-01.
    pub days: Vec<i32>,
    /// Outcomes: 1 illicit, 0 not.
    pub labels: Vec<f32>,
    /// Revenue raised by inspection, national currency; NaN where not known.
    pub revenue: Vec<f64>,
    /// Probabilities by the new model, 0 .. 1.
    pub challenger: Vec<f64>,
    /// Probabilities by the model in use, where there is one.
    pub champion: Option<Vec<f64>>,
}

impl Judged {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// The revenue, where any of it is known.
    pub fn known_revenue(&self) -> Option<&[f64]> {
        self.revenue.iter().any(|revenue| revenue.is_finite()).then_some(self.revenue.as_slice())
    }

    /// The figures of the new model and of the model in use.
    ///
    /// # Errors
    /// As [`metrics::evaluate`]; [`crate::ErrorKind::Internal`] when the columns differ in length or an outcome
    /// is not known.
    pub fn metrics(&self) -> Result<(Metrics, Option<Metrics>)> {
        self.check()?;
        let of = |scores: &[f64]| metrics::evaluate(scores, &self.labels, self.known_revenue());
        Ok((of(&self.challenger)?, self.champion.as_deref().map(of).transpose()?))
    }

    pub(super) fn check(&self) -> Result<()> {
        let rows = self.rows();
        let champion = self.champion.as_ref().map_or(rows, Vec::len);
        let lengths = [self.days.len(), self.revenue.len(), self.challenger.len(), champion];
        if lengths.iter().any(|length| *length != rows) {
            return Err(Error::internal(format!(
                "{rows} outcomes are judged with columns of {lengths:?} rows"
            )));
        }
        if self.labels.iter().any(|label| label.is_nan()) {
            return Err(Error::internal("a row without a known outcome is judged"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged() -> Judged {
        Judged {
            days: vec![18_718, 18_719, 18_748],
            labels: vec![1.0, 0.0, 1.0],
            revenue: vec![10.0, f64::NAN, 30.0],
            challenger: vec![0.9, 0.2, 0.8],
            champion: Some(vec![0.4, 0.5, 0.6]),
        }
    }

    #[test]
    fn both_models_are_judged_on_the_same_rows() {
        let (challenger, champion) = judged().metrics().expect("judged");
        let champion = champion.expect("a champion");
        assert_eq!((challenger.roc_auc, champion.roc_auc), (1.0, 0.5));
        assert_eq!((challenger.rows, champion.rows), (3, 3));
        // One row is inspected: the first by 0.9, and by 0.6 the third.
        assert_eq!(
            (challenger.revenue_recall_at(5.0), champion.revenue_recall_at(5.0)),
            (Some(0.25), Some(0.75))
        );
    }

    #[test]
    fn revenue_counts_only_where_any_is_known() {
        let unknown = Judged { revenue: vec![f64::NAN; 3], champion: None, ..judged() };
        let (challenger, champion) = unknown.metrics().expect("judged");
        assert_eq!((challenger.revenue_recall_at(5.0), champion), (None, None));
    }

    #[test]
    fn columns_of_different_length_are_a_bug() {
        let error = Judged { days: vec![], ..judged() }.metrics().expect_err("refused");
        assert_eq!(error.kind(), crate::ErrorKind::Internal);
    }
}
