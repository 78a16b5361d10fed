//! Average precision of detected objects, by COCO's rules.
//!
//! Source: Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014, and the reference implementation
//! pycocotools' `COCOeval` (type `bbox`): detections are matched greedily by falling score to the object of their class
//! that they overlap most; at ten overlaps (0.50 to 0.95) precision is made monotone and read at 101 recalls. A crowd
//! region, and an object outside the range of sizes, is neither found nor missed. Start at [`Evaluation::new`].

use std::{cmp::Ordering, ops::Range};

use crate::boxes::{Detection, Rectangle};

/// Detections of a class and image that count at most, as in COCO's `maxDets`.
const MOST_DETECTIONS: usize = 100;

/// Recalls at which precision is read: 0, 0.01 … 1.
const RECALLS: usize = 101;

/// The least overlaps at which a detection counts as right.
pub const OVERLAPS: [f64; 10] = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95];

/// One annotated object of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Object {
    /// Where.
    pub rectangle: Rectangle,
    /// The index of its class.
    pub class: u32,
    /// Whether the rectangle covers many objects that were not annotated one by one.
    pub is_crowd: bool,
}

/// The truth and the detections of one image.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// The annotated objects.
    pub objects: Vec<Object>,
    /// What the detector found.
    pub detections: Vec<Detection>,
}

/// A range of areas in square pixels, by COCO's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Every size.
    All,
    /// Up to 32 × 32 pixels.
    Small,
    /// From 32 × 32 to 96 × 96 pixels.
    Medium,
    /// From 96 × 96 pixels.
    Large,
}

impl Size {
    fn holds(self, area: f64) -> bool {
        let Range { start, end } = match self {
            Self::All => 0.0..1e10,
            Self::Small => 0.0..1024.0,
            Self::Medium => 1024.0..9216.0,
            Self::Large => 9216.0..1e10,
        };
        // Both ends belong to a range, as pycocotools has it.
        (start..=end).contains(&area)
    }
}

/// What became of one detection at each overlap.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    score: f32,
    /// The index of its image.
    image: u32,
    hits: [Hit; OVERLAPS.len()],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hit {
    Right,
    Wrong,
    /// It neither counts as right nor as wrong.
    Ignored,
}

/// The outcomes of one class.
#[derive(Debug)]
pub struct Evaluation {
    /// By falling score.
    outcomes: Vec<Outcome>,
    /// Objects that can be found.
    positives: usize,
    /// Those of each image.
    of_image: Vec<u32>,
}

impl Evaluation {
    /// Matches the detections of a class with its objects, over all images.
    pub fn new(images: &[Image], class: u32, size: Size) -> Self {
        let mut evaluation = Self { outcomes: Vec::new(), positives: 0, of_image: Vec::new() };
        for image in images {
            evaluation.add(image, class, size);
        }
        // Stable: detections of one score keep the order of their images.
        evaluation.outcomes.sort_by(|a, b| by_falling_score(a.score, b.score));
        evaluation
    }

    fn add(&mut self, image: &Image, class: u32, size: Size) {
        let ignored = |object: &Object| object.is_crowd || !size.holds(area(&object.rectangle));
        let mut objects: Vec<&Object> = image.objects.iter().filter(|object| object.class == class).collect();
        // Objects that count come first, so that a detection prefers them.
        objects.sort_by_key(|object| ignored(object));
        let countable = objects.iter().filter(|object| !ignored(object)).count();
        self.positives += countable;
        let number = u32::try_from(self.of_image.len()).unwrap_or(u32::MAX);
        self.of_image.push(u32::try_from(countable).unwrap_or(u32::MAX));

        let mut detections: Vec<&Detection> =
            image.detections.iter().filter(|detection| detection.class == class).collect();
        detections.sort_by(|a, b| by_falling_score(a.score, b.score));
        detections.truncate(MOST_DETECTIONS);
        let overlaps: Vec<Vec<f64>> = detections
            .iter()
            .map(|detection| objects.iter().map(|object| overlap(&detection.rectangle, object)).collect())
            .collect();
        let mut outcomes: Vec<Outcome> = detections
            .iter()
            .map(|detection| Outcome {
                score: detection.score,
                image: number,
                hits: [Hit::Wrong; OVERLAPS.len()],
            })
            .collect();
        for (level, least) in OVERLAPS.iter().enumerate() {
            let mut taken = vec![false; objects.len()];
            for (place, overlaps) in overlaps.iter().enumerate() {
                let found = best_match(&objects, overlaps, &taken, countable, *least);
                if let Some(found) = found {
                    taken[found] = true;
                }
                outcomes[place].hits[level] = match found {
                    Some(found) if found < countable => Hit::Right,
                    Some(_) => Hit::Ignored,
                    None if size.holds(area(&detections[place].rectangle)) => Hit::Wrong,
                    None => Hit::Ignored,
                };
            }
        }
        self.outcomes.extend(outcomes);
    }

