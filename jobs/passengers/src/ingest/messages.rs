//! The messages of the ingest's plan nodes, as protobuf.

use prost::Message;

/// Reads files for the identities of their messages or records.
#[derive(Clone, PartialEq, Message)]
pub struct PassengersScanOperator {
    /// The mapping of CSV files; empty: the files hold messages.
    #[prost(string, tag = "1")]
    pub mapping: String,
}

/// Reads files for the rows of their messages or records, and writes them below the tables.
#[derive(Clone, PartialEq, Message)]
pub struct PassengersStoreOperator {
    /// URL of the archive.
    #[prost(string, tag = "1")]
    pub archive: String,
    /// The reporting country.
    #[prost(string, tag = "2")]
    pub country: String,
    /// The mapping of CSV files; empty: the files hold messages.
    #[prost(string, tag = "3")]
    pub mapping: String,
    /// Where each process finds the key of the pseudonyms; never the key.
    #[prost(string, tag = "4")]
    pub key: String,
    /// Fingerprint of that key.
    #[prost(string, tag = "5")]
    pub fingerprint: String,
    /// The job's id.
    #[prost(string, tag = "6")]
    pub job: String,
    /// When the job was asked for: microseconds since 1970 UTC.
    #[prost(int64, tag = "7")]
    pub ingested_us: i64,
    /// Bytes of rows and buffers that one task may hold.
    #[prost(uint64, tag = "8")]
    pub memory_bytes: u64,
}
