//! The quality job: profiles the newest snapshot of the declarations, with what ingest refused, and writes the report, as
//! one HTML page and one JSON document, with every table and curve of the page beside it as CSV, Parquet and JSON.

use serde::{Deserialize, Serialize};
use tidewaiter_archive::{provider::snapshot_provider, table::Table};
use tidewaiter_core::{Error, Result};
use tidewaiter_declarations::DECLARATIONS;
use tidewaiter_job::{Job, JobParameters, Outcome, async_trait, summary::figures};
use tidewaiter_report::{data, page::Footer, words::Language};

use crate::{parameters::Parameters, profile::profile, quarantine, results::Threshold};

/// The outcome of the step.
#[derive(Debug, Serialize, Deserialize)]
struct Profiled {
    rows: u64,
    scores: serde_json::Value,
    /// The dimensions below their threshold, in a country or in all.
    below: Vec<String>,
    reports: Vec<String>,
}

#[async_trait]
impl JobParameters for Parameters {
    const KIND: &'static str = "quality";
    const ABOUT: &'static str = "Profile the declarations: completeness, validity, uniqueness, consistency";

    /// Profiles the newest snapshot of the declarations.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::NotFound`] when the archive has no declarations, or none but refused ones;
    /// [`tidewaiter_core::ErrorKind::Input`] for a wrong threshold.
    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        let thresholds = self.read()?;
        let step = profile_declarations(job, thresholds, self.language);
        let profiled = job.step("profile", step).await?;
        job.outcome.rows.read = profiled.rows;
        if !profiled.below.is_empty() {
            job.outcome.metrics.insert("below_threshold".into(), profiled.below.into());
        }
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

fn profile_declarations<'a>(
    job: &Job<'a>,
    thresholds: Vec<Threshold>,
    language: Language,
) -> impl Future<Output = Result<Profiled>> + use<'a> {
    let (archive, session) = (job.archive, job.session("profile"));
    async move {
        let session = session?;
        let version = Table::open(archive, DECLARATIONS).await?.version().await?;
        let provider = snapshot_provider(archive, DECLARATIONS, Some(version)).await?;
        session.register_table(DECLARATIONS, provider)?;
        let refused = quarantine::counts(&session, archive, DECLARATIONS).await?;
        let mut report = profile(&session, DECLARATIONS, &refused).await?;
        if report.rows == 0 {
            return Err(Error::not_found(format!(
                "there is nothing to judge: the table {DECLARATIONS} has no rows ({} were refused at ingest); ingest \
                 declarations first",
                report.quarantined
            )));
        }
        report.thresholds = thresholds;
        let footer = Footer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: None,
            snapshot: Some(format!("{DECLARATIONS}@{version}")),
        };
        let (html, json) = (report.html(language, footer), serde_json::to_vec_pretty(&report)?);
        let mut reports = Vec::new();
        for (ending, bytes) in [("html", html.into_bytes()), ("json", json)] {
            let path = format!("reports/quality-{version}.{ending}");
            archive.put(&path, bytes).await?;
            reports.push(path);
        }
        for (file, bytes) in data::files(&report.tables()?)? {
            archive.put(&format!("reports/quality-{version}/{file}"), bytes).await?;
        }
        reports.push(format!("reports/quality-{version}"));
        let all = std::iter::once(&report.scores).chain(report.countries.iter().map(|one| &one.scores));
        let mut below: Vec<String> = all
            .flat_map(|scores| report.missed(scores))
            .map(|(missed, _)| missed.dimension.clone())
            .collect();
        below.sort();
        below.dedup();
        Ok(Profiled { rows: report.rows, scores: serde_json::to_value(&report.scores)?, below, reports })
    }
}
