//! The loss of the network's outputs, and its gradient by them.
//!
//! Sources: focal loss (Lin et al., ICCV 2017, α = 0.25, γ = 2) on classes; generalised intersection over union
//! (Rezatofighi et al., CVPR 2019) on boxes, weighted by centre-ness; binary cross-entropy on centre-ness (FCOS); binary
//! cross-entropy on "illicit" and cross-entropy on the HS section for the image as a whole. The gradient is written out,
//! so that it is tested against differences and no graph is kept for it. Start at [`locations`].

use super::targets::Target;
use crate::model::network::BOX_OUTPUTS;

/// Weight of rare positives in the focal loss.
const ALPHA: f64 = 0.25;

/// The largest exponent of a box's side, in strides; a larger one has no gradient.
const LARGEST_EXPONENT: f32 = 6.0;

/// The loss of a batch, by its parts; each is a mean.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Loss {
    /// Classes of all locations, for each positive location.
    pub classes: f64,
    /// Boxes of positive locations, 0 to 2.
    pub boxes: f64,
    /// Centre-ness of positive locations.
    pub centreness: f64,
    /// The image as a whole.
    pub image: f64,
}

impl Loss {
    /// The sum that is minimised.
    pub fn total(&self) -> f64 {
        self.classes + self.boxes + self.centreness + self.image
    }
}

/// The length of a box's side, in pixels, that an output means.
pub fn side(output: f32, stride: usize) -> f32 {
    output.min(LARGEST_EXPONENT).exp() * stride as f32
}

/// 1 / (1 + exp(−x)).
pub fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// A grid of a batch: its stride, its outputs (locations × (classes + [`BOX_OUTPUTS`])), and the locations' targets.
pub struct Grid<'a> {
    /// Pixels between locations.
    pub stride: usize,
    /// The network's outputs.
    pub outputs: &'a [f32],
    /// What they should be, for each location of each image.
    pub targets: &'a [Option<Target>],
}

/// The loss of all locations of a batch, and its gradient by each grid's outputs.
pub fn locations(grids: &[Grid<'_>], classes: usize) -> (Loss, Vec<Vec<f32>>) {
    let positives = || grids.iter().flat_map(|grid| grid.targets).flatten();
    let count = (positives().count() as f64).max(1.0);
    let weight = positives().map(|target| f64::from(target.centreness())).sum::<f64>().max(1e-6);
    let mut loss = Loss::default();
    let gradients = grids.iter().map(|grid| {
        let width = classes + BOX_OUTPUTS;
        let mut gradients = vec![0.0; grid.outputs.len()];
        let locations = grid.outputs.chunks_exact(width).zip(gradients.chunks_exact_mut(width));
        for ((outputs, gradients), target) in locations.zip(grid.targets) {
            for (class, (logit, gradient)) in outputs[..classes].iter().zip(&mut *gradients).enumerate() {
                let is_class = target.is_some_and(|target| target.class as usize == class);
                let (value, slope) = focal(f64::from(*logit), is_class);
                loss.classes += value / count;
                *gradient = (slope / count) as f32;
            }
            let Some(target) = target else { continue };
            let centreness = f64::from(target.centreness());
            let (value, slope) = cross_entropy(f64::from(outputs[classes + 4]), centreness);
            loss.centreness += value / count;
            gradients[classes + 4] = (slope / count) as f32;

            let exponents = &outputs[classes..classes + 4];
            let sides: [f64; 4] = std::array::from_fn(|at| f64::from(side(exponents[at], grid.stride)));
            let (value, slopes) = generalised_overlap(sides, target.sides.map(f64::from));
            loss.boxes += value * centreness / weight;
            for at in 0..4 {
                let moves = exponents[at] < LARGEST_EXPONENT;
                let slope = if moves { slopes[at] * sides[at] } else { 0.0 };
                gradients[classes + at] = (slope * centreness / weight) as f32;
            }
        }
        gradients
    });
    let gradients = gradients.collect();
    (loss, gradients)
}

/// What is known of an image as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageTruth {
    /// Whether it holds something illicit.
    pub is_illicit: bool,
    /// The index of its HS section, where it is known.
    pub section: Option<usize>,
}

/// The loss of the images as wholes, and its gradient by their outputs (images × (1 + sections)).
pub fn images(outputs: &[f32], truths: &[ImageTruth], weight: f64) -> (f64, Vec<f32>) {
    let count = truths.len().max(1) as f64;
    let known = truths.iter().filter(|truth| truth.section.is_some()).count().max(1) as f64;
    let width = outputs.len() / truths.len().max(1);
    let mut total = 0.0;
    let mut gradients = vec![0.0; outputs.len()];
    let rows = outputs.chunks_exact(width.max(1)).zip(gradients.chunks_exact_mut(width.max(1)));
    for ((outputs, gradients), truth) in rows.zip(truths) {
        let (value, slope) = cross_entropy(f64::from(outputs[0]), f64::from(u8::from(truth.is_illicit)));
        total += weight * value / count;
        gradients[0] = (weight * slope / count) as f32;
        let Some(section) = truth.section else { continue };
        let logits: Vec<f64> = outputs[1..].iter().map(|logit| f64::from(*logit)).collect();
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
        total += weight * (largest + sum.ln() - logits[section]) / known;
        for (at, logit) in logits.iter().enumerate() {
            let share = (logit - largest).exp() / sum - f64::from(u8::from(at == section));
            gradients[1 + at] = (weight * share / known) as f32;
        }
    }
    (total, gradients)
}

