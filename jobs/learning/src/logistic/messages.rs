//! The messages between leader and shards, and the leader's checkpoint, as protobuf: floats travel bit for bit.

use crate::binning::{BinEdges, FeatureSummary, Keys};

/// An instruction of the leader.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Instruction {
    #[prost(oneof = "Request", tags = "1, 2, 3, 4")]
    pub(super) request: Option<Request>,
}

/// The kinds of instruction, and the contribution to each.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Request {
    /// Summarise the features: one [`ShardSummary`] of each shard.
    #[prost(message, tag = "1")]
    Summarise(Summarise),
    /// Bin the features: the sum of the row counts, see [`LeaderState::row_counts`].
    #[prost(message, tag = "2")]
    Bin(Binning),
    /// Score the rows: the sum of the gradient by term, then by the intercept, of the training loss and of the
    /// validation loss.
    #[prost(message, tag = "3")]
    Evaluate(Terms),
    /// Count values of the training rows: the sum of the counts, feature after feature.
    #[prost(message, tag = "4")]
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

/// What the leader has to know of one shard's training rows before binning.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ShardSummary {
    #[prost(message, repeated, tag = "1")]
    pub(super) features: Vec<FeatureSummary>,
}

/// The bins of all features.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Binning {
    #[prost(message, repeated, tag = "1")]
    pub(super) features: Vec<BinEdges>,
}

/// The terms of all features' bins, one feature after the other, then the intercept.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Terms {
    #[prost(double, repeated, tag = "1")]
    pub(super) values: Vec<f64>,
}

/// What brings a newly loaded shard up to date.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ShardHistory {
    #[prost(message, optional, tag = "1")]
    pub(super) binning: Option<Binning>,
}

/// The leader's state between two rounds.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LeaderState {
    /// The parameters, as JSON.
    #[prost(string, tag = "1")]
    pub(super) parameters: String,
    #[prost(message, optional, tag = "2")]
    pub(super) binning: Option<Binning>,
    /// The numbers of training rows by term, then of all training rows, of the positive ones, and of validation rows;
    /// empty before the shards have binned their rows.
    #[prost(int64, repeated, tag = "3")]
    pub(super) row_counts: Vec<i64>,
    #[prost(message, optional, tag = "4")]
    pub(super) minimiser: Option<Lbfgs>,
    /// The index of the current penalty.
    #[prost(uint32, tag = "5")]
    pub(super) penalty: u32,
    /// The rounds of that penalty.
    #[prost(uint32, tag = "6")]
    pub(super) rounds: u32,
    /// The mean log loss of the validation rows with the best terms; none before a penalty is done.
    #[prost(double, optional, tag = "7")]
    pub(super) best_loss: Option<f64>,
    /// The best terms.
    #[prost(message, optional, tag = "8")]
    pub(super) best: Option<Terms>,
    /// The index of their penalty.
    #[prost(uint32, tag = "9")]
    pub(super) best_penalty: u32,
    #[prost(bool, tag = "10")]
    pub(super) finished: bool,
}

/// The state of the minimisation; see the module `lbfgs`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Lbfgs {
    /// The best point so far.
    #[prost(double, repeated, tag = "1")]
    pub(super) point: Vec<f64>,
    /// The losses at that point; none before the first evaluation.
    #[prost(message, optional, tag = "2")]
    pub(super) evaluation: Option<Evaluation>,
    #[prost(double, repeated, tag = "3")]
    pub(super) direction: Vec<f64>,
    /// The next point to evaluate is this many times the direction away.
    #[prost(double, tag = "4")]
    pub(super) step: f64,
    /// The last steps, the oldest first.
    #[prost(message, repeated, tag = "5")]
    pub(super) pairs: Vec<CorrectionPair>,
}

/// The losses at a point, without the penalty.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Evaluation {
    /// The sum over the training rows.
    #[prost(double, tag = "1")]
    pub(super) loss: f64,
    #[prost(double, repeated, tag = "2")]
    pub(super) gradient: Vec<f64>,
    /// The sum over the validation rows.
    #[prost(double, tag = "3")]
    pub(super) validation_loss: f64,
}

/// A step of the minimisation: the changes of the point and of the objective's gradient (s and y in the literature).
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CorrectionPair {
    #[prost(double, repeated, tag = "1")]
    pub(super) point_change: Vec<f64>,
    #[prost(double, repeated, tag = "2")]
    pub(super) gradient_change: Vec<f64>,
}
