//! Rows of a table gathered cell by cell. Start at [`Rows`].

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int32Builder, Int64Builder, RecordBatch,
        StringBuilder, TimestampMicrosecondBuilder,
    },
    datatypes::DataType,
};
use chrono::NaiveDate;
use tidewaiter_archive::schema::{Kind, Layout};
use tidewaiter_core::{Error, Result};

use crate::dates::Moment;

/// One value, or none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// Null.
    None,
    /// A text; the empty text is null where the column may be.
    Text(&'a str),
    /// Days since 1970-01-01.
    Date(i32),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// True or false.
    Flag(bool),
    /// Microseconds since 1970-01-01 UTC.
    Time(i64),
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        if text.is_empty() { Self::None } else { Self::Text(text) }
    }
}

impl<'a> From<&'a String> for Cell<'a> {
    fn from(text: &'a String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<NaiveDate> for Cell<'_> {
    fn from(day: NaiveDate) -> Self {
        Self::Date(days(day))
    }
}

impl From<Moment> for Cell<'_> {
    /// The time of a moment without a time of day is midnight.
    fn from(moment: Moment) -> Self {
        Self::Time(microseconds(moment))
    }
}

impl From<bool> for Cell<'_> {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<f64> for Cell<'_> {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Cell<'_> {
    fn from(number: u32) -> Self {
        Self::Integer(i64::from(number))
    }
}

impl From<u64> for Cell<'_> {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Cell<'_> {
    fn from(number: usize) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl<'a, T: Into<Cell<'a>>> From<Option<T>> for Cell<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

/// Days since 1970-01-01.
#[must_use]
pub fn days(day: NaiveDate) -> i32 {
    i32::try_from(day.signed_duration_since(NaiveDate::default()).num_days()).unwrap_or(0)
}

/// Microseconds since 1970-01-01, of a local time as if it were UTC.
#[must_use]
pub fn microseconds(moment: Moment) -> i64 {
    moment.day.and_time(moment.time.unwrap_or_default()).and_utc().timestamp_micros()
}

enum Builder {
    Text(StringBuilder),
    Date(Date32Builder),
    Integer(Int32Builder),
    Number(Float64Builder),
    Flag(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
    Position(Int64Builder),
}

impl Builder {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text(StringBuilder::new()),
            Kind::Date => Self::Date(Date32Builder::new()),
            Kind::Integer | Kind::Offset => Self::Integer(Int32Builder::new()),
            Kind::Number => Self::Number(Float64Builder::new()),
            Kind::Flag => Self::Flag(BooleanBuilder::new()),
            Kind::Time => Self::Time(TimestampMicrosecondBuilder::new().with_data_type(DataType::Timestamp(
                arrow::datatypes::TimeUnit::Microsecond,
                Some("UTC".into()),
            ))),
            Kind::Position => Self::Position(Int64Builder::new()),
        }
    }

    /// Appends a cell; `false` where it is of another kind than the column.
    fn push(&mut self, cell: Cell<'_>, required: bool) -> bool {
        match (self, cell) {
            // A required text is never null: what a message leaves out is empty.
            (Self::Text(texts), Cell::None) if required => texts.append_value(""),
            (Self::Text(texts), Cell::Text(text)) => match text.contains('\0') {
                // Programs that read the archive end a text at a NUL byte.
                true => texts.append_value(text.replace('\0', "\u{2400}")),
                false => texts.append_value(text),
            },
            (Self::Text(texts), Cell::None) => texts.append_null(),
            (Self::Date(dates), Cell::Date(day)) => dates.append_value(day),
            (Self::Date(dates), Cell::None) => dates.append_null(),
            (Self::Integer(numbers), Cell::Integer(number)) => {
                numbers.append_value(i32::try_from(number).unwrap_or(i32::MAX));
            }
            (Self::Integer(numbers), Cell::None) => numbers.append_null(),
            (Self::Number(numbers), Cell::Number(number)) => numbers.append_value(number),
            (Self::Number(numbers), Cell::None) => numbers.append_null(),
            (Self::Flag(flags), Cell::Flag(flag)) => flags.append_value(flag),
            (Self::Flag(flags), Cell::None) => flags.append_null(),
            (Self::Time(times), Cell::Time(time)) => times.append_value(time),
            (Self::Time(times), Cell::None) => times.append_null(),
            (Self::Position(numbers), Cell::Integer(number)) => numbers.append_value(number),
            (Self::Position(numbers), Cell::None) => numbers.append_null(),
            _ => return false,
        }
        true
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Integer(builder) => Arc::new(builder.finish()),
            Self::Number(builder) => Arc::new(builder.finish()),
            Self::Flag(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish()),
            Self::Position(builder) => Arc::new(builder.finish()),
        }
    }
}

/// The rows of a table that are not yet a batch.
pub struct Rows {
    layout: &'static Layout,
    columns: Vec<Builder>,
    rows: usize,
    /// The first column that got a cell of another kind, by its place.
    wrong: Option<usize>,
}

impl Rows {
    /// No rows of a table.
    #[must_use]
    pub fn new(layout: &'static Layout) -> Self {
        let columns = layout.columns.iter().map(|column| Builder::new(column.kind)).collect();
        Self { layout, columns, rows: 0, wrong: None }
    }

    /// The table.
    #[must_use]
    pub fn layout(&self) -> &'static Layout {
        self.layout
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Adds a row; its cells are in the order of the table's columns.
    pub fn push<const N: usize>(&mut self, cells: [Cell<'_>; N]) {
        debug_assert_eq!(N, self.columns.len(), "{}", self.layout.table);
        if N != self.columns.len() {
            self.wrong = self.wrong.or(Some(N));
        }
        for (place, (builder, cell)) in self.columns.iter_mut().zip(cells).enumerate() {
            if !builder.push(cell, self.layout.columns[place].required) {
                self.wrong = self.wrong.or(Some(place));
            }
        }
        self.rows += 1;
    }

    /// The rows as a batch; there are none then.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when a row had cells of other kinds than the table's columns.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        if let Some(place) = self.wrong {
            let name = self.layout.columns.get(place).map_or("", |column| column.name);
            return Err(Error::internal(format!(
                "a row of {} is wrong at {place} {name}",
                self.layout.table
            )));
        }
        self.rows = 0;
        let columns = self.columns.iter_mut().map(Builder::finish).collect();
        Ok(RecordBatch::try_new((self.layout.schema)(), columns)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::AUDIT;

    #[test]
    fn cells_of_another_kind_are_refused() {
        let mut rows = Rows::new(&AUDIT);
        let row = |rows: Cell<'static>| {
            [
                Cell::Time(1),
                Cell::Date(2),
                "delete".into(),
                "job".into(),
                Cell::None,
                Cell::None,
                Cell::None,
                rows,
                "".into(),
            ]
        };
        rows.push(row(7_u64.into()));
        let batch = rows.finish().expect("a batch");
        assert_eq!((batch.num_rows(), batch.column(8).null_count()), (1, 1));
        assert!(rows.is_empty());
        rows.push(row("seven".into()));
        assert!(rows.finish().is_err());
    }
}
