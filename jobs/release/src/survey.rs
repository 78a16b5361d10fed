//! The first step of a study: what there is to read.
//!
//! The survey fixes the country, the versions of the tables, the extent of the events and the cut-off, so
//! that all later steps read the same rows. Start at [`Survey::take`].

use datafusion::prelude::SessionContext;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidewaiter_archive::{
    Archive, DataFile, Table,
    provider::{snapshot_provider, snapshot_views},
};
use tidewaiter_core::{
    Error, Result,
    answers::{count, number},
};

use crate::{
    parameters::Request,
    predictions,
    query::query,
    scope::{BEGINNINGS, STRATA, Scope, quoted},
    table::RELEASES,
};

/// Microseconds of a day and of a minute.
const DAY: i64 = 86_400_000_000;
const MINUTE: i64 = 60_000_000;

/// The extent of a country's events.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Extent {
    /// Events of the country.
    pub events: u64,
    /// The earliest time, microseconds since 1970 UTC.
    pub first: i64,
    /// The latest time.
    pub last: i64,
    /// Events that are the start of another.
    pub starts: u64,
    /// Events that have a start time of their own.
    pub intervals: u64,
    /// The offset of the clocks, minutes east of UTC; none where they differ.
    #[serde(default)]
    pub utc_offset: Option<i32>,
}

/// What a study reads.
#[derive(Debug, Serialize, Deserialize)]
pub struct Survey {
    /// The reporting country.
    pub country: String,
    /// The version of the table of events.
    pub version: u64,
    /// The version of the fraud model's predictions; none where the archive has none.
    pub predictions: Option<u64>,
    /// The extent of the country's events.
    pub extent: Extent,
    /// The time of the last event that is read, microseconds since 1970 UTC.
    pub cut_off: i64,
    /// The columns of [`STRATA`] and [`BEGINNINGS`] in which no event has a value.
    pub absent: Vec<String>,
}

impl Survey {
    /// Surveys the newest versions of the archive's tables.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::NotFound`] when the archive has no table of events;
    /// [`tidewaiter_core::ErrorKind::Input`] when it has no events of the country, or events of several
    /// countries and the request names none.
    pub async fn take(archive: &Archive, session: &SessionContext, request: &Request) -> Result<Self> {
        let snapshot = Table::open(archive, RELEASES).await?.snapshot(None).await?;
        let mut countries: Vec<_> = snapshot.files.iter().map(|file| file.country.clone()).collect();
        countries.sort();
        countries.dedup();
        let country = match (&request.country, countries.as_slice()) {
            (Some(country), _) => country.clone(),
            (None, [only]) => only.clone(),
            (None, []) => return Err(Error::input("the archive has no release events")),
            (None, several) => {
                let several = several.join(", ");
                return Err(Error::input(format!(
                    "say which country with --country: there are events of {several}"
                )));
            }
        };
        let releases = snapshot_provider(archive, RELEASES, Some(snapshot.version)).await?;
        session.register_table(RELEASES, releases)?;
        let absent = columns_without_values(&snapshot.files);
        let extent = extent(session, &country, &absent).await?;
        let begins = |day| begin_of(day, request, extent.utc_offset);
        let cut_off = request.cut_off.map_or(extent.last, |after| extent.last.min(begins(after) - 1));
        let predictions = predictions::newest_version(archive).await?;
        Ok(Self { country, version: snapshot.version, predictions, extent, cut_off, absent })
    }

    /// The scope of a request.
    pub fn scope<'a>(&'a self, request: &Request) -> Scope<'a> {
        Scope {
            country: &self.country,
            first: self.extent.first,
            cut_off: self.cut_off,
            cuts: self.cut_off < self.extent.last,
            paired: self.extent.starts > 0,
            intervals: self.extent.starts + self.extent.intervals > 0,
            absent: &self.absent,
            period: request.period,
            compare: request.compare,
        }
    }

    /// Registers the events as `releases` and the predictions, where there are any, as `predictions`.
    ///
    /// # Errors
    /// Those of reading the tables' logs, and those of [`predictions::open`].
    pub async fn register(&self, session: &SessionContext, archive: &Archive) -> Result<()> {
        // Texts that occur again and again are read as views; the case's id occurs only a few times and is
        // copied.
        let releases = snapshot_views(archive, RELEASES, Some(self.version), "case_id").await?;
        session.register_table(RELEASES, releases)?;
        if let Some(version) = self.predictions {
            session.register_table("predictions", predictions::open(archive, version).await?)?;
        }
        Ok(())
    }
}

