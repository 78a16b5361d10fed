//! The fraud model's report: how good its selection is, for a customs manager first and an analyst second.
//!
//! The caller fills [`FraudReport`]; this module only shows it. All shares and probabilities are in 0..=1.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::{
    chart::{
        bar::BarChart,
        line::{Axis, LineChart, Series},
    },
    format,
    page::{Footer, Page, Section},
    table::{Cell, Kind, Table},
};

/// Everything that the report shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FraudReport {
    /// Title of the page.
    pub title: String,
    /// The new model, `name@version`.
    pub model: String,
    /// The model in use, `name@version`, where there is one.
    pub champion: Option<String>,
    /// Whether the new model takes the champion's place, and why.
    pub decision: String,
    /// Share of items that customs can inspect; the first sentence speaks of it.
    pub capacity: f64,
    /// Training, validation and test months.
    pub periods: Periods,
    /// Goods items in the test months.
    pub test_rows: u64,
    /// Share of them that is illicit.
    pub illicit_rate: f64,
    /// Metrics on the test months.
    pub metrics: Vec<Metric>,
    /// Share inspected to share of fraud found.
    pub gain: Curves,
    /// Share inspected to share of the inspected that is illicit.
    pub precision: Curves,
    /// The test month by month.
    pub by_month: Vec<Month>,
    /// What the model looks at.
    pub importance: Vec<Importance>,
    /// Predicted probability against the observed rate.
    pub calibration: Vec<CalibrationBin>,
    /// The riskiest items, in order.
    pub selection: Vec<SelectedItem>,
    /// Currency of the amounts, ISO 4217; empty: not named.
    pub currency: String,
    /// Version of the program that made the report.
    pub version: String,
    /// Seed of the fit.
    pub seed: Option<u64>,
    /// Snapshot of the archive that was read.
    pub snapshot: Option<String>,
}

/// Months as text, such as `2020-01 to 2020-12`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Periods {
    /// Months that the model learned from.
    pub train: String,
    /// Months that stopped the fit.
    pub valid: String,
    /// Months that it was judged on.
    pub test: String,
}

/// One metric of both models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name, such as `precision@5`.
    pub name: String,
    /// Value of the new model.
    pub challenger: f64,
    /// Value of the model in use.
    pub champion: Option<f64>,
}

/// One curve per model: points of (share inspected, value), by rising share.
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
pub struct Month {
    /// Year and month, `2021-04`.
    pub month: String,
    /// Goods items.
    pub rows: u64,
    /// Share that is illicit.
    pub illicit_rate: f64,
    /// Metrics by their names; each becomes a column.
    pub metrics: BTreeMap<String, f64>,
}

/// How much a feature contributes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// Its name.
    pub feature: String,
    /// What it means.
    pub meaning: String,
    /// Its share of the model's gain.
    pub share: f64,
}

/// Items of similar predicted probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Their mean prediction.
    pub predicted: f64,
    /// The share that proved illicit.
    pub observed: f64,
    /// How many there are.
    pub rows: u64,
}

/// One item selected for inspection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SelectedItem {
    /// Place in the order, from 1.
    pub rank: u64,
    /// Declaration.
    pub declaration: String,
    /// Number of the goods item.
    pub item: u64,
    /// Day of acceptance, `2021-04-01`.
    pub date: String,
    /// Importer.
    pub importer: String,
    /// Commodity code.
    pub hs_code: String,
    /// Country of origin.
    pub origin: String,
    /// Customs value.
    pub value: Option<f64>,
    /// Predicted probability of fraud.
    pub probability: f64,
    /// Revenue expected from inspecting it.
    pub expected_revenue: Option<f64>,
    /// Why: a text and its contribution in log-odds, the strongest first.
    pub reasons: Vec<(String, f64)>,
}

/// A section of the page: anchor, heading, whether there is anything to show, and its body.
type Part = (&'static str, &'static str, bool, fn(&FraudReport) -> Markup);

