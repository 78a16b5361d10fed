//! The stage file: between which milestones a study measures times, and when offices are open.
//!
//! Countries group stages differently, so that users edit the file; `examples/release-stages.toml` is the
//! default and explains the form. A milestone (`roles` in the file) is a role that the mapping gives an
//! event. Start at [`StageFile::parse`].

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result, ResultExt};
use tidewaiter_job::user_file;

use crate::calendar::{Calendar, OpeningHours};

/// The stage file that is used where the user gives none.
pub const DEFAULT: &str = include_str!("../../../examples/release-stages.toml");

/// Milestones of a study, at most.
const MAX_ROLES: usize = 64;

/// Stages of a study, at most.
pub const MAX_STAGES: usize = 60;

/// What a study measures, as the file says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageFile {
    /// The milestones, in the order in which a case usually passes them.
    pub roles: Vec<String>,
    /// The stages.
    #[serde(rename = "stage")]
    pub stages: Vec<Stage>,
    /// The opening hours of offices that have none of their own.
    pub calendar: Option<OpeningHours>,
    /// The opening hours of single offices, by name.
    #[serde(default)]
    pub offices: BTreeMap<String, OpeningHours>,
}

/// A stage: the time between two milestones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Its name in French reports.
    pub french: Option<String>,
    /// Its name in Spanish reports.
    #[serde(default)]
    pub spanish: Option<String>,
    /// How it relates to the others.
    pub kind: StageKind,
    /// The part of the whole that it is, or that it belongs to.
    pub part: Option<Part>,
    /// Who has to act for the stage to end; of steps.
    #[serde(default)]
    pub held_by: Option<Holder>,
    /// Milestones of its beginning: the first in this list that the case has counts.
    pub from: Vec<String>,
    /// It does not begin before this milestone: the first in this list that the case has counts.
    #[serde(default)]
    pub not_before: Vec<String>,
    /// Milestones of its end: the first in this list that the case has counts.
    pub to: Vec<String>,
    /// Whether it may end before it begins, as where goods are declared before they arrive. It then takes no
    /// time.
    #[serde(default)]
    pub may_end_early: bool,
    /// Whether not every case has it, such as an inspection: a case without its end is then not counted as
    /// open.
    #[serde(default)]
    pub optional: bool,
    /// The target: it should take no more hours than these.
    pub target_hours: Option<f64>,
}

/// How a stage relates to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageKind {
    /// From end to end.
    Whole,
    /// One of the three parts of the whole.
    Part,
    /// A step inside a part.
    Step,
}

/// Who is responsible for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Port, carrier, trader: before the declaration is lodged.
    PreCustoms,
    /// Customs and the other agencies.
    Customs,
    /// Trader, port: after release.
    PostCustoms,
}

/// Who holds goods: who has to act next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// Customs.
    Customs,
    /// Another agency.
    Agency,
    /// The trader or the broker.
    Trader,
    /// The port, the carrier or the warehouse.
    Port,
}

/// The column of a case with the first time of the milestone at a place of `roles`.
pub fn role_column(place: usize) -> String {
    format!("role_{place}")
}

impl StageFile {
    /// Reads and checks a stage file.
    ///
    /// # Errors
    /// As [`StageFile::parse`]; [`tidewaiter_core::ErrorKind::NotFound`] when there is no such file.
    pub fn open(path: &str) -> Result<(String, Self)> {
        let text = std::fs::read_to_string(Path::new(path)).context(|| format!("read the stages {path}"))?;
        let stages = Self::parse(&text).context(|| format!("read the stages {path}"))?;
        Ok((text, stages))
    }

