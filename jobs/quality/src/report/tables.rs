//! The tables and curves of the report as Arrow batches, which are written beside the page.
//!
//! Shares are in 0..=1. All columns are flat, so that every table fits a CSV file.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use tidewaiter_core::Result;
use tidewaiter_report::data::{batch, count_column, number_column, text_column};

use crate::results::{ColumnProfile, ColumnUse, NumberSummary, QualityReport, Scores};

impl QualityReport {
    /// Every table of the report with its name: `scores`, `countries`, `rules`, `columns`, `months` (also the points of
    /// the charts), `quarantine`. A table without rows is included, too.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`], which would be a bug of this function.
    pub fn tables(&self) -> Result<Vec<(&'static str, RecordBatch)>> {
        Ok(vec![
            ("scores", self.scores_batch()?),
            ("countries", self.countries_batch()?),
            ("rules", self.rules_batch()?),
            ("columns", self.columns_batch()?),
            ("months", self.months_batch()?),
            ("quarantine", self.quarantine_batch()?),
        ])
    }

    fn scores_batch(&self) -> Result<RecordBatch> {
        let scores = self.scores.named();
        batch(vec![
            ("dimension", text_column(scores.iter().map(|score| score.0))),
            ("score", Arc::new(scores.iter().map(|score| score.1).collect::<Float64Array>())),
            ("threshold", {
                let least = |name: &str| {
                    self.thresholds.iter().find(|one| one.dimension == name).map(|one| one.least)
                };
                Arc::new(scores.iter().map(|score| least(score.0)).collect::<Float64Array>())
            }),
            ("counted", text_column(scores.iter().map(|score| score.2))),
        ])
    }

    fn countries_batch(&self) -> Result<RecordBatch> {
        let rows = &self.countries;
        let of = |score: fn(&Scores) -> f64| number_column(rows.iter().map(|row| score(&row.scores)));
        batch(vec![
            ("country", text_column(rows.iter().map(|row| row.country.as_str()))),
            ("rows", count_column(rows.iter().map(|row| row.rows))),
            ("refused", count_column(rows.iter().map(|row| row.quarantined))),
            ("completeness", of(|scores| scores.completeness)),
            ("validity", of(|scores| scores.validity)),
            ("uniqueness", of(|scores| scores.uniqueness)),
            ("consistency", of(|scores| scores.consistency)),
        ])
    }

    fn rules_batch(&self) -> Result<RecordBatch> {
        let rules = &self.rules;
        let examples: Vec<String> = rules.iter().map(|rule| rule.examples.join("; ")).collect();
        batch(vec![
            ("rule", text_column(rules.iter().map(|rule| rule.rule.as_str()))),
            ("meaning", text_column(rules.iter().map(|rule| rule.meaning.as_str()))),
            ("dimension", text_column(rules.iter().map(|rule| rule.dimension.name()))),
            ("checked", count_column(rules.iter().map(|rule| rule.checked))),
            ("broken", count_column(rules.iter().map(|rule| rule.broken))),
            ("share", {
                // Without checked rows there is no share.
                let share = rules.iter().map(|rule| (rule.checked > 0).then(|| rule.share()));
                Arc::new(share.collect::<Float64Array>())
            }),
            ("examples", text_column(examples.iter().map(String::as_str))),
        ])
    }

    fn columns_batch(&self) -> Result<RecordBatch> {
        let columns = &self.columns;
        let bound = |of: fn(&ColumnProfile) -> &Option<String>| -> ArrayRef {
            Arc::new(columns.iter().map(|column| of(column).as_deref()).collect::<StringArray>())
        };
        let number = |of: fn(&NumberSummary) -> f64| -> ArrayRef {
            Arc::new(columns.iter().map(|column| column.numbers.as_ref().map(of)).collect::<Float64Array>())
        };
        batch(vec![
            ("column", text_column(columns.iter().map(|column| column.name.as_str()))),
            ("meaning", text_column(columns.iter().map(|column| column.meaning.as_str()))),
            (
                "counts_as",
                text_column(columns.iter().map(|column| match column.counts_as {
                    ColumnUse::Counted => "counted",
                    ColumnUse::Optional => "optional",
                    ColumnUse::Unmapped => "unmapped",
                })),
            ),
            ("completeness", number_column(columns.iter().map(|column| column.completeness))),
            ("distinct", count_column(columns.iter().map(|column| column.distinct))),
            ("minimum", bound(|column| &column.min)),
            ("maximum", bound(|column| &column.max)),
            ("mean", number(|numbers| numbers.mean)),
            ("quartile_1", number(|numbers| numbers.p25)),
            ("median", number(|numbers| numbers.median)),
            ("quartile_3", number(|numbers| numbers.p75)),
        ])
    }

