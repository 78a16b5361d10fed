//! The character encodings of text exports: by the mapping, by a byte order mark, or by an XML declaration.
//!
//! [`Decoded`] reads any of them as UTF-8. Bytes that are no text of the encoding become a byte that is not UTF-8, so
//! that the record that holds them is put aside as one with invalid text, and none is replaced without a word. Start at
//! [`Encoding`].

use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use serde::Deserialize;

/// A character encoding, by its name in the WHATWG's standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Encoding(&'static encoding_rs::Encoding);

impl TryFrom<String> for Encoding {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, &'static str> {
        Self::named(&name)
            .ok_or("unknown encoding, expected utf-8, latin-1, utf-16le or another name of the WHATWG")
    }
}

/// A byte that no UTF-8 text has: it stands for bytes that could not be decoded.
const UNREADABLE: u8 = 0xff;

/// Bytes that are decoded at a time.
const CHUNK: usize = 256 << 10;

impl Encoding {
    /// UTF-8.
    pub const UTF_8: Self = Self(UTF_8);

    /// The encoding of a name.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.trim();
        match name.to_ascii_lowercase().as_str() {
            "latin-1" => Some(Self(WINDOWS_1252)),
            "utf-16" => Some(Self(UTF_16LE)),
            _ => encoding_rs::Encoding::for_label(name.as_bytes()).map(Self),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Whether text is taken as it is.
    pub(crate) fn is_utf_8(self) -> bool {
        self.0 == UTF_8
    }

    /// The encoding that a byte order mark names, and the mark's length.
    pub(crate) fn of_mark(start: &[u8]) -> Option<(Self, usize)> {
        encoding_rs::Encoding::for_bom(start).map(|(encoding, length)| (Self(encoding), length))
    }

    /// The encoding that an XML declaration names, or in which it is written.
    pub(crate) fn of_xml(start: &[u8]) -> Option<Self> {
        if start.starts_with(&[b'<', 0, b'?', 0]) {
            return Some(Self(UTF_16LE));
        }
        if start.starts_with(&[0, b'<', 0, b'?']) {
            return Some(Self(UTF_16BE));
        }
        let declaration = &start[..start.iter().position(|byte| *byte == b'>')?];
        let declaration = std::str::from_utf8(declaration).ok()?.trim_start().strip_prefix("<?xml")?;
        let after = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
        let quote = after.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
        Self::named(after[1..].split(quote).next()?)
    }

    /// The encoding in which text without a mark is most likely written: UTF-16 where every second byte is NUL.
    pub(crate) fn of_nul_bytes(start: &[u8]) -> Option<Self> {
        let is_nul = |odd: usize| {
            let bytes = start.iter().skip(odd).step_by(2);
            let (count, nul) =
                bytes.fold((0, 0), |(count, nul), byte| (count + 1, nul + usize::from(*byte == 0)));
            count > 4 && nul * 4 > count * 3
        };
        match (is_nul(0), is_nul(1)) {
            (false, true) => Some(Self(UTF_16LE)),
            (true, false) => Some(Self(UTF_16BE)),
            _ => None,
        }
    }
}

/// Text of an encoding, read as UTF-8.
pub(crate) struct Decoded<R> {
    read: R,
    decoder: Decoder,
    input: Vec<u8>,
    /// The bytes of `input` that are decoded.
    used: usize,
    output: Vec<u8>,
    /// The bytes of `output` that were given.
    given: usize,
    at_end: bool,
}

impl<R: Read> Decoded<R> {
    /// Reads bytes, from which a byte order mark is already taken.
    pub(crate) fn new(read: R, encoding: Encoding) -> Self {
        let decoder = encoding.0.new_decoder_without_bom_handling();
        Self { read, decoder, input: Vec::new(), used: 0, output: Vec::new(), given: 0, at_end: false }
    }

    /// Decodes some bytes; `output` stays empty only at the end.
    fn decode(&mut self) -> io::Result<()> {
        self.output.clear();
        self.given = 0;
        while self.output.is_empty() && !self.at_end {
            if self.used == self.input.len() {
                self.input.clear();
                self.used = 0;
                self.read.by_ref().take(CHUNK as u64).read_to_end(&mut self.input)?;
            }
            let is_last = self.input.is_empty();
            let length =
                self.decoder.max_utf8_buffer_length_without_replacement(self.input.len() - self.used);
            self.output.resize(length.unwrap_or(4 * CHUNK).max(16), 0);
            let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(
                &self.input[self.used..],
                &mut self.output,
                is_last,
            );
            self.used += read;
            self.output.truncate(written);
            match result {
                DecoderResult::InputEmpty => self.at_end = is_last,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => self.output.push(UNREADABLE),
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.output.len() {
            self.decode()?;
        }
        let length = buffer.len().min(self.output.len() - self.given);
        buffer[..length].copy_from_slice(&self.output[self.given..self.given + length]);
        self.given += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(bytes: &[u8], name: &str) -> Vec<u8> {
        let mut text = Vec::new();
        let encoding = Encoding::named(name).expect("known");
        Decoded::new(bytes, encoding).read_to_end(&mut text).expect("in memory");
        text
    }

    #[test]
    fn texts_are_read_as_utf_8_and_other_bytes_are_marked() {
        assert_eq!(decoded(b"caf\xe9 \x80", "latin-1"), "café €".as_bytes());
        assert_eq!(decoded(b"a\0\xe9\0", "utf-16le"), "aé".as_bytes());
        assert_eq!(decoded(b"\xb1\xb8", "euc-kr"), "구".as_bytes());
        assert!(decoded(b"a\xff\xffb", "euc-kr").contains(&UNREADABLE));
        // Half a character at the end.
        assert_eq!(decoded(b"a\0b", "utf-16le"), b"a\xff");
        assert!(Encoding::named("no-such-code").is_none());
    }

    #[test]
    fn an_encoding_is_found_in_marks_and_declarations() {
        let of_xml = |text: &str| Encoding::of_xml(text.as_bytes()).map(Encoding::name);
        assert_eq!(of_xml("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><log/>"), Some("windows-1252"));
        assert_eq!(of_xml("<?xml version='1.0' encoding = 'UTF-8'?>"), Some("UTF-8"));
        assert_eq!(of_xml("<?xml version='1.0'?><a encoding='latin1'>"), None);
        assert_eq!(of_xml("<log encoding='latin1'>"), None);
        let of_mark = Encoding::of_mark(b"\xff\xfea\0").map(|(found, length)| (found.name(), length));
        assert_eq!(of_mark, Some(("UTF-16LE", 2)));
        let of_nul = |bytes: &[u8]| Encoding::of_nul_bytes(bytes).map(Encoding::name);
        assert_eq!(of_nul(b"d\0e\0c\0l\0;\0x\0"), Some("UTF-16LE"));
        assert_eq!(of_nul(b"\0d\0e\0c\0l\0;\0x"), Some("UTF-16BE"));
        assert_eq!(of_nul(b"decl,item\0,\0x"), None);
    }

    proptest! {
        #[test]
        fn utf_16_is_read_back(text in ".{0,300}") {
            let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            prop_assert_eq!(decoded(&bytes, "utf-16le"), text.as_bytes());
        }
    }
}