    /// Objects that can be found.
    pub fn positives(&self) -> usize {
        self.positives
    }

    /// Average precision at one of [`OVERLAPS`], by its index; `None` when there is no object.
    pub fn average_precision(&self, level: usize) -> Option<f64> {
        if self.positives == 0 {
            return None;
        }
        let (recalls, mut precisions): (Vec<f64>, Vec<f64>) = self.curve(level).unzip();
        Some(at_recalls(&recalls, &mut precisions))
    }

    /// Average precision at one of [`OVERLAPS`] when each image counts so many times, as in a resample; `None` when there
    /// is no object.
    pub fn resampled_average_precision(&self, level: usize, times: &dyn Fn(usize) -> u32) -> Option<f64> {
        let counted = self.of_image.iter().enumerate();
        let positives: u64 = counted.map(|(image, own)| u64::from(*own) * u64::from(times(image))).sum();
        if positives == 0 {
            return None;
        }
        let (mut right, mut all) = (0_u64, 0_u64);
        let (mut recalls, mut precisions) = (Vec::new(), Vec::new());
        for outcome in self.outcomes.iter().filter(|outcome| outcome.hits[level] != Hit::Ignored) {
            let times = u64::from(times(outcome.image as usize));
            if times == 0 {
                continue;
            }
            all += times;
            right += if outcome.hits[level] == Hit::Right { times } else { 0 };
            recalls.push(right as f64 / positives as f64);
            precisions.push(right as f64 / all as f64);
        }
        Some(at_recalls(&recalls, &mut precisions))
    }

    /// What became of each detection at one of [`OVERLAPS`]: the index of its image, its score, and whether it was right;
    /// by falling score, without those that do not count.
    pub fn verdicts(&self, level: usize) -> impl Iterator<Item = (usize, f32, bool)> {
        let counted = self.outcomes.iter().filter(move |outcome| outcome.hits[level] != Hit::Ignored);
        counted.map(move |outcome| (outcome.image as usize, outcome.score, outcome.hits[level] == Hit::Right))
    }

    /// Average precision over all of [`OVERLAPS`]; `None` when there is no object.
    pub fn mean_average_precision(&self) -> Option<f64> {
        let all = (0..OVERLAPS.len()).map(|level| self.average_precision(level));
        all.sum::<Option<f64>>().map(|sum| sum / OVERLAPS.len() as f64)
    }

    /// The share of objects found at one of [`OVERLAPS`] by detections of at least a score; `None` without objects.
    pub fn recall(&self, level: usize, score: f32) -> Option<f64> {
        let scored = self.outcomes.iter().take_while(|outcome| outcome.score >= score);
        let right = scored.filter(|outcome| outcome.hits[level] == Hit::Right).count();
        (self.positives > 0).then(|| right as f64 / self.positives as f64)
    }

    /// Recall and precision after each detection that counts, by falling score.
    pub fn curve(&self, level: usize) -> impl Iterator<Item = (f64, f64)> {
        let counted = self.outcomes.iter().filter(move |outcome| outcome.hits[level] != Hit::Ignored);
        let positives = self.positives as f64;
        counted.enumerate().scan(0usize, move |right, (place, outcome)| {
            *right += usize::from(outcome.hits[level] == Hit::Right);
            Some((*right as f64 / positives, *right as f64 / (place + 1) as f64))
        })
    }
}

/// The mean of the precision at 101 recalls, made monotone; both by falling score.
fn at_recalls(recalls: &[f64], precisions: &mut [f64]) -> f64 {
    for place in (1..precisions.len()).rev() {
        precisions[place - 1] = precisions[place - 1].max(precisions[place]);
    }
    let at = |step: usize| {
        // As numpy.linspace gives it.
        let recall = step as f64 * 0.01;
        let place = recalls.partition_point(|known| *known < recall);
        precisions.get(place).copied().unwrap_or(0.0)
    };
    (0..RECALLS).map(at).sum::<f64>() / RECALLS as f64
}

fn by_falling_score(a: f32, b: f32) -> Ordering {
    b.total_cmp(&a)
}

/// Square pixels, as pycocotools computes them.
fn area(rectangle: &Rectangle) -> f64 {
    f64::from(rectangle.width) * f64::from(rectangle.height)
}

/// Intersection over union; with a crowd, intersection over the detection's own area.
fn overlap(detection: &Rectangle, object: &Object) -> f64 {
    let edge = |near: f32, length: f32| f64::from(near) + f64::from(length);
    let other = &object.rectangle;
    let width = edge(detection.left, detection.width).min(edge(other.left, other.width))
        - f64::from(detection.left).max(f64::from(other.left));
    let height = edge(detection.top, detection.height).min(edge(other.top, other.height))
        - f64::from(detection.top).max(f64::from(other.top));
    let intersection = width.max(0.0) * height.max(0.0);
    let whole = if object.is_crowd { area(detection) } else { area(detection) + area(other) - intersection };
    if whole > 0.0 { intersection / whole } else { 0.0 }
}

