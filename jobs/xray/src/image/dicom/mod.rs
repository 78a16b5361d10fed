//! Pixel data of DICOM files, as security scanners that follow DICOS and medical ones write them.
//!
//! Source: NEMA PS3.10 (file), PS3.5 (data elements, native and encapsulated pixel data, RLE in annex G) and PS3.3,
//! section C.7.6.3 (pixels). What is read: little-endian files with uncompressed pixels, RLE, or baseline JPEG; grey
//! (`MONOCHROME2`, and `MONOCHROME1`, which is turned over so that white is all radiation) and RGB. Values of fewer bits
//! than they are stored in are spread over 8 or 16 bits; windows and rescaling are for display and are not applied. Only the
//! elements of the first level are looked at. Nothing is taken at its word: memory is asked for once the bytes are known to
//! be there. Start at [`header`].

use super::{raster::Raster, refused::Refused};

/// Nesting of sequences at most.
const DEEPEST: usize = 16;

/// A length that is not given: the element ends with a delimiter.
const UNDEFINED: u32 = u32::MAX;

/// Bytes that one byte of runs (RLE) unpacks to, at most: two give 128.
const UNPACKED: usize = 64;

/// Transfer syntaxes that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syntax {
    Native { is_explicit: bool },
    Rle,
    Jpeg,
}

impl Syntax {
    fn of(uid: &str) -> Result<Self, Refused> {
        match uid {
            "1.2.840.10008.1.2" => Ok(Self::Native { is_explicit: false }),
            "1.2.840.10008.1.2.1" => Ok(Self::Native { is_explicit: true }),
            "1.2.840.10008.1.2.5" => Ok(Self::Rle),
            "1.2.840.10008.1.2.4.50" => Ok(Self::Jpeg),
            other => Err(Refused::Packed(other.to_owned())),
        }
    }

    fn is_explicit(self) -> bool {
        self != Self::Native { is_explicit: false }
    }
}

/// An element's group and number.
type Tag = (u16, u16);

const SYNTAX: Tag = (0x0002, 0x0010);
const SAMPLES: Tag = (0x0028, 0x0002);
const PHOTOMETRIC: Tag = (0x0028, 0x0004);
const PLANAR: Tag = (0x0028, 0x0006);
const FRAMES: Tag = (0x0028, 0x0008);
const ROWS: Tag = (0x0028, 0x0010);
const COLUMNS: Tag = (0x0028, 0x0011);
const ALLOCATED: Tag = (0x0028, 0x0100);
const STORED: Tag = (0x0028, 0x0101);
const HIGH_BIT: Tag = (0x0028, 0x0102);
const SIGNED: Tag = (0x0028, 0x0103);
const PIXELS: Tag = (0x7FE0, 0x0010);
const ITEM: Tag = (0xFFFE, 0xE000);
const END_OF_ITEM: Tag = (0xFFFE, 0xE00D);
const END_OF_SEQUENCE: Tag = (0xFFFE, 0xE0DD);

/// What a file says of its pixels, and where they lie.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) width: u64,
    pub(super) height: u64,
    /// Images in the file.
    pub(super) frames: u64,
    syntax: Syntax,
    /// 1 or 3.
    channels: usize,
    /// Bits of a value in the file, 8 or 16, and those of them that count.
    bits: (u8, u8),
    is_inverted: bool,
    /// Whether all values of a channel come before those of the next.
    is_planar: bool,
    /// The pixels, or one piece for each of the encapsulated fragments.
    pieces: Vec<&'a [u8]>,
}

/// The bytes of a file, element by element.
struct Elements<'a> {
    rest: &'a [u8],
    is_explicit: bool,
}

/// An element whose value has not been read yet.
struct Element {
    tag: Tag,
    length: u32,
}

fn damaged(what: &str) -> Refused {
    Refused::Damaged(what.to_owned())
}