    fn months_batch(&self) -> Result<RecordBatch> {
        let months = &self.months;
        let whole = |values: Vec<i32>| Arc::new(Int32Array::from(values)) as ArrayRef;
        batch(vec![
            ("country", text_column(months.iter().map(|month| month.country.as_str()))),
            ("year", whole(months.iter().map(|month| month.year).collect())),
            ("month", whole(months.iter().map(|month| month.month).collect())),
            ("rows", count_column(months.iter().map(|month| month.rows))),
            ("completeness", number_column(months.iter().map(|month| month.completeness))),
            ("validity", number_column(months.iter().map(|month| month.validity))),
            ("consistency", number_column(months.iter().map(|month| month.consistency))),
        ])
    }

    fn quarantine_batch(&self) -> Result<RecordBatch> {
        let refused = &self.quarantine;
        batch(vec![
            ("country", text_column(refused.iter().map(|count| count.country.as_str()))),
            ("rule", text_column(refused.iter().map(|count| count.rule.as_str()))),
            ("column", text_column(refused.iter().map(|count| count.column.as_str()))),
            ("rows", count_column(refused.iter().map(|count| count.rows))),
        ])
    }
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;

    use super::*;
    use crate::{
        results::{MonthProfile, QuarantineCount, RuleCount, Scores},
        rules::Dimension,
    };

    #[test]
    fn the_tables_hold_what_the_page_shows() {
        let rule = |rule: &str, checked, broken, examples: &[&str]| RuleCount {
            rule: rule.to_owned(),
            meaning: "m".to_owned(),
            dimension: Dimension::Validity,
            checked,
            broken,
            examples: examples.iter().map(|key| (*key).to_owned()).collect(),
        };
        let column = |name: &str, numbers| ColumnProfile {
            name: name.to_owned(),
            completeness: 0.5,
            distinct: 2,
            min: Some("1".to_owned()),
            numbers,
            ..ColumnProfile::default()
        };
        let report = QualityReport {
            scores: Scores {
                completeness: 0.9,
                validity: 0.8,
                uniqueness: 1.0,
                consistency: 0.7,
                timeliness: None,
            },
            rules: vec![rule("a", 4, 1, &["KR A/1", "KR B/1"]), rule("b", 0, 0, &[])],
            columns: vec![
                column("x", None),
                column("y", Some(NumberSummary { mean: 3.0, median: 2.5, ..NumberSummary::default() })),
            ],
            months: vec![MonthProfile {
                country: "KR".to_owned(),
                year: 2021,
                month: 4,
                rows: 3,
                completeness: 0.25,
                validity: 1.0,
                consistency: 0.5,
            }],
            quarantine: vec![QuarantineCount {
                country: "KR".to_owned(),
                rule: "country".to_owned(),
                column: "origin".to_owned(),
                rows: 5,
            }],
            ..QualityReport::default()
        };
        let tables = report.tables().expect("tables");
        let names: Vec<&str> = tables.iter().map(|table| table.0).collect();
        assert_eq!(names, ["scores", "countries", "rules", "columns", "months", "quarantine"]);
        let printed: Vec<String> = tables[2..]
            .iter()
            .map(|(_, batch)| pretty_format_batches(std::slice::from_ref(batch)).expect("text").to_string())
            .collect();
        insta::assert_snapshot!(
            printed.join("\n"),
            @r"
        +------+---------+-----------+---------+--------+-------+----------------+
        | rule | meaning | dimension | checked | broken | share | examples       |
        +------+---------+-----------+---------+--------+-------+----------------+
        | a    | m       | validity  | 4       | 1      | 0.25  | KR A/1; KR B/1 |
        | b    | m       | validity  | 0       | 0      |       |                |
        +------+---------+-----------+---------+--------+-------+----------------+
        +--------+---------+-----------+--------------+----------+---------+---------+------+------------+--------+------------+
        | column | meaning | counts_as | completeness | distinct | minimum | maximum | mean | quartile_1 | median | quartile_3 |
        +--------+---------+-----------+--------------+----------+---------+---------+------+------------+--------+------------+
        | x      |         | counted   | 0.5          | 2        | 1       |         |      |            |        |            |
        | y      |         | counted   | 0.5          | 2        | 1       |         | 3.0  | 0.0        | 2.5    | 0.0        |
        +--------+---------+-----------+--------------+----------+---------+---------+------+------------+--------+------------+
        +---------+------+-------+------+--------------+----------+-------------+
        | country | year | month | rows | completeness | validity | consistency |
        +---------+------+-------+------+--------------+----------+-------------+
        | KR      | 2021 | 4     | 3    | 0.25         | 1.0      | 0.5         |
        +---------+------+-------+------+--------------+----------+-------------+
        +---------+---------+--------+------+
        | country | rule    | column | rows |
        +---------+---------+--------+------+
        | KR      | country | origin | 5    |
        +---------+---------+--------+------+
        "
        );
        let scores = &tables[0].1;
        assert_eq!((scores.num_rows(), scores.column(1).null_count()), (5, 1));
    }

    #[test]
    fn tables_without_rows_keep_their_columns() {
        for (name, batch) in QualityReport::default().tables().expect("tables") {
            assert!(batch.num_columns() >= 3, "{name}");
            assert_eq!(batch.num_rows(), if name == "scores" { 5 } else { 0 }, "{name}");
        }
    }
}
