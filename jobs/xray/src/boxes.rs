//! Rectangles on images: overlap, suppression of duplicates.
//!
//! Coordinates are pixels; a rectangle covers `[left, left + width) × [top, top + height)`, as COCO's annotations do.
//! Start at [`Rectangle`] and [`suppress`].

use serde::{Deserialize, Serialize};

/// A rectangle on an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rectangle {
    /// The left edge.
    pub left: f32,
    /// The top edge.
    pub top: f32,
    /// Zero or more.
    pub width: f32,
    /// Zero or more.
    pub height: f32,
}

impl Rectangle {
    /// The rectangle between two corners; empty where they are the wrong way round.
    pub fn between(left: f32, top: f32, right: f32, bottom: f32) -> Self {
        Self { left, top, width: (right - left).max(0.0), height: (bottom - top).max(0.0) }
    }

    /// The right edge.
    pub fn right(&self) -> f32 {
        self.left + self.width
    }

    /// The bottom edge.
    pub fn bottom(&self) -> f32 {
        self.top + self.height
    }

    /// Square pixels.
    pub fn area(&self) -> f32 {
        self.width * self.height
    }

    /// The middle, as (x, y).
    pub fn centre(&self) -> (f32, f32) {
        (self.left + self.width / 2.0, self.top + self.height / 2.0)
    }

    /// Square pixels that both cover.
    pub fn intersection(&self, other: &Self) -> f32 {
        let width = self.right().min(other.right()) - self.left.max(other.left);
        let height = self.bottom().min(other.bottom()) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }

    /// Intersection over union, 0 to 1; 0 for two empty rectangles.
    pub fn overlap(&self, other: &Self) -> f32 {
        let intersection = self.intersection(other);
        let union = self.area() + other.area() - intersection;
        if union > 0.0 { intersection / union } else { 0.0 }
    }

    /// The part inside an image of `width` × `height` pixels.
    pub fn clipped(&self, width: f32, height: f32) -> Self {
        let inside = |value: f32, most: f32| value.clamp(0.0, most);
        Self::between(
            inside(self.left, width),
            inside(self.top, height),
            inside(self.right(), width),
            inside(self.bottom(), height),
        )
    }

    /// The rectangle moved by (x, y) and then enlarged by `factor` about the origin.
    pub fn moved(&self, x: f32, y: f32, factor: f32) -> Self {
        Self {
            left: (self.left + x) * factor,
            top: (self.top + y) * factor,
            width: self.width * factor,
            height: self.height * factor,
        }
    }
}

/// One object that a detector found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// Where.
    pub rectangle: Rectangle,
    /// The index of its class.
    pub class: u32,
    /// 0 to 1.
    pub score: f32,
}

/// Keeps, of the detections of one class that overlap by more than `most`, the one with the highest score (greedy
/// non-maximum suppression), and at most `limit` in all; sorted by falling score. Ties keep their order.
pub fn suppress(mut detections: Vec<Detection>, most: f32, limit: usize) -> Vec<Detection> {
    detections.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Detection> = Vec::new();
    for detection in detections {
        if kept.len() == limit {
            break;
        }
        let repeats = |other: &Detection| {
            other.class == detection.class && other.rectangle.overlap(&detection.rectangle) > most
        };
        if !kept.iter().any(repeats) {
            kept.push(detection);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rectangle(left: f32, top: f32, width: f32, height: f32) -> Rectangle {
        Rectangle { left, top, width, height }
    }

    #[test]
    fn overlap_by_hand() {
        let (a, b) = (rectangle(0.0, 0.0, 2.0, 2.0), rectangle(1.0, 1.0, 2.0, 2.0));
        assert_eq!(a.overlap(&b), 1.0 / 7.0);
        assert_eq!(a.overlap(&a), 1.0);
        assert_eq!(a.overlap(&rectangle(2.0, 0.0, 1.0, 1.0)), 0.0);
        let empty = rectangle(0.0, 0.0, 0.0, 0.0);
        assert_eq!(empty.overlap(&empty), 0.0);
        assert_eq!(rectangle(-1.0, 1.0, 3.0, 9.0).clipped(5.0, 4.0), rectangle(0.0, 1.0, 2.0, 3.0));
    }

    #[test]
    fn of_overlapping_detections_of_a_class_the_best_stays() {
        let found =
            |left, class, score| Detection { rectangle: rectangle(left, 0.0, 4.0, 4.0), class, score };
        let all = vec![found(0.0, 0, 0.5), found(1.0, 0, 0.9), found(1.0, 1, 0.3), found(9.0, 0, 0.2)];
        let kept = suppress(all.clone(), 0.5, 10);
        assert_eq!(kept, [all[1], all[2], all[3]]);
        assert_eq!(suppress(all, 0.5, 1).len(), 1);
    }

    fn any_rectangle() -> impl Strategy<Value = Rectangle> {
        (-50f32..50.0, -50f32..50.0, 0f32..60.0, 0f32..60.0).prop_map(|(l, t, w, h)| rectangle(l, t, w, h))
    }

    proptest! {
        #[test]
        fn overlap_is_symmetric_and_a_share(a in any_rectangle(), b in any_rectangle()) {
            prop_assert_eq!(a.overlap(&b), b.overlap(&a));
            prop_assert!((0.0..=1.0001).contains(&a.overlap(&b)));
        }

        #[test]
        fn what_is_kept_does_not_repeat_itself(all in prop::collection::vec((any_rectangle(), 0u32..3, 0f32..1.0), 0..40)) {
            let all: Vec<_> =
                all.into_iter().map(|(rectangle, class, score)| Detection { rectangle, class, score }).collect();
            let kept = suppress(all, 0.4, 1000);
            for (place, a) in kept.iter().enumerate() {
                for b in &kept[..place] {
                    prop_assert!(b.score >= a.score);
                    prop_assert!(a.class != b.class || a.rectangle.overlap(&b.rectangle) <= 0.4);
                }
            }
        }
    }
}
