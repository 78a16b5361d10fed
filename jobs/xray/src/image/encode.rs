//! Writing images as PNG, pixel for pixel.
//!
//! Source: PNG specification, third edition (W3C 2025): a header, one chunk of pixels without filters, an end.

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

/// The two channels of an image as one grey image of twice the width.
fn beside(image: &Raster) -> Raster {
    let mut values = Vec::with_capacity(image.values.len());
    for row in image.values.chunks_exact(image.width * 2) {
        values.extend(row.iter().step_by(2));
        values.extend(row.iter().skip(1).step_by(2));
    }
    Raster { width: image.width * 2, channels: 1, values, ..*image }
}
