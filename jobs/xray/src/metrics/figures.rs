//! The figures of a detector on annotated images, and the comparison of two detectors on the same.
//!
//! Boxes are measured by COCO's average precision, images by the area under the ROC curve and by the detection rate at a
//! share of false alarms. Thresholds come from the validation months; the test months say what they came to. Start at
//! [`Evaluated::new`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result};
use tidewaiter_registry::comparison::{Comparison, Groups, RESAMPLES, compare};

use super::{
    average_precision::{Evaluation, Image, Object, Size},
    operating::{OperatingPoint, Roc, wilson},
};
use crate::{
    boxes::Detection,
    model::detector::{Head, Threshold},
    predict::rows::ScoredImage,
};

/// The shares of false alarms at which detection rates are given.
pub const FALSE_ALARMS: [f64; 3] = [0.01, 0.05, 0.10];

/// The figures of a class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassFigures {
    /// Its name.
    pub class: String,
    /// Annotated objects.
    pub objects: u64,
    /// Average precision at an overlap of 0.5; `None` without an object.
    pub ap50: Option<f64>,
    /// Average precision, mean of the overlaps 0.5 to 0.95.
    pub ap: Option<f64>,
    /// The share of objects found at the threshold of objects, overlap 0.5.
    pub recall: Option<f64>,
    /// Its 95 % interval, by Wilson's score.
    pub interval: (f64, f64),
    /// False boxes at that threshold.
    pub false_boxes: u64,
}

/// A threshold from the validation months, and what it came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The share of clean images that may alarm.
    pub allowed: f64,
    /// The threshold; `None`: no image reaches it.
    pub threshold: Option<f64>,
    /// The share of clean images that alarmed.
    pub false_alarms: f64,
    /// The share of illicit images that alarmed.
    pub detected: f64,
    /// Its 95 % interval, by Wilson's score.
    pub interval: (f64, f64),
    /// Alarms on a day with images, false and right.
    pub alarms_a_day: f64,
}

/// The figures of a detector.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Annotated images that could be read.
    pub images: u64,
    /// Those with an object.
    pub illicit: u64,
    /// Annotated images that could not be read.
    pub unreadable: u64,
    /// Images that were not annotated.
    pub unknown: u64,
    /// Mean average precision of the classes that have objects, overlap 0.5.
    #[serde(rename = "mAP@50")]
    pub map50: Option<f64>,
    /// The same, mean of the overlaps 0.5 to 0.95.
    #[serde(rename = "mAP@50:95")]
    pub map: Option<f64>,
    /// Area under the ROC curve of the images' probability.
    #[serde(rename = "AUC")]
    pub area: Option<f64>,
    /// Detection rates at shares of false alarms, by the ROC curve: `detected@1`, `detected@5`, `detected@10`.
    #[serde(flatten)]
    pub detected: BTreeMap<String, f64>,
    /// By class.
    pub classes: Vec<ClassFigures>,
    /// By threshold.
    pub points: Vec<Point>,
    /// Images with a declared section that the detector knows.
    pub declared: u64,
    /// The share of them whose likeliest section is the declared one.
    pub as_declared: Option<f64>,
}

/// Images whose boxes are matched with the truth.
pub struct Evaluated {
    /// The names of all classes, annotated or found.
    pub classes: Vec<String>,
    /// The annotated, readable images, in the order of the evaluations' images.
    pub images: Vec<ScoredImage>,
    /// By class.
    pub evaluations: Vec<Evaluation>,
    unreadable: u64,
    unknown: u64,
}

impl Evaluated {
    /// Matches what was found with the truth.
    pub fn new(scored: Vec<ScoredImage>, head: &Head) -> Self {
        let unknown = scored.iter().filter(|image| image.truth.is_none()).count() as u64;
        let annotated = scored.len() as u64 - unknown;
        let images: Vec<ScoredImage> =
            scored.into_iter().filter(|image| image.is_illicit().is_some()).collect();
        let mut classes = head.classes.clone();
        for object in images.iter().flat_map(|image| image.truth.iter().flatten()) {
            if !classes.contains(&object.class) {
                classes.push(object.class.clone());
            }
        }
        let number = |name: &str| classes.iter().position(|class| class == name).unwrap_or(0) as u32;
        let matched: Vec<Image> = images
            .iter()
            .map(|image| Image {
                objects: image
                    .truth
                    .iter()
                    .flatten()
                    .map(|object| Object {
                        rectangle: object.rectangle,
                        class: number(&object.class),
                        is_crowd: object.is_crowd,
                    })
                    .collect(),
                detections: image
                    .found
                    .iter()
                    .map(|found| Detection {
                        rectangle: found.rectangle,
                        class: number(&found.class),
                        score: found.score,
                    })
                    .collect(),
            })
            .collect();
        let evaluations =
            (0..classes.len() as u32).map(|class| Evaluation::new(&matched, class, Size::All)).collect();
        let unreadable = annotated - images.len() as u64;
        Self { classes, images, evaluations, unreadable, unknown }
    }

