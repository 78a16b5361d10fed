//! From the cells of a block to a batch of its good rows.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, new_null_array,
    },
    compute::{concat, concat_batches, filter},
    datatypes::{Date32Type, TimestampMicrosecondType},
};
use tidewaiter_archive::schema::{EVENT_TIME, Kind};
use tidewaiter_core::{Error, Result};

use super::{
    rules::{ColumnRule, Fault, Faults, Rules, Source, TRACED},
    text::{convert, times_and_offsets},
    typed,
};

/// Microseconds in a day.
const DAY: i64 = 86_400_000_000;

/// The rows that were made of the records of a block.
pub(crate) struct Assembled {
    /// The good rows.
    pub(crate) batch: RecordBatch,
    /// The number of the record of which each of them was made.
    pub(crate) records: ArrayRef,
    /// The faults of the others, in the order of the records.
    pub(crate) faults: Vec<Fault>,
    /// What was corrected in good cells: column, correction, number of cells.
    pub(crate) repairs: Vec<(&'static str, &'static str, u64)>,
    /// The number of rows, good and bad.
    pub(crate) rows: usize,
}

/// Makes rows of records: one of each record by one set of rules; by several sets (one for each time column of a wide
/// table) one of each record and set whose time is there. A record without any time is a bad row.
///
/// `number` gives the number of a record in the file, `typed` the array of a field where it is not text, and `cell` the
/// text of a record and a field, where there is one. `known` are faults that the reader found.
pub(crate) fn assemble<'a>(
    sets: &'a [Rules],
    records: usize,
    number: impl Fn(usize) -> i64,
    typed: impl Fn(usize) -> Option<&'a ArrayRef>,
    cell: impl Fn(usize, usize) -> Option<&'a str>,
    mut known: Vec<Fault>,
) -> Result<Assembled> {
    known.extend(traced(sets, records, &number, &known));
    if let [rules] = sets {
        return assemble_one(rules, records, [&number, &number], typed, cell, known);
    }
    let mut has_row = vec![false; records];
    for fault in &known {
        has_row[fault.row] = true;
    }
    let bad = has_row.clone();
    let (mut batches, mut repairs) = (Vec::with_capacity(sets.len()), Vec::new());
    let mut numbers: Vec<ArrayRef> = Vec::with_capacity(sets.len());
    let (mut faults, mut rows) = (known, bad.iter().filter(|is_bad| **is_bad).count());
    let count = i64::try_from(sets.len()).unwrap_or(i64::MAX);
    for (set, place) in sets.iter().zip(0..) {
        let there = |record: &usize| !bad[*record] && set.has_time(*record, &cell);
        let chosen: Vec<usize> = (0..records).filter(there).collect();
        for record in &chosen {
            has_row[*record] = true;
        }
        // Events of one record have one time order in the file.
        let order = |row: usize| (number(chosen[row]) - 1) * count + place + 1;
        let record = |row: usize| number(chosen[row]);
        let chosen_cell = |row: usize, field: usize| cell(chosen[row], field);
        let numbered: [&dyn Fn(usize) -> i64; 2] = [&order, &record];
        let made = assemble_one(set, chosen.len(), numbered, |_| None, chosen_cell, Vec::new())?;
        rows += chosen.len();
        batches.push(made.batch);
        numbers.push(made.records);
        repairs.extend(made.repairs);
        faults.extend(made.faults.into_iter().map(|fault| Fault { row: chosen[fault.row], ..fault }));
    }
    for record in (0..records).filter(|record| !has_row[*record]) {
        rows += 1;
        let rule = "no milestone has a time".into();
        faults.push(Fault { row: record, column: None, rule, value: String::new() });
    }
    faults.sort_by_key(|fault| fault.row);
    let batch = match sets.first() {
        Some(rules) => concat_batches(&rules.schema, &batches)?,
        None => RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty())),
    };
    let numbers: Vec<&dyn Array> = numbers.iter().map(AsRef::as_ref).collect();
    let records: ArrayRef = match numbers.is_empty() {
        true => Arc::new(Int64Array::from(Vec::<i64>::new())),
        false => concat(&numbers)?,
    };
    Ok(Assembled { batch, records, faults, repairs, rows })
}

/// The faults of records that are put aside to show their raw text.
fn traced(sets: &[Rules], records: usize, number: impl Fn(usize) -> i64, known: &[Fault]) -> Vec<Fault> {
    let Some(rules) = sets.first().filter(|rules| !rules.traced.is_empty()) else { return Vec::new() };
    let is_new = |row: &usize| known.iter().all(|fault| fault.row != *row);
    let found = (0..records).filter(|row| rules.traced.contains(&number(*row))).filter(is_new);
    found.map(|row| Fault { row, column: None, rule: TRACED.into(), value: String::new() }).collect()
}

