//! The message of a plan node of the ingest, as protobuf.

use prost::Message;

/// Reads the files of inspected images again, and makes rows of the table.
#[derive(Clone, PartialEq, Message)]
pub struct StoreImagesOperator {
    /// Numbers of images that are left out, ascending.
    #[prost(uint64, repeated, tag = "1")]
    pub left_out: Vec<u64>,
    /// The number of the first source in the archive.
    #[prost(int32, tag = "2")]
    pub first_source: i32,
    /// For each source the number of its first image among all of the job.
    #[prost(uint64, repeated, tag = "3")]
    pub begins: Vec<u64>,
}
