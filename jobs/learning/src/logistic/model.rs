//! The fitted model: a scorecard, its scores, attributions and feature importance. Start at [`Model`].

use tidewaiter_core::{Error, Result};

use crate::{binning::BinEdges, sigmoid::probability};

/// The bins of one feature and their terms. The first bin is that of missing values.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Scale {
    /// The upper edges of all bins of known values but the last, ascending; a value equal to an edge is below it.
    #[prost(float, repeated, tag = "1")]
    pub upper: Vec<f32>,
    /// What each bin adds to the log odds.
    #[prost(double, repeated, tag = "2")]
    pub terms: Vec<f64>,
    /// How many training rows were in each bin.
    #[prost(uint64, repeated, tag = "3")]
    pub rows: Vec<u64>,
}

impl Scale {
    /// The mean term over the training rows.
    fn mean(&self) -> f64 {
        let rows: u64 = self.rows.iter().sum();
        let sum: f64 = self.terms.iter().zip(&self.rows).map(|(term, rows)| term * *rows as f64).sum();
        sum / rows.max(1) as f64
    }

    /// The term of each value of a column.
    fn terms_of(&self, column: &[f32]) -> impl Iterator<Item = f64> {
        let bins = BinEdges { upper: self.upper.clone() }.bin_all(column);
        bins.into_iter().map(|bin| self.terms[usize::from(bin)])
    }
}

/// A fitted classifier.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Model {
    /// One for each feature, in order.
    #[prost(message, repeated, tag = "1")]
    pub scales: Vec<Scale>,
    /// The log odds before any term.
    #[prost(double, tag = "2")]
    pub intercept: f64,
    /// The penalty that was chosen by the validation rows.
    #[prost(double, tag = "3")]
    pub penalty: f64,
}

impl Model {
    /// Checks that the lists fit together.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when they do not.
    pub fn check(&self) -> Result<()> {
        let good = self.scales.iter().all(|Scale { upper, terms, rows }| {
            upper.len() <= 254 && terms.len() == upper.len() + 2 && rows.len() == terms.len()
        });
        if good {
            Ok(())
        } else {
            Err(Error::corrupt("logistic regression: a model's lists do not fit together"))
        }
    }

    /// The number of rows, after a check that the columns fit the model.
    fn rows_of(&self, columns: &[&[f32]]) -> Result<usize> {
        let rows = columns.first().map_or(0, |column| column.len());
        if columns.len() != self.scales.len() || columns.iter().any(|column| column.len() != rows) {
            return Err(Error::input(format!(
                "logistic regression: the model has {} features but {} columns were given; give the columns that \
                 it was fitted on, in the same order and of one length",
                self.scales.len(),
                columns.len()
            )));
        }
        Ok(rows)
    }

    /// The raw score (log odds) of each row, given by column. A missing value is NaN.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the columns do not fit the model.
    pub fn predict_raw(&self, columns: &[&[f32]]) -> Result<Vec<f64>> {
        let mut scores = vec![self.intercept; self.rows_of(columns)?];
        for (scale, column) in self.scales.iter().zip(columns) {
            scores.iter_mut().zip(scale.terms_of(column)).for_each(|(score, term)| *score += term);
        }
        Ok(scores)
    }

    /// The probability of each row to be positive, from 0 to 1.
    ///
    /// # Errors
    /// As [`Model::predict_raw`].
    pub fn predict_probability(&self, columns: &[&[f32]]) -> Result<Vec<f64>> {
        let mut scores = self.predict_raw(columns)?;
        scores.iter_mut().for_each(|score| *score = probability(*score));
        Ok(scores)
    }

    /// What each feature of each row adds to the log odds, as a difference from the mean over the training rows: row by
    /// row, in each the features in order. For a sum of terms these are the Shapley values of features
    /// that do not depend on each other (Lundberg and Lee, NeurIPS 2017, section 4.1).
    ///
    /// # Errors
    /// As [`Model::predict_raw`].
    pub fn attributions(&self, columns: &[&[f32]]) -> Result<Vec<f64>> {
        let (rows, width) = (self.rows_of(columns)?, columns.len());
        let mut all = vec![0.0; rows * width];
        for (feature, (scale, column)) in self.scales.iter().zip(columns).enumerate() {
            let mean = scale.mean();
            for (row, term) in scale.terms_of(column).enumerate() {
                all[row * width + feature] = term - mean;
            }
        }
        Ok(all)
    }

    /// The mean absolute attribution of each feature over the training rows, divided by the sum over all features; all 0
    /// when no feature distinguishes rows.
    pub fn feature_importance(&self) -> Vec<f64> {
        let size = |scale: &Scale| {
            let mean = scale.mean();
            scale.terms.iter().zip(&scale.rows).map(|(term, rows)| (term - mean).abs() * *rows as f64).sum()
        };
        let mut importance: Vec<f64> = self.scales.iter().map(size).collect();
        let total: f64 = importance.iter().sum();
        if total > 0.0 {
            importance.iter_mut().for_each(|size| *size /= total);
        }
        importance
    }
}
