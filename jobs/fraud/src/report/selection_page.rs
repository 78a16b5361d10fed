//! The page of an apply's report: what to inspect in the scored months, and what to expect.
//!
//! [`super::selection_report`] fills a [`SelectionPage`]; this module only shows it. All shares and probabilities are
//! 0 to 1.

use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use tidewaiter_report::{
    format,
    page::{Footer, Page, Section},
    table::{Kind, Table},
};

use super::{
    item_table::{self, SelectedItem},
    metric_table::{self, Metric},
};

/// Everything that the report of scored months shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SelectionPage {
    /// Title of the page.
    pub title: String,
    /// The model that scored, `name@version`.
    pub model: String,
    /// The reporting country.
    pub country: String,
    /// The months scored, such as `2021-04 to 2021-06`.
    pub months: String,
    /// Share of items that customs can inspect.
    pub capacity: f64,
    /// Goods items scored.
    pub rows: u64,
    /// Items selected.
    pub selected: u64,
    /// The lowest probability among the selected.
    pub threshold: Option<f64>,
    /// Illicit items expected among the selected: the sum of their probabilities.
    pub expected_hits: f64,
    /// Scored items whose outcome is known.
    pub known: u64,
    /// The scored months, in order.
    pub by_month: Vec<SelectedMonth>,
    /// Metrics over the items whose outcome is known.
    pub metrics: Vec<Metric>,
    /// The items that rank first, in order.
    pub selection: Vec<SelectedItem>,
    /// Currency of the amounts, ISO 4217; empty: not named.
    pub currency: String,
    /// Version of the program that made the report.
    pub version: String,
    /// Snapshot of the archive that was read.
    pub snapshot: Option<String>,
}

/// One scored month.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SelectedMonth {
    /// Year and month, `2021-04`.
    pub month: String,
    /// Goods items scored.
    pub rows: u64,
    /// Those selected.
    pub selected: u64,
    /// Illicit items expected among the selected.
    pub expected_hits: f64,
    /// Selected items whose outcome is known.
    pub known: u64,
    /// Selected items found illicit.
    pub illicit: u64,
}

impl SelectionPage {
    /// The report's HTML file.
    pub fn html(&self) -> String {
        let mut facts = vec![("Model".to_owned(), self.model.clone())];
        let named =
            [("Country", &self.country), ("Months scored", &self.months), ("Currency", &self.currency)];
        facts.extend(
            named
                .into_iter()
                .filter(|fact| !fact.1.is_empty())
                .map(|(name, text)| (name.to_owned(), text.clone())),
        );
        facts.extend([
            ("Items scored".to_owned(), format::count(self.rows as f64)),
            ("Items that can be inspected".to_owned(), format::percent_short(self.capacity)),
            ("Items selected".to_owned(), format::count(self.selected as f64)),
            (
                "Selected from a probability of".to_owned(),
                format::percent(self.threshold.unwrap_or(f64::NAN)),
            ),
            ("Illicit items expected among them".to_owned(), format::count(self.expected_hits)),
            ("Outcomes known so far".to_owned(), format::count(self.known as f64)),
        ]);
        let mut sections = Vec::new();
        let mut section = |anchor, title: &str, body| {
            sections.push(Section { anchor, title: title.to_owned(), body });
        };
        if !self.by_month.is_empty() {
            section("months", "Month by month", self.months_table());
        }
        if !self.metrics.is_empty() {
            let body = html! {
                p {
                    "Judged on the " (format::count(self.known as f64)) " items whose outcome is known. Where only \
                     some items were inspected, these figures speak of those alone."
                }
                (metric_table::table("Measured on the scored months", &self.metrics, false))
            };
            section("metrics", "How good the selection was", body);
        }
        if !self.selection.is_empty() {
            section(
                "selection",
                "Items to inspect first",
                item_table::table(&self.selection, &self.currency),
            );
        }
        Page {
            title: self.title.clone(),
            subtitle: "Goods items selected for inspection".to_owned(),
            lead: self.headline(),
            facts,
            sections,
            footer: Footer { version: self.version.clone(), seed: None, snapshot: self.snapshot.clone() },
            ..Page::default()
        }
        .render()
    }

    /// What to inspect and what to expect, in two sentences or three.
    pub fn headline(&self) -> String {
        let Some(threshold) = self.threshold else {
            return "These months hold no items to inspect.".to_owned();
        };
        let items = |count: u64, of: &str| {
            format!("{} {of}{}", format::count(count as f64), if count == 1 { "" } else { "s" })
        };
        let mut text = format!(
            "Inspect the riskiest {} of {}: those with a probability of fraud of {} or more. About {} of them \
             should prove illicit.",
            format::count(self.selected as f64),
            items(self.rows, "item"),
            format::percent(threshold),
            format::count(self.expected_hits),
        );
        let (known, illicit) = self
            .by_month
            .iter()
            .fold((0, 0), |(known, illicit), month| (known + month.known, illicit + month.illicit));
        if known > 0 {
            text.push_str(&format!(
                " The outcome of {} of them is known so far: {} illicit.",
                format::count(known as f64),
                format::count(illicit as f64),
            ));
        }
        text
    }

