//! What leader and shards of a fit send each other, as protobuf messages: floats travel bit for bit.

use tidewaiter_learning::local_sgd::Trained;

use super::embedding::TableRows;

/// Bins of log odds in which a shard counts its validation rows, for their ranking.
pub(super) const RANKING_BINS: usize = 1 << 14;

/// An instruction of the leader to all shards; their answers are gathered.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Instruction {
    #[prost(oneof = "Request", tags = "1, 2, 3")]
    pub(super) request: Option<Request>,
}

/// The kinds of instruction.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Request {
    /// Count the rows; the answer is [`RowCounts`].
    #[prost(message, tag = "1")]
    Count(CountRows),
    /// Train for some steps; the answer is averaged, and its note has the changed rows of the [`Tables`].
    #[prost(message, tag = "2")]
    Train(TrainSteps),
    /// Evaluate the weights on the validation rows; the answer is [`Evaluation`].
    #[prost(message, tag = "3")]
    Evaluate(Evaluate),
}

/// Count the rows.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct CountRows {}

/// Figures over the rows of all shards, which are constant during a fit.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct FitConstants {
    #[prost(uint64, tag = "1")]
    pub(super) steps_per_epoch: u64,
    /// The largest ln(1 + revenue) of the training rows; 0: no revenue is known.
    #[prost(float, tag = "2")]
    pub(super) revenue_scale: f32,
}

/// Rows of both embedding tables.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Tables {
    #[prost(message, required, tag = "1")]
    pub(super) importers: TableRows,
    #[prost(message, required, tag = "2")]
    pub(super) codes: TableRows,
}

/// Train for some steps.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TrainSteps {
    #[prost(message, required, tag = "1")]
    pub(super) constants: FitConstants,
    /// Number of the first step, counted over the whole fit from 0.
    #[prost(uint64, tag = "2")]
    pub(super) first: u64,
    /// Number of steps.
    #[prost(uint32, tag = "3")]
    pub(super) steps: u32,
    /// Dense weights and their moments.
    #[prost(message, required, tag = "4")]
    pub(super) dense: Trained,
    /// The table rows that the last round changed.
    #[prost(message, required, tag = "5")]
    pub(super) tables: Tables,
}

/// Evaluate weights on the validation rows.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Evaluate {
    #[prost(message, required, tag = "1")]
    pub(super) constants: FitConstants,
    /// Dense weights.
    #[prost(float, repeated, tag = "2")]
    pub(super) weights: Vec<f32>,
    /// The table rows that the last round changed.
    #[prost(message, required, tag = "3")]
    pub(super) tables: Tables,
}

/// A shard's rows.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct RowCounts {
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

/// A shard's validation rows as predicted by the weights.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Evaluation {
    /// Illicit rows by [`RANKING_BINS`] of their log odds, from the lowest.
    #[prost(uint64, repeated, tag = "1")]
    pub(super) positives: Vec<u64>,
    /// The same of the other rows.
    #[prost(uint64, repeated, tag = "2")]
    pub(super) negatives: Vec<u64>,
    /// Sum of the predicted revenues over the rows whose revenue is known, national currency.
    #[prost(double, tag = "3")]
    pub(super) predicted: f64,
    /// Sum of the revenues of these rows, national currency.
    #[prost(double, tag = "4")]
    pub(super) revenue: f64,
    /// Sum of the log losses of all rows.
    #[prost(double, tag = "5")]
    pub(super) loss: f64,
}

/// What brings a new shard up to date: the trained table rows. All else is in each instruction.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TrainedRows {
    #[prost(message, required, tag = "1")]
    pub(super) tables: Tables,
}

/// The weights at the end of an epoch, with their evaluation.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EpochResult {
    /// Dense weights.
    #[prost(float, repeated, tag = "1")]
    pub(super) weights: Vec<f32>,
    /// Trained table rows, without sums of squares.
    #[prost(message, required, tag = "2")]
    pub(super) tables: Tables,
    /// Factor of predicted revenues by which their sum over the validation rows becomes that of the revenues.
    #[prost(double, tag = "3")]
    pub(super) revenue_factor: f64,
    #[prost(double, tag = "4")]
    pub(super) average_precision: f64,
    /// Number of the epoch, from 1.
    #[prost(uint32, tag = "5")]
    pub(super) epoch: u32,
    /// Mean log loss of the validation rows.
    #[prost(double, tag = "6")]
    pub(super) log_loss: f64,
}

/// The leader's state after an epoch.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Checkpoint {
    /// The hyper-parameters, as JSON.
    #[prost(string, tag = "1")]
    pub(super) parameters: String,
    /// Leaves of each tree.
    #[prost(uint32, repeated, tag = "2")]
    pub(super) leaf_counts: Vec<u32>,
    /// Absent until the rows are counted.
    #[prost(message, optional, tag = "3")]
    pub(super) constants: Option<FitConstants>,
    #[prost(message, required, tag = "4")]
    pub(super) dense: Trained,
    /// Trained table rows, with their sums of squares.
    #[prost(message, required, tag = "5")]
    pub(super) tables: Tables,
    /// Steps made.
    #[prost(uint64, tag = "6")]
    pub(super) steps: u64,
    /// Epochs evaluated.
    #[prost(uint32, tag = "7")]
    pub(super) epochs: u32,
    #[prost(message, optional, tag = "8")]
    pub(super) best: Option<EpochResult>,
    #[prost(bool, tag = "9")]
    pub(super) finished: bool,
    #[prost(bool, tag = "10")]
    pub(super) has_validation: bool,
    /// Mean loss of the last training steps.
    #[prost(double, tag = "11")]
    pub(super) last_loss: f64,
}
