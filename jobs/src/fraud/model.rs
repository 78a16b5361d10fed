//! A fitted fraud model, whatever learned it: what scores, explains and travels as `model.bin`.
//!
//! A model is a classifier and, where the months that taught it had known revenue, a [`RevenueHead`]. Its bytes are
//! one protobuf message: boosted trees stand in the message itself (fields 1 to 3), every other classifier in a
//! field of its own, and the head in field 16. A learner is added by a variant of [`Classifier`] and of
//! [`Kind`]. Start at [`FraudModel::score`].

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringBuilder, UInt32Array, new_null_array},
    compute::take_record_batch,
    datatypes::{DataType, Float32Type},
};
use prost::Message;

use super::{
    date::{DateModel, Keys, model::Stored},
    features::features,
    report::reasons_text,
    revenue::{self, RevenueHead},
};
use crate::{
    Error, Result,
    learning::{gbdt, logistic},
};

/// Reasons given for a row.
const REASONS: usize = 5;

/// A fitted model.
#[derive(Debug, Clone, PartialEq)]
pub struct FraudModel {
    /// What says how likely fraud is.
    pub classifier: Classifier,
    /// What an illicit item is expected to raise; `None` where no revenue was known.
    pub head: Option<RevenueHead>,
}

/// What says how likely fraud is, by its learner.
#[derive(Debug, Clone, PartialEq)]
pub enum Classifier {
    /// Boosted trees.
    Gbdt(gbdt::Model),
    /// Logistic regression.
    Logistic(logistic::Model),
    /// A network over the leaves of boosted trees; it has a revenue head of its own.
    Date(Box<DateModel>),
}

/// The fields of a model's bytes beside those of boosted trees.
#[derive(Clone, PartialEq, prost::Message)]
struct Tail {
    #[prost(message, optional, tag = "16")]
    head: Option<RevenueHead>,
    /// A classifier other than boosted trees.
    #[prost(oneof = "Kind", tags = "17, 18")]
    kind: Option<Kind>,
}

/// The classifiers that have a field of their own.
#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(message, tag = "17")]
    Logistic(logistic::Model),
    #[prost(message, tag = "18")]
    Date(Box<Stored>),
}

/// A batch's scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Probabilities of fraud, 0 to 1.
    pub probabilities: Vec<f64>,
    /// Expected revenue, national currency; `None` by a model without a revenue head.
    pub expected: Option<Vec<f64>>,
}

impl FraudModel {
    /// The model's bytes. One model has one form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (mut bytes, kind) = match &self.classifier {
            Classifier::Gbdt(trees) => (trees.to_bytes(), None),
            Classifier::Logistic(model) => (Vec::new(), Some(Kind::Logistic(model.clone()))),
            Classifier::Date(model) => (Vec::new(), Some(Kind::Date(Box::new(model.to_message())))),
        };
        bytes.extend(Tail { head: self.head.clone(), kind }.encode_to_vec());
        bytes
    }

    /// Reads what [`FraudModel::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when the bytes are no model.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let Tail { head, kind } = Tail::decode(bytes)?;
        if let Some(head) = &head {
            head.check()?;
        }
        let classifier = match kind {
            None => Classifier::Gbdt(gbdt::Model::from_bytes(bytes)?),
            Some(Kind::Logistic(model)) => {
                model.check()?;
                Classifier::Logistic(model)
            }
            Some(Kind::Date(stored)) => Classifier::Date(Box::new(DateModel::from_message(*stored)?)),
        };
        Ok(Self { classifier, head })
    }

    /// Whether the model expects revenue.
    pub fn expects_revenue(&self) -> bool {
        match &self.classifier {
            Classifier::Date(model) => model.expects_revenue(),
            Classifier::Gbdt(_) | Classifier::Logistic(_) => self.head.is_some(),
        }
    }

    /// The scores of rows of features (see [`super::features::file_schema`]).
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when a feature is absent or the model has others.
    pub fn score(&self, batch: &RecordBatch) -> Result<Scores> {
        let columns = feature_columns(batch)?;
        let probabilities = match &self.classifier {
            Classifier::Gbdt(trees) => trees.predict_probability(&columns)?,
            Classifier::Logistic(model) => model.predict_probability(&columns)?,
            Classifier::Date(model) => return model.score(&columns, &Keys::of(batch)?),
        };
        let expected = self.head.as_ref().map(|head| {
            let amounts = head.predict(&revenue::places().map(|place| columns[place]));
            amounts.iter().zip(&probabilities).map(|(amount, probability)| amount * probability).collect()
        });
        Ok(Scores { probabilities, expected })
    }

    /// What each feature adds to the log odds of each row, against the mean of the rows that taught (by DATE, to
    /// first order): rows one after the other, each with one number per feature.
    ///
    /// # Errors
    /// As [`FraudModel::score`].
    pub fn attributions(&self, batch: &RecordBatch) -> Result<Vec<f64>> {
        let columns = feature_columns(batch)?;
        match &self.classifier {
            Classifier::Gbdt(trees) => trees.attributions(&columns),
            Classifier::Logistic(model) => model.attributions(&columns),
            Classifier::Date(model) => model.attributions(&columns, &Keys::of(batch)?),
        }
    }

    /// Each feature's share of what the model tells rows apart by, in the order of [`features`]; they sum to 1
    /// or are all 0.
    pub fn importance(&self) -> Vec<f64> {
        match &self.classifier {
            Classifier::Gbdt(trees) => trees.feature_importance(),
            Classifier::Logistic(model) => model.feature_importance(),
            // What the network takes from the trees is not told by feature; what the trees tell apart is.
            Classifier::Date(model) => model.booster().feature_importance(),
        }
    }

    /// The reasons of some of a batch's rows, by rising place, as [`reasons_text`] writes them; null for the
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
            explained.iter().zip(attributions.chunks_exact(columns.len())).enumerate()
        {
            let row = *row as usize;
            reasons.append_nulls(row - next);
            next = row + 1;
            let values: Vec<f32> = columns.iter().map(|column| column[at]).collect();
            reasons.append_value(reasons_text(attributions, &values, REASONS));
        }
        reasons.append_nulls(batch.num_rows() - next);
        Ok(Arc::new(reasons.finish()))
    }
}

impl Scores {
    /// The scores as the columns `probability` and `expected_revenue` (null by a model without a revenue head).
    pub fn columns(self) -> [ArrayRef; 2] {
        let rows = self.probabilities.len();
        let expected = match self.expected {
            Some(expected) => Arc::new(Float64Array::from(expected)) as ArrayRef,
            None => new_null_array(&DataType::Float64, rows),
        };
        [Arc::new(Float64Array::from(self.probabilities)), expected]
    }
}

/// The features of a batch, in the order of [`features`].
///
/// # Errors
/// [`crate::ErrorKind::Input`] when one is absent or not of 32-bit floats.
pub(super) fn feature_columns(batch: &RecordBatch) -> Result<Vec<&[f32]>> {
    let column = |name: &String| {
        let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Float32Type>());
        let column = column.ok_or_else(|| Error::input(format!("scoring needs the feature {name}")))?;
        Ok(column.values().as_ref())
    };
    features().iter().map(|feature| column(&feature.name)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head() -> RevenueHead {
        let columns = vec![vec![1.0; 9]; revenue::READS.len()];
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
    fn a_file_says_what_kind_of_model_it_is() {
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
        assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
    }

    proptest! {
        #[test]
        fn bytes_that_are_no_model_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = FraudModel::from_bytes(&bytes);
        }
    }
}