    /// Reads and checks the text of a stage file.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for a text that is not TOML of this form, a milestone that is
    /// not listed or listed twice, a stage without milestones at its ends, a target that is not above 0, or
    /// wrong opening hours.
    pub fn parse(text: &str) -> Result<Self> {
        let file: Self = user_file::read(text)?;
        if file.roles.is_empty() || file.roles.len() > MAX_ROLES {
            return Err(Error::input(format!(
                "roles has {} milestones; give 1 to {MAX_ROLES}",
                file.roles.len()
            )));
        }
        for (place, role) in file.roles.iter().enumerate() {
            if file.roles[..place].contains(role) {
                return Err(Error::input(format!("roles lists {role:?} twice")));
            }
        }
        if file.stages.is_empty() {
            return Err(Error::input("there is no [[stage]]"));
        }
        if file.stages.len() > MAX_STAGES {
            let stages = file.stages.len();
            return Err(Error::input(format!("there are {stages} stages; give at most {MAX_STAGES}")));
        }
        for stage in &file.stages {
            let name = &stage.name;
            if stage.from.is_empty() || stage.to.is_empty() {
                return Err(Error::input(format!("stage {name:?} lacks the milestones of an end")));
            }
            let named = stage.from.iter().chain(&stage.not_before).chain(&stage.to);
            if let Some(unknown) = named.into_iter().find(|role| !file.roles.contains(role)) {
                return Err(Error::input(format!(
                    "stage {name:?} names {unknown:?}, which roles does not list"
                )));
            }
            if stage.target_hours.is_some_and(|hours| !(hours.is_finite() && hours > 0.0)) {
                return Err(Error::input(format!("stage {name:?}: target_hours is not a time above 0")));
            }
        }
        for (office, hours) in &file.offices {
            hours.check().context(|| format!("the opening hours of office {office:?}"))?;
        }
        if let Some(calendar) = &file.calendar {
            calendar.check().context(|| "the opening hours in [calendar]")?;
        }
        Ok(file)
    }

    /// The place of a milestone in `roles`.
    pub fn role(&self, name: &str) -> Option<usize> {
        self.roles.iter().position(|role| role == name)
    }

    /// Whether any office has opening hours.
    pub fn has_calendar(&self) -> bool {
        self.calendar.is_some() || !self.offices.is_empty()
    }

    /// The calendars of all offices between two times in microseconds since 1970 UTC.
    ///
    /// # Errors
    /// As [`Calendar::new`].
    pub fn calendars(&self, first: i64, last: i64) -> Result<Calendars> {
        let calendar = |hours| Calendar::new(hours, first, last);
        let offices = self.offices.iter().map(|(office, hours)| Ok((office.clone(), calendar(hours)?)));
        Ok(Calendars {
            common: self.calendar.as_ref().map(calendar).transpose()?,
            offices: offices.collect::<Result<_>>()?,
        })
    }
}

/// The calendars of offices.
#[derive(Debug, Clone, Default)]
pub struct Calendars {
    common: Option<Calendar>,
    offices: BTreeMap<String, Calendar>,
}

impl Calendars {
    /// The calendar of an office; the common one where the office has none of its own or is not known.
    pub fn of(&self, office: Option<&str>) -> Option<&Calendar> {
        office.and_then(|office| self.offices.get(office)).or(self.common.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_right_and_has_the_three_parts() {
        let file = StageFile::parse(DEFAULT).expect("parses");
        let part = |part| file.stages.iter().any(|s| s.kind == StageKind::Part && s.part == Some(part));
        assert!(part(Part::PreCustoms) && part(Part::Customs) && part(Part::PostCustoms));
        assert_eq!(file.stages[0].kind, StageKind::Whole);
        assert!(file.stages.iter().all(|stage| stage.french.is_some() && stage.spanish.is_some()));
        let steps = || file.stages.iter().filter(|stage| stage.kind == StageKind::Step);
        assert!(steps().all(|stage| stage.held_by.is_some()));
        assert!(
            file.stages.iter().all(|stage| stage.target_hours.is_none()),
            "targets are the user's to set"
        );
    }

    #[test]
    fn wrong_files_say_what_is_wrong() {
        let good = "roles = [\"a\", \"b\"]\n[[stage]]\nname = \"s\"\nkind = \"whole\"\nfrom = [\"a\"]\nto = [\"b\"]\n";
        StageFile::parse(good).expect("is right");
        for (from, to, says) in [
            ("roles = [\"a\", \"b\"]", "roles = []", "0 milestones"),
            ("[\"a\", \"b\"]", "[\"a\", \"b\", \"a\"]", "twice"),
            ("to = [\"b\"]", "to = [\"c\"]", "\"c\""),
            ("to = [\"b\"]", "to = [\"b\"]\nnot_before = [\"d\"]", "\"d\""),
            ("to = [\"b\"]", "to = []", "lacks"),
            ("\"whole\"", "\"half\"", "`whole`"),
            ("to = [\"b\"]", "to = [\"b\"]\ntarget_hours = -1", "above 0"),
            (
                "to = [\"b\"]",
                "to = [\"b\"]\n[calendar]\ntime_zone = \"UTC\"\nhours = { monday = [\"9-5\"] }",
                "09:00-17:00",
            ),
            ("to = [\"b\"]", "to = [\"b\"]\n[calendar]\ntime_zone = \"Mars\"\nhours = {}", "Mars"),
        ] {
            assert!(good.contains(from), "{from}");
            let error = StageFile::parse(&good.replacen(from, to, 1)).expect_err(says).chain();
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}
