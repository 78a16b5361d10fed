//! Metrics of one model or two as a table, each with its meaning.

use maud::Markup;
use serde::{Deserialize, Serialize};
use tidewaiter_report::{
    table::{Cell, Kind},
    words::Words,
};

use crate::{
    metrics::{Metrics, PERCENTS, inspected},
    scored::RankBy,
    significance::Intervals,
};

/// One metric of both models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name, such as `precision@5`.
    pub name: String,
    /// Value of the new model.
    pub challenger: f64,
    /// How many items it is about, where it is about the riskiest ones.
    #[serde(default)]
    pub items: Option<u64>,
    /// The 95 % interval of the new model's value, where there is one.
    #[serde(default)]
    pub interval: Option<[f64; 2]>,
    /// Value of the model in use so far.
    pub champion: Option<f64>,
}

/// The metrics at each share inspected, as the names in [`Metrics::at`] begin.
pub(super) const AT_K: [&str; 4] = ["precision", "recall", "f1", "revenue_recall"];

/// The metrics in the order of the table: overall ones, then each at ascending shares.
pub(super) fn metric_rows(
    challenger: &Metrics,
    champion: Option<&Metrics>,
    intervals: &Intervals,
) -> Vec<Metric> {
    let overall = |name: &str, of: fn(&Metrics) -> f64| Metric {
        name: name.to_owned(),
        challenger: of(challenger),
        items: None,
        interval: intervals.get(name).copied(),
        champion: champion.map(of),
    };
    let mut rows = vec![
        overall("average_precision", |of| of.average_precision),
        overall("roc_auc", |of| of.roc_auc),
        overall("log_loss", |of| of.log_loss),
    ];
    for what in AT_K {
        for percent in PERCENTS {
            let name = format!("{what}@{percent}");
            if let Some(value) = challenger.at.get(&name) {
                let champion = champion.and_then(|champion| champion.at.get(&name).copied());
                let items = inspected(challenger.rows as usize, percent) as u64;
                let interval = intervals.get(&name).copied();
                rows.push(Metric { name, challenger: *value, items: Some(items), interval, champion });
            }
        }
    }
    rows
}

/// The meaning of a metric of a ranking by its name; empty for an unknown name.
fn meaning(words: &Words, name: &str, rank_by: RankBy) -> String {
    let Some((what, percent)) = name.split_once('@') else {
        let text = match name {
            "average_precision" => {
                words.say("illicit share of the list down to each illicit item, on average; 1 is perfect")
            }
            "roc_auc" => {
                words.say("chance that an illicit item stands above a clean one; 0.5 at random, 1 perfect")
            }
            "log_loss" => words.say("error of the probabilities; lower is better"),
            _ => "",
        };
        return text.to_owned();
    };
    let percent = percent.parse::<f64>().map_or(f64::NAN, |percent| percent / 100.0);
    let percent = words.percent(percent);
    let values = [("percent", percent.as_str())];
    if rank_by == RankBy::Revenue {
        return meaning_by_revenue(words, what, &values);
    }
    match what {
        "precision" => words.fill("illicit share of the riskiest {percent} of items", &values),
        "recall" => words.fill("share of all illicit items among the riskiest {percent} of items", &values),
        "f1" => {
            words.fill("harmonic mean of precision and recall among the riskiest {percent} of items", &values)
        }
        "revenue_recall" => {
            words.fill("share of all revenue recovered among the riskiest {percent} of items", &values)
        }
        _ => String::new(),
    }
}

/// The same of a ranking by expected revenue.
fn meaning_by_revenue(words: &Words, what: &str, values: &[(&str, &str)]) -> String {
    match what {
        "precision" => {
            words.fill("illicit share of the {percent} of items with the highest expected revenue", values)
        }
        "recall" => words.fill(
            "share of all illicit items among the {percent} of items with the highest expected revenue",
            values,
        ),
        "f1" => words.fill(
            "harmonic mean of precision and recall among the {percent} of items with the highest expected revenue",
            values,
        ),
        "revenue_recall" => words.fill(
            "share of all revenue recovered among the {percent} of items with the highest expected revenue",
            values,
        ),
        _ => String::new(),
    }
}

