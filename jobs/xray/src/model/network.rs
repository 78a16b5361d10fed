//! The network: an image in, for each location of three grids the logits of the classes and a box, and for the image
//! as a whole the logits of "holds something illicit" and of the HS sections.
//!
//! Source: Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", ICCV 2019, with the centre-ness on the box
//! branch, as its authors' later version has it; the pyramid is that of Lin et al., CVPR 2017. It is chosen because it
//! has no anchors to tune to each scanner and needs nothing but convolutions of stride 1 and 2, a doubling of grids and
//! group normalisation, which are the same for any division of the images into shards. Start at [`Network::forward`].

use candle_core::{Device, Result, Tensor, Var, bail};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use tidewaiter_tensors::{
    convolution::{Activation, Convolution, convolve},
    normalisation::normalise,
    upsampling::double,
};

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

/// The values before training.
#[derive(Clone, Copy)]
enum Begin {
    /// Normal with mean 0 and variance 2 / inputs of a value (He et al., ICCV 2015).
    Random,
    /// Normal with mean 0 and standard deviation 0.01.
    Small,
    Constant(f32),
}

/// A convolution with a bias: the places of its parts.
#[derive(Clone, Copy)]
struct Plain {
    kernel: usize,
    bias: usize,
    side: usize,
}

/// A convolution, a group normalisation and a rectifier.
#[derive(Clone, Copy)]
struct Normal {
    kernel: usize,
    bias: usize,
    scale: usize,
    shift: usize,
    stride: usize,
    groups: usize,
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
    stem: Normal,
    stages: Vec<Stage>,
    laterals: Vec<Plain>,
    smooth: Vec<Normal>,
    tower: Vec<Normal>,
    class: Plain,
    sides: Plain,
    image: Plain,
}

/// What the network gives for a batch; all `f32`.
pub struct Outputs {
    /// For each of [`STRIDES`]: batch × height × width × (classes + [`BOX_OUTPUTS`]).
    pub grids: Vec<Tensor>,
    /// Batch × (1 + sections): the logits of "holds something illicit" and of each section.
    pub image: Tensor,
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
        Self { extents, parts: parts.0, stem, stages, laterals, smooth, tower, class, sides, image }
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

    /// Whether weight decay applies to each weight: to kernels, and not to biases, scales and shifts.
    pub fn decays(&self) -> impl Iterator<Item = bool> {
        self.parts.iter().flat_map(|part| std::iter::repeat_n(part.shape.len() > 1, part.size()))
    }

    /// The flat weights as tensors.
    ///
    /// # Errors
    /// When there are not [`Network::size`] weights.
    pub fn variables(&self, weights: &[f32], device: &Device) -> Result<Vec<Var>> {
        if weights.len() != self.size() {
            bail!("a network of {} weights was given {}", self.size(), weights.len());
        }
        let mut rest = weights;
        let mut variable = |part: &Part| {
            let (values, after) = rest.split_at(part.size());
            rest = after;
            Var::from_slice(values, part.shape.as_slice(), device)
        };
        self.parts.iter().map(&mut variable).collect()
    }

    /// Computes a batch of images, batch × height × width × [`INPUTS`]; height and width are multiples of 32.
    ///
    /// # Errors
    /// Those of candle.
    pub fn forward(&self, variables: &[Var], images: &Tensor) -> Result<Outputs> {
        let pass = Pass(variables);
        let mut values = pass.normal(self.stem, images)?;
        let mut scales = Vec::new();
        for stage in &self.stages {
            let down = pass.normal(stage.down, &values)?;
            let added = pass.normal(stage.second, &pass.normal(stage.first, &down)?)?;
            values = (down + added)?;
            scales.push(values.clone());
        }
        let whole = pass.image(self.image, &values)?;

        // From the coarsest grid to the finest: each adds the one above it.
        let mut above: Option<Tensor> = None;
        let mut grids = Vec::new();
        for (place, values) in scales.iter().skip(1).enumerate().rev() {
            let lateral = pass.plain(self.laterals[place], values)?;
            let sum = match above {
                Some(above) => (lateral + double(&above)?)?,
                None => lateral,
            };
            let mut tower = pass.normal(self.smooth[place], &sum)?;
            for layer in &self.tower {
                tower = pass.normal(*layer, &tower)?;
            }
            let (class, sides) = (pass.plain(self.class, &tower)?, pass.plain(self.sides, &tower)?);
            grids.push(Tensor::cat(&[class, sides], 3)?);
            above = Some(sum);
        }
        grids.reverse();
        Ok(Outputs { grids, image: whole })
    }
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

/// One pass over the layers.
struct Pass<'a>(&'a [Var]);

