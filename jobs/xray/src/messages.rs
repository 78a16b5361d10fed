//! The messages of the crate's plan nodes, as protobuf.

use prost::Message;

/// Writes squares of annotated images as Parquet files, one for each shard.
#[derive(Clone, PartialEq, Message)]
pub struct XraySquaresOperator {
    /// URL of the archive.
    #[prost(string, tag = "1")]
    pub archive: String,
    /// Folder of the archive for the files.
    #[prost(string, tag = "2")]
    pub folder: String,
    /// Pixels of a square's side.
    #[prost(uint32, tag = "3")]
    pub side: u32,
    /// Pixels of a tile's side; 0: images are not cut.
    #[prost(uint32, tag = "4")]
    pub tile: u32,
    /// Shards.
    #[prost(uint32, tag = "5")]
    pub shards: u32,
    /// Path of the labels in the archive: a JSON document of classes, sections and declared sections.
    #[prost(string, tag = "6")]
    pub labels: String,
}

/// Adds what a detector finds to rows of images.
#[derive(Clone, PartialEq, Message)]
pub struct XrayDetectOperator {
    /// URL of the archive.
    #[prost(string, tag = "1")]
    pub archive: String,
    /// Path of the model's bytes in the archive.
    #[prost(string, tag = "2")]
    pub model: String,
    /// Path of declared sections by image, a JSON document; empty: those of the rows alone.
    #[prost(string, tag = "3")]
    pub declared: String,
    /// Squares that are computed at a time.
    #[prost(uint32, tag = "4")]
    pub batch: u32,
}
