//! The keys of new rows, held as hashes of 64 bits, to be compared with those of the archive. Start at [`Keys`].

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ahash::RandomState;
use arrow::{
    array::{AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Date32Type, Int32Type},
};
use chrono::{Datelike, NaiveDate};
use tidewaiter_archive::schema::{Layout, VERSION};
use tidewaiter_core::{Result, answers};

use crate::refusals::RowsByMonth;

/// Whether rows with one key are versions of one row.
pub(crate) fn has_one_row_a_key(layout: &Layout) -> bool {
    layout.columns.iter().any(|column| column.name == VERSION)
}

/// Keys that are held at a time, at most: beyond it nothing is compared.
pub(crate) const MOST_KEYS: u64 = 5_000_000;

/// How many more keys may be held, of all files together.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<AtomicU64>);

impl Room {
    /// Room for so many keys.
    pub(crate) fn of(keys: u64) -> Self {
        Self(Arc::new(AtomicU64::new(keys)))
    }

    /// Takes the place of one key, if there is one.
    fn take(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

/// The keys of new rows, and the months of the rows.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    held: HashMap<u64, Held, RandomState>,
    /// Whether there were more keys than there was room for: none is held then.
    pub(crate) are_too_many: bool,
    pub(crate) months: RowsByMonth,
}

/// The new rows of one key.
#[derive(Debug, Clone, Copy)]
struct Held {
    rows: u64,
    /// The highest version of them.
    version: i32,
    /// Whether the archive has a row of the key, and one of a later version.
    is_archived: bool,
    is_outdated: bool,
}

impl Keys {
    /// Adds rows of a table: their months, and where there is a room for keys, the keys while it lasts.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] where they lack a column of the key or the date.
    pub(crate) fn add(&mut self, rows: &RecordBatch, layout: &Layout, room: Option<&Room>) -> Result<()> {
        let days = cast(answers::column(rows, layout.date_column)?, &DataType::Date32)?;
        for day in days.as_primitive::<Date32Type>().iter().flatten() {
            if let Some(date) = NaiveDate::from_epoch_days(day) {
                let month = i32::try_from(date.month()).unwrap_or(1);
                *self.months.entry((date.year(), month)).or_default() += 1;
            }
        }
        let Some(room) = room.filter(|_| !self.are_too_many) else { return Ok(()) };
        for (hash, version) in hashes(rows, layout.key)?.into_iter().zip(versions(rows)?) {
            match self.held.entry(hash) {
                Entry::Occupied(mut held) => {
                    let held = held.get_mut();
                    held.rows += 1;
                    held.version = held.version.max(version);
                }
                Entry::Vacant(place) if room.take() => {
                    place.insert(Held { rows: 1, version, is_archived: false, is_outdated: false });
                }
                Entry::Vacant(_) => {
                    self.give_up();
                    break;
                }
            }
        }
        Ok(())
    }

    /// Holds no key any more.
    fn give_up(&mut self) {
        self.are_too_many = true;
        self.held = HashMap::default();
    }

    /// Adds those of another file.
    pub(crate) fn merge(&mut self, other: Self) {
        for (month, rows) in other.months {
            *self.months.entry(month).or_default() += rows;
        }
        if self.are_too_many || other.are_too_many {
            return self.give_up();
        }
        for (hash, other) in other.held {
            let held = self.held.entry(hash).or_insert(Held { rows: 0, ..other });
            held.rows += other.rows;
            held.version = held.version.max(other.version);
        }
    }

