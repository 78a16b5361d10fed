//! Files that are described by their elements, read and refused.

use proptest::prelude::*;

use super::*;
use crate::image::decode::{decode, image};

/// A file that a test describes by its elements.
struct File {
    syntax: &'static str,
    extents: (u16, u16),
    photometric: &'static str,
    samples: u16,
    bits: (u16, u16),
    frames: &'static str,
    is_planar: bool,
    /// The value of the pixels, or the fragments.
    pieces: Vec<Vec<u8>>,
}

const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";
const RLE: &str = "1.2.840.10008.1.2.5";
const JPEG: &str = "1.2.840.10008.1.2.4.50";

fn grey(bits: (u16, u16), values: &[u16]) -> File {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()[..usize::from(bits.0 / 8)].to_vec());
    File {
        syntax: EXPLICIT,
        extents: (3, 2),
        photometric: "MONOCHROME2",
        samples: 1,
        bits,
        frames: "1",
        is_planar: false,
        pieces: vec![bytes.collect()],
    }
}

impl File {
    fn bytes(&self) -> Vec<u8> {
        let mut out = [&[0; 128][..], b"DICM"].concat();
        let padded = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            bytes.resize(bytes.len().next_multiple_of(2), b' ');
            bytes
        };
        element(&mut out, true, SYNTAX, b"UI", &padded(self.syntax));
        let is_explicit = self.syntax != IMPLICIT;
        // A sequence without a length, in whose item lies one that must not be taken for the image's own.
        let long = |out: &mut Vec<u8>, tag: Tag, kind: &[u8], length: u32| {
            out.extend([tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat());
            if is_explicit && tag.0 != ITEM.0 {
                out.extend(kind);
                out.extend([0, 0]);
            }
            out.extend(length.to_le_bytes());
        };
        long(&mut out, (0x0008, 0x1140), b"SQ", UNDEFINED);
        long(&mut out, ITEM, b"", UNDEFINED);
        element(&mut out, is_explicit, ROWS, b"US", &9_u16.to_le_bytes());
        long(&mut out, END_OF_ITEM, b"", 0);
        long(&mut out, ITEM, b"", 0);
        long(&mut out, END_OF_SEQUENCE, b"", 0);
        let short = |out: &mut Vec<u8>, tag, value: u16| {
            element(out, is_explicit, tag, b"US", &value.to_le_bytes());
        };
        short(&mut out, SAMPLES, self.samples);
        element(&mut out, is_explicit, PHOTOMETRIC, b"CS", &padded(self.photometric));
        short(&mut out, PLANAR, u16::from(self.is_planar));
        element(&mut out, is_explicit, FRAMES, b"IS", &padded(self.frames));
        short(&mut out, ROWS, self.extents.1);
        short(&mut out, COLUMNS, self.extents.0);
        short(&mut out, ALLOCATED, self.bits.0);
        short(&mut out, STORED, self.bits.1);
        short(&mut out, HIGH_BIT, self.bits.1.wrapping_sub(1));
        short(&mut out, SIGNED, 0);
        if [RLE, JPEG].contains(&self.syntax) {
            long(&mut out, PIXELS, b"OB", UNDEFINED);
            long(&mut out, ITEM, b"", 0);
            for piece in &self.pieces {
                long(&mut out, ITEM, b"", piece.len() as u32);
                out.extend(piece);
            }
            long(&mut out, END_OF_SEQUENCE, b"", 0);
        } else {
            let pixels = self.pieces.concat();
            long(&mut out, PIXELS, b"OW", pixels.len() as u32);
            out.extend(pixels);
        }
        out
    }
}

