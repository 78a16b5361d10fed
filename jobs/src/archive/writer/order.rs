//! A month's rows in the order in which they are written.
//!
//! Rows that come in that order, as most exports do, are handed on as they lie, without a copy; others are
//! gathered slice by slice, so that sorting holds no second copy of the month.

use std::collections::VecDeque;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::{LexicographicalComparator, SortColumn, concat, interleave_record_batch},
    datatypes::TimestampMicrosecondType,
};

use crate::Result;

/// Rows handed to the Parquet encoder at a time.
pub(super) const SLICE_ROWS: usize = 64 << 10;

/// The rows of some batches, sorted stably by some of their columns, slice by slice.
pub(super) enum Sorted {
    /// The batches are in order.
    AsTheyLie(VecDeque<RecordBatch>),
    /// Row numbers over all batches, the number of each batch's first row, and how many were given.
    Gathered { batches: Vec<RecordBatch>, firsts: Vec<u32>, order: Vec<u32>, given: usize },
}

impl Sorted {
    /// Sorts batches of one schema by the columns at these places.
    pub(super) fn new(batches: Vec<RecordBatch>, columns: &[usize]) -> Result<Self> {
        let key = |column: &usize| {
            let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(*column).as_ref()).collect();
            Ok(SortColumn { values: concat(&parts)?, options: None })
        };
        let mut firsts = Vec::with_capacity(batches.len());
        let mut rows = 0_u32;
        for batch in &batches {
            firsts.push(rows);
            rows += u32::try_from(batch.num_rows()).unwrap_or(u32::MAX);
        }
        if batches.is_empty() {
            return Ok(Self::AsTheyLie(VecDeque::new()));
        }
        if rises(batches.iter().filter_map(|batch| Some(batch.column(*columns.first()?)))) {
            return Ok(Self::AsTheyLie(batches.into()));
        }
        let keys = columns.iter().map(key).collect::<Result<Vec<_>>>()?;
        let comparator = LexicographicalComparator::try_new(&keys)?;
        let compare = |a: u32, b: u32| comparator.compare(a as usize, b as usize);
        if (1..rows).all(|row| compare(row - 1, row).is_le()) {
            return Ok(Self::AsTheyLie(batches.into()));
        }
        let mut order: Vec<u32> = (0..rows).collect();
        order.sort_by(|a, b| compare(*a, *b));
        Ok(Self::Gathered { batches, firsts, order, given: 0 })
    }

    /// The next rows, at most [`SLICE_ROWS`]; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>> {
        match self {
            Self::AsTheyLie(batches) => {
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
                let batches: Vec<&RecordBatch> = batches.iter().collect();
                Ok(Some(interleave_record_batch(&batches, &places)?))
            }
        }
    }
}

/// Whether a column of moments rises from row to row over all batches, so that no other column matters.
fn rises<'a>(mut parts: impl Iterator<Item = &'a ArrayRef>) -> bool {
    let mut before = None;
    parts.all(|part| {
        let Some(moments) = part.as_primitive_opt::<TimestampMicrosecondType>() else { return false };
        let values = moments.values();
        let follows = before.is_none_or(|before| values.first().is_none_or(|first| before < *first));
        before = values.last().copied().or(before);
        moments.null_count() == 0 && follows && values.is_sorted_by(|a, b| a < b)
    })
}
