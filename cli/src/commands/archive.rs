//! `tidewaiter archive`: tables, snapshots, SQL; of a scheduler's archive where one is named.

use serde_json::json;
use tidewaiter_archive::{Archive, table::Table};
use tidewaiter_catalogue::CATALOGUE;
use tidewaiter_core::{Error, Result};
use tidewaiter_proto::v1;

use super::{
    query::{answer, connect, tables},
    repair,
    times::time,
};
use crate::{
    arguments::{self, Output, Place},
    output::{Rows, write},
};

pub(super) async fn run(
    archive: &Archive,
    place: &Place,
    command: arguments::Archive,
    output: Output,
) -> Result<()> {
    match command {
        arguments::Archive::Tables => show_tables(&tables(archive, place).await?, output),
        arguments::Archive::Snapshots { table } => {
            show_snapshots(&snapshots(archive, place, table).await?, output)
        }
        arguments::Archive::Columns { table } => show_columns(table.as_deref(), output),
        arguments::Archive::Trace { declaration, table } => {
            repair::trace(archive, place, &declaration, &table, output).await
        }
        arguments::Archive::Sql { query } => {
            let mut rows = Rows::on_stdout(output);
            answer(archive, place, query, &mut |batch| rows.write(batch)).await?;
            rows.finish()
        }
    }
}

/// Shows the columns of one table that exports are read into, or of all.
fn show_columns(table: Option<&str>, output: Output) -> Result<()> {
    let extensions = CATALOGUE.extensions();
    let described = || extensions.layouts().filter(|layout| !layout.columns.is_empty());
    let layouts: Vec<_> =
        described().filter(|layout| table.is_none_or(|table| layout.table == table)).collect();
    if layouts.is_empty() {
        let known: Vec<_> = described().map(|layout| layout.table).collect();
        return Err(Error::not_found(format!(
            "the tables are {}; there is no {}",
            known.join(", "),
            table.unwrap_or_default()
        )));
    }
    let columns =
        || layouts.iter().flat_map(|layout| layout.columns.iter().map(move |column| (layout.table, column)));
    let document: Vec<_> = columns()
        .map(|(table, column)| {
            json!({
                "table": table, "column": column.name, "type": column.kind.name(), "required": column.required,
                "check": column.check.words(), "meaning": column.meaning, "wco_data_model": column.data_model,
            })
        })
        .collect();
    let line = |cells: [&str; 6]| {
        format!(
            "{:<14} {:<20} {:<14} {:<9} {:<60} {}",
            cells[0], cells[1], cells[2], cells[3], cells[4], cells[5]
        )
    };
    write(output, &json!(document), || {
        let mut lines =
            vec![line(["table", "column", "type", "required", "meaning and check", "WCO Data Model"])];
        lines.extend(columns().map(|(table, column)| {
            let check = column.check.words();
            let meaning = match check.is_empty() {
                true => column.meaning.to_owned(),
                false => format!("{}; {check}", column.meaning),
            };
            let required = if column.required { "yes" } else { "" };
            line([table, column.name, column.kind.name(), required, &meaning, column.data_model])
                .trim_end()
                .to_owned()
        }));
        lines
    })
}

fn show_tables(tables: &[v1::Table], output: Output) -> Result<()> {
    let documents = tables.iter().map(|v1::Table { name, version, rows, files, bytes }| {
        json!({"table": name, "version": version, "rows": rows, "files": files, "bytes": bytes})
    });
    write(output, &documents.collect(), || {
        let mut lines =
            vec![format!("{:<28} {:>8} {:>14} {:>8} {:>16}", "table", "version", "rows", "files", "bytes")];
        lines.extend(tables.iter().map(|v1::Table { name, version, rows, files, bytes }| {
            format!("{name:<28} {version:>8} {rows:>14} {files:>8} {bytes:>16}")
        }));
        lines
    })
}

async fn snapshots(archive: &Archive, place: &Place, table: String) -> Result<Vec<v1::Snapshot>> {
    if let Some(url) = &place.scheduler {
        let request = v1::SnapshotsRequest { table };
        return Ok(connect(url).await?.snapshots(request).await?.into_inner().snapshots);
    }
    let entries = Table::open(archive, &table).await?.snapshots().await?;
    let snapshots = entries.into_iter().map(|entry| v1::Snapshot {
        version: entry.version,
        committed_ms: entry.committed_ms,
        operation: entry.operation,
    });
    Ok(snapshots.collect())
}

fn show_snapshots(snapshots: &[v1::Snapshot], output: Output) -> Result<()> {
    let documents = snapshots.iter().map(|v1::Snapshot { version, committed_ms, operation }| {
        json!({"version": version, "committed_ms": committed_ms, "operation": operation})
    });
    write(output, &documents.collect(), || {
        let mut lines = vec![format!("{:>8}  {:<24} operation", "version", "committed (UTC)")];
        lines.extend(snapshots.iter().map(|v1::Snapshot { version, committed_ms, operation }| {
            format!("{version:>8}  {:<24} {operation}", time(*committed_ms))
        }));
        lines
    })
}
