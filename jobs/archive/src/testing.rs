//! For the tests of this crate: a small table of goods items.

use std::sync::Arc;

use arrow::{
    array::{Date32Array, Float64Array, Int32Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use tempfile::TempDir;

use crate::{Archive, DataFile, PartitionWriter, WriterSettings};

/// An archive in this process's memory.
pub(crate) fn memory(name: &str) -> Archive {
    Archive::open(&format!("memory://{name}/archive")).expect("opens")
}

/// The archive in a folder.
pub(crate) fn in_folder(folder: &TempDir) -> Archive {
    Archive::open(&folder.path().to_string_lossy()).expect("opens")
}

/// A few columns of goods items.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("declaration_id", DataType::Utf8, false),
        Field::new("item_number", DataType::Int32, false),
        Field::new("acceptance_date", DataType::Date32, false),
        Field::new("customs_value", DataType::Float64, true),
    ]))
}

/// One goods item for each of these days (since 1970-01-01), each of a declaration of its own.
pub(crate) fn rows_on(days: &[i32]) -> RecordBatch {
    numbered(0, days)
}

/// Goods items on consecutive days from 2020-01-01 on.
pub(crate) fn rows(from: i32, count: i32) -> RecordBatch {
    let days: Vec<i32> = (from..from + count).map(|row| 18262 + row).collect();
    numbered(from, &days)
}

fn numbered(from: i32, days: &[i32]) -> RecordBatch {
    let numbers = || (from..).take(days.len());
    let ids: Vec<String> = numbers().map(|row| format!("D{row:06}")).collect();
    RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(StringArray::from(ids)),
            Arc::new(Int32Array::from_iter_values(numbers().map(|_| 1))),
            Arc::new(Date32Array::from(days.to_vec())),
            Arc::new(Float64Array::from_iter_values(numbers().map(|row| f64::from(row) * 0.5))),
        ],
    )
    .expect("a batch")
}

/// Writes the files of a table, without committing them.
pub(crate) async fn write(archive: &Archive, table: &str, job: &str, rows: &RecordBatch) -> Vec<DataFile> {
    let settings = WriterSettings::default();
    let order = ["acceptance_date", "declaration_id", "item_number"];
    let mut writer =
        PartitionWriter::new(archive, table, &schema(), "KR", &order, job, settings).expect("a writer");
    writer.write(rows).await.expect("takes");
    writer.finish().await.expect("finishes")
}
