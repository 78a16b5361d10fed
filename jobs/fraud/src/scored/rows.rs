//! What queries over scored rows give.

use arrow::array::RecordBatch;

/// Scored rows in the order of time, column by column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScoredRows {
    /// Days of acceptance, since 1970-01-01.
    pub days: Vec<i32>,
    /// Keys of the declarations: items of one declaration have the same.
    pub declarations: Vec<u64>,
    /// Probabilities of fraud, 0 to 1.
    pub probabilities: Vec<f64>,
    /// Outcomes: 1 illicit, 0 not, NaN unknown.
    pub labels: Vec<f32>,
    /// Revenue raised by inspection, national currency; NaN where unknown.
    pub revenue: Vec<f64>,
    /// Expected revenue, national currency; NaN where the model has no revenue head.
    pub expected: Vec<f64>,
    /// Whether a random draw alone chose them for inspection; `None` where the archive does not say.
    pub random: Vec<Option<bool>>,
}

/// The items that rank first, in the order of the ranking.
#[derive(Debug, Clone)]
pub struct TopItems {
    /// Their rows of features, with the columns of [`crate::features::feature_schema`].
    pub features: RecordBatch,
    /// What was declared, where the archive has it: `importer`, `hs_code`, `origin`, `customs_value`.
    pub declared: RecordBatch,
    /// Probabilities of fraud, 0 to 1.
    pub probabilities: Vec<f64>,
    /// Expected revenue, national currency; `None` where the model has no revenue head.
    pub expected: Vec<Option<f64>>,
    /// [`crate::model::FraudModel::attributions`]: for each item its numbers.
    pub attributions: Vec<f64>,
}

/// Features of some rows, and whether their outcome is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct FeatureSample {
    /// By feature; NaN is missing.
    pub(crate) columns: Vec<Vec<f32>>,
    /// 1 where the outcome is known, 0 where it is not.
    pub(crate) known: Vec<f32>,
    /// Keys of the declarations.
    pub(crate) declarations: Vec<u64>,
}
