//! Files of true outcomes for tests.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use tidewaiter_archive::Archive;

use super::truth;

/// A row of a file: day, declaration, item, whether illicit, revenue.
pub(super) type TruthRow = (Option<i32>, &'static str, i32, Option<bool>, Option<f64>);

/// Stores a file of true outcomes; gives its path and size.
pub(super) async fn put_truth(archive: &Archive, path: &str, rows: &[TruthRow]) -> (String, u64) {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Date32Array>()),
        Arc::new(rows.iter().map(|row| Some(row.1)).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|row| row.3).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| row.4).collect::<Float64Array>()),
    ];
    let mut writer = ArrowWriter::try_new(Vec::new(), truth::schema(), None).expect("opens");
    writer.write(&RecordBatch::try_new(truth::schema(), columns).expect("a batch")).expect("writes");
    let bytes = writer.into_inner().expect("closes");
    let size = bytes.len() as u64;
    archive.put(path, bytes).await.expect("puts");
    (path.to_owned(), size)
}
