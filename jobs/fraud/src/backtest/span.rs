//! The declarations of a country in the archive: a snapshot, its rows and its days.

use arrow::datatypes::DataType;
use datafusion::{
    functions_aggregate::expr_fn::{count, max, min},
    prelude::{DataFrame, SessionContext, cast, col, lit},
};
use serde::{Deserialize, Serialize};
use tidewaiter_archive::{Archive, provider::snapshot_provider, table::Table};
use tidewaiter_core::{Error, Result, answers};
use tidewaiter_declarations::DECLARATIONS;
use tidewaiter_job::Job;

use super::parameters::Parameters;
use crate::calendar::date_of;

/// The declarations of a country in the archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Span {
    /// The snapshot of the table.
    pub(super) version: u64,
    /// Goods items.
    pub(super) rows: u64,
    /// First and last day of acceptance, as days since 1970-01-01.
    pub(super) first: i32,
    pub(super) last: i32,
}

impl Span {
    /// Checks that there are declarations before the first day of the backtest, and in its last month.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when there are none.
    pub(super) fn check(&self, parameters: &Parameters, days: (i32, i32)) -> Result<()> {
        let Parameters { country, from, to, .. } = parameters;
        if self.rows == 0 {
            return Err(Error::input(format!(
                "the archive has no declarations of {country}; `tidewaiter archive tables` shows what there is"
            )));
        }
        if days.0 <= self.first {
            return Err(Error::input(format!(
                "the backtest begins with {from}, but the archive's first declarations of {country} are of {}; \
                 begin later, so that there is a past to learn from",
                date_of(self.first)
            )));
        }
        if *to.days().start() > self.last {
            return Err(Error::input(format!(
                "the backtest ends with {to}, but the archive's last declarations of {country} are of {}",
                date_of(self.last)
            )));
        }
        Ok(())
    }
}

/// Reads the span of the newest snapshot.
pub(super) fn span<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
) -> impl Future<Output = Result<Span>> + use<'a> {
    let (archive, session) = (job.archive, job.session("span"));
    async move {
        let version = Table::open(archive, DECLARATIONS).await?.version().await?;
        let rows = declarations(&session?, archive, version, parameters).await?;
        let day = cast(col("acceptance_date"), DataType::Int32);
        let aggregates =
            vec![count(lit(1)).alias("rows"), min(day.clone()).alias("first"), max(day).alias("last")];
        let counted = answers::one_batch(rows.aggregate(vec![], aggregates)?).await?;
        Ok(Span {
            version,
            rows: answers::count(&counted, "rows", 0)?,
            first: answers::number(&counted, "first", 0)? as i32,
            last: answers::number(&counted, "last", 0)? as i32,
        })
    }
}

/// The country's rows in a snapshot.
async fn declarations(
    session: &SessionContext,
    archive: &Archive,
    version: u64,
    parameters: &Parameters,
) -> Result<DataFrame> {
    let provider = snapshot_provider(archive, DECLARATIONS, Some(version)).await?;
    let wanted = col("country").eq(lit(parameters.country.as_str()));
    Ok(session.read_table(provider)?.filter(wanted)?)
}
