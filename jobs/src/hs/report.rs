//! The report of a retrained HS model, which is also its card.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{
    metrics::{Bin, Chapter, Evaluation, Example, PLACES},
    nomenclature::Nomenclature,
    texts::Written,
    tree::{DIGITS, LEVELS},
};
use crate::report::{
    chart::line::{Axis, LineChart, Series},
    format,
    page::{Footer, Page, Section},
    table::{Cell, Kind, Table},
};

/// Rows of the tables of chapters and confusions.
const LISTED: usize = 15;

/// Items that a chapter must have to be listed among the worst.
const LEAST_ITEMS: u64 = 20;

/// Points of the curve of coverage, at most.
const POINTS: usize = 100;

/// Characters of a description that are shown.
const SHOWN: usize = 140;

/// The levels' names.
const NAMES: [&str; LEVELS] = ["Chapter (2 digits)", "Heading (4 digits)", "Subheading (6 digits)"];

/// What the report says of the model besides its figures.
#[derive(Debug, Clone)]
pub struct ReportFacts {
    /// The champion that it was compared with.
    pub champion: Option<String>,
    /// Whether it is the champion now.
    pub promoted: bool,
    /// The reporting country.
    pub country: String,
    /// Months that taught, chose and judged.
    pub periods: [String; 3],
    /// Chapters, headings and subheadings that it can predict.
    pub classes: [usize; LEVELS],
    /// Subheadings that one text taught.
    pub taught_once: usize,
    /// What became of the items of the three periods.
    pub files: Vec<Written>,
    /// The seed of the fit.
    pub seed: u64,
    /// The snapshot that was read.
    pub snapshot: String,
    /// The texts of the codes, where they were given.
    pub nomenclature: Nomenclature,
    /// The text encoder whose head is one of the evidences, in words.
    pub encoder: Option<String>,
    /// The figures from descriptions alone, where origin, unit and value count, too.
    pub figures_alone: Option<BTreeMap<String, f64>>,
    /// The champion's figures on the same items.
    pub champion_figures: Option<BTreeMap<String, f64>>,
}

/// The page of a model, by its name and version.
pub fn hs_report(evaluation: &Evaluation, model: &str, facts: &ReportFacts) -> Page {
    let mut sections = vec![
        section("accuracy", "Accuracy", accuracy(evaluation, facts)),
        section("automation", "How much can be automated", automation(evaluation)),
        section("calibration", "Whether probabilities can be believed", calibration(evaluation)),
        section("chapters", "The chapters with most errors", chapters(evaluation, facts)),
        section("every-chapter", "Every chapter", every_chapter(evaluation, facts)),
        section("drift", "Drift by month", drift(evaluation)),
        section("confusions", "Headings that are taken for each other", confusions(evaluation, facts)),
        section("rows", "What became of the declared items", rows(facts)),
        section("odd", "Odd descriptions and codes", odd(facts)),
    ];
    sections.retain(|section| !section.body.0.is_empty());
    let verdict = match (&facts.champion, facts.promoted) {
        (None, _) => "first version, champion".to_owned(),
        (Some(champion), true) => format!("better than {champion}, champion now"),
        (Some(champion), false) => format!("not better than {champion}"),
    };
    let mut shown = vec![
        ("Model".to_owned(), model.to_owned()),
        ("Verdict".to_owned(), verdict),
        ("Country".to_owned(), facts.country.clone()),
    ];
    for (name, period) in
        ["Months that taught", "Months that calibrated", "Months that judged"].iter().zip(&facts.periods)
    {
        shown.push(((*name).to_owned(), period.clone()));
    }
    let [chapters, headings, subheadings] = facts.classes.map(|count| format::count(count as f64));
    shown.push((
        "Codes known".to_owned(),
        format!("{subheadings} in {headings} headings of {chapters} chapters"),
    ));
    if let Some(encoder) = &facts.encoder {
        shown.push(("Text encoder".to_owned(), encoder.clone()));
    }
    Page {
        title: format!("HS classification: {model}"),
        subtitle: "Recommended HS codes against the declared ones, on months that the model has not seen"
            .to_owned(),
        lead: lead(evaluation),
        facts: shown,
        sections,
        footer: Footer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: Some(facts.seed),
            snapshot: Some(facts.snapshot.clone()),
        },
        ..Page::default()
    }
}

