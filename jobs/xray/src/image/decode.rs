//! Reading image files: PNG, JPEG, TIFF and DICOM become [`Raster`]s; anything else is refused by what it is.
//!
//! A size that a file merely declares takes no memory: it is compared with [`MOST_PIXELS`] first. Nothing is guessed and
//! nothing silently changed: what would alter pixels or their places (a rotation by EXIF, an animation, inks) is refused
//! with its reason. Start at [`decode`].

use std::{io::Cursor, panic::catch_unwind, path::Path};

use super::{
    dicom,
    raster::Raster,
    refused::{LONGEST_SIDE, MOST_PIXELS, Refused},
};

/// Pages of one file at most; together they have no more pixels than one image may have.
const MOST_PAGES: usize = 256;

/// Bytes of one value of a TIFF's directory at most: the places of its strips.
const DIRECTORY_VALUE_BYTES: usize = 16 << 20;

/// Bytes of one decoded page at most: four values of 16 bits for each pixel.
const PAGE_BYTES: usize = MOST_PIXELS as usize * 8;

/// Bytes to which deflate unpacks one, at most: two bits give 258 (RFC 1951, section 3.2.5).
const DEFLATED: u64 = 1032;

/// The format of a file, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Portable Network Graphics.
    Png,
    /// JPEG, baseline or progressive.
    Jpeg,
    /// TIFF, one or several pages.
    Tiff,
    /// DICOM, one or several frames.
    Dicom,
}

impl Format {
    /// Its name, in small letters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Tiff => "tiff",
            Self::Dicom => "dicom",
        }
    }

    /// Whether a file's name ends as those of the format do.
    pub fn is_ending(self, name: &str) -> bool {
        let endings: &[&str] = match self {
            Self::Png => &["png"],
            Self::Jpeg => &["jpg", "jpeg", "jpe", "jfif"],
            Self::Tiff => &["tif", "tiff"],
            // Names of DICOM files often have no ending at all.
            Self::Dicom => &["dcm", "dicom", "dcs", ""],
        };
        let ending = Path::new(name).extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        endings.contains(&ending.unwrap_or_default().as_str())
    }

    /// The format of a file's bytes; its name does not count.
    ///
    /// # Errors
    /// [`Refused::Format`], with what it is instead.
    pub fn of(bytes: &[u8]) -> Result<Self, Refused> {
        match bytes {
            [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, ..] => Ok(Self::Png),
            [0xFF, 0xD8, 0xFF, ..] => Ok(Self::Jpeg),
            // Its first 128 bytes may be anything, such as the header of a TIFF.
            _ if bytes.get(128..132) == Some(b"DICM") => Ok(Self::Dicom),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Ok(Self::Tiff),
            [] => Err(Refused::Format("an empty file")),
            [b'G', b'I', b'F', b'8', ..] => Err(Refused::Format("a GIF")),
            [b'B', b'M', ..] => Err(Refused::Format("a BMP")),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
                Err(Refused::Format("a WebP"))
            }
            [b'%', b'P', b'D', b'F', ..] => Err(Refused::Format("a PDF")),
            [b'P', b'K', 3, 4, ..] => Err(Refused::Format("a ZIP archive inside an archive")),
            _ => Err(Refused::Format("no image")),
        }
    }
}

/// The image of a file as a detector sees it: two grey pages of one size are the energies of one image; of other pages it
/// is the first one.
///
/// # Errors
/// As [`decode`].
pub fn image(bytes: &[u8]) -> Result<Raster, Refused> {
    Ok(joined(decode(bytes)?))
}

/// The image of a file's pages, as [`image`] gives it. There is at least one page.
pub(crate) fn joined(pages: Vec<Raster>) -> Raster {
    let is_pair = match pages.as_slice() {
        [low, high] => {
            let form = |page: &Raster| (page.width, page.height, page.channels, page.bits);
            low.channels == 1 && form(low) == form(high)
        }
        _ => false,
    };
    let mut pages = pages.into_iter();
    let none = Raster { width: 0, height: 0, channels: 1, bits: 8, values: Vec::new() };
    let first = pages.next().unwrap_or(none);
    match pages.next().filter(|_| is_pair) {
        Some(high) => {
            let values = first.values.iter().zip(high.values).flat_map(|(low, high)| [*low, high]).collect();
            Raster { channels: 2, values, ..first }
        }
        None => first,
    }
}

