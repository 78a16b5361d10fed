//! The parameters of a study: as the user gives them, and as the study reads them.
//!
//! [`Parameters`] are texts of the command line, of a pipeline's file or of a request; [`Request`] is what
//! they mean, checked before any data is read. Start at [`Parameters::read`].

use chrono::NaiveDate;
use clap::Args;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Period, Result};
use tidewaiter_report::words::Language;

use crate::{
    scope::{CASE_STRATA, GUIDE_STRATA, LocalPeriod, STRATA},
    stage_file::{DEFAULT, StageFile},
};

/// The parameters of a study; the comments of the fields are the command line's help.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Reporting country, ISO 3166-1 alpha-2; default: the only one that the archive has events of.
    #[arg(long)]
    pub country: Option<String>,
    /// First month or day (2024-01 or 2024-01-15) in which cases begin; default: the first event.
    #[arg(long)]
    pub from: Option<String>,
    /// Last month or day in which cases begin, included; default: the last event.
    #[arg(long)]
    pub to: Option<String>,
    /// Columns by which cases are grouped, such as office,mode,channel,aeo,permit; guide: those of the WCO's
    /// guide.
    #[arg(long, value_delimiter = ',')]
    pub by: Vec<String>,
    /// A period to compare with, such as 2023-01..2023-12.
    #[arg(long)]
    pub compare: Option<String>,
    /// Last day of which events are read, included, by the offices' clock; cases not over then are open; default: the last
    /// event.
    #[arg(long)]
    pub cut_off: Option<String>,
    /// The stages, targets and opening hours (TOML); default: the stages of examples/release-stages.toml, without
    /// targets.
    #[arg(long)]
    pub stages: Option<String>,
    /// Seed of what is simulated; default: 0.
    #[arg(long, required = false)]
    pub seed: u64,
    /// Language of the report; default: en.
    #[arg(long, value_enum, required = false)]
    pub language: Language,
}

/// What the parameters mean.
#[derive(Debug, Clone)]
pub struct Request {
    /// The reporting country; none: the only one that the archive has.
    pub country: Option<String>,
    /// The stage file as it is written.
    pub stages: String,
    /// The stage file as it is read.
    pub file: StageFile,
    /// The columns by which cases are grouped.
    pub by: Vec<String>,
    /// The study's period; none: all cases.
    pub period: Option<LocalPeriod>,
    /// The period compared with.
    pub compare: Option<LocalPeriod>,
    /// The day after the last of which events are read, since 1970-01-01; none: all events.
    pub cut_off: Option<i64>,
    /// Seed of what is simulated.
    pub seed: u64,
    /// Language of the report.
    pub language: Language,
}

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

impl Parameters {
    /// Reads the parameters and the stage file that they name.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for a column that does not group cases, a date that is none, a
    /// period that ends before it begins or overlaps the one compared with, or a wrong stage file; [`tidewaiter_core::ErrorKind::NotFound`] when there is no such stage file.
    pub fn read(&self) -> Result<Request> {
        let (text, file) = match &self.stages {
            Some(path) => StageFile::open(path)?,
            None => (DEFAULT.to_owned(), StageFile::parse(DEFAULT)?),
        };
        let mut by: Vec<String> = Vec::new();
        for column in &self.by {
            let columns: &[&str] = match column.as_str() {
                "guide" => &GUIDE_STRATA,
                other => &[other],
            };
            for column in columns {
                if !STRATA.contains(column) && !CASE_STRATA.contains(column) {
                    let known = [&STRATA[..], &CASE_STRATA].concat().join(", ");
                    return Err(Error::input(format!(
                        "cases cannot be grouped by {column:?}; give any of {known}, or guide for those of the guide"
                    )));
                }
                if !by.iter().any(|other| other == column) {
                    by.push((*column).to_owned());
                }
            }
        }
        let ends = (self.from.as_deref(), self.to.as_deref());
        let period = match ends {
            (None, None) => None,
            (from, to) => Some((from.map_or(Ok(i64::MIN), begin_of)?, to.map_or(Ok(i64::MAX), end_of)?)),
        };
        let compare = self.compare.as_deref().map(|text| {
            let (from, to) = text.split_once("..").unwrap_or((text, text));
            Ok::<_, Error>((begin_of(from)?, end_of(to)?))
        });
        let compare = compare.transpose()?;
        for (from, to) in period.iter().chain(&compare) {
            if from >= to {
                return Err(Error::input("a period ends before it begins"));
            }
        }
        if let (period, Some(compare)) = (period.unwrap_or((i64::MIN, i64::MAX)), compare)
            && period.0 < compare.1
            && compare.0 < period.1
        {
            return Err(Error::input(
                "the period compared with overlaps the study's; give --from and --to apart from it",
            ));
        }
        let cut_off = self.cut_off.as_deref().map(days).transpose()?.map(|(_, after)| after);
        Ok(Request {
            country: self.country.clone(),
            stages: text,
            file,
            by,
            period,
            compare,
            cut_off,
            seed: self.seed,
            language: self.language,
        })
    }
}

/// The first day of a month or a day, and the day after it, in days since 1970.
fn days(text: &str) -> Result<(i64, i64)> {
    let day = |date: NaiveDate| date.signed_duration_since(NaiveDate::default()).num_days();
    if let Ok(date) = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d") {
        return Ok((day(date), day(date) + 1));
    }
    let month: Period = text.parse().map_err(|_| {
        Error::input(format!("{text:?} is neither a month such as 2024-01 nor a day such as 2024-01-15"))
    })?;
    Ok((day(month.first()), day(month.last()) + 1))
}

/// When a month or a day begins, microseconds since 1970.
fn begin_of(text: &str) -> Result<i64> {
    Ok(days(text)?.0 * DAY)
}

/// When a month or a day is over, microseconds since 1970.
fn end_of(text: &str) -> Result<i64> {
    Ok(days(text)?.1 * DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_months_or_days_with_both_ends() {
        let read = |from: &str, to: &str, compare: &str| {
            let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            Parameters { from: text(from), to: text(to), compare: text(compare), ..Parameters::default() }
                .read()
        };
        let request = read("1970-01-02", "1970-02", "1969-12..1970-01-01").expect("is right");
        assert_eq!(request.period, Some((DAY, 59 * DAY)));
        assert_eq!(request.compare, Some((-31 * DAY, DAY)));
        assert_eq!(read("", "", "").expect("is right").period, None);
        for (from, to, compare, says) in [
            ("2024-02", "2024-01", "", "before it begins"),
            ("2024-02", "soon", "", "soon"),
            ("", "", "2023-01", "overlaps"),
            ("2024-01", "2024-06", "2024-06-30", "overlaps"),
        ] {
            let error = read(from, to, compare).expect_err(says);
            assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Input);
            assert!(error.chain().contains(says), "{}", error.chain());
        }
        let by = Parameters { by: vec!["colour".to_owned()], ..Parameters::default() };
        assert!(by.read().expect_err("is no column").chain().contains("channel"));
        let error = serde_json::from_str::<Parameters>(r#"{"language": "tlh"}"#).expect_err("is no language");
        assert!(error.to_string().contains("`es`"), "{error}");
    }
}
