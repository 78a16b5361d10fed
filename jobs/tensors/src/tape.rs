//! The layers of a network on images, computed on the processor and remembered, and the gradient of its weights.
//!
//! A list of layers in the order in which they were computed (a Wengert list; see Griewank and Walther, "Evaluating
//! Derivatives", 2008). It takes the place of candle's graph where a network is trained on processors: candle adds every
//! gradient to a tensor of zeros, by threads that wait for each other without sleeping, which on a busy machine takes longer
//! than the products of matrices. The same bytes come out for any number of threads. Start at [`Tape::new`].

use candle_core::{Result, bail};
use rayon::prelude::*;

use crate::{
    convolution::{Activation, Convolution, Gradients, Slice},
    normalisation::Slices,
    upsampling::{doubled, gradient_of_doubled},
};

/// Values that one thread adds at a time.
const CHUNK: usize = 1 << 14;

/// A convolution with a bias and half of its side as padding; `kernel` (side × side × inputs × outputs) and `bias` are
/// where its weights begin among the flat ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// Where the kernel begins.
    pub kernel: usize,
    /// Where the bias begins.
    pub bias: usize,
    /// Pixels of the kernel's side.
    pub side: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Pixels from one place of the kernel to the next.
    pub stride: usize,
}

/// A group normalisation with a rectifier; `scale` and `shift` are where its weights begin among the flat ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Norm {
    /// Where the scale begins.
    pub scale: usize,
    /// Where the shift begins.
    pub shift: usize,
    /// Groups of channels.
    pub groups: usize,
}

/// A layer's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(usize);

/// How a layer's output came about.
enum Origin {
    Images,
    Filtered { from: Place, filter: Filter },
    Normalised { from: Place, norm: Norm },
    Sum(Place, Place),
    Doubled(Place),
    Joined(Place, Place),
    Pooled { from: Place, largest: Vec<usize> },
}

struct Layer {
    /// Images × height × width × channels.
    dimensions: [usize; 4],
    values: Vec<f32>,
    origin: Origin,
}

/// The layers that were computed.
pub struct Tape<'a> {
    weights: &'a [f32],
    layers: Vec<Layer>,
}

impl<'a> Tape<'a> {
    /// A tape without layers, of a network with these flat weights.
    pub fn new(weights: &'a [f32]) -> Self {
        Self { weights, layers: Vec::new() }
    }

    /// Adds images, n × height × width × channels.
    ///
    /// # Errors
    /// When there are more or fewer values.
    pub fn images(&mut self, dimensions: [usize; 4], values: Vec<f32>) -> Result<Place> {
        if values.is_empty() || values.len() != dimensions.iter().product::<usize>() {
            bail!("{} values are no images of {dimensions:?}", values.len());
        }
        Ok(self.push(dimensions, values, Origin::Images))
    }

    /// Adds a convolution.
    ///
    /// # Errors
    /// When it does not fit its input.
    pub fn filtered(&mut self, from: Place, filter: Filter) -> Result<Place> {
        let Layer { dimensions, values, .. } = &self.layers[from.0];
        let (kernel, bias) = filter.weights(self.weights, dimensions[3])?;
        let (dimensions, values) = filter.convolution().of_slices((*dimensions, values), kernel, bias)?;
        Ok(self.push(dimensions, values, Origin::Filtered { from, filter }))
    }

    /// Adds a normalisation.
    ///
    /// # Errors
    /// When it does not fit its input.
    pub fn normalised(&mut self, from: Place, norm: Norm) -> Result<Place> {
        let layer = &self.layers[from.0];
        let (dimensions, values) = (layer.dimensions, norm.slices(self.weights, layer)?.normalised()?);
        Ok(self.push(dimensions, values, Origin::Normalised { from, norm }))
    }

