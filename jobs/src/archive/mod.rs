//! The national archive: versioned tables of Parquet partitions in an object store.
//!
//! Start at [`Archive`] (where it is), [`schema`] (what a declaration is) [`table`] (versions and commits),
//! [`writer`] (rows into files) and [`provider`] (files into plans).

pub mod ingest;
pub mod location;
pub mod provider;
pub mod schema;
pub mod stores;
pub mod table;
#[cfg(test)]
mod testing;
pub mod write_operator;
pub mod writer;

pub use location::Archive;
pub use table::{Commit, DataFile, Snapshot, Table};
pub use writer::{PartitionWriter, WriterSettings};
