//! What leader and shards of the classifiers' fit send each other, and the checkpoint, as protobuf messages.

use prost::Message;

/// One instruction.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Instruction {
    #[prost(oneof = "Request", tags = "1, 2")]
    pub(super) request: Option<Request>,
}

/// The kinds of instruction; the answers are gathered.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Request {
    /// Count the texts of each code: [`CodeCounts`].
    #[prost(message, tag = "1")]
    Count(Count),
    /// Train the shard's own classifiers of a range: [`TrainedClassifiers`].
    #[prost(message, tag = "2")]
    Train(ClassifierRange),
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Count {}

/// A range of classifiers by their numbers, the end excluded.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct ClassifierRange {
    #[prost(uint32, tag = "1")]
    pub(super) first: u32,
    #[prost(uint32, tag = "2")]
    pub(super) end: u32,
}

/// Codes, ascending, with their numbers of texts.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CodeCounts {
    #[prost(uint32, repeated, tag = "1")]
    pub(super) codes: Vec<u32>,
    #[prost(uint32, repeated, tag = "2")]
    pub(super) texts: Vec<u32>,
}

/// What a shard trained in a round.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TrainedClassifiers {
    #[prost(message, repeated, tag = "1")]
    pub(super) classifiers: Vec<StoredClassifier>,
}

/// A classifier with its number: bias, and features with their weights.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredClassifier {
    #[prost(uint32, tag = "1")]
    pub(super) number: u32,
    #[prost(float, tag = "2")]
    pub(super) bias: f32,
    #[prost(uint32, repeated, tag = "3")]
    pub(super) features: Vec<u32>,
    #[prost(float, repeated, tag = "4")]
    pub(super) weights: Vec<f32>,
}

/// The leader's state between two rounds.
#[derive(Clone, PartialEq, Message)]
pub(super) struct State {
    #[prost(message, optional, tag = "1")]
    pub(super) counts: Option<CodeCounts>,
    /// Rounds done.
    #[prost(uint32, tag = "2")]
    pub(super) done: u32,
    #[prost(message, repeated, tag = "3")]
    pub(super) classifiers: Vec<StoredClassifier>,
}