    /// Adds the sum of two outputs.
    ///
    /// # Errors
    /// When their shapes differ.
    pub fn sum(&mut self, a: Place, b: Place) -> Result<Place> {
        let (first, second) = (&self.layers[a.0], &self.layers[b.0]);
        if first.dimensions != second.dimensions {
            bail!("outputs of {:?} and {:?} cannot be added", first.dimensions, second.dimensions);
        }
        let (dimensions, mut values) = (first.dimensions, first.values.clone());
        add(&mut values, &second.values);
        Ok(self.push(dimensions, values, Origin::Sum(a, b)))
    }

    /// Adds an output with every pixel repeated twice in both directions.
    pub fn doubled(&mut self, from: Place) -> Place {
        let Layer { dimensions: [images, height, width, channels], values, .. } = &self.layers[from.0];
        let dimensions = [*images, 2 * height, 2 * width, *channels];
        let values = doubled(values, (*width, *channels));
        self.push(dimensions, values, Origin::Doubled(from))
    }

    /// Adds the channels of two outputs, one after the other.
    ///
    /// # Errors
    /// When their pixels differ.
    pub fn joined(&mut self, a: Place, b: Place) -> Result<Place> {
        let (first, second) = (&self.layers[a.0], &self.layers[b.0]);
        let ([images, height, width, one], [.., two]) = (first.dimensions, second.dimensions);
        if second.dimensions != [images, height, width, two] {
            bail!("outputs of {:?} and {:?} cannot be joined", first.dimensions, second.dimensions);
        }
        let pixels = first.values.chunks_exact(one).zip(second.values.chunks_exact(two));
        let values = pixels.flat_map(|(one, two)| one.iter().chain(two)).copied().collect();
        Ok(self.push([images, height, width, one + two], values, Origin::Joined(a, b)))
    }

    /// Adds one pixel for each image: of each channel the mean, then of each channel the largest value.
    pub fn pooled(&mut self, from: Place) -> Place {
        let Layer { dimensions: [images, height, width, channels], values, .. } = &self.layers[from.0];
        let (images, pixels, channels) = (*images, height * width, *channels);
        let mut out = Vec::with_capacity(2 * images * channels);
        let mut largest = Vec::with_capacity(images * channels);
        for image in values.chunks_exact(pixels * channels) {
            let of_channel = |channel: usize| image.iter().skip(channel).step_by(channels);
            out.extend((0..channels).map(|channel| of_channel(channel).sum::<f32>() / pixels as f32));
            for channel in 0..channels {
                let mut first = (0, f32::NEG_INFINITY);
                for (place, value) in of_channel(channel).enumerate() {
                    if *value > first.1 {
                        first = (place, *value);
                    }
                }
                largest.push(first.0);
                out.push(first.1);
            }
        }
        self.push([images, 1, 1, 2 * channels], out, Origin::Pooled { from, largest })
    }

    /// The values of an output.
    pub fn values(&self, place: Place) -> &[f32] {
        &self.layers[place.0].values
    }

    /// The gradient of the flat weights, given that of some outputs.
    ///
    /// # Errors
    /// When a gradient does not have its output's number of values.
    pub fn gradient(self, of_outputs: Vec<(Place, Vec<f32>)>) -> Result<Vec<f32>> {
        let Self { weights, mut layers } = self;
        let mut gradients =
            Sums { of_layers: vec![None; layers.len()], of_weights: vec![0.0; weights.len()] };
        for (place, gradient) in of_outputs {
            if gradient.len() != layers[place.0].values.len() {
                bail!("a gradient of {} values for {:?}", gradient.len(), layers[place.0].dimensions);
            }
            gradients.add(place, gradient);
        }
        while let Some(layer) = layers.pop() {
            if let Some(gradient) = gradients.of_layers.pop().flatten() {
                backward(weights, &layers, layer, gradient, &mut gradients)?;
            }
        }
        Ok(gradients.of_weights)
    }

    fn push(&mut self, dimensions: [usize; 4], values: Vec<f32>, origin: Origin) -> Place {
        self.layers.push(Layer { dimensions, values, origin });
        Place(self.layers.len() - 1)
    }
}

