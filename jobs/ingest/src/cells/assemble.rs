//! From the cells of a block to a batch of its good rows.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, new_null_array},
    compute::filter,
};
use tidewaiter_archive::schema::{EVENT_TIME, Kind};
use tidewaiter_core::Result;

use super::{
    rules::{Fault, Faults, Rules, Source},
    text::{convert, times_and_offsets},
    typed,
};

/// The batch of the good rows of a block, and the faults of its other rows in the order of the rows.
///
/// `number` gives the number of a row's record in the file, `typed` the array of a field where it is not text, and
/// `cell` the text at a row and a field, where there is one.
pub(crate) fn assemble<'a>(
    rules: &'a Rules,
    rows: usize,
    number: impl Fn(usize) -> i64,
    typed: impl Fn(usize) -> Option<&'a ArrayRef>,
    cell: impl Fn(usize, usize) -> Option<&'a str>,
) -> Result<(RecordBatch, Vec<Fault>)> {
    let mut faults = Faults::new(rows);
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(rules.columns.len());
    // Found with the time of an event, whose column comes before that of its offset.
    let mut offsets = None;
    for rule in &rules.columns {
        if let Source::Field(field) = rule.source
            && rule.column.kind != Kind::Offset
            && let Some(source) = typed(field)
            && typed::is_taken(rule, source.data_type())
        {
            let taken = typed::take(rule, source, &mut faults)?;
            arrays.push(taken.values);
            if rule.column.name == EVENT_TIME {
                offsets = taken.offsets;
            }
            continue;
        }
        let cell = |row: usize| match &rule.source {
            Source::Field(field) => cell(row, *field),
            Source::Constant(constant) => Some(constant.as_str()),
            Source::Absent | Source::Position => None,
        };
        arrays.push(match &rule.source {
            Source::Absent => rules.nulls.of(&rule.column.kind.data_type(), rows),
            Source::Position => Arc::new(Int64Array::from_iter_values((0..rows).map(&number))),
            _ if rule.column.name == EVENT_TIME => {
                let (times, found) = times_and_offsets(rule, rows, cell, &mut faults);
                offsets = Some(found);
                times
            }
            _ if rule.column.kind == Kind::Offset => {
                offsets.take().unwrap_or_else(|| new_null_array(&rule.column.kind.data_type(), rows))
            }
            _ => convert(rule, rows, cell, &mut faults),
        });
    }
    let Faults { good, list: mut faults } = faults;
    if !faults.is_empty() {
        let good = BooleanArray::from(good);
        for array in &mut arrays {
            *array = filter(array, &good)?;
        }
    }
    faults.sort_by_key(|fault| fault.row);
    let options = RecordBatchOptions::new().with_row_count(Some(rows - faults.len()));
    Ok((RecordBatch::try_new_with_options(Arc::clone(&rules.schema), arrays, &options)?, faults))
}
