//! Where image files lie: in folders, and inside TAR (plain or gzip) and ZIP archives, which are not unpacked.
//!
//! A member of an archive is a range of the archive's bytes, or of what its gzip stream gives. Links, names that lead out
//! of the archive (`..`, absolute ones), members larger than [`LARGEST_FILE`] and those that unpack to far more bytes than
//! they take are refused with the reason. Start at [`list`]; [`super::reader`] reads what is listed.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::{Component, Path},
    time::UNIX_EPOCH,
};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result, ResultExt};

/// Bytes of one image file at most.
pub(super) const LARGEST_FILE: u64 = 256 << 20;

/// Bytes that packed data may unpack to in any case, and how many for each packed byte beyond that: images, which are
/// packed already, and raw ones, stay far below.
const UNPACKED: (u64, u64) = (64 << 20, 200);

/// Endings of files that describe images and are none.
const DESCRIPTIONS: [&str; 8] = ["xml", "json", "txt", "csv", "toml", "yaml", "names", "md"];

/// How a file lies in what holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Packing {
    /// As it is.
    Plain,
    /// Compressed by itself, in a ZIP archive.
    Deflated,
    /// As it is in the stream that the whole archive unpacks to.
    InGzip,
}

/// One image file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Source {
    /// The path of the file, or of the archive that holds it.
    pub(super) path: String,
    /// Its name, with the folders below the one that was named, or in the archive.
    pub(super) name: String,
    /// Where its bytes begin.
    pub(super) begin: u64,
    /// How many bytes it takes there.
    pub(super) stored: u64,
    /// How many bytes it has.
    pub(super) size: u64,
    pub(super) packing: Packing,
    /// The CRC-32 of its bytes, where the archive has one.
    pub(super) checksum: Option<u32>,
    /// When it was changed last, seconds since 1970 UTC.
    pub(super) modified: i64,
}

/// Something that is not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refusal {
    /// The file, or the annotation.
    pub(super) name: String,
    /// Why, without particulars.
    pub(super) rule: String,
    /// The particulars.
    pub(super) value: String,
}

impl Refusal {
    pub(super) fn new(name: impl Into<String>, rule: &str, value: impl Into<String>) -> Self {
        Self { name: name.into(), rule: rule.to_owned(), value: value.into() }
    }
}

/// What was named: a folder, an archive or an image file. It is a source of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    pub(super) path: String,
    pub(super) is_folder: bool,
    /// The number of its first image among all that are listed, from 0.
    pub(super) first: u64,
    /// The number of its first image among all that are refused, from 0.
    pub(super) first_refused: u64,
    /// Its images, those that are refused among them.
    pub(super) images: u64,
    /// The SHA-256 of its bytes, where that is known; a folder has none.
    pub(super) digest: Option<String>,
}

/// Image files, and those that are refused.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// What they come from, in the order in which it was named.
    pub(super) named: Vec<Named>,
    pub(super) sources: Vec<Source>,
    pub(super) refused: Vec<Refusal>,
    /// Hidden files and those that describe images.
    pub(super) passed_over: u64,
}

