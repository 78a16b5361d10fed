//! The reports of the HS jobs, in English, French and Spanish.
//!
//! [`hs_report`] is that of a retrained model, which is also the model's card in the registry; its sections are in the
//! modules below, and [`hs_tables`] gives every table and curve of the page as data. [`applied_report`] is that of an
//! apply.

mod accuracy;
mod applied;
mod chapters;
mod facts;
mod rows;
mod tables;

use maud::Markup;
use tidewaiter_registry::{Promotion, comparison::Comparison, intervals::Share};
use tidewaiter_report::{
    format::period,
    page::{Footer, Page, Section},
    words::Words,
};

use self::{
    accuracy::{accuracy, automation, calibration, drift},
    chapters::{chapters, confusions, every_chapter},
    rows::{defects, rows},
};
pub use self::{
    applied::{AppliedFacts, applied_report, applied_tables},
    facts::ReportFacts,
    tables::hs_tables,
};
use crate::results::TestResults;

/// The words of the page in its languages.
const WORDS: &str = include_str!("words.tsv");

/// The page of a model, by its name and version, and what became of its promotion.
pub fn hs_report(results: &TestResults, model: &str, facts: &ReportFacts, promotion: Promotion) -> Page {
    let words = &Words::new(facts.language, &[WORDS]);
    let evaluation = &results.evaluation;
    let section = |anchor, title: &str, body: Markup| Section { anchor, title: title.to_owned(), body };
    let mut sections = vec![
        section("accuracy", words.say("Accuracy"), accuracy(words, results, facts)),
        section("automation", words.say("How much can be automated"), automation(words, results)),
        section("calibration", words.say("Calibration"), calibration(words, evaluation)),
        section("chapters", words.say("Chapters with the most errors"), chapters(words, evaluation, facts)),
        section("every-chapter", words.say("Every chapter"), every_chapter(words, evaluation, facts)),
        section("drift", words.say("Drift by month"), drift(words, evaluation)),
        section("confusions", words.say("Headings that are confused"), confusions(words, evaluation, facts)),
        section("rows", words.say("Items used and left out"), rows(words, facts)),
        section("odd", words.say("Unusual descriptions and codes"), defects(words, facts)),
    ];
    sections.retain(|section| !section.body.0.is_empty());
    let [train, valid, test] = facts.periods.each_ref().map(|months| period(months));
    let [chapters, headings, subheadings] = facts.classes.map(|count| words.count(count as u64));
    let mut shown = vec![
        (words.say("Model").to_owned(), model.to_owned()),
        (words.say("Verdict").to_owned(), verdict(words, model, facts, promotion)),
        (words.say("Country").to_owned(), facts.country.clone()),
        (words.say("Training months").to_owned(), train),
        (words.say("Validation months").to_owned(), valid),
        (words.say("Test months").to_owned(), test.clone()),
        (
            words.say("Codes known").to_owned(),
            words.fill(
                "{subheadings} in {headings} headings of {chapters} chapters",
                &[("subheadings", &subheadings), ("headings", &headings), ("chapters", &chapters)],
            ),
        ),
    ];
    if facts.looks > 1 {
        let looks = words.fill("{n} times", &[("n", &facts.looks.to_string())]);
        shown.push((words.say("Test months looked at").to_owned(), looks));
    }
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
        lead: lead(words, results, facts),
        facts: shown,
        sections,
        footer: Footer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: Some(facts.seed),
            snapshot: Some(facts.snapshot.clone()),
        },
    }
}

/// Whether the model is better than the champion, and what became of its promotion.
fn verdict(words: &Words, model: &str, facts: &ReportFacts, promotion: Promotion) -> String {
    let champion = facts.champion.as_deref().unwrap_or_default();
    let name = model.split('@').next().unwrap_or_default();
    let other = match promotion {
        Promotion::OvertakenBy(version) => format!("{name}@{version}"),
        _ => String::new(),
    };
    let fill = |text: &str| words.fill(text, &[("champion", champion), ("other", &other)]);
    let is_better = facts.comparison.is_some_and(|comparison| comparison.is_better());
    let said = match (&facts.champion, promotion) {
        (None, Promotion::Champion) => fill(words.say("first version, champion")),
        (None, Promotion::OvertakenBy(_)) => {
            fill(words.say("not in use: {other} was promoted since there was no champion"))
        }
        (None, _) => fill(words.say("first version: champion, unless another model was promoted before it")),
        (Some(_), _) if facts.comparison.is_none() => fill(words.say("not compared with {champion}")),
        (Some(_), Promotion::Champion) => fill(words.say("better than {champion}, now champion")),
        (Some(_), Promotion::OvertakenBy(_)) => {
            fill(words.say("better than {champion}, but {other} was promoted since they were compared"))
        }
        (Some(_), Promotion::Pending) if is_better => {
            fill(words.say("better than {champion}: champion, unless another model was promoted meanwhile"))
        }
        (Some(_), _) => fill(words.say("not better than {champion} beyond chance")),
    };
    let Some(Comparison { difference, low, high, .. }) = facts.comparison else { return said };
    let points = |share: f64| words.numbers().fixed(100.0 * share, 2);
    let figures = words.fill(
        "first at six digits {difference} points (95 % interval {low} to {high}, by declaration and by day)",
        &[("difference", &points(difference)), ("low", &points(low)), ("high", &points(high))],
    );
    format!("{said}; {figures}")
}

