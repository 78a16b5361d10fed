//! One linear classifier: a support vector machine with squared hinge loss, by dual coordinate descent.
//!
//! Minimises |w|²/2 + C Σ max(0, 1 - y w·x)² over the rows of its problem; the bias is the weight of a feature that is
//! 1 in every row. Source: Hsieh et al., "A Dual Coordinate Descent Method for Large-scale Linear SVM", ICML 2008,
//! algorithm 3 with its shrinking. The result depends on rows, settings and seed only. Start at [`SvmTrainer::train`].

use tidewaiter_core::chance::mix;

use super::problem::BinaryProblem;
use crate::{features::vectors::TextVectors, model::weights::Classifier};

/// The least absolute value of a weight that is kept. On the validation texts of published declarations this loses no
/// accuracy and saves most of the checkpoint's size.
pub(crate) const LEAST_WEIGHT: f32 = 0.03;

/// The tolerated violation of the optimality conditions, as in the implementation of the source (liblinear).
const TOLERANCE: f32 = 0.1;

/// How a classifier is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SvmSettings {
    /// The cost C of a row on the wrong side of the margin, above 0.
    pub(crate) cost: f32,
    /// Most passes over the rows.
    pub(crate) passes: u32,
    /// The seed of the order in which rows are visited.
    pub(crate) seed: u64,
}

/// Trains classifiers on one set of rows, with buffers that are used again.
pub(crate) struct SvmTrainer<'a> {
    rows: &'a TextVectors,
    weights: Vec<f32>,
}

impl<'a> SvmTrainer<'a> {
    /// A trainer on rows of so many features.
    pub(crate) fn new(rows: &'a TextVectors, features: usize) -> Self {
        Self { rows, weights: vec![0.0; features] }
    }

    /// Trains one classifier; where all rows are of its class, the margin is 1 for any text.
    pub(crate) fn train(&mut self, problem: &BinaryProblem, settings: SvmSettings) -> Classifier {
        if problem.has_one_class() {
            return Classifier { bias: 1.0, weights: Vec::new() };
        }
        self.weights.fill(0.0);
        let mut bias = 0.0_f32;
        let start = problem.scope.start;
        let mut multipliers = vec![0.0_f32; problem.scope.len()];
        let mut active: Vec<u32> = (0..problem.scope.len() as u32).collect();
        let slack = 0.5 / settings.cost;
        let mut bound = f32::INFINITY;
        for pass in 0..settings.passes {
            shuffle(&mut active, mix(settings.seed ^ u64::from(pass)));
            let (mut highest, mut lowest) = (f32::NEG_INFINITY, f32::INFINITY);
            let mut at = 0;
            while let Some(row) = active.get(at).map(|row| *row as usize) {
                let vector = self.rows.row(start + row);
                let side = if problem.positives.contains(&(start + row)) { 1.0 } else { -1.0 };
                let margin: f32 =
                    bias + vector.pairs().map(|(feature, value)| self.weights[feature] * value).sum::<f32>();
                let before = multipliers[row];
                let gradient = side * margin - 1.0 + slack * before;
                let projected = if before > 0.0 { gradient } else { gradient.min(0.0) };
                if before == 0.0 && gradient > bound {
                    active.swap_remove(at);
                    continue;
                }
                highest = highest.max(projected);
                lowest = lowest.min(projected);
                // A vector has length 1, or 0 where the text has no known feature; the bias adds 1.
                let curvature = if vector.features.is_empty() { 1.0 } else { 2.0 } + slack;
                let after = (before - gradient / curvature).max(0.0);
                let step = (after - before) * side;
                if step != 0.0 {
                    multipliers[row] = after;
                    bias += step;
                    for (feature, value) in vector.pairs() {
                        self.weights[feature] += step * value;
                    }
                }
                at += 1;
            }
            if highest - lowest < TOLERANCE {
                break;
            }
            bound = if highest > 0.0 { highest } else { f32::INFINITY };
        }
        let kept = (0..).zip(&self.weights).filter(|(_, weight)| **weight != 0.0);
        Classifier { bias, weights: kept.map(|(feature, weight)| (feature, *weight)).collect() }
    }
}

