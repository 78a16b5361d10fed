//! Rows of a period with their features; their true outcomes are kept apart from these.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, new_null_array},
    compute::cast,
    datatypes::{DataType, FieldRef},
};
use tidewaiter_core::{Error, Result};

use crate::{
    date::Keys,
    features::{FeatureBatch, FeatureBuilder, RowKeys, columns::text, keys::key_of},
};

/// Consecutive rows of the open period.
pub(super) struct RowBlock {
    pub(super) features: FeatureBatch,
    /// Keys of the histories.
    pub(super) history_keys: RowKeys,
    /// Keys of DATE's embedding vectors.
    pub(super) embedding_keys: Keys,
    pub(super) days: Vec<i32>,
    /// Keys of the offices; that of no text where none is declared.
    pub(super) offices: Vec<u64>,
    /// 1 illicit, 0 not, NaN not known.
    pub(super) truth: Vec<f32>,
    /// National currency; NaN where not known.
    pub(super) revenue: Vec<f64>,
}

impl RowBlock {
    /// Computes the features of rows, from which their outcomes are hidden.
    pub(super) fn new(builder: &mut FeatureBuilder, rows: &RecordBatch, days: &[i32]) -> Result<Self> {
        let truth = cast(column(rows, "true_illicit")?, &DataType::Boolean)?;
        let truth: &BooleanArray = truth.as_boolean();
        let revenue = cast(column(rows, "true_revenue")?, &DataType::Float64)?;
        let revenue: &Float64Array = revenue.as_primitive();
        let label = |illicit: Option<bool>| illicit.map_or(f32::NAN, |illicit| f32::from(u8::from(illicit)));
        Ok(Self {
            features: builder.push(&without_outcomes(rows)?)?,
            history_keys: FeatureBuilder::keys(rows)?,
            embedding_keys: Keys::of(rows)?,
            days: days.to_vec(),
            offices: text(rows, "office")?
                .iter()
                .map(|office| key_of(office.unwrap_or_default().as_bytes()))
                .collect(),
            truth: truth.iter().map(label).collect(),
            revenue: revenue.iter().map(|revenue| revenue.unwrap_or(f64::NAN)).collect(),
        })
    }
}

/// The rows with null outcomes.
fn without_outcomes(rows: &RecordBatch) -> Result<RecordBatch> {
    let schema = rows.schema();
    let hidden = |(field, column): (&FieldRef, &ArrayRef)| {
        if ["illicit", "additional_revenue"].contains(&field.name().as_str()) {
            new_null_array(field.data_type(), rows.num_rows())
        } else {
            Arc::clone(column)
        }
    };
    let columns = schema.fields().iter().zip(rows.columns()).map(hidden).collect();
    Ok(RecordBatch::try_new(schema, columns)?)
}

/// A column of a backtest's rows.
pub(super) fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| Error::internal(format!("a backtest's rows have no {name}")))
}
