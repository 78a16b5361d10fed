//! The archive: versioned tables of Parquet files in an object store, partitioned by country, year and month.
//!
//! An [`Archive`] is a place in an object store. A table in it is a folder of Parquet files with a Delta log. Rows are
//! written as files first ([`writer`], or [`write_operator`] as a plan node) and become part of the table by one commit
//! ([`table`]). Queries name a snapshot ([`provider`]), and whoever plans them resolves the files. A user's
//! SQL goes through [`sql`].
//!
//! What is absent: any domain's table (they are described by [`schema::Layout`] and registered by the domains), and
//! Delta's own queries, updates and deletes. Start at [`Archive::open`] and [`Table::open_or_create`].

mod blocks;
pub mod bucket_uploads;
mod counted;
pub mod file_rows;
pub mod listed_scan;
pub mod location;
pub mod own_rows;
pub mod provider;
pub mod schema;
pub mod seal;
pub mod sql;
pub mod stores;
pub mod table;
pub mod tasks;
#[cfg(test)]
mod testing;
pub mod upload;
mod verified;
pub mod write_operator;
pub mod writer;

pub use location::Archive;
pub use table::{Commit, DataFile, Snapshot, Table};
pub use writer::{PartitionWriter, WriterSettings};
