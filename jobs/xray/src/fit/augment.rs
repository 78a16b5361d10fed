//! Examples of a detector's training, and their augmentation.
//!
//! Bags lie any way round on a belt, so an image is mirrored, turned by quarters and cut; and threats of other images are
//! projected into it: by Beer and Lambert's law the radiation that comes through two things one above the other is the
//! product of what comes through each ("threat image projection"; Bhowmik et al., ICIP 2019). Start at [`augmented`].

use tidewaiter_core::chance::stream;

use super::loss::ImageTruth;
use crate::{boxes::Rectangle, metrics::average_precision::Object, model::network::INPUTS};

/// The least share of an object's area that must be left for it to stay an object of a cut image.
const LEAST_LEFT: f32 = 0.4;

/// One image as the network sees it, with what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// `side × side ×` [`INPUTS`] values; 65535 is all radiation.
    pub pixels: Vec<u16>,
    /// The annotated objects, in pixels of the square.
    pub objects: Vec<Object>,
    /// The index of the HS section of the goods, where it is known.
    pub section: Option<usize>,
}

impl Example {
    /// What is known of the image as a whole.
    pub fn truth(&self) -> ImageTruth {
        ImageTruth { is_illicit: !self.objects.is_empty(), section: self.section }
    }
}

/// Random numbers of one image.
struct Draws {
    seed: u64,
    next: u64,
}

impl Draws {
    /// From 0 to 1, without 1.
    fn share(&mut self) -> f64 {
        self.next += 1;
        (stream(self.seed, self.next) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, count: usize) -> usize {
        (self.share() * count as f64) as usize
    }
}

/// Which of `count` images gives a threat to the image of a seed: with the probability `projection` any of them.
pub fn donor(count: usize, projection: f64, seed: u64) -> Option<usize> {
    let mut draws = Draws { seed, next: 0 };
    (draws.share() < projection).then(|| draws.below(count))
}

/// An image of `side` pixels, changed by chance: a threat of its [`donor`], if it has one, is put into it, then it is cut or
/// shrunk, mirrored and turned. The same seed gives the same.
pub fn augmented(example: &Example, donor: Option<&Example>, side: usize, seed: u64) -> Example {
    // The first draws were for the donor.
    let mut draws = Draws { seed, next: 1 + u64::from(donor.is_some()) };
    let mut image = example.clone();
    if let Some(donor) = donor {
        project(&mut image, donor, side, &mut draws);
    }
    let image = zoomed(&image, side, &mut draws);
    oriented(&image, side, draws.below(8))
}

/// Multiplies a threat of another image into this one, at a place of its own.
fn project(image: &mut Example, donor: &Example, side: usize, draws: &mut Draws) {
    if donor.objects.is_empty() {
        return;
    }
    let object = donor.objects[draws.below(donor.objects.len())];
    let from = object.rectangle.clipped(side as f32, side as f32);
    let (left, top) = (from.left as usize, from.top as usize);
    let (width, height) = (from.width as usize, from.height as usize);
    if object.is_crowd || width < 4 || height < 4 {
        return;
    }
    let (x, y) = (draws.below(side - width + 1), draws.below(side - height + 1));
    // What the donor's bag itself holds back is taken out: its brightest pixels in the rectangle stand for it.
    let mut brightest = [1_u16; INPUTS];
    for row in top..top + height {
        for pixel in donor.pixels[(row * side + left) * INPUTS..][..width * INPUTS].chunks_exact(INPUTS) {
            brightest.iter_mut().zip(pixel).for_each(|(most, value)| *most = (*most).max(*value));
        }
    }
    for row in 0..height {
        let source = &donor.pixels[((top + row) * side + left) * INPUTS..][..width * INPUTS];
        let target = &mut image.pixels[((y + row) * side + x) * INPUTS..][..width * INPUTS];
        for (at, (target, source)) in target.iter_mut().zip(source).enumerate() {
            *target = (u32::from(*target) * u32::from(*source) / u32::from(brightest[at % INPUTS])) as u16;
        }
    }
    let rectangle = Rectangle { left: x as f32, top: y as f32, width: width as f32, height: height as f32 };
    image.objects.push(Object { rectangle, ..object });
}

/// Enlarges by up to 1.4 and cuts, or shrinks to 0.7 and pads with white, at a place by chance.
fn zoomed(image: &Example, side: usize, draws: &mut Draws) -> Example {
    let factor = (0.7_f64.ln() + draws.share() * (1.4_f64.ln() - 0.7_f64.ln())).exp() as f32;
    let slack = side as f32 - side as f32 * factor;
    let (x, y) = (slack * draws.share() as f32, slack * draws.share() as f32);
    let mut pixels = vec![u16::MAX; side * side * INPUTS];
    let source = |place: usize, shift: f32| {
        let from = (place as f32 + 0.5 - shift) / factor - 0.5;
        (from > -0.5 && from < side as f32 - 0.5).then(|| from.clamp(0.0, (side - 1) as f32))
    };
    for row in 0..side {
        let Some(from_y) = source(row, y) else { continue };
        let (y0, share_y) = (from_y as usize, from_y.fract());
        let y1 = (y0 + 1).min(side - 1);
        for column in 0..side {
            let Some(from_x) = source(column, x) else { continue };
            let (x0, share_x) = (from_x as usize, from_x.fract());
            let x1 = (x0 + 1).min(side - 1);
            for channel in 0..INPUTS {
                let at = |x: usize, y: usize| f32::from(image.pixels[(y * side + x) * INPUTS + channel]);
                let above = at(x0, y0) * (1.0 - share_x) + at(x1, y0) * share_x;
                let below = at(x0, y1) * (1.0 - share_x) + at(x1, y1) * share_x;
                let value = above * (1.0 - share_y) + below * share_y;
                pixels[(row * side + column) * INPUTS + channel] = value as u16;
            }
        }
    }
    let objects = image.objects.iter().filter_map(|object| {
        let whole = object.rectangle.moved(x / factor, y / factor, factor);
        let rectangle = whole.clipped(side as f32, side as f32);
        let is_left = rectangle.area() >= LEAST_LEFT * whole.area() && rectangle.area() > 4.0;
        is_left.then_some(Object { rectangle, ..*object })
    });
    Example { pixels, objects: objects.collect(), section: image.section }
}

/// Mirrors (bit 0: left to right, bit 1: top to bottom) and reflects at the diagonal (bit 2).
fn oriented(image: &Example, side: usize, how: usize) -> Example {
    let (mirrors, flips, swaps) = (how & 1 != 0, how & 2 != 0, how & 4 != 0);
    let mut pixels = Vec::with_capacity(image.pixels.len());
    for row in 0..side {
        for column in 0..side {
            let (x, y) = if swaps { (row, column) } else { (column, row) };
            let x = if mirrors { side - 1 - x } else { x };
            let y = if flips { side - 1 - y } else { y };
            pixels.extend_from_slice(&image.pixels[(y * side + x) * INPUTS..][..INPUTS]);
        }
    }
    let edge = side as f32;
    let objects = image.objects.iter().map(|object| {
        let Rectangle { left, top, width, height } = object.rectangle;
        let left = if mirrors { edge - left - width } else { left };
        let top = if flips { edge - top - height } else { top };
        let rectangle = if swaps {
            Rectangle { left: top, top: left, width: height, height: width }
        } else {
            Rectangle { left, top, width, height }
        };
        Object { rectangle, ..*object }
    });
    Example { pixels, objects: objects.collect(), section: image.section }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIDE: usize = 48;

    /// White, with one dark rectangle that is an object.
    fn example(left: usize, top: usize, width: usize, height: usize, dark: u16) -> Example {
        let mut pixels = vec![u16::MAX; SIDE * SIDE * INPUTS];
        for y in top..top + height {
            pixels[(y * SIDE + left) * INPUTS..][..width * INPUTS].fill(dark);
        }
        let rectangle =
            Rectangle { left: left as f32, top: top as f32, width: width as f32, height: height as f32 };
        let objects = vec![Object { rectangle, class: 1, is_crowd: false }];
        Example { pixels, objects, section: Some(2) }
    }

    fn mean(image: &Example, rectangle: &Rectangle) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        for y in rectangle.top.ceil() as usize..rectangle.bottom().floor() as usize {
            for x in rectangle.left.ceil() as usize..rectangle.right().floor() as usize {
                sum += f64::from(image.pixels[(y * SIDE + x) * INPUTS]);
                count += 1.0;
            }
        }
        sum / f64::max(count, 1.0)
    }

