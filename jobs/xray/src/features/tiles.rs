//! Large scans are cut into tiles that overlap, and what is found on the tiles is merged.
//!
//! A scan of a container is many times larger than the network's input; shrunk to it, a knife would be a few pixels. So
//! an image longer than a tile is cut into tiles of one size that overlap by a quarter. An object no larger than the
//! overlap lies whole in one tile at least. A larger one is found in parts, which end at a tile's inner edge and are
//! joined. Start at [`tiles`] and [`merged`].

use crate::{
    boxes::{Detection, Rectangle},
    model::detect::Keep,
};

/// The share of a tile's side by which neighbours overlap at least.
const OVERLAP: f64 = 0.25;

/// The share of the smaller one of two detections that another tile's must cover to be of the same object, where one of
/// them ends at an inner edge.
const SAME: f32 = 0.4;

/// Shares of a tile's side within which a detection ends at its edge.
const AT_EDGE: f32 = 0.02;

/// A part of an image, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Pixels left of it.
    pub left: usize,
    /// Pixels above it.
    pub top: usize,
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
}

impl Tile {
    /// The tile as a rectangle of the image.
    pub fn rectangle(&self) -> Rectangle {
        Rectangle {
            left: self.left as f32,
            top: self.top as f32,
            width: self.width as f32,
            height: self.height as f32,
        }
    }

    /// Whether a rectangle of the image ends at an edge of the tile that is no edge of the image.
    fn is_cut(&self, found: &Rectangle, (width, height): (usize, usize)) -> bool {
        let own = self.rectangle();
        let (near_x, near_y) = (own.width * AT_EDGE, own.height * AT_EDGE);
        (self.left > 0 && found.left <= own.left + near_x)
            || (self.top > 0 && found.top <= own.top + near_y)
            || (self.left + self.width < width && found.right() >= own.right() - near_x)
            || (self.top + self.height < height && found.bottom() >= own.bottom() - near_y)
    }
}

/// The tiles of an image; `side` is a tile's longest side in pixels, 0 for images that are never cut.
pub fn tiles(width: usize, height: usize, side: usize) -> Vec<Tile> {
    let (columns, rows) = (spans(width, side), spans(height, side));
    let row = |(top, height): &(usize, usize)| {
        let (top, height) = (*top, *height);
        columns.iter().map(move |(left, width)| Tile { left: *left, top, width: *width, height })
    };
    rows.iter().flat_map(row).collect()
}

/// The begin and the length of each part of an extent.
fn spans(extent: usize, side: usize) -> Vec<(usize, usize)> {
    if side == 0 || extent <= side {
        return vec![(0, extent)];
    }
    let step = ((side as f64 * (1.0 - OVERLAP)) as usize).max(1);
    let gaps = (extent - side).div_ceil(step);
    (0..=gaps).map(|place| ((extent - side) * place / gaps, side)).collect()
}

/// A detection and where it came from.
struct Candidate {
    detection: Detection,
    tile: usize,
    is_cut: bool,
}

/// The detections of a whole image of `extent` (width, height) pixels by those of its tiles, which are in the image's
/// pixels; by falling score.
pub fn merged(by_tile: Vec<(Tile, Vec<Detection>)>, extent: (usize, usize), keep: Keep) -> Vec<Detection> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for (tile, (place, detections)) in by_tile.into_iter().enumerate() {
        candidates.extend(detections.into_iter().map(|detection| Candidate {
            is_cut: place.is_cut(&detection.rectangle, extent),
            detection,
            tile,
        }));
    }
    candidates.sort_by(|a, b| b.detection.score.total_cmp(&a.detection.score));
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        match kept.iter_mut().find(|other| is_same(other, &candidate, keep.overlap)) {
            None => kept.push(candidate),
            Some(other) => other.absorb(&candidate),
        }
    }
    // A part that was joined may have grown over another one.
    let mut joined: Vec<Candidate> = Vec::new();
    for candidate in kept {
        match joined.iter_mut().find(|other| is_same(other, &candidate, keep.overlap)) {
            None => joined.push(candidate),
            Some(other) => other.absorb(&candidate),
        }
    }
    joined.truncate(keep.limit);
    joined.into_iter().map(|candidate| candidate.detection).collect()
}