/// When a day (since 1970-01-01) begins by the clock of the offices, microseconds since 1970 UTC: that of the stage file's
/// opening hours, else that of the events where all have the same, else UTC.
fn begin_of(day: i64, request: &Request, utc_offset: Option<i32>) -> i64 {
    let by_hours = request.file.calendar.as_ref().and_then(|hours| hours.begin_of(day));
    by_hours.unwrap_or(day * DAY - i64::from(utc_offset.unwrap_or_default()) * MINUTE)
}

/// The columns of [`STRATA`] and [`BEGINNINGS`] that are null in every row of some files, by the files'
/// statistics.
fn columns_without_values(files: &[DataFile]) -> Vec<String> {
    let is_null = |file: &DataFile, column: &str| {
        let statistics: Option<Value> = serde_json::from_str(file.statistics.as_deref()?).ok();
        statistics?["nullCount"][column].as_u64().map(|nulls| nulls == file.rows)
    };
    let null_everywhere = |column: &&str| files.iter().all(|file| is_null(file, column).unwrap_or(false));
    STRATA.into_iter().chain(BEGINNINGS).filter(null_everywhere).map(str::to_owned).collect()
}

/// The extent of a country's events.
async fn extent(session: &SessionContext, country: &str, absent: &[String]) -> Result<Extent> {
    let answer = query(session, &extent_sql(country, absent)).await?;
    let events = count(&answer, "events", 0)?;
    if events == 0 {
        return Err(Error::input(format!(
            "the archive has no release events of {country}; `tidewaiter ingest releases` brings them"
        )));
    }
    let time = |name| Ok::<_, Error>(number(&answer, name, 0)? as i64);
    Ok(Extent {
        events,
        first: time("first")?,
        last: time("last")?,
        starts: count(&answer, "starts", 0)?,
        intervals: count(&answer, "intervals", 0)?,
        utc_offset: {
            let (west, east) = (number(&answer, "west", 0)?, number(&answer, "east", 0)?);
            (west == east).then_some(east as i32)
        },
    })
}

/// The query of a country's extent. Columns without values are not read.
fn extent_sql(country: &str, absent: &[String]) -> String {
    let is_there = |column: &str| !absent.iter().any(|absent| absent == column);
    let (begun, intervals) = match is_there("start_time") {
        true => (
            "least(arrow_cast(event_time, 'Int64'), coalesce(arrow_cast(start_time, 'Int64'), \
             arrow_cast(event_time, 'Int64')))",
            "count(start_time)",
        ),
        false => ("arrow_cast(event_time, 'Int64')", "0"),
    };
    let starts = match is_there("lifecycle") {
        true => "count(*) FILTER (WHERE lower(lifecycle) = 'start')",
        false => "0",
    };
    format!(
        "SELECT count(*) AS events, min({begun}) AS first, max(arrow_cast(event_time, 'Int64')) AS last, \
         {starts} AS starts, {intervals} AS intervals, min(utc_offset) AS west, max(utc_offset) AS east \
         FROM releases WHERE country = {}",
        quoted(country)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Parameters;

    #[test]
    fn a_day_begins_by_the_clock_of_the_offices() {
        let request = Parameters { cut_off: Some("1970-01-01".to_owned()), ..Parameters::default() };
        let mut request = request.read().expect("is right");
        assert_eq!(request.cut_off, Some(1), "the day after it");
        assert_eq!(begin_of(1, &request, None), DAY);
        assert_eq!(begin_of(1, &request, Some(120)), DAY - 120 * MINUTE);
        let hours = "time_zone = \"Asia/Taipei\"\nhours = {}";
        request.file.calendar = Some(toml::from_str(hours).expect("parses"));
        assert_eq!(begin_of(1, &request, Some(120)), DAY - 480 * MINUTE);
    }

    #[test]
    fn a_column_is_absent_where_every_file_says_so() {
        let file = |nulls: &str| DataFile {
            path: String::new(),
            size: 1,
            rows: 3,
            country: "UG".to_owned(),
            year: 2024,
            month: 1,
            statistics: (!nulls.is_empty()).then(|| format!("{{\"nullCount\":{nulls}}}")),
            digest: None,
        };
        let both = "{\"actor\":3,\"goods\":3,\"office\":0}";
        assert_eq!(columns_without_values(&[file(both), file("{\"actor\":3,\"goods\":2}")]), ["actor"]);
        assert!(
            columns_without_values(&[file(both), file("")]).is_empty(),
            "a file without statistics may have values"
        );
    }
}
