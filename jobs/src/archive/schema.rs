//! What a row of each table is: columns, units and which of them a row cannot do without.
//!
//! A declaration row is one *goods item*. Names follow the WCO Data Model's terms (declaration, goods item,
//! consignee as importer, commodity as HS code, goods measure as mass). A release row is one *event* of one
//! case (a declaration or consignment on its way to release). Columns that an export lacks are null. The
//! partition columns `country`, `year` and `month` come from the reporting country and the row's own date: the
//! day of acceptance, or the time of the event in UTC. Start at [`TABLES`].

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Name of the table of declarations.
pub const DECLARATIONS: &str = "declarations";

/// Name of the table of release events.
pub const RELEASES: &str = "releases";

/// A table that exports are read into.
#[derive(Debug)]
pub struct Layout {
    /// Its name.
    pub table: &'static str,
    /// Its columns, without the partition columns.
    pub columns: &'static [Column],
    /// The required column whose month a row is filed under.
    pub date_column: &'static str,
    /// Its Arrow schema, without the partition columns.
    pub schema: fn() -> SchemaRef,
}

/// Every table that exports are read into.
pub const TABLES: &[Layout] = &[
    Layout {
        table: DECLARATIONS,
        columns: DECLARATION_COLUMNS,
        date_column: "acceptance_date",
        schema: declarations,
    },
    Layout { table: RELEASES, columns: RELEASE_COLUMNS, date_column: "event_time", schema: releases },
];

/// Partition columns of every table of the archive, in order.
pub const PARTITION_COLUMNS: [&str; 3] = ["country", "year", "month"];

/// How a column's values are checked when they are ingested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Any value of the column's type.
    Any,
    /// Not below zero.
    NotNegative,
    /// An ISO 3166-1 alpha-2 country.
    Country,
    /// An ISO 4217 currency.
    Currency,
    /// Digits only, 2 to 12 of them; HS codes keep their leading zero.
    HsCode,
    /// One of a closed list of words.
    OneOf(&'static [&'static str]),
}

/// One column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its Arrow type, one of those that exports carry.
    pub kind: Kind,
    /// A row without it is quarantined.
    pub required: bool,
    /// What its values must satisfy.
    pub check: Check,
    /// Meaning and unit.
    pub meaning: &'static str,
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text or a code.
    Text,
    /// A calendar day.
    Date,
    /// A 32-bit whole number.
    Integer,
    /// A 64-bit floating number.
    Number,
    /// True or false.
    Flag,
    /// A moment, in microseconds since 1970 UTC.
    Time,
    /// The offset from UTC, in minutes east, with which the column [`EVENT_TIME`] was written; never mapped.
    Offset,
    /// The record's number in its file, from 1; never mapped.
    Position,
}

/// The column of the moment of an event.
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

const fn column(
    name: &'static str,
    kind: Kind,
    required: bool,
    check: Check,
    meaning: &'static str,
) -> Column {
    Column { name, kind, required, check, meaning }
}