/// The share of automated codes that must be right, by which the lead says how much can be automated.
const AUTOMATED_RIGHT: f64 = 0.98;

/// What the test months hold, how often the description alone gives the declared code, and what could be automated.
fn lead(words: &Words, results: &TestResults, facts: &ReportFacts) -> String {
    let test = facts.files.get(2).cloned().unwrap_or_default();
    let [_, _, months] = &facts.periods;
    let mut text = words.fill(
        "Of {all} items of {country} in {months}, {used} have a description with a word and a code to check it by",
        &[
            ("all", &words.count(test.read())),
            ("country", &facts.country),
            ("months", &period(months)),
            ("used", &words.count(test.items)),
        ],
    );
    let count =
        |number: u64, text: &str| (number > 0).then(|| words.fill(text, &[("n", &words.count(number))]));
    let left_out: Vec<String> = [
        count(test.not_in_nomenclature, words.say("{n} have a code that the nomenclature lacks")),
        count(test.without_code, words.say("{n} a code under six digits")),
        count(test.without_words, words.say("{n} no word")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !left_out.is_empty() {
        let parts = left_out.join(", ");
        text.push_str(&words.fill(" ({parts}: nothing below counts them)", &[("parts", &parts)]));
    }
    text.push_str(". ");
    let place =
        |place: usize| results.accuracy[2][place].map_or_else(|| "–".to_owned(), |own| share(words, own));
    text.push_str(&words.fill(
        "By the description alone, the first recommendation is the declared six-digit code for {first} of those, and one of \
         the first five for {five}.",
        &[("first", &place(0)), ("five", &place(2))],
    ));
    text.push(' ');
    text.push_str(&automated(words, results));
    text.push(' ');
    text.push_str(&on_new_texts(words, results));
    text
}

/// How good the first recommendation is on texts that training did not have.
fn on_new_texts(words: &Words, results: &TestResults) -> String {
    let new = results.novelty.iter().find(|novelty| !novelty.seen && novelty.items > 0);
    let Some(right) = new.and_then(|new| Some((new.items, new.right[2]?))) else {
        return words
            .say("Training had the words of every one of these texts: how good it is on new ones is not known.")
            .to_owned();
    };
    words.fill(
        "Training did not have the text of {n} of the items: there the first recommendation is right for {share}.",
        &[("n", &words.count(right.0)), ("share", &share(words, right.1))],
    )
}

/// What the validation months' threshold for [`AUTOMATED_RIGHT`] would have done.
fn automated(words: &Words, results: &TestResults) -> String {
    let precision = words.percent(AUTOMATED_RIGHT);
    let none = || {
        words.fill(
            "No probability was high enough on the validation months for {precision} to be right: none is to be classified \
             to six digits without a person.",
            &[("precision", &precision)],
        )
    };
    let Some(automation) = results.automated(2, AUTOMATED_RIGHT) else { return none() };
    if automation.threshold.is_none() {
        return none();
    }
    let automated = words.numbers().percent(automation.automated);
    let right = automation.right.map_or_else(|| "–".to_owned(), |right| share(words, right));
    words.fill(
        "From the probability on that the validation months chose, so that {precision} be right, {automated} of them would \
         be classified to six digits without a person, and {right} of these as declared.",
        &[("precision", &precision), ("automated", &automated), ("right", &right)],
    )
}

/// A share with its interval.
fn share(words: &Words, Share { share, low, high }: Share) -> String {
    let percent = |share: f64| words.numbers().percent(share);
    words.fill(
        "{value} (95 % interval {low} to {high})",
        &[("value", &percent(share)), ("low", &percent(low)), ("high", &percent(high))],
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tidewaiter_report::words::{Language, testing};

    use super::*;
    use crate::{
        codes::nomenclature::Nomenclature,
        features::texts::TextFile,
        metrics::{Evaluation, ScoredItem},
    };

    #[test]
    fn every_text_is_in_the_list_of_words() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report");
        assert_eq!(testing::gaps(&sources, WORDS).expect("is read"), Vec::<String>::new());
    }

    /// A test month of 720 items, 480 of which the nomenclature does not know.
    fn facts(language: Language) -> ReportFacts {
        let test =
            TextFile { items: 200, not_in_nomenclature: 480, without_words: 40, ..TextFile::default() };
        ReportFacts {
            language,
            champion: None,
            comparison: None,
            looks: 1,
            country: "KR".to_owned(),
            periods: ["2020-01", "2020-02", "2020-03"].map(str::to_owned),
            classes: [1, 1, 2],
            with_one_text: 0,
            files: vec![TextFile::default(), TextFile::default(), test],
            seed: 0,
            snapshot: "declarations@1".to_owned(),
            nomenclature: Nomenclature::default(),
            encoder: None,
            figures_with_attributes: None,
            champion_figures: None,
            unit_independent: false,
        }
    }

    /// Items of which every tenth is wrong.
    fn evaluation() -> Evaluation {
        let mut evaluation = Evaluation::default();
        for number in 0..200 {
            let is_right = number % 10 > 0;
            evaluation.add(&ScoredItem {
                items: 1,
                description: "goods",
                declared: "010121",
                recommended: if is_right { ["01", "0101", "010121"] } else { ["01", "0101", "010129"] },
                probability: [0.95; 3],
                rank: [Some(1), Some(1), Some(if is_right { 1 } else { 2 })],
                vague: false,
                month: 24_242,
                national: None,
                declaration: number,
                day: (number / 10) as i64,
                seen: false,
            });
        }
        evaluation
    }

    #[test]
    fn the_lead_names_its_items_and_automates_nothing_where_one_in_ten_is_wrong() {
        let results = TestResults::of(evaluation(), &evaluation());
        let page = hs_report(&results, "hs-KR@1", &facts(Language::English), Promotion::Pending);
        let said = page.lead.replace('\u{a0}', " ");
        assert!(said.starts_with("Of 720 items of KR in 2020-03, 200 have a description"), "{said}");
        assert!(
            said.contains("(480 have a code that the nomenclature lacks, 40 no word: nothing below"),
            "{said}"
        );
        assert!(said.contains("code for 90.0 % (95 % interval 8"), "{said}");
        assert!(said.contains("none is to be classified to six digits without a person."), "{said}");
        assert!(!page.render().contains("can be classified without a person"));

        let sure: Vec<Evaluation> = vec![evaluation(), {
            let mut all = Evaluation::default();
            all.add(&ScoredItem {
                items: 10,
                description: "goods",
                declared: "010121",
                recommended: ["01", "0101", "010121"],
                probability: [0.9; 3],
                rank: [Some(1); 3],
                vague: false,
                month: 0,
                national: None,
                declaration: 0,
                day: 0,
                seen: false,
            });
            all
        }];
        let results = TestResults::of(sure[0].clone(), &sure[1]);
        let said = hs_report(&results, "hs-KR@1", &facts(Language::English), Promotion::Pending).lead;
        let said = said.replace('\u{a0}', " ");
        assert!(
            said.contains("100.0 % of them would be classified") && said.contains("and 90.0 % (95 %"),
            "{said}"
        );
        let spanish = hs_report(&results, "hs-KR@1", &facts(Language::Spanish), Promotion::Pending).lead;
        assert!(spanish.starts_with("De 720 partidas de KR"), "{spanish}");
    }

    #[test]
    fn where_every_description_is_vague_there_is_no_share_of_the_others() {
        let mut vague = evaluation();
        vague.vague = vague.items;
        let results = TestResults::of(vague, &evaluation());
        let page = hs_report(&results, "hs-KR@1", &facts(Language::English), Promotion::Pending).render();
        assert!(page.contains("of the others, – get the right heading first."));
    }

    #[test]
    fn the_verdict_says_what_became_of_the_promotion() {
        let words = Words::new(Language::English, &[WORDS]);
        let of = |promotion| verdict(&words, "hs-KR@3", &facts(Language::English), promotion);
        assert_eq!(of(Promotion::Champion), "first version, champion");
        assert!(of(Promotion::Pending).contains("unless another model was promoted before it"));
        assert!(of(Promotion::OvertakenBy(2)).starts_with("not in use: hs-KR@2 was promoted"));
    }
}
