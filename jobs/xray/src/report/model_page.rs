//! The card of a detector.

use maud::{Markup, html};
use tidewaiter_registry::{Promotion, comparison::Comparison};
use tidewaiter_report::{
    page::{Footer, Page, Section},
    picture::{Picture, sheet},
    table::Kind,
    words::Words,
};

use super::{
    facts::ModelFacts,
    figures::{calibration, classes, free_response, operating},
    images::{drift, scanners},
    mismatch::mismatches,
    pictures::Chosen,
    texts::WORDS,
};
use crate::{features::sections::numeral, metrics::figures::Evaluated};

/// The page of a detector, by its name and version and what became of its promotion.
pub fn model_report(
    evaluated: &Evaluated,
    (model, promotion): (&str, Promotion),
    facts: &ModelFacts,
    pictures: &Chosen,
) -> Page {
    let words = &Words::new(facts.language, &[WORDS]);
    let section = |anchor, title: &str, body: Markup| Section { anchor, title: title.to_owned(), body };
    let head = &facts.head;
    let mut sections = vec![
        section("classes", words.say("Objects by class"), classes(words, facts)),
        section("alarms", words.say("Alarms and detection"), operating(words, evaluated, facts)),
        section("boxes", words.say("False boxes"), free_response(words, evaluated)),
        section("hits", words.say("Hits"), shown(words, &pictures.hits)),
        section("misses", words.say("Misses"), shown(words, &pictures.misses)),
        section("false-alarms", words.say("False alarms"), shown(words, &pictures.false_alarms)),
        section("scanners", words.say("Scanners and sites"), scanners(words, evaluated, head)),
        section("calibration", words.say("Calibration"), calibration(words, evaluated)),
        section("drift", words.say("Drift by month"), drift(words, evaluated, head)),
        section(
            "declarations",
            words.say("Images against declarations"),
            declarations(words, evaluated, facts),
        ),
        section("data", words.say("Images used"), data(words, facts)),
    ];
    sections.retain(|section| !section.body.0.is_empty());
    let [train, valid, test] = &facts.periods;
    let numbers = words.numbers();
    let mut shown = vec![
        (words.say("Model").to_owned(), model.to_owned()),
        (words.say("Verdict").to_owned(), verdict(words, facts, promotion)),
        (words.say("Country").to_owned(), facts.country.clone()),
        (words.say("Training months").to_owned(), train.clone()),
        (words.say("Validation months").to_owned(), valid.clone()),
        (words.say("Test months").to_owned(), test.clone()),
        (
            words.say("Input").to_owned(),
            words.fill("{side} × {side} pixels", &[("side", &head.side.to_string())]),
        ),
    ];
    if let Some(digest) = &facts.backbone {
        shown.push((words.say("Weights that the training began from, SHA-256").to_owned(), digest.clone()));
    }
    if let Some(comparison) = &facts.comparison {
        let signed = |value: f64| format!("{}{}", if value > 0.0 { "+" } else { "" }, numbers.ratio(value));
        let interval = format!(
            "{} ({} – {})",
            signed(comparison.difference),
            signed(comparison.low),
            signed(comparison.high)
        );
        shown.push((words.say("mAP@50 against the champion, 95 % interval").to_owned(), interval));
    }
    Page {
        language: facts.language,
        title: format!(
            "{} · {} · {test}",
            words.fill("X-ray images: {model}", &[("model", model)]),
            facts.country
        ),
        subtitle: words
            .say("Illicit objects found on annotated images of months that the model has not seen")
            .to_owned(),
        lead: lead(words, facts),
        facts: shown,
        sections,
        footer: Footer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: Some(facts.seed),
            snapshot: Some(facts.snapshot.clone()),
        },
    }
}

