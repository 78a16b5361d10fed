//! The network: an image in, for each location of three grids the logits of the classes and a box, and for the image
//! as a whole the logits of "holds something illicit" and of the HS sections.
//!
//! Source: Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", ICCV 2019, with the centre-ness on the box
//! branch, as its authors' later version has it; the pyramid is that of Lin et al., CVPR 2017. It is chosen because it
//! has no anchors to tune to each scanner and needs nothing but convolutions of stride 1 and 2, a doubling of grids and
//! group normalisation, which are the same for any division of the images into shards. Start at [`Network::compute`] and
//! [`Network::gradient`].

use candle_core::{Device, Result, Tensor, Var, bail};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use tidewaiter_tensors::tape::Tape;

use super::layers::{Layers, Normal, OnTape, OnTensors, Plain};

/// Channels of an input image.
pub const INPUTS: usize = 3;

/// Pixels of the input between neighbouring locations of each grid.
pub const STRIDES: [usize; 3] = [8, 16, 32];

/// Numbers of a location beside its classes: the distances to the box's four sides, and the centre-ness.
pub const BOX_OUTPUTS: usize = 5;

/// Channels of one group of a normalisation.
const GROUP: usize = 8;

/// Probability that an untrained network gives each class (FCOS and RetinaNet: 0.01), as a logit.
const RARE: f32 = -4.595;

/// The extents of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extents {
    /// Classes of objects.
    pub classes: usize,
    /// HS sections that the image as a whole can look like.
    pub sections: usize,
    /// Channels of the first stage; the others have 2, 4, 8 and 8 times as many. A multiple of 8.
    pub width: usize,
}

/// One tensor of weights.
struct Part {
    shape: Vec<usize>,
    begin: Begin,
}

/// A tensor of the backbone: stem and stages, whose weights come first among the flat ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackbonePart {
    /// Its name in a file, such as `stages.0.down.conv.weight`.
    pub name: String,
    /// Its shape; of a kernel side × side × inputs × outputs.
    pub shape: Vec<usize>,
}

/// The values before training.
#[derive(Clone, Copy)]
enum Begin {
    /// Normal with mean 0 and variance 2 / inputs of a value (He et al., ICCV 2015).
    Random,
    /// Normal with mean 0 and standard deviation 0.01.
    Small,
    Constant(f32),
}

/// Halves the grid, then adds what two convolutions make of it.
struct Stage {
    down: Normal,
    first: Normal,
    second: Normal,
}

/// The network's form. Its weights are one flat list, part by part.
pub struct Network {
    extents: Extents,
    parts: Vec<Part>,
    /// Where the parts begin among the flat weights, and where the last one ends.
    begins: Vec<usize>,
    stem: Normal,
    stages: Vec<Stage>,
    laterals: Vec<Plain>,
    smooth: Vec<Normal>,
    tower: Vec<Normal>,
    class: Plain,
    sides: Plain,
    image: Plain,
}

/// What the network gives for a batch, or the gradient of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs {
    /// For each of [`STRIDES`]: batch × height × width × (classes + [`BOX_OUTPUTS`]).
    pub grids: Vec<Vec<f32>>,
    /// Batch × (1 + sections): the logits of "holds something illicit" and of each section.
    pub image: Vec<f32>,
}

/// A network's weights, where it is computed.
pub enum Weights {
    /// On the processor, flat.
    Flat(Vec<f32>),
    /// On a GPU, a tensor for each part.
    Tensors(Vec<Var>, Device),
}

/// A batch of images: batch × height × width × [`INPUTS`] values; height and width are multiples of 32.
pub struct Batch {
    /// The four extents.
    pub dimensions: [usize; 4],
    /// All values.
    pub values: Vec<f32>,
}

impl Network {
    /// A network's form.
    pub fn new(extents: Extents) -> Self {
        let Extents { classes, sections, width } = extents;
        let mut parts = Parts(Vec::new());
        let stem = parts.normal(3, 2, INPUTS, width);
        let widths = [width, 2 * width, 4 * width, 8 * width, 8 * width];
        let stages = widths.windows(2).map(|pair| parts.stage(pair[0], pair[1])).collect();
        let pyramid = 4 * width;
        let laterals = widths[2..].iter().map(|inputs| parts.plain(1, *inputs, pyramid, Begin::Random, 0.0));
        let laterals = laterals.collect();
        let smooth = STRIDES.iter().map(|_| parts.normal(3, 1, pyramid, pyramid)).collect();
        let tower = (0..2).map(|_| parts.normal(3, 1, pyramid, pyramid)).collect();
        let class = parts.plain(3, pyramid, classes, Begin::Small, RARE);
        let sides = parts.plain(3, pyramid, BOX_OUTPUTS, Begin::Small, 0.0);
        let image = parts.plain(1, 2 * widths[4], 1 + sections, Begin::Small, 0.0);
        let mut begins = vec![0];
        for part in &parts.0 {
            begins.push(begins[begins.len() - 1] + part.size());
        }
        Self { extents, parts: parts.0, begins, stem, stages, laterals, smooth, tower, class, sides, image }
    }