    /// The ROC curve of the images' probability.
    pub fn roc(&self) -> Roc {
        let known = self.images.iter().filter_map(|image| Some((image.illicit as f32, image.is_illicit()?)));
        Roc::new(known.collect())
    }

    /// The days on which images were taken.
    fn days(&self) -> usize {
        let mut days: Vec<i32> = self.images.iter().map(|image| image.day).collect();
        days.sort_unstable();
        days.dedup();
        days.len()
    }

    /// All figures.
    pub fn figures(&self, head: &Head) -> Figures {
        let roc = self.roc();
        let illicit = self.images.iter().filter(|image| image.is_illicit() == Some(true)).count();
        let detected = FALSE_ALARMS.iter().filter_map(|share| {
            let point: OperatingPoint = roc.at_false_alarms(*share)?;
            Some((format!("detected@{}", share * 100.0), point.detected))
        });
        let classes: Vec<ClassFigures> =
            (0..self.classes.len()).map(|class| self.class(class, head)).collect();
        let declared: Vec<&ScoredImage> =
            self.images.iter().filter(|image| image.mismatch.is_some()).collect();
        let as_declared =
            declared.iter().filter(|image| image.likely.map(|likely| likely.0) == image.declared).count();
        Figures {
            images: self.images.len() as u64,
            illicit: illicit as u64,
            unreadable: self.unreadable,
            unknown: self.unknown,
            map50: mean(classes.iter().filter_map(|class| class.ap50)),
            map: mean(classes.iter().filter_map(|class| class.ap)),
            area: roc.area(),
            detected: detected.collect(),
            points: self.points(head, illicit),
            classes,
            declared: declared.len() as u64,
            as_declared: (!declared.is_empty()).then(|| as_declared as f64 / declared.len() as f64),
        }
    }

    fn class(&self, class: usize, head: &Head) -> ClassFigures {
        let evaluation = &self.evaluations[class];
        let least = head.object_threshold;
        let reported = || evaluation.verdicts(0).filter(move |verdict| verdict.1 >= least);
        let found = reported().filter(|verdict| verdict.2).count();
        ClassFigures {
            class: self.classes[class].clone(),
            objects: evaluation.positives() as u64,
            ap50: evaluation.average_precision(0),
            ap: evaluation.mean_average_precision(),
            recall: evaluation.recall(0, least),
            interval: wilson(found, evaluation.positives()),
            false_boxes: (reported().count() - found) as u64,
        }
    }

    fn points(&self, head: &Head, illicit: usize) -> Vec<Point> {
        let clean = self.images.len() - illicit;
        if illicit == 0 || clean == 0 {
            return Vec::new();
        }
        let point = |threshold: &Threshold| {
            let alarms = |kind: bool| {
                let alarmed = self.images.iter().filter(|image| threshold.is_reached(image.illicit));
                alarmed.filter(|image| image.is_illicit() == Some(kind)).count()
            };
            let (right, wrong) = (alarms(true), alarms(false));
            Point {
                allowed: threshold.false_alarms,
                threshold: threshold.probability,
                false_alarms: wrong as f64 / clean as f64,
                detected: right as f64 / illicit as f64,
                interval: wilson(right, illicit),
                alarms_a_day: (right + wrong) as f64 / self.days().max(1) as f64,
            }
        };
        head.thresholds.iter().map(point).collect()
    }