/// The images of a file: one, or the pages of a TIFF, or the frames of a DICOM file.
///
/// # Errors
/// [`Refused`], with the reason and the remedy.
pub fn decode(bytes: &[u8]) -> Result<Vec<Raster>, Refused> {
    let format = Format::of(bytes)?;
    let read = || match format {
        Format::Png => png(bytes).map(|image| vec![image]),
        Format::Jpeg => jpeg(bytes).map(|image| vec![image]),
        Format::Tiff => tiff(bytes),
        Format::Dicom => frames(bytes),
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
    if (bytes.len() as u64).saturating_mul(DEFLATED) < least_bytes(bytes, width, height) {
        return Err(Refused::Damaged("it is too short for the pixels that it declares".into()));
    }
    let longest = LONGEST_SIDE as usize;
    let options = DecoderOptions::default()
        .set_max_width(longest)
        .set_max_height(longest)
        .set_strict_mode(true)
        .png_set_confirm_crc(true)
        .inflate_set_limit(usize::MAX);
    let mut decoder = PngDecoder::new_with_options(ZCursor::new(bytes), options);
    let damaged =
        |error: zune_png::error::PngDecodeErrors| Refused::Damaged(format!("{error:?}").trim().to_owned());
    decoder.decode_headers().map_err(damaged)?;
    if decoder.is_animated() {
        return Err(Refused::Animated);
    }
    let exif = decoder.info().and_then(|info| info.exif.as_deref());
    if let Some(turn) = exif.and_then(orientation).filter(|turn| *turn > 1) {
        return Err(Refused::Turned(turn));
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

/// Bytes of the pixels of a PNG, at least, by the bits and the colours of its header.
fn least_bytes(file: &[u8], width: usize, height: usize) -> u64 {
    let at = |place: usize| u64::from(file.get(place).copied().unwrap_or_default());
    let channels = match at(25) {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    (width as u64 * channels * at(24) / 8).saturating_mul(height as u64)
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
        errors::DecodeErrors,
        zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
    };
    let longest = LONGEST_SIDE as usize;
    let options =
        DecoderOptions::default().set_max_width(longest).set_max_height(longest).set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let damaged = |error: DecodeErrors| match error {
        DecodeErrors::ZeroError => Refused::Empty(0, 0),
        // Of 12 bits and more, without loss, or with arithmetic coding.
        DecodeErrors::SofError(text) if text.contains("bits of precision") => {
            Refused::Values(format!("JPEG values of {}", text.rsplit(" has ").next().unwrap_or(&text)))
        }
        DecodeErrors::Unsupported(scheme) => Refused::Values(format!("{scheme:?}")),
        error => Refused::Damaged(error.to_string()),
    };
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
    let damaged = |error: ::tiff::TiffError| match error {
        ::tiff::TiffError::FormatError(::tiff::TiffFormatError::InvalidDimensions(width, height)) => {
            Refused::Empty(width.into(), height.into())
        }
        error => Refused::Damaged(error.to_string()),
    };
    let mut limits = Limits::default();
    limits.ifd_value_size = DIRECTORY_VALUE_BYTES;
    limits.decoding_buffer_size = PAGE_BYTES;
    limits.intermediate_buffer_size = PAGE_BYTES;
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(damaged)?.with_limits(limits);
    let (mut pages, mut pixels) = (Vec::new(), 0);
    loop {
        let (width, height) = decoder.dimensions().map_err(damaged)?;
        let (width, height) = sized(u64::from(width), u64::from(height))?;
        pixels += (width * height) as u64;
        if pixels > MOST_PIXELS {
            return Err(Refused::Large(width as u64, height as u64));
        }
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

fn frames(bytes: &[u8]) -> Result<Vec<Raster>, Refused> {
    let header = dicom::header(bytes)?;
    let (width, height) = sized(header.width, header.height)?;
    if header.frames == 0 {
        return Err(Refused::Empty(header.width, header.height));
    }
    let pixels = ((width * height) as u64).saturating_mul(header.frames);
    if pixels > MOST_PIXELS {
        return Err(Refused::Large(header.width, header.height));
    }
    if header.frames > MOST_PAGES as u64 {
        return Err(Refused::Values(format!("more than {MOST_PAGES} frames")));
    }
    header.frames(jpeg)
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
        // Within what is read, but more than so few bytes can unpack to.
        for side in [16..20, 20..24] {
            bytes[side].copy_from_slice(&10_000_u32.to_be_bytes());
        }
        let crc = crc32fast::hash(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        assert!(decode(&bytes).expect_err("refused").to_string().contains("too short"));
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

    /// A small file that another program wrote (Pillow 13.0).
    macro_rules! sample {
        ($name:literal) => {
            include_bytes!(concat!("samples/", $name)).as_slice()
        };
    }

    /// What becomes of a file: channels and bits of its image, or the rule that refuses it.
    fn fate(bytes: &[u8]) -> Result<(usize, u8), &'static str> {
        image(bytes).map(|image| (image.channels, image.bits)).map_err(|refused| refused.rule())
    }

    #[test]
    fn files_of_other_programs_are_read_or_refused_by_what_they_are() {
        let values = "its values are not grey, two energies or RGB of 8 or 16 bits";
        let turned = "its EXIF asks for a rotation";
        for (name, bytes, expected) in [
            ("grey.png", sample!("grey.png"), Ok((1, 8))),
            ("grey.jpg", sample!("grey.jpg"), Ok((1, 8))),
            ("colour.jpg", sample!("colour.jpg"), Ok((3, 8))),
            ("progressive.jpg", sample!("progressive.jpg"), Ok((1, 8))),
            ("rgb.tif", sample!("rgb.tif"), Ok((3, 8))),
            ("two_energies.tif", sample!("two_energies.tif"), Ok((2, 16))),
            ("views.tif", sample!("views.tif"), Ok((1, 16))),
            ("palette.png", sample!("palette.png"), Ok((3, 8))),
            ("bilevel.png", sample!("bilevel.png"), Ok((1, 8))),
            ("opaque.png", sample!("opaque.png"), Ok((3, 8))),
            ("transparent.png", sample!("transparent.png"), Err(values)),
            ("cmyk.jpg", sample!("cmyk.jpg"), Err(values)),
            ("float.tif", sample!("float.tif"), Err(values)),
            ("turned.jpg", sample!("turned.jpg"), Err(turned)),
            ("turned.png", sample!("turned.png"), Err(turned)),
            ("animated.png", sample!("animated.png"), Err("it is an animation")),
            ("animated.gif", sample!("animated.gif"), Err("it is not a PNG, JPEG, TIFF or DICOM file")),
        ] {
            assert_eq!(fate(bytes), expected, "{name}");
        }
    }

    #[test]
    fn a_jpeg_of_other_precision_or_without_pixels_or_cut_short_is_refused() {
        let whole = sample!("grey.jpg");
        let frame = whole.windows(2).position(|marker| marker == [0xFF, 0xC0]).expect("a frame header");
        let changed = |at: usize, bytes: &[u8]| {
            let mut file = whole.to_vec();
            file[frame + at..][..bytes.len()].copy_from_slice(bytes);
            fate(&file)
        };
        for bits in [12, 16] {
            assert_eq!(
                changed(4, &[bits]),
                Err("its values are not grey, two energies or RGB of 8 or 16 bits")
            );
            let mut file = whole.to_vec();
            file[frame + 4] = bits;
            let said = decode(&file).expect_err("is refused").to_string();
            let expected = format!("it holds JPEG values of {bits} bits of precision; convert it");
            assert!(said.starts_with(&expected), "{said}");
        }
        assert_eq!(changed(5, &[0, 0]), Err("it has no pixels"));
        assert_eq!(changed(5, &[0xFF; 4]), Err("it declares more pixels than are read"));
        assert_eq!(fate(&whole[..whole.len() * 2 / 3]), Err("it cannot be decoded"));
    }

    #[test]
    fn a_tiff_of_a_declared_size_or_without_pixels_or_cut_short_is_refused() {
        let whole = crate::image::encode::tiff(&raster(1, 16)).expect("writes");
        assert_eq!(decode(&whole).expect("reads"), [raster(1, 16)]);
        let number =
            |at: usize| u32::from_le_bytes(whole[at..at + 4].try_into().expect("four bytes")) as usize;
        let directory = number(4);
        let entry = |tag: u16| {
            let mut places = (0..usize::from(whole[directory])).map(|entry| directory + 2 + entry * 12);
            places.find(|place| whole[*place..*place + 2] == tag.to_le_bytes()).expect("an entry")
        };
        let sized = |width: u16, height: u16| {
            let mut file = whole.clone();
            // Its one strip has all rows.
            for (tag, value) in [(256, width), (257, height), (278, height)] {
                file[entry(tag) + 8..][..2].copy_from_slice(&value.to_le_bytes());
            }
            fate(&file)
        };
        assert_eq!(sized(60_000, 60_000), Err("it declares more pixels than are read"));
        assert_eq!(sized(7, 0), Err("it has no pixels"));
        // Within what is read, but more than the file can hold.
        assert_eq!(sized(4000, 4000), Err("it cannot be decoded"));
        for end in [4, 7, directory, directory + 20, whole.len() - 20] {
            assert_eq!(fate(&whole[..end]), Err("it cannot be decoded"), "cut at {end} of {}", whole.len());
        }
    }

    #[test]
    fn an_image_of_one_line_is_read() {
        let line = Raster { width: 1, height: 100_000, channels: 1, bits: 8, values: vec![7; 100_000] };
        assert_eq!(image(&encode(&line).expect("writes")).expect("reads"), line);
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
