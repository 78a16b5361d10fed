//! The page of a retrain's report: how good the model's selection is, for a customs manager first and an analyst
//! second.
//!
//! [`super::model_report`] fills a [`ModelPage`]; this module only shows it. All shares and probabilities are 0 to 1.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use tidewaiter_report::{
    chart::{
        bar::BarChart,
        line::{Axis, LineChart, Series},
    },
    format::{self, Numbers},
    page::{Footer, Page, Section},
    table::{Cell, Kind, Table},
};

use super::{
    item_table::{self, SelectedItem},
    metric_table::{self, Metric},
};
use crate::metrics::CalibrationBin;

/// Everything that the report shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelPage {
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
    /// Training, validation and test months.
    pub periods: Months,
    /// Goods items in the test months.
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

/// Months as text, such as `2020-01 to 2020-12`.
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
    /// Metrics by their names; each is a column.
    pub metrics: BTreeMap<String, f64>,
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
        let mut facts = vec![("Model".to_owned(), self.model.clone())];
        facts.push(("In use so far".to_owned(), self.champion.clone().unwrap_or_else(|| "none".to_owned())));
        for (name, period) in [
            ("Country", &self.country),
            ("Learned from", &self.periods.train),
            ("Tuned on", &self.periods.valid),
            ("Judged on", &self.periods.test),
        ] {
            if !period.is_empty() {
                facts.push((name.to_owned(), period.clone()));
            }
        }
        facts.push(("Items judged".to_owned(), format::count(self.test_rows as f64)));
        facts.push(("Illicit among them".to_owned(), format::percent(self.illicit_rate)));
        if !self.currency.is_empty() {
            facts.push(("Currency".to_owned(), self.currency.clone()));
        }
        type Body = fn(&ModelPage) -> Markup;
        let parts: [(&'static str, &str, bool, Body); 7] = [
            ("decision", "Decision", !self.decision.is_empty(), |it| html! { p { (it.decision) } }),
            ("curves", "What more inspections find", !self.gain.challenger.is_empty(), Self::curves),
            ("metrics", "Metrics on the test months", !self.metrics.is_empty(), Self::metrics),
            ("months", "Month by month", !self.by_month.is_empty(), Self::months),
            ("features", "What the model looks at", !self.importance.is_empty(), Self::features),
            ("calibration", "Can its probabilities be trusted?", !self.calibration.is_empty(), Self::bins),
            ("selection", "The riskiest items and why", !self.selection.is_empty(), |it| {
                item_table::table(&it.selection, &it.currency)
            }),
        ];
        let sections = parts.into_iter().filter(|part| part.2);
        let sections = sections.map(|(anchor, title, _, body)| Section {
            anchor,
            title: title.to_owned(),
            body: body(self),
        });
        Page {
            title: self.title.clone(),
            subtitle: "Quality of the selection of goods items for inspection".to_owned(),
            lead: self.headline(),
            facts,
            sections: sections.collect(),
            footer: Footer {
                version: self.version.clone(),
                seed: self.seed,
                snapshot: self.snapshot.clone(),
            },
            ..Page::default()
        }
        .render()
    }

    /// How good the selection is, in one sentence or two.
    pub fn headline(&self) -> String {
        let Some(found) = read(&self.gain.challenger, self.capacity) else {
            return "The curve of this model does not reach the share of items that can be inspected."
                .to_owned();
        };
        let capacity = format::percent_short(self.capacity);
        let champion = read(&self.gain.champion, self.capacity);
        // With a decimal where whole percents would be equal for both models.
        let same = champion.is_some_and(|champion| (champion * 100.0).round() == (found * 100.0).round());
        let percent = |share: f64| format!("{}\u{a0}%", format::fixed(share * 100.0, usize::from(same)));
        let mut text =
            format!("Inspecting the riskiest {capacity} of items finds {} of the fraud", percent(found));
        if let Some(revenue) = read(&self.revenue.challenger, self.capacity) {
            text.push_str(&format!(" and {} of the revenue to be recovered", percent(revenue)));
        }
        if let Some(precision) = read(&self.precision.challenger, self.capacity) {
            text.push_str(&format!("; {:.0} of 100 inspected items are illicit", precision * 100.0));
        }
        text.push_str(&format!(". Inspecting as many at random would find {capacity} of it"));
        if let Some(champion) = champion {
            text.push_str(&format!("; the model in use so far finds {}", percent(champion)));
        }
        text.push('.');
        text
    }

    fn lines(&self, curves: &Curves) -> Vec<Series> {
        let name =
            |role: &str, model: &str| if model.is_empty() { role.to_owned() } else { model.to_owned() };
        let mut series =
            vec![Series { name: name("this model", &self.model), points: curves.challenger.clone() }];
        if !curves.champion.is_empty() {
            let model = self.champion.as_deref().unwrap_or_default();
            series.push(Series {
                name: format!("{} (so far)", name("champion", model)),
                points: curves.champion.clone(),
            });
        }
        series
    }

    fn curves(&self) -> Markup {
        let chart = |title: &str, y: &str, curves: &Curves, at_random: Option<f64>| LineChart {
            title: title.to_owned(),
            x: Axis { title: "items inspected, % of all".to_owned(), share: true, covers: vec![0.0] },
            y: Axis { title: y.to_owned(), share: true, covers: vec![0.0, 1.0] },
            series: self.lines(curves),
            reference: curves.challenger.last().map(|(share, _)| Series {
                name: "at random".to_owned(),
                points: vec![(0.0, at_random.unwrap_or(0.0)), (*share, at_random.unwrap_or(*share))],
            }),
            mark: (self.capacity > 0.0)
                .then(|| (self.capacity, format!("{} inspected", format::percent_short(self.capacity)))),
            labels: Vec::new(),
            numbers: Numbers::default(),
        };
        let (gain, revenue, precision) = (
            ("Fraud found by inspecting the riskiest items first", "fraud found, % of all"),
            ("Revenue recovered by inspecting the riskiest items first", "revenue recovered, % of all"),
            ("Illicit items among the inspected", "illicit, % of inspected"),
        );
        html! {
            (chart(gain.0, gain.1, &self.gain, None).render())
            @if !self.precision.challenger.is_empty() {
                (chart(precision.0, precision.1, &self.precision, Some(self.illicit_rate)).render())
            }
            @if !self.revenue.challenger.is_empty() {
                (chart(revenue.0, revenue.1, &self.revenue, None).render())
            }
        }
    }

    fn metrics(&self) -> Markup {
        let caption = "Measured on months that neither model learned from";
        metric_table::table(caption, &self.metrics, self.champion.is_some())
    }

    fn months(&self) -> Markup {
        let mut names: Vec<&str> =
            self.by_month.iter().flat_map(|month| month.metrics.keys().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        let mut columns = vec![("Month", Kind::Text), ("Items", Kind::Count), ("Illicit", Kind::Percent)];
        columns.extend(names.iter().map(|name| (*name, Kind::Ratio)));
        let mut table = Table::new("Each month of the test period", &columns);
        for month in &self.by_month {
            let mut cells: Vec<Cell> =
                vec![month.month.as_str().into(), month.rows.into(), month.illicit_rate.into()];
            cells.extend(names.iter().map(|name| month.metrics.get(*name).copied().into()));
            table.row(cells);
        }
        table.render()
    }

    fn features(&self) -> Markup {
        let name = |one: &Importance| if one.label.is_empty() { &one.feature } else { &one.label }.clone();
        let chart = BarChart {
            title: "Share of what the model tells items apart by, %; the first 15 features".to_owned(),
            kind: Kind::Percent,
            numbers: Numbers::default(),
            bars: self.importance.iter().take(15).map(|one| (name(one), one.share)).collect(),
        };
        let columns = [("Feature", Kind::Text), ("Meaning", Kind::Text), ("Share", Kind::Percent)];
        let mut table = Table::new("Every feature named in the report", &columns);
        for one in &self.importance {
            table.row(vec![one.feature.as_str().into(), one.meaning.as_str().into(), one.share.into()]);
        }
        html! {
            (chart.render())
            p {
                "HS 6 × origin: earlier items of the same commodity (the first six digits of its code) and the same \
                 origin together; likewise with the other names. HS 4 is the heading, HS 2 the chapter."
            }
            (table.render())
        }
    }

    fn bins(&self) -> Markup {
        let points: Vec<(f64, f64)> =
            self.calibration.iter().map(|bin| (bin.predicted, bin.observed)).collect();
        let axis = |title: &str| Axis { title: title.to_owned(), share: true, covers: vec![0.0, 1.0] };
        let chart = LineChart {
            title: "Predicted probability against the observed share; on the dotted line both agree"
                .to_owned(),
            x: axis("predicted probability, %"),
            y: axis("observed illicit, %"),
            series: vec![Series { name: "this model".to_owned(), points }],
            reference: Some(Series { name: "perfect".to_owned(), points: vec![(0.0, 0.0), (1.0, 1.0)] }),
            mark: None,
            labels: Vec::new(),
            numbers: Numbers::default(),
        };
        let columns = [("Predicted", Kind::Percent), ("Observed", Kind::Percent), ("Items", Kind::Count)];
        let mut table = Table::new("The bins of the chart", &columns);
        for bin in &self.calibration {
            table.row(vec![bin.predicted.into(), bin.observed.into(), bin.rows.into()]);
        }
        html! { (chart.render()) (table.render()) }
    }
}

