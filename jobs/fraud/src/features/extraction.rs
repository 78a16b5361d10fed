//! From a snapshot of the declarations to feature files: the first step of a retrain and of an apply.
//!
//! Start at [`extract`].

use std::ops::RangeInclusive;

use datafusion::prelude::SessionContext;
use serde::{Deserialize, Serialize};
use tidewaiter_archive::{Archive, provider::snapshot_by_month, table::Table};
use tidewaiter_core::{Error, Result, ResultExt, plan};
use tidewaiter_declarations::DECLARATIONS;

use super::{
    files::{FeatureFiles, RANDOM_INSPECTION},
    operator::{FeaturesOperator, INPUT_COLUMNS},
    parameters::Parameters,
};
use crate::messages;

/// What features are computed from, and where they are written.
pub(crate) struct Extraction<'a> {
    pub(crate) session: SessionContext,
    pub(crate) archive: &'a Archive,
    /// The folder of the archive that receives the files.
    pub(crate) folder: String,
    /// The reporting country.
    pub(crate) country: &'a str,
    /// The snapshot of the declarations; `None`: the newest.
    pub(crate) version: Option<u64>,
    /// The last month that is read: 12 × year + month - 1.
    pub(crate) last_month: i32,
    pub(crate) parameters: Parameters,
    pub(crate) outputs: Vec<messages::FeatureOutput>,
}

/// Feature files, and the snapshot that they were computed from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ExtractedFeatures {
    /// The version of the declarations.
    pub(crate) version: u64,
    pub(crate) files: FeatureFiles,
}

/// Reads a snapshot up to a month and writes feature files.
pub(crate) async fn extract(extraction: Extraction<'_>) -> Result<ExtractedFeatures> {
    let Extraction { session, archive, folder, country, version, last_month, parameters, outputs } =
        extraction;
    let version = match version {
        Some(version) => version,
        None => Table::open(archive, DECLARATIONS).await?.version().await?,
    };
    let declarations = snapshot_by_month(archive, DECLARATIONS, Some(version), country, last_month).await?;
    // No filter stands between the scan and the operator: it would be spread over partitions.
    let mut columns = INPUT_COLUMNS.to_vec();
    if declarations.schema().column_with_name(RANDOM_INSPECTION).is_some() {
        columns.push(RANDOM_INSPECTION);
    }
    let rows = session.read_table(declarations)?.select_columns(&columns)?;
    let operator = FeaturesOperator::new(messages::FeaturesOperator {
        archive: archive.url().to_string(),
        folder,
        outputs,
        parameters: serde_json::to_string(&parameters)?,
    })?;
    let files = plan::reports::<FeatureFiles>(plan::apply(rows, operator)?).await;
    let files = files.context(|| format!("compute features of {DECLARATIONS}@{version}"))?;
    let [files] = <[FeatureFiles; 1]>::try_from(files)
        .map_err(|files| Error::internal(format!("features came from {} tasks, not one", files.len())))?;
    if files.forgotten > 0 {
        tracing::warn!(
            keys = files.forgotten,
            "the histories outgrew history_capacity: the longest unseen keys were forgotten"
        );
    }
    Ok(ExtractedFeatures { version, files })
}

/// An output: the rows of some ranges of days, in so many parts.
pub(crate) fn feature_output(
    name: &str,
    parts: u32,
    days: &[RangeInclusive<i32>],
    labelled_only: bool,
) -> messages::FeatureOutput {
    let days = days.iter().map(|days| messages::DayRange { first: *days.start(), last: *days.end() });
    messages::FeatureOutput { name: name.to_owned(), parts, days: days.collect(), labelled_only }
}
