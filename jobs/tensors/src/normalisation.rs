//! Group normalisation of channels-last images, with a scale and a shift for each channel and a rectifier.
//!
//! Source: Wu and He, "Group Normalization", ECCV 2018. An image's result does not depend on the others of its batch,
//! so a network trained with it is the same for any division of the images into shards. Start at [`normalise`].

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::values::{Values, add_in_order, values};

/// Added to the variance, as PyTorch does by default.
const EPSILON: f64 = 1e-5;

/// Brings each group of channels of each image to mean 0 and variance 1, then scales and shifts each channel and applies
/// max(0, x). `images` is n × height × width × channels, `scale` and `shift` are of one value a channel; all are `f32`.
/// Differentiable in all three.
///
/// # Errors
/// When the number of groups does not divide the channels, or scale and shift do not fit them.
pub fn normalise(images: &Tensor, scale: &Tensor, shift: &Tensor, groups: usize) -> Result<Tensor> {
    let normalisation = Normalisation { groups };
    if images.device().is_cuda() {
        return normalisation.on_gpu(images, scale, shift);
    }
    images.contiguous()?.apply_op3(&scale.contiguous()?, &shift.contiguous()?, normalisation)
}

struct Normalisation {
    groups: usize,
}

/// Images × pixels × channels, and the channels of a group.
#[derive(Clone, Copy)]
struct Extents {
    images: usize,
    pixels: usize,
    channels: usize,
    width: usize,
}

/// Mean and 1 / standard deviation of one group of one image.
#[derive(Clone, Copy)]
struct Moments {
    mean: f64,
    inverse: f64,
}

impl Normalisation {
    fn extents(&self, images: &[usize], scale: &[usize], shift: &[usize]) -> Result<Extents> {
        let &[images, height, width, channels] = images else {
            bail!("images have four dimensions, not {images:?}");
        };
        if self.groups == 0 || channels % self.groups != 0 || scale != [channels] || shift != [channels] {
            bail!("{channels} channels, {} groups, scale {scale:?} and shift {shift:?}", self.groups);
        }
        if images * height * width * channels == 0 {
            bail!("images of {height} × {width} × {channels} hold no value");
        }
        Ok(Extents { images, pixels: height * width, channels, width: channels / self.groups })
    }

    fn on_gpu(&self, images: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
        let extents = self.extents(images.dims(), scale.dims(), shift.dims())?;
        let shape = (extents.images, extents.pixels, self.groups, extents.width);
        let grouped = images.reshape(shape)?;
        let centred = grouped.broadcast_sub(&grouped.mean_keepdim((1, 3))?)?;
        let variance = centred.sqr()?.mean_keepdim((1, 3))?;
        let normal = centred.broadcast_div(&(variance + EPSILON)?.sqrt()?)?;
        normal.reshape(images.shape())?.broadcast_mul(scale)?.broadcast_add(shift)?.relu()
    }
}

/// Sums over pixels for each channel: of the values `f` gives for (pixel's values, channel). Rows of pixels are summed
/// in `f32`, the rows' sums in `f64`.
fn sums<const N: usize>(
    pixels: usize,
    channels: usize,
    add: impl Fn(usize, &mut [Vec<f32>; N]),
) -> [Vec<f64>; N] {
    const BLOCK: usize = 64;
    let mut total: [Vec<f64>; N] = std::array::from_fn(|_| vec![0.0; channels]);
    let mut block: [Vec<f32>; N] = std::array::from_fn(|_| vec![0.0; channels]);
    for from in (0..pixels).step_by(BLOCK) {
        block.iter_mut().for_each(|sums| sums.fill(0.0));
        (from..pixels.min(from + BLOCK)).for_each(|pixel| add(pixel, &mut block));
        for (total, block) in total.iter_mut().zip(&block) {
            total.iter_mut().zip(block).for_each(|(total, sum)| *total += f64::from(*sum));
        }
    }
    total
}

/// The moments of each group of one image.
fn moments(extents: Extents, image: &[f32]) -> Vec<Moments> {
    let Extents { pixels, channels, width, .. } = extents;
    let [plain, squares] = sums(pixels, channels, |pixel, [plain, squares]| {
        let values = &image[pixel * channels..][..channels];
        for ((value, plain), square) in values.iter().zip(plain).zip(squares) {
            *plain += value;
            *square += value * value;
        }
    });
    let count = (pixels * width) as f64;
    let groups = plain.chunks(width).zip(squares.chunks(width));
    let group = |(plain, squares): (&[f64], &[f64])| {
        let mean = plain.iter().sum::<f64>() / count;
        let variance = (squares.iter().sum::<f64>() / count - mean * mean).max(0.0);
        Moments { mean, inverse: (variance + EPSILON).sqrt().recip() }
    };
    groups.map(group).collect()
}

