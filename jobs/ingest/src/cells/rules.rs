//! How the cells of the standard columns are read, and the faults that are found in them.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, new_null_array},
    datatypes::{DataType, SchemaRef},
};
use tidewaiter_archive::schema::Column;

use super::times::Zone;

/// Where the cells of a standard column come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The mapping does not name the column: all cells are null.
    Absent,
    /// The same text for every row.
    Constant(String),
    /// The field of the record at this place, from 0.
    Field(usize),
    /// The number of the record.
    Position,
}

/// How the cells of every standard column of a table are read, in the order of its schema.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) columns: Vec<ColumnRule>,
    /// The schema of the table's data files.
    pub(crate) schema: SchemaRef,
    /// The column of a row's day, by which the code lists are read.
    pub(crate) date_column: &'static str,
    pub(crate) nulls: Nulls,
    /// The numbers of records that are put aside to show their raw text.
    pub(crate) traced: Arc<BTreeSet<i64>>,
}

/// The rule that a record breaks which is only put aside to show its raw text.
pub(crate) const TRACED: &str = "traced";

/// Arrays of nulls, made once for each type and given out in slices.
#[derive(Debug, Default)]
pub(crate) struct Nulls(RefCell<Vec<ArrayRef>>);

impl Nulls {
    /// That many nulls of a type.
    pub(super) fn of(&self, kind: &DataType, rows: usize) -> ArrayRef {
        let mut made = self.0.borrow_mut();
        if let Some(array) = made.iter().find(|array| array.data_type() == kind && array.len() >= rows) {
            return array.slice(0, rows);
        }
        made.retain(|array| array.data_type() != kind);
        let array = new_null_array(kind, rows);
        made.push(Arc::clone(&array));
        array
    }
}

/// How the cells of one standard column are read.
#[derive(Debug)]
pub(crate) struct ColumnRule {
    pub(crate) column: &'static Column,
    pub(crate) source: Source,
    /// Formats of dates or times in `strftime` notation, tried in order.
    pub(crate) formats: Vec<String>,
    /// The zone of times that are written without one.
    pub(crate) zone: Option<Zone>,
    pub(crate) decimal_comma: bool,
    /// The marks between thousands; a space stands for all spaces.
    pub(crate) thousands: Vec<char>,
    /// Codes that the mapping adds to the code list of the column.
    pub(crate) user_codes: Vec<String>,
    /// How long the HS codes of the column are, and which there are.
    pub(crate) hs: HsRule,
    /// The days that the mapping allows.
    pub(crate) days: Days,
    /// Whether typed values are read by their text, because the reader does not pass typed columns on.
    pub(crate) as_text: bool,
    /// Replacements of whole cells. They are looked up for each cell, so that the hash function is a fast one.
    pub(crate) values: HashMap<String, String, ahash::RandomState>,
    /// What replaces every cell that has no replacement in `values`.
    pub(crate) other: Option<String>,
    /// Texts that mean null, besides the empty one.
    pub(crate) nulls: Vec<String>,
    /// Bytes of the column's texts in the last block, about as many as in the next.
    pub(crate) text_bytes: Cell<usize>,
}

/// Which HS codes a column may have.
#[derive(Debug, Clone, Default)]
pub(crate) struct HsRule {
    /// The numbers of digits of a whole code; empty: any even number from 2 to 12.
    pub(crate) digits: Vec<usize>,
    /// The codes of a nomenclature, of 2, 4 and 6 digits, by which a lost zero is restored; empty: none is given.
    pub(crate) nomenclature: Arc<BTreeSet<String>>,
}

/// The days that a date or time may lie on, since 1970-01-01, both ends included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Days {
    pub(crate) first: i32,
    pub(crate) last: i32,
}

/// The first and the last day that any column holds: 1900-01-01 and 2200-12-31.
pub(crate) const ALL_DAYS: Days = Days { first: -25_567, last: 84_370 };

impl Days {
    /// Why a day is refused.
    pub(crate) fn fault(self, day: i32) -> Option<&'static str> {
        if (self.first..=self.last).contains(&day) {
            None
        } else if !(ALL_DAYS.first..=ALL_DAYS.last).contains(&day) {
            Some(OUTSIDE)
        } else if day < self.first {
            Some("date before first_day of the mapping")
        } else {
            Some("date after the day of ingest, or after last_day of the mapping")
        }
    }
}

/// The fault of a day that no column holds.
pub(crate) const OUTSIDE: &str = "date outside the years 1900 to 2200";

/// A cell that failed.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The place of its row in the block, from 0.
    pub(crate) row: usize,
    /// The standard column; `None`: the record as a whole.
    pub(crate) column: Option<&'static str>,
    /// The reason, as the quarantine states it.
    pub(crate) rule: Cow<'static, str>,
    /// The text of the cell.
    pub(crate) value: String,
}

/// The first fault of each bad row of a block, and which rows are good.
pub(crate) struct Faults {
    pub(super) good: Vec<bool>,
    pub(crate) list: Vec<Fault>,
    /// What was corrected in good cells: column, correction, number of cells.
    pub(crate) repairs: Vec<(&'static str, &'static str, u64)>,
}

impl Faults {
    pub(crate) fn new(rows: usize) -> Self {
        Self { good: vec![true; rows], list: Vec::new(), repairs: Vec::new() }
    }

    /// Adds a fault, unless its row has one already.
    pub(crate) fn add(
        &mut self,
        row: usize,
        column: &'static str,
        rule: impl Into<Cow<'static, str>>,
        value: &str,
    ) {
        if std::mem::replace(&mut self.good[row], false) {
            self.list.push(Fault { row, column: Some(column), rule: rule.into(), value: value.to_owned() });
        }
    }

    /// Adds a fault that was found elsewhere, unless its row has one already.
    pub(crate) fn push(&mut self, fault: Fault) {
        if std::mem::replace(&mut self.good[fault.row], false) {
            self.list.push(fault);
        }
    }

    /// Counts corrected cells.
    pub(super) fn repaired(&mut self, column: &'static str, correction: &'static str, cells: u64) {
        if cells > 0 {
            self.repairs.push((column, correction, cells));
        }
    }
}

impl ColumnRule {
    /// Whether a number, date, time or flag is never replaced by another or by null, so that typed values need no look
    /// at their text.
    pub(crate) fn takes_values_as_they_are(&self) -> bool {
        let is_value = |null: &String| {
            let is_word = ["nan", "inf", "-inf", "true", "false"].contains(&null.to_lowercase().as_str());
            is_word || null.bytes().any(|byte| byte.is_ascii_digit())
        };
        !self.as_text && self.values.is_empty() && self.other.is_none() && !self.nulls.iter().any(is_value)
    }
}
