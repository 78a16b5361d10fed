//! Filling the report of an apply from the scored rows.

use std::collections::BTreeMap;

use tidewaiter_core::{Error, Result};

use super::{
    item_table::SelectedItem,
    metric_table::metric_rows,
    model_page::months_text,
    selection_page::{SelectedMonth, SelectionPage},
};
use crate::{
    calendar::date_of,
    metrics::{self, Metrics},
    scored::{RankBy, ScoredRows},
};

/// What the report of an apply states beside the rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SelectionFacts {
    /// The model that scored, `fraud@3`.
    pub model: String,
    /// The reporting country.
    pub country: String,
    /// The scored months, `2021-04..2021-06`.
    pub months: String,
    /// Share of the items that customs can inspect, 0 .. 1.
    pub capacity: f64,
    /// Currency of the amounts, ISO 4217; empty: not named.
    pub currency: String,
    /// The snapshot of the table that was read, `declarations@12`.
    pub snapshot: String,
    /// What items are ranked by.
    pub rank_by: RankBy,
}

/// The report of scored months. The items that rank first in all of them together are selected, as many as the
/// capacity allows.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when the columns differ in length; else as
/// [`Metrics::of`].
pub fn selection_report(
    rows: &ScoredRows,
    facts: SelectionFacts,
    selection: Vec<SelectedItem>,
) -> Result<SelectionPage> {
    let count = rows.probabilities.len();
    let lengths = [rows.days.len(), rows.labels.len(), rows.revenue.len(), rows.expected.len()];
    if lengths.iter().any(|length| *length != count) {
        return Err(Error::internal(format!("{count} probabilities have columns of {lengths:?} rows")));
    }
    let ranking = match facts.rank_by {
        RankBy::Probability => &rows.probabilities,
        RankBy::Revenue => &rows.expected,
    };
    let chosen = match count {
        0 => Vec::new(),
        _ => highest(ranking, metrics::inspected(count, facts.capacity * 100.0)),
    };
    let month = |row: usize| date_of(rows.days[row]).format("%Y-%m").to_string();
    let mut months = BTreeMap::<String, SelectedMonth>::new();
    let mut from = 0;
    for run in rows.days.chunk_by(|a, b| a == b) {
        months.entry(month(from)).or_default().rows += run.len() as u64;
        from += run.len();
    }
    for row in &chosen {
        let month = months.entry(month(*row)).or_default();
        month.selected += 1;
        month.expected_hits += rows.probabilities[*row];
        month.known += u64::from(!rows.labels[*row].is_nan());
        month.illicit += u64::from(rows.labels[*row] == 1.0);
    }
    let by_month: Vec<SelectedMonth> =
        months.into_iter().map(|(name, month)| SelectedMonth { month: name, ..month }).collect();

    let known = rows.labels.iter().filter(|label| !label.is_nan()).count();
    let illicit = rows.labels.iter().filter(|label| **label == 1.0).count();
    // Metrics need outcomes of both kinds.
    let metrics = if illicit == 0 || illicit == known {
        Vec::new()
    } else {
        let revenue = rows.revenue.iter().any(|revenue| revenue.is_finite());
        let revenue = revenue.then_some(rows.revenue.as_slice());
        metric_rows(&Metrics::of(&rows.probabilities, &rows.labels, revenue)?, None)
    };
    Ok(SelectionPage {
        title: format!("Items to inspect, by {}", facts.model),
        model: facts.model,
        country: facts.country,
        months: months_text(&facts.months),
        capacity: facts.capacity,
        rows: count as u64,
        selected: chosen.len() as u64,
        threshold: chosen.last().map(|row| rows.probabilities[*row]),
        expected_hits: chosen.iter().map(|row| rows.probabilities[*row]).sum(),
        known: known as u64,
        by_month,
        metrics,
        selection,
        currency: facts.currency,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        snapshot: Some(facts.snapshot),
    })
}

/// The indices of the `count` highest scores, the highest first, equal ones in order.
pub(super) fn highest(scores: &[f64], count: usize) -> Vec<usize> {
    let before = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
    let mut rows: Vec<usize> = (0..scores.len()).collect();
    if count < rows.len() {
        rows.select_nth_unstable_by(count, before);
        rows.truncate(count);
    }
    rows.sort_unstable_by(before);
    rows
}