impl Filter {
    fn convolution(&self) -> Convolution {
        Convolution { stride: self.stride, padding: self.side / 2, activation: Activation::None }
    }

    /// Kernel and bias for so many channels of the input.
    fn weights<'a>(&self, weights: &'a [f32], inputs: usize) -> Result<(Slice<'a>, &'a [f32])> {
        let dimensions = [self.side, self.side, inputs, self.outputs];
        let kernel = part(weights, self.kernel, dimensions.iter().product())?;
        Ok(((dimensions, kernel), part(weights, self.bias, self.outputs)?))
    }
}

impl Norm {
    fn slices<'a>(&self, weights: &'a [f32], layer: &'a Layer) -> Result<Slices<'a>> {
        let channels = layer.dimensions[3];
        Ok(Slices {
            dimensions: layer.dimensions,
            images: &layer.values,
            scale: part(weights, self.scale, channels)?,
            shift: part(weights, self.shift, channels)?,
            groups: self.groups,
        })
    }
}

/// Some of the flat weights.
fn part(weights: &[f32], begin: usize, length: usize) -> Result<&[f32]> {
    match weights.get(begin..begin + length) {
        Some(part) => Ok(part),
        None => bail!("a network of {} weights has none from {begin} to {}", weights.len(), begin + length),
    }
}

/// Gradients that are summed up.
struct Sums {
    of_layers: Vec<Option<Vec<f32>>>,
    of_weights: Vec<f32>,
}

impl Sums {
    fn add(&mut self, place: Place, gradient: Vec<f32>) {
        match &mut self.of_layers[place.0] {
            Some(sum) => add(sum, &gradient),
            none => *none = Some(gradient),
        }
    }

    fn add_weights(&mut self, begin: usize, gradient: &[f32]) {
        let sums = self.of_weights[begin..begin + gradient.len()].iter_mut();
        sums.zip(gradient).for_each(|(sum, value)| *sum += value);
    }
}

fn add(sum: &mut [f32], values: &[f32]) {
    sum.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(sum, values)| {
        sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    });
}

