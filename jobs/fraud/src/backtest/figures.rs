//! The evaluation of a period: precision, recall and revenue, each also normalised, and calibration.
//!
//! Definitions of arXiv:2010.14282: with `n` inspected items of known outcome, precision is the illicit share of
//! these, recall their share of all illicit items, F1 the harmonic mean of the two, revenue recall the share of all
//! revenue. The best possible selection of `n` items (the *oracle*) has precision min(illicit / n, 1) and finds the
//! `n` largest revenues; a *normalised* figure (`norm_…`) is the figure divided by the oracle's. A figure that is
//! undefined (no item of known outcome, no illicit item, no revenue) is absent and never 0. Start at [`figures`].

use serde::{Deserialize, Serialize};

/// Reads a figure of a period, which may be absent.
pub(super) type Figure = fn(&PeriodFigures) -> Option<f64>;

/// The figures of one period of one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct PeriodFigures {
    /// Number of the period, from 0.
    pub period: usize,
    /// First day, as days since 1970-01-01.
    pub first_day: i32,
    /// Last day, likewise.
    pub last_day: i32,
    /// Goods items.
    pub items: u64,
    /// Items whose outcome is known.
    pub known: u64,
    /// Illicit items.
    pub illicit: u64,
    /// Items chosen for inspection.
    pub inspected: u64,
    /// Chosen items whose outcome is not known: their inspection reveals nothing.
    pub unknown: u64,
    /// Inspected items that are illicit.
    pub found: u64,
    /// Of these, by exploration.
    pub found_exploring: u64,
    /// Share of the inspections that was spent on exploration, 0 to 1.
    pub exploration: f64,
    /// Revenue of all items, national currency.
    pub revenue: f64,
    /// Revenue of the inspected items, national currency.
    pub revenue_found: f64,
    /// The most revenue that as many inspections could find, national currency.
    pub revenue_best: f64,
    /// Illicit share of the inspected.
    pub precision: Option<f64>,
    /// Share of the illicit items that were inspected.
    pub recall: Option<f64>,
    /// The harmonic mean of precision and recall.
    pub f1: Option<f64>,
    /// Share of the revenue that was found.
    pub revenue_recall: Option<f64>,
    /// Normalised precision, 0 to 1.
    pub norm_precision: Option<f64>,
    /// Normalised revenue, 0 to 1.
    pub norm_revenue: Option<f64>,
}

/// The true outcomes of a period's items, and those chosen for inspection.
pub(super) struct PeriodOutcome<'a> {
    /// 1 illicit, 0 not, NaN not known.
    pub(super) truth: &'a [f32],
    /// National currency; NaN where not known.
    pub(super) revenue: &'a [f64],
    /// The chosen rows, those of exploitation first, and how many these are.
    pub(super) chosen: &'a [usize],
    pub(super) exploited: usize,
}

/// The figures of a period, but for its number, days and share of exploration.
pub(super) fn figures(outcome: &PeriodOutcome<'_>) -> PeriodFigures {
    let PeriodOutcome { truth, revenue, chosen, exploited } = outcome;
    let illicit_at = |row: usize| truth[row] == 1.0;
    let count = |rows: &[usize]| rows.iter().filter(|row| illicit_at(**row)).count() as u64;
    let raised = |row: usize| if !truth[row].is_nan() && revenue[row] > 0.0 { revenue[row] } else { 0.0 };
    let unknown = chosen.iter().filter(|row| truth[**row].is_nan()).count() as u64;
    let revealed = chosen.len() as u64 - unknown;
    let mut amounts: Vec<f64> = (0..truth.len()).map(raised).filter(|amount| *amount > 0.0).collect();
    amounts.sort_by(|a, b| b.total_cmp(a));
    let mut figures = PeriodFigures {
        items: truth.len() as u64,
        known: truth.iter().filter(|truth| !truth.is_nan()).count() as u64,
        illicit: (0..truth.len()).filter(|row| illicit_at(*row)).count() as u64,
        inspected: chosen.len() as u64,
        unknown,
        found: count(chosen),
        found_exploring: count(&chosen[*exploited..]),
        revenue: amounts.iter().sum(),
        revenue_found: chosen.iter().map(|row| raised(*row)).sum(),
        revenue_best: amounts.iter().take(usize::try_from(revealed).unwrap_or(usize::MAX)).sum(),
        ..PeriodFigures::default()
    };
    figures.fill();
    figures
}

impl PeriodFigures {
    /// Computes the shares from the counts and amounts.
    pub(super) fn fill(&mut self) {
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        let revealed = (self.inspected - self.unknown) as f64;
        self.precision = share(self.found as f64, revealed);
        self.recall = share(self.found as f64, self.illicit as f64);
        self.f1 = share(2.0 * self.found as f64, revealed + self.illicit as f64);
        self.revenue_recall = share(self.revenue_found, self.revenue);
        self.norm_precision = share(self.found as f64, revealed.min(self.illicit as f64));
        self.norm_revenue = share(self.revenue_found, self.revenue_best);
    }

