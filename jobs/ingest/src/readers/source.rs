//! The bytes of an export: decompressed by their magic bytes, and their digest, by which a file is recognised.

use std::{
    fs::File,
    io::{self, Cursor, Read},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use tidewaiter_core::{Error, Result, ResultExt};

/// A decompressed stream with the name of its file.
pub(super) struct Bytes {
    name: String,
    compression: Option<&'static str>,
    read: Box<dyn Read + Send>,
}

impl Bytes {
    /// The stream of a file: gzip (of any number of members) and zstd are recognised by their first bytes.
    pub(super) fn new(name: &str, mut read: Box<dyn Read + Send>) -> Result<Self> {
        let mut magic = Vec::with_capacity(4);
        let peeked = read.by_ref().take(4).read_to_end(&mut magic);
        peeked.context(|| format!("read {name}"))?;
        if magic.is_empty() {
            return Err(Error::input(format!("{name} is empty")));
        }
        let kind: [u8; 4] = std::array::from_fn(|place| magic.get(place).copied().unwrap_or(0));
        let whole = Cursor::new(magic).chain(read);
        let (compression, read): (_, Box<dyn Read + Send>) = match kind {
            [0x1f, 0x8b, ..] => (Some("gzip"), Box::new(MultiGzDecoder::new(whole))),
            [0x28, 0xb5, 0x2f, 0xfd] => {
                let decoder = zstd::stream::read::Decoder::new(whole);
                (Some("zstd"), Box::new(decoder.context(|| format!("read {name}"))?))
            }
            [b'P', b'A', b'R', b'1'] => {
                return Err(Error::input(format!(
                    "{name} is a Parquet file; set format = \"parquet\" in the mapping"
                )));
            }
            _ => (None, Box::new(whole)),
        };
        Ok(Self { name: name.to_owned(), compression, read })
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
/// [`tidewaiter_core::ErrorKind::NotFound`] when there is no such file; the kind of the failure when it cannot be read.
pub fn source_digest(path: &Path) -> Result<String> {
    let digest = || -> Result<String> {
        let mut file = File::open(path)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 18];
        loop {
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
