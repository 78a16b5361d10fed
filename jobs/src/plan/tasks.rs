//! Rows that stand for tasks: a query of as many partitions as there are things to do.

use std::sync::Arc;

use arrow::{
    array::{AsArray, RecordBatch, StringArray, UInt32Array},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::prelude::{DataFrame, SessionContext};
use parquet::arrow::ArrowWriter;
use tidewaiter_proto::v1::{FileListSource, ParquetFile, ParquetSource, parquet_source::Source};

use crate::{Archive, Error, Result, archive::provider::ParquetSourceProvider};

/// The columns of a task's row.
fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("number", DataType::UInt32, false),
        Field::new("task", DataType::Utf8, false),
    ]))
}

/// A query of `partitions` partitions (fewer where there are fewer tasks) that gives each task, with its
/// `number`; a partition's tasks follow each other. They lie as small Parquet files in a folder of the
/// archive, because a scan of files is what every engine splits alike.
///
/// # Errors
/// Those of the store.
pub async fn spread(
    session: &SessionContext,
    archive: &Archive,
    folder: &str,
    tasks: &[String],
    partitions: usize,
) -> Result<DataFrame> {
    let mut files = Vec::new();
    for partition in 0..partitions.min(tasks.len()) {
        let mine = (partition..tasks.len()).step_by(partitions);
        let numbers: UInt32Array = mine.clone().map(|task| u32::try_from(task).ok()).collect();
        let names = StringArray::from_iter_values(mine.map(|task| &tasks[task]));
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
/// [`crate::ErrorKind::Internal`] when the batch has other columns.
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

/// A query of the rows of some Parquet files of the archive; where `partition_per_file`, each is read from its
/// beginning to its end in a partition of its own.
///
/// # Errors
/// Those of the session.
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