impl<'a> Elements<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Refused> {
        let (taken, rest) =
            self.rest.split_at_checked(length).ok_or_else(|| damaged("a DICOM element is cut short"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn short(&mut self) -> Result<u16, Refused> {
        let bytes = self.take(2)?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    fn long(&mut self) -> Result<u32, Refused> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// The tag and the length of the next element; items have no type in any transfer syntax.
    fn next(&mut self) -> Result<Element, Refused> {
        let tag = (self.short()?, self.short()?);
        if tag.0 == ITEM.0 || !self.is_explicit {
            return Ok(Element { tag, length: self.long()? });
        }
        let length = match self.take(2)? {
            b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT"
            | b"UV" => {
                self.short()?;
                self.long()?
            }
            _ => u32::from(self.short()?),
        };
        Ok(Element { tag, length })
    }

    /// Passes over an element's value, be it a sequence without a length.
    fn skip(&mut self, element: &Element, depth: usize) -> Result<(), Refused> {
        if element.length != UNDEFINED {
            return self.take(element.length as usize).map(|_| ());
        }
        if depth == DEEPEST {
            return Err(damaged("DICOM sequences are nested too deeply"));
        }
        loop {
            let item = self.next()?;
            match item.tag {
                END_OF_SEQUENCE => return Ok(()),
                ITEM if item.length == UNDEFINED => loop {
                    let inner = self.next()?;
                    if inner.tag == END_OF_ITEM {
                        break;
                    }
                    self.skip(&inner, depth + 1)?;
                },
                ITEM => self.skip(&item, depth)?,
                _ => return Err(damaged("a DICOM sequence has something between its items")),
            }
        }
    }

    /// The fragments of encapsulated pixels, without the table of their places.
    fn fragments(&mut self) -> Result<Vec<&'a [u8]>, Refused> {
        let mut fragments = Vec::new();
        loop {
            let item = self.next()?;
            match item.tag {
                END_OF_SEQUENCE => break,
                ITEM if item.length != UNDEFINED => fragments.push(self.take(item.length as usize)?),
                _ => return Err(damaged("encapsulated DICOM pixels have something between their fragments")),
            }
        }
        if fragments.is_empty() {
            return Err(damaged("encapsulated DICOM pixels have no table of fragments"));
        }
        fragments.remove(0);
        Ok(fragments)
    }
}

/// A text, without what pads it.
fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_matches(['\0', ' ']).to_owned()
}

/// A number of 16 bits.
fn number(value: &[u8]) -> Result<u16, Refused> {
    match value {
        [low, high, ..] => Ok(u16::from_le_bytes([*low, *high])),
        _ => Err(damaged("a DICOM number is cut short")),
    }
}

