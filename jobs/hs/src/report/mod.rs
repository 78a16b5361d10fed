//! The report of a retrained HS model, which is also the model's card in the registry.
//!
//! Start at [`hs_report`]; the sections are in the modules below.

mod accuracy;
mod chapters;
mod facts;
mod rows;

use maud::Markup;
use tidewaiter_report::{
    format,
    page::{Footer, Page, Section},
};

pub use self::facts::ReportFacts;
use self::{
    accuracy::{accuracy, automation, calibration, drift},
    chapters::{chapters, confusions, every_chapter},
    rows::{defects, rows},
};
use crate::metrics::Evaluation;

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
        section("odd", "Odd descriptions and codes", defects(facts)),
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
