//! Rows of features as tables: the columns, their order, and reading them.

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{ArrayRef, AsArray, Float32Array, RecordBatch},
    datatypes::{DataType, Field, Float32Type, Schema, SchemaRef},
};
use tidewaiter_core::{Error, Result};

use super::catalogue::features;

/// Columns before the features.
pub(crate) const LEADING: usize = 5;

/// The schema of a [`FeatureBatch`]: `declaration_id`, `item_number`, `acceptance_date`, `label` (1 illicit,
/// 0 not, null unknown), `additional_revenue`, then every feature of [`features`] as a 32-bit float.
pub fn feature_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let mut fields = vec![
            Field::new("declaration_id", DataType::Utf8, false),
            Field::new("item_number", DataType::Int32, false),
            Field::new("acceptance_date", DataType::Date32, false),
            Field::new("label", DataType::Float32, true),
            Field::new("additional_revenue", DataType::Float64, true),
        ];
        fields.extend(features().iter().map(|feature| Field::new(&feature.name, DataType::Float32, false)));
        Arc::new(Schema::new(fields))
    });
    Arc::clone(&SCHEMA)
}

/// The features of one batch of rows, in the rows' order.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureBatch {
    records: RecordBatch,
}

impl FeatureBatch {
    /// The batch of leading columns and features.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when they are not those of [`feature_schema`].
    pub(super) fn new(columns: Vec<ArrayRef>) -> Result<Self> {
        Ok(Self { records: RecordBatch::try_new(feature_schema(), columns)? })
    }

    /// The batch as a table of [`feature_schema`].
    pub fn records(&self) -> &RecordBatch {
        &self.records
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.records.num_rows()
    }

    /// The values of the feature at `index` in [`features`]; NaN where missing.
    pub fn feature(&self, index: usize) -> &[f32] {
        self.records.column(LEADING + index).as_primitive::<Float32Type>().values()
    }

    /// The outcomes: 1 illicit, 0 not, null unknown.
    pub fn labels(&self) -> &Float32Array {
        self.records.column(3).as_primitive()
    }
}

/// The features of a batch, in the order of [`features`].
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] when one is absent or not of 32-bit floats.
pub(crate) fn feature_columns(batch: &RecordBatch) -> Result<Vec<&[f32]>> {
    let column = |name: &String| {
        let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Float32Type>());
        let column = column.ok_or_else(|| Error::input(format!("scoring needs the feature {name}")))?;
        Ok(column.values().as_ref())
    };
    features().iter().map(|feature| column(&feature.name)).collect()
}
