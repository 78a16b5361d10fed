//! A zip archive of one file, read as a stream.
//!
//! The file is read from its local header on, and its checksum is checked at its end; the archive must end after it,
//! but for folders and what macOS adds. A workbook is a zip archive as well, and is refused by its name. Source: PKWARE,
//! "APPNOTE.TXT - .ZIP File Format Specification", version 6.3. Start at [`only_file`].

use std::io::{self, BufReader, Read};

use flate2::{Crc, bufread::DeflateDecoder};
use tidewaiter_core::{Error, Result};

/// Compressed bytes that are read at a time.
const CHUNK: usize = 64 << 10;

/// The stream of an archive.
type Stream = BufReader<Box<dyn Read + Send>>;

/// What stands before a file in an archive.
struct LocalHeader {
    /// Whether size and checksum stand after the file.
    has_descriptor: bool,
    is_encrypted: bool,
    method: u16,
    checksum: u32,
    compressed: u32,
    name: String,
}

/// The bytes of the only file of an archive.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for a workbook, an empty archive, and a file that is encrypted or compressed by
/// another method than deflate.
pub(super) fn only_file(archive: &str, read: Box<dyn Read + Send>) -> Result<Box<dyn Read + Send>> {
    let refused = |what: &str| Err(Error::input(format!("{archive} {what}")));
    let mut stream = BufReader::with_capacity(CHUNK, read);
    loop {
        let header = match next_header(&mut stream) {
            Ok(Some(header)) => header,
            Ok(None) => return refused("is a zip archive without a file"),
            Err(error) => {
                return Err(Error::input(format!("{archive} is a damaged zip archive; copy it again"))
                    .with_source(error));
            }
        };
        let is_workbook = ["[Content_Types].xml", "xl/", "_rels/", "docProps/", "mimetype"];
        if is_workbook.iter().any(|name| header.name.starts_with(name)) {
            return refused("is a workbook (.xlsx or .ods); save its sheet as CSV");
        }
        if is_extra(&header.name) && header.compressed == 0 && !header.has_descriptor {
            continue;
        }
        if header.is_encrypted {
            return refused("is a zip archive with a password; unpack it");
        }
        let body = match header.method {
            8 => Body::Deflated(Box::new(DeflateDecoder::new(stream))),
            0 if !header.has_descriptor => Body::Stored(stream.take(u64::from(header.compressed))),
            _ => return refused("is a zip archive of a method other than deflate; unpack it"),
        };
        return Ok(Box::new(OnlyFile {
            archive: archive.to_owned(),
            header,
            body,
            checksum: Crc::new(),
            is_over: false,
        }));
    }
}

/// Whether an entry is a folder, or one of those that macOS adds.
fn is_extra(name: &str) -> bool {
    name.ends_with('/') || name.starts_with("__MACOSX/")
}

enum Body {
    Deflated(Box<DeflateDecoder<Stream>>),
    Stored(io::Take<Stream>),
}

impl Body {
    /// The stream after the file.
    fn rest(&mut self) -> &mut Stream {
        match self {
            Self::Deflated(decoder) => decoder.get_mut(),
            Self::Stored(stored) => stored.get_mut(),
        }
    }
}

/// The only file of an archive.
struct OnlyFile {
    archive: String,
    header: LocalHeader,
    body: Body,
    checksum: Crc,
    is_over: bool,
}

impl Read for OnlyFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = match &mut self.body {
            Body::Deflated(decoder) => decoder.read(buffer)?,
            Body::Stored(stored) => stored.read(buffer)?,
        };
        self.checksum.update(&buffer[..length]);
        if length == 0 && !buffer.is_empty() && !self.is_over {
            self.is_over = true;
            self.finish()?;
        }
        Ok(length)
    }
}

impl OnlyFile {
    /// Checks what stands after the file: its checksum, and no other file.
    fn finish(&mut self) -> io::Result<()> {
        let has_descriptor = self.header.has_descriptor;
        let stream = self.body.rest();
        let mut signature = None;
        let checksum = match has_descriptor {
            true => {
                let (checksum, next) = descriptor(stream)?;
                signature = Some(next);
                checksum
            }
            false => self.header.checksum,
        };
        if checksum != self.checksum.sum() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut next = header_after(signature, stream)?;
        while let Some(header) = next {
            if !is_extra(&header.name) || header.has_descriptor && !header.name.starts_with("__MACOSX/") {
                let what =
                    format!("{} is a zip archive of several files; unpack it and name them", self.archive);
                return Err(io::Error::new(io::ErrorKind::InvalidData, Error::input(what)));
            }
            // The files of macOS come last; what is in them does not matter.
            if header.name.starts_with("__MACOSX/") {
                break;
            }
            next = next_header(stream)?;
        }
        Ok(())
    }
}

