//! The gradients of a convolution on the processor.
//!
//! Partial sums belong to images, never to threads, and are added in the images' order: the gradients are the same bytes
//! for any number of threads.

use rayon::prelude::*;

use super::{
    forward::forward,
    shape::{Activation, Shape},
};
use crate::{
    product::{Extents, Matrix, multiply},
    values::add_in_order,
};

/// Accumulators of a kernel's gradient at most; images are divided into so many groups.
const GROUPS: usize = 8;

/// The gradient of the kernel, `depth × outputs`, given the output's.
pub(super) fn kernel_gradient(shape: &Shape, images: &[f32], gradient: &[f32]) -> Vec<f32> {
    let group = shape.images.div_ceil(GROUPS).max(1);
    let groups = images.par_chunks(group * shape.image()).zip(gradient.par_chunks(group * shape.out_image()));
    let partial: Vec<Vec<f32>> = groups
        .map(|(images, gradient)| {
            let mut sum = vec![0.0; shape.depth() * shape.outputs];
            let mut columns = Vec::new();
            let images = images.chunks(shape.image()).zip(gradient.chunks(shape.out_image()));
            images.for_each(|(image, gradient)| {
                add_kernel_gradient(shape, image, gradient, &mut sum, &mut columns);
            });
            sum
        })
        .collect();
    add_in_order(partial, shape.depth() * shape.outputs)
}

fn add_kernel_gradient(
    shape: &Shape,
    image: &[f32],
    gradient: &[f32],
    sum: &mut [f32],
    columns: &mut Vec<f32>,
) {
    let rows = shape.tile_rows();
    let line = shape.out_width() * shape.outputs;
    for (tile, gradient) in gradient.chunks(rows * line).enumerate() {
        let pixels = gradient.len() / shape.outputs;
        let begin = tile * rows * shape.width * shape.inputs;
        let columns = if shape.is_pointwise() {
            &image[begin..begin + pixels * shape.inputs]
        } else {
            columns.resize(pixels * shape.depth(), 0.0);
            shape.columns(image, tile * rows, pixels / shape.out_width(), columns);
            columns.as_slice()
        };
        let extents = Extents { m: shape.depth(), n: shape.outputs, k: pixels };
        multiply(sum, Matrix::columns(columns), Matrix::rows(gradient), extents, true);
    }
}

/// The gradient of the bias: the output's, summed over pixels.
pub(super) fn bias_gradient(gradient: &[f32], outputs: usize, images: usize) -> Vec<f32> {
    let partial: Vec<Vec<f32>> = gradient
        .par_chunks(gradient.len() / images)
        .map(|gradient| {
            let mut sum = vec![0.0; outputs];
            for pixel in gradient.chunks_exact(outputs) {
                sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
            }
            sum
        })
        .collect();
    add_in_order(partial, outputs)
}

/// The gradient of the images, given the output's.
pub(super) fn image_gradient(shape: &Shape, gradient: &[f32], kernel: &[f32]) -> Vec<f32> {
    if shape.stride == 1 && shape.padding < shape.kernel {
        return by_convolution(shape, gradient, kernel);
    }
    let mut out = vec![0.0; shape.images * shape.image()];
    let images = out.par_chunks_mut(shape.image()).zip(gradient.par_chunks(shape.out_image()));
    images.for_each_init(Vec::new, |columns, (image, gradient)| {
        let rows = shape.tile_rows();
        let line = shape.out_width() * shape.outputs;
        for (tile, gradient) in gradient.chunks(rows * line).enumerate() {
            let pixels = gradient.len() / shape.outputs;
            columns.resize(pixels * shape.depth(), 0.0);
            let extents = Extents { m: pixels, n: shape.depth(), k: shape.outputs };
            multiply(columns, Matrix::rows(gradient), Matrix::columns(kernel), extents, false);
            shape.add_columns(columns, tile * rows, pixels / shape.out_width(), image);
        }
    });
    out
}

/// With a stride of 1 the gradient of the images is the convolution of the output's gradient by the kernel turned
/// around, from outputs to inputs.
fn by_convolution(shape: &Shape, gradient: &[f32], kernel: &[f32]) -> Vec<f32> {
    let Shape { inputs, outputs, kernel: side, .. } = *shape;
    let mut turned = vec![0.0; kernel.len()];
    for place in 0..side * side {
        let from = (side * side - 1 - place) * inputs * outputs;
        let to = place * inputs * outputs;
        for input in 0..inputs {
            for output in 0..outputs {
                turned[to + output * inputs + input] = kernel[from + input * outputs + output];
            }
        }
    }
    let back = Shape {
        images: shape.images,
        height: shape.out_height(),
        width: shape.out_width(),
        inputs: outputs,
        outputs: inputs,
        kernel: side,
        stride: 1,
        padding: side - 1 - shape.padding,
    };
    forward(&back, gradient, &turned, None, Activation::None)
}

/// The gradient before a rectifier: the output's where the output is above zero.
pub(super) fn rectified(gradient: &[f32], output: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; gradient.len()];
    let chunk = 1 << 14;
    let parts = out.par_chunks_mut(chunk).zip(gradient.par_chunks(chunk)).zip(output.par_chunks(chunk));
    parts.for_each(|((out, gradient), output)| {
        for ((out, gradient), output) in out.iter_mut().zip(gradient).zip(output) {
            *out = if *output > 0.0 { *gradient } else { 0.0 };
        }
    });
    out
}