/// Lists the image files of folders, TAR and ZIP archives, and files, in the order of their names.
///
/// # Errors
/// When a path does not exist, or an archive cannot be read at all.
pub(super) fn list(paths: &[String]) -> Result<Listing> {
    let mut listing = Listing::default();
    for path in paths {
        let kind = std::fs::metadata(path).context(|| format!("open {path}"))?;
        let (first, first_refused) = (listing.sources.len() as u64, listing.refused.len() as u64);
        let ends = |endings: &[&str]| endings.iter().any(|end| path.to_ascii_lowercase().ends_with(end));
        if kind.is_dir() {
            listing.folder(Path::new(path), "")?;
        } else if ends(&[".tar"]) {
            let file = BufReader::new(File::open(path).context(|| format!("open {path}"))?);
            let mut archive = tar::Archive::new(file);
            let entries = archive.entries_with_seek();
            listing.tar(path, entries.context(|| format!("read the archive {path}"))?, Packing::Plain);
        } else if ends(&[".tar.gz", ".tgz"]) {
            let file = File::open(path).context(|| format!("open {path}"))?;
            let unpacked =
                Limited { read: MultiGzDecoder::new(BufReader::new(file)), left: most(kind.len()) };
            let mut archive = tar::Archive::new(unpacked);
            let entries = archive.entries();
            listing.tar(path, entries.context(|| format!("read the archive {path}"))?, Packing::InGzip);
        } else if ends(&[".zip"]) {
            listing.zip(path).context(|| format!("read the archive {path}"))?;
        } else {
            let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
            listing.add(whole(path.clone(), name, &kind));
        }
        let images = (listing.sources.len() + listing.refused.len()) as u64 - first - first_refused;
        let (path, is_folder) = (path.clone(), kind.is_dir());
        listing.named.push(Named { path, is_folder, first, first_refused, images, digest: None });
    }
    Ok(listing)
}

/// Bytes that so many packed ones may unpack to.
fn most(packed: u64) -> u64 {
    packed.saturating_mul(UNPACKED.1).max(UNPACKED.0)
}

/// A stream that ends with an error after so many bytes.
struct Limited<R> {
    read: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 && !buffer.is_empty() {
            return Err(std::io::Error::other("it unpacks to far more bytes than images have"));
        }
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let length = self.read.read(&mut buffer[..wanted])?;
        self.left -= length as u64;
        Ok(length)
    }
}

fn whole(path: String, name: String, kind: &std::fs::Metadata) -> Source {
    let modified = kind.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified = modified.and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or(0);
    let size = kind.len();
    Source { path, name, begin: 0, stored: size, size, packing: Packing::Plain, checksum: None, modified }
}

fn is_passed_over(name: &str) -> bool {
    let path = Path::new(name);
    let is_hidden = path.components().any(|part| {
        matches!(part, Component::Normal(part) if part.to_string_lossy().starts_with('.') || part == "__MACOSX")
    });
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    is_hidden || ending.is_some_and(|ending| DESCRIPTIONS.contains(&ending.as_str()))
}