    /// The extents.
    pub fn extents(&self) -> Extents {
        self.extents
    }

    /// The number of weights.
    pub fn size(&self) -> usize {
        self.parts.iter().map(Part::size).sum()
    }

    /// The weights before training; the same seed gives the same.
    pub fn begin(&self, seed: u64) -> Vec<f32> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut weights = Vec::with_capacity(self.size());
        for part in &self.parts {
            let deviation = match part.begin {
                Begin::Random => (2.0 / part.inputs() as f32).sqrt(),
                Begin::Small => 0.01,
                Begin::Constant(value) => {
                    weights.extend(std::iter::repeat_n(value, part.size()));
                    continue;
                }
            };
            weights.extend((0..part.size()).map(|_| {
                let normal: f32 = StandardNormal.sample(&mut random);
                deviation * normal
            }));
        }
        weights
    }

    /// The tensors of the backbone, in the order of their weights.
    pub fn backbone(&self) -> Vec<BackbonePart> {
        let stages = self.stages.iter().enumerate().flat_map(|(number, stage)| {
            let layers = [("down", stage.down), ("first", stage.first), ("second", stage.second)];
            layers.map(|(name, layer)| (format!("stages.{number}.{name}"), layer))
        });
        let layers = std::iter::once(("stem".to_owned(), self.stem)).chain(stages);
        let parts = layers.flat_map(|(name, layer)| {
            [
                ("conv.weight", layer.kernel),
                ("conv.bias", layer.bias),
                ("norm.weight", layer.scale),
                ("norm.bias", layer.shift),
            ]
            .map(|(end, place)| (place, format!("{name}.{end}")))
        });
        parts.map(|(place, name)| BackbonePart { name, shape: self.parts[place].shape.clone() }).collect()
    }

    /// Whether weight decay applies to each weight: to kernels, and not to biases, scales and shifts.
    pub fn decays(&self) -> impl Iterator<Item = bool> {
        self.parts.iter().flat_map(|part| std::iter::repeat_n(part.shape.len() > 1, part.size()))
    }

    /// Puts flat weights where they are computed with.
    ///
    /// # Errors
    /// When there are not [`Network::size`] weights.
    pub fn weights(&self, flat: Vec<f32>, device: &Device) -> Result<Weights> {
        if flat.len() != self.size() {
            bail!("a network of {} weights was given {}", self.size(), flat.len());
        }
        if !device.is_cuda() {
            return Ok(Weights::Flat(flat));
        }
        Ok(Weights::Tensors(self.variables(&flat, device)?, device.clone()))
    }

    /// Flat weights as tensors.
    fn variables(&self, flat: &[f32], device: &Device) -> Result<Vec<Var>> {
        let parts = self.parts.iter().zip(self.begins.windows(2));
        let variable = |(part, place): (&Part, &[usize])| {
            Var::from_slice(&flat[place[0]..place[1]], part.shape.as_slice(), device)
        };
        parts.map(variable).collect()
    }

    /// Computes a batch.
    ///
    /// # Errors
    /// When the batch does not fit the network; those of candle.
    pub fn compute(&self, weights: &Weights, batch: Batch) -> Result<Outputs> {
        match weights {
            Weights::Flat(flat) => {
                let mut layers = OnTape { tape: Tape::new(flat), begins: &self.begins };
                let images = layers.tape.images(batch.dimensions, batch.values)?;
                let places = self.layers(&mut layers, &images)?;
                Ok(places.map(|place| layers.tape.values(*place).to_vec()))
            }
            Weights::Tensors(variables, device) => {
                let images = Tensor::from_vec(batch.values, &batch.dimensions, device)?;
                self.layers(&mut OnTensors(variables), &images)?.try_map(numbers)
            }
        }
    }

    /// Computes a batch and its loss, which `loss` gives with its gradient by the outputs; gives the loss and its gradient
    /// by the flat weights.
    ///
    /// # Errors
    /// As [`Network::compute`].
    pub fn gradient(
        &self,
        weights: &Weights,
        batch: Batch,
        loss: impl FnOnce(&Outputs) -> (f64, Outputs),
    ) -> Result<(f64, Vec<f32>)> {
        match weights {
            Weights::Flat(flat) => {
                let mut layers = OnTape { tape: Tape::new(flat), begins: &self.begins };
                let images = layers.tape.images(batch.dimensions, batch.values)?;
                let places = self.layers(&mut layers, &images)?;
                let outputs = places.map(|place| layers.tape.values(*place).to_vec());
                let (loss, by_outputs) = loss(&outputs);
                let of_outputs = places.grids.into_iter().chain([places.image]);
                let gradients = by_outputs.grids.into_iter().chain([by_outputs.image]);
                Ok((loss, layers.tape.gradient(of_outputs.zip(gradients).collect())?))
            }
            Weights::Tensors(variables, device) => {
                let images = Tensor::from_vec(batch.values, &batch.dimensions, device)?;
                let tensors = self.layers(&mut OnTensors(variables), &images)?;
                let (loss, by_outputs) = loss(&tensors.try_map(numbers)?);
                let weighted = |tensor: &Tensor, by: Vec<f32>| {
                    (tensor * Tensor::from_vec(by, tensor.shape(), tensor.device())?)?.sum_all()
                };
                // The sum of outputs times their gradients has the loss's gradient by the weights.
                let mut sum = weighted(&tensors.image, by_outputs.image)?;
                for (grid, by) in tensors.grids.iter().zip(by_outputs.grids) {
                    sum = (sum + weighted(grid, by)?)?;
                }
                let all = sum.backward()?;
                let mut flat = Vec::with_capacity(self.size());
                for variable in variables {
                    match all.get(variable) {
                        Some(gradient) => flat.extend(numbers(gradient)?),
                        None => flat.extend(std::iter::repeat_n(0.0, variable.elem_count())),
                    }
                }
                Ok((loss, flat))
            }
        }
    }

    /// Computes all layers.
    fn layers<L: Layers>(&self, layers: &mut L, images: &L::Output) -> Result<OfLayers<L::Output>> {
        let mut values = layers.normal(self.stem, images)?;
        let mut scales = Vec::new();
        for stage in &self.stages {
            let down = layers.normal(stage.down, &values)?;
            let first = layers.normal(stage.first, &down)?;
            let second = layers.normal(stage.second, &first)?;
            values = layers.sum(&down, &second)?;
            scales.push(values.clone());
        }
        let pooled = layers.pooled(&values)?;
        let image = layers.plain(self.image, &pooled)?;

        // From the coarsest grid to the finest: each adds the one above it.
        let mut above: Option<L::Output> = None;
        let mut grids = Vec::new();
        for (place, values) in scales.iter().skip(1).enumerate().rev() {
            let mut sum = layers.plain(self.laterals[place], values)?;
            if let Some(above) = &above {
                let above = layers.doubled(above)?;
                sum = layers.sum(&sum, &above)?;
            }
            let mut tower = layers.normal(self.smooth[place], &sum)?;
            for layer in &self.tower {
                tower = layers.normal(*layer, &tower)?;
            }
            let (class, sides) = (layers.plain(self.class, &tower)?, layers.plain(self.sides, &tower)?);
            grids.push(layers.joined(&class, &sides)?);
            above = Some(sum);
        }
        grids.reverse();
        Ok(OfLayers { grids, image })
    }
}

