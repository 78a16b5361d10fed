//! What the generator gives: batches of goods items, and the truth about each.

use std::sync::{Arc, LazyLock};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef},
};

/// The names of the schemes in the truth's column `scheme`.
pub const SCHEMES: [&str; 5] =
    ["undervaluation", "misclassification", "false_origin", "under_weighing", "false_discount"];

/// The names of the errors that [`crate::write_csv`] adds to some rows, in the truth's column `planted_error`.
pub const PLANTED_ERRORS: [&str; 4] =
    ["impossible_date", "unknown_country", "negative_mass", "letters_in_number"];

/// A batch of goods items and the truth about them, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct SynthBatch {
    /// Rows of [`tidewaiter_declarations::schema`].
    pub declarations: RecordBatch,
    /// Rows of [`truth_schema`].
    pub truth: RecordBatch,
}

/// The schema of the truth: `illicit`, `scheme` (null where licit), `additional_revenue` (evaded duty and tax, national
/// currency), `planted_error` (null where the row has none), `inclination` (the factor of the trader's fraud rate at the
/// time) and `ring` (whether the declarant and the origin belong to a ring).
pub fn truth_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            Field::new("illicit", DataType::Boolean, false),
            Field::new("scheme", DataType::Utf8, true),
            Field::new("additional_revenue", DataType::Float64, false),
            Field::new("planted_error", DataType::Utf8, true),
            Field::new("inclination", DataType::Float64, false),
            Field::new("ring", DataType::Boolean, false),
        ]))
    });
    Arc::clone(&SCHEMA)
}
