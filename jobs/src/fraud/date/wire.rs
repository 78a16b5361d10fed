//! What leader and shards send each other, as protobuf messages: floats travel bit for bit.

use super::embedding::Rows;
use crate::learning::local_sgd::{Answer, Trained};

/// One instruction.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Instruction {
    #[prost(oneof = "Ask", tags = "1, 2, 3")]
    pub(super) ask: Option<Ask>,
}

/// The kinds of instruction; the answers are gathered.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Ask {
    /// Count the rows: [`Counts`].
    #[prost(message, tag = "1")]
    Count(Count),
    /// Train for some steps: [`Round`].
    #[prost(message, tag = "2")]
    Train(Train),
    /// Score the validation rows: [`Judged`].
    #[prost(message, tag = "3")]
    Judge(Judge),
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Count {}

/// What a shard must know of all shards' rows.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Setting {
    #[prost(uint64, tag = "1")]
    pub(super) steps_per_epoch: u64,
    /// The largest ln(1 + revenue) of the training rows; 0: no revenue is known.
    #[prost(float, tag = "2")]
    pub(super) revenue_scale: f32,
}

/// Rows of both tables.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Tables {
    #[prost(message, required, tag = "1")]
    pub(super) importers: Rows,
    #[prost(message, required, tag = "2")]
    pub(super) codes: Rows,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Train {
    #[prost(message, required, tag = "1")]
    pub(super) setting: Setting,
    /// The first step, counted over the whole fit from 0.
    #[prost(uint64, tag = "2")]
    pub(super) first: u64,
    #[prost(uint32, tag = "3")]
    pub(super) steps: u32,
    #[prost(message, required, tag = "4")]
    pub(super) dense: Trained,
    /// The rows that the last round changed.
    #[prost(message, required, tag = "5")]
    pub(super) tables: Tables,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Judge {
    #[prost(message, required, tag = "1")]
    pub(super) setting: Setting,
    #[prost(float, repeated, tag = "2")]
    pub(super) weights: Vec<f32>,
    /// The rows that the last round changed.
    #[prost(message, required, tag = "3")]
    pub(super) tables: Tables,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Counts {
    #[prost(uint64, tag = "1")]
    pub(super) training_rows: u64,
    #[prost(uint64, tag = "2")]
    pub(super) training_positives: u64,
    #[prost(uint64, tag = "3")]
    pub(super) validation_rows: u64,
    #[prost(uint64, tag = "4")]
    pub(super) validation_positives: u64,
    /// The largest ln(1 + revenue) of the training rows.
    #[prost(float, tag = "5")]
    pub(super) largest_revenue: f32,
}

/// What a shard came to in a round.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Round {
    #[prost(message, required, tag = "1")]
    pub(super) dense: Answer,
    /// What was added to rows.
    #[prost(message, required, tag = "2")]
    pub(super) tables: Tables,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Judged {
    /// Rows with each score, from the lowest: positive, negative.
    #[prost(uint64, repeated, tag = "1")]
    pub(super) positives: Vec<u64>,
    #[prost(uint64, repeated, tag = "2")]
    pub(super) negatives: Vec<u64>,
    /// Sums over the rows of known revenue: what was predicted, and what there was, national currency.
    #[prost(double, tag = "3")]
    pub(super) predicted: f64,
    #[prost(double, tag = "4")]
    pub(super) revenue: f64,
    /// The sum of the log losses of all rows.
    #[prost(double, tag = "5")]
    pub(super) loss: f64,
}

/// What brings a fresh shard up to date: the learned rows. All else travels with each instruction.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct History {
    #[prost(message, required, tag = "1")]
    pub(super) tables: Tables,
}

/// What was learned by the end of an epoch.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Learned {
    #[prost(float, repeated, tag = "1")]
    pub(super) weights: Vec<f32>,
    /// Without sums of squares.
    #[prost(message, required, tag = "2")]
    pub(super) tables: Tables,
    /// By which predicted revenues are multiplied, so that they add up to those of the validation rows.
    #[prost(double, tag = "3")]
    pub(super) revenue_factor: f64,
    #[prost(double, tag = "4")]
    pub(super) average_precision: f64,
    #[prost(uint32, tag = "5")]
    pub(super) epoch: u32,
    #[prost(double, tag = "6")]
    pub(super) log_loss: f64,
}

/// The leader's state after an epoch.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct State {
    /// The parameters, as JSON.
    #[prost(string, tag = "1")]
    pub(super) parameters: String,
    /// Leaves of each tree.
    #[prost(uint32, repeated, tag = "2")]
    pub(super) leaves: Vec<u32>,
    #[prost(message, optional, tag = "3")]
    pub(super) setting: Option<Setting>,
    #[prost(message, required, tag = "4")]
    pub(super) dense: Trained,
    #[prost(message, required, tag = "5")]
    pub(super) tables: Tables,
    /// Steps that were made.
    #[prost(uint64, tag = "6")]
    pub(super) steps: u64,
    /// Epochs that were judged.
    #[prost(uint32, tag = "7")]
    pub(super) epochs: u32,
    #[prost(message, optional, tag = "8")]
    pub(super) best: Option<Learned>,
    #[prost(bool, tag = "9")]
    pub(super) finished: bool,
    #[prost(bool, tag = "10")]
    pub(super) has_validation: bool,
    #[prost(double, tag = "11")]
    pub(super) last_loss: f64,
}
