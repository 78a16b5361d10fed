//! A whole detector: the network with its weights, the names of what it finds, and its thresholds.
//!
//! Start at [`Detector::find`] for detections, and at [`Detector::heat`] for where it sees something. The same bytes on
//! the same kind of processor give the same detections.

use bytes::Bytes;
use candle_core::Device;
use prost::Message;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result};
use tidewaiter_tensors::gpu;

use super::{
    detect::{Keep, confidence, detections},
    image_score::ImageScore,
    network::{Batch, Extents, INPUTS, Network, Outputs, STRIDES, Weights},
};
use crate::{
    boxes::Detection,
    features::{
        squares::square,
        tiles::{Tile, merged, tiles},
    },
    image::raster::Raster,
};

/// What a detector is beside its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Pixels of the side of the network's input.
    pub side: usize,
    /// Channels of the network's first stage.
    pub width: usize,
    /// Pixels of a tile's side, into which larger images are cut; 0: none.
    pub tile: usize,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// The HS sections; empty: none.
    pub sections: Vec<u32>,
    /// How an image's probability is made.
    pub image_score: ImageScore,
    /// The least score at which an object is reported as found: the one with the highest F1 on the validation images.
    pub object_threshold: f32,
    /// The thresholds of the image's probability, by falling share of false alarms.
    pub thresholds: Vec<Threshold>,
}

impl Head {
    fn extents(&self) -> Extents {
        Extents { classes: self.classes.len(), sections: self.sections.len(), width: self.width }
    }
}

/// A threshold and the share of clean validation images that reach it, at most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The share of clean validation images that may alarm, 0 to 1.
    pub false_alarms: f64,
    /// The least probability that alarms; `None`: no image reaches it, as a clean validation image is the most suspect of
    /// all, and already one is more than may alarm.
    pub probability: Option<f64>,
}

impl Threshold {
    /// Whether an image's probability alarms.
    pub fn is_reached(&self, probability: f64) -> bool {
        self.probability.is_some_and(|least| probability as f32 >= least as f32)
    }
}

/// The file of a detector.
#[derive(Clone, PartialEq, Message)]
struct File {
    /// A [`Head`] as JSON.
    #[prost(string, tag = "1")]
    head: String,
    #[prost(float, repeated, tag = "2")]
    weights: Vec<f32>,
}

/// The bytes of a detector.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Corrupt`] when the head has no JSON form.
pub fn to_bytes(head: &Head, weights: &[f32]) -> Result<Bytes> {
    let file = File { head: serde_json::to_string(head)?, weights: weights.to_vec() };
    Ok(Bytes::from(file.encode_to_vec()))
}

/// What a detector finds on an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Objects by falling score, in pixels of the image.
    pub objects: Vec<Detection>,
    /// The logit of "holds something illicit"; of a cut image that of its most suspect tile.
    pub whole: f32,
    /// The probability of each section; of a cut image the mean of its tiles.
    pub sections: Vec<f32>,
}

/// A detector that is ready to compute.
pub struct Detector {
    /// What it is.
    pub head: Head,
    /// Its weights, flat.
    pub weights: Vec<f32>,
    network: Network,
    placed: Weights,
}

/// An error of candle.
fn tensor_error(error: candle_core::Error) -> Error {
    Error::internal("X-ray detector: compute on tensors").with_source(error)
}

/// The outputs of one square: those of each grid, and of the image as a whole.
struct OfSquare {
    grids: Vec<Vec<f32>>,
    image: Vec<f32>,
}

