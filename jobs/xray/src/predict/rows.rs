//! The rows of a detector's plan node, read for evaluation and reports.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimeUnit},
};
use datafusion::prelude::DataFrame;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result, answers::column, query::Run as _};

use super::objects::{self, FoundObject};
use crate::table::{self, Annotated, TAKEN_AT};

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// An image, what is known of it, and what a detector found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ScoredImage {
    /// Its identifier.
    pub image: String,
    /// The day on which it was taken, since 1970-01-01.
    pub day: i32,
    /// Where; empty: unknown.
    pub site: String,
    /// By which scanner; empty: unknown.
    pub scanner: String,
    /// The number of the declaration; empty: unknown.
    pub declaration: String,
    /// The annotated objects; `None`: not annotated.
    pub truth: Option<Vec<Annotated>>,
    /// Why the image could not be decoded; empty: it was.
    pub unreadable: String,
    /// The objects found.
    pub found: Vec<FoundObject>,
    /// The probability that the image holds something illicit; 0 where it could not be read.
    pub illicit: f64,
    /// The logit of the image as a whole.
    pub whole: f64,
    /// The score of the most certain object.
    pub best: f64,
    /// The declared HS section.
    pub declared: Option<u32>,
    /// The most likely section, with its probability, where one is declared.
    pub likely: Option<(u32, f64)>,
    /// The probability of all sections but the declared one.
    pub mismatch: Option<f64>,
}

impl ScoredImage {
    /// Whether it holds something illicit, where it is annotated and could be read.
    pub fn is_illicit(&self) -> Option<bool> {
        let truth = self.truth.as_ref().filter(|_| self.unreadable.is_empty())?;
        Some(!truth.is_empty())
    }
}

/// Reads the rows of a query over the plan node, sorted by image.
///
/// # Errors
/// Those of the query; [`tidewaiter_core::ErrorKind::Internal`] when it lacks a column.
pub async fn scored_images(query: DataFrame) -> Result<Vec<ScoredImage>> {
    let mut images = Vec::new();
    let mut rows = query.batch_stream().await?;
    while let Some(batch) = rows.next().await {
        images.extend(of_batch(&batch?)?);
    }
    images.sort_by(|a, b| a.image.cmp(&b.image));
    Ok(images)
}

/// Reads a batch.
fn of_batch(batch: &RecordBatch) -> Result<Vec<ScoredImage>> {
    let text = |name| Ok::<_, Error>(cast(column(batch, name)?, &DataType::Utf8)?);
    let number = |name| Ok::<_, Error>(cast(column(batch, name)?, &DataType::Float64)?);
    let section = |name| Ok::<_, Error>(cast(column(batch, name)?, &DataType::Int32)?);
    let taken = cast(column(batch, TAKEN_AT)?, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    let taken = cast(&taken, &DataType::Int64)?;
    let taken = taken.as_primitive::<Int64Type>();
    let (ids, sites, scanners) = (text("image_id")?, text("site")?, text("scanner")?);
    let (declarations, reasons) = (text("declaration_id")?, text("unreadable")?);
    let said = |column: &dyn Array, row: usize| {
        let texts = column.as_string::<i32>();
        if texts.is_valid(row) { texts.value(row).to_owned() } else { String::new() }
    };
    let value = |column: &dyn Array, row: usize| {
        let values = column.as_primitive::<Float64Type>();
        values.is_valid(row).then(|| values.value(row))
    };
    let whole_number = |column: &dyn Array, row: usize| {
        let values = column.as_primitive::<Int32Type>();
        values.is_valid(row).then(|| values.value(row).unsigned_abs())
    };
    let (illicit, whole, best) = (number("illicit")?, number("whole")?, number("best")?);
    let (mismatch, probability) = (number("mismatch")?, number("likely_probability")?);
    let (declared, likely) = (section("declared_section")?, section("likely_section")?);
    let found = objects::rows(column(batch, "found")?)?;
    let truths = match batch.column_by_name("objects") {
        Some(_) => table::objects(batch)?,
        None => vec![None; batch.num_rows()],
    };
    let rows = found.into_iter().zip(truths).enumerate().map(|(row, (found, truth))| ScoredImage {
        image: said(&ids, row),
        day: i32::try_from(taken.value(row).div_euclid(DAY)).unwrap_or(i32::MAX),
        site: said(&sites, row),
        scanner: said(&scanners, row),
        declaration: said(&declarations, row),
        truth,
        unreadable: said(&reasons, row),
        found: found.unwrap_or_default(),
        illicit: value(&illicit, row).unwrap_or_default(),
        whole: value(&whole, row).unwrap_or_default(),
        best: value(&best, row).unwrap_or_default(),
        declared: whole_number(&declared, row),
        likely: whole_number(&likely, row).zip(value(&probability, row)),
        mismatch: value(&mismatch, row),
    });
    Ok(rows.collect())
}
