//! The messages between leader and shards, and the leader's checkpoint, as protobuf: floats travel bit for bit.

use super::model::Tree;
use crate::binning::{BinEdges, FeatureSummary, Keys};

/// An instruction of the leader.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Instruction {
    #[prost(oneof = "Request", tags = "1, 2, 3, 4, 5")]
    pub(super) request: Option<Request>,
}

/// The kinds of instruction, and the contribution to each.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Request {
    /// Summarise the features: one [`ShardSummary`] of each shard.
    #[prost(message, tag = "1")]
    Summarise(Summarise),
    /// Bin the features: the sum of the validation loss at the base score.
    #[prost(message, tag = "2")]
    Bin(Binning),
    /// Apply the splits of the tree under way: the sum of the histogram of one leaf.
    #[prost(message, tag = "3")]
    Histogram(HistogramRequest),
    /// Add a finished tree to the scores: the sum of the validation loss.
    #[prost(message, tag = "4")]
    Finish(FinishedTree),
    /// Count values of the training rows: the sum of the counts, feature after feature.
    #[prost(message, tag = "5")]
    Count(Candidates),
}

/// The values of each feature that are counted exactly.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Candidates {
    #[prost(message, repeated, tag = "1")]
    pub(super) features: Vec<Keys>,
}

/// Nothing but the request.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Summarise {}

/// A leaf of the tree under way.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HistogramRequest {
    /// How many trees are finished.
    #[prost(uint32, tag = "1")]
    pub(super) index: u32,
    /// The splits so far; no leaf values yet.
    #[prost(message, required, tag = "2")]
    pub(super) tree: Tree,
    /// The number of the leaf.
    #[prost(uint32, tag = "3")]
    pub(super) leaf: u32,
    /// The features of the histogram, which are those that this tree may use; ascending.
    #[prost(uint32, repeated, tag = "4")]
    pub(super) features: Vec<u32>,
}

/// A finished tree, with the splits in the order in which the shards made them.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FinishedTree {
    /// How many trees were finished before this one.
    #[prost(uint32, tag = "1")]
    pub(super) index: u32,
    #[prost(message, required, tag = "2")]
    pub(super) tree: Tree,
}

/// What the leader has to know of one shard's rows before binning.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ShardSummary {
    #[prost(uint64, tag = "1")]
    pub(super) training_rows: u64,
    #[prost(uint64, tag = "2")]
    pub(super) training_positives: u64,
    #[prost(uint64, tag = "3")]
    pub(super) validation_rows: u64,
    #[prost(uint64, tag = "4")]
    pub(super) validation_positives: u64,
    /// The features of the training rows.
    #[prost(message, repeated, tag = "5")]
    pub(super) features: Vec<FeatureSummary>,
}

/// What a shard has to know of the parameters and of the other shards' rows.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Binning {
    #[prost(message, repeated, tag = "1")]
    pub(super) features: Vec<BinEdges>,
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

/// What brings a newly loaded shard up to date: the binning and the finished trees. The splits of the tree under way
/// are part of each instruction.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ShardHistory {
    #[prost(message, optional, tag = "1")]
    pub(super) binning: Option<Binning>,
    #[prost(message, repeated, tag = "2")]
    pub(super) trees: Vec<Tree>,
}

/// The leader's state between two trees.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LeaderState {
    /// The parameters: see `Parameters::to_lists`.
    #[prost(uint64, repeated, tag = "1")]
    pub(super) integers: Vec<u64>,
    #[prost(double, repeated, tag = "2")]
    pub(super) reals: Vec<f64>,
    #[prost(message, optional, tag = "3")]
    pub(super) binning: Option<Binning>,
    /// Whether the shards have binned their rows.
    #[prost(bool, tag = "4")]
    pub(super) binned: bool,
    #[prost(message, repeated, tag = "5")]
    pub(super) trees: Vec<Tree>,
    /// The weight of all validation rows; 0 without any.
    #[prost(double, tag = "6")]
    pub(super) validation_weight: f64,
    /// The mean validation loss after all trees.
    #[prost(double, tag = "7")]
    pub(super) loss: f64,
    #[prost(double, tag = "8")]
    pub(super) best_loss: f64,
    /// The number of trees that gave the best loss.
    #[prost(uint32, tag = "9")]
    pub(super) best_trees: u32,
    #[prost(bool, tag = "10")]
    pub(super) finished: bool,
}
