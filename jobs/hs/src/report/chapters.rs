//! The sections on chapters and on headings that are confused.

use maud::{Markup, html};
use tidewaiter_report::{
    table::{Cell, Kind},
    words::Words,
};

use super::facts::ReportFacts;
use crate::metrics::{Chapter, Evaluation, Example};

/// Rows of the tables of chapters and confusions.
const LISTED: usize = 15;

/// Items that a chapter must have to be listed among the worst.
const LEAST_ITEMS: u64 = 20;

/// Characters of a description that are shown.
const SHOWN: usize = 140;

pub(super) fn chapters(words: &Words, evaluation: &Evaluation, facts: &ReportFacts) -> Markup {
    let wrong = |chapter: &Chapter| chapter.items - chapter.right[2];
    let mut listed: Vec<(&String, &Chapter)> =
        evaluation.chapters.iter().filter(|(_, chapter)| chapter.items >= LEAST_ITEMS).collect();
    listed.sort_by(|one, other| wrong(other.1).cmp(&wrong(one.1)).then(one.0.cmp(other.0)));
    let caption = words.fill(
        "First recommendation right, by declared chapter, of chapters with {n} items or more; below each its most confident \
         errors",
        &[("n", &LEAST_ITEMS.to_string())],
    );
    let mut table = words.table(&caption, &CHAPTER_COLUMNS);
    for (code, chapter) in listed.iter().take(LISTED) {
        let errors = html! { ul { @for example in &chapter.examples { li { (error(words, example)) } } } };
        table.row_with_note(chapter_cells(facts, code, chapter), errors);
    }
    if listed.is_empty() {
        html! {}
    } else {
        table.render()
    }
}

/// The columns of the tables of chapters.
const CHAPTER_COLUMNS: [(&str, Kind); 7] = [
    ("Chapter", Kind::Text),
    ("Text", Kind::Text),
    ("Items", Kind::Count),
    ("2 digits", Kind::Percent),
    ("4 digits", Kind::Percent),
    ("6 digits", Kind::Percent),
    ("6 digits, among the first 5", Kind::Percent),
];

fn chapter_cells(facts: &ReportFacts, code: &str, chapter: &Chapter) -> Vec<Cell> {
    let share = |right: u64| right as f64 / chapter.items.max(1) as f64;
    let mut cells: Vec<Cell> = vec![code.into(), meaning(facts, code), chapter.items.into()];
    cells.extend(chapter.right.map(|right| share(right).into()));
    cells.push(share(chapter.right_of_five).into());
    cells
}

pub(super) fn every_chapter(words: &Words, evaluation: &Evaluation, facts: &ReportFacts) -> Markup {
    let mut table = words.table("First recommendation right, by declared chapter", &CHAPTER_COLUMNS);
    for (code, chapter) in &evaluation.chapters {
        table.row(chapter_cells(facts, code, chapter));
    }
    table.render()
}

pub(super) fn confusions(words: &Words, evaluation: &Evaluation, facts: &ReportFacts) -> Markup {
    let mut listed: Vec<(&(String, String), &u64)> = evaluation.confusions.iter().collect();
    listed.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
    let columns = [
        ("Declared", Kind::Text),
        ("Recommended", Kind::Text),
        ("Items", Kind::Count),
        ("Declared text", Kind::Text),
        ("Recommended text", Kind::Text),
    ];
    let mut table = words.table("Pairs of headings, the most frequent first", &columns);
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

fn error(words: &Words, example: &Example) -> String {
    words.fill(
        "{description}: declared {declared}, recommended {recommended} with {probability}",
        &[
            ("description", &shorten(&example.description)),
            ("declared", &example.declared),
            ("recommended", &example.recommended),
            ("probability", &words.numbers().percent(f64::from(example.probability))),
        ],
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
