//! One image of the archive as a person looks at it: in 8 bits, with the boxes of what is annotated and found, and a heat
//! map of where a detector sees something.
//!
//! Start at [`overlay`] for the drawing, and at [`with_model`] for a detector's part of it.

use tidewaiter_archive::Archive;
use tidewaiter_core::{Result, threads::on_cpu};
use tidewaiter_registry::{Registry, Which, scope::Scope};

use crate::{
    boxes::Rectangle,
    image::raster::Raster,
    model::detector::{Detector, Prepared},
    parameters::MODEL,
    predict::objects::FoundObject,
};

/// The colour of annotated objects: red, green, blue.
pub const ANNOTATED: [u16; 3] = [0, 134, 61];

/// The colour of found objects.
pub const FOUND: [u16; 3] = [194, 24, 91];

/// How strongly the heat map colours a pixel at most, 0 to 1.
const HEAT: f32 = 0.6;

/// What a detector sees on an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The detector's name and version.
    pub model: String,
    /// The objects found, of at least the detector's threshold, by falling score.
    pub objects: Vec<FoundObject>,
    /// The probability that the image holds something illicit.
    pub illicit: f64,
    /// The certainty of an object at each pixel, row by row, 0 to 1.
    pub heat: Vec<f32>,
}

/// What the champion of a country, or another version, sees on an image.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::NotFound`] when there is no such model.
pub async fn with_model(
    archive: &Archive,
    scope: &Scope,
    version: Option<u64>,
    image: Raster,
) -> Result<Seen> {
    let name = scope.model(MODEL);
    let which = version.map_or(Which::Champion, Which::Version);
    let model = Registry::new(archive).load(&name, which).await?;
    let name = format!("{name}@{}", model.manifest.version);
    on_cpu(move || {
        let detector = Detector::read(&model.model)?;
        let found = detector.find(&[Prepared::new(&image, &detector.head)], 1)?;
        let heat = detector.heat(&image)?;
        let head = &detector.head;
        let (mut objects, mut illicit) = (Vec::new(), 0.0);
        for found in found {
            let best = found.objects.first().map_or(0.0, |best| f64::from(best.score));
            illicit = head.image_score.probability(f64::from(found.whole), best);
            let sure = found.objects.into_iter().filter(|object| object.score >= head.object_threshold);
            objects.extend(sure.map(|object| FoundObject {
                class: head.classes[object.class as usize].clone(),
                score: object.score,
                rectangle: object.rectangle,
            }));
        }
        Ok(Seen { model: name, objects, illicit, heat })
    })
    .await
}

/// An image in red, green and blue of 8 bits: of two energies their mean in grey.
pub fn coloured(image: &Raster) -> Raster {
    let shift = if image.bits == 16 { 8 } else { 0 };
    let pixel = |pixel: &[u16]| -> [u16; 3] {
        match *pixel {
            [red, green, blue] => [red >> shift, green >> shift, blue >> shift],
            [low, high] => [((u32::from(low) + u32::from(high)) / 2) as u16 >> shift; 3],
            _ => [pixel[0] >> shift; 3],
        }
    };
    let values = image.values.chunks_exact(image.channels).flat_map(pixel).collect();
    Raster { width: image.width, height: image.height, channels: 3, bits: 8, values }
}

/// Draws a heat map and boxes with their colours over an image.
pub fn overlay(image: &Raster, heat: Option<&[f32]>, boxes: &[(Rectangle, [u16; 3])]) -> Raster {
    let mut drawn = coloured(image);
    if let Some(heat) = heat {
        for (pixel, heat) in drawn.values.chunks_exact_mut(3).zip(heat) {
            let share = HEAT * heat.clamp(0.0, 1.0);
            let towards =
                |value: u16, colour: f32| (f32::from(value) * (1.0 - share) + colour * share) as u16;
            let hot = [255.0, 60.0, 0.0];
            pixel.iter_mut().zip(hot).for_each(|(value, colour)| *value = towards(*value, colour));
        }
    }
    // Lines as thick as a person can see them at the size of a screen.
    let thickness = (drawn.width.max(drawn.height) / 300).clamp(1, 12);
    for (rectangle, colour) in boxes {
        frame(&mut drawn, rectangle, thickness, *colour);
    }
    drawn
}

/// Draws the edges of a rectangle, inwards.
fn frame(image: &mut Raster, rectangle: &Rectangle, thickness: usize, colour: [u16; 3]) {
    let inside = rectangle.clipped(image.width as f32, image.height as f32);
    let (left, top) = (inside.left as usize, inside.top as usize);
    let (right, bottom) = (inside.right().ceil() as usize, inside.bottom().ceil() as usize);
    for y in top..bottom {
        for x in left..right {
            let to_edge = (x - left).min(right - 1 - x).min(y - top).min(bottom - 1 - y);
            if to_edge < thickness {
                image.values[(y * image.width + x) * 3..][..3].copy_from_slice(&colour);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_and_heat_are_drawn_over_the_image() {
        let image = Raster { width: 8, height: 6, channels: 2, bits: 16, values: vec![0x8000; 8 * 6 * 2] };
        let rectangle = Rectangle { left: 1.0, top: 1.0, width: 4.0, height: 3.0 };
        let mut heat = vec![0.0; 48];
        heat[47] = 1.0;
        let drawn = overlay(&image, Some(&heat), &[(rectangle, FOUND)]);
        let pixel = |x: usize, y: usize| &drawn.values[(y * 8 + x) * 3..][..3];
        assert_eq!(pixel(0, 0), [128, 128, 128]);
        assert_eq!(pixel(1, 1), FOUND);
        assert_eq!(pixel(4, 3), FOUND);
        assert_eq!(pixel(2, 2), [128, 128, 128], "inside");
        assert!(pixel(7, 5)[0] > 180 && pixel(7, 5)[2] < 60, "hot");
    }
}
