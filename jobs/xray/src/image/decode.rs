//! Reading image files: PNG, JPEG and TIFF become [`Raster`]s; anything else is refused by what it is.
//!
//! A size that a file merely declares takes no memory: it is compared with [`MOST_PIXELS`] first. Nothing is guessed and
//! nothing silently changed: what would alter pixels or their places (a rotation by EXIF, an animation, inks) is refused
//! with its reason. Start at [`decode`].

use std::{io::Cursor, panic::catch_unwind};

use super::raster::Raster;

/// Pixels of one image at most: a container of 60 m at a pixel a millimetre fits.
pub const MOST_PIXELS: u64 = 256 << 20;

/// Pixels across or down at most.
const LONGEST_SIDE: u64 = 1 << 17;

/// Pages of one TIFF at most.
const MOST_PAGES: usize = 256;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not one of the formats.
    #[error("it is {0}; give PNG, JPEG or TIFF")]
    Format(&'static str),
    /// It has no pixel.
    #[error("it declares {0} × {1} pixels")]
    Empty(u64, u64),
    /// It is larger than can be read.
    #[error("it declares {0} × {1} pixels; at most {LONGEST_SIDE} a side and {MOST_PIXELS} in all are read")]
    Large(u64, u64),
    /// Its values mean something other than transmitted radiation.
    #[error("it holds {0}; convert it to grey, two energies or RGB of 8 or 16 bits")]
    Values(String),
    /// Its pixels are turned for display.
    #[error(
        "its EXIF tag 274 asks for a rotation ({0}); turn the pixels themselves, so that annotations fit"
    )]
    Turned(u16),
    /// It is several images in time.
    #[error("it is an animation; give single images")]
    Animated,
    /// It is damaged or cut short.
    #[error("it cannot be decoded: {0}")]
    Damaged(String),
}

/// The format of a file, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Portable Network Graphics.
    Png,
    /// JPEG, baseline or progressive.
    Jpeg,
    /// TIFF, one or several pages.
    Tiff,
}

impl Format {
    /// The format of a file's bytes; its name does not count.
    ///
    /// # Errors
    /// [`Refused::Format`], with what it is instead.
    pub fn of(bytes: &[u8]) -> Result<Self, Refused> {
        match bytes {
            [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, ..] => Ok(Self::Png),
            [0xFF, 0xD8, 0xFF, ..] => Ok(Self::Jpeg),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Ok(Self::Tiff),
            [] => Err(Refused::Format("an empty file")),
            [b'G', b'I', b'F', b'8', ..] => Err(Refused::Format("a GIF")),
            [b'B', b'M', ..] => Err(Refused::Format("a BMP")),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
                Err(Refused::Format("a WebP"))
            }
            [b'%', b'P', b'D', b'F', ..] => Err(Refused::Format("a PDF")),
            [b'P', b'K', 3, 4, ..] => Err(Refused::Format("a ZIP archive inside an archive")),
            _ if bytes.get(128..132) == Some(b"DICM") => Err(Refused::Format("DICOM")),
            _ => Err(Refused::Format("no image")),
        }
    }
}

/// The images of a file: one, or the pages of a TIFF.
///
/// # Errors
/// [`Refused`], with the reason and the remedy.
pub fn decode(bytes: &[u8]) -> Result<Vec<Raster>, Refused> {
    let format = Format::of(bytes)?;
    let read = || match format {
        Format::Png => png(bytes).map(|image| vec![image]),
        Format::Jpeg => jpeg(bytes).map(|image| vec![image]),
        Format::Tiff => tiff(bytes),
    };
    // A decoder that panics on a damaged file must not end the job.
    catch_unwind(read).unwrap_or_else(|_| Err(Refused::Damaged("the decoder gave up".into())))
}

/// Checks a declared size.
fn sized(width: u64, height: u64) -> Result<(usize, usize), Refused> {
    if width == 0 || height == 0 {
        return Err(Refused::Empty(width, height));
    }
    if width.max(height) > LONGEST_SIDE || width * height > MOST_PIXELS {
        return Err(Refused::Large(width, height));
    }
    Ok((width as usize, height as usize))
}