/// The object that a detection is matched with: the one it overlaps most, the last of equals; an object that does not
/// count only when there is none that does. A crowd can be matched any number of times.
fn best_match(
    objects: &[&Object],
    overlaps: &[f64],
    taken: &[bool],
    countable: usize,
    least: f64,
) -> Option<usize> {
    let mut best = least.min(1.0 - 1e-10);
    let mut found: Option<usize> = None;
    for (place, object) in objects.iter().enumerate() {
        if taken[place] && !object.is_crowd {
            continue;
        }
        if place >= countable && found.is_some_and(|found| found < countable) {
            break;
        }
        if overlaps[place] >= best {
            best = overlaps[place];
            found = Some(place);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(left: f32, width: f32) -> Rectangle {
        Rectangle { left, top: 0.0, width, height: 10.0 }
    }

    /// Images with one object each, of which some are found, and some false detections.
    fn images() -> Vec<Image> {
        let image = |number: usize| {
            let object = Object { rectangle: at(0.0, 10.0), class: 0, is_crowd: false };
            let score = ((number * 7) % 11) as f32 / 11.0;
            let found = |left: f32, score: f32| Detection { rectangle: at(left, 10.0), class: 0, score };
            let mut detections = vec![found(if number.is_multiple_of(3) { 40.0 } else { 1.0 }, score)];
            if number.is_multiple_of(4) {
                detections.push(found(80.0, score / 2.0));
            }
            Image { objects: vec![object], detections }
        };
        (0..12).map(image).collect()
    }

    /// Random boxes, crowds, three ranges of sizes and many equal scores; figures by pycocotools 2.0.11 (`coco.py`).
    #[test]
    fn figures_are_those_of_pycocotools() {
        let stored: serde_json::Value = serde_json::from_str(include_str!("coco.json")).expect("JSON");
        let rows = |name: &str| -> Vec<Vec<f64>> {
            serde_json::from_value(stored[name].clone()).expect("rows of numbers")
        };
        let rectangle = |row: &[f64]| Rectangle {
            left: row[2] as f32,
            top: row[3] as f32,
            width: row[4] as f32,
            height: row[5] as f32,
        };
        let mut images = vec![Image::default(); 60];
        for row in rows("truth") {
            let object = Object { rectangle: rectangle(&row), class: row[1] as u32, is_crowd: row[6] == 1.0 };
            images[row[0] as usize].objects.push(object);
        }
        for row in rows("found") {
            let found = Detection { rectangle: rectangle(&row), class: row[1] as u32, score: row[6] as f32 };
            images[row[0] as usize].detections.push(found);
        }
        let mut compared = 0;
        for (name, size) in
            [("all", Size::All), ("small", Size::Small), ("medium", Size::Medium), ("large", Size::Large)]
        {
            for class in 0..4 {
                let figures = &stored["figures"][format!("{name} {class}")];
                let evaluation = Evaluation::new(&images, class, size);
                let own = [
                    ("ap", evaluation.mean_average_precision()),
                    ("ap50", evaluation.average_precision(0)),
                    ("ap75", evaluation.average_precision(5)),
                ];
                for (figure, own) in own {
                    let (own, expected) = (own.expect("objects"), figures[figure].as_f64().expect("objects"));
                    assert!((own - expected).abs() < 1e-6, "{name} {class} {figure}: {own}, not {expected}");
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, 48);
    }

    #[test]
    fn a_resample_is_an_evaluation_of_the_images_drawn() {
        let images = images();
        let evaluation = Evaluation::new(&images, 0, Size::All);
        assert_eq!(evaluation.resampled_average_precision(0, &|_| 1), evaluation.average_precision(0));
        // An image that is drawn twice stands there twice; its detections have equal scores, so that only the order of
        // equals could differ.
        let times = |image: usize| [2, 0, 1][image % 3];
        let drawn: Vec<Image> = images
            .iter()
            .enumerate()
            .flat_map(|(number, image)| std::iter::repeat_n(image.clone(), times(number) as usize))
            .collect();
        let whole = Evaluation::new(&drawn, 0, Size::All).average_precision(0).expect("objects");
        let resampled = evaluation.resampled_average_precision(0, &times).expect("objects");
        assert!((whole - resampled).abs() < 0.05, "{whole} {resampled}");
        assert_eq!(evaluation.resampled_average_precision(0, &|_| 0), None);
        assert_eq!(evaluation.verdicts(0).count(), 15);
    }
}
