//! From a snapshot of the declarations to feature files: the first step of a retrain and of an apply.

use std::ops::RangeInclusive;

use chrono::NaiveDate;
use datafusion::prelude::SessionContext;
use serde::{Deserialize, Serialize};
use tidewaiter_proto::v1;

use super::features::{FeatureFiles, FeaturesOperator, INPUT, Parameters};
use crate::{
    Archive, Error, Result, ResultExt,
    archive::{provider::snapshot_by_month, schema::DECLARATIONS, table::Table},
    plan,
};

/// What features are computed of, and where they go.
pub(super) struct Preparation<'a> {
    pub(super) session: SessionContext,
    pub(super) archive: &'a Archive,
    /// A folder of the archive for the files.
    pub(super) folder: String,
    /// The reporting country.
    pub(super) country: &'a str,
    /// The last month that is read: 12 × year + month - 1.
    pub(super) last_month: i32,
    pub(super) parameters: Parameters,
    pub(super) outputs: Vec<v1::FeatureOutput>,
}

/// Feature files, and the snapshot that they were computed of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Prepared {
    /// The version of the declarations.
    pub(super) version: u64,
    pub(super) files: FeatureFiles,
}

/// Reads the newest snapshot up to a month and writes feature files.
pub(super) async fn prepare(preparation: Preparation<'_>) -> Result<Prepared> {
    let Preparation { session, archive, folder, country, last_month, parameters, outputs } = preparation;
    let version = Table::open(archive, DECLARATIONS).await?.version().await?;
    let declarations = snapshot_by_month(archive, DECLARATIONS, Some(version), country, last_month).await?;
    // No filter stands between the scan and the operator: it would be spread over partitions.
    let rows = session.read_table(declarations)?.select_columns(INPUT)?;
    let operator = FeaturesOperator::new(v1::FeaturesOperator {
        archive: archive.url().to_string(),
        folder,
        outputs,
        parameters: serde_json::to_string(&parameters)?,
    })?;
    let files = plan::reports::<FeatureFiles>(plan::above(rows, operator)?).await;
    let files = files.context(|| format!("compute features of {DECLARATIONS}@{version}"))?;
    let [files] = <[FeatureFiles; 1]>::try_from(files)
        .map_err(|files| Error::internal(format!("features came from {} tasks, not one", files.len())))?;
    if files.forgotten > 0 {
        tracing::warn!(
            keys = files.forgotten,
            "the histories outgrew history_capacity: the longest unseen keys were forgotten"
        );
    }
    Ok(Prepared { version, files })
}

/// A day as a query's constant.
pub(super) fn day_of(date: NaiveDate) -> datafusion::common::ScalarValue {
    let days = date.signed_duration_since(NaiveDate::default()).num_days();
    datafusion::common::ScalarValue::Date32(i32::try_from(days).ok())
}

/// An output of a plan's message.
pub(super) fn output(
    name: &str,
    parts: u32,
    days: &[RangeInclusive<i32>],
    labelled_only: bool,
) -> v1::FeatureOutput {
    let days = days.iter().map(|days| v1::DayRange { first: *days.start(), last: *days.end() });
    v1::FeatureOutput { name: name.to_owned(), parts, days: days.collect(), labelled_only }
}
