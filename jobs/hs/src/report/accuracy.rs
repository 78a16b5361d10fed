//! The sections on accuracy, automation, calibration and drift.

use maud::{Markup, html};
use tidewaiter_registry::intervals::{Share, wilson};
use tidewaiter_report::{
    chart::line::{Axis, LineChart, Series},
    format,
    table::{Cell, Kind},
    words::Words,
};

use super::facts::ReportFacts;
use crate::{
    codes::digits::{DIGITS, LEVELS},
    metrics::{Evaluation, ProbabilityBin, RANKS},
    results::{Automation, Novelty, TestResults},
};

/// Points of the curve of coverage, at most.
const POINTS: usize = 100;

/// The levels' names.
fn level_names(words: &Words) -> [&str; LEVELS] {
    [words.say("Chapter (2 digits)"), words.say("Heading (4 digits)"), words.say("Subheading (6 digits)")]
}

/// A month by its number, 12 × year + month - 1.
pub(super) fn month_name(month: i64) -> String {
    format!("{:04}-{:02}", month.div_euclid(12), month.rem_euclid(12) + 1)
}

/// The name of a level's curve.
fn digits_name(words: &Words, level: usize) -> String {
    words.fill("{n} digits", &[("n", &DIGITS[level].to_string())])
}

pub(super) fn accuracy(words: &Words, results: &TestResults, facts: &ReportFacts) -> Markup {
    let evaluation = &results.evaluation;
    let percent = |share: f64| words.numbers().percent(share);
    let mut columns = vec![("Level", Kind::Text)];
    let titles: Vec<String> = RANKS
        .iter()
        .map(|place| match place {
            1 => words.say("First").to_owned(),
            place => words.fill("Among the first {n}", &[("n", &place.to_string())]),
        })
        .collect();
    columns.extend(titles.iter().map(|title| (title.as_str(), Kind::Text)));
    let beside = match facts.unit_independent {
        true => words.say("First, with origin, unit and values"),
        false => words.say("First, with origin and value per kilogram"),
    };
    let others =
        [(beside, &facts.figures_with_attributes), (words.say("First, champion"), &facts.champion_figures)];
    let others = others.map(|(title, figures)| Some((title, figures.as_ref()?)));
    columns.extend(others.iter().flatten().map(|(title, _)| (*title, Kind::Percent)));
    let of_others = |name: &str| {
        others.iter().flatten().map(|(_, figures)| figures.get(name).copied().into()).collect::<Vec<Cell>>()
    };
    let mut table = words
        .table("Items whose declared code is the first recommendation by the description alone, or among the first few, with 95 % intervals by declaration and by day", &columns);
    for (level, name) in level_names(words).iter().enumerate() {
        let mut cells: Vec<Cell> = vec![(*name).into()];
        cells.extend(results.accuracy[level].map(|own| interval(words, own)));
        cells.extend(of_others(&format!("accuracy@1/{}", DIGITS[level])));
        table.row(cells);
    }
    if evaluation.national > 0 {
        let mut cells: Vec<Cell> = vec![words.say("With national digits").into()];
        cells.extend((0..RANKS.len()).map(|place| Cell::Text(percent(evaluation.national_accuracy(place)))));
        cells.extend(of_others("accuracy@1/national"));
        table.row(cells);
    }
    let items = evaluation.items.max(1) as f64;
    let clear = match evaluation.vague < evaluation.items {
        true => percent(evaluation.figures()["accuracy@1/4_clear"]),
        false => format::ABSENT.to_owned(),
    };
    html! {
        (table.render())
        (novelty(words, results))
        @if !facts.unit_independent && facts.figures_with_attributes.is_some() {
            p { (words.say("Unit and value per unit do not count: the tariff prescribes the supplementary unit by the declared code, so that a wrong code brings the unit that confirms it. Retrain with --unit-independent where this archive's unit does not follow from the code.")) }
        }
        p {
            (words.fill(
                "{unknown} of the items have a code that no training text has: they count as wrong everywhere. With every \
                 code counting alike, the mean F1 at six digits is {f1}; {single} codes have one training text only. \
                 Declared codes are taken for right, though some are not.",
                &[
                    ("unknown", &percent(evaluation.unknown_codes as f64 / items)),
                    ("f1", &words.numbers().ratio(evaluation.macro_f1())),
                    ("single", &words.count(facts.with_one_text as u64)),
                ],
            ))
        }
        p {
            (words.fill(
                "{vague} of the descriptions are called too vague, and the declarant would be asked for more; of the others, \
                 {clear} get the right heading first.",
                &[
                    ("vague", &percent(evaluation.vague as f64 / items)),
                    ("clear", &clear),
                ],
            ))
        }
    }
}

/// The share of right items, as if no two of them were of one declaration; `None` where there are none.
fn of_independent(right: u64, items: u64) -> Option<Share> {
    let share = right as f64 / items.max(1) as f64;
    let (low, high) = wilson(share, items.max(1) as f64);
    (items > 0).then_some(Share { share, low, high })
}

/// A share with its interval, as a cell.
fn interval(words: &Words, own: Option<Share>) -> Cell {
    own.map_or(Cell::Absent, |Share { share, low, high }| {
        let percent = |share: f64| words.numbers().percent(share);
        Cell::Text(format!(
            "{} ({}–{})",
            percent(share),
            words.numbers().fixed(100.0 * low, 1),
            percent(high)
        ))
    })
}

