//! The tables and curves of both pages as Arrow batches, which are written beside them as CSV, Parquet and JSON. Shares and
//! probabilities are in 0..=1.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, UInt64Array};
use tidewaiter_core::Result;
use tidewaiter_report::data::{batch, count_column, curves, number_column, text_column};

use super::{
    item_table::SelectedItem,
    metric_table::Metric,
    model_page::{Curves, ModelPage, MonthRow},
    selection_page::{SelectedMonth, SelectionPage},
};

impl ModelPage {
    /// Every table of the page with its name: `gain`, `precision` and `revenue` (curves by the share inspected),
    /// `metrics`, `months`, `features`, `calibration`, `riskiest_items`, `reasons`.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`], which would be a bug of this function.
    pub fn tables(&self) -> Result<Vec<(&'static str, RecordBatch)>> {
        let curve = |name: &'static str, of: &Curves| -> Result<RecordBatch> {
            curves(["inspected", name], &[("challenger", &of.challenger), ("champion", &of.champion)])
        };
        let importance = &self.importance;
        let bins = &self.calibration;
        Ok(vec![
            ("gain", curve("fraud_found", &self.gain)?),
            ("precision", curve("illicit_share", &self.precision)?),
            ("revenue", curve("revenue_found", &self.revenue)?),
            ("metrics", metrics(&self.metrics)?),
            ("months", months(&self.by_month)?),
            (
                "features",
                batch(vec![
                    ("feature", text_column(importance.iter().map(|one| one.feature.as_str()))),
                    ("meaning", text_column(importance.iter().map(|one| one.meaning.as_str()))),
                    ("share_of_gain", number_column(importance.iter().map(|one| one.share))),
                ])?,
            ),
            (
                "calibration",
                batch(vec![
                    ("predicted", number_column(bins.iter().map(|bin| bin.predicted))),
                    ("observed", number_column(bins.iter().map(|bin| bin.observed))),
                    ("items", count_column(bins.iter().map(|bin| bin.rows))),
                ])?,
            ),
            ("riskiest_items", items(&self.selection)?),
            ("reasons", reasons(&self.selection)?),
        ])
    }
}

impl SelectionPage {
    /// Every table of the page with its name: `months`, `metrics`, `riskiest_items`, `reasons`.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`], which would be a bug of this function.
    pub fn tables(&self) -> Result<Vec<(&'static str, RecordBatch)>> {
        let rows = &self.by_month;
        let count = |of: fn(&SelectedMonth) -> u64| count_column(rows.iter().map(of));
        // Null for a month that the model was trained on.
        let outcomes = |of: fn((u64, u64)) -> u64| -> ArrayRef {
            Arc::new(rows.iter().map(|month| month.outcomes.map(of)).collect::<UInt64Array>())
        };
        Ok(vec![
            (
                "months",
                batch(vec![
                    ("month", text_column(rows.iter().map(|month| month.month.as_str()))),
                    ("items", count(|month| month.rows)),
                    ("selected", count(|month| month.selected)),
                    ("expected_illicit", number_column(rows.iter().map(|month| month.expected_hits))),
                    ("outcome_known", outcomes(|outcomes| outcomes.0)),
                    ("illicit", outcomes(|outcomes| outcomes.1)),
                ])?,
            ),
            ("metrics", metrics(&self.metrics)?),
            ("riskiest_items", items(&self.selection)?),
            ("reasons", reasons(&self.selection)?),
        ])
    }
}

/// Numbers of which some are absent or not finite, which become null.
fn optional(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.map(|value| value.filter(|value| value.is_finite())).collect::<Float64Array>())
}

fn metrics(rows: &[Metric]) -> Result<RecordBatch> {
    batch(vec![
        ("metric", text_column(rows.iter().map(|row| row.name.as_str()))),
        ("challenger", optional(rows.iter().map(|row| Some(row.challenger)))),
        ("low", optional(rows.iter().map(|row| row.interval.map(|ends| ends[0])))),
        ("high", optional(rows.iter().map(|row| row.interval.map(|ends| ends[1])))),
        ("champion", optional(rows.iter().map(|row| row.champion))),
    ])
}

/// A row for each metric of each month; low and high are the ends of its 95 % interval, where it has one.
fn months(rows: &[MonthRow]) -> Result<RecordBatch> {
    let cells = || rows.iter().flat_map(|row| row.metrics.iter().map(move |metric| (row, metric)));
    let end = |which: usize| {
        optional(cells().map(|(row, (name, _))| row.intervals.get(name).map(|ends| ends[which])))
    };
    batch(vec![
        ("month", text_column(cells().map(|(row, _)| row.month.as_str()))),
        ("items", count_column(cells().map(|(row, _)| row.rows))),
        ("illicit_share", optional(cells().map(|(row, _)| Some(row.illicit_rate)))),
        ("metric", text_column(cells().map(|(_, (name, _))| name.as_str()))),
        ("value", optional(cells().map(|(_, (_, value))| Some(*value)))),
        ("low", end(0)),
        ("high", end(1)),
        ("selected", count_column(cells().map(|(row, _)| row.selected))),
    ])
}

fn items(rows: &[SelectedItem]) -> Result<RecordBatch> {
    let text = |of: fn(&SelectedItem) -> &str| text_column(rows.iter().map(of));
    batch(vec![
        ("rank", count_column(rows.iter().map(|item| item.rank))),
        ("declaration_id", text(|item| &item.declaration)),
        ("item_number", count_column(rows.iter().map(|item| item.item))),
        ("acceptance_date", text(|item| &item.date)),
        ("importer", text(|item| &item.importer)),
        ("hs_code", text(|item| &item.hs_code)),
        ("origin", text(|item| &item.origin)),
        ("customs_value", optional(rows.iter().map(|item| item.value))),
        ("probability", number_column(rows.iter().map(|item| item.probability))),
        ("expected_revenue", optional(rows.iter().map(|item| item.expected_revenue))),
    ])
}

/// A row for each reason of each listed item; contributions are in log odds.
fn reasons(rows: &[SelectedItem]) -> Result<RecordBatch> {
    let cells = || rows.iter().flat_map(|item| item.reasons.iter().map(move |reason| (item, reason)));
    batch(vec![
        ("rank", count_column(cells().map(|(item, _)| item.rank))),
        ("reason", text_column(cells().map(|(_, (reason, _))| reason.as_str()))),
        ("contribution", number_column(cells().map(|(_, (_, contribution))| *contribution))),
    ])
}
