//! Where archived rows come from: the number of their source, and that of their record in it.
//!
//! Both are columns of every table that exports are read into ([`tidewaiter_archive::schema::with_lineage`]). The
//! source is the same for all rows of a file, and the records of an export in the order of time follow each other, so
//! that a dictionary and differences store them in little. Start at [`with_source`].

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use tidewaiter_archive::schema::with_lineage;
use tidewaiter_core::Result;

/// Rows with the number of their source and those of their records.
pub(crate) fn with_source(rows: &RecordBatch, records: &ArrayRef, source: i32) -> Result<RecordBatch> {
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::new(Int32Array::from_value(source, rows.num_rows())));
    columns.push(Arc::clone(records));
    Ok(RecordBatch::try_new(with_lineage(rows.schema_ref()), columns)?)
}
