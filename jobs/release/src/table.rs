//! The table of release events: what happened to each declaration or consignment on its way to release.
//!
//! A row is one *event* of one case. Start at [`COLUMNS`].

use std::sync::{Arc, LazyLock};

use arrow::datatypes::SchemaRef;
use tidewaiter_archive::schema::{Check, Column, EVENT_TIME, Kind, Layout, arrow_schema, column};

/// Name of the table.
pub const RELEASES: &str = "releases";

/// The table, as the ingest sees it.
pub static LAYOUT: Layout = Layout {
    table: RELEASES,
    about: "Release events: CSV or XES (plain or compressed) or Parquet, one row per event",
    columns: COLUMNS,
    date_column: EVENT_TIME,
    sort_columns: &["case_id", "file_order"],
    key: &["case_id"],
    schema,
};

/// The columns of a release event, without the partition columns.
///
/// The text columns after `lifecycle` describe the case or the resource; a case may have them on some of its
/// events only.
pub const COLUMNS: &[Column] = &[
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
pub fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| arrow_schema(COLUMNS));
    Arc::clone(&SCHEMA)
}
