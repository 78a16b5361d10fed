//! The sections on the items of the three periods: used, left out, defective.

use maud::{Markup, html};
use tidewaiter_report::{
    table::{Cell, Kind},
    words::Words,
};

use super::facts::ReportFacts;

/// The names of the three periods.
fn periods(words: &Words) -> [&str; 3] {
    [words.say("training"), words.say("validation"), words.say("test")]
}

pub(super) fn rows(words: &Words, facts: &ReportFacts) -> Markup {
    let columns = [
        ("Period", Kind::Text),
        ("Used", Kind::Count),
        ("Distinct", Kind::Count),
        ("No word", Kind::Count),
        ("Under six digits", Kind::Count),
        ("Unknown code", Kind::Count),
        ("Converted", Kind::Count),
        ("Read in part", Kind::Count),
    ];
    let mut table = words.table(
        "Declared items by period; those without a word, with a code under six digits or one that the nomenclature lacks are left out; converted are codes of another edition of the HS",
        &columns,
    );
    for (name, file) in periods(words).iter().zip(&facts.files) {
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

pub(super) fn defects(words: &Words, facts: &ReportFacts) -> Markup {
    let columns = [
        ("Period", Kind::Text),
        ("Empty", Kind::Count),
        ("One character", Kind::Count),
        ("Read in part", Kind::Count),
        ("Binary data", Kind::Count),
        ("Mixed scripts", Kind::Count),
        ("Code not in the nomenclature", Kind::Count),
    ];
    let mut table = words.table(
        "Declared items by period; a description can have several defects, and is used if it has a word and a code",
        &columns,
    );
    for (name, file) in periods(words).iter().zip(&facts.files) {
        let defects = file.defects;
        let counts = [
            defects.empty,
            defects.one_character,
            file.cut,
            defects.junk,
            defects.mixed_scripts,
            file.not_in_nomenclature,
        ];
        let mut cells: Vec<Cell> = vec![(*name).into()];
        cells.extend(counts.map(Cell::from));
        table.row(cells);
    }
    html! {
        (table.render())
        p {
            (words.fill(
                "Codes with one training text only: {n}.",
                &[("n", &words.count(facts.with_one_text as u64))],
            ))
        }
    }
}
