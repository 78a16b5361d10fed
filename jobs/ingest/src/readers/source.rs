//! The bytes of an export: decompressed by their magic bytes, read as UTF-8, and their digest, by which a file is
//! recognised. Start at [`Bytes::new`].

use std::{
    fs::File,
    io::{self, Cursor, Read},
    path::Path,
};

use bzip2::read::MultiBzDecoder;
use liblzma::read::XzDecoder;
use sha2::{Digest, Sha256};
use tidewaiter_core::{Error, Result, ResultExt, threads::check};

use super::{gzip::GzipMembers, kinds, zip};
use crate::{
    encoding::{Decoded, Encoding},
    remote::RemoteFile,
};

/// The bytes by which the kind and the encoding of a text are recognised.
const START: usize = 4096;

/// A decompressed stream with the name of its file.
pub(super) struct Bytes {
    name: String,
    compression: Option<&'static str>,
    /// The first bytes, decompressed.
    start: Vec<u8>,
    read: Box<dyn Read + Send>,
}

impl Bytes {
    /// The stream of a file. Its compression (gzip of any number of members, zstd, bzip2, xz, a zip archive of one file)
    /// is recognised by its first bytes; anything else that is no text is refused by its name.
    pub(super) fn new(name: &str, mut read: Box<dyn Read + Send>) -> Result<Self> {
        let mut magic = Vec::with_capacity(8);
        let peeked = read.by_ref().take(8).read_to_end(&mut magic);
        peeked.context(|| format!("read {name}"))?;
        if magic.is_empty() {
            return Err(Error::input(format!("{name} is empty")));
        }
        let kind: [u8; 6] = std::array::from_fn(|place| magic.get(place).copied().unwrap_or(0));
        let whole = Cursor::new(magic).chain(read);
        let (compression, read): (_, Box<dyn Read + Send>) = match kind {
            [0x1f, 0x8b, ..] => (Some("gzip"), Box::new(GzipMembers::new(whole))),
            // The second is a skippable frame, with which parallel compressors begin.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                let decoder = zstd::stream::read::Decoder::new(whole);
                (Some("zstd"), Box::new(decoder.context(|| format!("read {name}"))?))
            }
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => (Some("bzip2"), Box::new(MultiBzDecoder::new(whole))),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => (Some("xz"), Box::new(XzDecoder::new_multi_decoder(whole))),
            [b'P', b'K', 1..=8, 1..=8, ..] => (Some("zip"), zip::only_file(name, Box::new(whole))?),
            _ => (None, Box::new(whole)),
        };
        let mut bytes = Self { name: name.to_owned(), compression, start: Vec::new(), read };
        let mut start = Vec::with_capacity(START);
        bytes.fill(&mut start, START)?;
        if let Some(refusal) = kinds::refusal(&start) {
            return Err(Error::input(format!("{name} {refusal}")));
        }
        let rest = std::mem::replace(&mut bytes.read, Box::new(io::empty()));
        bytes.read = Box::new(Cursor::new(start.clone()).chain(rest));
        bytes.start = start;
        Ok(bytes)
    }

    /// The first bytes, which are still to be read.
    pub(super) fn start(&self) -> &[u8] {
        &self.start
    }

    /// The stream as UTF-8, without a byte order mark. The encoding is that of the mark, or else the one given, or else
    /// UTF-8.
    pub(super) fn decoded(mut self, encoding: Option<Encoding>) -> Result<Self> {
        let (encoding, mark) = match Encoding::of_mark(&self.start) {
            Some((encoding, length)) => (encoding, length),
            None => (encoding.unwrap_or(Encoding::UTF_8), 0),
        };
        let mut skipped = Vec::new();
        self.fill(&mut skipped, mark)?;
        if !encoding.is_utf_8() {
            let read = std::mem::replace(&mut self.read, Box::new(io::empty()));
            self.read = Box::new(Decoded::new(read, encoding));
        }
        Ok(self)
    }

    /// Appends `wanted` bytes to the buffer, fewer only at the end, and gives their number.
    pub(super) fn fill(&mut self, buffer: &mut Vec<u8>, wanted: usize) -> Result<usize> {
        let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
        self.read.by_ref().take(wanted).read_to_end(buffer).map_err(|error| {
            let ours = error.get_ref().is_some_and(|inner| inner.is::<Error>());
            let damaged = matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::InvalidData
                    | io::ErrorKind::InvalidInput
                    | io::ErrorKind::Other
            );
            match self.compression {
                Some(compression) if damaged && !ours => {
                    let text = format!(
                        "{} is cut off or damaged: its {compression} stream does not end as it should; export or copy it again",
                        self.name
                    );
                    Error::input(text).with_source(error)
                }
                // It has the name of the file already.
                _ if ours => error.into(),
                _ => {
                    let read = Err::<(), _>(error).context(|| format!("read {}", self.name));
                    read.err().unwrap_or_else(|| Error::internal("an error was lost"))
                }
            }
        })
    }
}

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read.read(buffer)
    }
}

/// The SHA-256 of the bytes of a file (not decompressed), in lower-case hexadecimal.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::NotFound`] when there is no such file, [`tidewaiter_core::ErrorKind::Input`] when it is a
/// folder; the kind of the failure when it cannot be read.
pub fn source_digest(path: &Path) -> Result<String> {
    if path.is_dir() {
        return Err(Error::input(format!(
            "{0} is a folder; name its files, such as {0}/*.csv",
            path.display()
        )));
    }
    let digest = || -> Result<String> {
        let mut file: Box<dyn Read> = match RemoteFile::open(&path.display().to_string())? {
            Some(file) => Box::new(file),
            None => Box::new(File::open(path)?),
        };
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 18];
        loop {
            check()?;
            let length = file.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            hasher.update(&buffer[..length]);
        }
        Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    };
    digest().context(|| format!("read {}", path.display()))
}
