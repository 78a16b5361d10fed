//! How the cells of the standard columns are read, and the faults that are found in them.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
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
    pub(crate) nulls: Nulls,
}

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
    /// Replacements of whole cells. They are looked up for each cell, so that the hash function is a fast one.
    pub(crate) values: HashMap<String, String, ahash::RandomState>,
    /// What replaces every cell that has no replacement in `values`.
    pub(crate) other: Option<String>,
    /// Texts that mean null, besides the empty one.
    pub(crate) nulls: Vec<String>,
    /// Bytes of the column's texts in the last block, about as many as in the next.
    pub(crate) text_bytes: Cell<usize>,
}

/// A cell that failed.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The place of its row in the block, from 0.
    pub(crate) row: usize,
    pub(crate) column: &'static str,
    /// The reason, as the quarantine states it.
    pub(crate) rule: &'static str,
    /// The text of the cell.
    pub(crate) value: String,
}

/// The first fault of each bad row of a block, and which rows are good.
pub(crate) struct Faults {
    pub(super) good: Vec<bool>,
    pub(crate) list: Vec<Fault>,
}

impl Faults {
    pub(crate) fn new(rows: usize) -> Self {
        Self { good: vec![true; rows], list: Vec::new() }
    }

    /// Adds a fault, unless its row has one already.
    pub(crate) fn add(&mut self, row: usize, column: &'static str, rule: &'static str, value: &str) {
        if std::mem::replace(&mut self.good[row], false) {
            self.list.push(Fault { row, column, rule, value: value.to_owned() });
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
        self.values.is_empty() && self.other.is_none() && !self.nulls.iter().any(is_value)
    }
}