    /// The points of the free-response curve: false boxes an image, and the share of all objects that are found.
    pub fn free_response(&self) -> Vec<(f64, f64)> {
        let mut verdicts: Vec<(f32, bool)> = self
            .evaluations
            .iter()
            .flat_map(|evaluation| evaluation.verdicts(0).map(|(_, score, is_right)| (score, is_right)))
            .collect();
        verdicts.sort_by(|a, b| b.0.total_cmp(&a.0));
        let objects: usize = self.evaluations.iter().map(Evaluation::positives).sum();
        let (images, objects) = (self.images.len().max(1) as f64, objects.max(1) as f64);
        let (mut right, mut wrong) = (0_u64, 0_u64);
        let mut points = vec![(0.0, 0.0)];
        for tie in verdicts.chunk_by(|a, b| a.0 == b.0) {
            right += tie.iter().filter(|verdict| verdict.1).count() as u64;
            wrong += tie.iter().filter(|verdict| !verdict.1).count() as u64;
            points.push((wrong as f64 / images, right as f64 / objects));
        }
        points
    }

    /// Mean average precision at an overlap of 0.5 when each image counts so many times.
    fn resampled(&self, times: &dyn Fn(usize) -> u32) -> Option<f64> {
        let all = self.evaluations.iter();
        mean(all.filter_map(|evaluation| evaluation.resampled_average_precision(0, times)))
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// Compares two detectors by mean average precision (overlap 0.5) on the same images: images of one declaration are
/// drawn together, and those of one day.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when they found on different images;
/// [`tidewaiter_core::ErrorKind::Input`] when no image has an object.
pub fn compared(challenger: &Evaluated, champion: &Evaluated, seed: u64) -> Result<Comparison> {
    let ids = |evaluated: &Evaluated| -> Vec<String> {
        evaluated.images.iter().map(|image| image.image.clone()).collect()
    };
    if ids(challenger) != ids(champion) {
        return Err(Error::internal("two detectors are compared on different images"));
    }
    let images = &challenger.images;
    let declarations = Groups::of(images.iter().map(|image| match image.declaration.as_str() {
        "" => image.image.clone(),
        declaration => format!("declaration {declaration}"),
    }));
    let days = Groups::of(images.iter().map(|image| image.day));
    compare((&declarations, &days), RESAMPLES, seed, &|groups, weights| {
        let times = |image: usize| weights[groups.of_row(image)];
        Some(challenger.resampled(&times)? - champion.resampled(&times)?)
    })
}

/// The score at which F1 of the found objects is highest, overlap 0.5; ties: the highest score. 0.5 without an object.
pub fn best_threshold(evaluations: &[Evaluation]) -> f32 {
    let mut verdicts: Vec<(f32, bool)> = evaluations
        .iter()
        .flat_map(|evaluation| evaluation.verdicts(0).map(|(_, score, is_right)| (score, is_right)))
        .collect();
    verdicts.sort_by(|a, b| b.0.total_cmp(&a.0));
    let objects: usize = evaluations.iter().map(Evaluation::positives).sum();
    let (mut best, mut threshold) = (0.0, 0.5);
    let (mut right, mut all) = (0_u64, 0_u64);
    for tie in verdicts.chunk_by(|a, b| a.0 == b.0) {
        right += tie.iter().filter(|verdict| verdict.1).count() as u64;
        all += tie.len() as u64;
        let f1 = 2.0 * right as f64 / (all + objects as u64) as f64;
        if f1 > best {
            (best, threshold) = (f1, tie[0].0);
        }
    }
    threshold
}

/// The thresholds of an image's probability at the shares of [`FALSE_ALARMS`], by the curve of the validation images; none
/// unless there are images of both kinds.
pub fn image_thresholds(roc: &Roc) -> Vec<Threshold> {
    let threshold = |share: &f64| {
        let point = roc.at_false_alarms(*share)?;
        let probability = point.threshold.is_finite().then(|| f64::from(point.threshold));
        Some(Threshold { false_alarms: *share, probability })
    };
    FALSE_ALARMS.iter().filter_map(threshold).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        boxes::Rectangle, model::image_score::ImageScore, predict::objects::FoundObject, table::Annotated,
    };

    fn head() -> Head {
        Head {
            side: 32,
            width: 8,
            tile: 0,
            classes: vec!["knife".to_owned(), "gun".to_owned()],
            sections: vec![11],
            image_score: ImageScore::default(),
            object_threshold: 0.5,
            thresholds: vec![Threshold { false_alarms: 0.1, probability: Some(0.6) }],
        }
    }

    fn rectangle(left: f32) -> Rectangle {
        Rectangle { left, top: 0.0, width: 10.0, height: 10.0 }
    }

    /// Ten images: five have a knife at 0, which is found with the score `score` at `left`.
    fn images(left: f32, score: f32) -> Vec<ScoredImage> {
        let image = |number: u32| {
            let is_illicit = number.is_multiple_of(2);
            let truth = Annotated { class: "knife".to_owned(), rectangle: rectangle(0.0), is_crowd: false };
            let found = FoundObject { class: "knife".to_owned(), score, rectangle: rectangle(left) };
            ScoredImage {
                image: format!("{number:02}"),
                day: number as i32 / 2,
                truth: Some(if is_illicit { vec![truth] } else { Vec::new() }),
                found: if is_illicit { vec![found] } else { Vec::new() },
                illicit: if is_illicit { 0.9 } else { 0.1 * f64::from(number) },
                declared: Some(11),
                likely: Some((11, 0.8)),
                mismatch: Some(0.2),
                ..ScoredImage::default()
            }
        };
        (0..10).map(image).collect()
    }

    #[test]
    fn figures_by_hand() {
        let mut scored = images(0.0, 0.9);
        scored.push(ScoredImage { image: "unknown".to_owned(), ..ScoredImage::default() });
        let unreadable = ScoredImage {
            image: "broken".to_owned(),
            truth: Some(Vec::new()),
            unreadable: "truncated".to_owned(),
            ..ScoredImage::default()
        };
        scored.push(unreadable);
        let evaluated = Evaluated::new(scored, &head());
        let figures = evaluated.figures(&head());
        assert_eq!((figures.images, figures.illicit, figures.unknown, figures.unreadable), (10, 5, 1, 1));
        assert_eq!((figures.map50, figures.map), (Some(1.0), Some(1.0)));
        assert_eq!(figures.classes[0].recall, Some(1.0));
        assert_eq!(figures.classes[1].ap50, None, "there is no gun");
        // Of five clean images two reach 0.6: those of 0.7 and 0.9, the latter as certain as the illicit ones.
        assert_eq!((figures.points[0].false_alarms, figures.points[0].detected), (0.4, 1.0));
        assert_eq!(figures.points[0].alarms_a_day, 7.0 / 5.0);
        assert_eq!(figures.as_declared, Some(1.0));
        assert_eq!(evaluated.free_response().last(), Some(&(0.0, 1.0)));
        assert_eq!(best_threshold(&evaluated.evaluations), 0.9);
        let json = serde_json::to_value(&figures).expect("JSON");
        assert_eq!(json["mAP@50"], 1.0);
        assert_eq!(serde_json::from_value::<Figures>(json).expect("reads"), figures);
    }

    #[test]
    fn a_threshold_that_no_image_reaches_is_null_and_alarms_nothing() {
        // The most suspect of twelve clean images is more than 1 and 5 % of them, and not more than 10 %.
        let clean = (0..12).map(|number| (if number == 0 { 0.95 } else { 0.1 }, false));
        let roc = Roc::new(clean.chain([(0.9, true), (0.8, true)]).collect());
        let thresholds = image_thresholds(&roc);
        let probabilities: Vec<_> = thresholds.iter().map(|threshold| threshold.probability).collect();
        assert_eq!(probabilities, [None, None, Some(f64::from(0.8_f32))]);
        assert!(!thresholds[0].is_reached(1.0) && thresholds[2].is_reached(0.8));
        assert!(image_thresholds(&Roc::new(vec![(0.5, true)])).is_empty());

        let head = Head { thresholds: vec![Threshold { false_alarms: 0.01, probability: None }], ..head() };
        let figures = Evaluated::new(images(0.0, 0.9), &head).figures(&head);
        let point = &figures.points[0];
        assert_eq!((point.false_alarms, point.detected, point.alarms_a_day), (0.0, 0.0, 0.0));
        let json = serde_json::to_value(&figures).expect("JSON");
        assert!(json["points"][0]["threshold"].is_null(), "{json}");
    }

    #[test]
    fn a_detector_that_finds_more_is_better_and_itself_is_not() {
        let [good, bad] = [images(0.0, 0.9), images(8.0, 0.9)].map(|images| Evaluated::new(images, &head()));
        let comparison = compared(&good, &bad, 1).expect("a comparison");
        assert_eq!(comparison.difference, 1.0);
        assert!(comparison.is_better());
        assert!(!compared(&good, &good, 1).expect("a comparison").is_better());
        let other = Evaluated::new(images(0.0, 0.9).split_off(1), &head());
        assert!(compared(&good, &other, 1).is_err());
    }
}
