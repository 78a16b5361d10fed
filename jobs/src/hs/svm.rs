//! One linear classifier: a support vector machine with squared hinge loss, by dual coordinate descent.
//!
//! Minimises |w|²/2 + C Σ max(0, 1 - y w·x)² over the rows of its scope, the bias being the weight of a
//! feature that is 1 in every row. Source: Hsieh et al., "A Dual Coordinate Descent Method for Large-scale
//! Linear SVM", ICML 2008, algorithm 3 with its shrinking. A pure function of rows, settings and seed.

use std::ops::Range;

use super::vectors::Vectors;
use crate::learning::mix;

/// Weights that [`Classifier::pruned`] keeps are at least this far from 0. On the validation texts of published
/// declarations no accuracy is lost by it, and most of the model's size is saved.
const LEAST_WEIGHT: f32 = 0.03;

/// Violations of the optimum that are let pass, as the source's implementation has it.
const TOLERANCE: f32 = 0.1;

/// What a classifier learns from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// Rows that it tells apart.
    pub(super) scope: Range<usize>,
    /// Those that it should say yes to, within the scope.
    pub(super) positives: Range<usize>,
}

impl Question {
    /// Whether there is nothing to tell apart.
    pub(super) fn is_settled(&self) -> bool {
        self.scope == self.positives
    }
}

/// How classifiers are learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Settings {
    /// What a row on the wrong side costs beside the weights' size; above 0.
    pub(super) cost: f32,
    /// Most passes over the rows.
    pub(super) passes: u32,
    /// Settles the order in which rows are visited.
    pub(super) seed: u64,
}

/// A learned classifier: its margin for a row is `bias` plus the products of weights and values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Classifier {
    pub(super) bias: f32,
    /// Features with their weights, ascending.
    pub(super) weights: Vec<(u32, f32)>,
}

impl Classifier {
    /// Without the weights that are next to nothing (Babbar and Schölkopf, "DiSMEC", WSDM 2017, section 2.2).
    pub(super) fn pruned(mut self) -> Self {
        self.weights.retain(|(_, weight)| weight.abs() >= LEAST_WEIGHT);
        self
    }
}

/// Learns classifiers over one set of rows, in buffers of its own.
pub(super) struct Learner<'a> {
    rows: &'a Vectors,
    weights: Vec<f32>,
}

impl<'a> Learner<'a> {
    /// A learner over rows of so many features.
    pub(super) fn new(rows: &'a Vectors, features: usize) -> Self {
        Self { rows, weights: vec![0.0; features] }
    }

    /// Learns one classifier.
    pub(super) fn learn(&mut self, question: &Question, settings: Settings) -> Classifier {
        if question.is_settled() {
            return Classifier { bias: 1.0, weights: Vec::new() };
        }
        self.weights.fill(0.0);
        let mut bias = 0.0_f32;
        let start = question.scope.start;
        let mut multipliers = vec![0.0_f32; question.scope.len()];
        let mut active: Vec<u32> = (0..question.scope.len() as u32).collect();
        let slack = 0.5 / settings.cost;
        let mut bound = f32::INFINITY;
        for pass in 0..settings.passes {
            shuffle(&mut active, mix(settings.seed ^ u64::from(pass)));
            let (mut highest, mut lowest) = (f32::NEG_INFINITY, f32::INFINITY);
            let mut at = 0;
            while let Some(row) = active.get(at).map(|row| *row as usize) {
                let vector = self.rows.row(start + row);
                let side = if question.positives.contains(&(start + row)) { 1.0 } else { -1.0 };
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
                // A vector has length 1, or 0 where nothing in the text is known; the bias adds 1.
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

/// Puts numbers in an order that depends on the seed and their count alone.
fn shuffle(numbers: &mut [u32], seed: u64) {
    for at in (1..numbers.len()).rev() {
        let other = mix(seed ^ at as u64) % (at as u64 + 1);
        numbers.swap(at, other as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hs::vectors::Vocabulary;

    const SETTINGS: Settings = Settings { cost: 1.0, passes: 1, seed: 0 };

    #[test]
    fn one_step_is_that_of_a_hand() {
        let texts = ["7", "7"];
        let vocabulary = Vocabulary::of(texts);
        let rows = Vectors::of(&vocabulary, texts);
        assert_eq!((vocabulary.len(), rows.row(0).values), (1, [1.0].as_slice()));
        // Both rows are alike but for their side. The first step, from gradient -1 and curvature
        // 2 + 1/(2C) = 2.5, has the size 0.4; the margin of the other row is then ±0.8, its gradient
        // -0.8 - 1 = -1.8 and its step 0.72 the other way: 0.4 - 0.72 = -0.32, or its opposite.
        let question = Question { scope: 0..2, positives: 0..1 };
        let learned = Learner::new(&rows, 1).learn(&question, SETTINGS);
        assert!((learned.bias.abs() - 0.32).abs() < 1e-6, "{learned:?}");
        assert_eq!(learned.weights, [(0, learned.bias)]);
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
        let rows = Vectors::of(&vocabulary, texts);
        let question = Question { scope: 0..7, positives: 0..3 };
        let settings = Settings { cost: 2.0, passes: 4000, seed: 3 };
        let mut learner = Learner::new(&rows, vocabulary.len());
        // The tolerance ends the passes early; what is left is within it.
        let learned = learner.learn(&question, settings);
        let loss = |bias: f64, weights: &[f64]| {
            let size = weights.iter().map(|weight| weight * weight).sum::<f64>() + bias * bias;
            let errors = (0..7).map(|row| {
                let margin = bias
                    + rows.row(row).pairs().map(|(at, value)| weights[at] * f64::from(value)).sum::<f64>();
                let side = if question.positives.contains(&row) { 1.0 } else { -1.0 };
                (1.0 - side * margin).max(0.0).powi(2)
            });
            size / 2.0 + 2.0 * errors.sum::<f64>()
        };
        let mut weights = vec![0.0; vocabulary.len()];
        for (feature, weight) in &learned.weights {
            weights[*feature as usize] = f64::from(*weight);
        }
        let bias = f64::from(learned.bias);
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
            assert_eq!(margin > 0.0, question.positives.contains(&row), "row {row}: {margin}");
        }
    }

    #[test]
    fn what_has_no_other_side_is_settled() {
        let rows = Vectors::of(&Vocabulary::of(["a"]), ["a"]);
        let learned = Learner::new(&rows, 0).learn(&Question { scope: 0..1, positives: 0..1 }, SETTINGS);
        assert_eq!(learned, Classifier { bias: 1.0, weights: Vec::new() });
    }
}
