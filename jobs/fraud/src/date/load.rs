//! Loads the shards of a fit from feature files: each row's leaves in the booster, its importer and its HS code.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Date32Type, Float32Type, Float64Type},
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
use tidewaiter_learning::gbdt;
use tidewaiter_proto::v1::ParquetFile;
use tokio::sync::OnceCell;

use super::{
    keys::{Keys, column_as},
    leaves::leaf_counts,
    parameters::Parameters,
    shard::{DateShard, ShardRows},
};
use crate::features::{feature_columns, features};

/// The learner's name in a fit's tasks.
pub const LEARNER: &str = "date";

/// Rows of a batch of a file.
const BATCH_ROWS: usize = 8192;

/// Columns that are read in addition to the features.
const OTHER_COLUMNS: [&str; 5] = ["label", "acceptance_date", "additional_revenue", "importer", "hs_code"];

/// What a shard needs to know beside its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DateLayout {
    /// Path of the booster's bytes in the archive.
    pub booster: String,
    /// How the network is trained.
    pub parameters: Parameters,
    /// First and last day of the validation rows, as days since 1970-01-01.
    pub validation_days: (i32, i32),
}

/// Loads shards, each from its file; the booster is read once.
#[derive(Debug)]
pub struct DateShards {
    archive: Archive,
    files: Vec<ParquetFile>,
    layout: DateLayout,
    booster: OnceCell<Arc<gbdt::Model>>,
}

impl DateShards {
    /// A loader of shards, each the file of its number.
    pub fn new(archive: Archive, files: Vec<ParquetFile>, layout: DateLayout) -> Self {
        Self { archive, files, layout, booster: OnceCell::new() }
    }
}

#[async_trait::async_trait]
impl ShardLoader for DateShards {
    async fn load(&self, shard: u32) -> Result<Box<dyn Shard>> {
        let file = self.files.get(shard as usize);
        let file = file.ok_or_else(|| Error::internal(format!("the fit has no shard {shard}")))?;
        let read = async {
            let bytes = self.archive.get(&self.layout.booster).await?;
            Ok::<_, Error>(Arc::new(gbdt::Model::from_bytes(&bytes)?))
        };
        let booster = self.booster.get_or_try_init(|| read).await;
        let booster = Arc::clone(booster.context(|| format!("load the booster {}", self.layout.booster))?);
        let bytes = self.archive.get(&file.path).await?;
        let (layout, path) = (self.layout.clone(), file.path.clone());
        let load = move || {
            let rows = read_rows(bytes, &booster, layout.validation_days);
            let rows = rows.context(|| format!("read the training rows in {path}"))?;
            DateShard::new(shard, layout.parameters, &leaf_counts(&booster), rows)
        };
        Ok(Box::new(on_cpu(load).await?))
    }
}

/// Reads a file's rows, batch by batch; of the features only the leaves are kept.
fn read_rows(bytes: Bytes, booster: &gbdt::Model, (first, last): (i32, i32)) -> Result<ShardRows> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let wanted = features().iter().map(|feature| feature.name.as_str()).chain(OTHER_COLUMNS);
    let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
    let mut rows = ShardRows::default();
    for batch in builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()? {
        check()?;
        let batch = batch?;
        rows.leaves.extend(booster.leaves(&feature_columns(&batch)?)?);
        let keys = Keys::of(&batch)?;
        rows.importers.extend(keys.importers);
        rows.codes.extend(keys.codes);
        let labels = column_as(&batch, "label", &DataType::Float32)?;
        let labels = labels.as_primitive::<Float32Type>();
        if labels.null_count() > 0 {
            return Err(Error::corrupt("a row has no known outcome; run the job again"));
        }
        rows.labels.extend_from_slice(labels.values());
        let revenue = column_as(&batch, "additional_revenue", &DataType::Float64)?;
        let revenue = revenue.as_primitive::<Float64Type>().iter().zip(labels.values());
        rows.revenue.extend(revenue.map(|(revenue, label)| revenue_target(*label, revenue)));
        let days = column_as(&batch, "acceptance_date", &DataType::Date32)?;
        let days = days.as_primitive::<Date32Type>().values();
        rows.is_validation.extend(days.iter().map(|day| (first..=last).contains(day)));
    }
    Ok(rows)
}

/// The target of the revenue head for a row with this label (1 illicit, 0 not) and revenue in national currency: ln(1
/// + revenue), NaN where not known.
pub fn revenue_target(label: f32, revenue: Option<f64>) -> f32 {
    match revenue.filter(|value| *value > 0.0) {
        Some(revenue) => revenue.ln_1p() as f32,
        // An item that is not illicit raises nothing; of an illicit item without a revenue it is not known.
        None if label < 0.5 => 0.0,
        None => f32::NAN,
    }
}