/// Normalised images on slices.
fn forward(extents: Extents, images: &[f32], scale: &[f32], shift: &[f32]) -> Vec<f32> {
    let size = extents.pixels * extents.channels;
    let mut out = vec![0.0; images.len()];
    out.par_chunks_mut(size).zip(images.par_chunks(size)).for_each(|(out, image)| {
        let moments = moments(extents, image);
        let (factors, offsets): (Vec<f32>, Vec<f32>) = (0..extents.channels)
            .map(|channel| {
                let Moments { mean, inverse } = moments[channel / extents.width];
                let factor = f64::from(scale[channel]) * inverse;
                (factor as f32, (f64::from(shift[channel]) - mean * factor) as f32)
            })
            .unzip();
        let pixels = out.chunks_exact_mut(extents.channels).zip(image.chunks_exact(extents.channels));
        for (out, values) in pixels {
            for (((out, value), factor), offset) in out.iter_mut().zip(values).zip(&factors).zip(&offsets) {
                *out = (value * factor + offset).max(0.0);
            }
        }
    });
    out
}

/// The gradients of images, scale and shift on slices, given the output's.
fn backward(
    extents: Extents,
    images: &[f32],
    scale: &[f32],
    after: &[f32],
    gradient: &[f32],
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let size = extents.pixels * extents.channels;
    let mut of_images = vec![0.0; images.len()];
    let all = of_images.par_chunks_mut(size).zip(images.par_chunks(size));
    let all = all.zip(after.par_chunks(size)).zip(gradient.par_chunks(size));
    let (of_scale, of_shift): (Vec<_>, Vec<_>) = all
        .map(|(((target, image), after), gradient)| {
            image_backward(extents, scale, image, after, gradient, target)
        })
        .unzip();
    (of_images, add_in_order(of_scale, extents.channels), add_in_order(of_shift, extents.channels))
}

/// Images with their dimensions, and the scale and the shift of their channels.
#[derive(Clone, Copy)]
pub(crate) struct Slices<'a> {
    pub(crate) dimensions: [usize; 4],
    pub(crate) images: &'a [f32],
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) groups: usize,
}

impl Slices<'_> {
    fn extents(&self) -> Result<Extents> {
        let normalisation = Normalisation { groups: self.groups };
        normalisation.extents(&self.dimensions, &[self.scale.len()], &[self.shift.len()])
    }

    /// As [`normalise`].
    pub(crate) fn normalised(&self) -> Result<Vec<f32>> {
        Ok(forward(self.extents()?, self.images, self.scale, self.shift))
    }

    /// The gradients of images, scale and shift, given the output and its gradient.
    pub(crate) fn gradients(
        &self,
        after: &[f32],
        gradient: &[f32],
    ) -> Result<(Vec<f32>, Vec<f32>, Vec<f32>)> {
        Ok(backward(self.extents()?, self.images, self.scale, after, gradient))
    }
}

impl CustomOp3 for Normalisation {
    fn name(&self) -> &'static str {
        "group-normalisation"
    }

    fn cpu_fwd(
        &self,
        images: &CpuStorage,
        images_layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
        shift: &CpuStorage,
        shift_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let extents = self.extents(images_layout.dims(), scale_layout.dims(), shift_layout.dims())?;
        let (images, scale) = (values(images, images_layout)?, values(scale, scale_layout)?);
        let out = forward(extents, images, scale, values(shift, shift_layout)?);
        Ok((CpuStorage::F32(out), images_layout.shape().clone()))
    }

    fn bwd(
        &self,
        images: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        out: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let extents = self.extents(images.dims(), scale.dims(), shift.dims())?;
        let gradient = gradient.contiguous()?;
        let (values, weights) = (Values::of(images)?, Values::of(scale)?);
        let (after, gradients) = (Values::of(out)?, Values::of(&gradient)?);
        let (of_images, of_scale, of_shift) = backward(extents, &values, &weights, &after, &gradients);
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device()).map(Some);
        Ok((tensor(of_images, images)?, tensor(of_scale, scale)?, tensor(of_shift, shift)?))
    }
}