/// The outputs of the network among those of its layers.
struct OfLayers<O> {
    grids: Vec<O>,
    image: O,
}

impl<O> OfLayers<O> {
    fn map(&self, of: impl Fn(&O) -> Vec<f32>) -> Outputs {
        Outputs { grids: self.grids.iter().map(&of).collect(), image: of(&self.image) }
    }

    fn try_map(&self, of: impl Fn(&O) -> Result<Vec<f32>>) -> Result<Outputs> {
        Ok(Outputs { grids: self.grids.iter().map(&of).collect::<Result<_>>()?, image: of(&self.image)? })
    }
}

/// The numbers of a tensor.
fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

impl Part {
    fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// Values that one value of the output is computed from.
    fn inputs(&self) -> usize {
        self.size() / self.shape.last().copied().unwrap_or(1).max(1)
    }
}

/// Lists the parts.
struct Parts(Vec<Part>);

impl Parts {
    fn add(&mut self, shape: &[usize], begin: Begin) -> usize {
        self.0.push(Part { shape: shape.to_vec(), begin });
        self.0.len() - 1
    }

    fn plain(&mut self, side: usize, inputs: usize, outputs: usize, begin: Begin, bias: f32) -> Plain {
        Plain {
            kernel: self.add(&[side, side, inputs, outputs], begin),
            bias: self.add(&[outputs], Begin::Constant(bias)),
            side,
        }
    }

