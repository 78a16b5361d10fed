//! The convolution itself on the processor: tiles of output rows, one product each.

use rayon::prelude::*;

use super::shape::{Activation, Shape};
use crate::product::{Extents, Matrix, multiply};

/// The convolution of images by a kernel of `depth × outputs` weights, plus the bias, under the activation.
pub(super) fn forward(
    shape: &Shape,
    images: &[f32],
    kernel: &[f32],
    bias: Option<&[f32]>,
    activation: Activation,
) -> Vec<f32> {
    let mut out = vec![0.0; shape.images * shape.out_image()];
    let line = shape.out_width() * shape.outputs;
    let rows = shape.tile_rows();
    let tiles = out.par_chunks_mut(shape.out_image()).zip(images.par_chunks(shape.image()));
    tiles.for_each(|(out, image)| {
        out.par_chunks_mut(rows * line).enumerate().for_each_init(Vec::new, |columns, (tile, out)| {
            tile_forward(shape, image, kernel, tile * rows, out, columns);
            finish(out, shape.outputs, bias, activation);
        });
    });
    out
}

/// The output rows from `from` on that `out` has room for.
fn tile_forward(
    shape: &Shape,
    image: &[f32],
    kernel: &[f32],
    from: usize,
    out: &mut [f32],
    columns: &mut Vec<f32>,
) {
    let pixels = out.len() / shape.outputs;
    let rows = pixels / shape.out_width();
    let extents = Extents { m: pixels, n: shape.outputs, k: shape.depth() };
    let begin = from * shape.width * shape.inputs;
    let left = if shape.is_pointwise() {
        &image[begin..begin + pixels * shape.inputs]
    } else {
        columns.resize(pixels * shape.depth(), 0.0);
        shape.columns(image, from, rows, columns);
        columns.as_slice()
    };
    multiply(out, Matrix::rows(left), Matrix::rows(kernel), extents, false);
}

fn finish(out: &mut [f32], outputs: usize, bias: Option<&[f32]>, activation: Activation) {
    if let Some(bias) = bias {
        for pixel in out.chunks_exact_mut(outputs) {
            pixel.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
        }
    }
    if activation == Activation::Relu {
        out.iter_mut().for_each(|value| *value = value.max(0.0));
    }
}