/// Reads what a file says of its pixels.
///
/// # Errors
/// [`Refused::Values`] for pixels that mean something else, [`Refused::Damaged`] for a file that is cut short.
pub(super) fn header(bytes: &[u8]) -> Result<Header<'_>, Refused> {
    let rest = bytes.get(132..).ok_or_else(|| damaged("it is cut short"))?;
    let mut elements = Elements { rest, is_explicit: true };
    let mut syntax = None;
    // The first group is always in explicit form.
    while elements.rest.starts_with(&[2, 0]) {
        let element = elements.next()?;
        let value = elements.take(element.length as usize)?;
        if element.tag == SYNTAX {
            syntax = Some(Syntax::of(&text(value))?);
        }
    }
    let syntax = syntax.ok_or_else(|| damaged("it names no DICOM transfer syntax"))?;
    elements.is_explicit = syntax.is_explicit();
    let (mut samples, mut planar, mut frames, mut rows, mut columns) = (1, 0, 1, None, None);
    let (mut allocated, mut stored, mut high, mut signed) = (None, None, None, 0);
    let mut photometric = String::new();
    let pieces = loop {
        if elements.rest.is_empty() {
            return Err(damaged("it has no DICOM pixels"));
        }
        let element = elements.next()?;
        match element.tag {
            PIXELS if element.length == UNDEFINED => break elements.fragments()?,
            PIXELS => break vec![elements.take(element.length as usize)?],
            SAMPLES | PHOTOMETRIC | PLANAR | FRAMES | ROWS | COLUMNS | ALLOCATED | STORED | HIGH_BIT
            | SIGNED => {
                let value = elements.take(element.length as usize)?;
                match element.tag {
                    PHOTOMETRIC => photometric = text(value),
                    FRAMES => {
                        let given = text(value).parse::<u64>();
                        frames = given.map_err(|_| damaged("its number of DICOM frames is no number"))?;
                    }
                    SAMPLES => samples = number(value)?,
                    PLANAR => planar = number(value)?,
                    ROWS => rows = Some(number(value)?),
                    COLUMNS => columns = Some(number(value)?),
                    ALLOCATED => allocated = Some(number(value)?),
                    STORED => stored = Some(number(value)?),
                    HIGH_BIT => high = Some(number(value)?),
                    _ => signed = number(value)?,
                }
            }
            _ => elements.skip(&element, 0)?,
        }
    };
    let (Some(rows), Some(columns), Some(allocated)) = (rows, columns, allocated) else {
        return Err(damaged("it does not give the extents of its DICOM pixels"));
    };
    let (channels, is_inverted) = match (photometric.as_str(), samples, syntax) {
        ("MONOCHROME2", 1, _) => (1, false),
        ("MONOCHROME1", 1, _) => (1, true),
        ("RGB", 3, _) | ("YBR_FULL" | "YBR_FULL_422", 3, Syntax::Jpeg) => (3, false),
        _ => return Err(Refused::Values(format!("DICOM pixels of {photometric:?}"))),
    };
    let stored = stored.unwrap_or(allocated);
    let bits = match (allocated, stored) {
        (8 | 16, 1..)
            if stored <= allocated
                && signed == 0
                && high.is_none_or(|high| high.checked_add(1) == Some(stored)) =>
        {
            (allocated as u8, stored as u8)
        }
        _ => {
            let sign = if signed == 0 { "" } else { " with a sign" };
            return Err(Refused::Values(format!("DICOM values of {stored} bits in {allocated}{sign}")));
        }
    };
    Ok(Header {
        width: u64::from(columns),
        height: u64::from(rows),
        frames,
        syntax,
        channels,
        bits,
        is_inverted,
        is_planar: planar == 1,
        pieces,
    })
}

