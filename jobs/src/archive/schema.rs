//! What a row of each table is: columns, units and which of them a row cannot do without.
//!
//! A declaration row is one *goods item*. Names follow the WCO Data Model's terms (declaration, goods item,
//! consignee as importer, commodity as HS code, goods measure as mass). Columns that an export lacks are
//! null. The partition columns `country`, `year` and `month` come from the reporting country and the
//! acceptance date.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

/// Name of the table of declarations.
pub const DECLARATIONS: &str = "declarations";

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
    /// Its Arrow type, one of the four that exports carry.
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
}

impl Kind {
    /// The Arrow type.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Date => DataType::Date32,
            Self::Integer => DataType::Int32,
            Self::Number => DataType::Float64,
            Self::Flag => DataType::Boolean,
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
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let fields: Vec<Field> = DECLARATION_COLUMNS
            .iter()
            .map(|column| Field::new(column.name, column.kind.data_type(), !column.required))
            .collect();
        Arc::new(Schema::new(fields))
    });
    Arc::clone(&SCHEMA)
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
