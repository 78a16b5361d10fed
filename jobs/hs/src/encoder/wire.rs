//! What leader and shards send each other, and the checkpoint, as protobuf messages, in which floats keep their bits.

use prost::Message;
use tidewaiter_learning::local_sgd::Trained;

/// One instruction.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Instruction {
    #[prost(oneof = "Request", tags = "1, 2, 3")]
    pub(super) request: Option<Request>,
}

/// The kinds of instruction; the answers are gathered.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Request {
    /// Count the shard's texts: [`ShardCounts`].
    #[prost(message, tag = "1")]
    Count(Count),
    /// Train for some steps: [`tidewaiter_learning::local_sgd::Answer`].
    #[prost(message, tag = "2")]
    Train(Train),
    /// Encode the shard's validation texts: [`EncodedTexts`].
    #[prost(message, tag = "3")]
    Encode(Encode),
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Count {}

/// The contents of a shard.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ShardCounts {
    /// The number of its training texts.
    #[prost(uint64, tag = "1")]
    pub(super) texts: u64,
    /// Training texts that are too long to be read to their end.
    #[prost(uint64, tag = "2")]
    pub(super) cut: u64,
    /// Numbers in an embedding.
    #[prost(uint32, tag = "3")]
    pub(super) width: u32,
    /// The codes of all training texts, ascending; sent by the first shard only.
    #[prost(uint32, repeated, tag = "4")]
    pub(super) codes: Vec<u32>,
    /// The encoder's weights of the last layers, if those are trained; sent by the first shard only.
    #[prost(float, repeated, tag = "5")]
    pub(super) layers: Vec<f32>,
}

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Stage {
    /// The head, on the embeddings of the unchanged encoder.
    Head = 0,
    /// The head and the last layers.
    Layers = 1,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Train {
    #[prost(enumeration = "Stage", tag = "1")]
    pub(super) stage: i32,
    /// The number of the first step within the stage, from 0.
    #[prost(uint64, tag = "2")]
    pub(super) first: u64,
    #[prost(uint64, tag = "3")]
    pub(super) steps: u64,
    #[prost(uint64, tag = "4")]
    pub(super) steps_per_epoch: u64,
    /// Steps of the whole stage.
    #[prost(uint64, tag = "5")]
    pub(super) total: u64,
    #[prost(message, required, tag = "6")]
    pub(super) trained: Trained,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Encode {
    /// The weights of the last layers, if they were trained.
    #[prost(float, repeated, tag = "1")]
    pub(super) layers: Vec<f32>,
}

/// The embeddings of a shard's validation texts, one after the other.
#[derive(Clone, PartialEq, Message)]
pub(super) struct EncodedTexts {
    #[prost(float, repeated, tag = "1")]
    pub(super) values: Vec<f32>,
    #[prost(uint64, tag = "2")]
    pub(super) cut: u64,
}

/// The leader's state between two rounds.
#[derive(Clone, PartialEq, Message)]
pub(super) struct State {
    /// All shards' counts, once they are known.
    #[prost(message, optional, tag = "1")]
    pub(super) counts: Option<ShardCounts>,
    #[prost(enumeration = "Stage", tag = "2")]
    pub(super) stage: i32,
    /// Steps done of the stage.
    #[prost(uint64, tag = "3")]
    pub(super) steps: u64,
    #[prost(message, required, tag = "4")]
    pub(super) trained: Trained,
    #[prost(double, tag = "5")]
    pub(super) loss: f64,
    /// The embeddings of the validation texts, at the end.
    #[prost(message, optional, tag = "6")]
    pub(super) encoded: Option<EncodedTexts>,
}
