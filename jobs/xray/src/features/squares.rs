//! Training examples: squares of images with their objects, and the files in which a fit's shards keep them.
//!
//! An image, or each tile of a large one, is shrunk once to the network's input and stored with 16 bits a channel; the
//! fit reads the squares and never the images. Which shard an image belongs to follows from its identifier alone, and a
//! shard's examples are sorted when they are loaded, so that nothing depends on which executor wrote them. Start at
//! [`examples`] and [`of_batch`].

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, Int32Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Int32Type, Schema, SchemaRef},
};
use tidewaiter_core::{Error, Result, chance::stream};
use xxhash_rust::xxh3::xxh3_64;

use super::tiles::{Tile, tiles};
use crate::{
    boxes::Rectangle, fit::augment::Example, image::raster::Raster, metrics::average_precision::Object,
    model::network::INPUTS,
};

/// The least share of an object's area that a tile must hold to have the object.
const LEAST_INSIDE: f32 = 0.4;

/// The months that an example is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Training.
    Training,
    /// Validation.
    Validation,
}

impl Part {
    /// Its number in queries and files.
    pub fn number(self) -> i32 {
        match self {
            Self::Training => 0,
            Self::Validation => 1,
        }
    }
}

/// One example of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Square {
    /// The image.
    pub image: String,
    /// The tile of the image, from 0.
    pub tile: i32,
    /// 0 training, 1 validation ([`Part::number`]).
    pub part: i32,
    /// The square.
    pub example: Example,
}

/// The shard of an image.
pub fn shard(image: &str, shards: u32) -> u32 {
    (stream(xxh3_64(image.as_bytes()), 0) % u64::from(shards.max(1))) as u32
}

/// A tile of an image as the network sees it: `side × side ×` [`INPUTS`] values of 0 to 1, and the pixels of the square for
/// one of the image.
pub fn square(image: &Raster, tile: &Tile, side: usize) -> (Vec<f32>, f32) {
    let whole = (tile.width, tile.height) == (image.width, image.height);
    let (values, placement) = match whole {
        true => image.square(side),
        false => image.part(tile.left, tile.top, tile.width, tile.height).square(side),
    };
    (values, placement.factor)
}

/// The examples of an image: one of each tile of at most `tile` pixels.
pub fn examples(
    image: &Raster,
    objects: &[Object],
    section: Option<usize>,
    (side, tile): (usize, usize),
) -> Vec<Example> {
    let of_tile = |place: &Tile| {
        let (values, factor) = square(image, place, side);
        let pixels = values.into_iter().map(|value| (value * 65535.0).round() as u16).collect();
        let own = place.rectangle();
        let inside = objects.iter().filter_map(|object| {
            let moved = object.rectangle.moved(-own.left, -own.top, 1.0);
            let part = moved.clipped(own.width, own.height);
            let is_inside = part.area() > 0.0 && part.area() >= LEAST_INSIDE * moved.area();
            is_inside.then(|| Object { rectangle: part.moved(0.0, 0.0, factor), ..*object })
        });
        Example { pixels, objects: inside.collect(), section }
    };
    tiles(image.width, image.height, tile).iter().map(of_tile).collect()
}

/// The columns of a shard's file.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("image_id", DataType::Utf8, false),
        Field::new("tile", DataType::Int32, false),
        Field::new("part", DataType::Int32, false),
        Field::new("pixels", DataType::Binary, false),
        Field::new("objects", DataType::Utf8, false),
        Field::new("section", DataType::Int32, true),
    ]))
}

