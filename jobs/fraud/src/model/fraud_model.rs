//! The fraud model and its bytes.
//!
//! The bytes are one protobuf message: boosted trees are the message itself (fields 1 to 3), every other classifier
//! has a field of its own, and the revenue head is field 16. To add a learner, add a variant of [`super::Learner`]
//! and of [`Classifier`], and a stored field. Start at [`FraudModel::score`].

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, StringBuilder, UInt32Array, new_null_array},
    compute::take_record_batch,
    datatypes::DataType,
};
use prost::Message;
use tidewaiter_archive::Archive;
use tidewaiter_core::{Result, ResultExt, threads::on_cpu};
use tidewaiter_learning::{gbdt, logistic};

use super::{
    reasons::reasons_json,
    revenue::{self, RevenueHead},
    scores::Scores,
};
use crate::{
    date::{DateModel, Keys, StoredDateModel},
    features::{
        feature_columns, features,
        text::{LEARNED, attribution_width},
    },
};

/// Reasons given for a row.
const REASONS: usize = 5;

/// A fitted model.
#[derive(Debug, Clone, PartialEq)]
pub struct FraudModel {
    /// Gives the probability of fraud.
    pub classifier: Classifier,
    /// Expected revenue of an illicit item; `None` where no revenue was known in training, and with DATE.
    pub head: Option<RevenueHead>,
}

/// A classifier, by its learner.
#[derive(Debug, Clone, PartialEq)]
pub enum Classifier {
    /// Boosted trees.
    Gbdt(gbdt::Model),
    /// Logistic regression.
    Logistic(logistic::Model),
    /// A network over the leaves of boosted trees, which has its own revenue head.
    Date(Box<DateModel>),
}

/// The fields of a model's message that are not those of boosted trees.
#[derive(Clone, PartialEq, prost::Message)]
struct OtherFields {
    #[prost(message, optional, tag = "16")]
    head: Option<RevenueHead>,
    /// A classifier other than boosted trees.
    #[prost(oneof = "OtherClassifier", tags = "17, 18")]
    kind: Option<OtherClassifier>,
}

/// The classifiers with a field of their own.
#[derive(Clone, PartialEq, prost::Oneof)]
enum OtherClassifier {
    #[prost(message, tag = "17")]
    Logistic(logistic::Model),
    #[prost(message, tag = "18")]
    Date(Box<StoredDateModel>),
}