/// Appends an element with a short length.
fn element(out: &mut Vec<u8>, is_explicit: bool, tag: Tag, kind: &[u8; 2], value: &[u8]) {
    out.extend([tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat());
    if is_explicit {
        out.extend(kind);
        out.extend((value.len() as u16).to_le_bytes());
    } else {
        out.extend((value.len() as u32).to_le_bytes());
    }
    out.extend(value);
}

#[test]
fn grey_of_both_forms_is_read_and_spread_over_its_bits() {
    let wanted = |bits, values: Vec<u16>| Raster { width: 3, height: 2, channels: 1, bits, values };
    let eight = grey((8, 8), &[0, 1, 2, 127, 254, 255]);
    assert_eq!(decode(&eight.bytes()).expect("reads"), [wanted(8, vec![0, 1, 2, 127, 254, 255])]);
    for syntax in [EXPLICIT, IMPLICIT] {
        let twelve = File { syntax, ..grey((16, 12), &[0, 1, 2048, 4095, 0xF000, 0x1001]) };
        let spread = vec![0, 16, 32_776, 65_535, 0, 16];
        assert_eq!(decode(&twelve.bytes()).expect("reads"), [wanted(16, spread)], "{syntax}");
    }
    let inverted = File { photometric: "MONOCHROME1", ..grey((16, 16), &[0, 1, 2, 3, 4, 65_535]) };
    let turned = vec![65_535, 65_534, 65_533, 65_532, 65_531, 0];
    assert_eq!(decode(&inverted.bytes()).expect("reads"), [wanted(16, turned)]);
}

#[test]
fn two_frames_are_two_energies_and_planes_become_pixels() {
    let values: Vec<u16> = (0..12).map(|value| value * 5000).collect();
    let pair = File { frames: "2", ..grey((16, 16), &values) };
    let joined = image(&pair.bytes()).expect("reads");
    assert_eq!((joined.channels, joined.values[..4].to_vec()), (2, vec![0, 30_000, 5000, 35_000]));
    let colours: Vec<u16> = (0..18).collect();
    let whole = File { photometric: "RGB", samples: 3, ..grey((8, 8), &colours) };
    assert_eq!(decode(&whole.bytes()).expect("reads")[0].values, colours);
    let planar = File { is_planar: true, ..whole };
    assert_eq!(decode(&planar.bytes()).expect("reads")[0].values[..6], [0, 6, 12, 1, 7, 13]);
}

/// A frame of runs: a header, and literal runs of each segment, the first of them with a repetition before it.
fn runs(segments: &[&[u8]]) -> Vec<u8> {
    let mut bodies = Vec::new();
    let mut header = vec![segments.len() as u32];
    for values in segments {
        header.push((64 + bodies.len()) as u32);
        // Two equal values, a byte that does nothing, then the others as they are.
        bodies.extend([255, values[0], 128, (values.len() - 3) as u8]);
        bodies.extend(&values[2..]);
    }
    header.resize(16, 0);
    [header.iter().flat_map(|number| number.to_le_bytes()).collect(), bodies].concat()
}

#[test]
fn runs_are_unpacked_by_bytes_and_channels() {
    let sixteen = runs(&[&[1, 1, 2, 3, 4, 5], &[7, 7, 0, 0, 0, 9]]);
    let file = File { syntax: RLE, pieces: vec![sixteen], ..grey((16, 16), &[]) };
    let values = decode(&file.bytes()).expect("reads")[0].values.clone();
    assert_eq!(values, [0x0107, 0x0107, 0x0200, 0x0300, 0x0400, 0x0509]);
    let colours = runs(&[&[1, 1, 1, 1, 1, 2], &[3, 3, 3, 3, 3, 4], &[5, 5, 5, 5, 5, 6]]);
    let (photometric, samples, is_planar) = ("RGB", 3, true);
    let file =
        File { syntax: RLE, photometric, samples, is_planar, pieces: vec![colours], ..grey((8, 8), &[]) };
    let values = decode(&file.bytes()).expect("reads")[0].values.clone();
    assert_eq!((&values[..3], &values[15..]), (&[1, 3, 5][..], &[2, 4, 6][..]));
}

#[test]
fn baseline_jpeg_is_read_in_one_fragment_or_several() {
    let jpeg = include_bytes!("../samples/grey.jpg").as_slice();
    let alone = &decode(jpeg).expect("reads")[0];
    let extents = (alone.width as u16, alone.height as u16);
    let (first, second) = jpeg.split_at(jpeg.len() / 2);
    for pieces in [vec![jpeg.to_vec()], vec![first.to_vec(), second.to_vec()]] {
        let file = File { syntax: JPEG, extents, pieces, ..grey((8, 8), &[]) };
        assert_eq!(&decode(&file.bytes()).expect("reads")[0], alone);
    }
    let other = File { syntax: JPEG, extents: (3, 2), pieces: vec![jpeg.to_vec()], ..grey((8, 8), &[]) };
    assert!(decode(&other.bytes()).is_err(), "its extents are others");
}

#[test]
fn what_is_not_read_is_refused_by_what_it_is() {
    let values = "its values are not grey, two energies or RGB of 8 or 16 bits";
    let large = "it declares more pixels than are read";
    let good = || grey((16, 16), &[0; 6]);
    for (file, rule) in [
        (File { syntax: "1.2.840.10008.1.2.4.90", ..good() }, "its DICOM transfer syntax is not read"),
        (File { photometric: "PALETTE COLOR", ..good() }, values),
        (File { bits: (16, 17), ..good() }, values),
        (File { bits: (32, 32), ..good() }, values),
        (File { frames: "many", ..good() }, "it cannot be decoded"),
        (File { frames: "2", ..good() }, "it cannot be decoded"),
        (File { frames: "0", ..good() }, "it has no pixels"),
        (File { extents: (0, 2), ..good() }, "it has no pixels"),
        (File { extents: (65_535, 65_535), ..good() }, large),
        (File { frames: "4000000000", ..good() }, large),
        // Runs of a few bytes cannot give 60,000 × 4,000 pixels: no memory is taken for them.
        (File { syntax: RLE, extents: (60_000, 4000), ..good() }, "it cannot be decoded"),
    ] {
        let error = decode(&file.bytes()).expect_err(rule);
        assert_eq!(error.rule(), rule, "{error}");
    }
    let whole = good().bytes();
    for end in 132..whole.len() {
        assert!(decode(&whole[..end]).is_err(), "cut at {end}");
    }
}

proptest! {
    #[test]
    fn any_change_of_a_file_is_read_or_refused(at in 128usize..400, byte: u8, is_runs: bool) {
        let runs = runs(&[&[1, 1, 2, 3, 4, 5], &[7, 7, 0, 0, 0, 9]]);
        let file = match is_runs {
            true => File { syntax: RLE, pieces: vec![runs], ..grey((16, 16), &[]) },
            false => grey((16, 12), &[1, 2, 3, 4, 5, 6]),
        };
        let mut bytes = file.bytes();
        let at = at.min(bytes.len() - 1);
        bytes[at] = byte;
        // It must not panic; what it says does not matter.
        drop(decode(&bytes));
    }
}
