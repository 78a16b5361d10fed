//! The table of declarations: its columns, their types and checks.
//!
//! A row is one goods item of a declaration, with the outcome of its inspection where that is known. Names follow the
//! terms of the WCO Data Model (declaration, goods item, consignee as importer, commodity as HS code, goods measure as
//! mass).
//!
//! What is absent: any use of the table; quality, fraud and HS read it without depending on each other. Start at
//! [`COLUMNS`].

use std::sync::{Arc, LazyLock};

use arrow::datatypes::SchemaRef;
use tidewaiter_archive::schema::{Check, Column, Kind, Layout, VERSION, arrow_schema, column};
use tidewaiter_job::catalogue::Domain;

/// The name of the table.
pub const DECLARATIONS: &str = "declarations";

/// The description of the table, by which exports are read into it.
pub static LAYOUT: Layout = Layout {
    table: DECLARATIONS,
    about: "Declarations: CSV (plain or compressed) or Parquet, one row per goods item",
    columns: COLUMNS,
    date_column: "acceptance_date",
    sort_columns: &["declaration_id", "item_number"],
    key: &["declaration_id", "item_number"],
    schema,
};

/// What this crate adds to a program.
pub static DOMAIN: Domain = Domain { tables: &[&LAYOUT], ..Domain::EMPTY };

/// The columns of a goods item, without the partition columns.
pub const COLUMNS: &[Column] = &[
    column(
        "declaration_id",
        Kind::Text,
        true,
        Check::Any,
        "identifier of the declaration, unique in the country",
    )
    .in_data_model("Declaration.ID"),
    column("item_number", Kind::Integer, true, Check::NotNegative, "number of the goods item, from 1")
        .in_data_model("GovernmentAgencyGoodsItem.SequenceNumeric"),
    column("acceptance_date", Kind::Date, true, Check::Any, "day of acceptance")
        .in_data_model("Declaration.AcceptanceDateTime"),
    column("office", Kind::Text, false, Check::Any, "customs office").in_data_model("DeclarationOffice.ID"),
    column("declaration_type", Kind::Text, false, Check::Any, "kind of declaration process")
        .in_data_model("Declaration.TypeCode"),
    column("procedure", Kind::Text, false, Check::Any, "customs procedure")
        .in_data_model("GovernmentProcedure.CurrentCode"),
    column("goods_use", Kind::Text, false, Check::Any, "declared use of the goods"),
    column("payment_method", Kind::Text, false, Check::Any, "how duties are paid")
        .in_data_model("DutyTaxFee.Payment.MethodCode"),
    column("importer", Kind::Text, false, Check::Any, "importer or consignee").in_data_model("Importer.ID"),
    column("declarant", Kind::Text, false, Check::Any, "who declares").in_data_model("Declarant.ID"),
    column("exporter", Kind::Text, false, Check::Any, "exporter or seller abroad")
        .in_data_model("Exporter.ID"),
    column("carrier", Kind::Text, false, Check::Any, "carrier or courier").in_data_model("Carrier.ID"),
    column("origin", Kind::Text, false, Check::Country, "country of origin, ISO 3166-1 alpha-2")
        .in_data_model("Origin.CountryCode"),
    column("departure", Kind::Text, false, Check::Country, "country of departure, ISO 3166-1 alpha-2")
        .in_data_model("ExportCountry.ID"),
    column("origin_marking", Kind::Text, false, Check::Any, "how the origin is marked"),
    column("transport_mode", Kind::Text, false, Check::Any, "mode of transport at the border")
        .in_data_model("BorderTransportMeans.ModeCode"),
    column(
        "hs_code",
        Kind::Text,
        true,
        Check::HsCode,
        "commodity code: HS, with national digits where present",
    )
    .in_data_model("Commodity.Classification.ID"),
    column("description", Kind::Text, false, Check::Any, "description of the goods")
        .in_data_model("Commodity.Description"),
    column("preference", Kind::Text, false, Check::Any, "tariff treatment or preference")
        .in_data_model("DutyTaxFee.DutyRegimeCode"),
    column("net_mass", Kind::Number, false, Check::NotNegative, "net mass, kg")
        .in_data_model("GoodsMeasure.NetNetWeightMeasure"),
    column("gross_mass", Kind::Number, false, Check::NotNegative, "gross mass, kg")
        .in_data_model("GoodsMeasure.GrossMassMeasure"),
    column("quantity", Kind::Number, false, Check::NotNegative, "supplementary quantity")
        .in_data_model("GoodsMeasure.TariffQuantity"),
    column("quantity_unit", Kind::Text, false, Check::Any, "unit of the quantity, UNECE Rec. 20")
        .in_data_model("GoodsMeasure.TariffQuantity/@unitCode"),
    column("invoice_value", Kind::Number, false, Check::NotNegative, "invoice value, in invoice_currency")
        .in_data_model("InvoiceLine.ItemChargeAmount"),
    column("invoice_currency", Kind::Text, false, Check::Currency, "currency of the invoice, ISO 4217")
        .in_data_model("InvoiceLine.ItemChargeAmount/@currencyID"),
    column(
        "customs_value",
        Kind::Number,
        false,
        Check::NotNegative,
        "customs (CIF) value, national currency",
    )
    .in_data_model("GovernmentAgencyGoodsItem.CustomsValueAmount"),
    column("duty_rate", Kind::Number, false, Check::NotNegative, "tariff rate, percent")
        .in_data_model("DutyTaxFee.TaxRateNumeric"),
    column("duty_amount", Kind::Number, false, Check::NotNegative, "duty, national currency")
        .in_data_model("DutyTaxFee.Payment.TaxAssessedAmount"),
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
    column(
        "random_inspection",
        Kind::Flag,
        false,
        Check::Any,
        "whether a random draw alone chose the goods for inspection, and no rule or inspector",
    ),
    column(
        VERSION,
        Kind::Integer,
        false,
        Check::NotNegative,
        "number of the version: of amended items the highest is in force (ingest --amend)",
    )
    .in_data_model("Declaration.VersionID"),
];

/// The Arrow schema of the data files, without the partition columns.
pub fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| arrow_schema(COLUMNS));
    Arc::clone(&SCHEMA)
}