    /// Notes rows of the archive, and gives the number of those that new rows would amend.
    ///
    /// # Errors
    /// As [`Keys::add`].
    pub(crate) fn meet(&mut self, rows: &RecordBatch, key: &[&str]) -> Result<u64> {
        let mut amended = 0;
        for (hash, version) in hashes(rows, key)?.into_iter().zip(versions(rows)?) {
            if let Some(held) = self.held.get_mut(&hash) {
                held.is_archived = true;
                match version <= held.version {
                    true => amended += 1,
                    false => held.is_outdated = true,
                }
            }
        }
        Ok(amended)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// New rows whose keys the archive has.
    pub(crate) fn repeated(&self) -> u64 {
        self.held.values().filter(|held| held.is_archived).map(|held| held.rows).sum()
    }

    /// New rows that are not in force, where one row of a key is.
    pub(crate) fn outdated(&self) -> u64 {
        let left_out = |held: &Held| if held.is_outdated { held.rows } else { held.rows - 1 };
        self.held.values().map(left_out).sum()
    }
}

/// The hashes of the keys of rows.
fn hashes(rows: &RecordBatch, key: &[&str]) -> Result<Vec<u64>> {
    let seeds = RandomState::with_seeds(1, 2, 3, 4);
    let mut hashers: Vec<_> = (0..rows.num_rows()).map(|_| seeds.build_hasher()).collect();
    for column in key {
        let texts = cast(answers::column(rows, column)?, &DataType::Utf8)?;
        for (hasher, text) in hashers.iter_mut().zip(texts.as_string::<i32>()) {
            hasher.write(text.unwrap_or_default().as_bytes());
            hasher.write_u8(u8::MAX);
        }
    }
    Ok(hashers.into_iter().map(|hasher| hasher.finish()).collect())
}

/// The versions of rows; 0 where there is none.
fn versions(rows: &RecordBatch) -> Result<Vec<i32>> {
    let Some(versions) = rows.column_by_name(VERSION) else { return Ok(vec![0; rows.num_rows()]) };
    let versions = cast(versions, &DataType::Int32)?;
    Ok(versions.as_primitive::<Int32Type>().iter().map(Option::unwrap_or_default).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Date32Array, Int32Array, StringArray};
    use tidewaiter_declarations::LAYOUT;

    use super::*;

    fn rows(rows: &[(&str, i32, i32, Option<i32>)]) -> RecordBatch {
        let ids = StringArray::from_iter_values(rows.iter().map(|row| row.0));
        let items = Int32Array::from_iter_values(rows.iter().map(|row| row.1));
        let days = Date32Array::from_iter_values(rows.iter().map(|row| row.2));
        let versions: Int32Array = rows.iter().map(|row| row.3).collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("declaration_id", Arc::new(ids)),
            ("item_number", Arc::new(items)),
            ("acceptance_date", Arc::new(days)),
            (VERSION, Arc::new(versions)),
        ];
        RecordBatch::try_from_iter(columns).expect("columns of one length")
    }

    #[test]
    fn rows_of_one_key_meet_whatever_file_they_are_of() {
        let room = Room::of(4);
        let mut keys = Keys::default();
        keys.add(&rows(&[("A", 1, 19_000, None), ("A", 2, 19_000, Some(2))]), &LAYOUT, Some(&room))
            .expect("adds");
        let mut other = Keys::default();
        other
            .add(&rows(&[("A", 1, 19_040, Some(1)), ("A1", 2, 19_040, None)]), &LAYOUT, Some(&room))
            .expect("adds");
        keys.merge(other);
        assert_eq!(keys.months.values().sum::<u64>(), 4);
        assert_eq!(keys.held.len(), 3);
        // Of A 1 the first is amended and the second is later; A 2 is later; the others are not among the new rows.
        let before = [("A", 1, 0, Some(1)), ("A", 1, 0, Some(2)), ("A", 2, 0, Some(3)), ("A", 3, 0, None)];
        assert_eq!(keys.meet(&rows(&before), LAYOUT.key).expect("meets"), 1);
        let archived = keys.held.values().filter(|held| held.is_archived && held.is_outdated).count();
        assert_eq!(archived, 2);
    }

    #[test]
    fn beyond_the_room_for_keys_none_is_held_and_months_are_counted_on() {
        let room = Room::of(3);
        let (mut keys, mut other) = (Keys::default(), Keys::default());
        keys.add(&rows(&[("A", 1, 19_000, None), ("A", 1, 19_000, None)]), &LAYOUT, Some(&room))
            .expect("adds");
        keys.add(&rows(&[("A", 2, 19_000, None)]), &LAYOUT, Some(&room)).expect("adds");
        assert_eq!((keys.held.len(), keys.are_too_many), (2, false));
        // Files share the room.
        let two = [("B", 1, 19_000, None), ("B", 2, 19_000, None)];
        other.add(&rows(&two), &LAYOUT, Some(&room)).expect("adds");
        other.add(&rows(&two[..1]), &LAYOUT, Some(&room)).expect("adds");
        assert!(other.are_too_many && other.is_empty());
        keys.merge(other);
        assert!(keys.are_too_many && keys.is_empty());
        assert_eq!(keys.months.values().sum::<u64>(), 6);
        assert_eq!(keys.meet(&rows(&[("A", 1, 0, None)]), LAYOUT.key).expect("meets"), 0);
        // Where no keys are compared none is held, and that is not too many.
        let mut uncompared = Keys::default();
        uncompared.add(&rows(&two), &LAYOUT, None).expect("adds");
        assert!(uncompared.is_empty() && !uncompared.are_too_many);
        assert_eq!(uncompared.months.values().sum::<u64>(), 2);
    }
}
