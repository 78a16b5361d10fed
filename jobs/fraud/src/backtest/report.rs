//! The report of a backtest: one HTML page, and every figure as CSV and Parquet.

use maud::{Markup, html};
use tidewaiter_core::{Result, statistics::Interval};
use tidewaiter_declarations::DECLARATIONS;
use tidewaiter_job::Job;
use tidewaiter_report::{
    chart::{
        SERIES,
        line::{Axis, LineChart, Series},
    },
    data::{as_csv, as_parquet},
    format,
    page::{Footer, Page, Section},
    table::{Cell, Kind, Table},
};

use super::{
    figures::PeriodFigures,
    parameters::Parameters,
    span::Span,
    strategy::Exploit,
    summary::{FIGURES, StrategySummary, Summary},
};
use crate::calendar::date_of;

/// Features in the table of drift.
const DRIFT_ROWS: usize = 12;

/// Writes the page and the tables; gives the paths of the page and of the tables' folder.
pub(super) fn write<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
    span: &'a Span,
    summary: &'a Summary,
) -> impl Future<Output = Result<Vec<String>>> + use<'a> {
    let (archive, id) = (job.archive, job.outcome.job.clone());
    async move {
        let page = format!("reports/backtest-{id}.html");
        archive.put(&page, html(parameters, span, summary)).await?;
        let folder = format!("reports/backtest-{id}");
        for (name, table) in summary.tables()? {
            archive.put(&format!("{folder}/{name}.csv"), as_csv(&table)?).await?;
            archive.put(&format!("{folder}/{name}.parquet"), as_parquet(&table)?).await?;
        }
        Ok(vec![page, folder])
    }
}

/// The page.
pub(super) fn html(parameters: &Parameters, span: &Span, summary: &Summary) -> String {
    let Parameters { country, from, to, inspection_rate, exploration, seeds, period_days, .. } = parameters;
    let total = summary.strategies.first().map(|first| PeriodFigures::total(&first.runs[0].1));
    let total = total.unwrap_or_default();
    let facts = [
        ("Country", country.clone()),
        ("Walked", format!("{} to {}", from.first().format("%Y-%m"), to.first().format("%Y-%m"))),
        ("Periods", format!("{} of {period_days} days", summary.periods().len())),
        ("Items walked", format::count(total.items as f64)),
        ("Items with a known truth", format::count(total.known as f64)),
        ("Illicit among them", total_share(&total)),
        ("Inspected", format::percent_short(*inspection_rate)),
        ("Of these, hybrids explore", format::percent_short(*exploration)),
        ("Label delay", days(parameters.features.label_delay_days)),
        ("Seeds", seeds.to_string()),
        (
            "History before",
            format!(
                "{} items, {} outcomes",
                format::count(summary.warm_up.0 as f64),
                format::count(summary.warm_up.1 as f64)
            ),
        ),
    ];
    let mut sections = vec![
        section("strategies", "The strategies compared", strategies(summary)),
        section(
            "precision",
            "Precision, period by period",
            curves(summary, "precision", ("Mean over seeds", "illicit, % of inspected")),
        ),
        section(
            "recall",
            "Share of the illicit items found",
            curves(summary, "recall", ("Mean over seeds", "inspected, % of illicit")),
        ),
    ];
    if total.revenue > 0.0 {
        sections.push(section("revenue", "Revenue found", revenue(summary)));
    }
    sections.push(section("drift", "Drift of what is declared", drift(summary)));
    if summary.strategies.iter().any(|strategy| strategy.strategy.needs_model()) {
        sections.push(section("calibration", "Can the probabilities be trusted?", calibration(summary)));
    }
    sections.push(section("method", "How it was measured", method(parameters)));
    Page {
        title: format!("Backtest of fraud selection, {country}"),
        subtitle: "Strategies of inspection, walked over the past as a customs house would have lived it"
            .to_owned(),
        lead: lead(summary),
        facts: facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        sections,
        footer: Footer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: Some(parameters.seed),
            snapshot: Some(format!("{DECLARATIONS}@{}", span.version)),
        },
        ..Page::default()
    }
    .render()
}

fn days(count: u32) -> String {
    if count == 1 { "1 day".to_owned() } else { format!("{count} days") }
}