impl FraudModel {
    /// The model's bytes. One model has one form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (mut bytes, kind) = match &self.classifier {
            Classifier::Gbdt(trees) => (trees.to_bytes(), None),
            Classifier::Logistic(model) => (Vec::new(), Some(OtherClassifier::Logistic(model.clone()))),
            Classifier::Date(model) => {
                (Vec::new(), Some(OtherClassifier::Date(Box::new(model.to_message()))))
            }
        };
        bytes.extend(OtherFields { head: self.head.clone(), kind }.encode_to_vec());
        bytes
    }

    /// Reads what [`FraudModel::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when the bytes are no model.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let OtherFields { head, kind } = OtherFields::decode(bytes)?;
        if let Some(head) = &head {
            head.check()?;
        }
        let classifier = match kind {
            None => Classifier::Gbdt(gbdt::Model::from_bytes(bytes)?),
            Some(OtherClassifier::Logistic(model)) => {
                model.check()?;
                Classifier::Logistic(model)
            }
            Some(OtherClassifier::Date(stored)) => {
                Classifier::Date(Box::new(DateModel::from_message(*stored)?))
            }
        };
        Ok(Self { classifier, head })
    }

    /// Reads a model of an archive.
    ///
    /// # Errors
    /// Those of the store, and as [`FraudModel::from_bytes`].
    pub async fn load(archive: &Archive, path: &str) -> Result<Arc<Self>> {
        let bytes = archive.get(path).await?;
        let model = on_cpu(move || Self::from_bytes(&bytes)).await;
        Ok(Arc::new(model.context(|| format!("read the model {path}"))?))
    }

    /// Whether the model expects revenue.
    pub fn expects_revenue(&self) -> bool {
        match &self.classifier {
            Classifier::Date(model) => model.expects_revenue(),
            Classifier::Gbdt(_) | Classifier::Logistic(_) => self.head.is_some(),
        }
    }

    /// The scores of rows of features (see [`crate::features::file_schema`]).
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when a feature is absent or the model has others.
    pub fn score(&self, batch: &RecordBatch) -> Result<Scores> {
        self.score_columns(&feature_columns(batch)?, &self.keys(batch)?)
    }

    /// The scores of rows by the columns of their features, in the order of [`features`](crate::features::features),
    /// and their importers and HS codes, which only DATE reads.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the model has other features.
    pub fn score_columns(&self, columns: &[&[f32]], keys: &Keys) -> Result<Scores> {
        let probabilities = match &self.classifier {
            Classifier::Gbdt(trees) => trees.predict_probability(columns)?,
            Classifier::Logistic(model) => model.predict_probability(columns)?,
            Classifier::Date(model) => return model.score(columns, keys),
        };
        let expected = self.head.as_ref().map(|head| {
            let amounts = head.predict(&revenue::feature_indices().map(|index| columns[index]));
            amounts.iter().zip(&probabilities).map(|(amount, probability)| amount * probability).collect()
        });
        Ok(Scores { probabilities, expected })
    }

    /// The importers and HS codes of rows, where the classifier reads them.
    fn keys(&self, batch: &RecordBatch) -> Result<Keys> {
        match &self.classifier {
            Classifier::Date(_) => Keys::of(batch),
            Classifier::Gbdt(_) | Classifier::Logistic(_) => Ok(Keys::default()),
        }
    }

    /// What each feature adds to the log odds of each row, relative to the mean of the training rows (for DATE, to
    /// first order), and then what a network learned of the row's importer and HS code: rows one after the other, each
    /// with as many numbers as [`attribution_width`].
    ///
    /// # Errors
    /// As [`FraudModel::score`].
    pub fn attributions(&self, batch: &RecordBatch) -> Result<Vec<f64>> {
        let columns = feature_columns(batch)?;
        match &self.classifier {
            Classifier::Gbdt(trees) => Ok(without_embeddings(&trees.attributions(&columns)?)),
            Classifier::Logistic(model) => Ok(without_embeddings(&model.attributions(&columns)?)),
            Classifier::Date(model) => model.attributions(&columns, &self.keys(batch)?),
        }
    }

    /// Each feature's share of the gain of the model, in the order of [`features`](crate::features::features); the
    /// shares sum to 1 or are all 0.
    pub fn importance(&self) -> Vec<f64> {
        match &self.classifier {
            Classifier::Gbdt(trees) => trees.feature_importance(),
            Classifier::Logistic(model) => model.feature_importance(),
            // The network's weights belong to leaves, not to features; the trees' gains belong to features.
            Classifier::Date(model) => model.booster().feature_importance(),
        }
    }

    /// The reasons of some of a batch's rows, whose indices ascend, as [`reasons_json`] writes them; null for the
    /// others.
    ///
    /// # Errors
    /// As [`FraudModel::score`].
    pub fn reasons(&self, batch: &RecordBatch, explained: &[u32]) -> Result<ArrayRef> {
        if explained.is_empty() {
            return Ok(new_null_array(&DataType::Utf8, batch.num_rows()));
        }
        let gathered = take_record_batch(batch, &UInt32Array::from(explained.to_vec()))?;
        let attributions = self.attributions(&gathered)?;
        let columns = feature_columns(&gathered)?;
        let (mut reasons, mut next) = (StringBuilder::new(), 0);
        for (at, (row, attributions)) in
            explained.iter().zip(attributions.chunks_exact(attribution_width())).enumerate()
        {
            let row = *row as usize;
            reasons.append_nulls(row - next);
            next = row + 1;
            let values: Vec<f32> = columns.iter().map(|column| column[at]).collect();
            reasons.append_value(reasons_json(attributions, &values, REASONS));
        }
        reasons.append_nulls(batch.num_rows() - next);
        Ok(Arc::new(reasons.finish()))
    }
}

/// Adds zeros for embeddings, which the classifier does not have, to rows of one number per feature.
fn without_embeddings(attributions: &[f64]) -> Vec<f64> {
    let rows = attributions.chunks_exact(features().len());
    rows.flat_map(|row| row.iter().copied().chain(LEARNED.map(|_| 0.0))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head() -> RevenueHead {
        let columns = vec![vec![1.0; 9]; revenue::FEATURES.len()];
        RevenueHead::fit(&columns, &[7.0; 9]).expect("fits").expect("enough rows")
    }

    fn models() -> [FraudModel; 4] {
        let trees = Classifier::Gbdt(gbdt::Model { features: 3, base: -1.0, trees: Vec::new() });
        let scale = logistic::Scale { upper: vec![0.5], terms: vec![0.1, -1.0, 1.0], rows: vec![1, 2, 3] };
        let model = logistic::Model { scales: vec![scale], intercept: -2.0, penalty: 3.0 };
        let logistic = Classifier::Logistic(model);
        [(trees.clone(), None), (trees, Some(head())), (logistic.clone(), None), (logistic, Some(head()))]
            .map(|(classifier, head)| FraudModel { classifier, head })
    }

    #[test]
    fn a_model_is_the_same_after_it_is_written_and_read() {
        for model in models() {
            let bytes = model.to_bytes();
            assert_eq!(FraudModel::from_bytes(&bytes).expect("reads"), model);
        }
    }

    #[test]
    fn a_model_whose_lists_do_not_fit_is_corrupt() {
        let [_, _, mut model, _] = models();
        if let Classifier::Logistic(model) = &mut model.classifier {
            model.scales[0].terms.pop();
        }
        let error = FraudModel::from_bytes(&model.to_bytes()).expect_err("refused");
        assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Corrupt);
    }

    proptest! {
        #[test]
        fn bytes_that_are_no_model_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = FraudModel::from_bytes(&bytes);
        }
    }
}