fn png(bytes: &[u8]) -> Result<Raster, Refused> {
    use zune_png::{
        PngDecoder,
        zune_core::{
            bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions, result::DecodingResult,
        },
    };
    // The header chunk stands first: its length, its name, then width and height.
    let number = |at: usize| {
        let four: Option<[u8; 4]> = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
        four.map(|four| u64::from(u32::from_be_bytes(four)))
            .ok_or_else(|| Refused::Damaged("it is cut short".into()))
    };
    let (width, height) = sized(number(16)?, number(20)?)?;
    let longest = LONGEST_SIDE as usize;
    let options = DecoderOptions::default()
        .set_max_width(longest)
        .set_max_height(longest)
        .set_strict_mode(true)
        .png_set_confirm_crc(true)
        .inflate_set_limit(usize::MAX);
    let mut decoder = PngDecoder::new_with_options(ZCursor::new(bytes), options);
    let damaged = |error: zune_png::error::PngDecodeErrors| Refused::Damaged(format!("{error:?}"));
    decoder.decode_headers().map_err(damaged)?;
    if decoder.is_animated() {
        return Err(Refused::Animated);
    }
    let (stored, kept) = match decoder.colorspace() {
        Some(ColorSpace::Luma) => (1, 1),
        Some(ColorSpace::LumaA) => (2, 1),
        Some(ColorSpace::RGB) => (3, 3),
        Some(ColorSpace::RGBA) => (4, 3),
        other => return Err(Refused::Values(format!("colours {other:?}"))),
    };
    let (bits, values): (u8, Vec<u16>) = match decoder.decode().map_err(damaged)? {
        DecodingResult::U8(values) => (8, values.into_iter().map(u16::from).collect()),
        DecodingResult::U16(values) => (16, values),
        _ => return Err(Refused::Values("values that are not whole numbers of 8 or 16 bits".into())),
    };
    exact(width, height, stored, &values)?;
    without_alpha(Raster { width, height, channels: stored, bits, values }, kept)
}

/// Checks that there are as many values as the extents say.
fn exact(width: usize, height: usize, channels: usize, values: &[u16]) -> Result<(), Refused> {
    let expected = width * height * channels;
    if values.len() == expected {
        return Ok(());
    }
    Err(Refused::Damaged(format!("{} values instead of {expected}", values.len())))
}

/// The image without a channel for transparency, which must not hide anything.
fn without_alpha(image: Raster, kept: usize) -> Result<Raster, Refused> {
    if image.channels == kept {
        return Ok(image);
    }
    let largest = image.largest();
    if image.values.chunks_exact(image.channels).any(|pixel| pixel[kept] != largest) {
        return Err(Refused::Values("transparent pixels".into()));
    }
    let values =
        image.values.chunks_exact(image.channels).flat_map(|pixel| &pixel[..kept]).copied().collect();
    Ok(Raster { channels: kept, values, ..image })
}

fn jpeg(bytes: &[u8]) -> Result<Raster, Refused> {
    use zune_jpeg::{
        JpegDecoder,
        zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
    };
    let longest = LONGEST_SIDE as usize;
    let options =
        DecoderOptions::default().set_max_width(longest).set_max_height(longest).set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let damaged = |error: zune_jpeg::errors::DecodeErrors| Refused::Damaged(error.to_string());
    decoder.decode_headers().map_err(damaged)?;
    let info = decoder.info().ok_or_else(|| Refused::Damaged("it has no header".into()))?;
    let (width, height) = sized(u64::from(info.width), u64::from(info.height))?;
    if let Some(turn) = info.exif_data.as_deref().and_then(orientation).filter(|turn| *turn > 1) {
        return Err(Refused::Turned(turn));
    }
    let (channels, colours) = match info.components {
        1 => (1, ColorSpace::Luma),
        3 => (3, ColorSpace::RGB),
        4 => return Err(Refused::Values("four inks (CMYK)".into())),
        count => return Err(Refused::Values(format!("{count} channels"))),
    };
    let options = (*decoder.options()).jpeg_set_out_colorspace(colours);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let values: Vec<u16> = decoder.decode().map_err(damaged)?.into_iter().map(u16::from).collect();
    exact(width, height, channels, &values)?;
    Ok(Raster { width, height, channels, bits: 8, values })
}

/// The value of EXIF's tag 274; `None` where there is none.
fn orientation(exif: &[u8]) -> Option<u16> {
    let is_little = exif.starts_with(b"II");
    let short = |at: usize| {
        let pair: [u8; 2] = exif.get(at..at + 2)?.try_into().ok()?;
        Some(if is_little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) })
    };
    let long = |at: usize| {
        let four: [u8; 4] = exif.get(at..at + 4)?.try_into().ok()?;
        Some(if is_little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) })
    };
    let directory = long(4)? as usize;
    let entries = usize::from(short(directory)?);
    let mut places = (0..entries).map(|entry| directory + 2 + entry * 12);
    let place = places.find(|place| short(*place) == Some(274))?;
    short(place + 8)
}

