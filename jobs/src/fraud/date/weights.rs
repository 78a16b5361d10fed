//! The network's weights as one list of numbers: where each part stands, and how it begins.
//!
//! One list makes averaging over shards, the optimiser and the wire a loop each. The leaves' vectors are its
//! last part: a batch touches most of them, so that they are learned like weights and not like rows of a table.

use std::ops::Range;

use super::{embedding::WIDTH, lanes::LANES};
use crate::learning::mix;

/// Heads of the attention among trees.
pub(super) const HEADS: usize = 4;
/// Numbers of a head.
pub(super) const HEAD: usize = WIDTH / HEADS;
/// Query, key and value of a leaf side by side.
pub(super) const PROJECTED: usize = 3 * WIDTH;
/// What the fusion reads: importer, HS code, and the trees attended to.
pub(super) const FUSED: usize = 3 * WIDTH;

/// Where the parts stand, for so many trees with so many leaves together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Trees.
    pub(super) trees: usize,
    /// Trees, rounded up to whole [`LANES`]: the length of an array with a place for each tree.
    pub(super) padded: usize,
    /// Leaves of all trees.
    pub(super) leaves: usize,
}

/// A part of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// By input, then by output: query, key, value.
    Project,
    ProjectBias,
    /// By output, then by input: what the heads found together.
    Join,
    JoinBias,
    /// Of the normalisation, by number of a tree's vector, then by tree (padded with zeros).
    Gain,
    Shift,
    /// Of the attention by importer and HS code. By input, then by output.
    AskQuery,
    /// By output, then by input.
    AskTree,
    AskBias,
    AskWeight,
    /// By input, then by output.
    Fuse,
    FuseBias,
    /// By input, then by output.
    Hide,
    HideBias,
    /// Of the logit, then of the revenue.
    Heads,
    HeadsBias,
    /// By leaf.
    Leaves,
}

impl Part {
    pub(super) const ALL: [Self; 17] = [
        Self::Project,
        Self::ProjectBias,
        Self::Join,
        Self::JoinBias,
        Self::Gain,
        Self::Shift,
        Self::AskQuery,
        Self::AskTree,
        Self::AskBias,
        Self::AskWeight,
        Self::Fuse,
        Self::FuseBias,
        Self::Hide,
        Self::HideBias,
        Self::Heads,
        Self::HeadsBias,
        Self::Leaves,
    ];
}

impl Shape {
    pub(super) fn new(trees: usize, leaves: usize) -> Self {
        Self { trees, padded: trees.next_multiple_of(LANES), leaves }
    }

    fn length(self, part: Part) -> usize {
        match part {
            Part::Project => WIDTH * PROJECTED,
            Part::ProjectBias => PROJECTED,
            Part::Join | Part::AskQuery | Part::AskTree | Part::Hide => WIDTH * WIDTH,
            Part::Gain | Part::Shift => WIDTH * self.padded,
            Part::JoinBias | Part::AskBias | Part::AskWeight | Part::FuseBias | Part::HideBias => WIDTH,
            Part::Fuse => FUSED * WIDTH,
            Part::Heads => 2 * WIDTH,
            Part::HeadsBias => 2,
            Part::Leaves => self.leaves * WIDTH,
        }
    }

    /// Where a part stands.
    #[inline]
    pub(super) fn range(self, part: Part) -> Range<usize> {
        let start = Part::ALL[..part as usize].iter().map(|part| self.length(*part)).sum();
        start..start + self.length(part)
    }

    /// How many numbers there are.
    pub(super) fn weights(self) -> usize {
        self.range(Part::Leaves).end
    }

    /// The weights before training: matrices uniform by Glorot and Bengio (AISTATS 2010), other biases zero, the
    /// logit's that of the share of positives.
    pub(super) fn start(self, seed: u64, positive_share: f64) -> Vec<f32> {
        let mut weights = vec![0.0; self.weights()];
        for part in Part::ALL {
            let (inputs, outputs) = match part {
                // Query, key and value are three matrices.
                Part::Project | Part::Join | Part::Hide => (WIDTH, WIDTH),
                // Two halves of one matrix.
                Part::AskQuery | Part::AskTree => (2 * WIDTH, WIDTH),
                Part::AskWeight | Part::Heads => (WIDTH, 1),
                Part::Fuse => (FUSED, WIDTH),
                Part::Leaves => (self.leaves, WIDTH),
                _ => continue,
            };
            let bound = (6.0 / (inputs + outputs) as f64).sqrt();
            let salt = mix(seed ^ mix(part as u64));
            for (at, weight) in weights[self.range(part)].iter_mut().enumerate() {
                *weight = (bound * centred(mix(salt ^ at as u64))) as f32;
            }
        }
        for gains in weights[self.range(Part::Gain)].chunks_exact_mut(self.padded) {
            gains[..self.trees].fill(1.0);
        }
        let share = positive_share.clamp(1e-6, 1.0 - 1e-6);
        weights[self.range(Part::HeadsBias).start] = (share / (1.0 - share)).ln() as f32;
        weights
    }
}

/// A number from -1 to 1 of one that looks random.
pub(super) fn centred(number: u64) -> f64 {
    (number >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_stand_side_by_side() {
        let shape = Shape::new(100, 1480);
        assert_eq!(shape.padded, 104);
        let mut end = 0;
        for part in Part::ALL {
            assert_eq!(shape.range(part).start, end);
            end = shape.range(part).end;
        }
        assert_eq!(end, shape.weights());
        let weights = shape.start(1, 0.2);
        assert!(weights[shape.range(Part::Leaves)].iter().all(|weight| weight.abs() < 0.064));
        assert_eq!(weights[shape.range(Part::Gain)].iter().sum::<f32>(), 1600.0);
        assert!((weights[shape.range(Part::HeadsBias).start] - 0.25_f32.ln()).abs() < 1e-6);
        assert_ne!(weights, shape.start(2, 0.2));
    }
}
