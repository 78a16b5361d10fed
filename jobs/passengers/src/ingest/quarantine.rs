//! What an ingest of passengers puts aside: rows of the table of quarantined rows, as those of every ingest.
//!
//! They have no record of a source: `source` is 0, and `source_row` is the record of a CSV file or the byte of a message.
//! Start at [`rows`].

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use tidewaiter_core::Result;
use tidewaiter_ingest::quarantine_table_schema;

use super::units::Refused;

/// The column of the table's time, by whose month a row is stored.
pub(crate) const INGESTED_AT: &str = "ingested_at";

/// The rows of what is put aside of a file.
pub(super) fn rows(
    refused: &[Refused],
    table: &str,
    file: &str,
    job: &str,
    ingested_us: i64,
) -> Result<RecordBatch> {
    let count = refused.len();
    let text = |of: fn(&Refused) -> &String| -> ArrayRef {
        // Programs that read the archive end a text at a NUL byte.
        let shown = refused.iter().map(|refused| of(refused).replace('\0', "\u{2400}"));
        Arc::new(StringArray::from_iter_values(shown))
    };
    let same = |text: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, count)))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_value(0, count)),
        Arc::new(Int64Array::from_iter_values(refused.iter().map(|refused| refused.number))),
        Arc::new(refused.iter().map(|refused| refused.line).collect::<Int64Array>()),
        Arc::new(refused.iter().map(|refused| refused.column.as_deref()).collect::<StringArray>()),
        text(|refused| &refused.rule),
        text(|refused| &refused.value),
        text(|refused| &refused.raw),
        same(table),
        same(file),
        same(job),
        Arc::new(TimestampMicrosecondArray::from_value(ingested_us, count).with_timezone("UTC")),
    ];
    Ok(RecordBatch::try_new(quarantine_table_schema(), columns)?)
}
