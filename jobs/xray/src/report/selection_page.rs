//! The page of what an apply selected: alarms, and images that do not fit their declarations.

use std::collections::BTreeMap;

use maud::{Markup, html};
use tidewaiter_report::{
    page::{Footer, Page, Section},
    picture::{Picture, sheet},
    table::{Cell, Kind},
    words::{Language, Words},
};

use super::{images::month, mismatch::mismatches, texts::WORDS};
use crate::{model::detector::Threshold, predict::rows::ScoredImage};

/// What the page says beside what was found.
#[derive(Debug, Clone)]
pub struct SelectionFacts {
    /// The language of the page.
    pub language: Language,
    /// The reporting country.
    pub country: String,
    /// The months.
    pub months: String,
    /// The model's name and version.
    pub model: String,
    /// From which probability an image alarms.
    pub threshold: Option<Threshold>,
    /// From which score an object counts as found.
    pub object_threshold: f32,
    /// The snapshot of the images.
    pub snapshot: String,
    /// The fraud model's probability of declarations, where there is one.
    pub fraud: BTreeMap<String, f64>,
}

impl SelectionFacts {
    /// Whether an image alarms.
    pub(super) fn alarms(&self, image: &ScoredImage) -> bool {
        image.unreadable.is_empty()
            && self.threshold.is_some_and(|threshold| threshold.is_reached(image.illicit))
    }
}

/// The page of the images of some months.
pub fn selection_report(found: &[ScoredImage], facts: &SelectionFacts, pictures: &[Picture]) -> Page {
    let words = &Words::new(facts.language, &[WORDS]);
    let section = |anchor, title: &str, body: Markup| Section { anchor, title: title.to_owned(), body };
    let mut sections = vec![
        section("alarms", words.say("The most suspect images"), suspects(words, pictures)),
        section("classes", words.say("Objects found"), objects(words, found, facts)),
        section("scanners", words.say("Scanners and sites"), groups(words, found, facts)),
        section(
            "declarations",
            words.say("Images against declarations"),
            mismatches(words, found, &facts.fraud),
        ),
        section("unreadable", words.say("Images that could not be read"), unreadable(words, found)),
    ];
    sections.retain(|section| !section.body.0.is_empty());
    let alarms = found.iter().filter(|image| facts.alarms(image)).count();
    let mut days: Vec<i32> = found.iter().map(|image| image.day).collect();
    days.sort_unstable();
    days.dedup();
    let a_day = alarms as f64 / days.len().max(1) as f64;
    let threshold = match facts.threshold {
        Some(Threshold { probability: Some(probability), false_alarms }) => words.fill(
            "p ≥ {threshold}: {share} of the clean validation images",
            &[("threshold", &words.numbers().ratio(probability)), ("share", &words.percent(false_alarms))],
        ),
        Some(Threshold { probability: None, .. }) => words.say("not reached by any image").to_owned(),
        None => words.say("none: the validation images did not suffice for one").to_owned(),
    };
    Page {
        language: facts.language,
        title: format!("{} · {} · {}", words.say("X-ray images to look at"), facts.country, facts.months),
        subtitle: words.say("What the model finds on the images of these months").to_owned(),
        lead: words.fill(
            "{alarms} of {images} images alarm, {a_day} a day.",
            &[
                ("alarms", &words.count(alarms as u64)),
                ("images", &words.count(found.len() as u64)),
                ("a_day", &words.numbers().number(a_day)),
            ],
        ),
        facts: vec![
            (words.say("Model").to_owned(), facts.model.clone()),
            (words.say("Country").to_owned(), facts.country.clone()),
            (words.say("Months").to_owned(), facts.months.clone()),
            (words.say("Threshold").to_owned(), threshold),
        ],
        sections,
        footer: Footer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: None,
            snapshot: Some(facts.snapshot.clone()),
        },
    }
}

fn suspects(words: &Words, pictures: &[Picture]) -> Markup {
    if pictures.is_empty() {
        return html! {};
    }
    html! {
        p {
            (words.say(
                "By falling probability. Under each picture: the image's probability, scanner, site and identifier; \
                 `tidewaiter xray show IDENTIFIER` writes it in full size.",
            ))
        }
        (sheet(pictures))
    }
}

/// How often a class is found on images that alarm.
pub(super) struct ClassCount<'a> {
    pub(super) class: &'a str,
    /// Alarms with it.
    pub(super) alarms: u64,
    /// Alarms in which it is the surest.
    pub(super) surest: u64,
}

/// The classes of the objects that count as found on the images that alarm, by their names. An image's objects begin with
/// the most certain one.
pub(super) fn class_counts<'a>(found: &'a [ScoredImage], facts: &SelectionFacts) -> Vec<ClassCount<'a>> {
    let mut by_class: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for image in found.iter().filter(|image| facts.alarms(image)) {
        let sure = image.found.iter().filter(|object| object.score >= facts.object_threshold);
        let mut seen: Vec<&str> = sure.map(|object| object.class.as_str()).collect();
        let best = seen.first().copied();
        seen.sort_unstable();
        seen.dedup();
        for class in seen {
            let counts = by_class.entry(class).or_default();
            *counts = (counts.0 + 1, counts.1 + u64::from(best == Some(class)));
        }
    }
    by_class.into_iter().map(|(class, (alarms, surest))| ClassCount { class, alarms, surest }).collect()
}

