//! The message of a plan node of the ingest, as protobuf.

use prost::Message;

/// Reads the files of inspected images again, and makes rows of the table.
#[derive(Clone, PartialEq, Message)]
pub struct StoreImagesOperator {
    /// Numbers of images that are left out, ascending.
    #[prost(uint64, repeated, tag = "1")]
    pub left_out: Vec<u64>,
}