impl FraudReport {
    /// The report's HTML file.
    pub fn html(&self) -> String {
        let mut facts = vec![("Model".to_owned(), self.model.clone())];
        facts.push(("Model in use".to_owned(), self.champion.clone().unwrap_or_else(|| "none".to_owned())));
        for (name, period) in [
            ("Learned from", &self.periods.train),
            ("Fit stopped by", &self.periods.valid),
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
        let parts: [Part; 7] = [
            ("decision", "Decision", !self.decision.is_empty(), |it| html! { p { (it.decision) } }),
            ("curves", "What more inspections find", !self.gain.challenger.is_empty(), Self::curves),
            ("metrics", "Metrics on the test months", !self.metrics.is_empty(), Self::metrics),
            ("months", "Month by month", !self.by_month.is_empty(), Self::months),
            ("features", "What the model looks at", !self.importance.is_empty(), Self::features),
            ("calibration", "Can its probabilities be trusted?", !self.calibration.is_empty(), Self::bins),
            ("selection", "Items to inspect first", !self.selection.is_empty(), Self::items),
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
        let mut text = format!(
            "Inspecting the riskiest {capacity} of items finds {:.0}\u{a0}% of the fraud",
            found * 100.0
        );
        if let Some(precision) = read(&self.precision.challenger, self.capacity) {
            text.push_str(&format!("; {:.0} of 100 inspected items are illicit", precision * 100.0));
        }
        text.push_str(&format!(". Inspecting as many at random would find {capacity} of it"));
        if let Some(champion) = read(&self.gain.champion, self.capacity) {
            text.push_str(&format!("; the model in use finds {:.0}\u{a0}%", champion * 100.0));
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
                name: format!("{} (in use)", name("champion", model)),
                points: curves.champion.clone(),
            });
        }
        series
    }

    fn curves(&self) -> Markup {
        let x = Axis { title: "items inspected, % of all".to_owned(), share: true, covers: vec![0.0] };
        let gain = LineChart {
            title: "Fraud found by inspecting the riskiest items first".to_owned(),
            x: x.clone(),
            y: Axis { title: "fraud found, % of all".to_owned(), share: true, covers: vec![0.0, 1.0] },
            series: self.lines(&self.gain),
            reference: self.gain.challenger.last().map(|(share, _)| Series {
                name: "at random".to_owned(),
                points: vec![(0.0, 0.0), (*share, *share)],
            }),
            labels: Vec::new(),
        };
        let precision = LineChart {
            title: "Illicit items among the inspected".to_owned(),
            x,
            y: Axis { title: "illicit, % of inspected".to_owned(), share: true, covers: vec![0.0, 1.0] },
            series: self.lines(&self.precision),
            reference: self.precision.challenger.last().map(|(share, _)| Series {
                name: "at random".to_owned(),
                points: vec![(0.0, self.illicit_rate), (*share, self.illicit_rate)],
            }),
            labels: Vec::new(),
        };
        html! {
            (gain.render())
            @if !self.precision.challenger.is_empty() { (precision.render()) }
        }
    }

