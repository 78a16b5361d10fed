//! The national archive: versioned tables of Parquet partitions in an object store.
//!
//! Start at [`Archive`] (where it is), [`schema`] (what a declaration is) and then the tables.

pub mod location;
pub mod schema;
pub mod stores;

pub use location::Archive;
