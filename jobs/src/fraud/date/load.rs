//! Shards of DATE from feature files: each row's leaves in the booster, its importer and its HS code.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Date32Type, Float32Type, Float64Type},
};
use bytes::Bytes;
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use serde::{Deserialize, Serialize};
use tidewaiter_proto::v1::ParquetFile;
use tokio::sync::OnceCell;

use super::{DateShard, Parameters, Taught, leader::leaves_of};
use crate::{
    Archive, Error, Result, ResultExt,
    fraud::{
        features::features,
        history::{MISSING, key_of},
        model::feature_columns,
    },
    learning::{Shard, collective::ShardLoader, gbdt},
    threads::on_cpu,
};

/// The learner's name in a fit's task.
pub const LEARNER: &str = "date";

/// Rows that are read together.
const BATCH_ROWS: usize = 8192;

/// Columns beside the features.
const BESIDE: [&str; 5] = ["label", "acceptance_date", "additional_revenue", "importer", "hs_code"];

/// How the rows of a feature file become those of a shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Path of the booster's bytes in the archive.
    pub booster: String,
    /// How the network is trained.
    pub parameters: Parameters,
    /// First and last day of the rows that judge epochs, counted from 1970-01-01.
    pub validation_days: (i32, i32),
}

/// Loads shards, each from its file; the booster is read once.
#[derive(Debug)]
pub struct ParquetShards {
    archive: Archive,
    files: Vec<ParquetFile>,
    layout: Layout,
    booster: OnceCell<Arc<gbdt::Model>>,
}

impl ParquetShards {
    /// Shards of the files, by their numbers.
    pub fn new(archive: Archive, files: Vec<ParquetFile>, layout: Layout) -> Self {
        Self { archive, files, layout, booster: OnceCell::new() }
    }
}

#[async_trait::async_trait]
impl ShardLoader for ParquetShards {
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
            let taught = read_rows(bytes, &booster, layout.validation_days);
            let taught = taught.context(|| format!("read the training rows in {path}"))?;
            DateShard::new(shard, layout.parameters, &leaves_of(&booster), taught)
        };
        Ok(Box::new(on_cpu(load).await?))
    }
}

/// Reads a file's rows; their features are forgotten once their leaves are known.
fn read_rows(bytes: Bytes, booster: &gbdt::Model, (first, last): (i32, i32)) -> Result<Taught> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let wanted = features().iter().map(|feature| feature.name.as_str()).chain(BESIDE);
    let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
    let mut taught = Taught::default();
    for batch in builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()? {
        let batch = batch?;
        taught.leaves.extend(booster.leaves(&feature_columns(&batch)?)?);
        let keys = Keys::of(&batch)?;
        taught.importers.extend(keys.importers);
        taught.codes.extend(keys.codes);
        let labels = of_type(&batch, "label", &DataType::Float32)?;
        let labels = labels.as_primitive::<Float32Type>();
        if labels.null_count() > 0 {
            return Err(Error::corrupt("a row has no known outcome; run the job again"));
        }
        taught.labels.extend_from_slice(labels.values());
        let revenue = of_type(&batch, "additional_revenue", &DataType::Float64)?;
        let revenue = revenue.as_primitive::<Float64Type>().iter().zip(labels.values());
        taught.revenue.extend(revenue.map(|(revenue, label)| taught_revenue(*label, revenue)));
        let days = of_type(&batch, "acceptance_date", &DataType::Date32)?;
        let days = days.as_primitive::<Date32Type>().values();
        taught.is_validation.extend(days.iter().map(|day| (first..=last).contains(day)));
    }
    Ok(taught)
}

/// What the revenue head is taught of a row: ln(1 + revenue), NaN where not known.
pub fn taught_revenue(label: f32, revenue: Option<f64>) -> f32 {
    match revenue.filter(|value| *value > 0.0) {
        Some(revenue) => revenue.ln_1p() as f32,
        // What was found to be in order raised nothing; what an illicit item raised is not known.
        None if label < 0.5 => 0.0,
        None => f32::NAN,
    }
}

/// The keys by which rows find their vectors; 0 where nothing is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// Of the importers.
    pub importers: Vec<u64>,
    /// Of the HS codes.
    pub codes: Vec<u64>,
}

impl Keys {
    /// The keys of rows that have the columns `importer` and `hs_code`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when a column is absent.
    pub fn of(rows: &RecordBatch) -> Result<Self> {
        Ok(Self { importers: keys(rows, "importer")?, codes: keys(rows, "hs_code")? })
    }
}

/// A column in a type (engines also hand out views of texts).
fn of_type(batch: &RecordBatch, name: &str, kind: &DataType) -> Result<arrow::array::ArrayRef> {
    let column = batch.column_by_name(name);
    let column =
        column.ok_or_else(|| Error::input(format!("DATE needs the column {name} of feature files")))?;
    Ok(cast(column, kind)?)
}

/// The keys of a text column; [`MISSING`] where nothing is given.
fn keys(batch: &RecordBatch, name: &str) -> Result<Vec<u64>> {
    let column = of_type(batch, name, &DataType::Utf8)?;
    let key = |text: Option<&str>| {
        text.filter(|text| !text.is_empty()).map_or(MISSING, |text| key_of(text.as_bytes()))
    };
    Ok(column.as_string::<i32>().iter().map(key).collect())
}
