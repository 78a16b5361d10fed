//! A hash by which images that look alike are found.
//!
//! Source: the difference hash of N. Krawetz, "Kind of Like That" (hackerfactor.com, 2013): the image is shrunk to 9 × 8
//! grey values, and each bit says whether a value is less than the one to its right. The same picture in another size or
//! format has nearly the same bits. Start at [`perceptual_hash`].

use super::raster::Raster;

/// The hash of an image: 64 bits, row by row, the first one highest.
pub fn perceptual_hash(image: &Raster) -> u64 {
    let means = image.means(9, 8);
    let bits = means.chunks_exact(9).flat_map(|row| row.windows(2).map(|pair| pair[0] < pair[1]));
    bits.fold(0, |hash, bit| hash << 1 | u64::from(bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: usize, height: usize, of: impl Fn(f32, f32) -> f32) -> Raster {
        let at = |at: usize| ((at % width) as f32 / width as f32, (at / width) as f32 / height as f32);
        let value = |place: usize| {
            let (x, y) = at(place);
            (of(x, y) * 255.0) as u16
        };
        Raster { width, height, channels: 1, bits: 8, values: (0..width * height).map(value).collect() }
    }

    #[test]
    fn bits_say_where_it_grows_brighter() {
        assert_eq!(perceptual_hash(&image(90, 80, |x, _| x)), u64::MAX);
        assert_eq!(perceptual_hash(&image(90, 80, |x, _| 1.0 - x)), 0);
    }

    #[test]
    fn another_size_hardly_changes_it_and_another_picture_does() {
        let rings = |x: f32, y: f32| (((x - 0.4).hypot(y - 0.6) * 20.0).sin() + 1.0) / 2.0;
        let hash = perceptual_hash(&image(300, 200, rings));
        assert!((hash ^ perceptual_hash(&image(150, 100, rings))).count_ones() <= 3);
        let other = perceptual_hash(&image(300, 200, |x, y| rings(y, x)));
        assert!((hash ^ other).count_ones() > 10);
    }
}