/// Accuracy on texts that training had beside that on new ones.
fn novelty(words: &Words, results: &TestResults) -> Markup {
    let [chapter, heading, subheading] = level_names(words);
    let columns = [
        ("Texts", Kind::Text),
        ("Items", Kind::Count),
        (chapter, Kind::Text),
        (heading, Kind::Text),
        (subheading, Kind::Text),
    ];
    let mut table = words.table(
        "First recommendation right, on texts whose words a training text has and on new ones",
        &columns,
    );
    for Novelty { seen, items, right } in &results.novelty {
        let name = if *seen { words.say("in training, too") } else { words.say("new") };
        let mut cells: Vec<Cell> = vec![name.into(), (*items).into()];
        cells.extend(right.map(|own| interval(words, own)));
        table.row(cells);
    }
    table.render()
}

pub(super) fn automation(words: &Words, results: &TestResults) -> Markup {
    let evaluation = &results.evaluation;
    let columns = [
        ("Level", Kind::Text),
        ("Should be right", Kind::Percent),
        ("From a probability of", Kind::Ratio),
        ("Classified without a person", Kind::Percent),
        ("Right among those", Kind::Text),
    ];
    let mut table = words.table(
        "Items that would be classified without a person from the probability on that the validation months chose, and how many of them are right on the test months, by the description alone",
        &columns,
    );
    for Automation { level, precision, threshold, automated, right } in &results.automation {
        let name = level_names(words)[*level];
        table.row(vec![
            name.into(),
            (*precision).into(),
            (*threshold).into(),
            (*automated).into(),
            interval(words, *right),
        ]);
    }
    let series = (0..LEVELS).map(|level| {
        let curve = evaluation.coverage(level);
        let stride = curve.len().div_ceil(POINTS).max(1);
        let mut points: Vec<(f64, f64)> = curve.iter().skip(stride / 2).step_by(stride).copied().collect();
        points.extend(curve.last());
        Series { name: digits_name(words, level), points }
    });
    let chart = LineChart {
        title: words.say("Items are automated from the most probable recommendation on").to_owned(),
        x: Axis {
            title: words.say("items automated, % of all").to_owned(),
            share: true,
            covers: vec![0.0, 1.0],
        },
        y: Axis {
            title: words.say("right among the automated, %").to_owned(),
            share: true,
            covers: vec![1.0],
        },
        series: series.collect(),
        numbers: words.numbers(),
        ..LineChart::default()
    };
    html! {
        (table.render())
        (chart.render())
        p { (words.say("The curve is of the test items themselves: whoever chooses a threshold by it finds it a little too good.")) }
    }
}

/// The points of a calibration curve: mean probability, and share that is right, of each bin.
pub(super) fn calibration_points(evaluation: &Evaluation, level: usize) -> Vec<(f64, f64)> {
    let filled = evaluation.calibration(level).into_iter().filter(|bin: &ProbabilityBin| bin.items > 0);
    filled.map(|bin| (bin.probability / bin.items as f64, bin.right as f64 / bin.items as f64)).collect()
}

pub(super) fn calibration(words: &Words, evaluation: &Evaluation) -> Markup {
    let axis = |title: &str| Axis { title: title.to_owned(), share: true, covers: vec![0.0, 1.0] };
    let chart = LineChart {
        title: words.say("First recommendations by their probability, in bins of ten percent").to_owned(),
        x: axis(words.say("predicted probability, %")),
        y: axis(words.say("right among them, %")),
        series: [1, 2]
            .map(|level| Series {
                name: digits_name(words, level),
                points: calibration_points(evaluation, level),
            })
            .into(),
        reference: Some(Series {
            name: words.say("perfect").to_owned(),
            points: vec![(0.0, 0.0), (1.0, 1.0)],
        }),
        numbers: words.numbers(),
        ..LineChart::default()
    };
    let error = |level| words.numbers().percent(evaluation.calibration_error(level));
    html! {
        (chart.render())
        p {
            (words.fill(
                "On average the predicted probability differs by {four} from the share that is right at four digits, and by \
                 {six} at six.",
                &[("four", &error(1)), ("six", &error(2))],
            ))
        }
    }
}

pub(super) fn drift(words: &Words, evaluation: &Evaluation) -> Markup {
    let columns = [
        ("Month", Kind::Text),
        ("Items", Kind::Count),
        ("2 digits", Kind::Text),
        ("4 digits", Kind::Text),
        ("6 digits", Kind::Text),
        ("Mean probability, 6 digits", Kind::Percent),
        ("Too vague", Kind::Percent),
        ("Code without training text", Kind::Percent),
    ];
    let mut table = words.table(
        "First recommendation right, by test month, with 95 % intervals that take items as independent (Wilson)",
        &columns,
    );
    for (month, figures) in &evaluation.months {
        let share = |part: f64| part / figures.items.max(1) as f64;
        let mut cells: Vec<Cell> = vec![Cell::Text(month_name(*month)), figures.items.into()];
        cells.extend(figures.right.map(|right| interval(words, of_independent(right, figures.items))));
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
        name: digits_name(words, level),
        points: months()
            .map(|(at, month)| (at, month.right[level] as f64 / month.items.max(1) as f64))
            .collect(),
    });
    let chart = LineChart {
        title: words.say("First recommendation right, month by month").to_owned(),
        x: Axis { title: words.say("month").to_owned(), ..Axis::default() },
        y: Axis { title: words.say("right, %").to_owned(), share: true, covers: vec![0.0, 1.0] },
        series: series.collect(),
        numbers: words.numbers(),
        labels: evaluation.months.keys().map(|month| month_name(*month)).collect(),
        ..LineChart::default()
    };
    html! { (chart.render()) (table.render()) }
}