fn objects(words: &Words, found: &[ScoredImage], facts: &SelectionFacts) -> Markup {
    let classes = class_counts(found, facts);
    if classes.is_empty() {
        return html! {};
    }
    let columns = [
        ("Class", Kind::Text),
        ("Alarms with it", Kind::Count),
        ("Alarms in which it is the surest", Kind::Count),
    ];
    let mut table = words.table("Classes on the images that alarm", &columns);
    for ClassCount { class, alarms, surest } in classes {
        table.row(vec![class.into(), alarms.into(), surest.into()]);
    }
    table.render()
}

/// The alarms among a group of images.
pub(super) struct AlarmCount {
    /// Empty: unknown.
    pub(super) name: String,
    pub(super) images: u64,
    pub(super) alarms: u64,
    /// The mean of the images' probabilities.
    pub(super) mean: f64,
}

/// The alarms among the images of each group, by the groups' names.
pub(super) fn alarm_counts(
    found: &[ScoredImage],
    facts: &SelectionFacts,
    key: &dyn Fn(&ScoredImage) -> String,
) -> Vec<AlarmCount> {
    let mut groups: BTreeMap<String, (u64, u64, f64)> = BTreeMap::new();
    for image in found {
        let group = groups.entry(key(image)).or_default();
        let alarms = u64::from(facts.alarms(image));
        *group = (group.0 + 1, group.1 + alarms, group.2 + image.illicit);
    }
    let count = |(name, (images, alarms, sum)): (String, (u64, u64, f64))| AlarmCount {
        name,
        images,
        alarms,
        mean: sum / images as f64,
    };
    groups.into_iter().map(count).collect()
}

fn groups(words: &Words, found: &[ScoredImage], facts: &SelectionFacts) -> Markup {
    let table = |caption: &str, title: &str, key: &dyn Fn(&ScoredImage) -> String| {
        let columns = [
            (title, Kind::Text),
            ("Images", Kind::Count),
            ("Alarms", Kind::Count),
            ("Share of images that alarm", Kind::Percent),
            ("Mean probability", Kind::Percent),
        ];
        let mut table = words.table(caption, &columns);
        for group in alarm_counts(found, facts, key) {
            let name = if group.name.is_empty() { words.say("unknown").to_owned() } else { group.name };
            let share = group.alarms as f64 / group.images as f64;
            table.row(vec![
                Cell::Text(name),
                group.images.into(),
                group.alarms.into(),
                share.into(),
                group.mean.into(),
            ]);
        }
        table.render()
    };
    html! {
        (table("By scanner", "Scanner", &|image| image.scanner.clone()))
        (table("By site", "Site", &|image| image.site.clone()))
        (table("By month", "Month", &|image| month(image.day)))
    }
}

fn unreadable(words: &Words, found: &[ScoredImage]) -> Markup {
    let all: Vec<&ScoredImage> = found.iter().filter(|image| !image.unreadable.is_empty()).collect();
    if all.is_empty() {
        return html! {};
    }
    let columns = [("Image", Kind::Text), ("Reason", Kind::Text)];
    let mut table = words.table("The first of them", &columns);
    for image in all.iter().take(20) {
        table.row(vec![image.image.as_str().into(), image.unreadable.as_str().into()]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{boxes::Rectangle, predict::objects::FoundObject};

    #[test]
    fn a_class_counts_where_it_is_found_on_an_image_that_alarms() {
        let object = |&(class, score): &(&str, f32)| FoundObject {
            class: class.to_owned(),
            score,
            rectangle: Rectangle { left: 0.0, top: 0.0, width: 9.0, height: 9.0 },
        };
        let image = |illicit: f64, found: &[(&str, f32)]| ScoredImage {
            illicit,
            found: found.iter().map(object).collect(),
            ..ScoredImage::default()
        };
        let facts = SelectionFacts {
            language: Language::English,
            country: "KR".to_owned(),
            months: "2021-01".to_owned(),
            model: "xray-KR@1".to_owned(),
            threshold: Some(Threshold { false_alarms: 0.05, probability: Some(0.5) }),
            object_threshold: 0.4,
            snapshot: "xray_images@1".to_owned(),
            fraud: BTreeMap::new(),
        };
        let found = [
            image(0.9, &[("gun", 0.8), ("knife", 0.5), ("knife", 0.4), ("razor", 0.1)]),
            image(0.6, &[("knife", 0.7), ("gun", 0.2)]),
            image(0.4, &[("gun", 0.9)]),
        ];
        let counts = class_counts(&found, &facts);
        let counts: Vec<_> = counts.iter().map(|count| (count.class, count.alarms, count.surest)).collect();
        assert_eq!(counts, [("gun", 1, 1), ("knife", 2, 1)]);
    }
}
