//! Doubling the sides of channels-last images: each pixel becomes four. Start at [`double`].

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::values::{Values, values};

/// Repeats every pixel of `images` (n × height × width × channels, `f32`) twice in both directions; differentiable.
///
/// # Errors
/// When the images do not have four dimensions.
pub fn double(images: &Tensor) -> Result<Tensor> {
    if images.device().is_cuda() {
        let (n, height, width, channels) = images.dims4()?;
        let spread = images.reshape((n, height, 1, width, 1, channels))?;
        return spread.broadcast_as((n, height, 2, width, 2, channels))?.reshape((
            n,
            2 * height,
            2 * width,
            channels,
        ));
    }
    images.contiguous()?.apply_op1(Doubling)
}

struct Doubling;

/// Images of `width` pixels and `channels` with every pixel repeated twice in both directions.
pub(crate) fn doubled(images: &[f32], (width, channels): (usize, usize)) -> Vec<f32> {
    let row = width * channels;
    let mut out = vec![0.0; images.len() * 4];
    out.par_chunks_mut(4 * row).zip(images.par_chunks(row)).for_each(|(out, source)| {
        let (first, second) = out.split_at_mut(2 * row);
        let pairs = first.chunks_exact_mut(2 * channels).zip(source.chunks_exact(channels));
        for (pair, pixel) in pairs {
            pair[..channels].copy_from_slice(pixel);
            pair[channels..].copy_from_slice(pixel);
        }
        second.copy_from_slice(first);
    });
    out
}

/// The gradient of images of `width` pixels and `channels`, given that of the doubled ones.
pub(crate) fn gradient_of_doubled(gradient: &[f32], (width, channels): (usize, usize)) -> Vec<f32> {
    let row = width * channels;
    let mut out = vec![0.0; gradient.len() / 4];
    out.par_chunks_mut(row).zip(gradient.par_chunks(4 * row)).for_each(|(out, gradient)| {
        for (place, out) in out.iter_mut().enumerate() {
            let (pixel, channel) = (place / channels, place % channels);
            let first = 2 * pixel * channels + channel;
            *out = gradient[first]
                + gradient[first + channels]
                + gradient[2 * row + first]
                + gradient[2 * row + first + channels];
        }
    });
    out
}

fn dimensions(dimensions: &[usize]) -> Result<[usize; 4]> {
    match dimensions {
        &[n, height, width, channels] if n * height * width * channels > 0 => {
            Ok([n, height, width, channels])
        }
        _ => bail!("images of {dimensions:?} cannot be doubled"),
    }
}

impl CustomOp1 for Doubling {
    fn name(&self) -> &'static str {
        "doubling"
    }

    fn cpu_fwd(&self, images: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let [n, height, width, channels] = dimensions(layout.dims())?;
        let out = doubled(values(images, layout)?, (width, channels));
        Ok((CpuStorage::F32(out), (n, 2 * height, 2 * width, channels).into()))
    }

    fn bwd(&self, images: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let [_, _, width, channels] = dimensions(images.dims())?;
        let gradient = gradient.contiguous()?;
        let gradient = Values::of(&gradient)?;
        let out = gradient_of_doubled(&gradient, (width, channels));
        Tensor::from_vec(out, images.shape(), images.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn each_pixel_becomes_four_whose_gradients_are_added() {
        let images =
            Tensor::arange(0f32, 4.0, &Device::Cpu).and_then(|t| t.reshape((1, 1, 2, 2))).expect("images");
        let images = Var::from_tensor(&images).expect("images");
        let out = double(&images).expect("doubled");
        let numbers =
            |tensor: &Tensor| tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).expect("numbers");
        assert_eq!(out.dims(), [1, 2, 4, 2]);
        let row = [0.0, 1.0, 0.0, 1.0, 2.0, 3.0, 2.0, 3.0];
        assert_eq!(numbers(&out), [row, row].concat());
        let weights =
            Tensor::arange(0f32, 16.0, &Device::Cpu).and_then(|t| t.reshape((1, 2, 4, 2))).expect("weights");
        let gradients = (&out * &weights).and_then(|loss| loss.sum_all()?.backward()).expect("gradients");
        assert_eq!(numbers(gradients.get(&images).expect("a gradient")), [20.0, 24.0, 36.0, 40.0]);
    }
}
