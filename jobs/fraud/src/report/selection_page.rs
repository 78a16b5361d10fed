//! The page of an apply's report: what to inspect in the scored months, and what to expect.
//!
//! [`super::selection_report`] fills a [`SelectionPage`]; this module only shows it. All shares and probabilities are
//! 0 to 1.

use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use tidewaiter_report::{
    page::{Footer, Page, Section},
    table::{Cell, Kind},
    words::{Language, Words},
};

use super::{
    estimate,
    item_table::{self, SelectedItem},
    metric_table::{self, Metric},
    words,
};
use crate::{
    population::{Basis, Estimated},
    scored::RankBy,
};

/// Everything that the report of scored months shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SelectionPage {
    /// The language of the page.
    pub language: Language,
    /// Title of the page.
    pub title: String,
    /// The model that scored, `name@version`.
    pub model: String,
    /// The reporting country.
    pub country: String,
    /// The months scored, such as `2021-04 – 2021-06`.
    pub months: String,
    /// The months that the model was trained on and tuned by.
    pub trained: String,
    /// Scored items of those months.
    pub in_sample: u64,
    /// What the items are ranked by.
    pub rank_by: RankBy,
    /// Whether the model was not shown to select better than a random draw.
    pub unproven: bool,
    /// Share of items that customs can inspect.
    pub capacity: f64,
    /// Goods items scored.
    pub rows: u64,
    /// Items selected.
    pub selected: u64,
    /// The lowest probability, or expected revenue, among the selected: that of the ranking.
    pub threshold: Option<f64>,
    /// Items beyond the selected that have the same.
    pub tied: u64,
    /// Illicit items expected among the selected: the sum of their probabilities.
    pub expected_hits: f64,
    /// Illicit items expected among the selected by the estimate for all items of the model's test months.
    pub estimated_hits: Option<Estimated>,
    /// What that estimate is made from.
    pub estimated_by: Basis,
    /// Revenue expected of the selected, national currency; `None` where the model expects none.
    pub expected_revenue: Option<f64>,
    /// Scored items whose outcome is known, of months that the model was not trained on.
    pub known: u64,
    /// The scored months, in order.
    pub by_month: Vec<SelectedMonth>,
    /// Metrics of the ranking over those items.
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
    pub inspected: u64,
    /// Selected items whose outcome is known, and those of them found illicit; `None` for a month that the model was trained
    /// on.
    pub outcomes: Option<(u64, u64)>,
}

impl SelectionPage {
    /// The report's HTML file.
    pub fn html(&self) -> String {
        let words = &words(self.language);
        let mut facts = vec![(words.say("Model").to_owned(), self.model.clone())];
        let named = [
            (words.say("Country"), &self.country),
            (words.say("Months scored"), &self.months),
            (words.say("Currency"), &self.currency),
        ];
        facts.extend(
            named
                .into_iter()
                .filter(|fact| !fact.1.is_empty())
                .map(|(name, text)| (name.to_owned(), text.clone())),
        );
        let threshold = match self.rank_by {
            RankBy::Probability => words.say("Selected from a probability of"),
            RankBy::Revenue => words.say("Selected from an expected revenue of"),
        };
        facts.extend([
            (words.say("Items scored").to_owned(), words.count(self.rows)),
            (words.say("Items that can be inspected").to_owned(), words.percent(self.capacity)),
            (words.say("Items selected").to_owned(), words.count(self.selected)),
            (threshold.to_owned(), self.threshold_text(words)),
            (words.say("Illicit items expected among them").to_owned(), self.expected_text(words)),
            (
                match self.in_sample {
                    0 => words.say("Outcomes known so far"),
                    _ => words.say("Outcomes known, of months that the model was not trained on"),
                }
                .to_owned(),
                words.count(self.known),
            ),
        ]);
        if self.in_sample > 0 {
            let months =
                words.fill("Items of {months}, on which it was trained", &[("months", &self.trained)]);
            facts.push((months, words.count(self.in_sample)));
        }
        let mut sections = Vec::new();
        let mut section = |anchor, title: &str, body| {
            sections.push(Section { anchor, title: title.to_owned(), body });
        };
        if !self.by_month.is_empty() {
            section("months", words.say("Month by month"), self.months_table(words));
        }
        if !self.metrics.is_empty() {
            section("metrics", words.say("How good the selection was"), self.metrics_section(words));
        }
        if !self.selection.is_empty() {
            section("selection", words.say("Items to inspect first"), self.items_section(words));
        }
        let origin = [self.country.as_str(), self.months.as_str()];
        let origin = origin.iter().filter(|text| !text.is_empty()).map(|text| format!(" · {text}"));
        Page {
            language: self.language,
            title: format!("{}{}", self.title, origin.collect::<String>()),
            subtitle: words.say("Goods items selected for inspection").to_owned(),
            lead: self.headline(),
            facts,
            sections,
            footer: Footer { version: self.version.clone(), seed: None, snapshot: self.snapshot.clone() },
        }
        .render()
    }

