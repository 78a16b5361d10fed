//! Digests of the blocks of a data file, which the file itself carries, so that any part of it is compared when it is
//! read.
//!
//! A Parquet file is row groups, then its end: indexes and footer. When the row groups are written, the CRC-32 of each
//! block of [`BLOCK_BYTES`] of them goes into the footer's key-value metadata. The end has one digest of its own, in the
//! same value; the digits of that digest count as zeros in it. To other readers the value is one more key of the footer.
//! Parquet's own checksums of pages would serve as well, but the library does not write them.
//!
//! What is absent: reading and writing. Start at [`BlockWriter`] and [`Blocks::find`]; [`crate::verified`] compares.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crc32fast::Hasher;

/// The key of the footer's metadata under which the digests are.
pub(crate) const KEY: &str = "tidewaiter.digests";

/// Bytes of a block; the last one of the row groups may be shorter.
pub(crate) const BLOCK_BYTES: u64 = 64 << 10;

/// What the value begins with: the digest of the end, the bytes of the row groups and the digests of their blocks follow,
/// in hexadecimal digits, with a colon between.
const MARK: &str = "tidewaiter-crc32:";

/// The digits of a digest, and those of the number of bytes.
const DIGITS: usize = 8;
const SIZE_DIGITS: usize = 16;

/// What a Parquet file ends with, after the length of its footer in four bytes.
const MAGIC: &[u8] = b"PAR1";

/// The bytes of the footer's length and of the magic.
const LAST: usize = 8;

/// Counts the bytes of a file while it is written. Clones count the same file: where its bytes are sent, and where its
/// footer is made.
#[derive(Debug, Clone, Default)]
pub(crate) struct BlockWriter(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    digests: Vec<u32>,
    bytes: u64,
    block: Hasher,
    /// Whether the next bytes are the end of the file.
    is_ending: bool,
}

impl BlockWriter {
    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next bytes of the row groups.
    pub(crate) fn update(&self, mut bytes: &[u8]) {
        let mut counted = self.counted();
        while !bytes.is_empty() {
            let room = BLOCK_BYTES - counted.bytes % BLOCK_BYTES;
            let length = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            counted.block.update(&bytes[..length]);
            counted.bytes += length as u64;
            if counted.bytes.is_multiple_of(BLOCK_BYTES) {
                let block = std::mem::take(&mut counted.block);
                counted.digests.push(block.finalize());
            }
            bytes = &bytes[length..];
        }
    }

    /// The value for the footer, when all row groups are written. The next bytes are the end of the file.
    pub(crate) fn value(&self) -> String {
        let mut counted = self.counted();
        counted.is_ending = true;
        let last = (!counted.bytes.is_multiple_of(BLOCK_BYTES)).then(|| counted.block.clone().finalize());
        let digests: String = counted.digests.iter().copied().chain(last).map(hexadecimal).collect();
        format!("{MARK}{}:{:0SIZE_DIGITS$x}:{digests}", hexadecimal(0), counted.bytes)
    }

    /// Whether the next bytes are the end of the file.
    pub(crate) fn is_ending(&self) -> bool {
        self.counted().is_ending
    }
}

/// Writes the digest of a file's end into it; `false` where it is no end with such a value.
pub(crate) fn seal(end: &mut [u8]) -> bool {
    let Some(place) = footer(end).and_then(|footer| Some(footer.start + mark(&end[footer])?)) else {
        return false;
    };
    let digits = hexadecimal(crc32fast::hash(end));
    end[place..place + DIGITS].copy_from_slice(digits.as_bytes());
    true
}

/// The digests of a file are damaged themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

/// The digests of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blocks {
    digests: Vec<u32>,
    /// Bytes of the row groups.
    bytes: u64,
    end: u32,
    size: u64,
}

impl Blocks {
    /// Those that the last bytes of a file of `size` bytes tell; `None` where the footer has none.
    ///
    /// # Errors
    /// [`Broken`] where it had some.
    pub(crate) fn find(last: &[u8], size: u64) -> Result<Option<Self>, Broken> {
        let Some(footer) = footer(last) else { return Ok(None) };
        let footer = &last[footer];
        match mark(footer) {
            Some(place) => Self::read(&footer[place..], size).ok_or(Broken).map(Some),
            None if footer.windows(KEY.len()).any(|window| window == KEY.as_bytes()) => Err(Broken),
            None => Ok(None),
        }
    }

