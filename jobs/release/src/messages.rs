//! What the plan nodes of this crate carry from the scheduler to the executors, as protobuf.

use prost::Message;

/// Measures the stages of cases: one row of each case and stage that has begun.
#[derive(Clone, PartialEq, Message)]
pub struct StagesOperator {
    /// The stage file, as TOML text.
    #[prost(string, tag = "1")]
    pub stages: String,
    /// Time of the first event, microseconds since 1970 UTC.
    #[prost(sint64, tag = "2")]
    pub first: i64,
    /// Time of the cut-off, microseconds since 1970 UTC: what is not over then is open.
    #[prost(sint64, tag = "3")]
    pub cut_off: i64,
    /// Columns of the cases that the rows keep.
    #[prost(string, repeated, tag = "4")]
    pub strata: Vec<String>,
    /// The number of the only stage that is measured, whose rows have the case; absent: all stages.
    #[prost(sint32, optional, tag = "5")]
    pub only: Option<i32>,
    /// Whether the rows are only counted, by period, stage and status.
    #[prost(bool, tag = "6")]
    pub counted: bool,
    /// The number of the stage whose time is divided over the steps that hold it; absent: no time is divided.
    #[prost(sint32, optional, tag = "7")]
    pub divided: Option<i32>,
}

/// Makes one row of each case from the rows of its events.
#[derive(Clone, PartialEq, Message)]
pub struct CasesOperator {
    /// The milestones, in their order.
    #[prost(string, repeated, tag = "1")]
    pub roles: Vec<String>,
    /// Whether events may begin before they end.
    #[prost(bool, tag = "2")]
    pub intervals: bool,
    /// Parts in which a task's events are grouped, one after the other; at least 1.
    #[prost(uint32, tag = "3")]
    pub parts: u32,
    /// The stage file with the opening hours, as TOML text; empty: no hours.
    #[prost(string, tag = "4")]
    pub stages: String,
    /// Time of the first event, microseconds since 1970 UTC.
    #[prost(sint64, tag = "5")]
    pub first: i64,
    /// Time of the cut-off, microseconds since 1970 UTC.
    #[prost(sint64, tag = "6")]
    pub cut_off: i64,
}

/// Counts the edges of the directly-follows graph over cases, or gives the times of wanted classes.
#[derive(Clone, PartialEq, Message)]
pub struct EdgesOperator {
    /// The wanted classes of times, as JSON; empty: count all.
    #[prost(string, tag = "1")]
    pub wanted: String,
}
