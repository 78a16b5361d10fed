//! The page of a retrain's report: how good the model's selection is, for a customs manager first and an analyst
//! second.
//!
//! [`super::model_report`] fills a [`ModelPage`]; this module only shows it. All shares and probabilities are 0 to 1.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use tidewaiter_registry::comparison::Comparison;
use tidewaiter_report::{
    chart::{
        bar::BarChart,
        line::{Axis, LineChart, Series},
    },
    format::NumberFormat,
    page::{Footer, Page, Section},
    table::{Cell, Kind},
    words::{Language, Words},
};

use super::{
    estimate,
    item_table::{self, SelectedItem},
    metric_table::{self, Metric},
    random_draw, words,
};
use crate::{
    metrics::{self, CalibrationBin},
    population::{Estimate, Population},
    scored::RankBy,
};

/// The metrics of a month that the page shows, as their names begin; the file `months` has all.
const MONTHLY: [&str; 3] = ["precision@", "recall@", "roc_auc"];

/// Everything that the report shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelPage {
    /// The language of the page.
    pub language: Language,
    /// Title of the page.
    pub title: String,
    /// The new model, `name@version`.
    pub model: String,
    /// The model in use, `name@version`, where there is one.
    pub champion: Option<String>,
    /// The reporting country whose declarations were used; empty: not named.
    pub country: String,
    /// Whether the new model takes the champion's place, and why.
    pub decision: String,
    /// Share of items that customs can inspect, which the headline uses.
    pub capacity: f64,
    /// The share of the known fraud that the riskiest items hold, as many as can be inspected, minus that of as many drawn at
    /// random; `None` where it is not known.
    pub over_random: Option<Comparison>,
    /// Of which items of the test months the figures are, and an estimate for all.
    pub population: Population,
    /// How often the test months were looked at, this time included.
    pub looks: u64,
    /// Training, validation and test months.
    pub periods: Months,
    /// Goods items in the test months with a known outcome.
    pub test_rows: u64,
    /// Share of them that is illicit.
    pub illicit_rate: f64,
    /// Metrics on the test months.
    pub metrics: Vec<Metric>,
    /// Share of the fraud found, by the share of items inspected.
    pub gain: Curves,
    /// Illicit share of the inspected items, by the share of items inspected.
    pub precision: Curves,
    /// Share of all revenue recovered, by the share of items inspected; empty where no revenue is known.
    pub revenue: Curves,
    /// The test months, one by one.
    pub by_month: Vec<MonthRow>,
    /// The features with the largest share of the gain.
    pub importance: Vec<Importance>,
    /// Predicted probability and observed share.
    pub calibration: Vec<CalibrationBin>,
    /// The items that rank first, in order.
    pub selection: Vec<SelectedItem>,
    /// Currency of the amounts, ISO 4217; empty: not named.
    pub currency: String,
    /// Version of the program that made the report.
    pub version: String,
    /// Seed of the fit.
    pub seed: Option<u64>,
    /// The snapshot of the table that was read.
    pub snapshot: Option<String>,
}

/// Months as text, such as `2020-01 – 2020-12`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Months {
    /// Training months.
    pub train: String,
    /// Validation months.
    pub valid: String,
    /// Test months.
    pub test: String,
}

/// One curve per model: points of (share inspected, value), by ascending share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Curves {
    /// The new model.
    pub challenger: Vec<(f64, f64)>,
    /// The model in use; empty where there is none.
    pub champion: Vec<(f64, f64)>,
}

/// One month of the test period.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MonthRow {
    /// Year and month, `2021-04`.
    pub month: String,
    /// Goods items.
    pub rows: u64,
    /// Share that is illicit.
    pub illicit_rate: f64,
    /// The riskiest of them, which precision and recall are about.
    pub selected: u64,
    /// Metrics by their names.
    pub metrics: BTreeMap<String, f64>,
    /// 95 % intervals by the names of metrics, and that of the illicit share as `illicit`.
    pub intervals: BTreeMap<String, [f64; 2]>,
}