    /// The items that rank first; those that were inspected already are left out, unless all of them were.
    fn items_section(&self, words: &Words) -> Markup {
        let open: Vec<SelectedItem> =
            self.selection.iter().filter(|item| item.illicit.is_none()).cloned().collect();
        let done = self.selection.len() - open.len();
        let (listed, done) = if open.is_empty() { (&self.selection, 0) } else { (&open, done) };
        let caption = words.fill(
            "{n} of the {selected} selected items, by rank, and below each why",
            &[("n", &words.count(listed.len() as u64)), ("selected", &words.count(self.selected))],
        );
        html! {
            p {
                (words.say(
                    "All selected items are in the files selected_items beside this page; selected_declarations has them by \
                     declaration, as large a share of each office's declarations as of all items.",
                ))
                @if done > 0 {
                    " "
                    (words.fill(
                        "Of the first {n}, {done} were inspected already and are not listed.",
                        &[
                            ("n", &words.count(self.selection.len() as u64)),
                            ("done", &words.count(done as u64)),
                        ],
                    ))
                }
            }
            (item_table::table(words, &caption, listed, &self.currency))
        }
    }

    /// How good the selection was, by the outcomes that are known.
    fn metrics_section(&self, words: &Words) -> Markup {
        let known = words.count(self.known);
        let values = [("known", known.as_str())];
        let of = match self.rank_by {
            RankBy::Probability => words.fill(
                "Of the {known} items whose outcome is known, ranked by probability. Items are inspected because somebody \
                 suspects them: these figures are those of inspected items and not of all.",
                &values,
            ),
            RankBy::Revenue => words.fill(
                "Of the {known} items whose outcome is known, ranked by expected revenue. Items are inspected because \
                 somebody suspects them: these figures are those of inspected items and not of all.",
                &values,
            ),
        };
        html! {
            p {
                (of)
                @if self.in_sample > 0 {
                    " "
                    (words.fill(
                        "Items of {months} are left out, because the model was trained on them.",
                        &[("months", &self.trained)],
                    ))
                }
            }
            (metric_table::table(
                words,
                words.say("Of the inspected items of the scored months"),
                &self.metrics,
                false,
                self.rank_by,
            ))
        }
    }

    /// What to inspect and what to expect, in a few sentences.
    pub fn headline(&self) -> String {
        let words = &words(self.language);
        if self.threshold.is_none() {
            return words.say("These months hold no items to inspect.").to_owned();
        }
        let (selected, all) = (words.count(self.selected), words.count(self.rows));
        let (threshold, hits) = (self.threshold_text(words), words.numbers().count(self.expected_hits));
        let values =
            [("selected", selected.as_str()), ("all", &all), ("threshold", &threshold), ("hits", &hits)];
        let unproven = words.fill(
            "{model} is not shown to select better than a random draw: its own report has the figures.",
            &[("model", &self.model)],
        );
        let mut sentences: Vec<String> = self.unproven.then_some(unproven).into_iter().collect();
        sentences.extend([
            match self.rank_by {
                RankBy::Probability => words.fill(
                    "Inspect the riskiest {selected} of {all} items: those with a probability of fraud of {threshold} or \
                     more.",
                    &values,
                ),
                RankBy::Revenue => words.fill(
                    "Inspect the {selected} of {all} items from which most revenue is expected: {threshold} or more for \
                     each.",
                    &values,
                ),
            },
            words.fill(
                "By the probabilities, which are learned from inspected items, about {hits} of them should prove illicit.",
                &values,
            ),
        ]);
        if let Some(Estimated { value, low, high }) = self.estimated_hits {
            let [value, low, high] = [value, low, high].map(|figure| words.numbers().count(figure));
            let source = estimate::source(words, self.estimated_by);
            sentences.push(words.fill(
                "By the estimate for all items of the model's test months, from {source}, they are {value} (95 % interval \
                 {low} to {high}): plan with this.",
                &[("source", source), ("value", &value), ("low", &low), ("high", &high)],
            ));
        }
        sentences.extend(self.inspected_already(words));
        if self.tied > 0 {
            sentences.push(words.fill(
                "{n} more items have the very score of the last one selected: of equal ones the earlier were taken.",
                &[("n", &words.count(self.tied))],
            ));
        }
        if self.in_sample > 0 {
            sentences.push(words.fill(
                "{in_sample} of the {all} items are of {months}, on which the model was trained: it knows their outcomes, so \
                 that its probabilities there are not those of new items, and no figure says how good it is on them.",
                &[("in_sample", &words.count(self.in_sample)), ("all", &all), ("months", &self.trained)],
            ));
        }
        sentences.join(" ")
    }

