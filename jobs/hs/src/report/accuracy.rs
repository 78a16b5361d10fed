//! The sections on accuracy, automation, calibration and drift.

use maud::{Markup, html};
use tidewaiter_report::{
    chart::line::{Axis, LineChart, Series},
    format,
    table::{Cell, Kind, Table},
};

use super::facts::ReportFacts;
use crate::{
    codes::digits::{DIGITS, LEVELS},
    metrics::{Evaluation, ProbabilityBin, RANKS},
};

/// Points of the curve of coverage, at most.
const POINTS: usize = 100;

/// The levels' names.
const NAMES: [&str; LEVELS] = ["Chapter (2 digits)", "Heading (4 digits)", "Subheading (6 digits)"];

pub(super) fn accuracy(evaluation: &Evaluation, facts: &ReportFacts) -> Markup {
    let mut columns = vec![("Level", Kind::Text)];
    let titles: Vec<String> = RANKS
        .iter()
        .map(|place| match place {
            1 => "First".to_owned(),
            place => format!("Among {place}"),
        })
        .collect();
    columns.extend(titles.iter().map(|title| (title.as_str(), Kind::Percent)));
    let others =
        [("First, description alone", &facts.figures_alone), ("First, champion", &facts.champion_figures)];
    let others = others.map(|(title, figures)| Some((title, figures.as_ref()?)));
    columns.extend(others.iter().flatten().map(|(title, _)| (*title, Kind::Percent)));
    let of_others = |name: &str| {
        others.iter().flatten().map(|(_, figures)| figures.get(name).copied().into()).collect::<Vec<Cell>>()
    };
    let mut table =
        Table::new("Items whose declared code is the first recommendation, or among the first few", &columns);
    for (level, name) in NAMES.iter().enumerate() {
        let mut cells: Vec<Cell> = vec![(*name).into()];
        cells.extend((0..RANKS.len()).map(|place| evaluation.accuracy(level, place).into()));
        cells.extend(of_others(&format!("accuracy@1/{}", DIGITS[level])));
        table.row(cells);
    }
    if evaluation.national > 0 {
        let mut cells: Vec<Cell> = vec!["With national digits".into()];
        cells.extend((0..RANKS.len()).map(|place| evaluation.national_accuracy(place).into()));
        cells.extend(of_others("accuracy@1/national"));
        table.row(cells);
    }
    let items = evaluation.items.max(1) as f64;
    html! {
        (table.render())
        p {
            (format::percent(evaluation.unknown_codes as f64 / items)) " of the items have a code that no training "
            "text has: they count as wrong everywhere. Each code counting alike, the mean F1 at six digits is "
            (format::ratio(evaluation.macro_f1())) "; " (format::count(facts.with_one_text as f64))
            " codes were taught by one text only. Declared codes are taken for right, though some are not."
        }
        p {
            (format::percent(evaluation.vague as f64 / items)) " of the descriptions are called too vague, and the "
            "declarant would be asked for more; of the others, "
            (format::percent(evaluation.figures()["accuracy@1/4_clear"])) " get the right heading first."
        }
    }
}

pub(super) fn automation(evaluation: &Evaluation) -> Markup {
    let columns = [
        ("Of those automated must be right", Kind::Percent),
        (NAMES[0], Kind::Percent),
        (NAMES[1], Kind::Percent),
        (NAMES[2], Kind::Percent),
    ];
    let mut table = Table::new("Share of all items that can be classified without a person", &columns);
    for precision in [0.8, 0.9, 0.95, 0.98, 0.99] {
        let mut cells: Vec<Cell> = vec![precision.into()];
        cells.extend((0..LEVELS).map(|level| evaluation.coverage_at(level, precision).into()));
        table.row(cells);
    }
    let series = (0..LEVELS).map(|level| {
        let curve = evaluation.coverage(level);
        let stride = curve.len().div_ceil(POINTS).max(1);
        let mut points: Vec<(f64, f64)> = curve.iter().skip(stride / 2).step_by(stride).copied().collect();
        points.extend(curve.last());
        Series { name: format!("{} digits", DIGITS[level]), points }
    });
    let chart = LineChart {
        title: "Items are automated from the most probable recommendation on".to_owned(),
        x: Axis { title: "items automated, % of all".to_owned(), share: true, covers: vec![0.0, 1.0] },
        y: Axis { title: "right among those automated, %".to_owned(), share: true, covers: vec![1.0] },
        series: series.collect(),
        ..LineChart::default()
    };
    html! { (table.render()) (chart.render()) }
}

pub(super) fn calibration(evaluation: &Evaluation) -> Markup {
    let points = |bins: Vec<ProbabilityBin>| {
        let filled = bins.into_iter().filter(|bin| bin.items > 0);
        filled.map(|bin| (bin.probability / bin.items as f64, bin.right as f64 / bin.items as f64)).collect()
    };
    let chart = LineChart {
        title: "First recommendations by their probability, in bins of ten percent".to_owned(),
        x: Axis { title: "probability said, %".to_owned(), share: true, covers: vec![0.0, 1.0] },
        y: Axis { title: "right among them, %".to_owned(), share: true, covers: vec![0.0, 1.0] },
        series: [1, 2]
            .map(|level| Series {
                name: format!("{} digits", DIGITS[level]),
                points: points(evaluation.calibration(level)),
            })
            .into(),
        reference: Some(Series { name: "as said".to_owned(), points: vec![(0.0, 0.0), (1.0, 1.0)] }),
        ..LineChart::default()
    };
    html! {
        (chart.render())
        p {
            "On average the probability said is " (format::percent(evaluation.calibration_error(1)))
            " off the share that is right at four digits, and " (format::percent(evaluation.calibration_error(2)))
            " at six."
        }
    }
}

pub(super) fn drift(evaluation: &Evaluation) -> Markup {
    let columns = [
        ("Month", Kind::Text),
        ("Items", Kind::Count),
        ("2 digits", Kind::Percent),
        ("4 digits", Kind::Percent),
        ("6 digits", Kind::Percent),
        ("Probability said, 6", Kind::Percent),
        ("Too vague", Kind::Percent),
        ("Code never taught", Kind::Percent),
    ];
    let mut table = Table::new("First recommendation right, by month of the items that judge", &columns);
    let name = |month: i64| format!("{:04}-{:02}", month.div_euclid(12), month.rem_euclid(12) + 1);
    for (month, figures) in &evaluation.months {
        let share = |part: f64| part / figures.items.max(1) as f64;
        let mut cells: Vec<Cell> = vec![Cell::Text(name(*month)), figures.items.into()];
        cells.extend(figures.right.map(|right| share(right as f64).into()));
        cells.push(share(figures.probability).into());
        cells.push(share(figures.vague as f64).into());
        cells.push(share(figures.unknown_codes as f64).into());
        table.row(cells);
    }
    if evaluation.months.len() < 2 {
        return table.render();
    }
    let months = || (0_u32..).map(f64::from).zip(evaluation.months.values());
    let series = (0..LEVELS).map(|level| Series {
        name: format!("{} digits", DIGITS[level]),
        points: months()
            .map(|(at, month)| (at, month.right[level] as f64 / month.items.max(1) as f64))
            .collect(),
    });
    let chart = LineChart {
        title: "First recommendation right, month by month".to_owned(),
        x: Axis { title: "month".to_owned(), ..Axis::default() },
        y: Axis { title: "right, %".to_owned(), share: true, covers: vec![0.0, 1.0] },
        series: series.collect(),
        labels: evaluation.months.keys().map(|month| name(*month)).collect(),
        ..LineChart::default()
    };
    html! { (chart.render()) (table.render()) }
}
