//! A plane of attenuations on which things are laid, one above the other.
//!
//! Attenuations add up, so that by Beer and Lambert's law what comes through is `exp(−sum)`. Start at [`Canvas::lay`].

use super::materials::{ENERGIES, Material};
use crate::boxes::Rectangle;

/// Attenuation of every pixel at both energies.
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    attenuation: Vec<[f32; ENERGIES]>,
}

/// A shape on the canvas, by its own coordinates from −1 to 1 in both directions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pose {
    /// The middle, in pixels.
    pub(super) centre: (f32, f32),
    /// Half of the extents, in pixels.
    pub(super) half: (f32, f32),
    /// Radians, clockwise.
    pub(super) angle: f32,
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, height, attenuation: vec![[0.0; ENERGIES]; width * height] }
    }

    /// Lays a thing on the canvas whose thickness in centimetres at each of its own coordinates (−1 to 1) is given; gives
    /// the rectangle of the pixels that hold any of it, on the canvas.
    pub(super) fn lay(
        &mut self,
        pose: Pose,
        material: Material,
        thickness: impl Fn(f32, f32) -> f32,
    ) -> Rectangle {
        let Pose { centre, half, angle } = pose;
        let (sin, cos) = angle.sin_cos();
        let reach = (
            (half.0 * cos).abs() + (half.1 * sin).abs() + 1.0,
            (half.0 * sin).abs() + (half.1 * cos).abs() + 1.0,
        );
        let span = |middle: f32, reach: f32, most: usize| {
            let pixel = |value: f32| value.clamp(0.0, most as f32) as usize;
            pixel((middle - reach).floor())..pixel((middle + reach).ceil())
        };
        let per_centimetre = material.attenuation();
        let mut edges: Option<(usize, usize, usize, usize)> = None;
        for y in span(centre.1, reach.1, self.height) {
            for x in span(centre.0, reach.0, self.width) {
                let (right, down) = (x as f32 + 0.5 - centre.0, y as f32 + 0.5 - centre.1);
                let own = ((right * cos + down * sin) / half.0, (down * cos - right * sin) / half.1);
                if own.0.abs() > 1.0 || own.1.abs() > 1.0 {
                    continue;
                }
                let centimetres = thickness(own.0, own.1);
                if centimetres <= 0.0 {
                    continue;
                }
                let pixel = &mut self.attenuation[y * self.width + x];
                pixel.iter_mut().zip(per_centimetre).for_each(|(sum, per)| *sum += per * centimetres);
                edges = Some(match edges {
                    None => (x, y, x, y),
                    Some((left, top, right, bottom)) => {
                        (left.min(x), top.min(y), right.max(x), bottom.max(y))
                    }
                });
            }
        }
        edges.map_or(Rectangle::between(0.0, 0.0, 0.0, 0.0), |(left, top, right, bottom)| {
            Rectangle::between(left as f32, top as f32, right as f32 + 1.0, bottom as f32 + 1.0)
        })
    }

    /// The share of the radiation that comes through each pixel at an energy, row by row.
    pub(super) fn transmission(&self, energy: usize) -> Vec<f32> {
        self.attenuation.iter().map(|pixel| (-pixel[energy]).exp()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thicknesses_add_up_and_edges_are_found() {
        let mut canvas = Canvas::new(10, 8);
        let pose = Pose { centre: (4.0, 3.0), half: (2.0, 1.0), angle: 0.0 };
        let rectangle = canvas.lay(pose, Material::Steel, |_, _| 0.1);
        assert_eq!(rectangle, Rectangle { left: 2.0, top: 2.0, width: 4.0, height: 2.0 });
        canvas.lay(pose, Material::Steel, |x, _| if x > 0.0 { 0.2 } else { 0.0 });
        let through = canvas.transmission(0);
        let per_centimetre = Material::Steel.attenuation()[0];
        assert_eq!(through[0], 1.0);
        assert!((through[2 * 10 + 2] - (-0.1 * per_centimetre).exp()).abs() < 1e-6);
        assert!((through[2 * 10 + 5] - (-0.3 * per_centimetre).exp()).abs() < 1e-6);
    }

    #[test]
    fn what_lies_beyond_the_edge_is_cut() {
        let mut canvas = Canvas::new(6, 6);
        let pose = Pose { centre: (0.0, 0.0), half: (3.0, 3.0), angle: 0.0 };
        let rectangle = canvas.lay(pose, Material::Wood, |_, _| 1.0);
        assert_eq!(rectangle, Rectangle { left: 0.0, top: 0.0, width: 3.0, height: 3.0 });
    }
}
