//! Pixels of one image, by one to three channels of 8 or 16 bits.
//!
//! Start at [`Raster`]; [`Raster::square`] makes the input of the network.

/// The pixels of an image, row by row, channels last. Values go from 0 to [`Raster::largest`]; in X-ray images they are
/// the share of the radiation that came through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raster {
    /// Pixels across, at least 1.
    pub width: usize,
    /// Pixels down, at least 1.
    pub height: usize,
    /// 1 (grey), 2 (low and high energy) or 3 (red, green, blue).
    pub channels: usize,
    /// 8 or 16.
    pub bits: u8,
    /// `width × height × channels` values.
    pub values: Vec<u16>,
}

/// How an image lies in the square that the network sees: enlarged by `factor`, at the left and top edge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Pixels of the square for one of the image.
    pub factor: f32,
}

impl Raster {
    /// The largest value of a channel.
    pub fn largest(&self) -> u16 {
        if self.bits == 16 { u16::MAX } else { u16::from(u8::MAX) }
    }

    /// The part of the image in a rectangle, which must lie inside.
    #[must_use]
    pub fn part(&self, left: usize, top: usize, width: usize, height: usize) -> Self {
        let row = self.width * self.channels;
        let rows = (top..top + height).flat_map(|y| {
            let begin = y * row + left * self.channels;
            self.values[begin..begin + width * self.channels].iter().copied()
        });
        Self { width, height, channels: self.channels, bits: self.bits, values: rows.collect() }
    }

    /// The image in a square of `side` pixels with three channels of 0 to 1, as the network sees it: shrunk or enlarged to
    /// fit, and white (nothing in the way of the radiation) beside it. Grey is repeated; of two energies the third
    /// channel is their mean.
    pub fn square(&self, side: usize) -> (Vec<f32>, Placement) {
        let factor = side as f32 / self.width.max(self.height) as f32;
        let width = ((self.width as f32 * factor).round() as usize).clamp(1, side);
        let height = ((self.height as f32 * factor).round() as usize).clamp(1, side);
        let columns = spans(self.width, width);
        let rows = spans(self.height, height);
        let mut square = vec![1.0; side * side * 3];
        let scale = 1.0 / f32::from(self.largest());
        let mut line = vec![0.0; self.width * self.channels];
        for (y, (from, weights)) in rows.iter().enumerate() {
            line.fill(0.0);
            for (row, weight) in weights.iter().enumerate() {
                let begin = (from + row) * self.width * self.channels;
                let values = &self.values[begin..begin + line.len()];
                line.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * f32::from(*value));
            }
            for (x, (from, weights)) in columns.iter().enumerate() {
                let mut pixel = [0.0; 3];
                for (column, weight) in weights.iter().enumerate() {
                    let begin = (from + column) * self.channels;
                    let values = &line[begin..begin + self.channels];
                    pixel.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * scale * value);
                }
                match self.channels {
                    1 => pixel = [pixel[0]; 3],
                    2 => pixel[2] = (pixel[0] + pixel[1]) / 2.0,
                    _ => {}
                }
                square[(y * side + x) * 3..][..3].copy_from_slice(&pixel);
            }
        }
        (square, Placement { factor })
    }
}

impl Raster {
    /// The image in `width` × `height` values, each the mean of the pixels that it covers, over all channels; 0 to 1.
    pub fn means(&self, width: usize, height: usize) -> Vec<f32> {
        let columns = spans(self.width, width);
        let scale = 1.0 / (f32::from(self.largest()) * self.channels as f32);
        let length = self.width * self.channels;
        let mut line = vec![0.0; length];
        let mut means = Vec::with_capacity(width * height);
        for (from, weights) in spans(self.height, height) {
            line.fill(0.0);
            for (row, weight) in weights.iter().enumerate() {
                let values = &self.values[(from + row) * length..][..length];
                line.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * f32::from(*value));
            }
            for (from, weights) in &columns {
                let pixels = line[from * self.channels..].chunks_exact(self.channels).zip(weights);
                let sum: f32 = pixels.map(|(pixel, weight)| weight * pixel.iter().sum::<f32>()).sum();
                means.push(sum * scale);
            }
        }
        means
    }
}

/// For each of `to` pixels the first of `from` pixels that it covers and the shares of it and its successors: the mean
/// of the covered area when an image shrinks, linear interpolation when it grows.
fn spans(from: usize, to: usize) -> Vec<(usize, Vec<f32>)> {
    let step = from as f64 / to as f64;
    let span = |index: usize| {
        if to >= from {
            let middle = ((index as f64 + 0.5) * step - 0.5).clamp(0.0, (from - 1) as f64);
            let first = middle.floor() as usize;
            let share = (middle - first as f64) as f32;
            let weights = if first + 1 < from { vec![1.0 - share, share] } else { vec![1.0] };
            return (first, weights);
        }
        let (begin, end) = (index as f64 * step, ((index + 1) as f64 * step).min(from as f64));
        let first = begin.floor() as usize;
        let last = (end.ceil() as usize).clamp(first + 1, from);
        let share = |pixel: usize| {
            let covered = end.min((pixel + 1) as f64) - begin.max(pixel as f64);
            (covered / (end - begin)) as f32
        };
        (first, (first..last).map(share).collect())
    };
    (0..to).map(span).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grey(width: usize, height: usize, values: Vec<u16>) -> Raster {
        Raster { width, height, channels: 1, bits: 8, values }
    }

    #[test]
    fn an_image_of_twice_the_size_is_averaged_and_padded_with_white() {
        let image = grey(4, 2, vec![0, 255, 255, 255, 0, 255, 255, 255]);
        let (square, placement) = image.square(2);
        assert_eq!(placement.factor, 0.5);
        let first: Vec<f32> = square.chunks(3).map(|pixel| pixel[0]).collect();
        assert!((first[0] - 0.5).abs() < 1e-6 && (first[1] - 1.0).abs() < 1e-6, "{first:?}");
        assert_eq!(first[2..], [1.0, 1.0]);
    }

    #[test]
    fn a_part_is_cut_out() {
        let image = grey(3, 3, (0..9).collect());
        assert_eq!(image.part(1, 1, 2, 2).values, [4, 5, 7, 8]);
    }

    proptest! {
        #[test]
        fn shares_of_every_span_add_up_to_one(from in 1usize..40, to in 1usize..40) {
            for (first, weights) in spans(from, to) {
                prop_assert!(first + weights.len() <= from);
                prop_assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-4);
                prop_assert!(weights.iter().all(|weight| *weight >= 0.0));
            }
        }

        #[test]
        fn a_flat_image_stays_flat(width in 1usize..30, height in 1usize..30, side in 1usize..30, value in 0u16..256) {
            let (square, placement) = grey(width, height, vec![value; width * height]).square(side);
            let inside = (height as f32 * placement.factor).round().max(1.0) as usize * side;
            let expected = f32::from(value) / 255.0;
            for pixel in square.chunks(3).take(inside.min(side)).take(1) {
                prop_assert!((pixel[0] - expected).abs() < 1e-5);
            }
        }
    }
}