    /// Those of a value after its mark.
    fn read(value: &[u8], size: u64) -> Option<Self> {
        let (end, value) = (number(value.get(..DIGITS)?)?, value.get(DIGITS + 1..)?);
        let (bytes, value) = (number(value.get(..SIZE_DIGITS)?)?, value.get(SIZE_DIGITS + 1..)?);
        let count = usize::try_from(bytes.div_ceil(BLOCK_BYTES)).ok()?;
        let digits = value.get(..count.checked_mul(DIGITS)?)?;
        let digests: Option<Vec<u32>> = digits
            .chunks_exact(DIGITS)
            .map(|digits| number(digits).and_then(|digest| u32::try_from(digest).ok()))
            .collect();
        (bytes <= size).then_some(Self { digests: digests?, bytes, end: u32::try_from(end).ok()?, size })
    }

    /// The smallest range of whole blocks, or of the whole end, that holds a range.
    pub(crate) fn widened(&self, range: &Range<u64>) -> Range<u64> {
        let first = range.start.min(self.bytes);
        let start = first - first % BLOCK_BYTES;
        let start = if first == self.bytes { self.bytes } else { start };
        let end = match range.end <= self.bytes {
            true => range.end.next_multiple_of(BLOCK_BYTES).min(self.bytes),
            false => self.size,
        };
        start..end
    }

    /// The first of the blocks and the end, as far as they are whole in a part of the file, whose bytes are not those that
    /// were written.
    pub(crate) fn damaged(&self, part: &Range<u64>, bytes: &[u8]) -> Option<Range<u64>> {
        let within = |range: &Range<u64>| {
            let place = |byte: u64| usize::try_from(byte.checked_sub(part.start)?).ok();
            bytes.get(place(range.start)?..place(range.end)?)
        };
        let skipped = part.start.div_ceil(BLOCK_BYTES);
        let blocks = self.digests.iter().enumerate().skip(usize::try_from(skipped).unwrap_or(usize::MAX));
        for (number, digest) in blocks {
            let start = number as u64 * BLOCK_BYTES;
            let block = start..(start + BLOCK_BYTES).min(self.bytes);
            let Some(bytes) = within(&block) else { break };
            if crc32fast::hash(bytes) != *digest {
                return Some(block);
            }
        }
        let end = self.bytes..self.size;
        let bytes = within(&end)?;
        (!has_digest(bytes, self.end)).then_some(end)
    }
}

/// Whether a file's end says that it has a digest, and has it.
fn has_digest(end: &[u8], digest: u32) -> bool {
    let Some(place) = footer(end).and_then(|footer| Some(footer.start + mark(&end[footer])?)) else {
        return false;
    };
    let (before, from) = end.split_at(place);
    let Some((digits, after)) = from.split_at_checked(DIGITS) else { return false };
    let mut hasher = Hasher::new();
    for part in [before, &[b'0'; DIGITS], after] {
        hasher.update(part);
    }
    digits == hexadecimal(digest).as_bytes() && hasher.finalize() == digest
}

/// Where the footer stands in the last bytes of a file, if they hold all of it.
fn footer(last: &[u8]) -> Option<Range<usize>> {
    let end = last.len().checked_sub(LAST)?;
    let (length, magic) = last[end..].split_at(LAST - MAGIC.len());
    let length = usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?;
    (magic == MAGIC).then_some(end.checked_sub(length)?..end)
}

/// The bytes that the last bytes of a file must be so that they hold its footer; `None` where it is no Parquet file.
pub(crate) fn footer_bytes(last: &[u8]) -> Option<u64> {
    let (length, magic) = last.last_chunk::<LAST>()?.split_at(LAST - MAGIC.len());
    let length = u32::from_le_bytes(length.try_into().ok()?);
    (magic == MAGIC).then_some(u64::from(length) + LAST as u64)
}