    fn metrics(&self) -> Markup {
        let mut columns = vec![("Metric", Kind::Text), ("This model", Kind::Ratio)];
        if self.champion.is_some() {
            columns.extend([("Model in use", Kind::Ratio), ("Difference", Kind::Ratio)]);
        }
        let mut table = Table::new("Measured on months that neither model learned from", &columns);
        for metric in &self.metrics {
            let difference = metric.champion.map(|champion| metric.challenger - champion);
            table.row(vec![
                metric.name.as_str().into(),
                metric.challenger.into(),
                metric.champion.into(),
                difference.into(),
            ]);
        }
        html! {
            (table.render())
            p {
                "precision@K: share of illicit items among the riskiest K % of items. recall@K: share of all illicit \
                 items found there. revenue_recall@K: the same, weighted by the revenue at stake. roc_auc: 0.5 is \
                 chance, 1 is perfect. log_loss: lower is better."
            }
        }
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
        let name =
            |one: &Importance| if one.meaning.is_empty() { &one.feature } else { &one.meaning }.clone();
        let chart = BarChart {
            title: "Share of the model's gain, % of all; the first 15 features".to_owned(),
            kind: Kind::Percent,
            bars: self.importance.iter().take(15).map(|one| (name(one), one.share)).collect(),
        };
        let columns = [("Feature", Kind::Text), ("Meaning", Kind::Text), ("Share of gain", Kind::Percent)];
        let mut table = Table::new("Every feature named in the report", &columns);
        for one in &self.importance {
            table.row(vec![one.feature.as_str().into(), one.meaning.as_str().into(), one.share.into()]);
        }
        html! { (chart.render()) (table.render()) }
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
            labels: Vec::new(),
        };
        let columns = [("Predicted", Kind::Percent), ("Observed", Kind::Percent), ("Items", Kind::Count)];
        let mut table = Table::new("The bins of the chart", &columns);
        for bin in &self.calibration {
            table.row(vec![bin.predicted.into(), bin.observed.into(), bin.rows.into()]);
        }
        html! { (chart.render()) (table.render()) }
    }

    fn items(&self) -> Markup {
        let columns = [
            ("Rank", Kind::Count),
            ("Declaration / item", Kind::Text),
            ("Date", Kind::Text),
            ("Importer", Kind::Text),
            ("HS code", Kind::Text),
            ("Origin", Kind::Text),
            ("Value", Kind::Money),
            ("Probability", Kind::Percent),
            ("Expected revenue", Kind::Money),
            ("Reasons", Kind::Text),
        ];
        let mut table =
            Table::new("The riskiest items; ▲ raises the risk, ▼ lowers it, in log-odds", &columns);
        for item in &self.selection {
            let reasons = html! {
                ul {
                    @for (text, contribution) in &item.reasons {
                        li { (if *contribution < 0.0 { "▼ " } else { "▲ " }) (text) " (" (format::fixed(*contribution, 2)) ")" }
                    }
                }
            };
            table.row(vec![
                item.rank.into(),
                Cell::Text(format!("{} / {}", item.declaration, item.item)),
                Cell::Markup(html! { span style="white-space:nowrap" { (item.date) } }),
                item.importer.as_str().into(),
                item.hs_code.as_str().into(),
                item.origin.as_str().into(),
                item.value.into(),
                item.probability.into(),
                item.expected_revenue.into(),
                Cell::Markup(reasons),
            ]);
        }
        table.render()
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
    fn example() -> FraudReport {
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
        FraudReport {
            title: "Fraud selection, fraud@3".to_owned(),
            model: "fraud@3".to_owned(),
            champion: Some("fraud@2".to_owned()),
            decision: "Promoted: revenue_recall@5 rises from 0.431 to 0.462, more than the 0.005 asked for."
                .to_owned(),
            capacity: 0.05,
            periods: Periods {
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
            by_month: (4..=6)
                .map(|month| Month {
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
        let report = FraudReport {
            capacity: 0.05,
            gain: Curves {
                challenger: vec![(0.0, 0.0), (0.1, 0.92)],
                champion: vec![(0.0, 0.0), (0.1, 0.8)],
            },
            precision: Curves { challenger: vec![(0.01, 0.97), (0.09, 0.93)], champion: vec![] },
            ..FraudReport::default()
        };
        assert_eq!(
            report.headline().replace('\u{a0}', " "),
            "Inspecting the riskiest 5 % of items finds 46 % of the fraud; 95 of 100 inspected items are illicit. \
             Inspecting as many at random would find 5 % of it; the model in use finds 40 %."
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
        let file = std::env::temp_dir().join("tidewaiter-report-fraud.html");
        std::fs::write(file, html).expect("written for a look at it");
    }

    #[test]
    fn what_is_missing_is_left_out() {
        let html =
            FraudReport { title: "T".to_owned(), model: "fraud@1".to_owned(), ..FraudReport::default() }
                .html();
        assert_eq!(html.matches("<h2 ").count(), 0);
        assert!(html.contains("does not reach"));
    }

    #[test]
    fn json_keeps_every_part() {
        let report = example();
        let json = serde_json::to_string(&report).expect("serialises");
        let read: FraudReport = serde_json::from_str(&json).expect("parses");
        assert_eq!(
            (&read.title, &read.metrics, &read.by_month),
            (&report.title, &report.metrics, &report.by_month)
        );
        assert_eq!(read.gain.challenger.len(), report.gain.challenger.len());
        assert_eq!(read.selection.len(), report.selection.len());
    }
}
