//! What features need of a batch of declarations without its past: keys, prices, and the features of the rows alone.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, RecordBatch, StringArray},
    compute::filter_record_batch,
    datatypes::DataType,
};
use chrono::Datelike;
use tidewaiter_core::Result;

use super::{
    catalogue::{CODES, KEYED_BY},
    columns,
    past::{HistoryRows, KeyColumns},
};
use crate::calendar::date_of;

/// A batch of declarations with everything that its features need except the past, so that batches can be prepared
/// in parallel before they go through the histories ([`super::FeatureBuilder::push_prepared`]).
#[derive(Debug)]
pub struct PreparedBatch {
    pub(super) days: Vec<i32>,
    pub(super) rows: Arc<HistoryRows>,
    pub(super) wanted: BooleanArray,
    pub(super) wanted_rows: RecordBatch,
    /// The columns before the features.
    pub(super) leading: Vec<ArrayRef>,
    /// The features of the rows themselves.
    pub(super) declared: Vec<Vec<f32>>,
}

impl PreparedBatch {
    /// Prepares rows; `wanted` says of each whether its features are needed.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when a required column is absent, null or of the wrong type.
    pub fn new(batch: &RecordBatch, wanted: BooleanArray) -> Result<Self> {
        let days = columns::days(batch)?.values().to_vec();
        let outcomes = columns::flags(batch, "illicit")?.iter().collect();
        let (values, masses) =
            (columns::numbers(batch, "customs_value")?, columns::numbers(batch, "net_mass")?);
        let rows = HistoryRows { keys: row_keys(batch)?, log_prices: ln_ratio(&values, &masses), outcomes };
        let wanted_rows = filter_record_batch(batch, &wanted)?;
        let (leading, declared) = leading_and_declared(&wanted_rows)?;
        Ok(Self { days, rows: Arc::new(rows), wanted, wanted_rows, leading, declared })
    }

    /// How many rows there are, wanted or not.
    pub fn rows(&self) -> usize {
        self.days.len()
    }

    /// The wanted rows as they were given.
    pub fn wanted_rows(&self) -> &RecordBatch {
        &self.wanted_rows
    }
}

/// The columns before the features, and the features of the rows themselves.
fn leading_and_declared(batch: &RecordBatch) -> Result<(Vec<ArrayRef>, Vec<Vec<f32>>)> {
    let days = columns::days(batch)?;
    let hs = columns::required(batch, "hs_code", &DataType::Utf8)?.as_string::<i32>().clone();
    let label: Float32Array = columns::flags(batch, "illicit")?
        .iter()
        .map(|outcome| outcome.map(|illicit| f32::from(u8::from(illicit))))
        .collect();
    let revenue = match columns::column(batch, "additional_revenue", &DataType::Float64)? {
        Some(array) => array,
        None => Arc::new(Float64Array::new_null(batch.num_rows())) as ArrayRef,
    };
    let declared = declared_features(batch, &hs, days.values())?;
    let leading: Vec<ArrayRef> = vec![
        columns::required(batch, "declaration_id", &DataType::Utf8)?,
        Arc::new(columns::item_numbers(batch)?),
        Arc::new(days),
        Arc::new(label),
        revenue,
    ];
    Ok((leading, declared))
}

/// Each number over the other; NaN unless both are above 0: neither a logarithm nor a ratio means anything there.
fn ratio(above: &[f64], below: &[f64]) -> impl Iterator<Item = f64> {
    let positive = |number: f64| if number > 0.0 { number } else { f64::NAN };
    above.iter().zip(below).map(move |(above, below)| positive(*above) / positive(*below))
}

fn ln_ratio(above: &[f64], below: &[f64]) -> Vec<f32> {
    ratio(above, below).map(|ratio| ratio.ln() as f32).collect()
}

/// The features of the rows themselves, in the order of [`DECLARED`] and [`CODES`].
fn declared_features(batch: &RecordBatch, hs: &StringArray, days: &[i32]) -> Result<Vec<Vec<f32>>> {
    let number = |name| columns::numbers(batch, name);
    let value = number("customs_value")?;
    let net = number("net_mass")?;
    let quantity = number("quantity")?;
    let gross = number("gross_mass")?;
    let duty = number("duty_amount")?;
    let tax = number("tax_amount")?;

    let ln_1p = |values: &[f64]| values.iter().map(|value| value.ln_1p() as f32).collect::<Vec<_>>();
    let plain = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect::<Vec<_>>();
    let tax_ratio = duty.iter().zip(&tax).zip(&value).map(|((duty, tax), value)| {
        let given = if duty.is_nan() && tax.is_nan() { f64::NAN } else { 0.0 };
        let sum = given + if duty.is_nan() { 0.0 } else { *duty } + if tax.is_nan() { 0.0 } else { *tax };
        if *value > 0.0 { (sum / value) as f32 } else { f32::NAN }
    });
    let mut calendar = [(); 3].map(|()| Vec::with_capacity(days.len()));
    for run in days.chunk_by(|a, b| a == b) {
        let day = date_of(run[0]);
        let parts = [day.weekday().number_from_monday(), day.month(), day.ordinal()];
        for (column, part) in calendar.iter_mut().zip(parts) {
            column.resize(column.len() + run.len(), part as f32);
        }
    }

    let mut table = vec![
        ln_1p(&value),
        ln_1p(&net),
        ln_1p(&quantity),
        ln_ratio(&value, &net),
        ln_ratio(&value, &quantity),
        ratio(&gross, &net).map(|ratio| ratio as f32).collect(),
        plain(number("duty_rate")?),
        plain(number("tax_rate")?),
        tax_ratio.collect(),
        columns::digits(hs, 6),
        columns::digits(hs, 4),
        columns::digits(hs, 2),
    ];
    table.extend(calendar);
    for column in CODES {
        table.push(columns::codes(&columns::text(batch, column)?));
    }
    Ok(table)
}

/// The keys of rows.
pub(super) fn row_keys(batch: &RecordBatch) -> Result<KeyColumns> {
    let mut keys = KeyColumns::default();
    for (keys, (column, digits)) in keys.iter_mut().zip(KEYED_BY) {
        let texts = match digits {
            Some(_) => columns::required(batch, column, &DataType::Utf8)?.as_string::<i32>().clone(),
            None => columns::text(batch, column)?,
        };
        *keys = columns::keys(&texts, digits);
    }
    Ok(keys)
}
