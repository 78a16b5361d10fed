//! What a reader gives: blocks of checked rows, and the counts of them.

use arrow::array::{ArrayRef, RecordBatch};
use serde::{Deserialize, Serialize};

/// Bytes of decompressed text that are read at a time.
pub const BLOCK_SIZE: usize = 2 << 20;

/// The rows of one block of records.
#[derive(Debug, Clone)]
pub struct ParsedBlock {
    /// The rows that passed every check, with the schema of the mapping's table.
    pub batch: RecordBatch,
    /// The number of the record, from 1, of which each of them was made.
    pub records: ArrayRef,
    /// The rows that did not, with the schema [`quarantine_schema`](crate::quarantine_schema).
    pub quarantined: RecordBatch,
    /// What was corrected in good rows: column, correction, number of cells.
    pub repairs: Vec<Repair>,
}

/// A correction: the column, what was corrected, and in how many cells.
pub type Repair = (&'static str, &'static str, u64);

/// Numbers of a file's records, or of the events that they hold; `read` is always `archived + quarantined`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RowCounts {
    /// Data records read.
    pub read: u64,
    /// Rows that passed every check.
    pub archived: u64,
    /// Rows that did not.
    pub quarantined: u64,
}