impl Pass<'_> {
    fn plain(&self, layer: Plain, values: &Tensor) -> Result<Tensor> {
        let convolution = Convolution { stride: 1, padding: layer.side / 2, activation: Activation::None };
        convolve(values, &self.0[layer.kernel], &self.0[layer.bias], convolution)
    }

    fn normal(&self, layer: Normal, values: &Tensor) -> Result<Tensor> {
        let convolution = Convolution { stride: layer.stride, padding: 1, activation: Activation::None };
        let values = convolve(values, &self.0[layer.kernel], &self.0[layer.bias], convolution)?;
        normalise(&values, &self.0[layer.scale], &self.0[layer.shift], layer.groups)
    }

    /// Logits of the image as a whole: of the mean and the largest value of each channel.
    fn image(&self, layer: Plain, values: &Tensor) -> Result<Tensor> {
        let (batch, height, width, channels) = values.dims4()?;
        let flat = values.reshape((batch, height * width, channels))?;
        let pooled = Tensor::cat(&[flat.mean(1)?, flat.max(1)?], 1)?;
        let logits = self.plain(layer, &pooled.reshape((batch, 1, 1, 2 * channels))?)?;
        logits.flatten_from(1)
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
        let variables = network.variables(&weights, &Device::Cpu).expect("tensors");
        let pixels: Vec<f32> = numbers(64 * 32 * 3, 0, 0.5).into_iter().map(|value| value + 0.5).collect();
        let images = Tensor::from_vec(pixels, (1, 64, 32, 3), &Device::Cpu).expect("an image");
        let outputs = network.forward(&variables, &images).expect("computes");

        let flat =
            |tensor: &Tensor| tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).expect("numbers");
        for (own, expected) in flat(&outputs.image).into_iter().zip(listed(&stored["image"])) {
            near(own, expected, 1.0, "image");
        }
        for (grid, expected) in outputs.grids.iter().zip(stored["grids"].as_array().expect("grids")) {
            for (own, expected) in flat(grid).into_iter().zip(listed(expected)) {
                near(own, expected, 1.0, "grid");
            }
        }

        let weighted = |tensor: &Tensor| {
            let factors = numbers(tensor.elem_count(), 0, 1.0);
            let factors = Tensor::from_vec(factors, tensor.shape(), &Device::Cpu)?;
            (tensor * factors)?.sum_all()
        };
        let mut sum = weighted(&outputs.image).expect("computes");
        for grid in &outputs.grids {
            sum = (sum + weighted(grid).expect("computes")).expect("computes");
        }
        let gradients = sum.backward().expect("computes");
        let (norms, firsts) = (listed(&stored["norms"]), listed(&stored["firsts"]));
        for (place, variable) in variables.iter().enumerate() {
            let gradient = flat(gradients.get(variable).expect("a gradient"));
            let norm = gradient.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            // The bias before a normalisation has no gradient but that of rounding, where each group is one channel's.
            let scale = norms[place].max(0.1);
            near(norm as f32, norms[place], scale, &format!("norm of part {place}"));
            near(gradient[0], firsts[place], scale, &format!("first of part {place}"));
        }
    }
}
