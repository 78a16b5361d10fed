//! The answers of the study's queries: small ones whole, sorted times row by row with one batch in memory.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::{cast, concat_batches},
    datatypes::{DataType, Float64Type, Int32Type},
};
use datafusion::prelude::SessionContext;
use futures::StreamExt;

use crate::{Error, Result, ResultExt};

/// A row of the sorted times.
pub(super) struct Sorted<'a> {
    pub(super) stage: i32,
    pub(super) stratum: &'a str,
    pub(super) hours: f64,
    pub(super) status: i32,
    pub(super) period: i32,
}

/// Hands every row of a query of sorted times to a function, holding one batch at a time.
pub(super) async fn each(
    session: &SessionContext,
    sql: &str,
    mut take: impl FnMut(Sorted<'_>),
) -> Result<()> {
    let doing = || "sort the times of stages";
    let mut stream = session.sql(sql).await.context(doing)?.execute_stream().await.context(doing)?;
    while let Some(batch) = stream.next().await {
        let batch = batch.context(doing)?;
        let whole = |name: &str| Ok::<_, Error>(cast(column(&batch, name)?, &DataType::Int32)?);
        let (stages, statuses, periods) = (whole("stage")?, whole("status")?, whole("period")?);
        let strata = cast(column(&batch, "stratum")?, &DataType::Utf8)?;
        let hours = cast(column(&batch, "value")?, &DataType::Float64)?;
        let (stages, statuses) = (stages.as_primitive::<Int32Type>(), statuses.as_primitive::<Int32Type>());
        let (periods, strata) = (periods.as_primitive::<Int32Type>(), strata.as_string::<i32>());
        for (row, hours) in hours.as_primitive::<Float64Type>().values().iter().enumerate() {
            take(Sorted {
                stage: stages.value(row),
                stratum: strata.value(row),
                hours: *hours,
                status: statuses.value(row),
                period: periods.value(row),
            });
        }
    }
    Ok(())
}

/// A whole answer.
pub(super) async fn query(session: &SessionContext, sql: &str) -> Result<RecordBatch> {
    let frame = session.sql(sql).await.context(|| "plan a query of the study")?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.context(|| "measure releases")?;
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    Ok(concat_batches(&schema, &batches)?)
}

/// The places of its rows.
pub(super) fn rows(batch: &RecordBatch) -> std::ops::Range<usize> {
    0..batch.num_rows()
}

/// One of its columns.
pub(super) fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a arrow::array::ArrayRef> {
    batch
        .column_by_name(name)
        .ok_or_else(|| Error::internal(format!("a query of the study has no column {name}")))
}

/// A number; 0 where there is none.
pub(super) fn number(batch: &RecordBatch, name: &str, row: usize) -> Result<f64> {
    let value = cast(&column(batch, name)?.slice(row, 1), &DataType::Float64)?;
    let value = value.as_primitive::<Float64Type>();
    Ok(if value.is_valid(0) { value.value(0) } else { 0.0 })
}

/// A count.
pub(super) fn count(batch: &RecordBatch, name: &str, row: usize) -> Result<u64> {
    Ok(number(batch, name, row)?.max(0.0) as u64)
}

/// A text; empty where there is none.
pub(super) fn text(batch: &RecordBatch, name: &str, row: usize) -> Result<String> {
    let value = cast(&column(batch, name)?.slice(row, 1), &DataType::Utf8)?;
    let value = value.as_string::<i32>();
    Ok(if value.is_valid(0) { value.value(0).to_owned() } else { String::new() })
}
