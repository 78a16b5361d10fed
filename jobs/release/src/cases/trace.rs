//! How a case's row holds its trace: the names of its activities as one text, and the times between its
//! events as bytes.
//!
//! Times are eight bytes each, the lowest first, in one binary value: a list column's levels would take
//! longer to write and read than the times themselves.

use std::{collections::HashMap, io::Write as _};

use arrow::array::BinaryBuilder;

use crate::interner::ColumnInterner;

/// Separates the activities of a trace: ASCII's unit separator.
pub const SEPARATOR: char = '\u{1f}';

/// Different traces whose texts are cached.
const CACHED_TRACES: usize = 4096;

/// The times of a binary value, in microseconds.
pub fn times(bytes: &[u8]) -> impl Iterator<Item = i64> {
    bytes.as_chunks().0.iter().map(|time| i64::from_le_bytes(*time))
}

/// Appends times in microseconds as one binary value.
pub(super) fn append_times(column: &mut BinaryBuilder, times: impl Iterator<Item = i64>) {
    for time in times {
        // Writing into a builder does not fail.
        let _ = column.write_all(&time.to_le_bytes());
    }
    column.append_value([]);
}

/// The texts of traces and the number of their different activities, by the numbers of their activities; a
/// cache.
#[derive(Default)]
pub(super) struct TraceTexts {
    known: HashMap<Vec<u32>, (String, i64), ahash::RandomState>,
    numbers: Vec<u32>,
}

impl TraceTexts {
    /// The text of a trace and the number of its different activities; activities are given by their numbers,
    /// from 1.
    pub(super) fn of(
        &mut self,
        names: &ColumnInterner,
        activities: impl Iterator<Item = u32>,
    ) -> &(String, i64) {
        self.numbers.clear();
        self.numbers.extend(activities);
        if self.known.len() == CACHED_TRACES && !self.known.contains_key(&self.numbers) {
            self.known.clear();
        }
        if !self.known.contains_key(&self.numbers) {
            let mut text = String::new();
            for (place, number) in self.numbers.iter().enumerate() {
                if place > 0 {
                    text.push(SEPARATOR);
                }
                text.push_str(names.text(number - 1));
            }
            let mut different = self.numbers.clone();
            different.sort_unstable();
            different.dedup();
            self.known.insert(self.numbers.clone(), (text, different.len() as i64));
        }
        &self.known[&self.numbers]
    }
}
