//! The report of a backtest: one HTML page in English, French or Spanish, and every figure as CSV, Parquet and JSON.

use maud::{Markup, html};
use tidewaiter_core::{Result, statistics::Interval};
use tidewaiter_declarations::DECLARATIONS;
use tidewaiter_job::Job;
use tidewaiter_report::{
    chart::{
        SERIES,
        line::{Axis, LineChart, Series},
    },
    data,
    page::{Footer, Page, Section},
    table::{Cell, Kind},
    words::Words,
};

use super::{
    figures::PeriodFigures,
    parameters::Parameters,
    span::Span,
    strategy::Exploit,
    summary::{FIGURES, StrategySummary, Summary},
};
use crate::{
    calendar::date_of,
    features::{features, text},
    report::words,
};

/// Features in the table of drift.
const DRIFT_ROWS: usize = 12;

/// A file of the report: the end of its name, after `reports/backtest-<job>`, and its bytes.
pub(super) type File = (String, Vec<u8>);

/// The page, and every table as CSV, Parquet and JSON.
pub(super) fn files(parameters: &Parameters, span: &Span, summary: &Summary) -> Result<Vec<File>> {
    let mut files = vec![(".html".to_owned(), html(parameters, span, summary).into_bytes())];
    let tables = data::files(&summary.tables()?)?;
    files.extend(tables.into_iter().map(|(file, bytes)| (format!("/{file}"), bytes)));
    Ok(files)
}

/// Writes the files; gives the paths of the page and of the tables' folder.
pub(super) fn write<'a>(
    job: &Job<'a>,
    files: Vec<File>,
) -> impl Future<Output = Result<Vec<String>>> + use<'a> {
    let (archive, folder) = (job.archive, format!("reports/backtest-{}", job.outcome.job));
    async move {
        for (name, bytes) in files {
            archive.put(&format!("{folder}{name}"), bytes).await?;
        }
        Ok(vec![format!("{folder}.html"), folder])
    }
}

/// The page.
pub(super) fn html(parameters: &Parameters, span: &Span, summary: &Summary) -> String {
    let Parameters { country, from, to, exploration, seeds, period_days, language, .. } = parameters;
    let words = &words(*language);
    let total = summary.strategies.first().map(|first| PeriodFigures::total(&first.runs[0].1));
    let total = total.unwrap_or_default();
    let months = format!("{} – {}", from.first().format("%Y-%m"), to.first().format("%Y-%m"));
    let facts = [
        (words.say("Country"), country.clone()),
        (words.say("Months"), months.clone()),
        (
            words.say("Periods"),
            words.fill(
                "{n} of {days} days",
                &[("n", &summary.periods().len().to_string()), ("days", &period_days.to_string())],
            ),
        ),
        (words.say("Items"), words.count(total.items)),
        (words.say("Items with a known outcome"), words.count(total.known)),
        (words.say("Illicit among them"), total_share(words, &total)),
        (words.say("Inspected"), capacity(words, parameters)),
        (words.say("Of these, hybrids explore"), words.percent(*exploration)),
        (words.say("Label delay"), days(words, parameters.features.label_delay_days)),
        (words.say("Seeds"), seeds.to_string()),
        (
            words.say("History before"),
            words.fill(
                "{items} items, {outcomes} outcomes",
                &[("items", &words.count(summary.warm_up.0)), ("outcomes", &words.count(summary.warm_up.1))],
            ),
        ),
    ];
    let seeds_mean = words.say("Mean over seeds");
    let mut sections =
        vec![section("strategies", words.say("The strategies compared"), strategies(words, summary))];
    if summary.strategies.len() > 1 {
        let title = words.say("Differences between strategies");
        sections.push(section("differences", title, differences(words, summary)));
    }
    sections.extend([
        section(
            "precision",
            words.say("Precision, period by period"),
            curves(words, summary, "precision", (seeds_mean, words.say("illicit, % of inspected"))),
        ),
        section(
            "recall",
            words.say("Share of the illicit items found"),
            curves(words, summary, "recall", (seeds_mean, words.say("inspected, % of illicit"))),
        ),
    ]);
    if total.revenue > 0.0 {
        sections.push(section("revenue", words.say("Revenue found"), revenue(words, summary)));
    }
    sections.push(section("drift", words.say("Drift of the declarations"), drift(words, summary)));
    if summary.strategies.iter().any(|strategy| strategy.strategy.needs_model()) {
        sections.push(section("calibration", words.say("Calibration"), calibration(words, summary)));
    }
    sections.push(section("method", words.say("Method"), method(words, parameters)));
    Page {
        language: *language,
        title: format!("{} · {country} · {months}", words.say("Backtest of fraud selection")),
        subtitle: match parameters.daily_capacity {
            None => words.say("Strategies of inspection over past months, the items of a period ranked together"),
            Some(_) => words.say(
                "Strategies of inspection over past months, the items of each day and office ranked by themselves",
            ),
        }
        .to_owned(),
        lead: lead(words, parameters, summary, &total),
        facts: facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        sections,
        footer: Footer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: Some(parameters.seed),
            snapshot: Some(format!("{DECLARATIONS}@{}", span.version)),
        },
    }
    .render()
}

