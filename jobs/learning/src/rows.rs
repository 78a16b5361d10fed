//! The shards of binary classifiers: rows of numbers with a label of 0 or 1, each shard in a Parquet file of the archive.
//!
//! All learners on such rows share the loader; a learner makes its shard of a file's [`Rows`]. Start at
//! [`ParquetShards`].

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Date32Type, Float32Type},
};
use bytes::Bytes;
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use serde::{Deserialize, Serialize};
use tidewaiter_archive::Archive;
use tidewaiter_collective::{Shard, ShardLoader};
use tidewaiter_core::{
    Error, Result, ResultExt,
    threads::{check, on_cpu},
};
use tidewaiter_proto::v1::ParquetFile;

/// Which columns of a file are the features, label and date of its rows, and which rows are validation rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Columns of 32-bit floats, in the order of the model's features; NaN is missing.
    pub features: Vec<String>,
    /// A column of 32-bit floats, 0 or 1 in every row.
    pub label: String,
    /// A column of dates; rows of the days `validation_days` are validation rows, which the learner is not trained on.
    pub date: String,
    /// First and last day of the validation rows, both included, in days since 1970-01-01.
    pub validation_days: (i32, i32),
}

/// The rows of one file, column by column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// The features, in the order of the layout; NaN is missing.
    pub features: Vec<Vec<f32>>,
    /// 0 or 1.
    pub labels: Vec<f32>,
    /// Which rows are validation rows.
    pub is_validation: Vec<bool>,
}

/// Makes a learner's shard of a file's rows; the first argument is the shard's number.
pub type MakeShard = fn(u32, Rows) -> Result<Box<dyn Shard>>;

/// Loads each shard from its file.
#[derive(Debug)]
pub struct ParquetShards {
    archive: Archive,
    files: Vec<ParquetFile>,
    layout: Layout,
    make: MakeShard,
}

impl ParquetShards {
    /// A loader of shards whose numbers are the places of their files in the list; `make` makes a shard of the learner.
    pub fn new(archive: Archive, files: Vec<ParquetFile>, layout: Layout, make: MakeShard) -> Self {
        Self { archive, files, layout, make }
    }
}

#[async_trait::async_trait]
impl ShardLoader for ParquetShards {
    async fn load(&self, shard: u32) -> Result<Box<dyn Shard>> {
        let file = self.files.get(shard as usize);
        let file = file.ok_or_else(|| Error::internal(format!("the fit has no shard {shard}")))?;
        let bytes = self.archive.get(&file.path).await?;
        let layout = self.layout.clone();
        let rows = on_cpu(move || read(bytes, &layout)).await;
        rows.and_then(|rows| (self.make)(shard, rows))
            .context(|| format!("read the training rows in {}", file.path))
    }
}

/// Reads a file's rows, column by column.
fn read(bytes: Bytes, layout: &Layout) -> Result<Rows> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let wanted = layout.features.iter().chain([&layout.label, &layout.date]).map(String::as_str);
    let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
    let rows = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);

    let mut features = vec![Vec::with_capacity(rows); layout.features.len()];
    let mut labels = Vec::with_capacity(rows);
    let mut is_validation = Vec::with_capacity(rows);
    let (first, last) = layout.validation_days;
    for batch in builder.with_projection(mask).build()? {
        check()?;
        let batch = batch?;
        let column = |name: &str, kind: &DataType| {
            let column = batch.column_by_name(name).filter(|column| column.data_type() == kind);
            column.filter(|column| column.null_count() == 0).ok_or_else(|| {
                Error::corrupt(format!(
                    "the column {name} is absent, not {kind}, or has nulls; run the job again"
                ))
            })
        };
        for (values, name) in features.iter_mut().zip(&layout.features) {
            values
                .extend_from_slice(column(name, &DataType::Float32)?.as_primitive::<Float32Type>().values());
        }
        labels.extend_from_slice(
            column(&layout.label, &DataType::Float32)?.as_primitive::<Float32Type>().values(),
        );
        let days = column(&layout.date, &DataType::Date32)?.as_primitive::<Date32Type>().values();
        is_validation.extend(days.iter().map(|day| (first..=last).contains(day)));
    }
    Ok(Rows { features, labels, is_validation })
}
