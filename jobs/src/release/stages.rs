//! The stage file: which milestones a study measures between, and when offices are open.
//!
//! Stages are the user's to edit (`examples/release-stages.toml` is the default and explains the form), because
//! countries group them differently. Start at [`StageFile::parse`].

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use super::calendar::{Calendar, OpeningHours};
use crate::{Error, Result, ResultExt};

/// The stage file that stands where a user gives none.
pub const DEFAULT: &str = include_str!("../../../examples/release-stages.toml");

/// Most milestones of a study.
const MOST_ROLES: usize = 64;

/// Most stages of a study.
pub const MOST_STAGES: usize = 60;

/// What a study measures.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageFile {
    /// The milestones, in the order in which a case meets them.
    pub roles: Vec<String>,
    /// The stages.
    #[serde(rename = "stage")]
    pub stages: Vec<Stage>,
    /// When offices are open that have no hours of their own.
    pub calendar: Option<OpeningHours>,
    /// When an office of this name is open.
    #[serde(default)]
    pub offices: BTreeMap<String, OpeningHours>,
}

/// A time between two milestones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Its name in French reports.
    pub french: Option<String>,
    /// How it relates to the others.
    pub kind: StageKind,
    /// The part of the whole that it is, or lies in.
    pub part: Option<Part>,
    /// It begins with the first of these that the case has.
    pub from: Vec<String>,
    /// It does not begin before the first of these that the case has.
    #[serde(default)]
    pub not_before: Vec<String>,
    /// It ends with the first of these that the case has.
    pub to: Vec<String>,
    /// Whether it may end before it begins, as where goods are declared before they arrive: it then takes no time.
    #[serde(default)]
    pub may_end_early: bool,
    /// Whether a case without an end has not been through it, as where not every case is inspected.
    #[serde(default)]
    pub optional: bool,
    /// It should take no longer, in hours.
    pub target_hours: Option<f64>,
}

/// How a stage relates to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageKind {
    /// End to end.
    Whole,
    /// One of the three parts.
    Part,
    /// Inside a part.
    Step,
}

/// Who answers for a time.
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

impl StageFile {
    /// Reads and checks a stage file.
    ///
    /// # Errors
    /// As [`StageFile::parse`]; [`crate::ErrorKind::NotFound`] when there is no such file.
    pub fn open(path: &str) -> Result<(String, Self)> {
        let text = std::fs::read_to_string(Path::new(path)).context(|| format!("read the stages {path}"))?;
        let stages = Self::parse(&text).context(|| format!("read the stages {path}"))?;
        Ok((text, stages))
    }

    /// Reads and checks the text of a stage file.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] for a text that is none, a milestone that is not listed or listed twice,
    /// a stage without ends, a target that is no time, or opening hours that are none.
    pub fn parse(text: &str) -> Result<Self> {
        let file: Self = toml::from_str(text).map_err(|error| Error::input(error.to_string()))?;
        if file.roles.is_empty() || file.roles.len() > MOST_ROLES {
            return Err(Error::input(format!(
                "roles has {} milestones; give 1 to {MOST_ROLES}",
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
        if file.stages.len() > MOST_STAGES {
            let stages = file.stages.len();
            return Err(Error::input(format!("there are {stages} stages; give at most {MOST_STAGES}")));
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

    /// The place of a milestone.
    pub fn role(&self, name: &str) -> Option<usize> {
        self.roles.iter().position(|role| role == name)
    }

    /// Whether any office has hours.
    pub fn has_calendar(&self) -> bool {
        self.calendar.is_some() || !self.offices.is_empty()
    }

    /// The opening hours of every office, laid out between two moments in microseconds since 1970 UTC.
    ///
    /// # Errors
    /// As [`Calendar::new`].
    pub fn calendars(&self, first: i64, last: i64) -> Result<Calendars> {
        let lay_out = |hours| Calendar::new(hours, first, last);
        let offices = self.offices.iter().map(|(office, hours)| Ok((office.clone(), lay_out(hours)?)));
        Ok(Calendars {
            common: self.calendar.as_ref().map(lay_out).transpose()?,
            offices: offices.collect::<Result<_>>()?,
        })
    }
}

/// The opening hours of offices, laid out.
#[derive(Debug, Clone, Default)]
pub struct Calendars {
    common: Option<Calendar>,
    offices: BTreeMap<String, Calendar>,
}

impl Calendars {
    /// The hours of an office; of one that has none of its own, or where none is told, those common to all.
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
        assert!(file.stages.iter().all(|stage| stage.french.is_some()));
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
            ("\"whole\"", "\"half\"", "half"),
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