/// How many items are inspected.
fn capacity(words: &Words, parameters: &Parameters) -> String {
    match parameters.daily_capacity {
        None => words.percent(parameters.capacity_percent / 100.0),
        Some(items) => {
            words.fill("up to {n} items a day and office", &[("n", &words.count(u64::from(items)))])
        }
    }
}

fn days(words: &Words, count: u32) -> String {
    match count {
        1 => words.say("1 day").to_owned(),
        _ => words.fill("{n} days", &[("n", &count.to_string())]),
    }
}

fn section(anchor: &'static str, title: &str, body: Markup) -> Section {
    Section { anchor, title: title.to_owned(), body }
}

fn total_share(words: &Words, total: &PeriodFigures) -> String {
    let share = total.illicit as f64 / total.known.max(1) as f64;
    format!("{} ({})", words.count(total.illicit), words.numbers().percent(share))
}

/// A share with its interval: `23.4 % (21.0 to 25.8)`.
fn interval_text(words: &Words, interval: Interval) -> String {
    let mean = words.numbers().percent(interval.mean);
    let end = |end: f64| words.numbers().percent(end).trim_end_matches("\u{a0}%").to_owned();
    match (interval.low, interval.high) {
        (Some(low), Some(high)) => words
            .fill("{mean} ({low} to {high})", &[("mean", &mean), ("low", &end(low)), ("high", &end(high))]),
        _ => mean,
    }
}

