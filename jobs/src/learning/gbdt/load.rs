//! Shards of boosted trees from Parquet files of the archive.

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Date32Type, Float32Type},
};
use bytes::Bytes;
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use serde::{Deserialize, Serialize};
use tidewaiter_proto::v1::ParquetFile;

use super::{Dataset, GbdtShard};
use crate::{
    Archive, Error, Result, ResultExt,
    learning::{Shard, collective::ShardLoader},
};

/// The learner's name in a fit's task.
pub const LEARNER: &str = "gbdt";

/// How the rows of a file become those of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Columns of 32-bit floats, in the order of the model's features; NaN is missing.
    pub features: Vec<String>,
    /// A column of 32-bit floats, 0 or 1 in every row.
    pub label: String,
    /// A column of dates; rows of the days `validation_days`, both ends included, measure the loss that stops
    /// the fit.
    pub date: String,
    /// First and last day, counted from 1970-01-01.
    pub validation_days: (i32, i32),
}

/// Loads shards, each from its file.
#[derive(Debug)]
pub struct ParquetShards {
    archive: Archive,
    files: Vec<ParquetFile>,
    layout: Layout,
}

impl ParquetShards {
    /// Shards of the files, by their numbers.
    pub fn new(archive: Archive, files: Vec<ParquetFile>, layout: Layout) -> Self {
        Self { archive, files, layout }
    }
}

#[async_trait::async_trait]
impl ShardLoader for ParquetShards {
    async fn load(&self, shard: u32) -> Result<Box<dyn Shard>> {
        let file = self.files.get(shard as usize);
        let file = file.ok_or_else(|| Error::internal(format!("the fit has no shard {shard}")))?;
        let bytes = self.archive.get(&file.path).await?;
        let layout = self.layout.clone();
        let read = tokio::task::spawn_blocking(move || read(bytes, &layout)).await;
        let data = read.map_err(|error| Error::internal("a shard's reader stopped").with_source(error))?;
        let data = data.context(|| format!("read the training rows in {}", file.path))?;
        Ok(Box::new(GbdtShard::new(shard, data)))
    }
}

/// Reads a file's rows, column by column.
fn read(bytes: Bytes, layout: &Layout) -> Result<Dataset> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let wanted = layout.features.iter().chain([&layout.label, &layout.date]).map(String::as_str);
    let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
    let rows = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);

    let mut features = vec![Vec::with_capacity(rows); layout.features.len()];
    let mut labels = Vec::with_capacity(rows);
    let mut is_validation = Vec::with_capacity(rows);
    let (first, last) = layout.validation_days;
    for batch in builder.with_projection(mask).build()? {
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
    Dataset::new(features, &labels, is_validation)
}
