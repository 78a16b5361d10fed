//! Sections on groups of images: scanners, sites, months.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike};
use maud::{Markup, html};
use tidewaiter_report::{
    table::{Cell, Kind},
    words::Words,
};

use crate::{
    metrics::{figures::Evaluated, operating::Roc},
    model::detector::{Head, Threshold},
    predict::rows::ScoredImage,
};

/// The month of a day, `2021-04`.
pub(super) fn month(day: i32) -> String {
    let date = DateTime::from_timestamp(i64::from(day) * 86_400, 0);
    date.map(|date| format!("{:04}-{:02}", date.year(), date.month())).unwrap_or_default()
}

/// The threshold by which groups are compared: that of 5 % false alarms, or the only one.
pub(super) fn middle_threshold(head: &Head) -> Option<Threshold> {
    let wanted = |threshold: &&Threshold| threshold.false_alarms == 0.05;
    head.thresholds.iter().find(wanted).or(head.thresholds.first()).copied()
}

/// The figures of a group of images.
pub(super) struct Group {
    /// Empty: unknown.
    pub(super) name: String,
    pub(super) images: u64,
    pub(super) illicit: u64,
    /// Area under the ROC curve.
    pub(super) area: Option<f64>,
    /// The shares of illicit and of clean images that alarm.
    pub(super) detected: Option<f64>,
    pub(super) false_alarms: Option<f64>,
    /// The share of objects that are found.
    pub(super) found: Option<f64>,
    /// False boxes an image.
    pub(super) false_boxes: f64,
    /// The mean of the images' probabilities.
    pub(super) mean: f64,
}

/// The figures of each group of images, by the groups' names.
pub(super) fn grouped(
    evaluated: &Evaluated,
    head: &Head,
    key: &dyn Fn(&ScoredImage) -> String,
) -> Vec<Group> {
    let mut by_group: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, image) in evaluated.images.iter().enumerate() {
        by_group.entry(key(image)).or_default().push(place);
    }
    by_group.into_iter().map(|(name, places)| group(name, &places, evaluated, head)).collect()
}

/// The figures of the images in some places, which ascend.
fn group(name: String, places: &[usize], evaluated: &Evaluated, head: &Head) -> Group {
    let threshold = middle_threshold(head);
    let images: Vec<&ScoredImage> = places.iter().map(|place| &evaluated.images[*place]).collect();
    let known = images.iter().filter_map(|image| Some((image.illicit as f32, image.is_illicit()?)));
    let roc = Roc::new(known.collect());
    let rate = |kind: bool| {
        let of_kind = images.iter().filter(|image| image.is_illicit() == Some(kind));
        let count = of_kind.clone().count();
        let alarmed =
            of_kind.filter(|image| threshold.is_some_and(|threshold| threshold.is_reached(image.illicit)));
        (count > 0 && threshold.is_some()).then(|| alarmed.count() as f64 / count as f64)
    };
    let (mut found, mut wrong) = (0_u64, 0_u64);
    for evaluation in &evaluated.evaluations {
        for (image, score, is_right) in evaluation.verdicts(0) {
            if score >= head.object_threshold && places.binary_search(&image).is_ok() {
                (found, wrong) = (found + u64::from(is_right), wrong + u64::from(!is_right));
            }
        }
    }
    let objects = images
        .iter()
        .flat_map(|image| image.truth.iter().flatten())
        .filter(|object| !object.is_crowd)
        .count();
    let illicit = images.iter().filter(|image| image.is_illicit() == Some(true)).count();
    Group {
        name,
        images: images.len() as u64,
        illicit: illicit as u64,
        area: roc.area(),
        detected: rate(true),
        false_alarms: rate(false),
        found: (objects > 0).then(|| found as f64 / objects as f64),
        false_boxes: wrong as f64 / images.len() as f64,
        mean: images.iter().map(|image| image.illicit).sum::<f64>() / images.len() as f64,
    }
}

/// The table of groups of images.
fn groups(words: &Words, groups: Vec<Group>, (caption, title): (&str, &str)) -> Markup {
    let columns = [
        (title, Kind::Text),
        ("Images", Kind::Count),
        ("Illicit", Kind::Count),
        ("AUC", Kind::Ratio),
        ("Detected", Kind::Percent),
        ("False alarms", Kind::Percent),
        ("Objects found", Kind::Percent),
        ("False boxes an image", Kind::Ratio),
        ("Mean probability", Kind::Percent),
    ];
    let mut table = words.table(caption, &columns);
    for group in groups {
        let name = if group.name.is_empty() { words.say("unknown").to_owned() } else { group.name };
        table.row(vec![
            Cell::Text(name),
            group.images.into(),
            group.illicit.into(),
            group.area.into(),
            group.detected.into(),
            group.false_alarms.into(),
            group.found.into(),
            group.false_boxes.into(),
            group.mean.into(),
        ]);
    }
    table.render()
}

pub(super) fn scanners(words: &Words, evaluated: &Evaluated, head: &Head) -> Markup {
    html! {
        (groups(words, grouped(evaluated, head, &|image| image.scanner.clone()), ("By scanner", "Scanner")))
        (groups(words, grouped(evaluated, head, &|image| image.site.clone()), ("By site", "Site")))
        p {
            (words.say(
                "Scanners differ in their response and noise: a detector can fail on one that its training months lack, and \
                 an average does not show it.",
            ))
        }
    }
}

pub(super) fn drift(words: &Words, evaluated: &Evaluated, head: &Head) -> Markup {
    groups(words, grouped(evaluated, head, &|image| month(image.day)), ("By month", "Month"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_lie_in_their_months() {
        assert_eq!([0, 30, 31, 18_627].map(month), ["1970-01", "1970-01", "1970-02", "2020-12"]);
    }
}