/// The lead: of which items the figures are, which strategy has the highest recall, and whether it is better than the
/// others beyond chance.
fn lead(words: &Words, parameters: &Parameters, summary: &Summary, total: &PeriodFigures) -> String {
    let (_, recall) = FIGURES[1];
    let percent = |share: f64| words.numbers().percent(share);
    let mean = |one: &StrategySummary| one.overall(recall).map(|interval| interval.mean);
    let mut order: Vec<(&StrategySummary, f64)> =
        summary.strategies.iter().filter_map(|one| Some((one, mean(one)?))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let Some(((best, share), others)) = order.split_first() else {
        return words
            .say("No illicit item is known in these months, so that no strategy can be compared.")
            .to_owned();
    };
    let named: Vec<String> = ["gbdt", "random"]
        .iter()
        .filter_map(|name| others.iter().find(|(one, _)| one.strategy.name == *name))
        .map(|(one, share)| match one.strategy.exploit {
            Exploit::Nothing => words.fill("{share} by random selection", &[("share", &percent(*share))]),
            _ => words.fill("{share} by exploitation alone", &[("share", &percent(*share))]),
        })
        .collect();
    let against = match named.is_empty() {
        true => String::new(),
        false => words.fill(", against {others}", &[("others", &named.join(words.say(" and ")))]),
    };
    let (name, share) = (best.strategy.to_string(), percent(*share));
    let (known, items) = (words.count(total.known), words.count(total.items));
    let values = [
        ("strategy", name.as_str()),
        ("share", &share),
        ("against", &against),
        ("known", &known),
        ("items", &items),
    ];
    let mut text = match parameters.truth.is_empty() && total.known < total.items {
        true => words.fill(
            "These figures are of inspected items only, {known} of {items}: without the true outcomes of the others, what a \
             strategy would find among them is not known. Of the inspected illicit items, {strategy} found \
             {share}{against}.",
            &values,
        ),
        false => words.fill("{strategy} found {share} of the illicit items{against}.", &values),
    };
    // A difference without an interval is one of too few periods.
    let surpassed = |other: &StrategySummary| {
        best.difference(other, recall).and_then(|difference| difference.low).is_some_and(|low| low > 0.0)
    };
    let equal: Vec<String> = others
        .iter()
        .filter(|(other, _)| !surpassed(other))
        .map(|(other, share)| format!("{} ({})", other.strategy, percent(*share)))
        .collect();
    match (others.is_empty(), equal.is_empty()) {
        (true, _) => {}
        (false, true) => {
            text.push(' ');
            text.push_str(words.say("The difference from every other strategy exceeds chance."));
        }
        (false, false) => {
            text.push(' ');
            text.push_str(&words.fill(
                "By these periods and seeds it cannot be told from {others} by the share of the illicit items found: chance \
                 alone could explain their paired differences in it.",
                &[("others", &equal.join(", "))],
            ));
        }
    }
    text
}

/// The differences of the strategy with the highest recall from the others.
fn differences(words: &Words, summary: &Summary) -> Markup {
    let columns = [
        ("Strategy", Kind::Text),
        ("Minus", Kind::Text),
        ("Precision", Kind::Text),
        ("Recall", Kind::Text),
        ("Revenue recall", Kind::Text),
    ];
    let mut table = words.table("Paired differences by period and seed, with 95 % intervals", &columns);
    let all = summary.differences();
    for pair in all.chunk_by(|a, b| (a.one, a.other) == (b.one, b.other)) {
        let cell = |name: &str| match pair.iter().find(|one| one.figure == name) {
            Some(one) => Cell::Text(interval_text(words, one.difference)),
            None => Cell::Absent,
        };
        table.row(vec![
            pair[0].one.into(),
            pair[0].other.into(),
            cell("precision"),
            cell("recall"),
            cell("revenue_recall"),
        ]);
    }
    html! {
        (table.render())
        p {
            (words.say(
                "In points of percent. A difference whose interval holds 0 could be chance alone. Strategies are compared by \
                 recall in the lead.",
            ))
        }
    }
}

fn strategies(words: &Words, summary: &Summary) -> Markup {
    let columns = [
        ("Strategy", Kind::Text),
        ("Precision", Kind::Text),
        ("Recall", Kind::Text),
        ("F1", Kind::Text),
        ("Revenue recall", Kind::Text),
        ("Norm-precision", Kind::Text),
        ("Norm-revenue", Kind::Text),
        ("Explored", Kind::Percent),
        ("Inspections of unknown outcome", Kind::Count),
    ];
    let mut table = words.table(
        "Each strategy over all periods: the mean over seeds, with its 95 % interval over seeds and periods",
        &columns,
    );
    for strategy in &summary.strategies {
        let mut cells: Vec<Cell> = vec![strategy.strategy.name.into()];
        cells.extend(FIGURES.iter().map(|(_, figure)| match strategy.overall(*figure) {
            Some(interval) => Cell::Text(interval_text(words, interval)),
            None => Cell::Absent,
        }));
        cells.push(strategy.total.exploration.into());
        cells.push(strategy.of_one_seed(strategy.total.unknown).into());
        table.row(cells);
    }
    html! {
        (table.render())
        p {
            (words.say(
                "Precision is the illicit share of the inspected items, recall the share of all illicit items that were \
                 inspected, F1 the harmonic mean of the two, revenue recall the share of all revenue. The norm figures are \
                 shares of the best that so many inspections could have reached.",
            ))
        }
    }
}

/// Charts of a figure by period (see [`charts`]).
fn curves(words: &Words, summary: &Summary, name: &str, (title, axis): (&str, &str)) -> Markup {
    let Some((_, figure)) = FIGURES.iter().find(|known| known.0 == name) else { return html! {} };
    let points = |strategy: &StrategySummary| {
        let mean = |period| strategy.of_period(period, *figure).map_or(f64::NAN, |interval| interval.mean);
        (0..summary.periods().len()).map(|period| (period as f64, mean(period))).collect()
    };
    charts(words, summary, (title, axis), true, &points)
}

/// One line for each strategy, over the periods; as many charts as it takes with [`SERIES`] lines in each.
fn charts(
    words: &Words,
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
            x: Axis { title: words.say("first day of the period").to_owned(), ..Axis::default() },
            y: Axis { title: axis.to_owned(), share, covers: vec![0.0] },
            series: strategies
                .iter()
                .map(|strategy| Series { name: strategy.strategy.name.to_owned(), points: points(strategy) })
                .collect(),
            labels: labels.clone(),
            numbers: words.numbers(),
            ..LineChart::default()
        }
        .render()
    };
    html! { @for group in summary.strategies.chunks(SERIES) { (chart(group)) } }
}

