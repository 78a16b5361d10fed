//! From the network's outputs to detections on the image.
//!
//! A location's score for a class is the geometric mean of the class's probability and the centre-ness (FCOS, section
//! 3.3); duplicates are suppressed. Start at [`detections`].

use super::network::{BOX_OUTPUTS, STRIDES};
use crate::{
    boxes::{Detection, Rectangle, suppress},
    fit::{
        loss::{side, sigmoid},
        targets::place,
    },
};

/// Candidates of one image that are compared at most.
const CANDIDATES: usize = 400;

/// Which detections are kept.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// The least score.
    pub score: f32,
    /// The largest overlap of two detections of one class.
    pub overlap: f32,
    /// Detections of one image at most.
    pub limit: usize,
}

impl Default for Keep {
    fn default() -> Self {
        Self { score: 0.02, overlap: 0.5, limit: 50 }
    }
}

/// How certain a location is of its most likely class, from 0 to 1, by its outputs.
pub fn confidence(outputs: &[f32], classes: usize) -> f32 {
    let most = outputs[..classes].iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (sigmoid(most) * sigmoid(outputs[classes + 4])).sqrt()
}

/// The detections on one image of `side` × `side` pixels, by its outputs on each grid.
pub fn detections(grids: &[&[f32]], classes: usize, image: usize, keep: Keep) -> Vec<Detection> {
    let width = classes + BOX_OUTPUTS;
    let mut found = Vec::new();
    for (outputs, stride) in grids.iter().zip(STRIDES) {
        let cells = image / stride;
        for (index, outputs) in outputs.chunks_exact(width).enumerate() {
            let centreness = sigmoid(outputs[classes + 4]);
            for (class, logit) in outputs[..classes].iter().enumerate() {
                let score = (sigmoid(*logit) * centreness).sqrt();
                if score < keep.score {
                    continue;
                }
                let (x, y) = place(stride, index / cells, index % cells);
                let [left, top, right, bottom]: [f32; 4] =
                    std::array::from_fn(|at| side(outputs[classes + at], stride));
                let rectangle = Rectangle::between(x - left, y - top, x + right, y + bottom);
                let rectangle = rectangle.clipped(image as f32, image as f32);
                found.push(Detection { rectangle, class: class as u32, score });
            }
        }
    }
    if found.len() > CANDIDATES {
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found.truncate(CANDIDATES);
    }
    suppress(found, keep.overlap, keep.limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_that_is_sure_becomes_a_rectangle() {
        // 32 × 32 pixels, two classes: 16, 4 and 1 locations; the sixth of the first grid is sure of the second class.
        let quiet = [-9.0, -9.0, 0.0, 0.0, 0.0, 0.0, -9.0];
        let mut first = quiet.repeat(16);
        let ln = |pixels: f32| (pixels / 8.0).ln();
        first[5 * 7..6 * 7].copy_from_slice(&[-9.0, 9.0, ln(4.0), ln(2.0), ln(8.0), ln(6.0), 9.0]);
        let (second, third) = (quiet.repeat(4), quiet.to_vec());
        let found = detections(&[&first, &second, &third], 2, 32, Keep::default());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].class, 1);
        let Rectangle { left, top, width, height } = found[0].rectangle;
        // The location's middle is (12, 12).
        for (value, expected) in [(left, 8.0), (top, 10.0), (width, 12.0), (height, 8.0)] {
            assert!((value - expected).abs() < 1e-4, "{value} instead of {expected}");
        }
        assert!(found[0].score > 0.99);
    }
}