/// The checksum of the descriptor after a file, and the signature after it. Sizes are of 32 or 64 bits; which, only the
/// signature after them says.
fn descriptor(stream: &mut Stream) -> io::Result<(u32, [u8; 4])> {
    let first = four(stream)?;
    let checksum = if &first == b"PK\x07\x08" { four(stream)? } else { first };
    four(stream)?;
    four(stream)?;
    let mut signature = four(stream)?;
    if signature[..2] != *b"PK" {
        four(stream)?;
        signature = four(stream)?;
    }
    Ok((u32::from_le_bytes(checksum), signature))
}

fn four(stream: &mut Stream) -> io::Result<[u8; 4]> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The next file's header; `None` where the files end.
fn next_header(stream: &mut Stream) -> io::Result<Option<LocalHeader>> {
    header_after(None, stream)
}

/// [`next_header`], whose signature may have been read.
fn header_after(signature: Option<[u8; 4]>, stream: &mut Stream) -> io::Result<Option<LocalHeader>> {
    let signature = signature.map_or_else(|| four(stream), Ok)?;
    match &signature {
        b"PK\x03\x04" => {}
        b"PK\x01\x02" | b"PK\x05\x06" | b"PK\x06\x06" | b"PK\x06\x08" => return Ok(None),
        _ => return Err(io::ErrorKind::InvalidData.into()),
    }
    let mut fixed = [0; 26];
    stream.read_exact(&mut fixed)?;
    let two = |place: usize| u16::from_le_bytes([fixed[place], fixed[place + 1]]);
    let long = |place: usize| u32::from(two(place)) | u32::from(two(place + 2)) << 16;
    let mut name = vec![0; usize::from(two(22))];
    stream.read_exact(&mut name)?;
    io::copy(&mut stream.take(u64::from(two(24))), &mut io::sink())?;
    Ok(Some(LocalHeader {
        has_descriptor: two(2) & 8 != 0,
        is_encrypted: two(2) & 1 != 0,
        method: two(4),
        checksum: long(10),
        compressed: long(14),
        name: String::from_utf8_lossy(&name).into_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use flate2::{Compression, write::DeflateEncoder};
    use proptest::prelude::*;

    use super::*;

    /// A file of an archive, deflated or stored, with its sizes before or after it.
    fn entry(name: &str, text: &[u8], method: u16, has_descriptor: bool) -> Vec<u8> {
        let mut crc = Crc::new();
        crc.update(text);
        let body = match method {
            8 => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(text).expect("in memory");
                encoder.finish().expect("in memory")
            }
            _ => text.to_vec(),
        };
        let sizes = |bytes: &mut Vec<u8>| {
            for number in [crc.sum(), body.len() as u32, text.len() as u32] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        };
        let mut bytes = b"PK\x03\x04\x14\0".to_vec();
        bytes.extend_from_slice(&if has_descriptor { 8_u16 } else { 0 }.to_le_bytes());
        bytes.extend_from_slice(&method.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        if has_descriptor {
            bytes.extend_from_slice(&[0; 12])
        } else {
            sizes(&mut bytes)
        }
        bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&body);
        if has_descriptor {
            bytes.extend_from_slice(b"PK\x07\x08");
            sizes(&mut bytes);
        }
        bytes
    }

    fn read(parts: &[Vec<u8>]) -> std::result::Result<Vec<u8>, String> {
        let bytes = [&parts.concat()[..], b"PK\x01\x02rest"].concat();
        let mut read = only_file("a.zip", Box::new(Cursor::new(bytes))).map_err(|error| error.chain())?;
        let mut text = Vec::new();
        read.read_to_end(&mut text).map_err(|error| error.to_string())?;
        Ok(text)
    }

    #[test]
    fn archives_of_one_file_are_read_and_others_refused() {
        let one = entry("jan.csv", b"a,b\n", 8, false);
        assert_eq!(read(std::slice::from_ref(&one)), Ok(b"a,b\n".to_vec()));
        assert_eq!(read(&[entry("export/", b"", 0, false), one.clone()]), Ok(b"a,b\n".to_vec()));
        assert_eq!(read(&[one.clone(), entry("__MACOSX/._jan.csv", b"x", 8, false)]), Ok(b"a,b\n".to_vec()));
        for (parts, word) in [
            (vec![one.clone(), entry("feb.csv", b"c", 8, true)], "several files"),
            (vec![entry("[Content_Types].xml", b"<x/>", 8, false)], "workbook"),
            (vec![entry("jan.csv", b"a", 12, false)], "method"),
            (vec![], "without a file"),
        ] {
            let error = read(&parts).expect_err(word);
            assert!(error.contains(word), "{word}: {error}");
        }
        let mut damaged = one;
        damaged[14] ^= 1;
        assert!(read(&[damaged]).is_err(), "the checksum is another");
    }

    proptest! {
        #[test]
        fn any_file_is_read_back(text in prop::collection::vec(any::<u8>(), 0..400), deflated: bool, after: bool) {
            let method = if deflated { 8 } else { 0 };
            prop_assert_eq!(read(&[entry("a.csv", &text, method, after && deflated)]), Ok(text));
        }

        #[test]
        fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            bytes.splice(..0, *b"PK\x03\x04");
            let _ = read(&[bytes]);
        }
    }
}