impl Header<'_> {
    /// Bytes of one frame in the file.
    fn frame_bytes(&self) -> usize {
        self.width as usize * self.height as usize * self.channels * usize::from(self.bits.0 / 8)
    }

    /// The frames, whose extents the caller has checked; `jpeg` reads a JPEG file.
    ///
    /// # Errors
    /// [`Refused::Damaged`] where there are fewer bytes than the extents ask for.
    pub(super) fn frames(
        &self,
        jpeg: impl Fn(&[u8]) -> Result<Raster, Refused>,
    ) -> Result<Vec<Raster>, Refused> {
        let frames = self.frames as usize;
        if self.syntax == Syntax::Jpeg {
            let read = |bytes: &[u8]| {
                let image = jpeg(bytes)?;
                let form = (image.width as u64, image.height as u64, image.channels);
                if form != (self.width, self.height, self.channels) || self.bits != (8, 8) {
                    return Err(damaged("its DICOM header does not fit its JPEG"));
                }
                Ok(self.turned(image))
            };
            return match self.pieces.as_slice() {
                pieces if pieces.len() == frames => pieces.iter().copied().map(read).collect(),
                pieces if frames == 1 => Ok(vec![read(&pieces.concat())?]),
                pieces => Err(damaged(&format!("{frames} DICOM frames in {} fragments", pieces.len()))),
            };
        }
        let size = self.frame_bytes();
        match (self.syntax, self.pieces.as_slice()) {
            (Syntax::Rle, pieces) if pieces.len() == frames => {
                pieces.iter().map(|piece| Ok(self.raster(&self.unpacked(piece)?))).collect()
            }
            (Syntax::Native { .. }, [pixels]) if pixels.len() / size >= frames => {
                Ok(pixels.chunks_exact(size).take(frames).map(|frame| self.raster(frame)).collect())
            }
            _ => Err(damaged("it has fewer DICOM pixels than its extents say")),
        }
    }

    /// A frame of RLE in the order of uncompressed pixels, channels last, low bytes first.
    fn unpacked(&self, fragment: &[u8]) -> Result<Vec<u8>, Refused> {
        let wrong = || damaged("its DICOM runs (RLE) cannot be unpacked");
        let bytes = usize::from(self.bits.0 / 8);
        let pixels = self.width as usize * self.height as usize;
        let number = |place: usize| -> Result<usize, Refused> {
            let four: [u8; 4] = fragment
                .get(4 * place..4 * place + 4)
                .and_then(|four| four.try_into().ok())
                .ok_or_else(wrong)?;
            Ok(u32::from_le_bytes(four) as usize)
        };
        let segments = self.channels * bytes;
        if number(0)? != segments || fragment.len() * UNPACKED < pixels * segments {
            return Err(wrong());
        }
        let mut out = vec![0; pixels * segments];
        for segment in 0..segments {
            let begin = number(1 + segment)?;
            let end = if segment + 1 < segments { number(2 + segment)? } else { fragment.len() };
            let packed = fragment.get(begin..end).ok_or_else(wrong)?;
            // The segments of a channel begin with its highest byte.
            let (channel, byte) = (segment / bytes, bytes - 1 - segment % bytes);
            let places = out.iter_mut().skip(channel * bytes + byte).step_by(segments);
            unpack(packed, places).ok_or_else(wrong)?;
        }
        Ok(out)
    }

    /// The image of a frame's bytes.
    fn raster(&self, frame: &[u8]) -> Raster {
        let (allocated, stored) = self.bits;
        let most = u32::from(u16::MAX >> (16 - u32::from(stored)));
        let largest = u32::from(u16::MAX >> (16 - u32::from(allocated)));
        let value = |value: u16| {
            let value = u32::from(value) & most;
            ((value * largest + most / 2) / most) as u16
        };
        let mut values: Vec<u16> = match allocated {
            8 => frame.iter().map(|byte| value(u16::from(*byte))).collect(),
            _ => frame.chunks_exact(2).map(|pair| value(u16::from_le_bytes([pair[0], pair[1]]))).collect(),
        };
        // Runs are unpacked with their channels last.
        if self.is_planar && self.channels > 1 && self.syntax != Syntax::Rle {
            let pixels = values.len() / self.channels;
            let channel = |pixel: usize| (0..self.channels).map(move |channel| channel * pixels + pixel);
            values = (0..pixels).flat_map(channel).map(|place| values[place]).collect();
        }
        let (width, height) = (self.width as usize, self.height as usize);
        self.turned(Raster { width, height, channels: self.channels, bits: allocated, values })
    }

    /// The image with white for the largest values.
    fn turned(&self, mut image: Raster) -> Raster {
        if self.is_inverted {
            let largest = image.largest();
            image.values.iter_mut().for_each(|value| *value = largest - *value);
        }
        image
    }
}

/// Writes what runs of bytes (PackBits) give to places; `None` where they do not fill them.
fn unpack<'a>(packed: &[u8], places: impl Iterator<Item = &'a mut u8>) -> Option<()> {
    let mut packed = packed.iter().copied();
    let (mut left, mut repeated) = (0, None);
    for place in places {
        while left == 0 {
            (left, repeated) = match packed.next()? {
                literal @ 0..=127 => (usize::from(literal) + 1, None),
                128 => (0, None),
                run => (257 - usize::from(run), Some(packed.next()?)),
            };
        }
        *place = match repeated {
            Some(value) => value,
            None => packed.next()?,
        };
        left -= 1;
    }
    Some(())
}

#[cfg(test)]
mod tests;
