//! Filling the report of an apply from what was counted of the scored rows.

use tidewaiter_report::{format::period, words::Language};

use super::{
    item_table::SelectedItem,
    metric_table::metric_rows,
    selection_page::{SelectedMonth, SelectionPage},
    words,
};
use crate::{
    population::{Basis, Estimated},
    scored::{RankBy, Selection},
    significance::Intervals,
};

/// What the report of an apply states beside the rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SelectionFacts {
    /// The language of the page.
    pub language: Language,
    /// The model that scored, `fraud-KR@3`.
    pub model: String,
    /// The reporting country.
    pub country: String,
    /// The scored months, `2021-04..2021-06`.
    pub months: String,
    /// The months that the model was trained on and tuned by, `2020-01..2021-03`.
    pub trained: String,
    /// The illicit share of what the model selects, estimated for all items of its test months.
    pub precision: Option<Estimated>,
    /// What that estimate is made from.
    pub estimated_by: Basis,
    /// Whether the model was not shown to select better than a random draw.
    pub unproven: bool,
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
pub fn selection_report(
    selected: &Selection,
    facts: SelectionFacts,
    selection: Vec<SelectedItem>,
) -> SelectionPage {
    let months = selected.months.iter().map(|(name, month)| SelectedMonth {
        month: name.clone(),
        rows: month.rows,
        selected: month.selected,
        expected_hits: month.expected_hits,
        inspected: month.inspected,
        outcomes: (month.in_sample == 0).then_some((month.known, month.illicit)),
    });
    SelectionPage {
        language: facts.language,
        title: words(facts.language).fill("Items to inspect, by {model}", &[("model", &facts.model)]),
        model: facts.model,
        country: facts.country,
        months: period(&facts.months),
        trained: period(&facts.trained),
        in_sample: selected.in_sample,
        rank_by: facts.rank_by,
        unproven: facts.unproven,
        capacity: facts.capacity,
        rows: selected.rows,
        selected: selected.selected,
        threshold: selected.threshold,
        tied: selected.tied,
        expected_hits: selected.expected_hits,
        estimated_hits: facts.precision.map(|share| {
            let of_selected = |share: f64| share * selected.selected as f64;
            Estimated {
                value: of_selected(share.value),
                low: of_selected(share.low),
                high: of_selected(share.high),
            }
        }),
        estimated_by: facts.estimated_by,
        expected_revenue: selected.expected_revenue,
        known: selected.known,
        by_month: months.collect(),
        metrics: selected
            .metrics()
            .map_or_else(Vec::new, |metrics| metric_rows(&metrics, None, &Intervals::new())),
        selection,
        currency: facts.currency,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        snapshot: Some(facts.snapshot),
    }
}