/// Months such as `2020-01..2020-12`, as the page shows them.
pub(super) fn months_text(text: &str) -> String {
    match text.split_once("..") {
        Some((first, last)) if first == last => first.to_owned(),
        Some((first, last)) => format!("{first} to {last}"),
        None => text.to_owned(),
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
mod tests {
    use super::*;

    /// A report as large as a real one.
    fn example() -> ModelPage {
        let shares: Vec<f64> = (0..=50).map(|step| f64::from(step) / 100.0).collect();
        let curve =
            |power: f64| shares.iter().map(|share| (*share, 1.0 - (1.0 - share).powf(power))).collect();
        let falling = |rate: f64| {
            shares.iter().skip(1).map(|share| (*share, 0.075 + 0.9 * (-share * rate).exp())).collect()
        };
        let metric = |name: &str, challenger, champion| Metric {
            name: name.to_owned(),
            challenger,
            champion: Some(champion),
        };
        let features = [
            ("importer.illicit_rate", "past illicit rate of the importer"),
            ("hs6_origin.illicit_rate", "past illicit rate of the commodity code from this origin"),
            ("unit_value.ratio", "value per kg against the usual of the commodity code and its origin"),
            ("tax_rate", "rate of other taxes"),
            ("office.illicit_rate", "past illicit rate at the customs office"),
        ];
        ModelPage {
            title: "Fraud selection, fraud@3".to_owned(),
            model: "fraud@3".to_owned(),
            champion: Some("fraud@2".to_owned()),
            country: "KR".to_owned(),
            decision: "Promoted: revenue_recall@5 rises from 0.431 to 0.462, more than the 0.005 asked for."
                .to_owned(),
            capacity: 0.05,
            periods: Months {
                train: "2020-01 to 2020-12".to_owned(),
                valid: "2021-01 to 2021-03".to_owned(),
                test: "2021-04 to 2021-06".to_owned(),
            },
            test_rows: 13_458,
            illicit_rate: 0.0752,
            metrics: vec![
                metric("roc_auc", 0.9412, 0.9325),
                metric("precision@5", 0.951, 0.902),
                metric("recall@5", 0.462, 0.431),
                metric("log_loss", 0.1423, 0.1518),
            ],
            gain: Curves { challenger: curve(12.1), champion: curve(11.0) },
            precision: Curves { challenger: falling(1.2), champion: falling(2.0) },
            revenue: Curves { challenger: curve(14.0), champion: curve(12.5) },
            by_month: (4..=6)
                .map(|month| MonthRow {
                    month: format!("2021-0{month}"),
                    rows: 4_400 + month * 13,
                    illicit_rate: 0.07 + month as f64 / 1000.0,
                    metrics: [("roc_auc".to_owned(), 0.94), ("precision@5".to_owned(), 0.95)].into(),
                })
                .collect(),
            importance: features
                .iter()
                .zip([0.41, 0.22, 0.17, 0.12, 0.08])
                .map(|((feature, meaning), share)| Importance {
                    feature: (*feature).to_owned(),
                    label: String::new(),
                    meaning: (*meaning).to_owned(),
                    share,
                })
                .collect(),
            calibration: (0..10)
                .map(|bin| CalibrationBin {
                    predicted: 0.05 + f64::from(bin) / 10.0,
                    observed: (f64::from(bin) / 9.3).powf(1.15),
                    rows: 9_000 >> bin,
                })
                .collect(),
            selection: (1..=12)
                .map(|rank| SelectedItem {
                    rank,
                    declaration: format!("D2021-{:07}", rank * 7919),
                    item: 1 + rank % 3,
                    date: format!("2021-04-{rank:02}"),
                    importer: if rank == 2 {
                        "<script>alert(1)</script>".to_owned()
                    } else {
                        format!("IMP{:05}", rank * 321)
                    },
                    hs_code: "8517130000".to_owned(),
                    origin: "CN".to_owned(),
                    value: Some(1_250_300.0 / rank as f64),
                    probability: 0.99 - rank as f64 / 100.0,
                    expected_revenue: Some(84_000.0 / rank as f64),
                    illicit: Some(rank != 5),
                    reasons: vec![
                        ("the importer's past illicit rate is 62.5 %".to_owned(), 1.93),
                        ("value per kg is 0.21 of the usual".to_owned(), 1.12),
                        ("the office seldom finds fraud".to_owned(), -0.31),
                    ],
                })
                .collect(),
            currency: "USD".to_owned(),
            version: "0.1.0".to_owned(),
            seed: Some(7),
            snapshot: Some("declarations@12".to_owned()),
        }
    }

    #[test]
    fn the_first_sentence_is_read_from_the_curves() {
        let report = ModelPage {
            capacity: 0.05,
            gain: Curves {
                challenger: vec![(0.0, 0.0), (0.1, 0.92)],
                champion: vec![(0.0, 0.0), (0.1, 0.8)],
            },
            precision: Curves { challenger: vec![(0.01, 0.97), (0.09, 0.93)], champion: vec![] },
            ..ModelPage::default()
        };
        assert_eq!(
            report.headline().replace('\u{a0}', " "),
            "Inspecting the riskiest 5 % of items finds 46 % of the fraud; 95 of 100 inspected items are illicit. \
             Inspecting as many at random would find 5 % of it; the model in use so far finds 40 %."
        );
    }

    #[test]
    fn the_report_is_alone_escaped_and_the_same_each_time() {
        let report = example();
        let html = report.html();
        assert_eq!(html, report.html());
        for bad in ["http://", "https://", "src=", "<script", "<link", "url(", "NaN"] {
            assert!(!html.contains(bad), "{bad}");
        }
        assert!(html.contains("&lt;script&gt;alert(1)") && html.contains("Promoted: "));
        assert_eq!(html.matches("<h2 ").count(), 7);
        tidewaiter_report::keep("fraud.html", &html).expect("the folder can be written");
    }

    #[test]
    fn what_is_missing_is_left_out() {
        let html =
            ModelPage { title: "T".to_owned(), model: "fraud@1".to_owned(), ..ModelPage::default() }.html();
        assert_eq!(html.matches("<h2 ").count(), 0);
        assert!(html.contains("does not reach"));
    }

    #[test]
    fn the_page_made_from_json_is_the_same() {
        let report = example();
        let json = serde_json::to_string(&report).expect("serialises");
        let parsed: ModelPage = serde_json::from_str(&json).expect("parses");
        assert_eq!(parsed.html(), report.html());
    }
}