    /// The figures of several periods together: sums of counts and amounts, and the shares of these.
    pub(super) fn total<'a>(periods: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut total = Self::default();
        let mut explored = 0.0;
        let mut possible = 0.0;
        let mut days: Option<(i32, i32)> = None;
        for period in periods {
            days = Some((days.map_or(period.first_day, |days| days.0), period.last_day));
            total.items += period.items;
            total.known += period.known;
            total.illicit += period.illicit;
            total.inspected += period.inspected;
            total.unknown += period.unknown;
            total.found += period.found;
            total.found_exploring += period.found_exploring;
            total.revenue += period.revenue;
            total.revenue_found += period.revenue_found;
            total.revenue_best += period.revenue_best;
            explored += period.exploration * period.inspected as f64;
            // The oracle chooses in each period.
            possible += ((period.inspected - period.unknown) as f64).min(period.illicit as f64);
        }
        total.fill();
        total.exploration = if total.inspected > 0 { explored / total.inspected as f64 } else { 0.0 };
        total.norm_precision = (possible > 0.0).then(|| total.found as f64 / possible);
        (total.first_day, total.last_day) = days.unwrap_or_default();
        total
    }
}

/// Predicted probabilities and outcomes, in ten groups of equal width.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Calibration {
    /// Of each group: items, the sum of their probabilities, and illicit items.
    pub groups: [(u64, f64, u64); 10],
}

impl Calibration {
    /// Adds items; those whose outcome is not known are left out.
    pub(super) fn add(&mut self, probability: &[f64], truth: &[f32]) {
        for (probability, truth) in probability.iter().zip(truth).filter(|(_, truth)| !truth.is_nan()) {
            let (items, sum, illicit) = &mut self.groups[((probability * 10.0) as usize).min(9)];
            *items += 1;
            *sum += probability;
            *illicit += u64::from(*truth == 1.0);
        }
    }

    /// Adds the groups of another run.
    pub(super) fn merge(&mut self, other: &Self) {
        for (own, other) in self.groups.iter_mut().zip(&other.groups) {
            *own = (own.0 + other.0, own.1 + other.1, own.2 + other.2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_computed_period() {
        // Five items: illicit with revenues 10 and 30, licit, not known, illicit with 60. Chosen: the second, the
        // licit one and, by exploration, the unknown one.
        let truth = [1.0, 1.0, 0.0, f32::NAN, 1.0];
        let revenue = [10.0, 30.0, 0.0, 500.0, 60.0];
        let figures =
            figures(&PeriodOutcome { truth: &truth, revenue: &revenue, chosen: &[1, 2, 3], exploited: 2 });
        assert_eq!((figures.items, figures.known, figures.illicit), (5, 4, 3));
        assert_eq!((figures.inspected, figures.unknown, figures.found), (3, 1, 1));
        assert_eq!((figures.precision, figures.recall), (Some(0.5), Some(1.0 / 3.0)));
        assert_eq!(figures.f1, Some(0.4));
        // Two inspections with a known outcome could have found two illicit items and 90 of 100.
        assert_eq!((figures.norm_precision, figures.revenue_recall), (Some(0.5), Some(0.3)));
        assert_eq!(figures.norm_revenue, Some(30.0 / 90.0));
        assert_eq!(figures.found_exploring, 0);
    }

    #[test]
    fn an_undefined_figure_is_absent() {
        let figures = figures(&PeriodOutcome {
            truth: &[f32::NAN, 0.0],
            revenue: &[1.0, f64::NAN],
            chosen: &[0],
            exploited: 1,
        });
        assert_eq!((figures.precision, figures.recall, figures.f1), (None, None, None));
        assert_eq!(figures.revenue_recall, None);
        assert_eq!((figures.norm_precision, figures.norm_revenue), (None, None));
    }

    #[test]
    fn a_total_is_computed_from_sums_of_counts() {
        let period = |inspected, found, illicit| PeriodFigures {
            inspected,
            found,
            illicit,
            exploration: 0.1,
            ..PeriodFigures::default()
        };
        let total = PeriodFigures::total(&[period(10, 5, 20), period(30, 3, 6)]);
        assert_eq!((total.precision, total.recall), (Some(0.2), Some(8.0 / 26.0)));
        assert_eq!(total.f1, Some(16.0 / 66.0));
        // The oracle finds 10 in the first period and 6 in the second.
        assert_eq!(total.norm_precision, Some(0.5));
        assert!((total.exploration - 0.1).abs() < 1e-12);
    }

    #[test]
    fn groups_are_of_equal_width() {
        let mut calibration = Calibration::default();
        calibration.add(&[0.05, 0.09, 0.95, 1.0, 0.5], &[0.0, 1.0, 1.0, f32::NAN, 0.0]);
        let [first, .., last] = calibration.groups;
        assert_eq!((first.0, first.2, last), (2, 1, (1, 0.95, 1)));
        assert!((first.1 - 0.14).abs() < 1e-12);
    }
}
