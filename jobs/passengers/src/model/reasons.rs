//! Reasons of a score in words, and the columns of features from which they and the scores are made.

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Float32Type,
};
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result, answers};

use crate::features::catalogue::{FEATURES, words};

/// Reasons of a score at most.
const REASONS: usize = 5;

/// A reason of a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The feature and its value in words.
    pub reason: String,
    /// The feature.
    pub feature: String,
    /// Its value; none where it is not known.
    pub value: Option<f32>,
    /// What it adds to the log odds.
    pub log_odds: f64,
}

impl Reason {
    /// A value of a feature that adds to the log odds.
    pub(super) fn of_feature(feature: usize, value: f32, log_odds: f64) -> Self {
        Self {
            reason: words(feature, value),
            feature: FEATURES[feature].name.to_owned(),
            value: (!value.is_nan()).then_some(value),
            log_odds: rounded(log_odds),
        }
    }
}

/// Log odds as they are stored.
pub(super) fn rounded(log_odds: f64) -> f64 {
    (log_odds * 1e4).round() / 1e4
}

/// Of what each input adds to the log odds, the inputs that raise them most, the strongest first.
pub(super) fn strongest(added: impl Iterator<Item = f64>) -> Vec<(usize, f64)> {
    let mut raising: Vec<(usize, f64)> = added.enumerate().filter(|(_, value)| *value > 0.0).collect();
    raising.sort_by(|one, other| other.1.total_cmp(&one.1));
    raising.truncate(REASONS);
    raising
}

/// The columns of features of rows.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] where one is absent or of another type.
pub(crate) fn feature_columns(rows: &RecordBatch) -> Result<Vec<&[f32]>> {
    let column = |name: &str| {
        let column = answers::column(rows, name)?.as_primitive_opt::<Float32Type>();
        let column =
            column.ok_or_else(|| Error::internal(format!("the feature {name} is no 32-bit float")))?;
        Ok(&column.values()[..])
    };
    FEATURES.iter().map(|feature| column(feature.name)).collect()
}
