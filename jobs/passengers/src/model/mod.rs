//! The model of travellers: boosted trees over the features, and the reasons of a score in words.
//!
//! Start at [`RiskModel`]; [`operator`] scores rows of features in a query.

pub mod operator;

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Float32Type,
};
use serde::{Deserialize, Serialize};
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, Result, ResultExt, answers, threads::on_cpu};
use tidewaiter_learning::gbdt;

use crate::features::catalogue::{FEATURES, Part, words};

/// Reasons of a score at most.
const REASONS: usize = 5;

/// A fitted model.
#[derive(Debug, Clone, PartialEq)]
pub struct RiskModel(pub gbdt::Model);

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

/// The columns of features of rows.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] where one is absent or of another type.
pub fn feature_columns(rows: &RecordBatch) -> Result<Vec<&[f32]>> {
    let column = |name: &str| {
        let column = answers::column(rows, name)?.as_primitive_opt::<Float32Type>();
        let column =
            column.ok_or_else(|| Error::internal(format!("the feature {name} is no 32-bit float")))?;
        Ok(&column.values()[..])
    };
    FEATURES.iter().map(|feature| column(feature.name)).collect()
}

impl RiskModel {
    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// Reads what [`RiskModel::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] where the bytes are no model of these features.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let model = gbdt::Model::from_bytes(bytes)?;
        if model.features as usize != FEATURES.len() {
            return Err(Error::corrupt(format!(
                "the model has {} features, and this version computes {}; retrain",
                model.features,
                FEATURES.len()
            )));
        }
        Ok(Self(model))
    }

    /// Reads a model of an archive.
    ///
    /// # Errors
    /// Those of the store, and as [`RiskModel::from_bytes`].
    pub async fn load(archive: &Archive, path: &str) -> Result<Arc<Self>> {
        let bytes = archive.get(path).await?;
        let model = on_cpu(move || Self::from_bytes(&bytes)).await;
        Ok(Arc::new(model.context(|| format!("read the model {path}"))?))
    }

    /// The probability of each row that an inspection finds something.
    ///
    /// # Errors
    /// As [`feature_columns`].
    pub fn score(&self, rows: &RecordBatch) -> Result<Vec<f64>> {
        self.0.predict_probability(&feature_columns(rows)?)
    }

    /// What raises the score of each row most, the strongest first: Shapley values of the log odds (Lundberg, Erion and
    /// Lee, arXiv:1802.03888). They explain the model's answer, and prove nothing about a traveller.
    ///
    /// # Errors
    /// As [`feature_columns`].
    pub fn reasons(&self, rows: &RecordBatch) -> Result<Vec<Vec<Reason>>> {
        let columns = feature_columns(rows)?;
        let attributions = self.0.attributions(&columns)?;
        let of_row = |(row, own): (usize, &[f64])| {
            let mut raising: Vec<(usize, f64)> =
                own.iter().copied().enumerate().filter(|(_, value)| *value > 0.0).collect();
            raising.sort_by(|one, other| other.1.total_cmp(&one.1));
            let reason = |(feature, log_odds): &(usize, f64)| {
                let value = columns[*feature][row];
                Reason {
                    reason: words(*feature, value),
                    feature: FEATURES[*feature].name.to_owned(),
                    value: (!value.is_nan()).then_some(value),
                    log_odds: (log_odds * 1e4).round() / 1e4,
                }
            };
            raising.iter().take(REASONS).map(reason).collect()
        };
        Ok(attributions.chunks_exact(FEATURES.len()).enumerate().map(of_row).collect())
    }

    /// The share of each part of the features in the gain of the trees.
    #[must_use]
    pub fn parts(&self) -> BTreeMap<&'static str, f64> {
        let mut parts: BTreeMap<&'static str, f64> = Part::ALL.map(|part| (part.name(), 0.0)).into();
        for (feature, gain) in FEATURES.iter().zip(self.0.feature_importance()) {
            *parts.entry(feature.part.name()).or_default() += gain;
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_of_other_features_is_refused() {
        let model = gbdt::Model { features: 3, base: 0.0, trees: Vec::new() };
        let error = RiskModel::from_bytes(&model.to_bytes()).expect_err("refused");
        assert!(error.to_string().contains("3 features"), "{error}");
        let model = gbdt::Model { features: FEATURES.len() as u32, ..model };
        let read = RiskModel::from_bytes(&model.to_bytes()).expect("reads");
        assert_eq!(read.parts().len(), 4);
    }
}
