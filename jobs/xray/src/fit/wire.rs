//! The messages between the leader and the shards of a fit, and its checkpoint.

use prost::{Message, Oneof};
use tidewaiter_learning::local_sgd::Trained;

/// What the leader asks of every shard.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Instruction {
    #[prost(oneof = "Request", tags = "1, 2, 3")]
    pub(super) request: Option<Request>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Request {
    #[prost(message, tag = "1")]
    Count(CountImages),
    #[prost(message, tag = "2")]
    Train(TrainSteps),
    #[prost(message, tag = "3")]
    Evaluate(Evaluate),
}

/// How many images are there?
#[derive(Clone, PartialEq, Message)]
pub(super) struct CountImages {}

/// A shard's images; the answer to [`CountImages`].
#[derive(Clone, PartialEq, Message)]
pub(super) struct ImageCounts {
    #[prost(uint64, tag = "1")]
    pub(super) training: u64,
    #[prost(uint64, tag = "2")]
    pub(super) validation: u64,
    /// Training images with an object.
    #[prost(uint64, tag = "3")]
    pub(super) with_objects: u64,
}

/// Make training steps.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TrainSteps {
    /// The first step, counted from 0 over the fit.
    #[prost(uint64, tag = "1")]
    pub(super) first: u64,
    #[prost(uint32, tag = "2")]
    pub(super) steps: u32,
    /// Steps of an epoch.
    #[prost(uint64, tag = "3")]
    pub(super) per_epoch: u64,
    #[prost(message, required, tag = "4")]
    pub(super) trained: Trained,
}

/// Compute the loss of the validation images.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Evaluate {
    #[prost(float, repeated, tag = "1")]
    pub(super) weights: Vec<f32>,
}

/// The answer to [`Evaluate`].
#[derive(Clone, PartialEq, Message)]
pub(super) struct Evaluation {
    #[prost(uint64, tag = "1")]
    pub(super) images: u64,
    /// The sum of the images' losses.
    #[prost(double, tag = "2")]
    pub(super) loss: f64,
}

/// The leader's whole state between two rounds.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Checkpoint {
    /// As JSON.
    #[prost(string, tag = "1")]
    pub(super) parameters: String,
    #[prost(message, optional, tag = "2")]
    pub(super) counts: Option<ImageCounts>,
    #[prost(message, required, tag = "3")]
    pub(super) trained: Trained,
    /// The moving average of the weights.
    #[prost(float, repeated, tag = "4")]
    pub(super) average: Vec<f32>,
    #[prost(uint64, tag = "5")]
    pub(super) steps: u64,
    #[prost(uint32, tag = "6")]
    pub(super) epochs: u32,
    #[prost(float, repeated, tag = "7")]
    pub(super) best: Vec<f32>,
    #[prost(double, optional, tag = "8")]
    pub(super) best_loss: Option<f64>,
}
