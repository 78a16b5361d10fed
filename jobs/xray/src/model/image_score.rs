//! The probability that an image holds something illicit, from what the network says of the image as a whole and of its
//! most certain object.
//!
//! A logistic regression of both logits, fitted on the validation images by Newton's method with a small ridge (Platt
//! 1999, with two inputs). An input with a negative slope says that the validation images are too few for it, and is
//! left out. Start at [`ImageScore::fit`].

use serde::{Deserialize, Serialize};
use tidewaiter_core::statistics::linear::solve_positive_definite;

/// Steps of Newton's method; it has converged long before.
const STEPS: usize = 50;

/// The weight of the ridge on the slopes.
const RIDGE: f64 = 0.1;

/// What is known of a validation image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The logit of the image as a whole.
    pub whole: f64,
    /// The score of the most certain object, 0 to 1; 0 without one.
    pub object: f64,
    /// Whether the image holds something illicit.
    pub is_illicit: bool,
}

/// A fitted score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ImageScore {
    /// The log odds of an image whose logits are 0.
    bias: f64,
    /// The slope of the image's logit.
    whole: f64,
    /// The slope of the most certain object's logit.
    object: f64,
}

impl Default for ImageScore {
    /// The network's own probability of the image as a whole.
    fn default() -> Self {
        Self { bias: 0.0, whole: 1.0, object: 0.0 }
    }
}

/// The log odds of an object's score.
fn logit(score: f64) -> f64 {
    let score = score.clamp(1e-3, 1.0 - 1e-3);
    (score / (1.0 - score)).ln()
}

impl ImageScore {
    /// Fits a score; without images of both kinds it is the network's own probability.
    pub fn fit(samples: &[Sample]) -> Self {
        let illicit = samples.iter().filter(|sample| sample.is_illicit).count();
        if illicit == 0 || illicit == samples.len() {
            return Self::default();
        }
        let with = |whole: bool, object: bool| Self::fit_inputs(samples, [whole, object]);
        let both = with(true, true);
        match (both.whole >= 0.0, both.object >= 0.0) {
            (true, true) => both,
            (true, false) => with(true, false),
            (false, _) => with(false, true),
        }
    }

    fn fit_inputs(samples: &[Sample], used: [bool; 2]) -> Self {
        let mut weights = [0.0; 3];
        let inputs = |sample: &Sample| {
            let [whole, object] = used.map(|used| f64::from(u8::from(used)));
            [1.0, whole * sample.whole, object * logit(sample.object)]
        };
        for _ in 0..STEPS {
            let mut gradient = [0.0, -RIDGE * weights[1], -RIDGE * weights[2]];
            let mut curvature = [[1e-9, 0.0, 0.0], [0.0, RIDGE, 0.0], [0.0, 0.0, RIDGE]];
            for sample in samples {
                let inputs = inputs(sample);
                let score: f64 = inputs.iter().zip(&weights).map(|(input, weight)| input * weight).sum();
                let probability = 1.0 / (1.0 + (-score).exp());
                let missing = f64::from(u8::from(sample.is_illicit)) - probability;
                let weight = (probability * (1.0 - probability)).max(1e-9);
                for (row, input) in inputs.iter().enumerate() {
                    gradient[row] += missing * input;
                    for (column, other) in inputs.iter().enumerate() {
                        curvature[row][column] += weight * input * other;
                    }
                }
            }
            let step = solve_positive_definite(curvature, gradient);
            let largest = step.iter().fold(0.0_f64, |most, step| most.max(step.abs()));
            // A step is shortened where the samples can be separated and the slopes would run away.
            let factor = if largest > 1.0 { 1.0 / largest } else { 1.0 };
            weights.iter_mut().zip(step).for_each(|(weight, step)| *weight += factor * step);
        }
        let [bias, whole, object] = weights;
        Self { bias, whole, object }
    }

    /// The probability, from 0 to 1, by the image's logit and the score of its most certain object.
    pub fn probability(&self, whole: f64, object: f64) -> f64 {
        let score = self.bias + self.whole * whole + self.object * logit(object);
        1.0 / (1.0 + (-score).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_those_of_the_samples() {
        // Of 100 images that look alike 20 are illicit, of 100 others 90.
        let samples = (0..200).map(|number| {
            let is_suspect = number >= 100;
            let is_illicit = if is_suspect { number < 190 } else { number < 20 };
            let object = if is_suspect { 0.8 } else { 0.1 };
            Sample { whole: 0.3, object, is_illicit }
        });
        let score = ImageScore::fit(&samples.collect::<Vec<_>>());
        assert!((score.probability(0.3, 0.1) - 0.2).abs() < 0.02, "{score:?}");
        assert!((score.probability(0.3, 0.8) - 0.9).abs() < 0.02, "{score:?}");
    }

    #[test]
    fn an_input_against_the_truth_is_left_out_and_one_kind_alone_fits_nothing() {
        let sample = |whole: f64, object: f64, is_illicit| Sample { whole, object, is_illicit };
        let samples: Vec<Sample> = (0..40)
            .map(|number| {
                let is_illicit = number % 2 == 0;
                let noise = f64::from(number % 5) / 5.0;
                sample(
                    if is_illicit { -1.0 } else { 1.0 },
                    if is_illicit { 0.6 } else { 0.4 } + noise / 5.0,
                    is_illicit,
                )
            })
            .collect();
        let score = ImageScore::fit(&samples);
        assert_eq!(score.whole, 0.0);
        assert!(score.object > 0.0);
        assert_eq!(ImageScore::fit(&[sample(1.0, 0.5, true)]), ImageScore::default());
    }
}