fn section(anchor: &'static str, title: &str, body: Markup) -> Section {
    Section { anchor, title: title.to_owned(), body }
}

fn total_share(total: &PeriodFigures) -> String {
    let known = total.known.max(1) as f64;
    format!("{} ({})", format::count(total.illicit as f64), format::percent(total.illicit as f64 / known))
}

/// A share with its interval: `23.4 % (21.0 to 25.8)`.
fn interval_text(interval: Interval) -> String {
    match (interval.low, interval.high) {
        (Some(low), Some(high)) => format!(
            "{} ({} to {})",
            format::percent(interval.mean),
            format::fixed(low * 100.0, 1),
            format::fixed(high * 100.0, 1)
        ),
        _ => format::percent(interval.mean),
    }
}

/// The lead: which strategy has the highest recall, compared with `gbdt` and `random`.
fn lead(summary: &Summary) -> String {
    let recall = |one: &StrategySummary| one.overall(FIGURES[1].1).map(|interval| interval.mean);
    let mut order: Vec<(&StrategySummary, f64)> =
        summary.strategies.iter().filter_map(|one| Some((one, recall(one)?))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let Some((best, share)) = order.first() else {
        return "No illicit item is known in these months, so that no strategy can be judged.".to_owned();
    };
    let mut text = format!("{} found {} of the illicit items", best.strategy, format::percent(*share));
    let others: Vec<String> = ["gbdt", "random"]
        .iter()
        .filter(|name| **name != best.strategy.name)
        .filter_map(|name| order.iter().find(|(one, _)| one.strategy.name == *name))
        .map(|(one, share)| match one.strategy.exploit {
            Exploit::Nothing => format!("{} by lot", format::percent(*share)),
            _ => format!("{} by exploitation alone", format::percent(*share)),
        })
        .collect();
    if !others.is_empty() {
        text.push_str(&format!(", against {}", others.join(" and ")));
    }
    text.push('.');
    text
}

fn strategies(summary: &Summary) -> Markup {
    let mut table = Table::new(
        "Each strategy over all periods: the mean over seeds, with its 95 % interval",
        &[
            ("Strategy", Kind::Text),
            ("Precision", Kind::Text),
            ("Recall", Kind::Text),
            ("F1", Kind::Text),
            ("Revenue recall", Kind::Text),
            ("Norm-precision", Kind::Text),
            ("Norm-revenue", Kind::Text),
            ("Explored", Kind::Percent),
            ("Revealed nothing", Kind::Count),
        ],
    );
    for strategy in &summary.strategies {
        let mut cells: Vec<Cell> = vec![strategy.strategy.name.into()];
        cells.extend(FIGURES.iter().map(|(_, figure)| match strategy.overall(*figure) {
            Some(interval) => Cell::Text(interval_text(interval)),
            None => Cell::Absent,
        }));
        cells.push(strategy.total.exploration.into());
        cells.push(strategy.total.unknown.into());
        table.row(cells);
    }
    html! {
        (table.render())
        p {
            "Precision is the illicit share of the inspected items, recall the share of all illicit items that were "
            "inspected, F1 the harmonic mean of the two, revenue recall the share of all revenue. The norm figures are "
            "shares of the best that so many inspections could have reached."
        }
    }
}

/// Charts of a figure by period (see [`charts`]).
fn curves(summary: &Summary, name: &str, (title, axis): (&str, &str)) -> Markup {
    let Some((_, figure)) = FIGURES.iter().find(|known| known.0 == name) else { return html! {} };
    let points = |strategy: &StrategySummary| {
        let mean = |period| strategy.of_period(period, *figure).map_or(f64::NAN, |interval| interval.mean);
        (0..summary.periods().len()).map(|period| (period as f64, mean(period))).collect()
    };
    charts(summary, (title, axis), true, &points)
}

/// One line for each strategy, over the periods; as many charts as it takes with [`SERIES`] lines in each.
fn charts(
    summary: &Summary,
    (title, axis): (&str, &str),
    share: bool,
    points: &dyn Fn(&StrategySummary) -> Vec<(f64, f64)>,
) -> Markup {
    let labels: Vec<String> =
        summary.periods().iter().map(|one| date_of(one.first_day).to_string()).collect();
    let chart = |strategies: &[StrategySummary]| {
        LineChart {
            title: title.to_owned(),
            x: Axis { title: "first day of the period".to_owned(), ..Axis::default() },
            y: Axis { title: axis.to_owned(), share, covers: vec![0.0] },
            series: strategies
                .iter()
                .map(|strategy| Series { name: strategy.strategy.name.to_owned(), points: points(strategy) })
                .collect(),
            labels: labels.clone(),
            ..LineChart::default()
        }
        .render()
    };
    html! { @for group in summary.strategies.chunks(SERIES) { (chart(group)) } }
}

fn revenue(summary: &Summary) -> Markup {
    let cumulative = |strategy: &StrategySummary| {
        strategy.cumulative().into_iter().enumerate().map(|(at, sum)| (at as f64, sum)).collect()
    };
    html! {
        (charts(summary, ("Found since the first day, mean over seeds", "revenue, national currency"), false, &cumulative))
        (curves(summary, "revenue_recall", ("By period, mean over seeds", "found, % of all revenue")))
    }
}

fn drift(summary: &Summary) -> Markup {
    let mut worst: std::collections::BTreeMap<&str, (f64, f64, usize)> = std::collections::BTreeMap::new();
    for one in &summary.drift {
        let held = worst.entry(one.feature.as_str()).or_insert((f64::NEG_INFINITY, 0.5, 0));
        if one.psi > held.0 {
            *held = (one.psi, one.auc, one.period);
        }
    }
    let mut order: Vec<_> = worst.into_iter().collect();
    order.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    let mut table = Table::new(
        "The features that moved most, each in its worst period",
        &[
            ("Feature", Kind::Text),
            ("PSI", Kind::Ratio),
            ("Two-sample AUC", Kind::Ratio),
            ("Period from", Kind::Text),
        ],
    );
    for (feature, (psi, auc, period)) in order.into_iter().take(DRIFT_ROWS) {
        let day = summary.periods().get(period).map(|one| date_of(one.first_day).to_string());
        table.row(vec![feature.into(), psi.into(), auc.into(), day.as_deref().into()]);
    }
    html! {
        (table.render())
        p {
            "The population stability index compares a period with a sample of the time before the backtest; above "
            "0.25 is commonly called a large shift. The area under the ROC curve says how well one value of the feature "
            "tells the two apart: 0.5 is not at all. A new trick need not show here: it can change what is illicit "
            "without changing what is declared."
        }
    }
}

fn calibration(summary: &Summary) -> Markup {
    let mut table = Table::new(
        "All items of known truth by their predicted probability, whether inspected or not",
        &[
            ("Strategy", Kind::Text),
            ("Probability", Kind::Text),
            ("Items", Kind::Count),
            ("Predicted", Kind::Percent),
            ("Illicit", Kind::Percent),
        ],
    );
    for strategy in summary.strategies.iter().filter(|one| one.strategy.needs_model()) {
        for (at, (items, sum, illicit)) in strategy.calibration.groups.iter().enumerate() {
            if *items == 0 {
                continue;
            }
            table.row(vec![
                strategy.strategy.name.into(),
                Cell::Text(format!(
                    "{} to {}",
                    format::fixed(at as f64 / 10.0, 1),
                    format::fixed((at + 1) as f64 / 10.0, 1)
                )),
                (*items).into(),
                (sum / *items as f64).into(),
                (*illicit as f64 / *items as f64).into(),
            ]);
        }
    }
    html! {
        (table.render())
        p { "The models learned from inspected items, which were chosen for being suspicious: probabilities may lie high." }
    }
}

fn method(parameters: &Parameters) -> Markup {
    html! {
        p {
            "When a period begins, a model is fitted on the outcomes known by then: those of items that the same strategy "
            "inspected before, and those of the archive's own inspections before the first period, each "
            (days(parameters.features.label_delay_days)) " after its day. Features use the same outcomes only. Then "
            (format::percent_short(parameters.inspection_rate)) " of the period's items are chosen, and their truth is "
            "revealed. An item whose truth nobody knows reveals nothing. Intervals are Student's over the seeds: they tell "
            "chance in choices and fits, and not how other months would go."
        }
        ul {
            @for strategy in &parameters.strategies { li { strong { (strategy.name) } ": " (strategy.source) "." } }
        }
    }
}
