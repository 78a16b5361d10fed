//! The quality job: profiles the newest snapshot of the declarations and writes the report, as one HTML page
//! and one JSON document, with every table of the page beside it as CSV and as Parquet.

use serde::{Deserialize, Serialize};
use tidewaiter_archive::{provider::snapshot_provider, table::Table};
use tidewaiter_core::Result;
use tidewaiter_declarations::DECLARATIONS;
use tidewaiter_job::{Job, JobParameters, Outcome, async_trait, summary::figures};
use tidewaiter_report::{
    data::{as_csv, as_parquet},
    page::Footer,
};

use crate::{parameters::Parameters, profile::profile};

/// The outcome of the step.
#[derive(Debug, Serialize, Deserialize)]
struct Profiled {
    rows: u64,
    scores: serde_json::Value,
    reports: Vec<String>,
}

#[async_trait]
impl JobParameters for Parameters {
    const KIND: &'static str = "quality";
    const ABOUT: &'static str = "Profile the declarations: completeness, validity, uniqueness, consistency";

    /// Profiles the newest snapshot of the declarations.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::NotFound`] when the archive has no declarations.
    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        let profiled = job.step("profile", profile_declarations(job)).await?;
        job.outcome.rows.read = profiled.rows;
        job.outcome.metrics.insert("declarations".into(), profiled.scores);
        job.outcome.reports.extend(profiled.reports.iter().map(|report| job.archive.display(report)));
        Ok(())
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let Some(scores) = outcome.metrics.get("declarations").and_then(|scores| scores.as_object()) else {
            return Vec::new();
        };
        let names: Vec<&str> = scores.keys().map(String::as_str).collect();
        vec![figures(scores, &names, 3)]
    }
}

fn profile_declarations<'a>(job: &Job<'a>) -> impl Future<Output = Result<Profiled>> + use<'a> {
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
