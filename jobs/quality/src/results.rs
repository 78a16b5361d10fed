//! The document of a profile: the scores, the rules, the columns and the months of one table.

use serde::{Deserialize, Serialize};

use crate::rules::Dimension;

/// Rows that ingest refused by one rule on one column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineCount {
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
    /// The scores.
    pub scores: Scores,
    /// The columns, in the order of the table.
    pub columns: Vec<ColumnProfile>,
    /// The months, in order.
    pub months: Vec<MonthProfile>,
    /// The rules, in the order of [`crate::rules::RULES`], then `duplicate_key`.
    pub rules: Vec<RuleCount>,
    /// What ingest refused, as given.
    pub quarantine: Vec<QuarantineCount>,
}

/// Shares in 0..=1; 1 is perfect. A table without rows scores 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Cells that hold a value, of all cells.
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
    /// The name of each dimension, its score, and what is counted.
    pub fn named(&self) -> [(&'static str, Option<f64>, &'static str); 5] {
        [
            ("completeness", Some(self.completeness), "cells that hold a value, of all cells"),
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
                "not measurable from this table: it holds the day of acceptance and no other time, such as arrival, \
                 to compare it with",
            ),
        ]
    }
}

/// The profile of one column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnProfile {
    /// Its name.
    pub name: String,
    /// Meaning and unit.
    pub meaning: String,
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
    /// Cells that hold a value, of all cells.
    pub completeness: f64,
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
