//! The protobuf messages by which the plan node of this crate is sent to executors.

use prost::Message;

/// Ingests groups of export files, one for each input row (`number`, `task`: the group as JSON).
#[derive(Clone, PartialEq, Message)]
pub struct IngestOperator {
    /// URL of the archive.
    #[prost(string, tag = "1")]
    pub archive: String,
    /// The job's id, with which the names of the data files begin.
    #[prost(string, tag = "2")]
    pub job: String,
    /// The mapping, as TOML text.
    #[prost(string, tag = "3")]
    pub mapping: String,
    /// Bytes of rows and buffers that the writer of one file may hold.
    #[prost(uint64, tag = "4")]
    pub memory_bytes: u64,
    /// The codes of the nomenclature that the mapping names, one a line.
    #[prost(string, tag = "6")]
    pub nomenclature: String,
    /// The day of the ingest, in days since 1970-01-01.
    #[prost(sint32, tag = "7")]
    pub today: i32,
    /// The largest share of a file's rows that may fail a check, 0 to 1.
    #[prost(double, tag = "8")]
    pub most_quarantined: f64,
    /// The number of the job's first file as a source; the others follow.
    #[prost(int32, tag = "9")]
    pub first_source: i32,
    /// Whether files are read that the table has rows of.
    #[prost(bool, tag = "10")]
    pub again: bool,
    /// The time of the job, in microseconds since 1970-01-01 UTC.
    #[prost(int64, tag = "11")]
    pub ingested_us: i64,
    /// Whether files are read whose rows were taken out on purpose.
    #[prost(bool, tag = "12")]
    pub forgotten: bool,
}
