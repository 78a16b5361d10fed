//! What happened to the rows of an ingest beyond their numbers: the rules that were broken, the first of them, and what
//! was corrected. Start at [`Tally`].

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result};

use crate::block::Repair;

/// The characters of a cell that a reason shows.
const SHOWN: usize = 60;

/// Counts by rule, and the first row that broke one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Rows put aside, by column and rule.
    pub rules: BTreeMap<String, u64>,
    /// Corrected cells, by column and correction.
    pub repairs: BTreeMap<String, u64>,
    /// The first row that was put aside: file, line, rule and value.
    pub first: Option<String>,
}

impl Tally {
    /// Counts corrected cells.
    pub(crate) fn correct(&mut self, repairs: &[Repair]) {
        for (column, correction, cells) in repairs {
            *self.repairs.entry(format!("{column}: {correction}")).or_default() += cells;
        }
    }

    /// Counts the quarantined rows of a block of a file.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when the rows are none of a quarantine.
    pub(crate) fn add(&mut self, quarantined: &RecordBatch) -> Result<()> {
        if quarantined.num_rows() == 0 {
            return Ok(());
        }
        let column = |name: &str| {
            let column = quarantined.column_by_name(name);
            column.ok_or_else(|| Error::internal(format!("quarantined rows have no column {name}")))
        };
        let text = |name: &str| Ok::<_, Error>(column(name)?.as_string::<i32>());
        let (columns, rules) = (text("column")?, text("rule")?);
        let label = |row: usize| match columns.is_valid(row) {
            true => format!("{}: {}", columns.value(row), rules.value(row)),
            false => rules.value(row).to_owned(),
        };
        for row in 0..quarantined.num_rows() {
            *self.rules.entry(label(row)).or_default() += 1;
        }
        if self.first.is_none() {
            let lines = column("line")?.as_primitive::<arrow::datatypes::Int64Type>();
            let rows = column("row_number")?.as_primitive::<arrow::datatypes::Int64Type>();
            let place = match lines.is_valid(0) {
                true => format!("line {}", lines.value(0)),
                false => format!("row {}", rows.value(0)),
            };
            let value: String = text("value")?.value(0).chars().take(SHOWN).collect();
            let value = if value.is_empty() { value } else { format!(": {value:?}") };
            self.first = Some(format!("{}, {place}: {}{value}", text("file")?.value(0), label(0)));
        }
        Ok(())
    }

    /// Adds the counts of later rows.
    pub(crate) fn merge(&mut self, other: Self) {
        for (counts, others) in [(&mut self.rules, other.rules), (&mut self.repairs, other.repairs)] {
            for (key, count) in others {
                *counts.entry(key).or_default() += count;
            }
        }
        self.first = self.first.take().or(other.first);
    }

    /// The rules, the most frequent first.
    pub fn frequent(&self) -> Vec<(&str, u64)> {
        let mut rules: Vec<_> = self.rules.iter().map(|(rule, count)| (rule.as_str(), *count)).collect();
        rules.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        rules
    }
}
