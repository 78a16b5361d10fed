//! The quality job: a profile of the declarations, as one HTML page and one JSON document.

use datafusion::prelude::SessionContext;

use super::Job;
use crate::{
    Result,
    archive::{provider::snapshot_provider, schema::DECLARATIONS, table::Table},
    quality::profile,
    report::page::Footer,
};

/// Profiles the newest snapshot of the declarations.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`] when nothing was ingested yet.
pub async fn check_declarations(job: &mut Job<'_>, context: &SessionContext) -> Result<()> {
    let version = Table::open(job.archive, DECLARATIONS).await?.version().await?;
    let provider = snapshot_provider(job.archive, DECLARATIONS, Some(version)).await?;
    context.register_table(DECLARATIONS, provider)?;
    let report = job.step("profile", profile(context, DECLARATIONS, &[])).await?;
    job.outcome.rows.read = report.rows;
    job.outcome.metrics.insert("declarations".into(), serde_json::to_value(&report.scores)?);

    let footer = Footer {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        seed: None,
        snapshot: Some(format!("{DECLARATIONS}@{version}")),
    };
    let (html, json) = (report.html(footer), serde_json::to_vec_pretty(&report)?);
    for (ending, bytes) in [("html", html.into_bytes()), ("json", json)] {
        let path = format!("reports/quality-{version}.{ending}");
        job.archive.put(&path, bytes).await?;
        job.outcome.reports.push(job.archive.display(&path));
    }
    Ok(())
}
