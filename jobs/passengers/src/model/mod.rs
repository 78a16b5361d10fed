//! The models of travellers: boosted trees over the features, or a graph network, and the reasons of a score in words.
//!
//! Start at [`RiskModel`]; [`operator`] scores rows of features in a query, and [`fit_operator`] fits a graph network in one.

pub mod fit_operator;
pub mod graph;
mod learner;
pub mod operator;
mod reasons;

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::RecordBatch;
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, Result, ResultExt, threads::on_cpu};
use tidewaiter_learning::gbdt;

pub(crate) use self::reasons::feature_columns;
use self::{graph::GraphModel, reasons::strongest};
pub use self::{learner::Learner, reasons::Reason};
use crate::features::catalogue::{FEATURES, Part};

/// A fitted model.
#[derive(Debug)]
pub enum RiskModel {
    /// Boosted trees.
    Trees(gbdt::Model),
    /// A graph network.
    Graph(Box<GraphModel>),
}

impl RiskModel {
    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Trees(model) => model.to_bytes(),
            Self::Graph(model) => model.to_bytes(),
        }
    }

    /// Reads what [`RiskModel::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] where the bytes are no model of these features.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if let Some(graph) = GraphModel::from_bytes(bytes)? {
            return Ok(Self::Graph(Box::new(graph)));
        }
        let model = gbdt::Model::from_bytes(bytes)?;
        if model.features as usize != FEATURES.len() {
            return Err(Error::corrupt(format!(
                "the model has {} features, and this version computes {}; retrain",
                model.features,
                FEATURES.len()
            )));
        }
        Ok(Self::Trees(model))
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
    /// [`tidewaiter_core::ErrorKind::Internal`] where a column is absent or of another type.
    pub fn score(&self, rows: &RecordBatch) -> Result<Vec<f64>> {
        match self {
            Self::Trees(model) => model.predict_probability(&feature_columns(rows)?),
            Self::Graph(model) => model.score(rows),
        }
    }

    /// What raises the score of each row most, the strongest first: of trees the Shapley values of the log odds (Lundberg,
    /// Erion and Lee, arXiv:1802.03888), of a graph network [`GraphModel::reasons`]. They explain the model's answer, and
    /// prove nothing about a traveller.
    ///
    /// # Errors
    /// As [`RiskModel::score`].
    pub fn reasons(&self, rows: &RecordBatch) -> Result<Vec<Vec<Reason>>> {
        let model = match self {
            Self::Trees(model) => model,
            Self::Graph(model) => return model.reasons(rows),
        };
        let columns = feature_columns(rows)?;
        let attributions = model.attributions(&columns)?;
        let of_row = |(row, own): (usize, &[f64])| {
            let reason = |(feature, log_odds): &(usize, f64)| {
                Reason::of_feature(*feature, columns[*feature][row], *log_odds)
            };
            strongest(own.iter().copied()).iter().map(reason).collect()
        };
        Ok(attributions.chunks_exact(FEATURES.len()).enumerate().map(of_row).collect())
    }

    /// What the model goes by: the part and the words of each input, and its share. Of trees it is the share in the gain,
    /// of a graph network that in how much the answers change without the input.
    #[must_use]
    pub fn importance(&self) -> Vec<(Part, &'static str, f64)> {
        match self {
            Self::Trees(model) => FEATURES
                .iter()
                .zip(model.feature_importance())
                .map(|(feature, gain)| (feature.part, feature.words, gain))
                .collect(),
            Self::Graph(model) => model.importance(),
        }
    }
}

/// The share of each part of the features in [`RiskModel::importance`].
#[must_use]
pub fn parts(importance: &[(Part, &'static str, f64)]) -> BTreeMap<&'static str, f64> {
    let mut parts: BTreeMap<&'static str, f64> = Part::ALL.map(|part| (part.name(), 0.0)).into();
    for (part, _, share) in importance {
        *parts.entry(part.name()).or_default() += share;
    }
    parts
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
        assert_eq!(parts(&read.importance()).len(), 4);
    }
}
