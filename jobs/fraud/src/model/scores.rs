//! The scores that a model gives to rows: probabilities and expected revenue.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array, new_null_array},
    datatypes::DataType,
};

/// A batch's scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Probabilities of fraud, 0 to 1.
    pub probabilities: Vec<f64>,
    /// Expected revenue, national currency; `None` for a model without a revenue head.
    pub expected: Option<Vec<f64>>,
}

impl Scores {
    /// The scores as the columns `probability` and `expected_revenue` (null for a model without a revenue head).
    pub fn columns(self) -> [ArrayRef; 2] {
        let rows = self.probabilities.len();
        let expected = match self.expected {
            Some(expected) => Arc::new(Float64Array::from(expected)) as ArrayRef,
            None => new_null_array(&DataType::Float64, rows),
        };
        [Arc::new(Float64Array::from(self.probabilities)), expected]
    }
}
