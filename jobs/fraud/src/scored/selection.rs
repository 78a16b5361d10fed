//! What is selected of ranked rows, counted while they go by: no row is kept, however many there are.
//!
//! Months that the model was trained on are counted like others, but their outcomes are not: a model knows them. Start
//! at [`Selection::push`].

use std::{collections::BTreeMap, ops::RangeInclusive};

use crate::{
    calendar::date_of,
    metrics::{Metrics, RankedMetrics, RankedRow},
};

/// One calendar month of a selection.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MonthSelection {
    /// Rows.
    pub rows: u64,
    /// Those selected.
    pub selected: u64,
    /// The sum of the probabilities of the selected.
    pub expected_hits: f64,
    /// Rows of days that the model was trained on.
    pub in_sample: u64,
    /// Selected rows with a known outcome, whether the model was trained on their days or not.
    pub inspected: u64,
    /// Selected rows with a known outcome, of days that the model was not trained on.
    pub known: u64,
    /// Illicit ones among them.
    pub illicit: u64,
}

/// The rows that rank first, as many as can be inspected, and how well the ranking did where outcomes are known.
#[derive(Debug, Clone)]
pub struct Selection {
    /// How many rows are selected at most.
    capacity: u64,
    /// Days that the model was trained on, since 1970-01-01.
    trained: Option<RangeInclusive<i32>>,
    /// Rows so far.
    pub rows: u64,
    /// Rows of days that the model was trained on.
    pub in_sample: u64,
    /// Selected rows.
    pub selected: u64,
    /// The score of the last selected row.
    pub threshold: Option<f64>,
    /// Rows after it with the same score.
    pub tied: u64,
    /// The sum of the probabilities of the selected.
    pub expected_hits: f64,
    /// The sum of the expected revenue of the selected; `None` without any.
    pub expected_revenue: Option<f64>,
    /// Rows with a known outcome, of days that the model was not trained on.
    pub known: u64,
    /// By month, `2021-04`.
    pub months: BTreeMap<String, MonthSelection>,
    metrics: RankedMetrics,
    /// The month of the last row, whose day most next rows share.
    last: (i32, String),
}

impl Selection {
    /// Selects so many rows; `known` of all have a known outcome and are of no day in `trained`.
    pub fn new(capacity: u64, known: u64, trained: Option<RangeInclusive<i32>>) -> Self {
        Self {
            capacity,
            trained,
            rows: 0,
            in_sample: 0,
            selected: 0,
            threshold: None,
            tied: 0,
            expected_hits: 0.0,
            expected_revenue: None,
            known: 0,
            months: BTreeMap::new(),
            metrics: RankedMetrics::new(known),
            last: (i32::MIN, String::new()),
        }
    }

    /// Takes the next row of the ranking, the highest score first, of a day since 1970-01-01.
    pub fn push(&mut self, day: i32, row: RankedRow, expected_revenue: Option<f64>) {
        if self.last.0 != day {
            self.last = (day, date_of(day).format("%Y-%m").to_string());
        }
        let in_sample = self.trained.as_ref().is_some_and(|days| days.contains(&day));
        let known = !in_sample && !row.label.is_nan();
        if !self.months.contains_key(&self.last.1) {
            self.months.insert(self.last.1.clone(), MonthSelection::default());
        }
        let Some(month) = self.months.get_mut(&self.last.1) else { return };
        self.rows += 1;
        self.in_sample += u64::from(in_sample);
        month.rows += 1;
        month.in_sample += u64::from(in_sample);
        if self.selected < self.capacity {
            self.selected += 1;
            self.threshold = Some(row.score);
            self.expected_hits += row.probability;
            if let Some(revenue) = expected_revenue {
                *self.expected_revenue.get_or_insert(0.0) += revenue;
            }
            month.selected += 1;
            month.expected_hits += row.probability;
            month.inspected += u64::from(!row.label.is_nan());
            month.known += u64::from(known);
            month.illicit += u64::from(known && row.label == 1.0);
        } else {
            self.tied += u64::from(self.threshold == Some(row.score));
        }
        if !in_sample {
            self.known += u64::from(known);
            self.metrics.push(row);
        }
    }

    /// The metrics of the ranking over the rows with a known outcome that the model was not trained on; `None` when
    /// these are all the same.
    pub fn metrics(&self) -> Option<Metrics> {
        self.metrics.clone().finish().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_of_training_months_count_for_nothing() {
        // 2021-03-31 and 2021-04-01; the model was trained until March.
        let mut selection = Selection::new(3, 3, Some(18_600..=18_717));
        for (day, score, label) in [
            (18_717, 0.9, 1.0),
            (18_718, 0.8, 1.0),
            (18_717, 0.7, 1.0),
            (18_718, 0.6, 0.0),
            (18_718, 0.1, 1.0),
        ] {
            let row = RankedRow { score, probability: score, label, revenue: f64::NAN };
            selection.push(day, row, None);
        }
        assert_eq!((selection.rows, selection.selected, selection.in_sample, selection.known), (5, 3, 2, 3));
        assert_eq!((selection.threshold, selection.expected_revenue), (Some(0.7), None));
        assert_eq!(selection.tied, 0);
        let row = RankedRow { score: 0.7, probability: 0.7, label: f32::NAN, revenue: f64::NAN };
        let mut equal = Selection::new(1, 0, None);
        (0..3).for_each(|_| equal.push(18_718, row, None));
        assert_eq!((equal.selected, equal.tied), (1, 2));
        let march = &selection.months["2021-03"];
        assert_eq!((march.rows, march.selected, march.known, march.illicit), (2, 2, 0, 0));
        assert_eq!((march.in_sample, march.inspected), (2, 2));
        let april = &selection.months["2021-04"];
        assert_eq!((april.rows, april.selected, april.known, april.illicit), (3, 1, 1, 1));
        assert_eq!((april.in_sample, april.inspected), (0, 1));
        let metrics = selection.metrics().expect("both kinds");
        // Of 0.8, 0.6 and 0.1 the first and the last are illicit.
        assert_eq!((metrics.rows, metrics.illicit, metrics.roc_auc), (3, 2, 0.5));
    }
}
