//! The protobuf messages by which the plan node of this crate is sent to executors.

use prost::Message;

/// Ingests export files, one for each input row (`number`, `task`: the path of the file).
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
    /// The number, in the job's list, of the first file of the query.
    #[prost(uint32, tag = "5")]
    pub first: u32,
}
