//! What leader and shards send each other, as protobuf messages: floats travel bit for bit.

use super::model::Tree;

/// One instruction.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Instruction {
    /// What to do.
    #[prost(oneof = "Ask", tags = "1, 2, 3, 4")]
    pub(super) ask: Option<Ask>,
}

/// The kinds of instruction.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Ask {
    /// Summarise the features: a gathering of [`Summary`].
    #[prost(message, tag = "1")]
    Summarise(Summarise),
    /// Bin the features: the sum of the validation loss at the base score.
    #[prost(message, tag = "2")]
    Prepare(Binning),
    /// Bring the tree under way to these splits: the histogram of one leaf.
    #[prost(message, tag = "3")]
    Grow(Grow),
    /// Add a finished tree to the scores: the sum of the validation loss.
    #[prost(message, tag = "4")]
    Finish(Finish),
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Summarise {}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Grow {
    /// How many trees are finished.
    #[prost(uint32, tag = "1")]
    pub(super) index: u32,
    /// The splits so far; no leaf values yet.
    #[prost(message, required, tag = "2")]
    pub(super) tree: Tree,
    /// The leaf whose histogram is wanted.
    #[prost(uint32, tag = "3")]
    pub(super) leaf: u32,
    /// The features that this tree may use, in ascending order: the histogram is of these.
    #[prost(uint32, repeated, tag = "4")]
    pub(super) features: Vec<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Finish {
    /// How many trees were finished before this one.
    #[prost(uint32, tag = "1")]
    pub(super) index: u32,
    #[prost(message, required, tag = "2")]
    pub(super) tree: Tree,
}

/// What one shard knows about its rows before binning.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Summary {
    #[prost(uint64, tag = "1")]
    pub(super) training_rows: u64,
    #[prost(uint64, tag = "2")]
    pub(super) training_positives: u64,
    #[prost(uint64, tag = "3")]
    pub(super) validation_rows: u64,
    #[prost(uint64, tag = "4")]
    pub(super) validation_positives: u64,
    #[prost(message, repeated, tag = "5")]
    pub(super) features: Vec<FeatureSummary>,
}

/// Distinct values of one feature with their exact counts, in ascending order of the keys.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::learning) struct FeatureSummary {
    #[prost(fixed32, repeated, tag = "1")]
    pub(in crate::learning) keys: Vec<u32>,
    #[prost(uint64, repeated, tag = "2")]
    pub(in crate::learning) counts: Vec<u64>,
}

/// What a shard must know of the parameters and of the other shards' rows.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Binning {
    #[prost(message, repeated, tag = "1")]
    pub(super) features: Vec<Edges>,
    /// The raw score before the first tree.
    #[prost(double, tag = "2")]
    pub(super) base: f64,
    #[prost(double, tag = "3")]
    pub(super) positive_weight: f64,
    /// How many bits a row's second derivative is rounded to.
    #[prost(uint32, tag = "4")]
    pub(super) hessian_bits: u32,
    #[prost(double, tag = "5")]
    pub(super) row_fraction: f64,
    #[prost(uint64, tag = "6")]
    pub(super) seed: u64,
}

/// The upper edges of all bins but the last; a value equal to an edge is below it.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::learning) struct Edges {
    #[prost(float, repeated, tag = "1")]
    pub(in crate::learning) upper: Vec<f32>,
}

/// What brings a fresh shard up to date: the binning and the finished trees. The splits of the tree under
/// way travel with each instruction.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct History {
    #[prost(message, optional, tag = "1")]
    pub(super) binning: Option<Binning>,
    #[prost(message, repeated, tag = "2")]
    pub(super) trees: Vec<Tree>,
}

/// The leader's state between two trees.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct State {
    #[prost(uint64, repeated, tag = "1")]
    pub(super) integers: Vec<u64>,
    #[prost(double, repeated, tag = "2")]
    pub(super) reals: Vec<f64>,
    #[prost(message, optional, tag = "3")]
    pub(super) binning: Option<Binning>,
    /// Whether the shards have answered to the binning.
    #[prost(bool, tag = "4")]
    pub(super) prepared: bool,
    #[prost(message, repeated, tag = "5")]
    pub(super) trees: Vec<Tree>,
    /// The weight of all validation rows; 0 without any.
    #[prost(double, tag = "6")]
    pub(super) validation_weight: f64,
    #[prost(double, tag = "7")]
    pub(super) loss: f64,
    #[prost(double, tag = "8")]
    pub(super) best_loss: f64,
    /// How many trees gave the best loss.
    #[prost(uint32, tag = "9")]
    pub(super) best_trees: u32,
    #[prost(bool, tag = "10")]
    pub(super) finished: bool,
}
