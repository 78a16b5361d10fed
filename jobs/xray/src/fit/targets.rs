//! What the network should give at each location, from the annotated objects.
//!
//! Source: FCOS (Tian et al., ICCV 2019), section 3.2, with centre sampling: a location is positive for an object when it
//! lies in the object's rectangle, within 1.5 strides of its centre, and the farthest side is in the range of its grid;
//! of several such objects the smallest is taken. Start at [`targets`].

use crate::{boxes::Rectangle, metrics::average_precision::Object, model::network::STRIDES};

/// The farthest side, in pixels, that each of [`STRIDES`] is responsible for, at most.
const FARTHEST: [f32; STRIDES.len()] = [64.0, 128.0, f32::INFINITY];

/// Strides from an object's centre within which a location is positive.
const CENTRE: f32 = 1.5;

/// What a positive location should give.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// The index of the class.
    pub class: u32,
    /// Pixels to the left, top, right and bottom side of the rectangle.
    pub sides: [f32; 4],
}

impl Target {
    /// How near the location is to the object's centre: 1 in the middle, 0 at a side.
    pub fn centreness(&self) -> f32 {
        let [left, top, right, bottom] = self.sides;
        let ratio = |a: f32, b: f32| a.min(b) / a.max(b).max(f32::MIN_POSITIVE);
        (ratio(left, right) * ratio(top, bottom)).max(0.0).sqrt()
    }
}

/// The middle of a location, in pixels of the input.
pub fn place(stride: usize, row: usize, column: usize) -> (f32, f32) {
    let middle = |index: usize| (index as f32 + 0.5) * stride as f32;
    (middle(column), middle(row))
}

/// The targets of one image of `side` × `side` pixels: for each of [`STRIDES`] the locations row by row.
pub fn targets(objects: &[Object], side: usize) -> Vec<Vec<Option<Target>>> {
    let mut by_size: Vec<&Object> = objects.iter().filter(|object| !object.is_crowd).collect();
    by_size.sort_by(|a, b| a.rectangle.area().total_cmp(&b.rectangle.area()));
    let grid = |(level, stride): (usize, &usize)| {
        let cells = side / stride;
        let nearest = if level == 0 { 0.0 } else { FARTHEST[level - 1] };
        let location = |index: usize| {
            let (x, y) = place(*stride, index / cells, index % cells);
            by_size.iter().find_map(|object| {
                let sides = sides_from(&object.rectangle, x, y)?;
                let farthest = sides.iter().copied().fold(0.0, f32::max);
                let (centre_x, centre_y) = object.rectangle.centre();
                let reach = CENTRE * *stride as f32;
                let is_central = (x - centre_x).abs() <= reach && (y - centre_y).abs() <= reach;
                let is_ours = farthest > nearest && farthest <= FARTHEST[level];
                (is_central && is_ours).then_some(Target { class: object.class, sides })
            })
        };
        (0..cells * cells).map(location).collect()
    };
    STRIDES.iter().enumerate().map(grid).collect()
}

/// The distances from a point to a rectangle's sides; `None` outside of it.
fn sides_from(rectangle: &Rectangle, x: f32, y: f32) -> Option<[f32; 4]> {
    let sides = [x - rectangle.left, y - rectangle.top, rectangle.right() - x, rectangle.bottom() - y];
    sides.iter().all(|side| *side > 0.0).then_some(sides)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(left: f32, top: f32, width: f32, height: f32, class: u32) -> Object {
        Object { rectangle: Rectangle { left, top, width, height }, class, is_crowd: false }
    }

    #[test]
    fn a_small_object_is_found_on_the_finest_grid_around_its_centre() {
        let all = targets(&[object(8.0, 8.0, 32.0, 32.0, 3)], 64);
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [64, 16, 4]);
        let positive: Vec<usize> = (0..64).filter(|place| all[0][*place].is_some()).collect();
        // Its centre is (24, 24); locations at 12, 20, 28 and 36 pixels lie within 12 of it.
        let expected: Vec<usize> =
            (1..5).flat_map(|row| (1..5).map(move |column| row * 8 + column)).collect();
        assert_eq!(positive, expected);
        assert!(all[1].iter().chain(&all[2]).all(Option::is_none));
        let target = all[0][2 * 8 + 2].expect("a positive location");
        assert_eq!((target.class, target.sides), (3, [12.0, 12.0, 20.0, 20.0]));
        assert!((target.centreness() - 0.6).abs() < 1e-6);
    }

    #[test]
    fn of_two_objects_the_smaller_one_is_taken_and_crowds_are_left_out() {
        let crowd = Object { is_crowd: true, ..object(0.0, 0.0, 64.0, 64.0, 0) };
        let all = targets(&[object(0.0, 0.0, 56.0, 56.0, 1), object(16.0, 16.0, 24.0, 24.0, 2), crowd], 64);
        assert_eq!(all[0][3 * 8 + 3].map(|target| target.class), Some(2));
    }

    #[test]
    fn each_size_has_its_grid() {
        let large = targets(&[object(0.0, 0.0, 320.0, 320.0, 0)], 320);
        let count = |grid: &[Option<Target>]| grid.iter().flatten().count();
        assert_eq!((count(&large[0]), count(&large[1])), (0, 0));
        assert!(count(&large[2]) > 0);
    }
}