fn lead(words: &Words, facts: &ModelFacts) -> String {
    let figures = &facts.figures;
    let ratio =
        |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| words.numbers().ratio(value));
    let Some(rate) = figures.detected.get("detected@5") else {
        return words.fill(
            "Of {images} annotated images {illicit} hold something illicit. The model's boxes reach an mAP@50 of {map}.",
            &[
                ("images", &words.count(figures.images)),
                ("illicit", &words.count(figures.illicit)),
                ("map", &ratio(figures.map50)),
            ],
        );
    };
    words.fill(
        "Of {images} annotated images {illicit} hold something illicit. At 5 % false alarms the model detects {rate} of \
         them; its boxes reach an mAP@50 of {map}.",
        &[
            ("images", &words.count(figures.images)),
            ("illicit", &words.count(figures.illicit)),
            ("rate", &words.numbers().percent(*rate)),
            ("map", &ratio(figures.map50)),
        ],
    )
}

fn verdict(words: &Words, facts: &ModelFacts, promotion: Promotion) -> String {
    let champion = facts.champion.as_deref().unwrap_or_default();
    let is_better = facts.comparison.as_ref().is_some_and(Comparison::is_better);
    match (&facts.champion, promotion) {
        (_, Promotion::OvertakenBy(version)) => words.fill(
            "better, but version {version} was promoted before it",
            &[("version", &version.to_string())],
        ),
        (None, _) => words.say("first version, champion").to_owned(),
        (Some(_), _) if facts.comparison.is_none() => words.say("not compared with the champion").to_owned(),
        (Some(_), Promotion::Champion) => {
            words.fill("better than {champion}, champion", &[("champion", champion)])
        }
        (Some(_), Promotion::Pending) if is_better => {
            words.fill("better than {champion}", &[("champion", champion)])
        }
        (Some(_), _) => words.fill("not better than {champion} beyond chance", &[("champion", champion)]),
    }
}

fn shown(words: &Words, pictures: &[Picture]) -> Markup {
    if pictures.is_empty() {
        return html! {};
    }
    html! {
        p {
            (words.say(
                "Dashed green: annotated. Blue: found, and right. Red: found, and not right. Under each picture: its classes, \
                 the image's probability, scanner, site and identifier.",
            ))
        }
        (sheet(pictures))
    }
}

fn declarations(words: &Words, evaluated: &Evaluated, facts: &ModelFacts) -> Markup {
    let table = mismatches(words, &evaluated.images, &facts.fraud);
    if table.0.is_empty() {
        return table;
    }
    let sections: Vec<String> = facts.head.sections.iter().map(|section| numeral(*section)).collect();
    let share = facts.figures.as_declared.unwrap_or_default();
    html! {
        p {
            (words.fill(
                "{images} images have a declaration in one of the sections that the model knows ({sections}); {share} look \
                 most like the declared one.",
                &[
                    ("images", &words.count(facts.figures.declared)),
                    ("sections", &sections.join(", ")),
                    ("share", &words.numbers().percent(share)),
                ],
            ))
        }
        (table)
    }
}

fn data(words: &Words, facts: &ModelFacts) -> Markup {
    let columns = [
        ("Months", Kind::Text),
        ("Images", Kind::Count),
        ("Annotated", Kind::Count),
        ("Illicit", Kind::Count),
    ];
    let mut table = words.table("Images of each period", &columns);
    let names = [words.say("Training months"), words.say("Validation months"), words.say("Test months")];
    for (name, [images, annotated, illicit]) in names.into_iter().zip(facts.counts) {
        table.row(vec![name.into(), images.into(), annotated.into(), illicit.into()]);
    }
    let figures = &facts.figures;
    html! {
        (table.render())
        p {
            (words.fill(
                "Images that nobody annotated say nothing and are left out: {unknown} of the test months. {unreadable} \
                 annotated images of the test months could not be decoded. Images of one month and place resemble each other, \
                 so that figures on other traffic will differ.",
                &[("unknown", &words.count(figures.unknown)), ("unreadable", &words.count(figures.unreadable))],
            ))
        }
    }
}
