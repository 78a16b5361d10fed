//! Convolutions of images whose channels lie last: (image, row, column, channel).
//!
//! On the processor the columns of a tile of output rows are laid out in a buffer that fits the second cache (im2col;
//! Chellapilla, Puri and Simard 2006), and one product of matrices gives the tile; a 1 × 1 kernel needs no columns. The
//! results are the same bytes for any number of threads. On a GPU candle's own convolution computes. Start at
//! [`convolve`].

mod backward;
mod forward;
mod shape;
#[cfg(test)]
mod tests;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Tensor, bail};

pub use self::shape::Activation;
use self::shape::Shape;
use crate::values::{Values, values};

/// How a kernel moves over an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Pixels from one place of the kernel to the next, at least 1.
    pub stride: usize,
    /// Zeros on each side of the image.
    pub padding: usize,
    /// What is applied to the output.
    pub activation: Activation,
}

/// Convolves `images` (n × height × width × inputs) by `kernel` (side × side × inputs × outputs), adds `bias` (outputs)
/// and applies the activation; differentiable in all three. All are `f32`.
///
/// # Errors
/// When the shapes do not fit each other or the kernel is larger than the padded image.
pub fn convolve(images: &Tensor, kernel: &Tensor, bias: &Tensor, convolution: Convolution) -> Result<Tensor> {
    if images.device().is_cuda() {
        return on_gpu(images, kernel, bias, convolution);
    }
    images.contiguous()?.apply_op3(&kernel.contiguous()?, &bias.contiguous()?, convolution)
}

fn on_gpu(images: &Tensor, kernel: &Tensor, bias: &Tensor, convolution: Convolution) -> Result<Tensor> {
    let images = images.permute((0, 3, 1, 2))?.contiguous()?;
    let kernel = kernel.permute((3, 2, 0, 1))?.contiguous()?;
    let out = images.conv2d(&kernel, convolution.padding, convolution.stride, 1, 1)?;
    let out = out.permute((0, 2, 3, 1))?.contiguous()?.broadcast_add(bias)?;
    match convolution.activation {
        Activation::None => Ok(out),
        Activation::Relu => out.relu(),
    }
}

impl Convolution {
    fn shape(&self, images: &[usize], kernel: &[usize]) -> Result<Shape> {
        let (&[images, height, width, inputs], &[side, across, channels, outputs]) = (images, kernel) else {
            bail!("a convolution takes images and kernels of four dimensions, not {images:?} and {kernel:?}");
        };
        let fits = side == across && channels == inputs && side > 0 && self.stride > 0;
        if !fits || side > height.min(width) + 2 * self.padding || images * inputs * outputs == 0 {
            bail!("a kernel of {kernel:?} does not fit images of {height} × {width} × {inputs}");
        }
        let (stride, padding) = (self.stride, self.padding);
        Ok(Shape { images, height, width, inputs, outputs, kernel: side, stride, padding })
    }
}

/// The gradients of a convolution.
pub(crate) struct Gradients {
    /// `None` where they were not asked for.
    pub(crate) images: Option<Vec<f32>>,
    pub(crate) kernel: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

/// Images or a kernel: dimensions and values.
pub(crate) type Slice<'a> = ([usize; 4], &'a [f32]);

impl Convolution {
    /// As [`convolve`], on slices: the output with its dimensions.
    pub(crate) fn of_slices(
        &self,
        images: Slice<'_>,
        kernel: Slice<'_>,
        bias: &[f32],
    ) -> Result<([usize; 4], Vec<f32>)> {
        let shape = self.shape(&images.0, &kernel.0)?;
        let out = forward::forward(&shape, images.1, kernel.1, Some(bias), self.activation);
        Ok(([shape.images, shape.out_height(), shape.out_width(), shape.outputs], out))
    }

    /// The gradients of a convolution on slices without an activation, given that of its output.
    pub(crate) fn gradients_of_slices(
        &self,
        images: Slice<'_>,
        kernel: Slice<'_>,
        gradient: &[f32],
        needs_images: bool,
    ) -> Result<Gradients> {
        let shape = self.shape(&images.0, &kernel.0)?;
        Ok(Gradients {
            images: needs_images.then(|| backward::image_gradient(&shape, gradient, kernel.1)),
            kernel: backward::kernel_gradient(&shape, images.1, gradient),
            bias: backward::bias_gradient(gradient, shape.outputs, shape.images),
        })
    }
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn cpu_fwd(
        &self,
        images: &CpuStorage,
        images_layout: &Layout,
        kernel: &CpuStorage,
        kernel_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, candle_core::Shape)> {
        let shape = self.shape(images_layout.dims(), kernel_layout.dims())?;
        let bias = values(bias, bias_layout)?;
        if bias.len() != shape.outputs {
            bail!("a bias of {} values does not fit {} outputs", bias.len(), shape.outputs);
        }
        let images = values(images, images_layout)?;
        let kernel = values(kernel, kernel_layout)?;
        let out = forward::forward(&shape, images, kernel, Some(bias), self.activation);
        let dimensions = (shape.images, shape.out_height(), shape.out_width(), shape.outputs);
        Ok((CpuStorage::F32(out), dimensions.into()))
    }

    fn bwd(
        &self,
        images: &Tensor,
        kernel: &Tensor,
        bias: &Tensor,
        out: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let shape = self.shape(images.dims(), kernel.dims())?;
        let gradient = gradient.contiguous()?;
        let after = Values::of(&gradient)?;
        let rectified = match self.activation {
            Activation::None => None,
            Activation::Relu => Some(backward::rectified(&after, &Values::of(out)?)),
        };
        let before = rectified.as_deref().unwrap_or(&after);
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device()).map(Some);
        Ok((
            tensor(backward::image_gradient(&shape, before, &Values::of(kernel)?), images)?,
            tensor(backward::kernel_gradient(&shape, &Values::of(images)?, before), kernel)?,
            tensor(backward::bias_gradient(before, shape.outputs, shape.images), bias)?,
        ))
    }
}
