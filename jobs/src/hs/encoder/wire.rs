//! What leader and shards send each other, as protobuf messages: floats travel bit for bit.

use prost::Message;

use crate::learning::local_sgd::Trained;

/// One instruction.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Instruction {
    #[prost(oneof = "Ask", tags = "1, 2, 3")]
    pub(super) ask: Option<Ask>,
}

/// The kinds of instruction; the answers are gathered.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Ask {
    /// Say what you hold: [`Counts`].
    #[prost(message, tag = "1")]
    Count(Count),
    /// Train for some steps: [`crate::learning::local_sgd::Answer`].
    #[prost(message, tag = "2")]
    Train(Train),
    /// Encode your validation texts: [`Encoded`].
    #[prost(message, tag = "3")]
    Encode(Encode),
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Count {}

/// What a shard holds.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Counts {
    /// Its training texts.
    #[prost(uint64, tag = "1")]
    pub(super) texts: u64,
    /// Those that are read only in part, as they are too long.
    #[prost(uint64, tag = "2")]
    pub(super) cut: u64,
    /// Numbers in an embedding.
    #[prost(uint32, tag = "3")]
    pub(super) width: u32,
    /// The codes of all training texts, ascending; the first shard speaks for all.
    #[prost(uint32, repeated, tag = "4")]
    pub(super) codes: Vec<u32>,
    /// The weights of the last layers as the encoder has them, if they are trained; the first shard speaks for all.
    #[prost(float, repeated, tag = "5")]
    pub(super) layers: Vec<f32>,
}

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Stage {
    /// The head, on the embeddings of the encoder as it came.
    Head = 0,
    /// The head and the last layers.
    Layers = 1,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Train {
    #[prost(enumeration = "Stage", tag = "1")]
    pub(super) stage: i32,
    /// The first step, counted over the stage from 0.
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
pub(super) struct Encoded {
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
    pub(super) counts: Option<Counts>,
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
    pub(super) encoded: Option<Encoded>,
}
