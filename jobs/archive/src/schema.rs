//! The description of a table: its columns, their types, their checks and their meaning.
//!
//! A domain describes its table as a [`Layout`] and registers it, so that exports can be read into it. A column that an
//! export lacks is null. The partition columns `country`, `year` and `month` come from the reporting country and the
//! row's own date ([`Layout::date_column`]): an event is stored under the month of its own time, not under that of its
//! case, because an export knows the one and not the other.
//!
//! What is absent: any table, and the checks' code, which is the ingest's. Start at [`Layout`].

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// The description of a table that exports are read into.
#[derive(Debug)]
pub struct Layout {
    /// The name of the table, which is its folder in the archive.
    pub table: &'static str,
    /// What a row is and which files it is read from: the text of `--help`.
    pub about: &'static str,
    /// The columns, without the partition columns, in the order of the data files.
    pub columns: &'static [Column],
    /// The required column, a date or a time, whose month is the row's partition.
    pub date_column: &'static str,
    /// Columns by which the rows of a data file are sorted after their date, in this order.
    pub sort_columns: &'static [&'static str],
    /// Required columns that say which rows of a country are versions of one thing: an amendment replaces those that are
    /// equal in them. The first of them names the thing.
    pub key: &'static [&'static str],
    /// The Arrow schema, without the partition columns.
    pub schema: fn() -> SchemaRef,
}

/// The partition columns of every table, in order.
pub const PARTITION_COLUMNS: [&str; 3] = ["country", "year", "month"];

/// What the ingest checks of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Any value of the column's type.
    Any,
    /// Zero or more.
    NotNegative,
    /// An ISO 3166-1 alpha-2 country code, in capitals.
    Country,
    /// An ISO 4217 currency code, in capitals.
    Currency,
    /// An HS code: 2 to 12 digits, with its leading zero.
    HsCode,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// One column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The name of the column.
    pub name: &'static str,
    /// The type of its values.
    pub kind: Kind,
    /// Whether a row without a value is quarantined.
    pub required: bool,
    /// What its values must satisfy.
    pub check: Check,
    /// What a value means, and its unit.
    pub meaning: &'static str,
    /// The class and element of the WCO Data Model that it is; empty: none.
    pub data_model: &'static str,
}

impl Column {
    /// With its class and element of the WCO Data Model.
    #[must_use]
    pub const fn in_data_model(mut self, name: &'static str) -> Self {
        self.data_model = name;
        self
    }
}

impl Kind {
    /// What a value is, in a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Date => "date",
            Self::Integer => "whole number",
            Self::Number => "number",
            Self::Flag => "true or false",
            Self::Time => "time",
            Self::Offset => "minutes",
            Self::Position => "position",
        }
    }
}

impl Check {
    /// What a value must satisfy, in a few words; empty where any value of the type does.
    pub fn words(self) -> String {
        match self {
            Self::Any => String::new(),
            Self::NotNegative => "0 or more".to_owned(),
            Self::Country => "ISO 3166-1 alpha-2, in force on the row's day".to_owned(),
            Self::Currency => "ISO 4217, in force on the row's day".to_owned(),
            Self::HsCode => "2 to 12 digits, an even number unless the mapping says otherwise".to_owned(),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
        }
    }
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text, such as a name or a code.
    Text,
    /// A calendar day.
    Date,
    /// A 32-bit whole number.
    Integer,
    /// A 64-bit floating number.
    Number,
    /// True or false.
    Flag,
    /// A point in time, in microseconds since 1970-01-01 UTC.
    Time,
    /// The offset from UTC, in minutes east, of the clock by which [`EVENT_TIME`] was written; never mapped.
    Offset,
    /// The number of the record in its file, from 1; never mapped.
    Position,
}

/// The name of the column that holds the time of an event.
pub const EVENT_TIME: &str = "event_time";

impl Kind {
    /// The Arrow type.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Date => DataType::Date32,
            Self::Integer => DataType::Int32,
            Self::Number => DataType::Float64,
            Self::Flag => DataType::Boolean,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Offset => DataType::Int32,
            Self::Position => DataType::Int64,
        }
    }
}

/// A [`Column`], in the order of its fields.
pub const fn column(
    name: &'static str,
    kind: Kind,
    required: bool,
    check: Check,
    meaning: &'static str,
) -> Column {
    Column { name, kind, required, check, meaning, data_model: "" }
}

/// The Arrow schema of data files with these columns; a required column is not nullable.
pub fn arrow_schema(columns: &[Column]) -> SchemaRef {
    let field = |column: &Column| Field::new(column.name, column.kind.data_type(), !column.required);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// The fields of [`PARTITION_COLUMNS`]: `country` is text, `year` and `month` (1 to 12) are 32-bit integers.
pub fn partition_fields() -> Vec<Field> {
    vec![
        Field::new("country", DataType::Utf8, false),
        Field::new("year", DataType::Int32, false),
        Field::new("month", DataType::Int32, false),
    ]
}

/// The schema of a table as a query sees it: the columns of its data files, then the partition columns.
pub fn with_partitions(schema: &Schema) -> SchemaRef {
    let mut fields: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.extend(partition_fields());
    Arc::new(Schema::new(fields))
}

/// The columns without the partition columns.
pub fn data_columns(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().filter(|field| !PARTITION_COLUMNS.contains(&field.name().as_str()));
    Schema::new(fields.cloned().collect::<Vec<_>>())
}

/// A table's columns in the order in which queries see them: those of the data files, then the partition columns,
/// wherever the log has them.
pub(crate) fn in_order(schema: &Schema) -> SchemaRef {
    with_partitions(&data_columns(schema))
}

/// The name of the column that holds the number of the source from which a row comes.
pub const SOURCE: &str = "source";

/// The name of the column that holds the number, from 1, of the record of the source of which a row was made.
pub const SOURCE_ROW: &str = "source_row";

/// The name of the column that holds the number of a row's version; the highest version of a key is in force.
pub const VERSION: &str = "version";

/// The columns of a table that exports are read into, with those by which each row's source and record are found; they
/// are null in rows that were archived without them.
pub fn with_lineage(schema: &Schema) -> SchemaRef {
    let mut fields: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.push(Field::new(SOURCE, DataType::Int32, true));
    fields.push(Field::new(SOURCE_ROW, DataType::Int64, true));
    Arc::new(Schema::new(fields))
}