/// The rows of a shard's file.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when the columns do not fit the schema.
pub fn rows(squares: &[Square]) -> Result<RecordBatch> {
    let pixels: Vec<Vec<u8>> = squares
        .iter()
        .map(|square| square.example.pixels.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let objects: Vec<String> = squares
        .iter()
        .map(|square| {
            let written: Vec<_> = square.example.objects.iter().map(written).collect();
            serde_json::to_string(&written)
        })
        .collect::<std::result::Result<_, _>>()?;
    let sections = squares.iter().map(|square| square.example.section.and_then(|at| i32::try_from(at).ok()));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(squares.iter().map(|square| &square.image))),
        Arc::new(Int32Array::from_iter_values(squares.iter().map(|square| square.tile))),
        Arc::new(Int32Array::from_iter_values(squares.iter().map(|square| square.part))),
        Arc::new(BinaryArray::from_iter_values(pixels)),
        Arc::new(StringArray::from_iter_values(objects)),
        Arc::new(sections.collect::<Int32Array>()),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

/// An object in a file: class, whether it is a crowd, rectangle.
type Written = (u32, bool, [f32; 4]);

fn written(object: &Object) -> Written {
    let Rectangle { left, top, width, height } = object.rectangle;
    (object.class, object.is_crowd, [left, top, width, height])
}

fn read_object((class, is_crowd, [left, top, width, height]): Written) -> Object {
    Object { rectangle: Rectangle { left, top, width, height }, class, is_crowd }
}

/// The squares of `side` pixels in a batch of a shard's file.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Corrupt`] when it is no such batch.
pub fn of_batch(batch: &RecordBatch, side: usize) -> Result<Vec<Square>> {
    let column = |name: &str, kind: &DataType| {
        let column = batch.column_by_name(name).filter(|column| column.data_type() == kind);
        column.ok_or_else(|| Error::corrupt(format!("a file of squares has no column {name} of {kind}")))
    };
    let images = column("image_id", &DataType::Utf8)?.as_string::<i32>();
    let objects = column("objects", &DataType::Utf8)?.as_string::<i32>();
    let tiles = column("tile", &DataType::Int32)?.as_primitive::<Int32Type>();
    let parts = column("part", &DataType::Int32)?.as_primitive::<Int32Type>();
    let sections = column("section", &DataType::Int32)?.as_primitive::<Int32Type>();
    let pixels = column("pixels", &DataType::Binary)?.as_binary::<i32>();
    let mut squares = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let values = pixels.value(row).chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]]));
        let pixels: Vec<u16> = values.collect();
        if pixels.len() != side * side * INPUTS {
            return Err(Error::corrupt("a file of squares holds squares of another size"));
        }
        let objects: Vec<Written> = serde_json::from_str(objects.value(row))?;
        let section = sections.is_valid(row).then(|| sections.value(row).unsigned_abs() as usize);
        squares.push(Square {
            image: images.value(row).to_owned(),
            tile: tiles.value(row),
            part: parts.value(row),
            example: Example { pixels, objects: objects.into_iter().map(read_object).collect(), section },
        });
    }
    Ok(squares)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(left: f32, top: f32, width: f32, height: f32) -> Object {
        Object { rectangle: Rectangle { left, top, width, height }, class: 1, is_crowd: false }
    }

    #[test]
    fn a_large_scan_becomes_tiles_whose_objects_are_those_inside() {
        let image = Raster { width: 128, height: 32, channels: 1, bits: 8, values: vec![255; 128 * 32] };
        let all =
            examples(&image, &[object(0.0, 0.0, 16.0, 16.0), object(56.0, 8.0, 8.0, 8.0)], Some(2), (32, 64));
        assert_eq!(all.len(), 3);
        assert_eq!(all[0].objects.len(), 2);
        // A tile of 64 pixels is halved.
        assert_eq!(all[0].objects[0].rectangle, Rectangle { left: 0.0, top: 0.0, width: 8.0, height: 8.0 });
        assert_eq!(all[1].objects.len(), 1);
        assert_eq!(all[1].objects[0].rectangle.left, (56.0 - 32.0) / 2.0);
        assert!(all[2].objects.is_empty());
        assert!(all.iter().all(|example| example.section == Some(2)));
        assert!(all.iter().all(|example| example.pixels.iter().all(|value| *value == u16::MAX)));
    }

    #[test]
    fn a_file_gives_its_squares_back() {
        let example = |seed: usize| Example {
            pixels: (0..4 * 4 * INPUTS).map(|at| (at * seed) as u16).collect(),
            objects: vec![object(0.5, 1.0, 2.0, 3.0)],
            section: (seed > 1).then_some(seed),
        };
        let squares: Vec<Square> = (1..4)
            .map(|seed| Square {
                image: format!("image-{seed}"),
                tile: seed as i32,
                part: Part::Validation.number(),
                example: example(seed),
            })
            .collect();
        let batch = rows(&squares).expect("rows");
        assert_eq!(of_batch(&batch, 4).expect("reads"), squares);
        assert!(of_batch(&batch, 8).is_err(), "squares of another size");
        assert!(of_batch(&batch.project(&[0, 1]).expect("columns"), 4).is_err(), "no pixels");
    }

    #[test]
    fn shards_are_filled_evenly() {
        let mut counts = [0; 4];
        (0..4000).for_each(|image| counts[shard(&format!("{image:016x}"), 4) as usize] += 1);
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }
}