/// Makes one row of each record. `numbers` give the place of a row in the file and the number of its record.
fn assemble_one<'a>(
    rules: &'a Rules,
    rows: usize,
    numbers: [&dyn Fn(usize) -> i64; 2],
    typed: impl Fn(usize) -> Option<&'a ArrayRef>,
    cell: impl Fn(usize, usize) -> Option<&'a str>,
    known: Vec<Fault>,
) -> Result<Assembled> {
    let mut faults = Faults::new(rows);
    known.into_iter().for_each(|fault| faults.push(fault));
    let [number, record] = numbers;
    let block = Block { rules, rows, number: &number, typed: &typed, cell: &cell };
    // The day comes first: whether a code is in force depends on it. Its faults are added in their turn.
    let place = rules.columns.iter().position(|rule| rule.column.name == rules.date_column);
    let mut day_faults = Faults::new(rows);
    let mut dated =
        place.map(|place| block.column(&rules.columns[place], &|_| None, &mut day_faults)).transpose()?;
    let days = dated.as_ref().map(|(days, _)| Arc::clone(days));
    let day = |row: usize| day_of(days.as_ref()?, row);
    let mut offsets = dated.as_mut().and_then(|(_, offsets)| offsets.take());
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(rules.columns.len() + 1);
    for (column, rule) in rules.columns.iter().enumerate() {
        if Some(column) == place
            && let Some((array, _)) = dated.take()
        {
            day_faults.list.drain(..).for_each(|fault| faults.push(fault));
            arrays.push(array);
        } else if rule.column.kind == Kind::Offset {
            let none = || new_null_array(&rule.column.kind.data_type(), rows);
            arrays.push(offsets.take().unwrap_or_else(none));
        } else {
            let (array, found) = block.column(rule, &day, &mut faults)?;
            arrays.push(array);
            offsets = found.or(offsets);
        }
    }
    let Faults { good, list: mut faults, repairs } = faults;
    arrays.push(Arc::new(Int64Array::from_iter_values((0..rows).map(record))));
    if !faults.is_empty() {
        let good = BooleanArray::from(good);
        for array in &mut arrays {
            *array = filter(array, &good)?;
        }
    }
    let records = arrays.pop().ok_or_else(|| Error::internal("the records of a block have no numbers"))?;
    faults.sort_by_key(|fault| fault.row);
    let options = RecordBatchOptions::new().with_row_count(Some(rows - faults.len()));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&rules.schema), arrays, &options)?;
    Ok(Assembled { batch, records, faults, repairs, rows })
}

/// The records of a block.
struct Block<'b, 'a, N, T, C> {
    rules: &'a Rules,
    rows: usize,
    number: &'b N,
    typed: &'b T,
    cell: &'b C,
}

impl<'a, N, T, C> Block<'_, 'a, N, T, C>
where
    N: Fn(usize) -> i64,
    T: Fn(usize) -> Option<&'a ArrayRef>,
    C: Fn(usize, usize) -> Option<&'a str>,
{
    /// The array of a column and, for the time of an event, the offsets from UTC.
    fn column(
        &self,
        rule: &'a ColumnRule,
        day: &impl Fn(usize) -> Option<i32>,
        faults: &mut Faults,
    ) -> Result<(ArrayRef, Option<ArrayRef>)> {
        let is_event_time = rule.column.name == EVENT_TIME;
        if let Source::Field(field) = rule.source
            && let Some(source) = (self.typed)(field)
            && typed::is_taken(rule, source.data_type())
        {
            let taken = typed::take(rule, source, faults)?;
            return Ok((taken.values, taken.offsets.filter(|_| is_event_time)));
        }
        let cell = |row: usize| match &rule.source {
            Source::Field(field) => (self.cell)(row, *field),
            Source::Constant(constant) => Some(constant.as_str()),
            Source::Absent | Source::Position => None,
        };
        Ok(match &rule.source {
            Source::Absent => (self.rules.nulls.of(&rule.column.kind.data_type(), self.rows), None),
            Source::Position => {
                let numbers = (0..self.rows).map(self.number);
                (Arc::new(Int64Array::from_iter_values(numbers)) as ArrayRef, None)
            }
            _ if is_event_time => {
                let (times, offsets) = times_and_offsets(rule, self.rows, cell, faults);
                (times, Some(offsets))
            }
            _ => (convert(rule, self.rows, cell, day, faults), None),
        })
    }
}

impl Rules {
    /// Whether a record has an event's time.
    fn has_time<'a>(&'a self, record: usize, cell: impl Fn(usize, usize) -> Option<&'a str>) -> bool {
        let rule = self.columns.iter().find(|rule| rule.column.name == EVENT_TIME);
        match rule.map(|rule| (rule, &rule.source)) {
            Some((rule, Source::Field(field))) => {
                cell(record, *field).is_some_and(|text| rule.clean(text).is_some())
            }
            _ => true,
        }
    }
}

/// The day of a row's date or time, since 1970-01-01; `None` where it has none.
fn day_of(days: &ArrayRef, row: usize) -> Option<i32> {
    if days.is_null(row) {
        return None;
    }
    if let Some(days) = days.as_primitive_opt::<Date32Type>() {
        return Some(days.value(row));
    }
    let times = days.as_primitive_opt::<TimestampMicrosecondType>()?;
    i32::try_from(times.value(row).div_euclid(DAY)).ok()
}