/// Whether a member's name stays inside its archive.
fn stays_inside(name: &Path) -> bool {
    name.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

const LEADS_OUT: &str = "its name leads out of the archive";
const NO_PLAIN_FILE: &str = "it is a link or no plain file";

impl Listing {
    fn add(&mut self, source: Source) {
        if is_passed_over(&source.name) {
            self.passed_over += 1;
            return;
        }
        let bytes = format!("{} bytes", source.size);
        if source.size == 0 {
            self.refuse(source.name, "it is empty", bytes);
        } else if source.size > LARGEST_FILE {
            self.refuse(source.name, "it is larger than the files that are read", bytes);
        } else if source.packing == Packing::Deflated && source.size > most(source.stored) {
            let value = format!("{bytes} of {} packed ones", source.stored);
            self.refuse(source.name, "it unpacks to far more bytes than it takes", value);
        } else {
            self.sources.push(source);
        }
    }

    fn refuse(&mut self, name: String, rule: &str, value: String) {
        self.refused.push(Refusal::new(name, rule, value));
    }

    fn folder(&mut self, path: &Path, below: &str) -> Result<()> {
        let doing = || format!("list {}", path.display());
        let mut entries: Vec<_> =
            std::fs::read_dir(path).context(doing)?.collect::<Result<_, _>>().context(doing)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            // Of a link itself, not of what it leads to.
            let kind = entry.metadata().context(|| format!("look at {}", entry.path().display()))?;
            if kind.is_dir() {
                self.folder(&entry.path(), &format!("{name}/"))?;
            } else if kind.is_file() {
                match entry.path().to_str() {
                    Some(path) => self.add(whole(path.to_owned(), name, &kind)),
                    None => self.refuse(name, "its path is not UTF-8", String::new()),
                }
            } else {
                self.refuse(name, NO_PLAIN_FILE, String::new());
            }
        }
        Ok(())
    }

    /// The members up to the end of the archive, or to where it is damaged.
    fn tar<'a, R: Read + 'a>(&mut self, path: &str, entries: tar::Entries<'a, R>, packing: Packing) {
        for (before, entry) in entries.enumerate() {
            let read = entry.and_then(|entry| Ok((entry.path()?.into_owned(), entry)));
            let (name, entry) = match read {
                Ok(read) => read,
                Err(error) => {
                    let value = format!("after {before} members: {error}");
                    return self.refuse(path.to_owned(), "the rest of the archive cannot be read", value);
                }
            };
            let (shown, kind) = (name.display().to_string(), entry.header().entry_type());
            if kind.is_dir() || kind.is_pax_global_extensions() {
                continue;
            }
            if !stays_inside(&name) {
                self.refuse(shown, LEADS_OUT, String::new());
            } else if !kind.is_file() {
                self.refuse(shown, NO_PLAIN_FILE, String::new());
            } else {
                let (begin, size) = (entry.raw_file_position(), entry.size());
                let modified = entry.header().mtime().ok().and_then(|time| i64::try_from(time).ok());
                let modified = modified.unwrap_or(0);
                let path = path.to_owned();
                let (stored, checksum) = (size, None);
                self.add(Source { path, name: shown, begin, stored, size, packing, checksum, modified });
            }
        }
    }

    fn zip(&mut self, path: &str) -> Result<()> {
        let wrong = |error: zip::result::ZipError| Error::corrupt(error.to_string());
        let mut archive = zip::ZipArchive::new(BufReader::new(File::open(path)?)).map_err(wrong)?;
        for place in 0..archive.len() {
            let member = match archive.by_index_raw(place) {
                Ok(member) => member,
                Err(error) => {
                    self.refuse(
                        format!("{path}, member {}", place + 1),
                        "it cannot be read",
                        error.to_string(),
                    );
                    continue;
                }
            };
            let shown = match member.name() {
                Ok(name) => name.into_owned(),
                Err(error) => {
                    let name = format!("{path}, member {}", place + 1);
                    self.refuse(name, "its name cannot be read", error.to_string());
                    continue;
                }
            };
            let packing = match member.compression() {
                zip::CompressionMethod::Stored => Some(Packing::Plain),
                other if other == zip::CompressionMethod::DEFLATE => Some(Packing::Deflated),
                _ => None,
            };
            if member.is_dir() {
                continue;
            }
            let is_inside = member.enclosed_name().is_some_and(|name| stays_inside(&name))
                && stays_inside(Path::new(&shown));
            match packing {
                _ if !is_inside => self.refuse(shown, LEADS_OUT, String::new()),
                _ if member.encrypted() => self.refuse(shown, "it is encrypted", String::new()),
                _ if member.is_symlink() => self.refuse(shown, NO_PLAIN_FILE, String::new()),
                None => {
                    let method = format!("{:?}", member.compression());
                    self.refuse(shown, "it is packed by another method than deflate", method);
                }
                Some(packing) => self.add(Source {
                    path: path.to_owned(),
                    name: shown,
                    begin: member.data_start().unwrap_or_default(),
                    stored: member.compressed_size(),
                    size: member.size(),
                    packing,
                    checksum: Some(member.crc32()),
                    modified: member.last_modified().map_or(0, |time| zip_time(&time)),
                }),
            }
        }
        Ok(())
    }
}

