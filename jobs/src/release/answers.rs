//! The answers of the study's queries: small ones whole, sorted times row by row with one batch in memory.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::{cast, concat_batches},
    datatypes::{DataType, Float64Type, Int32Type, Int64Type},
};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use tokio::sync::mpsc;

use super::{calendar::HOUR, operator::Key};
use crate::{Error, Result, ResultExt};

/// A row of the sorted times.
pub(super) struct Sorted<'a> {
    pub(super) key: Key,
    pub(super) stratum: &'a str,
    pub(super) period: i32,
}

impl Sorted<'_> {
    pub(super) fn hours(&self) -> f64 {
        self.key.length as f64 / HOUR
    }
}

/// Hands every row of a query of sorted times to a function, holding one batch at a time.
pub(super) async fn each(
    session: &SessionContext,
    sql: &str,
    mut take: impl FnMut(Sorted<'_>),
) -> Result<()> {
    batches(session, sql, |batch| {
        let periods =
            batch.column_by_name("period").map(|periods| cast(periods, &DataType::Int32)).transpose()?;
        let periods = periods.as_ref().map(|periods| periods.as_primitive::<Int32Type>());
        let strata =
            batch.column_by_name("stratum").map(|strata| cast(strata, &DataType::Utf8)).transpose()?;
        let strata = strata.as_ref().map(|strata| strata.as_string::<i32>());
        let keys = column(batch, "key")?.as_primitive::<Int64Type>();
        for (row, key) in keys.values().iter().enumerate() {
            let stratum = strata.map_or("", |strata| strata.value(row));
            take(Sorted {
                key: Key::of(*key),
                stratum,
                period: periods.map_or(0, |periods| periods.value(row)),
            });
        }
        Ok(())
    })
    .await
}

/// Hands every batch of a query's answer to a function, holding a few at a time; the next are made meanwhile.
pub(super) async fn batches(
    session: &SessionContext,
    sql: &str,
    mut take: impl FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
    let doing = || "sort the times of a study";
    let mut stream = session.sql(sql).await.context(doing)?.execute_stream().await.context(doing)?;
    let (sender, mut made) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(batch) = stream.next().await {
            if sender.send(batch).await.is_err() {
                break;
            }
        }
    });
    while let Some(batch) = made.recv().await {
        take(&batch.context(doing)?)?;
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