    /// How many illicit items to expect among the selected: by the estimate for all items, where there is one.
    fn expected_text(&self, words: &Words) -> String {
        let Some(Estimated { value, low, high }) = self.estimated_hits else {
            return words.numbers().count(self.expected_hits);
        };
        let [value, low, high] = [value, low, high].map(|figure| words.numbers().count(figure));
        let values = [("value", value.as_str()), ("low", &low), ("high", &high)];
        words.fill("{value} (95 % interval {low} to {high})", &values)
    }

    /// How many of the selected were inspected already, and what was found where the model did not know it.
    fn inspected_already(&self, words: &Words) -> Option<String> {
        let inspected: u64 = self.by_month.iter().map(|month| month.inspected).sum();
        let outcomes = self.by_month.iter().filter_map(|month| month.outcomes);
        let (known, illicit) = outcomes.fold((0, 0), |sum, month| (sum.0 + month.0, sum.1 + month.1));
        let left = self.selected.saturating_sub(inspected);
        let [inspected_text, known_text, illicit, left] =
            [inspected, known, illicit, left].map(|number| words.count(number));
        let values = [
            ("inspected", inspected_text.as_str()),
            ("known", &known_text),
            ("illicit", &illicit),
            ("left", &left),
        ];
        (inspected > 0).then(|| match inspected == known {
            true => words.fill(
                "{known} of them were inspected already, and {illicit} of these found illicit: {left} are left.",
                &values,
            ),
            false => words.fill(
                "{inspected} of them were inspected already: {left} are left. Of these {inspected}, {known} are of months that \
                 the model was not trained on, and {illicit} of those were found illicit.",
                &values,
            ),
        })
    }

    /// The lowest score among the selected, in the unit of the ranking.
    fn threshold_text(&self, words: &Words) -> String {
        let threshold = self.threshold.unwrap_or(f64::NAN);
        match (self.rank_by, self.currency.as_str()) {
            (RankBy::Probability, _) => words.numbers().percent(threshold),
            (RankBy::Revenue, "") => words.numbers().number(threshold),
            (RankBy::Revenue, currency) => {
                format!("{}\u{a0}{currency}", words.numbers().number(threshold))
            }
        }
    }