    fn months_table(&self) -> Markup {
        let knows = self.by_month.iter().any(|month| month.known > 0);
        let mut columns = vec![
            ("Month", Kind::Text),
            ("Items scored", Kind::Count),
            ("Selected", Kind::Count),
            ("Selected share", Kind::Percent),
            ("Expected illicit", Kind::Count),
            ("Expected share", Kind::Percent),
        ];
        if knows {
            columns.extend([
                ("Outcome known", Kind::Count),
                ("Illicit", Kind::Count),
                ("Illicit share", Kind::Percent),
            ]);
        }
        let caption = match knows {
            true => "Selected items; the last three columns count those among them whose outcome is known",
            false => "Selected items; expected: the sum of their probabilities",
        };
        let share = |part: f64, whole: u64| (whole > 0).then(|| part / whole as f64);
        let mut table = Table::new(caption, &columns);
        for month in &self.by_month {
            table.row(vec![
                month.month.as_str().into(),
                month.rows.into(),
                month.selected.into(),
                share(month.selected as f64, month.rows).into(),
                month.expected_hits.into(),
                share(month.expected_hits, month.selected).into(),
                month.known.into(),
                month.illicit.into(),
                share(month.illicit as f64, month.known).into(),
            ]);
        }
        table.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> SelectionPage {
        let month = |month: &str, known, illicit| SelectedMonth {
            month: month.to_owned(),
            rows: 10_000,
            selected: 500,
            expected_hits: 240.4,
            known,
            illicit,
        };
        SelectionPage {
            title: "Selection for inspection".to_owned(),
            model: "fraud@3".to_owned(),
            country: "KR".to_owned(),
            months: "2021-04 to 2021-05".to_owned(),
            capacity: 0.05,
            rows: 20_000,
            selected: 1_000,
            threshold: Some(0.3124),
            expected_hits: 480.8,
            by_month: vec![month("2021-04", 0, 0), month("2021-05", 0, 0)],
            selection: vec![SelectedItem {
                rank: 1,
                declaration: "<script>".to_owned(),
                item: 1,
                date: "2021-04-01".to_owned(),
                hs_code: "851713".to_owned(),
                probability: 0.97,
                reasons: vec![("first item of the importer".to_owned(), 1.25), ("x".to_owned(), -0.5)],
                ..SelectedItem::default()
            }],
            version: "0.1.0".to_owned(),
            ..SelectionPage::default()
        }
    }

    #[test]
    fn the_headline_names_what_to_inspect() {
        let mut report = example();
        let said = |report: &SelectionPage| report.headline().replace('\u{a0}', " ");
        insta::assert_snapshot!(said(&report), @"Inspect the riskiest 1,000 of 20,000 items: those with a probability of fraud of 31.2 % or more. About 481 of them should prove illicit.");
        report.by_month[0] = SelectedMonth { known: 12, illicit: 9, ..report.by_month[0].clone() };
        insta::assert_snapshot!(said(&report), @"Inspect the riskiest 1,000 of 20,000 items: those with a probability of fraud of 31.2 % or more. About 481 of them should prove illicit. The outcome of 12 of them is known so far: 9 illicit.");
        insta::assert_snapshot!(said(&SelectionPage::default()), @"These months hold no items to inspect.");
    }

    #[test]
    fn only_what_is_known_has_a_column() {
        let mut report = example();
        let html = report.html();
        for absent in ["Customs value", "Proved illicit", "Outcome known<", "How good", "<script", "http:"] {
            assert!(!html.contains(absent), "{absent}");
        }
        assert!(html.contains("▲ first item of the importer (+1.25)") && html.contains("▼ x (−0.50)"));
        report.selection[0].value = Some(1_234_567.0);
        report.selection[0].illicit = Some(true);
        report.currency = "KRW".to_owned();
        report.by_month[0].known = 3;
        let html = report.html();
        for present in ["Customs value, KRW", "1,234,567", "Proved illicit", "Outcome known<"] {
            assert!(html.contains(present), "{present}");
        }
        let json = serde_json::to_string(&report).expect("serialises");
        let parsed: SelectionPage = serde_json::from_str(&json).expect("parses");
        assert_eq!(parsed, report);
    }
}
