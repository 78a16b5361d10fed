//! The messages of this crate's operators, which a plan carries from the scheduler to the executors (protobuf).

use prost::Message;
use tidewaiter_proto::v1::ParquetFile;

/// Computes features that use only the past, over rows in time order, and writes them as Parquet files.
#[derive(Clone, PartialEq, Message)]
pub struct FeaturesOperator {
    /// URL of the archive.
    #[prost(string, tag = "1")]
    pub archive: String,
    /// The folder of the archive that receives the files.
    #[prost(string, tag = "2")]
    pub folder: String,
    /// Which rows are written to which files.
    #[prost(message, repeated, tag = "3")]
    pub outputs: Vec<FeatureOutput>,
    /// How features are computed, as JSON.
    #[prost(string, tag = "4")]
    pub parameters: String,
}

/// Rows of some days, assigned to files in blocks.
#[derive(Clone, PartialEq, Message)]
pub struct FeatureOutput {
    /// Files are <name>-<part>.parquet.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Number of parts.
    #[prost(uint32, tag = "2")]
    pub parts: u32,
    /// The days of its rows; the answer counts the rows of each range.
    #[prost(message, repeated, tag = "3")]
    pub days: Vec<DayRange>,
    /// Leave out rows whose outcome is unknown.
    #[prost(bool, tag = "4")]
    pub labelled_only: bool,
}

/// Days since 1970-01-01, both ends included.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct DayRange {
    /// First day.
    #[prost(sint32, tag = "1")]
    pub first: i32,
    /// Last day.
    #[prost(sint32, tag = "2")]
    pub last: i32,
}

/// Adds the probability of fraud and the expected revenue to rows of features, and reasons to those that rank first.
#[derive(Clone, PartialEq, Message)]
pub struct ScoreOperator {
    /// URL of the archive.
    #[prost(string, tag = "1")]
    pub archive: String,
    /// Path of the model's bytes in the archive.
    #[prost(string, tag = "2")]
    pub model: String,
    /// Rows of at least this probability are explained; absent: none.
    #[prost(double, optional, tag = "3")]
    pub reasons_from: Option<f64>,
    /// Rows of at least this expected revenue are explained, too.
    #[prost(double, optional, tag = "4")]
    pub revenue_from: Option<f64>,
}

/// Sorts declarations by time and adds their true outcomes.
#[derive(Clone, PartialEq, Message)]
pub struct HistoryOperator {
    /// URL of the archive.
    #[prost(string, tag = "1")]
    pub archive: String,
    /// Files of true outcomes, month after month.
    #[prost(message, repeated, tag = "2")]
    pub truth: Vec<ParquetFile>,
    /// Whether the files are the only true outcomes; otherwise the archive's own outcomes are.
    #[prost(bool, tag = "3")]
    pub has_truth: bool,
}

/// Runs one strategy over declarations with their true outcomes, which come in time order; answers with its metrics.
#[derive(Clone, PartialEq, Message)]
pub struct BacktestOperator {
    /// The run of the strategy, as JSON.
    #[prost(string, tag = "1")]
    pub parameters: String,
}