/// ln(1 + exp(x)), also for large x.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Binary cross-entropy of a logit and its slope.
fn cross_entropy(logit: f64, target: f64) -> (f64, f64) {
    let probability = 1.0 / (1.0 + (-logit).exp());
    (softplus(logit) - logit * target, probability - target)
}

/// Focal loss of a logit and its slope.
fn focal(logit: f64, is_class: bool) -> (f64, f64) {
    // For a positive: −α (1 − p)² ln p; a negative is a positive of the opposite logit with the weight 1 − α.
    let (x, weight, sign) = if is_class { (logit, ALPHA, 1.0) } else { (-logit, 1.0 - ALPHA, -1.0) };
    let p = 1.0 / (1.0 + (-x).exp());
    let (miss, log) = (1.0 - p, -softplus(-x));
    let value = -weight * miss * miss * log;
    // d/dx of (1 − p)² ln p = (1 − p)² ((1 − p) − 2 p ln p).
    let slope = -weight * miss * miss * (miss - 2.0 * p * log);
    (value, sign * slope)
}

/// 1 − generalised intersection over union of two boxes around one point, by the distances to their sides (left, top,
/// right, bottom), and its slope by the first's.
fn generalised_overlap(sides: [f64; 4], target: [f64; 4]) -> (f64, [f64; 4]) {
    let extent = |by: fn(f64, f64) -> f64, near: usize| {
        by(sides[near], target[near]) + by(sides[near + 2], target[near + 2])
    };
    let (width, height) = (extent(f64::min, 0), extent(f64::min, 1));
    let (hull_width, hull_height) = (extent(f64::max, 0), extent(f64::max, 1));
    let area = |sides: [f64; 4]| (sides[0] + sides[2]) * (sides[1] + sides[3]);
    let intersection = width * height;
    let union = area(sides) + area(target) - intersection;
    let hull = hull_width * hull_height;
    let slopes = std::array::from_fn(|at| {
        let is_horizontal = at % 2 == 0;
        let across = if is_horizontal { sides[1] + sides[3] } else { sides[0] + sides[2] };
        let is_inside = sides[at] < target[at];
        let of_intersection = match (is_inside, is_horizontal) {
            (false, _) => 0.0,
            (true, true) => height,
            (true, false) => width,
        };
        let of_hull = match (is_inside, is_horizontal) {
            (true, _) => 0.0,
            (false, true) => hull_height,
            (false, false) => hull_width,
        };
        let of_union = across - of_intersection;
        -(of_intersection * union - intersection * of_union) / (union * union)
            - (of_union * hull - union * of_hull) / (hull * hull)
    });
    (2.0 - intersection / union - union / hull, slopes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Figures by PyTorch 2.15 (`loss.py`).
    #[test]
    fn loss_and_gradient_are_those_of_pytorch() {
        let stored: serde_json::Value = serde_json::from_str(include_str!("loss.json")).expect("JSON");
        let numbers = |count: usize, phase: f64| -> Vec<f32> {
            (0..count).map(|place| (2.0 * (0.7 * place as f64 + phase).sin()) as f32).collect()
        };
        let target = |class, sides| Some(Target { class, sides });
        let mut targets = [vec![None; 6], vec![None; 6]];
        targets[0][1] = target(0, [6.0, 9.0, 10.0, 5.0]);
        targets[0][4] = target(2, [12.5, 3.0, 4.0, 20.0]);
        targets[1][0] = target(1, [30.0, 41.0, 22.0, 18.0]);
        let outputs = [numbers(48, 0.0), numbers(48, 0.3)];
        let grids: Vec<Grid<'_>> = [8, 16]
            .into_iter()
            .zip(outputs.iter().zip(&targets))
            .map(|(stride, (outputs, targets))| Grid { stride, outputs, targets })
            .collect();
        let (loss, gradients) = locations(&grids, 3);
        let near = |own: f64, expected: &serde_json::Value| {
            let expected = expected.as_f64().expect("a number");
            assert!((own - expected).abs() < 1e-6, "{own} instead of {expected}");
        };
        near(loss.classes, &stored["parts"]["classes"]);
        near(loss.boxes, &stored["parts"]["boxes"]);
        near(loss.centreness, &stored["parts"]["centreness"]);
        for (grid, gradients) in gradients.iter().enumerate() {
            for (place, gradient) in gradients.iter().enumerate() {
                near(f64::from(*gradient), &stored["gradients"][grid][place]);
            }
        }
        let truths = [
            ImageTruth { is_illicit: true, section: Some(1) },
            ImageTruth { is_illicit: false, section: None },
        ];
        let (value, gradient) = images(&numbers(6, 0.9), &truths, 0.5);
        near(value, &stored["image"]);
        for (place, gradient) in gradient.iter().enumerate() {
            near(f64::from(*gradient), &stored["image_gradient"][place]);
        }
    }

    #[test]
    fn values_by_hand() {
        // p = 1/2: −0.25 · (1/2)² · ln(1/2), and three times that for a negative.
        let ln2 = std::f64::consts::LN_2;
        assert!((focal(0.0, true).0 - 0.0625 * ln2).abs() < 1e-12);
        assert!((focal(0.0, false).0 - 0.1875 * ln2).abs() < 1e-12);
        assert!((cross_entropy(0.0, 0.3).0 - ln2).abs() < 1e-12);
        // Boxes of 2 × 2 and 4 × 4 around one point: overlap 4 / 16, and the hull is the union.
        let (value, _) = generalised_overlap([1.0; 4], [2.0; 4]);
        assert!((value - 0.75).abs() < 1e-12);
        // 2 × 1 beside 1 × 2: intersection 1, union 3, hull 4.
        let (value, _) = generalised_overlap([1.0, 0.5, 1.0, 0.5], [0.5, 1.0, 0.5, 1.0]);
        assert!((value - (1.0 - 1.0 / 3.0 + 0.25)).abs() < 1e-12);
    }

    #[test]
    fn large_logits_stay_finite() {
        for logit in [-1e4, 1e4] {
            for is_class in [false, true] {
                let (value, slope) = focal(logit, is_class);
                assert!(value.is_finite() && slope.is_finite());
            }
            assert!(cross_entropy(logit, 0.5).0.is_finite());
        }
    }

    fn difference(f: impl Fn(f64) -> f64, x: f64) -> f64 {
        (f(x + 1e-5) - f(x - 1e-5)) / 2e-5
    }

    proptest! {
        #[test]
        fn slopes_are_those_of_differences(
            logit in -6f64..6.0, target in 0f64..1.0, is_class: bool,
            sides in prop::array::uniform4(0.5f64..9.0), truth in prop::array::uniform4(0.5f64..9.0), at in 0usize..4,
        ) {
            prop_assert!((focal(logit, is_class).1 - difference(|x| focal(x, is_class).0, logit)).abs() < 1e-6);
            prop_assert!((cross_entropy(logit, target).1 - difference(|x| cross_entropy(x, target).0, logit)).abs() < 1e-6);
            prop_assume!((sides[at] - truth[at]).abs() > 1e-3);
            let moved = |value: f64| {
                let mut sides = sides;
                sides[at] = value;
                generalised_overlap(sides, truth).0
            };
            prop_assert!((generalised_overlap(sides, truth).1[at] - difference(moved, sides[at])).abs() < 1e-6);
        }

        #[test]
        fn gradients_of_whole_grids_are_those_of_differences(
            outputs in prop::collection::vec(-2f32..2.0, 14), at in 0usize..14, section in 0usize..3,
        ) {
            let target = Target { class: 1, sides: [6.0, 9.0, 11.0, 4.0] };
            let targets = [Some(target), None];
            // The overlap has a kink where a side is as long as it should be, in which differences say nothing.
            let is_kink = |side_at: usize| (side(outputs[at], 8) / target.sides[side_at]).ln().abs() < 0.02;
            prop_assume!(!(2..6).contains(&at) || !is_kink(at - 2));
            let total = |outputs: &[f32]| locations(&[Grid { stride: 8, outputs, targets: &targets }], 2).0.total();
            let (_, gradients) = locations(&[Grid { stride: 8, outputs: &outputs, targets: &targets }], 2);
            let by_difference = |f: &dyn Fn(&[f32]) -> f64| {
                let mut moved = outputs.clone();
                moved[at] += 1e-2;
                let above = f(&moved);
                moved[at] -= 2e-2;
                (above - f(&moved)) / 2e-2
            };
            prop_assert!((f64::from(gradients[0][at]) - by_difference(&total)).abs() < 2e-2);

            let truths = [
                ImageTruth { is_illicit: true, section: Some(section) },
                ImageTruth { is_illicit: false, section: None },
            ];
            let (_, gradients) = images(&outputs[..8], &truths, 0.7);
            prop_assume!(at < 8);
            let whole = |outputs: &[f32]| images(&outputs[..8], &truths, 0.7).0;
            prop_assert!((f64::from(gradients[at]) - by_difference(&whole)).abs() < 1e-3);
        }
    }
}
