//! The geometry of a convolution, and the columns of its input (im2col).

/// Floating-point numbers that the columns of one tile hold at most: they stay in a core's second cache.
const TILE: usize = 128 << 10;

/// What is applied to each value of a convolution's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// max(0, x).
    Relu,
}

/// The extents of a convolution of channels-last images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) images: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Side of the square kernel.
    pub(super) kernel: usize,
    pub(super) stride: usize,
    /// Zeros on each side.
    pub(super) padding: usize,
}

impl Shape {
    pub(super) fn out_height(&self) -> usize {
        (self.height + 2 * self.padding - self.kernel) / self.stride + 1
    }

    pub(super) fn out_width(&self) -> usize {
        (self.width + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Values of one image of the input.
    pub(super) fn image(&self) -> usize {
        self.height * self.width * self.inputs
    }

    /// Values of one image of the output.
    pub(super) fn out_image(&self) -> usize {
        self.out_height() * self.out_width() * self.outputs
    }

    /// Values under the kernel for one pixel of the output.
    pub(super) fn depth(&self) -> usize {
        self.kernel * self.kernel * self.inputs
    }

    /// Whether the columns are the input itself.
    pub(super) fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.padding == 0
    }

    /// Rows of the output that make one tile.
    pub(super) fn tile_rows(&self) -> usize {
        (TILE / (self.out_width() * self.depth())).clamp(1, self.out_height())
    }

    /// Writes the columns of the output rows `from..from + rows` of an image: for each pixel of the output the values
    /// under the kernel, by kernel row, kernel column and channel.
    pub(super) fn columns(&self, image: &[f32], from: usize, rows: usize, columns: &mut [f32]) {
        let line = self.kernel * self.inputs;
        let pixels = columns.chunks_exact_mut(self.depth());
        for (pixel, values) in pixels.take(rows * self.out_width()).enumerate() {
            let top = (from + pixel / self.out_width()) * self.stride;
            let left = (pixel % self.out_width()) * self.stride;
            for (row, values) in values.chunks_exact_mut(line).enumerate() {
                let Some(source) = self.line(image, top + row) else {
                    values.fill(0.0);
                    continue;
                };
                let (skipped, taken, begin) = self.overlap(left);
                values[..skipped].fill(0.0);
                values[skipped..skipped + taken].copy_from_slice(&source[begin..begin + taken]);
                values[skipped + taken..].fill(0.0);
            }
        }
    }

    /// Adds columns, as [`Shape::columns`] writes them, back to the pixels of an image that they were taken from.
    pub(super) fn add_columns(&self, columns: &[f32], from: usize, rows: usize, image: &mut [f32]) {
        let line = self.kernel * self.inputs;
        let pixels = columns.chunks_exact(self.depth());
        for (pixel, values) in pixels.take(rows * self.out_width()).enumerate() {
            let top = (from + pixel / self.out_width()) * self.stride;
            let left = (pixel % self.out_width()) * self.stride;
            for (row, values) in values.chunks_exact(line).enumerate() {
                let Some(source) = self.line_start(top + row) else { continue };
                let (skipped, taken, begin) = self.overlap(left);
                let target = &mut image[source + begin..source + begin + taken];
                for (target, value) in target.iter_mut().zip(&values[skipped..skipped + taken]) {
                    *target += value;
                }
            }
        }
    }

    /// Where the row `padded` of the padded image begins in the image; `None` in the padding.
    fn line_start(&self, padded: usize) -> Option<usize> {
        let row = padded.checked_sub(self.padding).filter(|row| *row < self.height)?;
        Some(row * self.width * self.inputs)
    }

    fn line<'a>(&self, image: &'a [f32], padded: usize) -> Option<&'a [f32]> {
        let start = self.line_start(padded)?;
        Some(&image[start..start + self.width * self.inputs])
    }

    /// For a kernel whose left edge is at `left` of the padded image: values before the image, values in it, and
    /// where in the image's row these begin.
    fn overlap(&self, left: usize) -> (usize, usize, usize) {
        let first = left.max(self.padding) - self.padding;
        let end = (left + self.kernel).saturating_sub(self.padding).min(self.width);
        let skipped = self.padding.saturating_sub(left).min(self.kernel);
        (skipped * self.inputs, end.saturating_sub(first) * self.inputs, first.min(self.width) * self.inputs)
    }
}