/// How much a feature contributes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// Its name.
    pub feature: String,
    /// Its label in the chart; empty: its name.
    #[serde(default)]
    pub label: String,
    /// What it means.
    pub meaning: String,
    /// Its share of the model's gain, 0 to 1.
    pub share: f64,
}

impl ModelPage {
    /// The report's HTML file.
    pub fn html(&self) -> String {
        let words = &words(self.language);
        let fact = |name: &str, value: String| (name.to_owned(), value);
        let mut facts = vec![
            fact(words.say("Model"), self.model.clone()),
            fact(
                words.say("Champion so far"),
                self.champion.clone().unwrap_or_else(|| words.say("none").to_owned()),
            ),
        ];
        for (name, period) in [
            (words.say("Country"), &self.country),
            (words.say("Training months"), &self.periods.train),
            (words.say("Validation months"), &self.periods.valid),
            (words.say("Test months"), &self.periods.test),
        ] {
            if !period.is_empty() {
                facts.push(fact(name, period.clone()));
            }
        }
        facts.push(fact(words.say("Items with a known outcome"), words.count(self.test_rows)));
        facts.push(fact(words.say("Illicit among them"), words.numbers().percent(self.illicit_rate)));
        if let Population::Estimated(Estimate { items, figures, .. }) = &self.population {
            facts.push(fact(words.say("All items of the test months"), words.count(*items)));
            if let Some(share) = figures.get("illicit") {
                let share = estimate::interval(words, *share);
                facts.push(fact(words.say("Illicit among all, estimated"), share));
            }
        }
        if self.looks > 1 {
            let looks = words.fill("{n} times", &[("n", &self.looks.to_string())]);
            facts.push(fact(words.say("Test months looked at"), looks));
        }
        if !self.currency.is_empty() {
            facts.push(fact(words.say("Currency"), self.currency.clone()));
        }
        type Body = fn(&ModelPage, &Words) -> Markup;
        let parts: [(&'static str, &str, bool, Body); 8] = [
            ("decision", words.say("Decision"), !self.decision.is_empty(), Self::decision),
            ("population", words.say("All items"), self.population != Population::All, |it, words| {
                estimate::section(words, &it.population)
            }),
            (
                "curves",
                words.say("What more inspections find"),
                !self.gain.challenger.is_empty(),
                Self::curves,
            ),
            ("metrics", words.say("Metrics on the test months"), !self.metrics.is_empty(), Self::metrics),
            ("months", words.say("Month by month"), !self.by_month.is_empty(), Self::months),
            ("features", words.say("Feature importance"), !self.importance.is_empty(), Self::features),
            ("calibration", words.say("Calibration"), !self.calibration.is_empty(), Self::bins),
            (
                "selection",
                words.say("The riskiest items and why"),
                !self.selection.is_empty(),
                |it, words| {
                    let caption = words.fill(
                        "The {n} riskiest items of the test months and, below each, why",
                        &[("n", &words.count(it.selection.len() as u64))],
                    );
                    item_table::table(words, &caption, &it.selection, &it.currency)
                },
            ),
        ];
        let sections = parts.into_iter().filter(|part| part.2);
        let sections = sections.map(|(anchor, title, _, body)| Section {
            anchor,
            title: title.to_owned(),
            body: body(self, words),
        });
        let origin = [self.country.as_str(), self.periods.test.as_str()];
        let origin = origin.iter().filter(|text| !text.is_empty()).map(|text| format!(" · {text}"));
        Page {
            language: self.language,
            title: format!("{}{}", self.title, origin.collect::<String>()),
            subtitle: words.say("Quality of the selection of goods items for inspection").to_owned(),
            lead: self.headline(),
            facts,
            sections: sections.collect(),
            footer: Footer {
                version: self.version.clone(),
                seed: self.seed,
                snapshot: self.snapshot.clone(),
            },
        }
        .render()
    }

    /// How good the selection is, and of which items, in a few sentences.
    pub fn headline(&self) -> String {
        let words = &words(self.language);
        let unproven = self.over_random.as_ref().and_then(|compared| random_draw::warning(words, compared));
        let all = match &self.population {
            Population::Estimated(estimate) => estimate::headline(words, estimate, self.capacity),
            _ => None,
        };
        let sentences = unproven.into_iter().chain(all).chain([self.inspected_headline(words)]);
        sentences.collect::<Vec<_>>().join(" ")
    }

    /// A share at the capacity, as text, with the 95 % interval of its metric where there is one.
    fn with_interval(&self, words: &Words, metric: &str, share: String) -> String {
        let name = format!("{metric}@{}", self.capacity * 100.0);
        let found = self.metrics.iter().find(|metric| metric.name == name);
        match found.and_then(|metric| metric.interval) {
            None => share,
            Some(ends) => estimate::with_interval(words, &share, ends),
        }
    }

    /// What the selection finds among the items with a known outcome.
    fn inspected_headline(&self, words: &Words) -> String {
        let Some(found) = read(&self.gain.challenger, self.capacity) else {
            return words
                .say("The curve of this model does not reach the share of items that can be inspected.")
                .to_owned();
        };
        let capacity = words.percent(self.capacity);
        let champion = read(&self.gain.champion, self.capacity);
        // With a decimal where whole percents would be equal for both models.
        let same = champion.is_some_and(|champion| (champion * 100.0).round() == (found * 100.0).round());
        let percent =
            |share: f64| format!("{}\u{a0}%", words.numbers().fixed(share * 100.0, usize::from(same)));
        let share = self.with_interval(words, "recall", percent(found));
        let values = [("capacity", capacity.as_str()), ("share", &share)];
        let mut text = match self.population {
            Population::All => {
                words.fill("Inspecting the riskiest {capacity} of items finds {share} of the fraud", &values)
            }
            _ => words.fill(
                "Among the items that were inspected, the riskiest {capacity} hold {share} of the fraud found",
                &values,
            ),
        };
        if let Some(revenue) = read(&self.revenue.challenger, self.capacity) {
            let revenue = percent(revenue);
            text.push_str(&words.fill(" and {share} of the revenue to be recovered", &[("share", &revenue)]));
        }
        if let Some(precision) = read(&self.precision.challenger, self.capacity) {
            let items = metrics::inspected(self.test_rows as usize, self.capacity * 100.0) as f64;
            let values = [
                ("items", words.numbers().count(items)),
                ("illicit", words.numbers().count(precision * items)),
                ("share", self.with_interval(words, "precision", words.numbers().percent(precision))),
            ];
            let values = values.each_ref().map(|(name, value)| (*name, value.as_str()));
            text.push_str(&words.fill("; of these {items} items {illicit} are illicit: {share}", &values));
        }
        text.push_str(
            &words.fill(
                ". Inspecting as many at random would find {share} of the fraud",
                &[("share", &capacity)],
            ),
        );
        if let Some(champion) = champion {
            let share = percent(champion);
            text.push_str(&words.fill("; the champion so far finds {share}", &[("share", &share)]));
        }
        text.push('.');
        if let Population::Inspected { .. } = self.population {
            text.push(' ');
            text.push_str(words.say(
                "Items are inspected because somebody suspects them: what the model finds among all items cannot be told \
                 from this.",
            ));
        }
        text
    }

    /// Of which items the curves and metrics are.
    fn of_items<'a>(&self, words: &'a Words) -> &'a str {
        match self.population {
            Population::All => words.say("all items"),
            _ => words.say("the inspected items"),
        }
    }

    fn decision(&self, words: &Words) -> Markup {
        html! {
            p { (self.decision) }
            @if self.looks > 1 {
                p {
                    (words.fill(
                        "The test months were looked at {n} times, by versions of this model. The more often, the more the \
                         best figure on them owes to chance: use new months from time to time.",
                        &[("n", &self.looks.to_string())],
                    ))
                }
            }
        }
    }

    fn lines(&self, words: &Words, curves: &Curves) -> Vec<Series> {
        let name =
            |role: &str, model: &str| if model.is_empty() { role.to_owned() } else { model.to_owned() };
        let challenger = name(words.say("this model"), &self.model);
        let mut series = vec![Series { name: challenger, points: curves.challenger.clone() }];
        if !curves.champion.is_empty() {
            let model = name(words.say("champion"), self.champion.as_deref().unwrap_or_default());
            series.push(Series {
                name: words.fill("{model} (so far)", &[("model", &model)]),
                points: curves.champion.clone(),
            });
        }
        series
    }

    fn curves(&self, words: &Words) -> Markup {
        let of = [("items", self.of_items(words))];
        let chart = |title: &str, y: String, curves: &Curves, at_random: Option<f64>| LineChart {
            title: title.to_owned(),
            x: Axis {
                title: match self.population {
                    Population::All => words.fill("inspected, % of {items}", &of),
                    _ => words.fill("selected, % of {items}", &of),
                },
                share: true,
                covers: vec![0.0],
            },
            y: Axis { title: y, share: true, covers: vec![0.0, 1.0] },
            series: self.lines(words, curves),
            reference: curves.challenger.last().map(|(share, _)| Series {
                name: words.say("at random").to_owned(),
                points: vec![(0.0, at_random.unwrap_or(0.0)), (*share, at_random.unwrap_or(*share))],
            }),
            mark: (self.capacity > 0.0).then(|| {
                let capacity = words.percent(self.capacity);
                let share = [("share", capacity.as_str())];
                let mark = match self.population {
                    Population::All => words.fill("{share} inspected", &share),
                    _ => words.fill("{share} selected", &share),
                };
                (self.capacity, mark)
            }),
            labels: Vec::new(),
            numbers: words.numbers(),
        };
        let gain = chart(
            words.say("Fraud found by inspecting the riskiest items first"),
            words.fill("fraud found, % of that in {items}", &of),
            &self.gain,
            None,
        );
        let precision = chart(
            words.say("Illicit items among the selected"),
            words.fill("illicit, % of those selected from {items}", &of),
            &self.precision,
            Some(self.illicit_rate),
        );
        let revenue = chart(
            words.say("Revenue recovered by inspecting the riskiest items first"),
            words.fill("revenue recovered, % of that in {items}", &of),
            &self.revenue,
            None,
        );
        html! {
            (gain.render())
            @if !self.precision.challenger.is_empty() { (precision.render()) }
            @if !self.revenue.challenger.is_empty() { (revenue.render()) }
        }
    }

    fn metrics(&self, words: &Words) -> Markup {
        let items = [("items", self.of_items(words))];
        let caption = match self.gain.champion.is_empty() {
            true => words
                .fill("Measured on {items} of the test months, from which the model did not learn", &items),
            false => {
                words.fill("Measured on {items} of the test months, from which neither model learned", &items)
            }
        };
        let compares = !self.gain.champion.is_empty();
        metric_table::table(words, &caption, &self.metrics, compares, RankBy::Probability)
    }

    fn months(&self, words: &Words) -> Markup {
        let mut names: Vec<&str> =
            self.by_month.iter().flat_map(|month| month.metrics.keys().map(String::as_str)).collect();
        names.retain(|name| MONTHLY.iter().any(|shown| name.starts_with(shown)));
        names.sort_unstable();
        names.dedup();
        let mut columns = vec![
            ("Month", Kind::Text),
            ("Items", Kind::Count),
            ("Illicit", Kind::Text),
            ("Selected", Kind::Count),
        ];
        columns.extend(names.iter().map(|name| (*name, Kind::Text)));
        let caption = words.fill(
            "Each month of the test period: {items}, with 95 % intervals; selected: the riskiest items of the month, which \
             precision and recall are about",
            &[("items", self.of_items(words))],
        );
        let mut table = words.table(&caption, &columns);
        for month in &self.by_month {
            let cell = |name: &str, value: Option<f64>, text: fn(NumberFormat, f64) -> String| {
                let Some(value) = value.filter(|value| value.is_finite()) else { return Cell::Absent };
                let text = |value: f64| text(words.numbers(), value);
                Cell::Text(match month.intervals.get(name) {
                    None => text(value),
                    Some(ends) => {
                        let [low, high] = ends.map(text);
                        let values = [("mean", text(value)), ("low", low), ("high", high)];
                        let values = values.each_ref().map(|(name, value)| (*name, value.as_str()));
                        words.fill("{mean} ({low} to {high})", &values)
                    }
                })
            };
            let mut cells: Vec<Cell> = vec![
                month.month.as_str().into(),
                month.rows.into(),
                cell("illicit", Some(month.illicit_rate), NumberFormat::percent),
                month.selected.into(),
            ];
            let metric = |name: &&str| cell(name, month.metrics.get(*name).copied(), NumberFormat::ratio);
            cells.extend(names.iter().map(metric));
            table.row(cells);
        }
        table.render()
    }

    fn features(&self, words: &Words) -> Markup {
        let name = |one: &Importance| if one.label.is_empty() { &one.feature } else { &one.label }.clone();
        let chart = BarChart {
            title: words.say("Share of the gain, %; the first 15 features").to_owned(),
            kind: Kind::Percent,
            numbers: words.numbers(),
            bars: self.importance.iter().take(15).map(|one| (name(one), one.share)).collect(),
        };
        let columns =
            [("Feature", Kind::Text), ("Meaning", Kind::Text), ("Share of the gain", Kind::Percent)];
        let mut table = words.table("Every feature named in the report", &columns);
        for one in &self.importance {
            table.row(vec![one.feature.as_str().into(), one.meaning.as_str().into(), one.share.into()]);
        }
        html! {
            (chart.render())
            p {
                (words.say(
                    "HS 6 × origin: earlier items of the same commodity (the first six digits of its code) and the same \
                     origin together; likewise with the other names. HS 4 is the heading, HS 2 the chapter.",
                ))
            }
            (table.render())
        }
    }

    fn bins(&self, words: &Words) -> Markup {
        let points: Vec<(f64, f64)> =
            self.calibration.iter().map(|bin| (bin.predicted, bin.observed)).collect();
        let axis = |title: &str| Axis { title: title.to_owned(), share: true, covers: vec![0.0, 1.0] };
        let observed = words.fill("observed illicit, % of {items}", &[("items", self.of_items(words))]);
        let chart = LineChart {
            title: words
                .say("Predicted probability against the observed share; on the dotted line both agree")
                .to_owned(),
            x: axis(words.say("predicted probability, %")),
            y: axis(&observed),
            series: vec![Series { name: words.say("this model").to_owned(), points }],
            reference: Some(Series {
                name: words.say("perfect").to_owned(),
                points: vec![(0.0, 0.0), (1.0, 1.0)],
            }),
            mark: None,
            labels: Vec::new(),
            numbers: words.numbers(),
        };
        let columns = [("Predicted", Kind::Percent), ("Observed", Kind::Percent), ("Items", Kind::Count)];
        let mut table = words.table("The bins of the chart", &columns);
        for bin in &self.calibration {
            table.row(vec![bin.predicted.into(), bin.observed.into(), bin.rows.into()]);
        }
        html! { (chart.render()) (table.render()) }
    }
}

/// A curve's value by linear interpolation; `None` outside of its points.
fn read(points: &[(f64, f64)], at: f64) -> Option<f64> {
    points.windows(2).find(|pair| pair[0].0 <= at && at <= pair[1].0).map(|pair| {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        if x1 > x0 { y0 + (y1 - y0) * (at - x0) / (x1 - x0) } else { y1 }
    })
}

#[cfg(test)]
mod tests;
