//! What an ingest says of files that were ingested before: what was made of them, and the command that reads them again.
//! Start at [`told`].

use std::path::Path;

use chrono::DateTime;
use datafusion::prelude::SessionContext;
use tidewaiter_core::Result;

use crate::{
    commit::{Origin, Tables},
    sources::{self, SourceRecord},
};

/// A line for each file, named with its digest.
///
/// # Errors
/// Those of the query.
pub(crate) async fn told(
    session: &SessionContext,
    tables: &Tables,
    origin: &Origin,
    mapping: &str,
    files: &[(String, String)],
) -> Result<Vec<String>> {
    let table = tables.layout.table;
    let digests: Vec<&str> = files.iter().map(|(_, digest)| digest.as_str()).collect();
    let records = sources::with_digests(session, tables.rows.archive(), table, &digests).await?;
    let revisions = tables.rows.revisions(&digests).await?;
    let told = files.iter().zip(revisions).map(|((file, digest), revision)| {
        match records.iter().rfind(|record| record.digest == *digest) {
            Some(record) => of_record(file, record, origin, mapping),
            None if revision.was_forgotten() => format!(
                "{file} was taken out by `archive forget`: nothing is added; to take it in again: tidewaiter ingest \
                 {table} --again --mapping {mapping} {file}"
            ),
            None => format!(
                "{file} was ingested by a version that did not number sources: nothing is added; to take it in anew, \
                 replace its months: tidewaiter ingest {table} --replace-months MONTHS --mapping {mapping} {file}"
            ),
        }
    });
    Ok(told.collect())
}

fn of_record(file: &str, record: &SourceRecord, origin: &Origin, mapping: &str) -> String {
    let day =
        DateTime::from_timestamp_micros(record.ingested_us).map(|time| time.format("%Y-%m-%d").to_string());
    let name = |path: &str| Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
    let named = match name(file) == name(&record.file) {
        true => String::new(),
        false => format!(" as {}", record.file),
    };
    let replaced = match record.replaced {
        0 => String::new(),
        rows => format!(", {rows} replaced by others"),
    };
    let before = format!(
        "{file} was ingested{named} on {} as source {} ({} rows archived, {} put aside{replaced}): nothing is added",
        day.unwrap_or_default(),
        record.number,
        record.archived,
        record.quarantined,
    );
    let again = format!("tidewaiter ingest {} --again --mapping {mapping} {file}", record.table);
    match record.mapping_digest == origin.mapping_digest {
        true => format!("{before}; to read it once more: {again}"),
        false => format!("{before}; its mapping was another one, to take what this one makes of it: {again}"),
    }
}
