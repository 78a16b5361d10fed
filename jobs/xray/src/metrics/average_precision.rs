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
}

impl Evaluation {
    /// Matches the detections of a class with its objects, over all images.
    pub fn new(images: &[Image], class: u32, size: Size) -> Self {
        let mut evaluation = Self { outcomes: Vec::new(), positives: 0 };
        for image in images {
            evaluation.add(image, class, size);
        }
        // Stable: detections of one score keep the order of their images.
        evaluation.outcomes.sort_by(|a, b| by_falling_score(a.score, b.score));
        evaluation
    }

    fn add(&mut self, image: &Image, class: u32, size: Size) {
        let ignored = |object: &Object| object.is_crowd || !size.holds(f64::from(object.rectangle.area()));
        let mut objects: Vec<&Object> = image.objects.iter().filter(|object| object.class == class).collect();
        // Objects that count come first, so that a detection prefers them.
        objects.sort_by_key(|object| ignored(object));
        let countable = objects.iter().filter(|object| !ignored(object)).count();
        self.positives += countable;

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
            .map(|detection| Outcome { score: detection.score, hits: [Hit::Wrong; OVERLAPS.len()] })
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
                    None if size.holds(f64::from(detections[place].rectangle.area())) => Hit::Wrong,
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
        for place in (1..precisions.len()).rev() {
            precisions[place - 1] = precisions[place - 1].max(precisions[place]);
        }
        let at = |step: usize| {
            // As numpy.linspace gives it.
            let recall = step as f64 * 0.01;
            let place = recalls.partition_point(|known| *known < recall);
            precisions.get(place).copied().unwrap_or(0.0)
        };
        Some((0..RECALLS).map(at).sum::<f64>() / RECALLS as f64)
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

fn by_falling_score(a: f32, b: f32) -> Ordering {
    b.total_cmp(&a)
}

/// Intersection over union; with a crowd, intersection over the detection's own area.
fn overlap(detection: &Rectangle, object: &Object) -> f64 {
    let area = |rectangle: &Rectangle| f64::from(rectangle.width) * f64::from(rectangle.height);
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