/// Writes the gradient of one image to `target`; gives those of scale and shift.
///
/// With x̂ = (x − mean) · inverse and dŷ = gradient · scale, the gradient of x is
/// inverse · (dŷ − mean(dŷ) − x̂ · mean(dŷ · x̂)), the means over the group: a · gradient + b · x + c.
fn image_backward(
    extents: Extents,
    scale: &[f32],
    image: &[f32],
    after: &[f32],
    gradient: &[f32],
    target: &mut [f32],
) -> (Vec<f32>, Vec<f32>) {
    let Extents { pixels, channels, width, .. } = extents;
    let moments = moments(extents, image);
    let [plain, weighted] = sums(pixels, channels, |pixel, [plain, weighted]| {
        let range = pixel * channels..(pixel + 1) * channels;
        let values = image[range.clone()].iter().zip(&after[range.clone()]).zip(&gradient[range]);
        for (((value, after), gradient), (plain, weighted)) in values.zip(plain.iter_mut().zip(weighted)) {
            let gradient = if *after > 0.0 { *gradient } else { 0.0 };
            *plain += gradient;
            *weighted += gradient * value;
        }
    });
    let of_scale: Vec<f64> = (0..channels)
        .map(|channel| {
            let Moments { mean, inverse } = moments[channel / width];
            (weighted[channel] - mean * plain[channel]) * inverse
        })
        .collect();
    let count = (pixels * width) as f64;
    let terms: Vec<(f32, f32, f32)> = (0..channels)
        .map(|channel| {
            let group = channel / width * width..(channel / width + 1) * width;
            let Moments { mean, inverse } = moments[channel / width];
            let mean_of = |sums: &[f64]| {
                group.clone().map(|channel| f64::from(scale[channel]) * sums[channel]).sum::<f64>() / count
            };
            let (first, second) = (mean_of(&plain), mean_of(&of_scale));
            let slope = -inverse * inverse * second;
            (
                (f64::from(scale[channel]) * inverse) as f32,
                slope as f32,
                (-inverse * first - slope * mean) as f32,
            )
        })
        .collect();
    for (pixel, target) in target.chunks_exact_mut(channels).enumerate() {
        let range = pixel * channels..(pixel + 1) * channels;
        let values = image[range.clone()].iter().zip(&after[range.clone()]).zip(&gradient[range]);
        for ((target, ((value, after), gradient)), (a, b, c)) in target.iter_mut().zip(values).zip(&terms) {
            let gradient = if *after > 0.0 { *gradient } else { 0.0 };
            *target = a * gradient + b * value + c;
        }
    }
    (
        of_scale.into_iter().map(|value| value as f32).collect(),
        plain.into_iter().map(|value| value as f32).collect(),
    )
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    fn wave(count: usize, step: f32) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * step).sin() * 2.0 + 0.3).collect()
    }

    #[test]
    fn values_and_gradients_are_those_of_the_formula() {
        let (n, side, channels, groups) = (3, 5, 8, 4);
        let images =
            Tensor::from_vec(wave(n * side * side * channels, 0.37), (n, side, side, channels), &Device::Cpu);
        let images = Var::from_tensor(&images.expect("images")).expect("images");
        let scale = Var::new(wave(channels, 0.9), &Device::Cpu).expect("scale");
        let shift = Var::new(wave(channels, 1.7), &Device::Cpu).expect("shift");
        let weights = Tensor::from_vec(wave(n * side * side * channels, 0.11), images.shape(), &Device::Cpu)
            .expect("w");
        let ours = normalise(&images, &scale, &shift, groups).expect("ours");
        let theirs = Normalisation { groups }.on_gpu(&images, &scale, &shift).expect("theirs");
        let backward =
            |out: &Tensor| (out * &weights).and_then(|loss| loss.sum_all()?.backward()).expect("gradients");
        let (our_gradients, their_gradients) = (backward(&ours), backward(&theirs));
        let distance = |a: &Tensor, b: &Tensor| {
            (a - b).and_then(|d| d.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()).expect("a number")
        };
        assert!(distance(&ours, &theirs) < 1e-5);
        for variable in [&images, &scale, &shift] {
            let (ours, theirs) = (our_gradients.get(variable), their_gradients.get(variable));
            assert!(distance(ours.expect("ours"), theirs.expect("theirs")) < 1e-4, "{:?}", variable.dims());
        }
    }

    #[test]
    fn two_values_by_hand() {
        // Mean 3, variance 4: (1 − 3) / 2 = −1 and (5 − 3) / 2 = 1; times 2, plus 1, rectified: 0 and 3.
        let images = Tensor::new(&[[[[1f32], [5.0]]]], &Device::Cpu).expect("images");
        let scale = Tensor::new(&[2f32], &Device::Cpu).expect("scale");
        let shift = Tensor::new(&[1f32], &Device::Cpu).expect("shift");
        let out = normalise(&images, &scale, &shift, 1).and_then(|out| out.flatten_all()?.to_vec1::<f32>());
        let out = out.expect("numbers");
        assert!(out[0].abs() < 1e-6 && (out[1] - 3.0).abs() < 1e-4, "{out:?}");
        assert!(normalise(&images, &scale, &shift, 2).is_err(), "two groups of one channel");
    }
}
