//! The writer of the page: the language of its words and numbers, and the words for columns and values.

use tidewaiter_report::{
    format::NumberFormat,
    table::{Kind, Table},
    words::{Language, Words},
};

use crate::{process::Edge, results::Study, stage_file::Stage, stages::StageResult};

/// Rows shown of a table that may be long.
pub(super) const SHOWN: usize = 15;

/// A time in RFC 3339, as it is shown.
pub(super) fn time_of(time: &str) -> String {
    match (time.get(..10), time.get(11..16), time.get(19..)) {
        (Some(day), Some(minute), Some("" | "Z")) => format!("{day} {minute} UTC"),
        (Some(day), Some(minute), Some(offset)) => format!("{day} {minute} (UTC{offset})"),
        _ => time.to_owned(),
    }
}

/// The words of the page in its languages.
pub(super) const WORDS: &str = include_str!("words.tsv");

/// Writes a study in a language.
pub(super) struct Writer<'a> {
    pub(super) study: &'a Study,
    pub(super) words: Words,
}

impl Writer<'_> {
    /// The text in the language of the page.
    pub(super) fn say<'a>(&'a self, english: &'a str) -> &'a str {
        self.words.say(english)
    }

    /// The text in the language of the page with the values of its places.
    pub(super) fn fill(&self, english: &str, values: &[(&str, &str)]) -> String {
        self.words.fill(english, values)
    }

    /// How the language writes numbers.
    pub(super) fn numbers(&self) -> NumberFormat {
        self.words.numbers()
    }

    /// An empty table; caption and titles are English texts of the list.
    pub(super) fn table(&self, caption: &str, columns: &[(&str, Kind)]) -> Table {
        self.words.table(caption, columns)
    }

    /// A p-value.
    pub(super) fn p_value(&self, p: f64) -> String {
        match p {
            p if p < 0.001 => format!("< {}", self.numbers().ratio(0.001)),
            p => self.numbers().ratio(p),
        }
    }

    /// The name of a stage.
    pub(super) fn name(&self, result: &StageResult) -> String {
        self.stage_name(&result.stage)
    }

    /// The name of a stage in the language of the page, where the stage file has one.
    pub(super) fn stage_name(&self, stage: &Stage) -> String {
        let translated = match self.words.language() {
            Language::English => None,
            Language::French => stage.french.as_ref(),
            Language::Spanish => stage.spanish.as_ref(),
        };
        translated.unwrap_or(&stage.name).clone()
    }

    /// The name of the headline.
    pub(super) fn headline_name(&self) -> String {
        self.study.headline().map(|result| self.name(result)).unwrap_or_default()
    }

    /// Hours as they are shown: seconds and minutes below one, days from a hundred on.
    pub(super) fn hours(&self, hours: f64) -> String {
        match hours.abs() {
            size if size < 1.0 / 60.0 => format!("{}\u{a0}s", self.numbers().fixed(hours * 3600.0, 0)),
            size if size < 1.0 => format!("{}\u{a0}min", self.numbers().fixed(hours * 60.0, 0)),
            size if size < 100.0 => format!("{}\u{a0}h", self.numbers().fixed(hours, 1)),
            _ => format!("{}\u{a0}{}", self.numbers().fixed(hours / 24.0, 1), self.say("days")),
        }
    }

    /// The total time between events, seconds.
    pub(super) fn total_seconds(&self) -> f64 {
        self.study.edges.iter().map(|edge| edge.sum.max(0.0)).sum()
    }

    /// The edge with the longest total time, and its share of the time from the first to the last event of all cases.
    pub(super) fn worst_edge(&self) -> Option<(&Edge, f64)> {
        let total = self.total_seconds();
        self.study.edges.first().filter(|_| total > 0.0).map(|edge| (edge, edge.sum / total))
    }

    /// The step that holds most of the headline's time: its hours over all cases that ended, and its share. None where most
    /// of the time is in no step.
    pub(super) fn longest_step(&self) -> Option<(&Stage, f64, f64)> {
        let shares = &self.study.time_shares;
        let all: f64 = shares.iter().map(|share| share.hours).sum();
        let longest = shares.iter().max_by(|a, b| a.hours.total_cmp(&b.hours)).filter(|_| all > 0.0)?;
        Some((longest.stage.as_ref()?, longest.hours, longest.hours / all))
    }

    /// The word for a column by which cases are grouped.
    pub(super) fn attribute(&self, column: &str) -> String {
        let word = match column {
            "office" => self.say("office"),
            "agency" => self.say("first agency"),
            "actor" => self.say("first actor"),
            "mode" => self.say("mode of transport"),
            "channel" => self.say("channel"),
            "aeo" => self.say("authorised economic operator"),
            "direction" => self.say("direction"),
            "goods" => self.say("goods"),
            "container" => self.say("container"),
            "permit" => self.say("other agencies' intervention"),
            "inspected" => self.say("inspection"),
            "pre_arrival" => self.say("lodged before arrival"),
            "weekday" => self.say("weekday of beginning"),
            "time_of_day" => self.say("hour of beginning"),
            other => other,
        };
        word.to_owned()
    }

    /// The word for a value of such a column.
    pub(super) fn value(&self, column: &str, value: &str) -> String {
        let day = value.parse::<usize>().ok().filter(|_| column == "weekday");
        match (value, day.and_then(|day| self.weekdays().get(day.wrapping_sub(1)).copied())) {
            (_, Some(day)) => day.to_owned(),
            ("", _) => self.say("not stated").to_owned(),
            ("yes" | "true", _) => self.say("yes").to_owned(),
            ("no" | "false", _) => self.say("no").to_owned(),
            _ => value.to_owned(),
        }
    }

    /// The days of the week, from Monday.
    pub(super) fn weekdays(&self) -> [&str; 7] {
        [
            self.say("Monday"),
            self.say("Tuesday"),
            self.say("Wednesday"),
            self.say("Thursday"),
            self.say("Friday"),
            self.say("Saturday"),
            self.say("Sunday"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_with_their_clock() {
        assert_eq!(time_of("2024-03-02T01:30:00+03:00"), "2024-03-02 01:30 (UTC+03:00)");
        assert_eq!(time_of("2024-03-01T22:30:00Z"), "2024-03-01 22:30 UTC");
    }
}
