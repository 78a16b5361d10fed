//! The record of what was done to personal data: rows that are added and never changed. Start at [`Entry`].

use arrow::array::RecordBatch;
use chrono::{DateTime, NaiveDate};
use tidewaiter_archive::{Archive, DataFile, PartitionWriter, WriterSettings};
use tidewaiter_core::Result;

use crate::table::{
    AUDIT, FLIGHT_DATE,
    builder::{Cell, Rows},
};

/// One action on one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) action: &'a str,
    pub(super) job: &'a str,
    pub(super) reason: &'a str,
    pub(super) cutoff: Option<NaiveDate>,
    pub(super) table: &'a str,
    pub(super) rows: u64,
    pub(super) key: &'a str,
}

fn rows(entries: &[Entry<'_>], at_ms: i64) -> Result<RecordBatch> {
    let mut rows = Rows::new(&AUDIT);
    let day = DateTime::from_timestamp_millis(at_ms).map_or(NaiveDate::default(), |time| time.date_naive());
    for Entry { action, job, reason, cutoff, table, rows: count, key } in entries {
        rows.push([
            Cell::Time(at_ms.saturating_mul(1000)),
            day.into(),
            (*action).into(),
            (*job).into(),
            (*reason).into(),
            (*cutoff).into(),
            (*table).into(),
            (*count).into(),
            (*key).into(),
        ]);
    }
    rows.finish()
}

/// Writes entries of a time, in milliseconds since 1970, into files of the table, which a commit must add.
///
/// # Errors
/// Those of the store.
pub(super) async fn write(
    archive: &Archive,
    entries: &[Entry<'_>],
    country: &str,
    name: &str,
    at_ms: i64,
) -> Result<Vec<DataFile>> {
    let order = [&[FLIGHT_DATE][..], AUDIT.sort_columns].concat();
    let settings = WriterSettings { memory_bytes: 8 << 20, ..WriterSettings::default() };
    let mut writer =
        PartitionWriter::new(archive, AUDIT.table, &(AUDIT.schema)(), country, &order, name, settings)?;
    writer.write(&rows(entries, at_ms)?).await?;
    writer.finish().await
}