/// Seconds since 1970 of a ZIP archive's time, which has no zone and is taken as UTC.
fn zip_time(time: &zip::DateTime) -> i64 {
    let date =
        chrono::NaiveDate::from_ymd_opt(i32::from(time.year()), time.month().into(), time.day().into());
    let time = date
        .and_then(|date| date.and_hms_opt(time.hour().into(), time.minute().into(), time.second().into()));
    time.map_or(0, |time| time.and_utc().timestamp())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;
    use crate::ingest::tests::{listed, tar_of};

    #[test]
    fn a_folder_is_listed_in_the_order_of_names() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("b")).expect("made");
        for (name, bytes) in
            [("b/2.png", "22"), ("a.png", "1"), ("a.xml", "<x/>"), ("empty.png", ""), (".hidden", "x")]
        {
            std::fs::write(folder.path().join(name), bytes).expect("written");
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link.png")).expect("linked");
        let listing = list(&[folder.path().display().to_string()]).expect("lists");
        let names: Vec<_> = listing.sources.iter().map(|source| source.name.as_str()).collect();
        assert_eq!(names, ["a.png", "b/2.png"]);
        let refused: Vec<_> = listing.refused.iter().map(|refusal| refusal.rule.as_str()).collect();
        assert_eq!(refused[0], "it is empty");
        assert!(cfg!(not(unix)) || refused[1] == NO_PLAIN_FILE);
        assert_eq!(listing.passed_over, 2);
    }

    #[test]
    fn what_unpacks_to_far_more_bytes_is_refused() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&tar_of(&[("zeros.png", &[0; 20_000]), ("next.png", b"next")])).expect("in memory");
        let gzip = gzip.finish().expect("in memory");
        let unpacked = Limited { read: MultiGzDecoder::new(gzip.as_slice()), left: 10_000 };
        let mut listing = Listing::default();
        listing.tar("bomb.tar.gz", tar::Archive::new(unpacked).entries().expect("begins"), Packing::InGzip);
        assert_eq!(listing.sources.len(), 1);
        assert!(listing.refused[0].value.contains("far more"), "{listing:?}");
        let size = 100 << 20;
        let source = Source {
            path: "a.zip".into(),
            name: "a.png".into(),
            begin: 0,
            stored: 1000,
            size,
            packing: Packing::Deflated,
            checksum: None,
            modified: 0,
        };
        let mut listing = Listing::default();
        listing.add(source.clone());
        listing.add(Source { size: LARGEST_FILE + 1, packing: Packing::Plain, ..source });
        let rules: Vec<_> = listing.refused.iter().map(|refusal| refusal.rule.as_str()).collect();
        assert_eq!(
            rules,
            ["it unpacks to far more bytes than it takes", "it is larger than the files that are read"]
        );
    }

    #[test]
    fn a_member_of_a_zip_that_claims_to_unpack_to_far_more_is_refused() {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for name in ["bomb.png", "next.png"] {
            let options = zip::write::SimpleFileOptions::default();
            zip.start_file(name, options.compression_method(zip::CompressionMethod::Stored)).expect("begun");
            zip.write_all(b"next").expect("in memory");
        }
        let mut bytes = zip.finish().expect("ended").into_inner();
        // In the central directory the method stands at 10 and the unpacked size at 24.
        let entry = bytes.windows(4).position(|four| four == b"PK\x01\x02").expect("a directory");
        bytes[entry + 10..entry + 12].copy_from_slice(&8_u16.to_le_bytes());
        bytes[entry + 24..entry + 28].copy_from_slice(&200_000_000_u32.to_le_bytes());
        let (listing, _folder) = listed("bomb.zip", &bytes);
        let names: Vec<_> = listing.sources.iter().map(|source| source.name.as_str()).collect();
        assert_eq!(names, ["next.png"], "{listing:?}");
        assert_eq!(listing.refused[0].rule, "it unpacks to far more bytes than it takes");
    }

    #[test]
    fn a_missing_path_is_named() {
        let error = list(&["/no/such/folder".to_owned()]).expect_err("nothing there");
        assert!(error.chain().contains("/no/such/folder"), "{}", error.chain());
    }
}