impl Detector {
    /// Reads a detector.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when the bytes are none;
    /// [`tidewaiter_core::ErrorKind::Unavailable`] when there is a GPU that does not answer.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let file = File::decode(bytes)?;
        let head: Head = serde_json::from_str(&file.head)?;
        let network = Network::new(head.extents());
        if file.weights.len() != network.size() {
            return Err(Error::corrupt("the weights of an X-ray detector do not fit its network"));
        }
        let device = gpu()?.unwrap_or(Device::Cpu);
        let placed = network.weights(file.weights.clone(), &device).map_err(tensor_error)?;
        Ok(Self { head, weights: file.weights, network, placed })
    }

    /// What it finds on some images, of which `batch` squares are computed at a time.
    ///
    /// # Errors
    /// Those of the computation, which are internal.
    pub fn find(&self, images: &[Prepared], batch: usize) -> Result<Vec<Found>> {
        let squares: Vec<&[f32]> =
            images.iter().flat_map(|image| image.tiles.iter().map(|tile| tile.values.as_slice())).collect();
        let mut outputs = Vec::with_capacity(squares.len());
        for squares in squares.chunks(batch.max(1)) {
            tidewaiter_core::threads::check()?;
            outputs.extend(self.compute(squares)?);
        }
        let mut outputs = outputs.into_iter();
        Ok(images.iter().map(|image| self.found(image, outputs.by_ref().take(image.tiles.len()))).collect())
    }

    /// The certainty that there is an object, from 0 to 1, for each pixel of an image, row by row.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn heat(&self, image: &Raster) -> Result<Vec<f32>> {
        let prepared = Prepared::new(image, &self.head);
        let mut heat = vec![0.0_f32; image.width * image.height];
        let width = self.head.classes.len() + super::network::BOX_OUTPUTS;
        for prepared in &prepared.tiles {
            let Tile { left, top, width: across, height: down } = prepared.place;
            for of_square in self.compute(&[prepared.values.as_slice()])? {
                for (grid, stride) in of_square.grids.iter().zip(STRIDES) {
                    let cells = self.head.side / stride;
                    let scores: Vec<f32> = grid
                        .chunks_exact(width)
                        .map(|one| confidence(one, self.head.classes.len()))
                        .collect();
                    for y in 0..down {
                        let row = ((y as f32 * prepared.factor) as usize / stride).min(cells - 1);
                        for x in 0..across {
                            let column = ((x as f32 * prepared.factor) as usize / stride).min(cells - 1);
                            let pixel = &mut heat[(top + y) * image.width + left + x];
                            *pixel = pixel.max(scores[row * cells + column]);
                        }
                    }
                }
            }
        }
        Ok(heat)
    }

    fn compute(&self, squares: &[&[f32]]) -> Result<Vec<OfSquare>> {
        let side = self.head.side;
        let batch = Batch { dimensions: [squares.len(), side, side, INPUTS], values: squares.concat() };
        let Outputs { grids, image } = self.network.compute(&self.placed, batch).map_err(tensor_error)?;
        let of_square = |values: &[f32], place: usize| {
            let each = values.len() / squares.len();
            values[place * each..(place + 1) * each].to_vec()
        };
        Ok((0..squares.len())
            .map(|place| OfSquare {
                grids: grids.iter().map(|grid| of_square(grid, place)).collect(),
                image: of_square(&image, place),
            })
            .collect())
    }

    fn found(&self, image: &Prepared, outputs: impl Iterator<Item = OfSquare>) -> Found {
        let (classes, side) = (self.head.classes.len(), self.head.side);
        let mut by_tile = Vec::new();
        let mut whole = f32::NEG_INFINITY;
        let mut sections = vec![0.0; self.head.sections.len()];
        let share = 1.0 / image.tiles.len() as f32;
        for (tile, of_square) in image.tiles.iter().zip(outputs) {
            let grids: Vec<&[f32]> = of_square.grids.iter().map(Vec::as_slice).collect();
            let (place, back) = (tile.place.rectangle(), 1.0 / tile.factor);
            let found = detections(&grids, classes, side, Keep::default()).into_iter().filter_map(|found| {
                let rectangle = found.rectangle.moved(0.0, 0.0, back).clipped(place.width, place.height);
                let is_inside = rectangle.area() > 0.0;
                is_inside
                    .then(|| Detection { rectangle: rectangle.moved(place.left, place.top, 1.0), ..found })
            });
            by_tile.push((tile.place, found.collect()));
            whole = whole.max(of_square.image[0]);
            for (sum, probability) in sections.iter_mut().zip(softmax(&of_square.image[1..])) {
                *sum += share * probability;
            }
        }
        Found { objects: merged(by_tile, image.extent, Keep::default()), whole, sections }
    }
}

/// The probabilities of logits.
fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// An image as the network sees it, tile by tile.
pub struct Prepared {
    extent: (usize, usize),
    tiles: Vec<PreparedTile>,
}

struct PreparedTile {
    place: Tile,
    values: Vec<f32>,
    /// Pixels of the square for one of the image.
    factor: f32,
}

impl Prepared {
    /// Cuts and shrinks an image for a detector.
    pub fn new(image: &Raster, head: &Head) -> Self {
        let tiles = tiles(image.width, image.height, head.tile).into_iter().map(|place| {
            let (values, factor) = square(image, &place, head.side);
            PreparedTile { place, values, factor }
        });
        Self { extent: (image.width, image.height), tiles: tiles.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(tile: usize) -> Head {
        Head {
            side: 32,
            width: 8,
            tile,
            classes: vec!["knife".to_owned(), "razor".to_owned()],
            sections: vec![11, 16],
            image_score: ImageScore::default(),
            object_threshold: 0.3,
            thresholds: vec![Threshold { false_alarms: 0.05, probability: Some(0.7) }],
        }
    }

    fn detector(tile: usize) -> Detector {
        let head = head(tile);
        let weights = Network::new(head.extents()).begin(3);
        Detector::read(&to_bytes(&head, &weights).expect("bytes")).expect("a detector")
    }

    fn image(width: usize, height: usize) -> Raster {
        let values = (0..width * height).map(|at| (at * 37 % 256) as u16).collect();
        Raster { width, height, channels: 1, bits: 8, values }
    }

    #[test]
    fn a_detector_is_read_as_it_was_written_and_batches_change_nothing() {
        let detector = detector(0);
        assert_eq!(detector.head, head(0));
        let images: Vec<Prepared> = [image(40, 20), image(32, 32), image(9, 31)]
            .iter()
            .map(|image| Prepared::new(image, &detector.head))
            .collect();
        let (one, all) =
            (detector.find(&images, 1).expect("finds"), detector.find(&images, 8).expect("finds"));
        for (one, all) in one.iter().zip(&all) {
            assert!((one.whole - all.whole).abs() < 1e-5 && one.objects.len() == all.objects.len());
        }
        for found in all {
            assert_eq!(found.sections.len(), 2);
            assert!((found.sections.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            assert!(found.objects.windows(2).all(|pair| pair[0].score >= pair[1].score));
        }
        assert!(Detector::read(b"\x0a\x02{}").is_err());
    }

    #[test]
    fn what_is_found_on_a_cut_image_lies_on_it() {
        let detector = detector(48);
        let image = image(150, 60);
        let found = detector.find(&[Prepared::new(&image, &detector.head)], 4).expect("finds").remove(0);
        for object in &found.objects {
            assert!(object.rectangle.right() <= 150.01 && object.rectangle.bottom() <= 60.01, "{object:?}");
        }
        let heat = detector.heat(&image).expect("heat");
        assert_eq!(heat.len(), 150 * 60);
        assert!(heat.iter().all(|value| (0.0..=1.0).contains(value) && *value > 0.0));
    }
}