/// The place after the last mark.
fn mark(footer: &[u8]) -> Option<usize> {
    let place = footer.windows(MARK.len()).rposition(|window| window == MARK.as_bytes())?;
    Some(place + MARK.len())
}

fn hexadecimal(digest: u32) -> String {
    format!("{digest:0DIGITS$x}")
}

fn number(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file of these row groups that carries its digests.
    pub(crate) fn sealed(row_groups: &[u8]) -> Vec<u8> {
        let writer = BlockWriter::default();
        let (a, b) = row_groups.split_at(row_groups.len() / 3);
        writer.update(a);
        writer.update(b);
        let value = writer.value();
        let footer =
            [b"an index and a footer with ", KEY.as_bytes(), value.as_bytes(), b", and more"].concat();
        let length = u32::try_from(footer.len()).expect("short").to_le_bytes();
        let mut end = [&footer[..], &length, MAGIC].concat();
        assert!(seal(&mut end));
        [row_groups, &end].concat()
    }

    #[test]
    fn any_flipped_bit_is_found_in_the_range_that_holds_it() {
        let rows: Vec<u8> =
            (0..3 * BLOCK_BYTES as usize + 77).map(|place| (place * 31 % 251) as u8).collect();
        let file = sealed(&rows);
        let size = file.len() as u64;
        let blocks = Blocks::find(&file, size).expect("sound").expect("it has digests");
        assert_eq!(Blocks::find(&file[file.len() - 300..], size), Ok(Some(blocks.clone())));
        assert_eq!(blocks.damaged(&(0..size), &file), None);
        assert_eq!(blocks.widened(&(5..6)), 0..BLOCK_BYTES);
        assert_eq!(blocks.widened(&(size - 1..size)), rows.len() as u64..size);
        for bit in (0..file.len() * 8).step_by(40_009).chain((rows.len() * 8..file.len() * 8).step_by(7)) {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let found = blocks.damaged(&(0..size), &damaged).expect("it is found");
            assert!(found.contains(&(bit as u64 / 8)), "bit {bit}: {found:?}");
            // The same by the digests of the damaged file alone.
            let damaged_end = bit >= rows.len() * 8;
            let alone =
                Blocks::find(&damaged, size).map(|found| found.map(|own| own.damaged(&(0..size), &damaged)));
            assert!(!damaged_end || alone != Ok(Some(None)), "bit {bit}");
        }
    }

    #[test]
    fn a_file_without_digests_has_none() {
        for file in
            [&b""[..], b"PAR1", b"\x05\0\0\0PAR1", b"no tidewaiter-crc32: here", b"\xff\xff\xff\xffPAR1"]
        {
            assert_eq!(Blocks::find(file, file.len() as u64), Ok(None));
        }
        for broken in [
            &b"tidewaiter-crc32:00000000:00000000000fffff:12\x2d\0\0\0PAR1"[..],
            b"tidewaiter.digests and no more\x1e\0\0\0PAR1",
        ] {
            assert_eq!(Blocks::find(broken, broken.len() as u64), Err(Broken));
        }
    }

    proptest! {
        #[test]
        fn a_widened_range_holds_the_range_and_is_compared_as_a_whole(
            length in 0_u64..3 * BLOCK_BYTES, from in 0_u64..3 * BLOCK_BYTES, more in 1_u64..BLOCK_BYTES
        ) {
            let file = sealed(&vec![7; length as usize]);
            let size = file.len() as u64;
            let blocks = Blocks::find(&file, size).expect("sound").expect("it has digests");
            let range = from.min(size - 1)..(from.min(size - 1) + more).min(size);
            let wide = blocks.widened(&range);
            prop_assert!(wide.start <= range.start && range.end <= wide.end && wide.end <= size);
            prop_assert_eq!(blocks.widened(&wide), wide.clone());
            let place = |byte: u64| byte as usize;
            let mut part = file[place(wide.start)..place(wide.end)].to_vec();
            prop_assert_eq!(blocks.damaged(&wide, &part), None);
            part[place(range.start - wide.start)] ^= 4;
            let found = blocks.damaged(&wide, &part).expect("it is found");
            prop_assert!(found.contains(&range.start));
        }
    }
}