/// Passes the gradient of a layer's output on to its weights and to the layers before it.
fn backward(
    weights: &[f32],
    before: &[Layer],
    layer: Layer,
    gradient: Vec<f32>,
    sums: &mut Sums,
) -> Result<()> {
    match layer.origin {
        Origin::Images => {}
        Origin::Filtered { from, filter } => {
            let Layer { dimensions, values, origin } = &before[from.0];
            let (kernel, _) = filter.weights(weights, dimensions[3])?;
            let needs_images = !matches!(origin, Origin::Images);
            let convolution = filter.convolution();
            let Gradients { images, kernel, bias } =
                convolution.gradients_of_slices((*dimensions, values), kernel, &gradient, needs_images)?;
            sums.add_weights(filter.kernel, &kernel);
            sums.add_weights(filter.bias, &bias);
            if let Some(images) = images {
                sums.add(from, images);
            }
        }
        Origin::Normalised { from, norm } => {
            let slices = norm.slices(weights, &before[from.0])?;
            let (images, scale, shift) = slices.gradients(&layer.values, &gradient)?;
            sums.add_weights(norm.scale, &scale);
            sums.add_weights(norm.shift, &shift);
            sums.add(from, images);
        }
        Origin::Sum(a, b) => {
            sums.add(a, gradient.clone());
            sums.add(b, gradient);
        }
        Origin::Doubled(from) => {
            let [.., width, channels] = before[from.0].dimensions;
            sums.add(from, gradient_of_doubled(&gradient, (width, channels)));
        }
        Origin::Joined(a, b) => {
            let first = before[a.0].dimensions[3];
            let of_pixels = || gradient.chunks_exact(layer.dimensions[3]).map(|pixel| pixel.split_at(first));
            sums.add(a, of_pixels().flat_map(|pixel| pixel.0).copied().collect());
            sums.add(b, of_pixels().flat_map(|pixel| pixel.1).copied().collect());
        }
        Origin::Pooled { from, largest } => {
            let [_, height, width, channels] = before[from.0].dimensions;
            let pixels = height * width;
            let mut images = vec![0.0; before[from.0].values.len()];
            let all = images.chunks_exact_mut(pixels * channels).zip(gradient.chunks_exact(2 * channels));
            for ((image, gradient), largest) in all.zip(largest.chunks_exact(channels)) {
                let (means, most) = gradient.split_at(channels);
                for pixel in image.chunks_exact_mut(channels) {
                    pixel.iter_mut().zip(means).for_each(|(value, mean)| *value = mean / pixels as f32);
                }
                for (channel, (place, gradient)) in largest.iter().zip(most).enumerate() {
                    image[place * channels + channel] += gradient;
                }
            }
            sums.add(from, images);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(count: usize, step: f32) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * step).sin() + 0.1).collect()
    }

    /// A small network of every layer, and the sum of its outputs times waves.
    fn computed(weights: &[f32]) -> (f64, Vec<f32>) {
        let mut tape = Tape::new(weights);
        let filter = |kernel, bias, outputs, stride| Filter { kernel, bias, side: 3, outputs, stride };
        let norm = |scale, shift| Norm { scale, shift, groups: 2 };
        let images = tape.images([2, 8, 8, 1], wave(128, 0.7)).expect("images");
        let first = tape.filtered(images, filter(0, 36, 4, 1)).expect("fits");
        let first = tape.normalised(first, norm(40, 44)).expect("fits");
        let second = tape.filtered(first, filter(48, 192, 4, 2)).expect("fits");
        let second = tape.normalised(second, norm(196, 200)).expect("fits");
        let above = tape.doubled(second);
        let sum = tape.sum(above, first).expect("fits");
        let joined = tape.joined(sum, first).expect("fits");
        let pooled = tape.pooled(second);
        let outputs = [joined, pooled].map(|place| {
            let factors = wave(tape.values(place).len(), 0.3);
            (place, factors)
        });
        let value = outputs.iter().map(|(place, factors)| {
            let products = tape.values(*place).iter().zip(factors);
            products.map(|(value, factor)| f64::from(value * factor)).sum::<f64>()
        });
        (value.sum(), tape.gradient(outputs.into()).expect("fits"))
    }

    #[test]
    fn the_gradient_is_that_of_differences() {
        let weights = wave(204, 1.9);
        let (_, gradient) = computed(&weights);
        for place in (0..weights.len()).step_by(5) {
            let moved = |by: f32| {
                let mut moved = weights.clone();
                moved[place] += by;
                computed(&moved).0
            };
            let difference = (moved(1e-3) - moved(-1e-3)) / 2e-3;
            let error = (f64::from(gradient[place]) - difference).abs();
            assert!(error < 2e-2 * difference.abs().max(1.0), "{place}: {} by {difference}", gradient[place]);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let weights = wave(40, 1.0);
        let mut tape = Tape::new(&weights);
        assert!(tape.images([1, 2, 2, 1], vec![0.0; 3]).is_err());
        let images = tape.images([1, 4, 4, 1], vec![0.5; 16]).expect("images");
        let filter = Filter { kernel: 0, bias: 36, side: 3, outputs: 4, stride: 2 };
        let half = tape.filtered(images, filter).expect("fits");
        assert!(tape.filtered(images, Filter { kernel: 10, ..filter }).is_err(), "too few weights");
        assert!(tape.sum(images, half).is_err() && tape.joined(images, half).is_err());
        assert!(tape.normalised(half, Norm { scale: 0, shift: 4, groups: 3 }).is_err());
        assert!(tape.gradient(vec![(half, vec![0.0; 3])]).is_err());
    }
}