    #[test]
    fn two_things_above_each_other_let_the_product_through() {
        let mut image = example(0, 0, SIDE, SIDE, 32768);
        let mut donor = example(8, 8, 12, 10, 16384);
        // The object's rectangle reaches one pixel beyond the dark, into white.
        donor.objects[0].rectangle.width += 1.0;
        project(&mut image, &donor, SIDE, &mut Draws { seed: 3, next: 0 });
        let placed = image.objects[1].rectangle;
        let dark = Rectangle { width: placed.width - 1.0, ..placed };
        assert!((mean(&image, &dark) - 8192.0).abs() < 2.0);
        assert_eq!(image.objects[1].class, 1);
    }

    proptest! {
        #[test]
        fn rectangles_stay_on_their_objects(
            left in 4usize..20, top in 4usize..20, width in 8usize..20, height in 8usize..20, seed: u64
        ) {
            let image = example(left, top, width, height, 0);
            let changed = augmented(&image, None, SIDE, seed);
            prop_assert_eq!(&changed, &augmented(&image, None, SIDE, seed));
            for object in &changed.objects {
                let inner = Rectangle {
                    left: object.rectangle.left + 2.0,
                    top: object.rectangle.top + 2.0,
                    width: (object.rectangle.width - 4.0).max(0.0),
                    height: (object.rectangle.height - 4.0).max(0.0),
                };
                prop_assert!(mean(&changed, &inner) < 1.0, "{:?}", object);
            }
            let dark = changed.pixels.iter().step_by(INPUTS).filter(|value| **value < 30_000).count() as f32;
            let area: f32 = changed.objects.iter().map(|object| object.rectangle.area()).sum();
            prop_assert!((dark - area).abs() <= 0.25 * area.max(40.0) || changed.objects.is_empty(), "{dark} {area}");
        }
    }
}
