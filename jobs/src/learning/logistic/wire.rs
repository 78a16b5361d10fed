//! What leader and shards send each other, as protobuf messages: floats travel bit for bit.

use super::{Edges, FeatureSummary};

/// One instruction.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Instruction {
    /// What to do.
    #[prost(oneof = "Ask", tags = "1, 2, 3")]
    pub(super) ask: Option<Ask>,
}

/// The kinds of instruction.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Ask {
    /// Summarise the features: a gathering of [`Summary`].
    #[prost(message, tag = "1")]
    Summarise(Summarise),
    /// Bin the features: the sum of the numbers of training rows by term, then of all training rows, of the
    /// positive ones, and of validation rows.
    #[prost(message, tag = "2")]
    Bin(Binning),
    /// Score the rows: the sum of the gradient by term, then of the intercept's, of the training loss and of the
    /// validation loss.
    #[prost(message, tag = "3")]
    Evaluate(Terms),
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Summarise {}

/// What one shard knows about its training rows before binning.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(super) features: Vec<FeatureSummary>,
}

/// How features are cut.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Binning {
    #[prost(message, repeated, tag = "1")]
    pub(super) features: Vec<Edges>,
}

/// The terms of all features' bins, one feature after the other, then the intercept.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Terms {
    #[prost(double, repeated, tag = "1")]
    pub(super) values: Vec<f64>,
}

/// What brings a fresh shard up to date.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct History {
    #[prost(message, optional, tag = "1")]
    pub(super) binning: Option<Binning>,
}

/// The leader's state between two rounds.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct State {
    /// The parameters, as JSON.
    #[prost(string, tag = "1")]
    pub(super) parameters: String,
    #[prost(message, optional, tag = "2")]
    pub(super) binning: Option<Binning>,
    /// Training rows by term, then of all training rows, of the positive ones, and of validation rows; empty
    /// before the shards have answered to the binning.
    #[prost(int64, repeated, tag = "3")]
    pub(super) counts: Vec<i64>,
    #[prost(message, optional, tag = "4")]
    pub(super) descent: Option<Descent>,
    /// The place of the penalty that is tried.
    #[prost(uint32, tag = "5")]
    pub(super) penalty: u32,
    /// The rounds of that penalty.
    #[prost(uint32, tag = "6")]
    pub(super) rounds: u32,
    /// Mean log loss of the validation rows with the best terms; none before a penalty is done.
    #[prost(double, optional, tag = "7")]
    pub(super) best_loss: Option<f64>,
    /// The best terms, and the place of their penalty.
    #[prost(message, optional, tag = "8")]
    pub(super) best: Option<Terms>,
    #[prost(uint32, tag = "9")]
    pub(super) best_penalty: u32,
    #[prost(bool, tag = "10")]
    pub(super) finished: bool,
}

/// Where a descent stands; see the module `descent`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Descent {
    #[prost(double, repeated, tag = "1")]
    pub(super) at: Vec<f64>,
    /// What the shards said of `at`; none before the first answer.
    #[prost(message, optional, tag = "2")]
    pub(super) measured: Option<Measured>,
    #[prost(double, repeated, tag = "3")]
    pub(super) direction: Vec<f64>,
    #[prost(double, tag = "4")]
    pub(super) step: f64,
    /// The last steps, the oldest first.
    #[prost(message, repeated, tag = "5")]
    pub(super) steps: Vec<Step>,
}

/// The losses at a point, without the penalty.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Measured {
    #[prost(double, tag = "1")]
    pub(super) loss: f64,
    #[prost(double, repeated, tag = "2")]
    pub(super) gradient: Vec<f64>,
    /// The sum over the validation rows.
    #[prost(double, tag = "3")]
    pub(super) validation_loss: f64,
}

/// A step, and by how much it changed the gradient of the objective.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Step {
    #[prost(double, repeated, tag = "1")]
    pub(super) moved: Vec<f64>,
    #[prost(double, repeated, tag = "2")]
    pub(super) changed: Vec<f64>,
}
