//! The report of a retrained HS model, which is also the model's card in the registry, in English, French and Spanish.
//!
//! Start at [`hs_report`]; the sections are in the modules below. [`hs_tables`] gives every table and curve of the page as
//! data.

mod accuracy;
mod chapters;
mod facts;
mod rows;
mod tables;

use maud::Markup;
use tidewaiter_report::{
    page::{Footer, Page, Section},
    words::Words,
};

use self::{
    accuracy::{accuracy, automation, calibration, drift},
    chapters::{chapters, confusions, every_chapter},
    rows::{defects, rows},
};
pub use self::{facts::ReportFacts, tables::hs_tables};
use crate::metrics::Evaluation;

/// The words of the page in its languages.
const WORDS: &str = include_str!("words.tsv");

/// The page of a model, by its name and version.
pub fn hs_report(evaluation: &Evaluation, model: &str, facts: &ReportFacts) -> Page {
    let words = &Words::new(facts.language, &[WORDS]);
    let section = |anchor, title: &str, body: Markup| Section { anchor, title: title.to_owned(), body };
    let mut sections = vec![
        section("accuracy", words.say("Accuracy"), accuracy(words, evaluation, facts)),
        section("automation", words.say("How much can be automated"), automation(words, evaluation)),
        section("calibration", words.say("Calibration"), calibration(words, evaluation)),
        section("chapters", words.say("Chapters with the most errors"), chapters(words, evaluation, facts)),
        section("every-chapter", words.say("Every chapter"), every_chapter(words, evaluation, facts)),
        section("drift", words.say("Drift by month"), drift(words, evaluation)),
        section("confusions", words.say("Headings that are confused"), confusions(words, evaluation, facts)),
        section("rows", words.say("Items used and left out"), rows(words, facts)),
        section("odd", words.say("Unusual descriptions and codes"), defects(words, facts)),
    ];
    sections.retain(|section| !section.body.0.is_empty());
    let verdict = match (&facts.champion, facts.promoted) {
        (None, _) => words.say("first version, champion").to_owned(),
        (Some(champion), true) => {
            words.fill("better than {champion}, now champion", &[("champion", champion)])
        }
        (Some(champion), false) => words.fill("not better than {champion}", &[("champion", champion)]),
    };
    let [train, valid, test] = &facts.periods;
    let [chapters, headings, subheadings] = facts.classes.map(|count| words.count(count as u64));
    let mut shown = vec![
        (words.say("Model").to_owned(), model.to_owned()),
        (words.say("Verdict").to_owned(), verdict),
        (words.say("Country").to_owned(), facts.country.clone()),
        (words.say("Training months").to_owned(), train.clone()),
        (words.say("Validation months").to_owned(), valid.clone()),
        (words.say("Test months").to_owned(), test.clone()),
        (
            words.say("Codes known").to_owned(),
            words.fill(
                "{subheadings} in {headings} headings of {chapters} chapters",
                &[("subheadings", &subheadings), ("headings", &headings), ("chapters", &chapters)],
            ),
        ),
    ];
    if let Some(encoder) = &facts.encoder {
        shown.push((words.say("Text encoder").to_owned(), encoder.clone()));
    }
    Page {
        language: facts.language,
        title: format!(
            "{} · {} · {test}",
            words.fill("HS classification: {model}", &[("model", model)]),
            facts.country
        ),
        subtitle: words
            .say("Recommended HS codes against the declared ones, on months that the model has not seen")
            .to_owned(),
        lead: lead(words, evaluation),
        facts: shown,
        sections,
        footer: Footer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: Some(facts.seed),
            snapshot: Some(facts.snapshot.clone()),
        },
    }
}

fn lead(words: &Words, evaluation: &Evaluation) -> String {
    let percent = |share: f64| words.numbers().percent(share);
    words.fill(
        "Of {items} items, the first recommendation is the declared six-digit code for {first}, and one of the first five \
         for {five}; {automated} can be classified to six digits without a person where at least {precision} of those must \
         be right.",
        &[
            ("items", &words.count(evaluation.items)),
            ("first", &percent(evaluation.accuracy(2, 0))),
            ("five", &percent(evaluation.accuracy(2, 2))),
            ("automated", &percent(evaluation.coverage_at(2, AUTOMATED_RIGHT))),
            ("precision", &words.percent(AUTOMATED_RIGHT)),
        ],
    )
}

/// The share of automated codes that must be right, by which the lead sentence tells how much can be automated.
const AUTOMATED_RIGHT: f64 = 0.98;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tidewaiter_report::words::{Language, testing};

    use super::*;

    #[test]
    fn every_text_is_in_the_list_of_words() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report");
        assert_eq!(testing::gaps(&sources, WORDS).expect("is read"), Vec::<String>::new());
    }

    #[test]
    fn the_lead_asks_98_of_100_and_not_9_of_10() {
        let words = Words::new(Language::English, &[WORDS]);
        let said = lead(&words, &Evaluation::default()).replace('\u{a0}', " ");
        assert!(said.contains("where at least 98 % of those must be right"), "{said}");
        let words = Words::new(Language::Spanish, &[WORDS]);
        assert!(lead(&words, &Evaluation::default()).starts_with("De 0 partidas"));
    }
}