fn section(anchor: &'static str, title: &str, body: Markup) -> Section {
    Section { anchor, title: title.to_owned(), body }
}

fn lead(evaluation: &Evaluation) -> String {
    format!(
        "Of {} items, the first recommendation is the declared six-digit code in {} of cases, and one of the \
         first five in {}; {} can be classified to six digits without a person if {} of those must be right.",
        format::count(evaluation.items as f64),
        format::percent(evaluation.accuracy(2, 0)),
        format::percent(evaluation.accuracy(2, 2)),
        format::percent(evaluation.coverage_at(2, 0.9)),
        format::percent(0.9),
    )
}

fn accuracy(evaluation: &Evaluation, facts: &ReportFacts) -> Markup {
    let mut columns = vec![("Level", Kind::Text)];
    let titles: Vec<String> = PLACES
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
        cells.extend((0..PLACES.len()).map(|place| evaluation.accuracy(level, place).into()));
        cells.extend(of_others(&format!("accuracy@1/{}", DIGITS[level])));
        table.row(cells);
    }
    if evaluation.national > 0 {
        let mut cells: Vec<Cell> = vec!["With national digits".into()];
        cells.extend((0..PLACES.len()).map(|place| evaluation.national_accuracy(place).into()));
        cells.extend(of_others("accuracy@1/national"));
        table.row(cells);
    }
    let items = evaluation.items.max(1) as f64;
    html! {
        (table.render())
        p {
            (format::percent(evaluation.never_taught as f64 / items)) " of the items have a code that no training "
            "text has: they count as wrong everywhere. Each code counting alike, the mean F1 at six digits is "
            (format::ratio(evaluation.macro_f1())) "; " (format::count(facts.taught_once as f64))
            " codes were taught by one text only. Declared codes are taken for right, though some are not."
        }
        p {
            (format::percent(evaluation.vague as f64 / items)) " of the descriptions are called too vague, and the "
            "declarant would be asked for more; of the others, "
            (format::percent(evaluation.figures()["accuracy@1/4_clear"])) " get the right heading first."
        }
    }
}