    fn months_table(&self, words: &Words) -> Markup {
        let knows = self.by_month.iter().any(|month| month.inspected > 0);
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
        let caption = match (knows, self.in_sample) {
            (true, 0) => words
                .say("Selected items; the last three columns count those among them whose outcome is known"),
            (true, _) => words.say(
                "Selected items; the last three columns count those among them whose outcome is known, and leave out months \
                 that the model was trained on",
            ),
            (false, _) => words.say("Selected items; expected: the sum of their probabilities"),
        };
        let left_out = || Cell::Text(words.say("left out").to_owned());
        let share = |part: f64, whole: u64| (whole > 0).then(|| part / whole as f64);
        let mut table = words.table(caption, &columns);
        for month in &self.by_month {
            let mut cells: Vec<Cell> = vec![
                month.month.as_str().into(),
                month.rows.into(),
                month.selected.into(),
                share(month.selected as f64, month.rows).into(),
                month.expected_hits.into(),
                share(month.expected_hits, month.selected).into(),
            ];
            let outcomes: [Cell; 3] = match month.outcomes {
                Some((known, illicit)) => [known.into(), illicit.into(), share(illicit as f64, known).into()],
                None => [left_out(), left_out(), left_out()],
            };
            cells.extend(outcomes);
            table.row(cells);
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
            inspected: known,
            outcomes: Some((known, illicit)),
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
        insta::assert_snapshot!(said(&report), @"Inspect the riskiest 1,000 of 20,000 items: those with a probability of fraud of 31.2 % or more. By the probabilities, which are learned from inspected items, about 481 of them should prove illicit.");
        report.by_month[0] =
            SelectedMonth { inspected: 12, outcomes: Some((12, 9)), ..report.by_month[0].clone() };
        insta::assert_snapshot!(said(&report), @"Inspect the riskiest 1,000 of 20,000 items: those with a probability of fraud of 31.2 % or more. By the probabilities, which are learned from inspected items, about 481 of them should prove illicit. 12 of them were inspected already, and 9 of these found illicit: 988 are left.");
        insta::assert_snapshot!(said(&SelectionPage::default()), @"These months hold no items to inspect.");
    }

    #[test]
    fn a_ranking_by_revenue_names_its_own_threshold() {
        let report = SelectionPage {
            rank_by: RankBy::Revenue,
            threshold: Some(12_345.0),
            currency: "KRW".to_owned(),
            ..example()
        };
        let headline = report.headline().replace('\u{a0}', " ");
        assert!(headline.starts_with(
            "Inspect the 1,000 of 20,000 items from which most revenue is expected: 12,345 KRW or more for each."
        ), "{headline}");
        let html = report.html();
        assert!(html.contains("Selected from an expected revenue of") && !html.contains("a probability of<"));
        let metrics = vec![Metric {
            name: "precision@1".to_owned(),
            challenger: 0.25,
            items: Some(40),
            interval: None,
            champion: None,
        }];
        let html = SelectionPage { metrics, ..report }.html();
        assert!(html.contains("with the highest expected revenue") && !html.contains("riskiest"), "{html}");
    }

    #[test]
    fn a_model_that_is_not_shown_to_beat_a_random_draw_is_named_first() {
        let headline = SelectionPage { unproven: true, ..example() }.headline();
        assert!(
            headline.starts_with("fraud@3 is not shown to select better than a random draw"),
            "{headline}"
        );
        assert!(!example().headline().contains("random draw"));
    }

    #[test]
    fn an_estimate_for_all_items_stands_beside_the_probabilities() {
        let estimated_hits = Some(Estimated { value: 210.0, low: 150.2, high: 271.0 });
        let headline = SelectionPage { estimated_hits, ..example() }.headline().replace('\u{a0}', " ");
        let estimate = "By the estimate for all items of the model's test months, from predicted chances of inspection, they \
                        are 210 (95 % interval 150 to 271): plan with this.";
        assert!(headline.contains(estimate), "{headline}");
        let html = SelectionPage { estimated_hits, ..example() }.html();
        assert!(
            html.contains("210 (95 % interval 150 to 271)") && !html.contains(">481<"),
            "the card plans with it, too"
        );
    }

    #[test]
    fn months_that_the_model_was_trained_on_are_named() {
        let report =
            SelectionPage { in_sample: 9_000, trained: "2020-01 to 2021-04".to_owned(), ..example() };
        let headline = report.headline().replace('\u{a0}', " ");
        assert!(headline.contains("9,000 of the 20,000 items are of 2020-01 to 2021-04"), "{headline}");
        assert!(!example().headline().contains("trained"));
    }

    /// April is a month of the training: its outcomes are known, and left out.
    #[test]
    fn outcomes_of_a_training_month_are_left_out_and_not_said_to_be_none() {
        let mut report = SelectionPage {
            in_sample: 10_000,
            trained: "2020-01 – 2021-04".to_owned(),
            known: 222,
            ..example()
        };
        report.by_month[0].inspected = 30;
        report.by_month[0].outcomes = None;
        report.by_month[1].inspected = 12;
        report.by_month[1].outcomes = Some((12, 9));
        let headline = report.headline().replace('\u{a0}', " ");
        assert!(
            headline.contains(
                "42 of them were inspected already: 958 are left. Of these 42, 12 are of months that the model was not \
                 trained on, and 9 of those were found illicit."
            ),
            "{headline}"
        );
        let html = report.html();
        assert_eq!(html.matches("left out<").count(), 3, "{html}");
        for present in ["Outcomes known, of months that the model was not trained on", "10,000"] {
            assert!(html.contains(present), "{present}");
        }
        assert!(!html.contains("Outcomes known so far"));
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
        report.by_month[0].inspected = 3;
        report.by_month[0].outcomes = Some((3, 1));
        let html = report.html();
        for present in ["Customs value, KRW", "1,234,567", "Proved illicit", "Outcome known<"] {
            assert!(html.contains(present), "{present}");
        }
        let json = serde_json::to_string(&report).expect("serialises");
        let parsed: SelectionPage = serde_json::from_str(&json).expect("parses");
        assert_eq!(parsed, report);
    }

    #[test]
    fn the_list_says_how_many_of_how_many_and_leaves_out_what_was_inspected() {
        let item = |rank, illicit| SelectedItem {
            rank,
            illicit,
            declaration: format!("D{rank}"),
            office: "020".to_owned(),
            description: "leather boots".to_owned(),
            ..SelectedItem::default()
        };
        let page = |selection| SelectionPage { selection, ..example() }.html().replace('\u{a0}', " ");
        let html = page(vec![item(1, Some(true)), item(2, None), item(3, None)]);
        for present in [
            "2 of the 1,000 selected items",
            "Of the first 3, 1 were inspected already",
            "D2 / 0",
            "leather boots",
            "020",
        ] {
            assert!(html.contains(present), "{present}");
        }
        assert!(!html.contains("D1 / 0"));
        // A look back: all were inspected.
        let html = page(vec![item(1, Some(true)), item(2, Some(false))]);
        assert!(html.contains("2 of the 1,000 selected items") && html.contains("D1 / 0"));
    }
}