fn revenue(words: &Words, summary: &Summary) -> Markup {
    let cumulative = |strategy: &StrategySummary| {
        strategy.cumulative().into_iter().enumerate().map(|(at, sum)| (at as f64, sum)).collect()
    };
    let found =
        (words.say("Found since the first day, mean over seeds"), words.say("revenue, national currency"));
    let by_period = (words.say("By period, mean over seeds"), words.say("found, % of all revenue"));
    html! {
        (charts(words, summary, found, false, &cumulative))
        (curves(words, summary, "revenue_recall", by_period))
    }
}

fn drift(words: &Words, summary: &Summary) -> Markup {
    let mut worst: std::collections::BTreeMap<&str, (f64, f64, usize)> = std::collections::BTreeMap::new();
    for one in &summary.drift {
        let held = worst.entry(one.feature.as_str()).or_insert((f64::NEG_INFINITY, 0.5, 0));
        if one.psi > held.0 {
            *held = (one.psi, one.auc, one.period);
        }
    }
    let mut order: Vec<_> = worst.into_iter().collect();
    order.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    let columns = [
        ("Feature", Kind::Text),
        ("PSI", Kind::Ratio),
        ("Two-sample AUC", Kind::Ratio),
        ("Period from", Kind::Text),
    ];
    let mut table = words.table("The features that moved most, each in its worst period", &columns);
    for (feature, (psi, auc, period)) in order.into_iter().take(DRIFT_ROWS) {
        let day = summary.periods().get(period).map(|one| date_of(one.first_day).to_string());
        let known = features().iter().find(|known| known.name == feature);
        let name = known.map_or_else(|| feature.to_owned(), |known| text::label(words, known));
        table.row(vec![Cell::Text(name), psi.into(), auc.into(), day.as_deref().into()]);
    }
    html! {
        (table.render())
        p {
            (words.say(
                "The population stability index compares a period with a sample of the time before the backtest; above 0.25 \
                 is commonly called a large shift. The area under the ROC curve says how well one value of the feature \
                 separates the two: 0.5 is not at all. A new scheme need not show here: it can change what is illicit \
                 without changing what is declared.",
            ))
        }
    }
}

fn calibration(words: &Words, summary: &Summary) -> Markup {
    let columns = [
        ("Strategy", Kind::Text),
        ("Probability", Kind::Text),
        ("Items", Kind::Count),
        ("Predicted", Kind::Percent),
        ("Illicit", Kind::Percent),
    ];
    let mut table = words.table(
        "All items of known outcome by their predicted probability, whether inspected or not; each seed counts them",
        &columns,
    );
    let tenth = |tenths: usize| words.numbers().fixed(tenths as f64 / 10.0, 1);
    for strategy in summary.strategies.iter().filter(|one| one.strategy.needs_model()) {
        for (at, (items, sum, illicit)) in strategy.calibration.groups.iter().enumerate() {
            if *items == 0 {
                continue;
            }
            table.row(vec![
                strategy.strategy.name.into(),
                Cell::Text(format!("{} – {}", tenth(at), tenth(at + 1))),
                (*items).into(),
                (sum / *items as f64).into(),
                (*illicit as f64 / *items as f64).into(),
            ]);
        }
    }
    html! {
        (table.render())
        p {
            (words.say(
                "The models learned from inspected items, which were chosen for being suspicious: probabilities may be too \
                 high.",
            ))
        }
    }
}

fn method(words: &Words, parameters: &Parameters) -> Markup {
    html! {
        p {
            (words.fill(
                "When a period begins, a model is fitted on the outcomes known by then: those of items that the same strategy \
                 inspected before, and those of the archive's own inspections before the first period, each {delay} after its \
                 day. Features use the same outcomes only. Then items are selected ({capacity}), and their outcomes become \
                 known when the period is over. An inspected item whose outcome is not known is counted and otherwise left out. Intervals are \
                 those of drawing the seeds and blocks of the periods again: they measure chance in selections and fits and \
                 between months, roughly where there are few periods. Two strategies are compared on the same draws.",
                &[
                    ("delay", &days(words, parameters.features.label_delay_days)),
                    ("capacity", &capacity(words, parameters)),
                ],
            ))
            " "
            @match parameters.daily_capacity {
                None => {
                    (words.say(
                        "The items of a period are ranked together, as if all were known on its first day: no office can \
                         choose so. --daily-capacity ranks those of each day and office.",
                    ))
                }
                Some(_) => {
                    (words.say(
                        "The items of each day are ranked at their office by themselves, which inspects as many of the first \
                         as it can.",
                    ))
                }
            }
        }
        ul {
            @for strategy in &parameters.strategies { li { strong { (strategy.name) } ": " (words.say(strategy.source)) "." } }
        }
    }
}
