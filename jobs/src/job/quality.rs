//! The quality job: a profile of the declarations, as one HTML page and one JSON document, with every table of
//! the page beside it as CSV and as Parquet.

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use serde::{Deserialize, Serialize};

use super::Job;
use crate::{
    Result,
    archive::{provider::snapshot_provider, schema::DECLARATIONS, table::Table},
    quality::profile,
    report::page::Footer,
};

/// What a profile found.
#[derive(Debug, Serialize, Deserialize)]
struct Profiled {
    rows: u64,
    scores: serde_json::Value,
    reports: Vec<String>,
}

/// Profiles the newest snapshot of the declarations.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`] when nothing was ingested yet.
pub async fn check_declarations(job: &mut Job<'_>) -> Result<()> {
    let profiled = job.step("profile", check(job)).await?;
    job.outcome.rows.read = profiled.rows;
    job.outcome.metrics.insert("declarations".into(), profiled.scores);
    job.outcome.reports.extend(profiled.reports.iter().map(|report| job.archive.display(report)));
    Ok(())
}

fn check<'a>(job: &Job<'a>) -> impl Future<Output = Result<Profiled>> + use<'a> {
    let (archive, session) = (job.archive, job.session("profile"));
    async move {
        let session = session?;
        let version = Table::open(archive, DECLARATIONS).await?.version().await?;
        let provider = snapshot_provider(archive, DECLARATIONS, Some(version)).await?;
        session.register_table(DECLARATIONS, provider)?;
        let report = profile(&session, DECLARATIONS, &[]).await?;
        let footer = Footer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: None,
            snapshot: Some(format!("{DECLARATIONS}@{version}")),
        };
        let (html, json) = (report.html(footer), serde_json::to_vec_pretty(&report)?);
        let mut reports = Vec::new();
        for (ending, bytes) in [("html", html.into_bytes()), ("json", json)] {
            let path = format!("reports/quality-{version}.{ending}");
            archive.put(&path, bytes).await?;
            reports.push(path);
        }
        for (name, table) in report.tables()? {
            let path = |ending: &str| format!("reports/quality-{version}/{name}.{ending}");
            archive.put(&path("csv"), as_csv(&table)?).await?;
            archive.put(&path("parquet"), as_parquet(&table)?).await?;
        }
        reports.push(format!("reports/quality-{version}"));
        Ok(Profiled { rows: report.rows, scores: serde_json::to_value(&report.scores)?, reports })
    }
}

/// A table as CSV with a header.
pub(super) fn as_csv(table: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = arrow::csv::Writer::new(Vec::new());
    writer.write(table)?;
    Ok(writer.into_inner())
}

/// A table as Parquet.
pub(super) fn as_parquet(table: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = ArrowWriter::try_new(Vec::new(), table.schema(), None)?;
    writer.write(table)?;
    Ok(writer.into_inner()?)
}