    fn normal(&mut self, side: usize, stride: usize, inputs: usize, outputs: usize) -> Normal {
        Normal {
            kernel: self.add(&[side, side, inputs, outputs], Begin::Random),
            bias: self.add(&[outputs], Begin::Constant(0.0)),
            scale: self.add(&[outputs], Begin::Constant(1.0)),
            shift: self.add(&[outputs], Begin::Constant(0.0)),
            stride,
            groups: outputs / GROUP,
        }
    }

    fn stage(&mut self, inputs: usize, outputs: usize) -> Stage {
        Stage {
            down: self.normal(3, 2, inputs, outputs),
            first: self.normal(3, 1, outputs, outputs),
            second: self.normal(3, 1, outputs, outputs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random, as `network.py` makes them.
    fn numbers(count: usize, begin: usize, factor: f64) -> Vec<f32> {
        let number = |place: usize| {
            let large = (12.9898 * (begin + place + 1) as f64).sin() * 43_758.545_3;
            (factor * (2.0 * (large - large.floor()) - 1.0)) as f32
        };
        (0..count).map(number).collect()
    }

    /// Figures by PyTorch 2.15 in 64 bits (`network.py`): a part in a thousand is what 32 bits allow in twenty layers.
    #[test]
    fn outputs_and_gradient_are_those_of_pytorch() {
        let stored: serde_json::Value = serde_json::from_str(include_str!("network.json")).expect("JSON");
        let listed = |value: &serde_json::Value| -> Vec<f64> {
            serde_json::from_value(value.clone()).expect("a list of numbers")
        };
        let near = |own: f32, expected: f64, scale: f64, what: &str| {
            let difference = (f64::from(own) - expected).abs();
            assert!(difference < 1e-3 * scale, "{what}: {own} instead of {expected}");
        };
        let network = Network::new(Extents { classes: 2, sections: 2, width: 8 });
        let mut weights = Vec::new();
        for part in &network.parts {
            let (begin, count) = (weights.len(), part.size());
            let values = match part.begin {
                _ if part.shape.len() > 1 => {
                    let outputs = part.shape[part.shape.len() - 1];
                    numbers(count, begin, (6.0 * outputs as f64 / count as f64).sqrt())
                }
                Begin::Constant(1.0) => {
                    numbers(count, begin, 0.1).into_iter().map(|value| value + 1.0).collect()
                }
                _ => numbers(count, begin, 0.1),
            };
            weights.extend(values);
        }
        let pixels: Vec<f32> = numbers(64 * 32 * 3, 0, 0.5).into_iter().map(|value| value + 0.5).collect();
        let loss = |outputs: &Outputs| {
            let factors = |values: &Vec<f32>| numbers(values.len(), 0, 1.0);
            let by = Outputs {
                grids: outputs.grids.iter().map(factors).collect(),
                image: factors(&outputs.image),
            };
            (0.0, by)
        };
        let tensors = network.variables(&weights, &Device::Cpu).expect("tensors");
        for weights in [Weights::Flat(weights), Weights::Tensors(tensors, Device::Cpu)] {
            let batch = || Batch { dimensions: [1, 64, 32, 3], values: pixels.clone() };
            let outputs = network.compute(&weights, batch()).expect("computes");
            for (own, expected) in outputs.image.iter().zip(listed(&stored["image"])) {
                near(*own, expected, 1.0, "image");
            }
            for (grid, expected) in outputs.grids.iter().zip(stored["grids"].as_array().expect("grids")) {
                for (own, expected) in grid.iter().zip(listed(expected)) {
                    near(*own, expected, 1.0, "grid");
                }
            }
            let (_, gradient) = network.gradient(&weights, batch(), loss).expect("computes");
            let (norms, firsts) = (listed(&stored["norms"]), listed(&stored["firsts"]));
            assert_eq!(gradient.len(), network.size());
            for (place, part) in network.begins.windows(2).enumerate() {
                let gradient = &gradient[part[0]..part[1]];
                let norm = gradient.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
                // The bias before a normalisation has no gradient but that of rounding, where each group is one channel's.
                let scale = norms[place].max(0.1);
                near(norm as f32, norms[place], scale, &format!("norm of part {place}"));
                near(gradient[0], firsts[place], scale, &format!("first of part {place}"));
            }
        }
    }
}