/// Shuffles numbers into an order that depends on the seed and their count alone.
fn shuffle(numbers: &mut [u32], seed: u64) {
    for at in (1..numbers.len()).rev() {
        let other = mix(seed ^ at as u64) % (at as u64 + 1);
        numbers.swap(at, other as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::vectors::Vocabulary;

    const SETTINGS: SvmSettings = SvmSettings { cost: 1.0, passes: 1, seed: 0 };

    #[test]
    fn one_step_is_as_computed_by_hand() {
        let texts = ["7", "7"];
        let vocabulary = Vocabulary::of(texts);
        let rows = TextVectors::of(&vocabulary, texts);
        assert_eq!((vocabulary.len(), rows.row(0).values), (1, [1.0].as_slice()));
        // Both rows are alike but for their side. The first step, from gradient -1 and curvature
        // 2 + 1/(2C) = 2.5, has the size 0.4; the margin of the other row is then ±0.8, its gradient
        // -0.8 - 1 = -1.8 and its step 0.72 the other way: 0.4 - 0.72 = -0.32, or its opposite.
        let problem = BinaryProblem { scope: 0..2, positives: 0..1 };
        let classifier = SvmTrainer::new(&rows, 1).train(&problem, SETTINGS);
        assert!((classifier.bias.abs() - 0.32).abs() < 1e-6, "{classifier:?}");
        assert_eq!(classifier.weights, [(0, classifier.bias)]);
    }

    #[test]
    fn the_gradient_of_the_primal_problem_vanishes_at_the_end() {
        let texts = [
            "red bean",
            "red bean can",
            "green bean",
            "steel pipe",
            "steel can",
            "pipe can red",
            "steel can pipe",
        ];
        let vocabulary = Vocabulary::of(texts);
        let rows = TextVectors::of(&vocabulary, texts);
        let problem = BinaryProblem { scope: 0..7, positives: 0..3 };
        let settings = SvmSettings { cost: 2.0, passes: 4000, seed: 3 };
        let mut trainer = SvmTrainer::new(&rows, vocabulary.len());
        // The tolerance ends the passes early; what is left is within it.
        let classifier = trainer.train(&problem, settings);
        let loss = |bias: f64, weights: &[f64]| {
            let size = weights.iter().map(|weight| weight * weight).sum::<f64>() + bias * bias;
            let errors = (0..7).map(|row| {
                let margin = bias
                    + rows.row(row).pairs().map(|(at, value)| weights[at] * f64::from(value)).sum::<f64>();
                let side = if problem.positives.contains(&row) { 1.0 } else { -1.0 };
                (1.0 - side * margin).max(0.0).powi(2)
            });
            size / 2.0 + 2.0 * errors.sum::<f64>()
        };
        let mut weights = vec![0.0; vocabulary.len()];
        for (feature, weight) in &classifier.weights {
            weights[*feature as usize] = f64::from(*weight);
        }
        let bias = f64::from(classifier.bias);
        let here = loss(bias, &weights);
        for feature in 0..weights.len() {
            for step in [0.05, -0.05] {
                weights[feature] += step;
                assert!(loss(bias, &weights) > here - 0.01, "feature {feature}");
                weights[feature] -= step;
            }
        }
        assert!(loss(bias + 0.05, &weights) > here - 0.01 && loss(bias - 0.05, &weights) > here - 0.01);
        for row in 0..7 {
            let margin =
                bias + rows.row(row).pairs().map(|(at, value)| weights[at] * f64::from(value)).sum::<f64>();
            assert_eq!(margin > 0.0, problem.positives.contains(&row), "row {row}: {margin}");
        }
    }

    #[test]
    fn a_problem_of_one_class_gives_a_constant() {
        let rows = TextVectors::of(&Vocabulary::of(["a"]), ["a"]);
        let classifier =
            SvmTrainer::new(&rows, 0).train(&BinaryProblem { scope: 0..1, positives: 0..1 }, SETTINGS);
        assert_eq!(classifier, Classifier { bias: 1.0, weights: Vec::new() });
    }
}
