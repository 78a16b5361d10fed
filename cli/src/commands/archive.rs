//! `tidewaiter archive`: tables, snapshots, SQL.

use arrow::{array::RecordBatch, json::ArrayWriter, util::pretty::pretty_format_batches};
use serde_json::json;
use tidewaiter_archive::{
    Archive,
    provider::snapshot_provider,
    table::{Table, list_tables},
};
use tidewaiter_catalogue::CATALOGUE;
use tidewaiter_core::{Result, plan::Meter};
use tidewaiter_executor::session;
use tidewaiter_job::engine::Engine;

use crate::{
    arguments::{self, Output, Place},
    output::write,
};

pub(super) async fn run(
    archive: &Archive,
    place: &Place,
    command: arguments::Archive,
    output: Output,
) -> Result<()> {
    match command {
        arguments::Archive::Tables => tables(archive, output).await,
        arguments::Archive::Snapshots { table } => snapshots(archive, &table, output).await,
        arguments::Archive::Sql { query } => sql(archive, place, &query, output).await,
    }
}

async fn tables(archive: &Archive, output: Output) -> Result<()> {
    let mut rows = Vec::new();
    for name in list_tables(archive).await? {
        let snapshot = Table::open(archive, &name).await?.snapshot(None).await?;
        rows.push((name, snapshot.version, snapshot.rows(), snapshot.files.len(), snapshot.bytes()));
    }
    let documents: Vec<_> = rows
        .iter()
        .map(|(name, version, rows, files, bytes)| {
            json!({"table": name, "version": version, "rows": rows, "files": files, "bytes": bytes})
        })
        .collect();
    write(output, &json!(documents), || {
        let mut lines =
            vec![format!("{:<28} {:>8} {:>14} {:>8} {:>16}", "table", "version", "rows", "files", "bytes")];
        lines.extend(rows.iter().map(|(name, version, rows, files, bytes)| {
            format!("{name:<28} {version:>8} {rows:>14} {files:>8} {bytes:>16}")
        }));
        lines
    })
}

async fn snapshots(archive: &Archive, table: &str, output: Output) -> Result<()> {
    let entries = Table::open(archive, table).await?.snapshots().await?;
    let documents: Vec<_> = entries
        .iter()
        .map(|entry| json!({"version": entry.version, "committed_ms": entry.committed_ms, "operation": entry.operation}))
        .collect();
    write(output, &json!(documents), || {
        let mut lines = vec![format!("{:>8}  {:<24} operation", "version", "committed (ms)")];
        lines.extend(
            entries
                .iter()
                .map(|entry| format!("{:>8}  {:<24} {}", entry.version, entry.committed_ms, entry.operation)),
        );
        lines
    })
}

async fn sql(archive: &Archive, place: &Place, query: &str, output: Output) -> Result<()> {
    let context = match &place.scheduler {
        Some(url) => {
            super::jobs::connect(url).await?;
            session::remote(url, "sql", CATALOGUE)?
        }
        None => super::jobs::engine(place)?.session("sql", Meter::new(|_| ()))?,
    };
    for name in list_tables(archive).await? {
        let provider = snapshot_provider(archive, &name, None).await?;
        context.register_table(name.replace('/', "_"), provider)?;
    }
    let batches = context.sql(query).await?.collect().await?;
    let rows = match output {
        Output::Json => rows(&batches)?,
        Output::Text => serde_json::Value::Null,
    };
    let table = pretty_format_batches(&batches)?.to_string();
    write(output, &rows, || vec![table])
}

/// The rows of a result as JSON objects.
fn rows(batches: &[RecordBatch]) -> Result<serde_json::Value> {
    let mut writer = ArrayWriter::new(Vec::new());
    writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
    writer.finish()?;
    let bytes = writer.into_inner();
    Ok(if bytes.is_empty() { json!([]) } else { serde_json::from_slice(&bytes)? })
}
