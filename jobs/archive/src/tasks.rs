//! Queries whose rows are the descriptions of tasks, and scans of files that a job wrote for itself.
//!
//! [`spread`] turns a list of tasks into a query with a given number of partitions; an operator over it reads the tasks
//! of each batch by [`of_batch`] and carries them out. What is absent: the meaning of a task, which is a text. Start at
//! [`spread`].

use std::sync::Arc;

use arrow::{
    array::{AsArray, RecordBatch, StringArray, UInt32Array},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::prelude::{DataFrame, SessionContext};
use parquet::arrow::ArrowWriter;
use tidewaiter_core::{Error, Result};
use tidewaiter_proto::v1::{FileListSource, ParquetFile, ParquetSource, parquet_source::Source};

use crate::{Archive, provider::ParquetSourceProvider};

/// The columns of a task's row: its number in the list, from 0, and its text.
fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("number", DataType::UInt32, false),
        Field::new("task", DataType::Utf8, false),
    ]))
}

/// A query that gives the tasks, one a row, in `partitions` partitions (fewer where there are fewer tasks). The tasks
/// are assigned to the partitions in turn, and those of a partition come in their order.
///
/// The rows are written as small Parquet files into `folder` of the archive, one file for each partition, because a
/// scan of files is what every engine splits in the same way.
///
/// # Errors
/// Those of the store and of the session.
pub async fn spread(
    session: &SessionContext,
    archive: &Archive,
    folder: &str,
    tasks: &[String],
    partitions: usize,
) -> Result<DataFrame> {
    let mut files = Vec::new();
    for partition in 0..partitions.min(tasks.len()) {
        let assigned = (partition..tasks.len()).step_by(partitions);
        let numbers: UInt32Array = assigned.clone().map(|task| u32::try_from(task).ok()).collect();
        let names = StringArray::from_iter_values(assigned.map(|task| &tasks[task]));
        let rows = RecordBatch::try_new(schema(), vec![Arc::new(numbers), Arc::new(names)])?;
        let mut writer = ArrowWriter::try_new(Vec::new(), schema(), None)?;
        writer.write(&rows)?;
        let bytes = writer.into_inner()?;
        let path = format!("{folder}/{partition:04}.parquet");
        files.push(ParquetFile { path: path.clone(), size: bytes.len() as u64 });
        archive.put(&path, bytes).await?;
    }
    scan(session, archive, files, schema(), true)
}

/// The tasks of a batch of [`spread`]: number and text.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when the batch lacks a column.
pub fn of_batch(batch: &RecordBatch) -> Result<Vec<(u32, String)>> {
    let text = |name| {
        let column = batch.column_by_name(name).and_then(|column| cast(column, &DataType::Utf8).ok());
        column.ok_or_else(|| Error::internal(format!("the tasks have no column {name}")))
    };
    let (numbers, tasks) = (text("number")?, text("task")?);
    let numbers = numbers.as_string::<i32>().iter().map(|number| number.and_then(|n| n.parse().ok()));
    let tasks = tasks.as_string::<i32>().iter().map(|task| task.unwrap_or_default().to_owned());
    Ok(numbers.map(Option::unwrap_or_default).zip(tasks).collect())
}

/// A query of the rows of Parquet files of the archive, whose columns are `schema`. With `partition_per_file` each file
/// is one partition, read from its beginning to its end.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] when the archive's URL cannot be opened; those of the session.
pub fn scan(
    session: &SessionContext,
    archive: &Archive,
    files: Vec<ParquetFile>,
    schema: SchemaRef,
    partition_per_file: bool,
) -> Result<DataFrame> {
    let source = Source::Files(FileListSource { files, partition_per_file });
    let message = ParquetSource { archive: archive.url().to_string(), source: Some(source) };
    Ok(session.read_table(Arc::new(ParquetSourceProvider::try_new(message, schema)?))?)
}
