//! The rows of a month in the order in which they are written.
//!
//! Batches that are in that order already, as those of most exports are, are passed on without a copy. Rows of others
//! are gathered slice by slice, so that sorting never holds a second copy of the month. What is absent: any spill to
//! disk; the writer bounds the rows of a month. Start at [`SortedRows::new`].

use std::{cmp::Ordering, collections::VecDeque};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_null_array},
    compute::{LexicographicalComparator, SortColumn, cast, concat, interleave, take},
    datatypes::{DataType, Date32Type, Int64Type},
};
use tidewaiter_core::{Error, Result};

/// Rows that are given to the Parquet encoder at a time, at most.
pub(super) const SLICE_ROWS: usize = 64 << 10;

/// The rows of batches of one schema, sorted stably by some of their columns, slice by slice.
pub(super) enum SortedRows {
    /// The batches are in order.
    Unchanged(VecDeque<RecordBatch>),
    /// The batches, the row number of each one's first row, all row numbers in order, and how many of them were given.
    Gathered { batches: Vec<RecordBatch>, firsts: Vec<u32>, order: Vec<u32>, given: usize },
}

impl SortedRows {
    /// Sorts batches of one schema by the columns at these places, of which the first is the date.
    pub(super) fn new(batches: Vec<RecordBatch>, columns: &[usize]) -> Result<Self> {
        let mut firsts = Vec::with_capacity(batches.len());
        let mut rows = 0_u32;
        for batch in &batches {
            firsts.push(rows);
            rows += u32::try_from(batch.num_rows()).unwrap_or(u32::MAX);
        }
        let Some((date, others)) = columns.split_first().filter(|_| rows > 0) else {
            return Ok(Self::Unchanged(batches.into()));
        };
        let dates = dates(&batches, *date)?;
        if dates.is_sorted_by(|a, b| a < b) {
            return Ok(Self::Unchanged(batches.into()));
        }
        let key = |column: &usize| {
            let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(*column).as_ref()).collect();
            Ok(SortColumn { values: concat(&parts)?, options: None })
        };
        let keys = others.iter().map(key).collect::<Result<Vec<_>>>()?;
        let comparator = (!keys.is_empty()).then(|| LexicographicalComparator::try_new(&keys)).transpose()?;
        let within_date = |a: u32, b: u32| {
            comparator.as_ref().map_or(Ordering::Equal, |others| others.compare(a as usize, b as usize))
        };
        let mut order: Vec<(i64, u32)> = dates.into_iter().zip(0..).collect();
        let compare = |a: &(i64, u32), b: &(i64, u32)| a.0.cmp(&b.0).then_with(|| within_date(a.1, b.1));
        if order.is_sorted_by(|a, b| compare(a, b).is_le()) {
            return Ok(Self::Unchanged(batches.into()));
        }
        order.sort_by(compare);
        let order = order.into_iter().map(|(_, row)| row).collect();
        Ok(Self::Gathered { batches, firsts, order, given: 0 })
    }

    /// The next rows, at most [`SLICE_ROWS`]; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>> {
        match self {
            Self::Unchanged(batches) => {
                let Some(batch) = batches.pop_front() else { return Ok(None) };
                if batch.num_rows() <= SLICE_ROWS {
                    return Ok(Some(batch));
                }
                batches.push_front(batch.slice(SLICE_ROWS, batch.num_rows() - SLICE_ROWS));
                Ok(Some(batch.slice(0, SLICE_ROWS)))
            }
            Self::Gathered { batches, firsts, order, given } => {
                if *given == order.len() {
                    return Ok(None);
                }
                let end = order.len().min(*given + SLICE_ROWS);
                let place = |row: &u32| {
                    let batch = firsts.partition_point(|first| first <= row) - 1;
                    (batch, (row - firsts[batch]) as usize)
                };
                let places: Vec<(usize, usize)> = order[*given..end].iter().map(place).collect();
                *given = end;
                Ok(Some(interleaved(batches, &places)?))
            }
        }
    }
}

/// The rows at these places, each a batch and a row in it. Columns without a value, which are most of an export's, are
/// made without looking at their rows.
fn interleaved(batches: &[RecordBatch], places: &[(usize, usize)]) -> Result<RecordBatch> {
    let Some(first) = batches.first() else { return Err(Error::internal("rows of no batch were requested")) };
    let column = |column: usize| {
        let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(column).as_ref()).collect();
        match parts.iter().all(|part| is_empty(*part)) {
            true => Ok(new_null_array(first.column(column).data_type(), places.len())),
            false => interleave(&parts, places),
        }
    };
    let columns = (0..first.num_columns()).map(column).collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(first.schema(), columns)?)
}

/// The rows of a batch that have these numbers.
pub(super) fn taken(batch: &RecordBatch, rows: &UInt32Array) -> Result<RecordBatch> {
    let column = |column: &ArrayRef| match is_empty(column) {
        true => Ok(new_null_array(column.data_type(), rows.len())),
        false => take(column, rows, None),
    };
    let columns = batch.columns().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

fn is_empty(column: &dyn Array) -> bool {
    column.null_count() == column.len()
}

/// The dates or times of all rows, which all have one, as whole numbers.
fn dates(batches: &[RecordBatch], column: usize) -> Result<Vec<i64>> {
    let mut dates = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for batch in batches {
        let column = batch.column(column);
        match column.data_type() {
            DataType::Date32 => {
                dates.extend(column.as_primitive::<Date32Type>().values().iter().map(|day| i64::from(*day)));
            }
            _ => {
                dates.extend_from_slice(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().values())
            }
        }
    }
    Ok(dates)
}