/// Whether two detections are of one object.
fn is_same(a: &Candidate, b: &Candidate, overlap: f32) -> bool {
    if a.detection.class != b.detection.class {
        return false;
    }
    let (one, other) = (&a.detection.rectangle, &b.detection.rectangle);
    let smaller = one.area().min(other.area()).max(f32::MIN_POSITIVE);
    let is_continued =
        a.tile != b.tile && (a.is_cut || b.is_cut) && one.intersection(other) >= SAME * smaller;
    one.overlap(other) > overlap || is_continued
}

impl Candidate {
    /// Takes another detection of the same object in: two parts are joined, and a whole one stands for a part.
    fn absorb(&mut self, other: &Self) {
        let (own, more) = (self.detection.rectangle, other.detection.rectangle);
        if self.is_cut && other.is_cut && self.tile != other.tile {
            self.detection.rectangle = Rectangle::between(
                own.left.min(more.left),
                own.top.min(more.top),
                own.right().max(more.right()),
                own.bottom().max(more.bottom()),
            );
        } else if self.is_cut && !other.is_cut {
            self.detection.rectangle = more;
            self.is_cut = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_small_image_is_one_tile_and_a_large_one_is_covered() {
        assert_eq!(tiles(300, 200, 320), [Tile { left: 0, top: 0, width: 300, height: 200 }]);
        assert_eq!(tiles(9000, 200, 0).len(), 1);
        let lefts: Vec<usize> = tiles(1000, 100, 400).iter().map(|tile| tile.left).collect();
        assert_eq!(lefts, [0, 300, 600]);
    }

    /// What a faultless detector finds of an object on each tile: the part of it there, if that is enough to know it.
    fn found(object: Rectangle, extent: (usize, usize), side: usize) -> Vec<(Tile, Vec<Detection>)> {
        let of_tile = |tile: Tile| {
            let own = tile.rectangle();
            let part = Rectangle::between(
                object.left.max(own.left),
                object.top.max(own.top),
                object.right().min(own.right()),
                object.bottom().min(own.bottom()),
            );
            let score = part.area() / object.area();
            let detection = Detection { rectangle: part, class: 2, score };
            (tile, if score >= 0.2 { vec![detection] } else { Vec::new() })
        };
        tiles(extent.0, extent.1, side).into_iter().map(of_tile).collect()
    }

    proptest! {
        #[test]
        fn tiles_cover_every_pixel_and_overlap(width in 1usize..3000, height in 1usize..900, side in 32usize..700) {
            let all = tiles(width, height, side);
            for spans in [spans(width, side), spans(height, side)] {
                for pair in spans.windows(2) {
                    let shared = pair[0].0 + pair[0].1 - pair[1].0;
                    prop_assert!(shared * 4 >= side, "{shared} of {side}");
                }
                prop_assert_eq!(spans[0].0, 0);
            }
            let last = all[all.len() - 1];
            prop_assert_eq!((last.left + last.width, last.top + last.height), (width, height));
        }

        #[test]
        fn no_object_is_lost_or_doubled_at_a_seam(
            x in 0f32..1.0, y in 0f32..1.0, w in 6f32..100.0, h in 6f32..100.0,
        ) {
            // Tiles of 400 pixels that overlap by 100 at least.
            let extent = (1500, 900);
            let object = Rectangle { left: x * (1500.0 - w), top: y * (900.0 - h), width: w, height: h };
            let merged = merged(found(object, extent, 400), extent, Keep::default());
            prop_assert_eq!(merged.len(), 1);
            prop_assert!(merged[0].rectangle.overlap(&object) > 0.99, "{:?} for {:?}", merged[0], object);
        }

        #[test]
        fn parts_of_an_object_larger_than_the_overlap_are_joined(x in 0f32..1.0, w in 120f32..300.0) {
            let extent = (1500, 300);
            let object = Rectangle { left: x * (1500.0 - w), top: 40.0, width: w, height: 80.0 };
            let merged = merged(found(object, extent, 400), extent, Keep::default());
            prop_assert!(!merged.is_empty());
            prop_assert!(merged[0].rectangle.overlap(&object) > 0.6, "{:?} for {:?}", merged[0], object);
        }
    }

    #[test]
    fn two_objects_side_by_side_stay_two() {
        let extent = (1000, 300);
        let at = |left: f32| Rectangle { left, top: 100.0, width: 60.0, height: 60.0 };
        let mut both = found(at(310.0), extent, 400);
        for (tile, more) in both.iter_mut().zip(found(at(375.0), extent, 400)) {
            tile.1.extend(more.1);
        }
        assert_eq!(merged(both, extent, Keep::default()).len(), 2);
    }
}
