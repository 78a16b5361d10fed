//! Data quality of the table of declarations: a profile, named rules and scores.
//!
//! Dimensions follow DAMA-UK, "The six primary dimensions for data quality assessment" (2013), which the
//! WCO's data quality guideline takes up: completeness, validity, uniqueness and consistency, each a share
//! in 0..=1. The fifth that reports name, timeliness, compares two times of one event (arrival and acceptance,
//! acceptance and archiving); a table of declarations holds the day of acceptance alone, so that it is not
//! measurable there and stands as such. Everything is counted by DataFusion aggregates in a few passes over the columns. Counts are
//! exact; `distinct` (HyperLogLog) and the quantiles (t-digest) are approximate, and quantiles may differ in
//! their last digits with the number of partitions. Start at [`profile`]; the rules stand in [`rules`].

mod html;
mod profile;
pub mod rules;
mod tables;

use serde::{Deserialize, Serialize};

pub use profile::profile;

/// Rows that ingest refused, by what refused them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineCount {
    /// Name of the rule.
    pub rule: String,
    /// Column that failed.
    pub column: String,
    /// Rows, each counted once, by its first failure.
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
    /// The columns, in the table's order.
    pub columns: Vec<ColumnProfile>,
    /// The months, in order.
    pub months: Vec<MonthProfile>,
    /// The rules, in the order of [`rules::RULES`], then `duplicate_key`.
    pub rules: Vec<RuleCount>,
    /// What ingest refused, as given.
    pub quarantine: Vec<QuarantineCount>,
}

/// Shares in 0..=1; 1 is perfect. A table without rows scores 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Cells that hold a value, of all cells.
    pub completeness: f64,
    /// Rows that break no validity rule, of all rows with those quarantined.
    pub validity: f64,
    /// Rows that do not repeat the key of another, of all rows.
    pub uniqueness: f64,
    /// Rows that break no consistency rule, of all rows.
    pub consistency: f64,
    /// Rows that were there in time; `None`, as the table has no second time to compare with.
    pub timeliness: Option<f64>,
}

impl Scores {
    /// Each dimension's name, score and what is counted.
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

/// One column.
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
    /// Mean, quartiles; of numbers only.
    pub numbers: Option<Numbers>,
}

/// The spread of a column of numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
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

/// One month of one country.
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
    /// What it asks for.
    pub meaning: String,
    /// The score it counts for.
    pub dimension: rules::Dimension,
    /// Rows that it can be checked on.
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