fn tiff(bytes: &[u8]) -> Result<Vec<Raster>, Refused> {
    use ::tiff::{
        ColorType,
        decoder::{Decoder, DecodingResult, Limits},
        tags::Tag,
    };
    let damaged = |error: ::tiff::TiffError| Refused::Damaged(error.to_string());
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(damaged)?.with_limits(Limits::unlimited());
    let mut pages = Vec::new();
    loop {
        let (width, height) = decoder.dimensions().map_err(damaged)?;
        let (width, height) = sized(u64::from(width), u64::from(height))?;
        let turn = decoder.find_tag_unsigned::<u16>(Tag::Orientation).map_err(damaged)?;
        if let Some(turn) = turn.filter(|turn| *turn > 1) {
            return Err(Refused::Turned(turn));
        }
        let (stored, kept) = match decoder.colortype().map_err(damaged)? {
            ColorType::Gray(8 | 16) => (1, 1),
            ColorType::GrayA(8 | 16) => (2, 1),
            ColorType::RGB(8 | 16) => (3, 3),
            ColorType::RGBA(8 | 16) => (4, 3),
            ColorType::Multiband { bit_depth: 8 | 16, num_samples: 2 } => (2, 2),
            other => return Err(Refused::Values(format!("{other:?}"))),
        };
        let (bits, values): (u8, Vec<u16>) = match decoder.read_image().map_err(damaged)? {
            DecodingResult::U8(values) => (8, values.into_iter().map(u16::from).collect()),
            DecodingResult::U16(values) => (16, values),
            _ => return Err(Refused::Values("values that are not whole numbers of 8 or 16 bits".into())),
        };
        exact(width, height, stored, &values)?;
        pages.push(without_alpha(Raster { width, height, channels: stored, bits, values }, kept)?);
        if !decoder.more_images() {
            return Ok(pages);
        }
        if pages.len() == MOST_PAGES {
            return Err(Refused::Values(format!("more than {MOST_PAGES} pages")));
        }
        decoder.next_image().map_err(damaged)?;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::image::encode::png as encode;

    fn raster(channels: usize, bits: u8) -> Raster {
        let largest = if bits == 16 { 65_536 } else { 256 };
        let values = (0..7 * 5 * channels as u64).map(|at| ((at * 2_654_435_761) % largest) as u16).collect();
        Raster { width: 7, height: 5, channels, bits, values }
    }

    #[test]
    fn a_png_gives_back_its_pixels() {
        for (channels, bits) in [(1, 8), (1, 16), (3, 8), (3, 16)] {
            let image = raster(channels, bits);
            let bytes = encode(&image).expect("writes");
            assert_eq!(decode(&bytes).expect("reads"), [image]);
        }
    }

    #[test]
    fn a_declared_size_takes_no_memory() {
        let mut bytes = encode(&raster(1, 8)).expect("writes");
        // The width of the header, and its checksum.
        bytes[16..20].copy_from_slice(&100_000_u32.to_be_bytes());
        bytes[20..24].copy_from_slice(&100_000_u32.to_be_bytes());
        let crc = crc32fast::hash(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        assert!(matches!(decode(&bytes), Err(Refused::Large(100_000, 100_000))));
        bytes[16..20].fill(0);
        let crc = crc32fast::hash(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        assert!(decode(&bytes).is_err(), "no pixels");
    }

    #[test]
    fn a_file_that_is_cut_short_is_refused() {
        let bytes = encode(&raster(3, 8)).expect("writes");
        for end in [0, 4, 20, bytes.len() / 2, bytes.len() - 14] {
            assert!(decode(&bytes[..end]).is_err(), "cut at {end} of {}", bytes.len());
        }
    }

    #[test]
    fn other_files_are_named() {
        for (bytes, name) in [(&b"GIF89a....."[..], "a GIF"), (b"%PDF-1.7", "a PDF"), (b"hello", "no image")]
        {
            let error = decode(bytes).expect_err("no image").to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn the_orientation_is_read_in_both_byte_orders() {
        let little = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0";
        assert_eq!((orientation(little), orientation(big), orientation(b"II")), (Some(6), Some(6), None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), format in 0usize..3) {
            let start: &[u8] = [&b"\x89PNG\r\n\x1a\n"[..], b"\xFF\xD8\xFF\xE0", b"II*\0\x08\0\0\0"][format];
            // It must not panic; what it says does not matter.
            drop(decode(&[start, &bytes].concat()));
        }
    }
}