fn automation(evaluation: &Evaluation) -> Markup {
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

fn calibration(evaluation: &Evaluation) -> Markup {
    let points = |bins: Vec<Bin>| {
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

fn chapters(evaluation: &Evaluation, facts: &ReportFacts) -> Markup {
    let wrong = |chapter: &Chapter| chapter.items - chapter.right[2];
    let mut listed: Vec<(&String, &Chapter)> =
        evaluation.chapters.iter().filter(|(_, chapter)| chapter.items >= LEAST_ITEMS).collect();
    listed.sort_by(|one, other| wrong(other.1).cmp(&wrong(one.1)).then(one.0.cmp(other.0)));
    let caption = format!(
        "First recommendation right, by declared chapter, of chapters with {LEAST_ITEMS} items or more; below each its most confident errors"
    );
    let mut table = Table::new(caption, &CHAPTER_COLUMNS);
    for (code, chapter) in listed.iter().take(LISTED) {
        let errors = html! { ul { @for example in &chapter.examples { li { (error(example)) } } } };
        table.row_with_note(chapter_cells(facts, code, chapter), errors);
    }
    if listed.is_empty() {
        html! {}
    } else {
        table.render()
    }
}

/// What is told of a chapter.
const CHAPTER_COLUMNS: [(&str, Kind); 7] = [
    ("Chapter", Kind::Text),
    ("Text", Kind::Text),
    ("Items", Kind::Count),
    ("2 digits", Kind::Percent),
    ("4 digits", Kind::Percent),
    ("6 digits", Kind::Percent),
    ("6, among 5", Kind::Percent),
];

fn chapter_cells(facts: &ReportFacts, code: &str, chapter: &Chapter) -> Vec<Cell> {
    let share = |right: u64| right as f64 / chapter.items.max(1) as f64;
    let mut cells: Vec<Cell> = vec![code.into(), meaning(facts, code), chapter.items.into()];
    cells.extend(chapter.right.map(|right| share(right).into()));
    cells.push(share(chapter.right_of_five).into());
    cells
}

fn every_chapter(evaluation: &Evaluation, facts: &ReportFacts) -> Markup {
    let mut table = Table::new("First recommendation right, by declared chapter", &CHAPTER_COLUMNS);
    for (code, chapter) in &evaluation.chapters {
        table.row(chapter_cells(facts, code, chapter));
    }
    table.render()
}

fn drift(evaluation: &Evaluation) -> Markup {
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
        cells.push(share(figures.never_taught as f64).into());
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

fn error(example: &Example) -> String {
    format!(
        "{}: declared {}, recommended {} at {}",
        shorten(&example.description),
        example.declared,
        example.recommended,
        format::percent(f64::from(example.probability))
    )
}

/// The nomenclature's text of a code, where it was given.
fn meaning(facts: &ReportFacts, code: &str) -> Cell {
    facts.nomenclature.text(code).map_or(Cell::Absent, |text| Cell::Text(shorten(text)))
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn confusions(evaluation: &Evaluation, facts: &ReportFacts) -> Markup {
    let mut listed: Vec<(&(String, String), &u64)> = evaluation.confusions.iter().collect();
    listed.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
    let columns = [
        ("Declared", Kind::Text),
        ("Recommended", Kind::Text),
        ("Items", Kind::Count),
        ("Declared text", Kind::Text),
        ("Recommended text", Kind::Text),
    ];
    let mut table = Table::new("Pairs of headings, the most frequent first", &columns);
    for ((declared, recommended), items) in listed.iter().take(LISTED) {
        table.row(vec![
            declared.as_str().into(),
            recommended.as_str().into(),
            (**items).into(),
            meaning(facts, declared),
            meaning(facts, recommended),
        ]);
    }
    if listed.is_empty() {
        html! {}
    } else {
        table.render()
    }
}

fn rows(facts: &ReportFacts) -> Markup {
    let columns = [
        ("Period", Kind::Text),
        ("Used", Kind::Count),
        ("Distinct", Kind::Count),
        ("No word", Kind::Count),
        ("Under six digits", Kind::Count),
        ("Unknown code", Kind::Count),
        ("Carried over", Kind::Count),
        ("Read in part", Kind::Count),
    ];
    let mut table = Table::new(
        "Declared items by period; those without a word, with a code under six digits or one that the nomenclature lacks are left out; carried over are codes of another edition",
        &columns,
    );
    for (name, file) in ["teaching", "calibrating", "judging"].iter().zip(&facts.files) {
        let counts = [
            file.items,
            file.texts,
            file.without_words,
            file.without_code,
            file.not_in_nomenclature,
            file.carried,
            file.cut,
        ];
        let mut cells: Vec<Cell> = vec![(*name).into()];
        cells.extend(counts.map(Cell::from));
        table.row(cells);
    }
    table.render()
}

fn odd(facts: &ReportFacts) -> Markup {
    let columns = [
        ("Period", Kind::Text),
        ("Empty", Kind::Count),
        ("One character", Kind::Count),
        ("Read in part", Kind::Count),
        ("Binary junk", Kind::Count),
        ("Mixed scripts", Kind::Count),
        ("Code not in the nomenclature", Kind::Count),
    ];
    let mut table = Table::new(
        "Declared items by period; a description can be odd in several ways, and is used if it has a word and a code",
        &columns,
    );
    for (name, file) in ["teaching", "calibrating", "judging"].iter().zip(&facts.files) {
        let odd = file.odd;
        let counts =
            [odd.empty, odd.one_character, file.cut, odd.junk, odd.mixed_scripts, file.not_in_nomenclature];
        let mut cells: Vec<Cell> = vec![(*name).into()];
        cells.extend(counts.map(Cell::from));
        table.row(cells);
    }
    html! {
        (table.render())
        p { "Codes that one text taught: " (format::count(facts.taught_once as f64)) "." }
    }
}
