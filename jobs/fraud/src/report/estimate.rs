//! What a model's page says of all items, where only inspected ones have a known outcome: a sentence, and a table with the
//! assumption that it rests on. See [`crate::population`].

use maud::{Markup, html};
use tidewaiter_report::{
    table::{Cell, Kind},
    words::Words,
};

use crate::{
    metrics::PERCENTS,
    population::{Basis, Estimate, Estimated, LEAST_ILLICIT, LEAST_INSPECTED, NoEstimate, Population},
};

/// What an estimate is made from.
pub(super) fn source(words: &Words, basis: Basis) -> &str {
    match basis {
        Basis::Propensity => words.say("predicted chances of inspection"),
        Basis::Random { .. } => words.say("random inspections"),
    }
}

/// A share with its interval: `23.4 % (95 % interval 21.0 to 25.8)`.
pub(super) fn interval(words: &Words, figure: Estimated) -> String {
    with_interval(words, &words.numbers().percent(figure.value), [figure.low, figure.high])
}

/// The text of a share with the ends of its interval, 0 to 1. An end that is not 0 or 1 is not shown as that.
pub(super) fn with_interval(words: &Words, share: &str, ends: [f64; 2]) -> String {
    let [low, high] = ends.map(|end| words.numbers().percent(end).trim_end_matches("\u{a0}%").to_owned());
    words.fill("{value} (95 % interval {low} to {high})", &[("value", share), ("low", &low), ("high", &high)])
}

/// What inspecting a share of all items, 0 to 1, is estimated to find; `None` for a share without an estimate.
pub(super) fn headline(words: &Words, estimate: &Estimate, capacity: f64) -> Option<String> {
    let percent = PERCENTS.into_iter().find(|percent| (percent / 100.0 - capacity).abs() < 1e-9)?;
    let figure = |what: &str| estimate.at(what, percent).map(|figure| interval(words, figure));
    let (recall, revenue, precision) = (figure("recall")?, figure("revenue_recall"), figure("precision"));
    let mut text = words.fill(
        "Of all items of the test months, inspecting the riskiest {capacity} is estimated, from {source}, to find {recall} of \
         the fraud",
        &[
            ("capacity", &words.percent(capacity)),
            ("source", source(words, estimate.basis)),
            ("recall", &recall),
        ],
    );
    if let Some(revenue) = revenue {
        text.push_str(&words.fill(" and {share} of the revenue to be recovered", &[("share", &revenue)]));
    }
    if let Some(precision) = precision {
        text.push_str(&words.fill("; {share} of the inspected would be illicit", &[("share", &precision)]));
    }
    text.push('.');
    Some(text)
}

/// The estimate for all items, or why there is none; nothing where all items have a known outcome.
pub(super) fn section(words: &Words, population: &Population) -> Markup {
    let estimate = match population {
        Population::All => return html! {},
        Population::Inspected { why } => {
            return html! {
                p {
                    (words.fill(
                        "All figures of this page are of the items with a known outcome, which were inspected because \
                         somebody suspected them. There is no estimate for all items: {why}.",
                        &[("why", &reason(words, *why))],
                    ))
                }
            };
        }
        Population::Estimated(estimate) => estimate,
    };
    let columns = [
        ("Inspected", Kind::Percent),
        ("Fraud found", Kind::Text),
        ("Illicit among the inspected", Kind::Text),
        ("Revenue found", Kind::Text),
    ];
    let caption = words.fill(
        "Estimated for all items of the test months from {source}, with 95 % intervals",
        &[("source", source(words, estimate.basis))],
    );
    let mut table = words.table(&caption, &columns);
    for percent in PERCENTS {
        let cell = |what: &str| match estimate.at(what, percent) {
            Some(figure) => Cell::Text(interval(words, figure)),
            None => Cell::Absent,
        };
        table.row(vec![(percent / 100.0).into(), cell("recall"), cell("precision"), cell("revenue_recall")]);
    }
    html! {
        (table.render())
        p { (assumption(words, estimate)) }
    }
}

/// For what the inspected items stand, and what must be true for that.
fn assumption(words: &Words, estimate: &Estimate) -> String {
    let [inspected, items] = [estimate.inspected, estimate.items].map(|number| words.count(number));
    let weight = words.numbers().count(estimate.most_weight);
    match estimate.basis {
        Basis::Random { drawn } => words.fill(
            "Outcomes are known of {inspected} of {items} items, those that were inspected. A random draw alone chose {drawn} \
             of them; they stand for all items that nothing else chose, each for {weight}. Those that a rule or an inspector \
             chose count for themselves. The estimate holds whatever the rule knew, if the draw gave all items one chance. \
             Curves, metrics and months below are of the inspected items alone.",
            &[
                ("inspected", &inspected),
                ("items", &items),
                ("drawn", &words.count(drawn)),
                ("weight", &weight),
            ],
        ),
        Basis::Propensity => words.fill(
            "Outcomes are known of {inspected} of {items} items, those that were inspected. An inspected item stands for as \
             many items as had its chance of being inspected, for each of them that was: for up to {weight}. The chance is \
             predicted from the features. The estimate holds where the choice of what to inspect knew no more than these; \
             an inspector's own suspicion makes it too high. Curves, metrics and months below are of the inspected items \
             alone.",
            &[("inspected", &inspected), ("items", &items), ("weight", &weight)],
        ),
    }
}

/// Why there is no estimate.
fn reason(words: &Words, why: NoEstimate) -> String {
    let count = |number: usize| words.count(number as u64);
    match why {
        NoEstimate::NotPredicted => words.say("the chance of inspection was not predicted").to_owned(),
        NoEstimate::TooFew { inspected, illicit } => words.fill(
            "it takes {least} inspected items with {least_illicit} illicit ones among them, and there are {inspected} with \
             {illicit}",
            &[
                ("least", &count(LEAST_INSPECTED)),
                ("least_illicit", &count(LEAST_ILLICIT)),
                ("inspected", &words.count(inspected)),
                ("illicit", &words.count(illicit)),
            ],
        ),
        NoEstimate::Unlike { share } => words.fill(
            "{share} of the items are unlike all that were inspected",
            &[("share", &words.numbers().percent(share))],
        ),
    }
}

/// An estimate as a page shows it.
#[cfg(test)]
pub(super) fn example() -> Estimate {
    let figures = [
        ("illicit", (0.04, 0.03, 0.05)),
        ("recall@5", (0.31, 0.25, 0.38)),
        ("precision@5", (0.42, 0.4, 0.44)),
    ];
    let figure = |(value, low, high)| Estimated { value, low, high };
    Estimate {
        items: 130_000,
        inspected: 13_458,
        basis: Basis::Propensity,
        most_weight: 41.3,
        figures: figures.into_iter().map(|(name, it)| (name.to_owned(), figure(it))).collect(),
    }
}
