//! Writing images pixel for pixel: as PNG, and as TIFF with a page for each energy.
//!
//! Source: PNG specification, third edition (W3C 2025): a header, one chunk of pixels without filters, an end. Start at
//! [`png`] and [`tiff`].

use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};
use tidewaiter_core::{Error, Result};

use super::raster::Raster;

/// The bytes of a PNG of an image with one or three channels; of two energies the channels stand side by side as grey.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when the raster's values do not fit its extents.
pub fn png(image: &Raster) -> Result<Vec<u8>> {
    let side_by_side;
    let image = if image.channels == 2 {
        side_by_side = beside(image);
        &side_by_side
    } else {
        image
    };
    let wrong = |error: std::io::Error| Error::internal("write a PNG").with_source(error);
    let line = image.width * image.channels;
    let mut pixels = ZlibEncoder::new(Vec::new(), Compression::default());
    for row in image.values.chunks_exact(line) {
        let row: Vec<u8> = if image.bits == 16 {
            row.iter().flat_map(|value| value.to_be_bytes()).collect()
        } else {
            row.iter().map(|value| (*value).min(255) as u8).collect()
        };
        // Filter "up" would pack better; "none" is what every reader has.
        pixels.write_all(&[0]).and_then(|()| pixels.write_all(&row)).map_err(wrong)?;
    }
    let pixels = pixels.finish().map_err(wrong)?;
    let extent = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX).to_be_bytes();
    let colours = if image.channels == 1 { 0 } else { 2 };
    let header = [&extent(image.width)[..], &extent(image.height), &[image.bits, colours, 0, 0, 0]].concat();
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in [(b"IHDR", &header), (b"IDAT", &pixels), (b"IEND", &Vec::new())] {
        bytes.extend(extent(data.len()));
        let begin = bytes.len();
        bytes.extend(name);
        bytes.extend(data);
        bytes.extend(crc32fast::hash(&bytes[begin..]).to_be_bytes());
    }
    Ok(bytes)
}

/// The bytes of a TIFF with one grey page for each channel of an image.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when the raster's values do not fit its extents.
pub fn tiff(image: &Raster) -> Result<Vec<u8>> {
    use ::tiff::encoder::{
        Compression, DeflateLevel, TiffEncoder,
        colortype::{Gray8, Gray16},
    };
    let wrong = |error: ::tiff::TiffError| Error::internal("write a TIFF").with_source(error);
    let mut bytes = std::io::Cursor::new(Vec::new());
    let encoder = TiffEncoder::new(&mut bytes).map_err(wrong)?;
    let mut encoder = encoder.with_compression(Compression::Deflate(DeflateLevel::Fast));
    let extent = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    let (width, height) = (extent(image.width), extent(image.height));
    for channel in 0..image.channels {
        let values = image.values.iter().skip(channel).step_by(image.channels).copied();
        if image.bits == 16 {
            let page: Vec<u16> = values.collect();
            encoder.write_image::<Gray16>(width, height, &page).map_err(wrong)?;
        } else {
            let page: Vec<u8> = values.map(|value| value.min(255) as u8).collect();
            encoder.write_image::<Gray8>(width, height, &page).map_err(wrong)?;
        }
    }
    Ok(bytes.into_inner())
}

/// The two channels of an image as one grey image of twice the width.
fn beside(image: &Raster) -> Raster {
    let mut values = Vec::with_capacity(image.values.len());
    for row in image.values.chunks_exact(image.width * 2) {
        values.extend(row.iter().step_by(2));
        values.extend(row.iter().skip(1).step_by(2));
    }
    Raster { width: image.width * 2, channels: 1, values, ..*image }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::decode::{decode, image};

    #[test]
    fn two_energies_come_back_from_two_pages() {
        for bits in [8, 16] {
            let values = (0..40_u16).map(|value| value * if bits == 16 { 1500 } else { 6 }).collect();
            let raster = Raster { width: 5, height: 4, channels: 2, bits, values };
            let bytes = tiff(&raster).expect("writes");
            assert_eq!(decode(&bytes).expect("reads").len(), 2);
            assert_eq!(image(&bytes).expect("reads"), raster);
        }
    }
}
