//! The document of a profile: the scores, the rules, the columns and the months of one table.

use serde::{Deserialize, Serialize};

use crate::rules::Dimension;

/// The dimensions that have a score.
pub const DIMENSIONS: [&str; 4] = ["completeness", "validity", "uniqueness", "consistency"];

/// A score that the data should reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// One of [`DIMENSIONS`].
    pub dimension: String,
    /// The least share, 0..=1.
    pub least: f64,
}

/// Rows of a country that ingest refused by one rule on one column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineCount {
    /// Reporting country; empty: not recorded.
    pub country: String,
    /// Name of the rule.
    pub rule: String,
    /// Column that failed.
    pub column: String,
    /// Rows; each row is counted once, by its first failure.
    pub rows: u64,
}

/// The quality of one table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct QualityReport {
    /// Name of the table.
    pub table: String,
    /// Rows in the table.
    pub rows: u64,
    /// Rows refused by ingest.
    pub quarantined: u64,
    /// The scores of all rows.
    pub scores: Scores,
    /// The countries, in order.
    pub countries: Vec<CountryScores>,
    /// The scores that should be reached.
    pub thresholds: Vec<Threshold>,
    /// The columns, in the order of the table.
    pub columns: Vec<ColumnProfile>,
    /// The months, in order.
    pub months: Vec<MonthProfile>,
    /// The rules, in the order of [`crate::rules::RULES`], then `duplicate_key`.
    pub rules: Vec<RuleCount>,
    /// What ingest refused, as given.
    pub quarantine: Vec<QuarantineCount>,
}

/// The scores of one country.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CountryScores {
    /// Reporting country.
    pub country: String,
    /// Rows in the table.
    pub rows: u64,
    /// Rows refused by ingest.
    pub quarantined: u64,
    /// The scores.
    pub scores: Scores,
}

/// Shares in 0..=1; 1 is perfect, and a share of nothing is 1: a table without rows is not reported.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Cells that hold a value, of the cells of the columns that count ([`ColumnUse::Counted`]).
    pub completeness: f64,
    /// Rows that break no validity rule, of all rows and the quarantined ones.
    pub validity: f64,
    /// Rows that do not repeat the key of another, of all rows.
    pub uniqueness: f64,
    /// Rows that break no consistency rule, of all rows.
    pub consistency: f64,
    /// Rows that arrived in time; `None`, because the table has no second time to compare with.
    pub timeliness: Option<f64>,
}

impl Scores {
    /// The name of each dimension, its score, and what is counted; the texts are in the list of words.
    pub fn named(&self) -> [(&'static str, Option<f64>, &'static str); 5] {
        [
            (
                "completeness",
                Some(self.completeness),
                "cells that hold a value, of the columns that are mapped and not optional",
            ),
            (
                "validity",
                Some(self.validity),
                "rows that break no validity rule, of all rows with those refused at ingest",
            ),
            ("uniqueness", Some(self.uniqueness), "rows that do not repeat another's key, of all rows"),
            ("consistency", Some(self.consistency), "rows that break no consistency rule, of all rows"),
            (
                "timeliness",
                self.timeliness,
                "not measurable from this table: it holds the day of acceptance and no other time, such as arrival, to compare it with",
            ),
        ]
    }

    /// The score of a dimension by its name.
    pub fn of(&self, dimension: &str) -> Option<f64> {
        self.named().into_iter().find(|(name, ..)| *name == dimension).and_then(|(_, score, _)| score)
    }
}

impl QualityReport {
    /// The thresholds that some scores do not reach, with the scores.
    pub fn missed(&self, scores: &Scores) -> Vec<(&Threshold, f64)> {
        self.thresholds
            .iter()
            .filter_map(|threshold| Some((threshold, scores.of(&threshold.dimension)?)))
            .filter(|(threshold, score)| *score < threshold.least)
            .collect()
    }
}

/// How a column counts for completeness.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnUse {
    /// An empty cell is a gap.
    #[default]
    Counted,
    /// It may rightly be empty, such as a preference that is not claimed.
    Optional,
    /// No row has a value: the mapping gives it none.
    Unmapped,
}

/// The profile of one column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnProfile {
    /// Its name.
    pub name: String,
    /// Meaning and unit.
    pub meaning: String,
    /// How it counts; one that a country does not map is left out of that country's score.
    pub counts_as: ColumnUse,
    /// Share of rows with a value.
    pub completeness: f64,
    /// Different values, approximately.
    pub distinct: u64,
    /// Least value as text; `None` without values.
    pub min: Option<String>,
    /// Greatest value as text.
    pub max: Option<String>,
    /// Mean and quartiles; of columns of numbers only.
    pub numbers: Option<NumberSummary>,
}

/// The summary of a column of numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NumberSummary {
    /// Least.
    pub min: f64,
    /// First quartile, approximately.
    pub p25: f64,
    /// Median, approximately.
    pub median: f64,
    /// Third quartile, approximately.
    pub p75: f64,
    /// Greatest.
    pub max: f64,
    /// Arithmetic mean.
    pub mean: f64,
}

/// The profile of one month of one country.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MonthProfile {
    /// Reporting country.
    pub country: String,
    /// Year.
    pub year: i32,
    /// Month, 1 to 12.
    pub month: i32,
    /// Rows.
    pub rows: u64,
    /// Cells that hold a value, of the cells of the country's columns that count.
    pub completeness: f64,
    /// Archived rows that break no validity rule; what ingest refused has no month.
    pub validity: f64,
    /// Rows that break no consistency rule.
    pub consistency: f64,
}

/// How often a rule is broken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleCount {
    /// Name of the rule.
    pub rule: String,
    /// What it requires.
    pub meaning: String,
    /// The dimension whose score it counts for.
    pub dimension: Dimension,
    /// Rows on which it can be checked.
    pub checked: u64,
    /// Rows that break it.
    pub broken: u64,
    /// The first few keys that break it: `country declaration/item`, sorted.
    pub examples: Vec<String>,
}

impl RuleCount {
    /// Share of the checked rows that break the rule, 0..=1.
    pub fn share(&self) -> f64 {
        if self.checked == 0 { 0.0 } else { self.broken as f64 / self.checked as f64 }
    }
}
