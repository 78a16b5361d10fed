//! The dense weights of the network as one list of numbers: the layout of its parts, and their initial values.
//!
//! With one list, averaging over shards and the optimiser are a loop each. The leaves' vectors are its last part: a
//! batch touches most of them, so they are trained like dense weights and not like rows of an embedding table.

use std::ops::Range;

use tidewaiter_core::chance::mix;

use super::{
    lanes::LANES,
    vector::{WIDTH, symmetric_uniform},
};

/// Heads of the self-attention among trees.
pub(super) const HEADS: usize = 4;
/// Numbers of a head's query, key or value.
pub(super) const HEAD: usize = WIDTH / HEADS;
/// Numbers of a leaf's projections: query, key and value one after the other.
pub(super) const PROJECTED: usize = 3 * WIDTH;
/// Numbers of the fusion's input: importer, HS code, and the attention's output.
pub(super) const FUSED: usize = 3 * WIDTH;

/// The dimensions on which the layout depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Trees.
    pub(super) trees: usize,
    /// Trees, rounded up to a multiple of [`LANES`]: the length of an array with a number for each tree.
    pub(super) padded: usize,
    /// Leaves of all trees.
    pub(super) leaves: usize,
}

/// A part of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Query, key and value of a leaf. By input, then by output.
    Projection,
    ProjectionBias,
    /// The linear map that joins the self-attention's heads. By output, then by input.
    HeadJoin,
    HeadJoinBias,
    /// Of the layer norm. By number of a tree's vector, then by tree (padded with zeros).
    NormGain,
    NormShift,
    /// Of the attention by importer and HS code: the map of the query. By input, then by output.
    AttentionQuery,
    /// The map of a tree's vector, added to that of the query. By output, then by input.
    AttentionTree,
    AttentionBias,
    /// From the hidden layer of the attention to a tree's score.
    AttentionScore,
    /// The first hidden layer. By input, then by output.
    Fusion,
    FusionBias,
    /// The second hidden layer. By input, then by output.
    Hidden,
    HiddenBias,
    /// The output layer: of the log odds, then of the revenue.
    Heads,
    HeadsBias,
    /// The leaves' vectors, by leaf.
    Leaves,
}

impl Part {
    /// All parts, in the order of the list.
    pub(super) const ALL: [Self; 17] = [
        Self::Projection,
        Self::ProjectionBias,
        Self::HeadJoin,
        Self::HeadJoinBias,
        Self::NormGain,
        Self::NormShift,
        Self::AttentionQuery,
        Self::AttentionTree,
        Self::AttentionBias,
        Self::AttentionScore,
        Self::Fusion,
        Self::FusionBias,
        Self::Hidden,
        Self::HiddenBias,
        Self::Heads,
        Self::HeadsBias,
        Self::Leaves,
    ];
}

impl Shape {
    pub(super) fn new(trees: usize, leaves: usize) -> Self {
        Self { trees, padded: trees.next_multiple_of(LANES), leaves }
    }

    /// The shape over trees with these numbers of leaves.
    pub(super) fn of_trees(leaf_counts: &[u32]) -> Self {
        Self::new(leaf_counts.len(), leaf_counts.iter().map(|count| *count as usize).sum())
    }

    fn length(self, part: Part) -> usize {
        match part {
            Part::Projection => WIDTH * PROJECTED,
            Part::ProjectionBias => PROJECTED,
            Part::HeadJoin | Part::AttentionQuery | Part::AttentionTree | Part::Hidden => WIDTH * WIDTH,
            Part::NormGain | Part::NormShift => WIDTH * self.padded,
            Part::HeadJoinBias
            | Part::AttentionBias
            | Part::AttentionScore
            | Part::FusionBias
            | Part::HiddenBias => WIDTH,
            Part::Fusion => FUSED * WIDTH,
            Part::Heads => 2 * WIDTH,
            Part::HeadsBias => 2,
            Part::Leaves => self.leaves * WIDTH,
        }
    }

    /// Where a part is in the list.
    #[inline]
    pub(super) fn range(self, part: Part) -> Range<usize> {
        let start = Part::ALL[..part as usize].iter().map(|part| self.length(*part)).sum();
        start..start + self.length(part)
    }

    /// Length of the list.
    pub(super) fn weights(self) -> usize {
        self.range(Part::Leaves).end
    }

    /// The weights before training: matrices uniform after Glorot and Bengio (AISTATS 2010), gains 1, the bias of the
    /// log odds that of the share of positives, all other biases 0.
    pub(super) fn initial_weights(self, seed: u64, positive_share: f64) -> Vec<f32> {
        let mut weights = vec![0.0; self.weights()];
        for part in Part::ALL {
            let (inputs, outputs) = match part {
                // Query, key and value are three matrices.
                Part::Projection | Part::HeadJoin | Part::Hidden => (WIDTH, WIDTH),
                // Two halves of one matrix.
                Part::AttentionQuery | Part::AttentionTree => (2 * WIDTH, WIDTH),
                Part::AttentionScore | Part::Heads => (WIDTH, 1),
                Part::Fusion => (FUSED, WIDTH),
                Part::Leaves => (self.leaves, WIDTH),
                _ => continue,
            };
            let bound = (6.0 / (inputs + outputs) as f64).sqrt();
            let salt = mix(seed ^ mix(part as u64));
            for (at, weight) in weights[self.range(part)].iter_mut().enumerate() {
                *weight = (bound * symmetric_uniform(mix(salt ^ at as u64))) as f32;
            }
        }
        for gains in weights[self.range(Part::NormGain)].chunks_exact_mut(self.padded) {
            gains[..self.trees].fill(1.0);
        }
        let share = positive_share.clamp(1e-6, 1.0 - 1e-6);
        weights[self.range(Part::HeadsBias).start] = (share / (1.0 - share)).ln() as f32;
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_follow_each_other() {
        let shape = Shape::new(100, 1480);
        assert_eq!(shape.padded, 104);
        let mut end = 0;
        for part in Part::ALL {
            assert_eq!(shape.range(part).start, end);
            end = shape.range(part).end;
        }
        assert_eq!(end, shape.weights());
        let weights = shape.initial_weights(1, 0.2);
        assert!(weights[shape.range(Part::Leaves)].iter().all(|weight| weight.abs() < 0.064));
        assert_eq!(weights[shape.range(Part::NormGain)].iter().sum::<f32>(), 1600.0);
        assert!((weights[shape.range(Part::HeadsBias).start] - 0.25_f32.ln()).abs() < 1e-6);
        assert_ne!(weights, shape.initial_weights(2, 0.2));
    }
}
