//! A trip as the features read it, and the columns that carry it.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, BooleanArray, Float64Array, Int32Array, RecordBatch, StringArray},
    compute::cast,
    datatypes::{DataType, Date32Type, Field, Float64Type, Int32Type, Schema, SchemaRef},
};
use tidewaiter_core::{Result, answers};

use super::catalogue::FEATURES;

/// The column of the drawn neighbours of a trip ([`super::past::sample`]), in files that are made with it.
pub const NEIGHBOURS: &str = "drawn_neighbours";

/// Columns of text that stand beside the features: what profiles are made of, and, from `sex` on, protected attributes.
pub const TEXTS: [&str; 12] = [
    "from_airport",
    "to_airport",
    "carrier",
    "origin",
    "destination",
    "payment_form",
    "agency_place",
    "booking_system",
    "selected_by",
    "sex",
    "nationality",
    "residence",
];

/// Columns that name a trip and what was used on it.
const NAMES: [&str; 6] = ["trip_id", "person_id", "booking_id", "flight_id", "keys", "agency_key"];

/// Columns that are read as numbers.
const NUMBERS: [&str; 13] = [
    "age",
    "legs",
    "is_return",
    "departs_hour",
    "days_booked_before",
    "days_since_change",
    "changes",
    "party",
    "is_group",
    "fare",
    "bags",
    "bag_kilograms",
    "documents",
];

/// The day of the flight, and the result of an inspection.
const DAY_AND_RESULT: [&str; 3] = ["flight_date", "found", "known_on"];

/// The columns of a trip that the operator reads.
pub fn input() -> impl Iterator<Item = &'static str> {
    as_text().chain(NUMBERS).chain(DAY_AND_RESULT)
}

/// Columns that are read as text, in their order.
fn as_text() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().chain(TEXTS)
}

/// The columns of rows of features: what names a trip, its label (1 found, 0 not, null not inspected), texts, age, the
/// features, and with `neighbours` those drawn for a graph network.
#[must_use]
pub fn schema(neighbours: bool) -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let mut fields: Vec<Field> = ["trip_id", "person_id", "booking_id", "flight_id"].map(text).into();
    fields.push(Field::new("flight_date", DataType::Date32, false));
    fields.push(Field::new("label", DataType::Float32, true));
    fields.push(Field::new("known_on", DataType::Date32, true));
    fields.extend(TEXTS.map(text));
    fields.push(Field::new("age", DataType::Float32, true));
    fields.extend(FEATURES.iter().map(|feature| Field::new(feature.name, DataType::Float32, false)));
    if neighbours {
        fields.push(Field::new_list(NEIGHBOURS, Field::new_list_field(DataType::Float32, true), false));
    }
    Arc::new(Schema::new(fields))
}

/// The columns of a batch of trips.
pub(super) struct Trips {
    texts: Vec<StringArray>,
    numbers: Vec<Float64Array>,
    days: Int32Array,
    known_on: Int32Array,
    found: BooleanArray,
}

impl Trips {
    pub(super) fn new(batch: &RecordBatch) -> Result<Self> {
        let texts = as_text().map(|name| {
            let column = cast(answers::column(batch, name)?, &DataType::Utf8)?;
            Ok(column.as_string::<i32>().clone())
        });
        let numbers = NUMBERS.into_iter().map(|name| {
            let column = cast(answers::column(batch, name)?, &DataType::Float64)?;
            Ok(column.as_primitive::<Float64Type>().clone())
        });
        let days = |name: &str| {
            let column = cast(answers::column(batch, name)?, &DataType::Date32)?;
            let days = column.as_primitive::<Date32Type>();
            Ok::<_, tidewaiter_core::Error>(days.reinterpret_cast::<Int32Type>())
        };
        let found = cast(answers::column(batch, "found")?, &DataType::Boolean)?;
        Ok(Self {
            texts: texts.collect::<Result<_>>()?,
            numbers: numbers.collect::<Result<_>>()?,
            days: days("flight_date")?,
            known_on: days("known_on")?,
            found: found.as_boolean().clone(),
        })
    }

    pub(super) fn count(&self) -> usize {
        self.days.len()
    }

    /// A column of text by its name; empty text where there is no such column.
    pub(super) fn text(&self, name: &str, row: usize) -> &str {
        let column = as_text().position(|own| own == name).and_then(|place| self.texts.get(place));
        match column {
            Some(column) if column.is_valid(row) => column.value(row),
            _ => "",
        }
    }

    /// A number by its column's name; NaN where it is not known.
    pub(super) fn number(&self, name: &str, row: usize) -> f32 {
        let column = NUMBERS.iter().position(|own| *own == name).and_then(|place| self.numbers.get(place));
        match column {
            Some(column) if column.is_valid(row) => column.value(row) as f32,
            _ => f32::NAN,
        }
    }

    pub(super) fn day(&self, row: usize) -> i32 {
        self.days.value(row)
    }

    /// Whether an inspection found something, and the day from which that is known.
    pub(super) fn outcome(&self, row: usize) -> Option<(bool, i32)> {
        let known = if self.known_on.is_valid(row) { self.known_on.value(row) } else { self.day(row) + 1 };
        self.found.is_valid(row).then(|| (self.found.value(row), known.max(self.day(row) + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_a_name_of_its_own() {
        let schema = schema(true);
        let names: std::collections::BTreeSet<&String> =
            schema.fields().iter().map(|field| field.name()).collect();
        assert_eq!(names.len(), schema.fields().len());
    }
}
