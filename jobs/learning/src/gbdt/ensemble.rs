//! An ensemble of boosters as one model: the mean of their log odds.
//!
//! The mean of sums of trees is a sum of trees, so that an ensemble is scored, explained and stored like any other model,
//! and nothing else has to know of members. The errors of boosters that are trained on random rows and features are
//! partly independent, and the error of their mean is smaller (Breiman, "Bagging predictors", Machine Learning 1996).
//! Start at [`Model::mean`].

use tidewaiter_core::{Error, Result};

use super::model::{Model, Tree};

impl Model {
    /// The model whose log odds are the mean of those of the models.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when there is no model, or when their numbers of features differ.
    pub fn mean(models: Vec<Self>) -> Result<Self> {
        let features = models.first().map(|model| model.features);
        let Some(features) = features.filter(|own| models.iter().all(|model| model.features == *own)) else {
            return Err(Error::internal("boosted trees: the models of a mean have different features"));
        };
        let share = 1.0 / models.len() as f64;
        let base = models.iter().map(|model| model.base).sum::<f64>() * share;
        let part = |mut tree: Tree| {
            tree.leaf_values.iter_mut().for_each(|value| *value *= share);
            tree
        };
        let trees = models.into_iter().flat_map(|model| model.trees).map(part).collect();
        Ok(Self { features, base, trees })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of one split of the first feature at 0.
    fn stump(left: f64, right: f64) -> Tree {
        Tree {
            features: vec![0],
            thresholds: vec![0.0],
            bins: vec![1],
            missing_left: vec![true],
            left: vec![!0],
            right: vec![!1],
            gains: vec![1.0],
            rows: vec![10],
            leaf_values: vec![left, right],
            leaf_rows: vec![4, 6],
        }
    }

    #[test]
    fn the_log_odds_of_a_mean_are_the_mean_of_the_log_odds() {
        let one = Model { features: 1, base: -2.0, trees: vec![stump(-1.0, 1.0), stump(0.5, 0.0)] };
        let other = Model { features: 1, base: -1.0, trees: vec![stump(2.0, -3.0)] };
        let mean = Model::mean(vec![one, other]).expect("a mean");
        let columns: [&[f32]; 1] = [&[-1.0, 1.0, f32::NAN]];
        // -2 - 1 + 0.5 and -1 + 2 on the left, -2 + 1 + 0 and -1 - 3 on the right.
        assert_eq!(mean.predict_raw(&columns).expect("predicts"), [-0.75, -2.5, -0.75]);
        let attributions = mean.attributions(&columns).expect("explains");
        assert!((mean.expected_raw() + attributions[1] + 2.5).abs() < 1e-12);
        assert_eq!(Model::from_bytes(&mean.to_bytes()).expect("reads"), mean);
    }

    #[test]
    fn a_mean_of_nothing_or_of_unlike_models_is_refused() {
        let of = |features| Model { features, base: 0.0, trees: Vec::new() };
        assert!(Model::mean(Vec::new()).is_err());
        assert!(Model::mean(vec![of(1), of(2)]).is_err());
    }
}
