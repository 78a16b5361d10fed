//! The last sections of the page: the variants, the anomalies with their rules, and the method.

use maud::{Markup, html};
use tidewaiter_report::table::{Cell, Kind};

use super::writer::{SHOWN, Writer};

/// What an anomaly is and how it is treated, as English texts of the list, by its name in the document.
fn explanation(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "unknown_event_names" => {
            ("Events whose name the mapping gives no role", "kept in the process, in no stage")
        }
        "missing_events" => {
            ("Stages whose end is missing although the case went on", "counted, not measured")
        }
        "negative_times" => ("Times that end before they begin", "counted, not measured"),
        "unfinished_stages" => {
            ("Stages that were not over at the cut-off", "open: counted until the cut-off")
        }
        "unfinished_work" => ("Events that were started and never completed", "end when they begin"),
        "duplicate_events" => {
            ("Events that repeat another of their case at the same time", "kept and counted")
        }
        "out_of_order_in_the_file" => {
            ("Events that stand in the file after a later one", "put in the order of time")
        }
        "cases_with_mixed_offsets" => {
            ("Cases whose clocks differ: daylight saving, or several zones", "compared in UTC")
        }
        "cases_with_repeated_events" => {
            ("Cases in which an event comes more than once", "of a milestone the first counts")
        }
        _ => return None,
    })
}

impl Writer<'_> {
    /// The most frequent variants.
    pub(super) fn variants(&self) -> Markup {
        let columns = [
            ("Sequence of events", Kind::Text),
            ("Cases", Kind::Count),
            ("Share", Kind::Percent),
            ("Mean, h", Kind::Hours),
            ("Median, h", Kind::Hours),
        ];
        let caption =
            self.fill("The most frequent of {n} variants", &[("n", &self.words.count(self.study.variants))]);
        let mut table = self.table(&caption, &columns);
        for variant in self.study.frequent_variants.iter().take(SHOWN) {
            table.row(vec![
                Cell::Text(variant.events.join(" → ")),
                variant.cases.into(),
                (variant.cases as f64 / self.study.cases.max(1) as f64).into(),
                variant.mean.into(),
                variant.median.into(),
            ]);
        }
        table.render()
    }

    /// The anomalies.
    pub(super) fn anomalies(&self) -> Markup {
        let columns = [("Anomaly", Kind::Text), ("Count", Kind::Count), ("Treatment", Kind::Text)];
        let caption =
            "Nothing is dropped silently; records that ingest refused are in the archive's quarantine";
        let mut table = self.table(caption, &columns);
        for anomaly in &self.study.anomalies {
            let (what, rule) = explanation(&anomaly.name).unwrap_or((anomaly.name.as_str(), ""));
            table.row(vec![self.say(what).into(), anomaly.count.into(), self.say(rule).into()]);
        }
        table.render()
    }

    /// The method.
    pub(super) fn method(&self) -> Markup {
        html! {
            p { (self.say("A case belongs to the period in which its first event lies, by that event's local clock; all of its events up to the cut-off count. Its events are in the order of time, then of the file. A stage goes from the first time of a milestone to the first time of another, as the stage file says. Goods that are released before they arrive take no time.")) }
            p { (self.say("Open cases count: medians and 90th percentiles are those of Kaplan and Meier where cases are open, with the intervals of Brookmeyer and Crowley; without open cases they are exact, with the intervals of order statistics by the binomial law. Means are of the cases that ended. A target is judged on the cases that were followed for as long as the target, ended or open: one that is past its target has missed it.")) }
            p { (self.say("The stages follow customs practice, are the administration's to edit, and do not claim to reproduce the WCO's guide. A target is the administration's: without one in the stage file there is none.")) }
            (self.sampling())
        }
    }

    /// How many cases a study by hand would need, by the deviation that this study found.
    fn sampling(&self) -> Markup {
        let Some(headline) = self.study.headline().filter(|result| result.elapsed.count > 1) else {
            return html! {};
        };
        let (cases, times) = (self.study.cases as f64, &headline.elapsed);
        let finite = |sample: f64| (sample / (1.0 + (sample - 1.0) / cases)).ceil().min(cases);
        let columns = [("To estimate", Kind::Text), ("Within", Kind::Text), ("Cases to sample", Kind::Count)];
        let caption =
            "A sample for a study by hand in a period like this one, drawn at random, with 95 % confidence";
        let mut table = self.table(caption, &columns);
        for share in [0.05, 0.1, 0.2] {
            let sample = finite((1.96 * times.deviation / (share * times.mean)).powi(2));
            table.row(vec![
                self.say("the mean").into(),
                Cell::Text(format!("± {}", self.numbers().percent_short(share))),
                sample.into(),
            ]);
        }
        for points in [0.03, 0.05] {
            let sample = finite(0.25 * (1.96_f64 / points).powi(2));
            table.row(vec![
                self.say("the share within a target").into(),
                Cell::Text(format!("± {} {}", points * 100.0, self.say("points"))),
                sample.into(),
            ]);
        }
        table.render()
    }
}

#[cfg(test)]
mod tests {
    use tidewaiter_report::words::{Language, testing};

    use super::{super::writer::WORDS, *};
    use crate::{process::Sums, results::anomalies};

    #[test]
    fn every_anomaly_is_explained_in_every_language() {
        for anomaly in anomalies(&[], &Sums::default()) {
            let (what, rule) = explanation(&anomaly.name).expect("is explained");
            for text in [what, rule] {
                assert!(testing::translates(Language::Spanish, WORDS, text), "{text}");
            }
        }
    }
}