/// The meaning of a metric, and of how many items it is: a share of few is little more than chance.
fn meaning_of(words: &Words, metric: &Metric, rank_by: RankBy) -> String {
    let meaning = meaning(words, &metric.name, rank_by);
    match metric.items {
        None => meaning,
        Some(1) => words.fill("{meaning}: of one item", &[("meaning", &meaning)]),
        Some(items) => {
            words.fill("{meaning}: of {n} items", &[("meaning", &meaning), ("n", &words.count(items))])
        }
    }
}

/// The table of metrics of a ranking: of one model, or of both and their difference.
pub(super) fn table(
    words: &Words,
    caption: &str,
    metrics: &[Metric],
    compares: bool,
    rank_by: RankBy,
) -> Markup {
    let mut columns = vec![("Metric", Kind::Text), ("Meaning", Kind::Text), ("This model", Kind::Ratio)];
    let has_intervals = metrics.iter().any(|metric| metric.interval.is_some());
    if has_intervals {
        columns.push(("95 % interval", Kind::Text));
    }
    if compares {
        columns.extend([("Champion so far", Kind::Ratio), ("Difference", Kind::Ratio)]);
    }
    let mut table = words.table(caption, &columns);
    for metric in metrics {
        let difference = metric.champion.map(|champion| metric.challenger - champion);
        let mut cells = vec![
            metric.name.as_str().into(),
            Cell::Text(meaning_of(words, metric, rank_by)),
            metric.challenger.into(),
        ];
        if has_intervals {
            cells.push(metric.interval.map_or(Cell::Absent, |[low, high]| {
                let [low, high] = [low, high].map(|end| words.numbers().ratio(end));
                Cell::Text(words.fill("{low} to {high}", &[("low", &low), ("high", &high)]))
            }));
        }
        if compares {
            cells.extend([metric.champion.into(), difference.into()]);
        }
        table.row(cells);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        crate::report::words(tidewaiter_report::words::Language::English)
    }

    #[test]
    fn names_are_explained() {
        let meaning = |name: &str| meaning(&words(), name, RankBy::Probability);
        assert_eq!(meaning("precision@0.1"), "illicit share of the riskiest 0.1\u{a0}% of items");
        assert_eq!(meaning("recall@10"), "share of all illicit items among the riskiest 10\u{a0}% of items");
        assert!(meaning("roc_auc").contains("0.5"));
        let precision = |items| Metric { items: Some(items), ..metric("precision@0.1") };
        let meaning_of = |metric: &Metric| meaning_of(&words(), metric, RankBy::Probability);
        assert!(meaning_of(&precision(1)).ends_with("of items: of one item"));
        assert!(meaning_of(&precision(1200)).ends_with("of items: of 1,200 items"));
        assert_eq!((meaning("accuracy@1/6"), meaning("colour")), (String::new(), String::new()));
    }

    fn metric(name: &str) -> Metric {
        Metric { name: name.to_owned(), challenger: 0.9, items: None, interval: None, champion: Some(0.85) }
    }

    fn shown(metric: Metric, compares: bool, rank_by: RankBy) -> String {
        table(&words(), "c", &[metric], compares, rank_by).into_string()
    }

    #[test]
    fn one_model_has_no_column_for_the_other() {
        let alone = shown(metric("roc_auc"), false, RankBy::Probability);
        assert!(!alone.contains("Champion so far") && !alone.contains("0.850"));
        assert!(shown(metric("roc_auc"), true, RankBy::Probability).contains("0.050"));
        assert!(!alone.contains("95 % interval"));
        let known = Metric { interval: Some([0.8123, 0.9501]), ..metric("roc_auc") };
        let html = shown(known, false, RankBy::Probability);
        assert!(html.contains("95 % interval") && html.contains("0.812 to 0.950"), "{html}");
    }

    #[test]
    fn the_metrics_of_a_ranking_by_revenue_do_not_speak_of_the_riskiest() {
        for name in ["precision@1", "recall@5", "f1@5", "revenue_recall@5"] {
            let html = shown(metric(name), false, RankBy::Revenue);
            assert!(html.contains("with the highest expected revenue"), "{html}");
            assert!(!html.contains("riskiest"), "{html}");
        }
    }
}
