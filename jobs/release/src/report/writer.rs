//! The writer of the page: the language of its words and numbers, and the words for columns and values.

use tidewaiter_report::{
    format::{ENGLISH, FRENCH, Numbers},
    table::{Kind, Table},
};

use crate::{language::Language, process::Edge, results::Study, stages::StageResult};

/// Rows shown of a table that may be long.
pub(super) const SHOWN: usize = 15;

/// A time in RFC 3339, as it is shown.
pub(super) fn time_of(time: &str) -> String {
    match (time.get(..10), time.get(11..16)) {
        (Some(day), Some(minute)) => format!("{day} {minute} UTC"),
        _ => time.to_owned(),
    }
}

/// A period, `2024-01..2024-03`, as it is shown.
pub(super) fn period_of(period: &str) -> String {
    match period.split_once("..") {
        Some((from, to)) if from != to => format!("{from} – {to}"),
        Some((only, _)) => only.to_owned(),
        None => period.to_owned(),
    }
}

/// Writes a study in a language.
pub(super) struct Writer<'a> {
    pub(super) study: &'a Study,
    pub(super) language: Language,
}

impl Writer<'_> {
    /// The text in the language of the page.
    pub(super) fn say(&self, english: &'static str, french: &'static str) -> &'static str {
        match self.language {
            Language::English => english,
            Language::French => french,
        }
    }

    /// How the language writes numbers.
    pub(super) fn numbers(&self) -> Numbers {
        match self.language {
            Language::English => ENGLISH,
            Language::French => FRENCH,
        }
    }

    /// An empty table.
    pub(super) fn table(&self, caption: impl Into<String>, columns: &[(&str, Kind)]) -> Table {
        Table::new(caption, columns).with_numbers(self.numbers())
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
        let french = result.stage.french.clone().filter(|_| self.language == Language::French);
        french.unwrap_or_else(|| result.stage.name.clone())
    }

    /// Hours as they are shown: seconds and minutes below one, days from a hundred on.
    pub(super) fn hours(&self, hours: f64) -> String {
        match hours.abs() {
            size if size < 1.0 / 60.0 => format!("{}\u{a0}s", self.numbers().fixed(hours * 3600.0, 0)),
            size if size < 1.0 => format!("{}\u{a0}min", self.numbers().fixed(hours * 60.0, 0)),
            size if size < 100.0 => format!("{}\u{a0}h", self.numbers().fixed(hours, 1)),
            _ => format!("{}\u{a0}{}", self.numbers().fixed(hours / 24.0, 1), self.say("days", "jours")),
        }
    }

    /// The total time between events, seconds.
    pub(super) fn total_seconds(&self) -> f64 {
        self.study.edges.iter().map(|edge| edge.sum.max(0.0)).sum()
    }

    /// The edge with the longest total time, and its share of all time.
    pub(super) fn worst_edge(&self) -> Option<(&Edge, f64)> {
        let total = self.total_seconds();
        self.study.edges.first().filter(|_| total > 0.0).map(|edge| (edge, edge.sum / total))
    }

    /// The word for a column by which cases are grouped.
    pub(super) fn attribute(&self, column: &str) -> String {
        let word = match column {
            "office" => self.say("office", "bureau"),
            "agency" => self.say("agency that acts first", "premier organisme"),
            "actor" => self.say("who acts first", "premier intervenant"),
            "mode" => self.say("mode of transport", "mode de transport"),
            "channel" => self.say("channel", "circuit"),
            "aeo" => self.say("authorised economic operator", "opérateur économique agréé"),
            "direction" => self.say("direction", "sens"),
            "goods" => self.say("goods", "marchandises"),
            "container" => self.say("container", "conteneur"),
            "permit" => self.say("other agencies' intervention", "intervention d'autres organismes"),
            "inspected" => self.say("inspection", "visite"),
            "pre_arrival" => self.say("lodged before arrival", "déposé avant l'arrivée"),
            "weekday" => self.say("weekday of beginning", "jour du début"),
            "time_of_day" => self.say("hour of beginning", "heure du début"),
            other => return other.to_owned(),
        };
        word.to_owned()
    }

    /// The word for a value of such a column.
    pub(super) fn value(&self, column: &str, value: &str) -> String {
        let day = value.parse::<usize>().ok().filter(|_| column == "weekday");
        match (value, day.and_then(|day| self.weekdays().get(day.wrapping_sub(1)).copied())) {
            (_, Some(day)) => day.to_owned(),
            ("", _) => self.say("not told", "non renseigné").to_owned(),
            ("yes" | "true", _) => self.say("yes", "oui").to_owned(),
            ("no" | "false", _) => self.say("no", "non").to_owned(),
            _ => value.to_owned(),
        }
    }

    /// The days of the week, from Monday.
    pub(super) fn weekdays(&self) -> [&'static str; 7] {
        match self.language {
            Language::English => {
                ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
            }
            Language::French => ["lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"],
        }
    }
}
