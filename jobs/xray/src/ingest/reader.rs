//! The bytes of image files, wherever they lie.
//!
//! A file that is shorter, longer or otherwise damaged is told by its reason; only what cannot be opened is an error.
//! Members of a gzip stream are read in their order without unpacking the stream again. Start at [`Reader::read`].

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

use flate2::read::{DeflateDecoder, MultiGzDecoder};
use tidewaiter_core::{Result, ResultExt};

use super::source::{Packing, Source};

/// Reads sources, one after the other.
#[derive(Default)]
pub(super) struct Reader {
    /// The archive that is open, and where in it, or in what it unpacks to, the next byte lies.
    open: Option<Open>,
}

struct Open {
    path: String,
    kind: Stream,
}

enum Stream {
    Plain(File),
    Gzip { stream: Box<MultiGzDecoder<BufReader<File>>>, position: u64 },
}

impl Reader {
    /// The bytes of a source; the reason where it is damaged.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(super) fn read(&mut self, source: &Source) -> Result<Result<Vec<u8>, String>> {
        let read = match self.stream(source)? {
            Stream::Plain(file) => file.seek(SeekFrom::Start(source.begin)).and_then(|_| {
                let stored = BufReader::new(file).take(source.stored);
                match source.packing {
                    Packing::Deflated => filled(DeflateDecoder::new(stored), source.size),
                    Packing::Plain | Packing::InGzip => filled(stored, source.size),
                }
            }),
            Stream::Gzip { stream, position } => {
                let before = source.begin - *position;
                let read = io::copy(&mut stream.as_mut().take(before), &mut io::sink())
                    .and_then(|_| filled(stream.as_mut().take(source.size), source.size));
                *position = source.begin + source.size;
                read
            }
        };
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                // Where a stream stands after an error is not known.
                self.open = None;
                return Ok(Err(error.to_string()));
            }
        };
        if bytes.len() as u64 != source.size {
            return Ok(Err(format!("it does not have the {} bytes that it should have", source.size)));
        }
        if source.checksum.is_some_and(|checksum| crc32fast::hash(&bytes) != checksum) {
            return Ok(Err("its bytes do not have their checksum".to_owned()));
        }
        Ok(Ok(bytes))
    }

    /// The stream in which a source lies, not beyond its beginning.
    fn stream(&mut self, source: &Source) -> Result<&mut Stream> {
        let fits = |open: &Open| {
            open.path == source.path
                && match &open.kind {
                    Stream::Plain(_) => true,
                    Stream::Gzip { position, .. } => *position <= source.begin,
                }
        };
        let open = match self.open.take().filter(fits) {
            Some(open) => open,
            None => {
                let file = File::open(&source.path).context(|| format!("open {}", source.path))?;
                let kind = match source.packing {
                    Packing::InGzip => {
                        let stream = Box::new(MultiGzDecoder::new(BufReader::new(file)));
                        Stream::Gzip { stream, position: 0 }
                    }
                    Packing::Plain | Packing::Deflated => Stream::Plain(file),
                };
                Open { path: source.path.clone(), kind }
            }
        };
        Ok(&mut self.open.insert(open).kind)
    }
}

/// The bytes of a stream: as many as wanted, or one more where it has more.
fn filled(read: impl Read, wanted: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(wanted).unwrap_or(0) + 1);
    read.take(wanted + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder},
    };

    use super::*;
    use crate::ingest::tests::{listed, tar_of};

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("in memory");
        encoder.finish().expect("in memory")
    }

    #[test]
    fn a_member_with_other_bytes_than_listed_is_damaged() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.zip");
        let packed = deflated(b"hello, hello");
        std::fs::write(&path, &packed).expect("written");
        let source = Source {
            path: path.display().to_string(),
            name: "a.png".into(),
            begin: 0,
            stored: packed.len() as u64,
            size: 12,
            packing: Packing::Deflated,
            checksum: Some(crc32fast::hash(b"hello, hello")),
            modified: 0,
        };
        let mut reader = Reader::default();
        assert_eq!(reader.read(&source).expect("opens").expect("reads"), b"hello, hello");
        for damaged in [
            Source { size: 11, ..source.clone() },
            Source { size: 13, ..source.clone() },
            Source { checksum: Some(1), ..source.clone() },
            Source { stored: 4, ..source.clone() },
        ] {
            assert!(reader.read(&damaged).expect("opens").is_err(), "{damaged:?}");
        }
        assert!(reader.read(&Source { path: "/no/such.zip".into(), ..source }).is_err());
    }

    fn all(sources: &[Source]) -> Vec<Vec<u8>> {
        let mut reader = Reader::default();
        sources.iter().map(|source| reader.read(source).expect("opens").expect("reads")).collect()
    }

    #[test]
    fn members_of_a_tar_are_ranges_and_links_are_refused() {
        let tar = tar_of(&[("one.png", b"one"), ("two.png", b"zwei")]);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&tar).expect("in memory");
        let gzip = gzip.finish().expect("in memory");
        for (name, bytes) in [("images.tar", &tar), ("images.tar.gz", &gzip), ("images.tgz", &gzip)] {
            let (listing, _folder) = listed(name, bytes);
            assert_eq!(all(&listing.sources), [b"one".to_vec(), b"zwei".to_vec()], "{name}");
            assert_eq!(listing.sources[0].modified, 1_600_000_000);
            let refused: Vec<_> = listing.refused.iter().map(|refusal| refusal.name.as_str()).collect();
            assert_eq!(refused, ["../out.png", "link.png"], "{name}");
        }
        let (listing, _folder) = listed("cut.tar.gz", &gzip[..gzip.len() / 2]);
        assert!(listing.refused.iter().any(|refusal| refusal.rule.contains("rest of the archive")));
    }
}