/// The columns of a declaration's goods item, without the partition columns.
pub const DECLARATION_COLUMNS: &[Column] = &[
    column(
        "declaration_id",
        Kind::Text,
        true,
        Check::Any,
        "identifier of the declaration, unique in the country",
    ),
    column("item_number", Kind::Integer, true, Check::NotNegative, "number of the goods item, from 1"),
    column("acceptance_date", Kind::Date, true, Check::Any, "day of acceptance"),
    column("office", Kind::Text, false, Check::Any, "customs office"),
    column("declaration_type", Kind::Text, false, Check::Any, "kind of declaration process"),
    column("procedure", Kind::Text, false, Check::Any, "customs procedure"),
    column("goods_use", Kind::Text, false, Check::Any, "declared use of the goods"),
    column("payment_method", Kind::Text, false, Check::Any, "how duties are paid"),
    column("importer", Kind::Text, false, Check::Any, "importer or consignee"),
    column("declarant", Kind::Text, false, Check::Any, "who declares"),
    column("exporter", Kind::Text, false, Check::Any, "exporter or seller abroad"),
    column("carrier", Kind::Text, false, Check::Any, "carrier or courier"),
    column("origin", Kind::Text, false, Check::Country, "country of origin, ISO 3166-1 alpha-2"),
    column("departure", Kind::Text, false, Check::Country, "country of departure, ISO 3166-1 alpha-2"),
    column("origin_marking", Kind::Text, false, Check::Any, "how the origin is marked"),
    column("transport_mode", Kind::Text, false, Check::Any, "mode of transport at the border"),
    column(
        "hs_code",
        Kind::Text,
        true,
        Check::HsCode,
        "commodity code: HS, with national digits where present",
    ),
    column("description", Kind::Text, false, Check::Any, "description of the goods"),
    column("preference", Kind::Text, false, Check::Any, "tariff treatment or preference"),
    column("net_mass", Kind::Number, false, Check::NotNegative, "net mass, kg"),
    column("gross_mass", Kind::Number, false, Check::NotNegative, "gross mass, kg"),
    column("quantity", Kind::Number, false, Check::NotNegative, "supplementary quantity"),
    column("quantity_unit", Kind::Text, false, Check::Any, "unit of the quantity, UNECE Rec. 20"),
    column("invoice_value", Kind::Number, false, Check::NotNegative, "invoice value, in invoice_currency"),
    column("invoice_currency", Kind::Text, false, Check::Currency, "currency of the invoice, ISO 4217"),
    column(
        "customs_value",
        Kind::Number,
        false,
        Check::NotNegative,
        "customs (CIF) value, national currency",
    ),
    column("duty_rate", Kind::Number, false, Check::NotNegative, "tariff rate, percent"),
    column("duty_amount", Kind::Number, false, Check::NotNegative, "duty, national currency"),
    column("tax_rate", Kind::Number, false, Check::NotNegative, "rate of other taxes, percent"),
    column("tax_amount", Kind::Number, false, Check::NotNegative, "other taxes, national currency"),
    column("channel", Kind::Text, false, Check::OneOf(&["green", "yellow", "red"]), "control channel"),
    column("inspected", Kind::Flag, false, Check::Any, "whether the goods were inspected"),
    column("illicit", Kind::Flag, false, Check::Any, "outcome; null: not known"),
    column(
        "additional_revenue",
        Kind::Number,
        false,
        Check::NotNegative,
        "revenue raised, national currency",
    ),
];

/// The Arrow schema of a declaration's data files (without partition columns).
pub fn declarations() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| arrow_schema(DECLARATION_COLUMNS));
    Arc::clone(&SCHEMA)
}

/// The columns of a release event, without the partition columns.
///
/// The text columns after `utc_offset` describe the case or who acted; the same case may carry them on some of
/// its events only.
pub const RELEASE_COLUMNS: &[Column] = &[
    column("case_id", Kind::Text, true, Check::Any, "declaration or consignment, unique in the country"),
    column("event", Kind::Text, true, Check::Any, "name of the event, as the export has it"),
    column("role", Kind::Text, false, Check::Any, "what the event means for the study; null: not known"),
    column(EVENT_TIME, Kind::Time, true, Check::Any, "when it happened, or was completed"),
    column("start_time", Kind::Time, false, Check::Any, "when the work of the event began"),
    column("utc_offset", Kind::Offset, true, Check::Any, "minutes east of UTC of the clock that was read"),
    column("file_order", Kind::Position, true, Check::Any, "number of the record in its file, from 1"),
    column("lifecycle", Kind::Text, false, Check::Any, "XES lifecycle transition, such as start or complete"),
    column("office", Kind::Text, false, Check::Any, "customs office"),
    column("agency", Kind::Text, false, Check::Any, "agency that acted"),
    column("actor", Kind::Text, false, Check::Any, "person, team or system that acted"),
    column("mode", Kind::Text, false, Check::Any, "mode of transport"),
    column("channel", Kind::Text, false, Check::Any, "control channel"),
    column("aeo", Kind::Text, false, Check::Any, "authorised economic operator, or not"),
    column("direction", Kind::Text, false, Check::Any, "import, export or transit"),
    column("goods", Kind::Text, false, Check::Any, "category of goods"),
    column("container", Kind::Text, false, Check::Any, "container or vehicle"),
];

/// The Arrow schema of a release event's data files (without partition columns).
pub fn releases() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| arrow_schema(RELEASE_COLUMNS));
    Arc::clone(&SCHEMA)
}

fn arrow_schema(columns: &[Column]) -> SchemaRef {
    let field = |column: &Column| Field::new(column.name, column.kind.data_type(), !column.required);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// The fields of the partition columns: `country` text, `year` and `month` 32-bit integers.
pub fn partition_fields() -> Vec<Field> {
    vec![
        Field::new("country", DataType::Utf8, false),
        Field::new("year", DataType::Int32, false),
        Field::new("month", DataType::Int32, false),
    ]
}

/// A table's schema as a query sees it: the data columns, then the partition columns.
pub fn with_partitions(schema: &Schema) -> SchemaRef {
    let mut fields: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.extend(partition_fields());
    Arc::new(Schema::new(fields))
}
