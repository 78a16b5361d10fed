//! Export files in an object store (`s3://BUCKET/PATH`, `gs://BUCKET/PATH`, `az://CONTAINER/PATH`), read piece by piece.
//!
//! Nothing is copied to this machine's disk. The object is read as it was when it was opened: where it is replaced
//! meanwhile, the read fails. The calls block, and belong on a thread of [`tidewaiter_core::threads::on_cpu`].
//! Credentials come from the machine's environment, as those of archives do. Start at [`RemoteFile::open`].

use std::{
    io::{self, Read},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, path::Path};
use parquet::{
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};
use tidewaiter_archive::location::store_for;
use tidewaiter_core::{Error, Result, ResultExt};
use tidewaiter_job::is_url;
use tokio::runtime::Handle;
use url::Url;

/// Bytes that are requested at a time.
const PIECE: u64 = 8 << 20;

/// A file in an object store, read from a place on.
#[derive(Clone)]
pub(crate) struct RemoteFile {
    name: String,
    store: Arc<dyn ObjectStore>,
    path: Path,
    /// What tells its bytes from those of one that replaces it.
    e_tag: Option<String>,
    size: u64,
    /// The place from which the next piece is requested.
    next: u64,
    piece: Bytes,
}

impl RemoteFile {
    /// Opens a file by its URL; `None` where the name is a path of this machine.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::NotFound`] when there is no such object; [`tidewaiter_core::ErrorKind::Input`] for a URL that is not served; those of
    /// the store.
    pub(crate) fn open(name: &str) -> Result<Option<Self>> {
        if !is_url(name) {
            return Ok(None);
        }
        let (store, path) = place(name)?;
        let meta = wait(store.head(&path)).context(|| format!("read {name}"))?;
        Ok(Some(Self {
            name: name.to_owned(),
            store,
            path,
            e_tag: meta.e_tag,
            size: meta.size,
            next: 0,
            piece: Bytes::new(),
        }))
    }

    fn range(&self, range: Range<u64>) -> Result<Bytes> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: self.e_tag.clone(),
            ..GetOptions::default()
        };
        let read = wait(async { self.store.get_opts(&self.path, options).await?.bytes().await });
        match read {
            Err(object_store::Error::Precondition { .. }) => {
                Err(Error::conflict(format!("{} was replaced while it was read; run this again", self.name)))
            }
            read => read.context(|| format!("read {}", self.name)),
        }
    }
}

impl Read for RemoteFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && self.next < self.size {
            let end = self.size.min(self.next + PIECE);
            self.piece = self.range(self.next..end).map_err(io::Error::other)?;
            self.next = end;
        }
        let length = buffer.len().min(self.piece.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}

impl Length for RemoteFile {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for RemoteFile {
    type T = Self;

    fn get_read(&self, start: u64) -> Result<Self, ParquetError> {
        Ok(Self { next: start, piece: Bytes::new(), ..self.clone() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.range(start..start + length as u64).map_err(|error| ParquetError::External(Box::new(error)))
    }
}

/// The URLs of the objects of a folder whose names satisfy a condition, sorted.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for a URL that is not served; those of the store.
pub(crate) fn list(folder: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let (store, prefix) = place(folder)?;
    let listed = wait(store.list_with_delimiter(Some(&prefix))).context(|| format!("list {folder}"))?;
    let names = listed.objects.iter().filter_map(|object| object.location.filename());
    let folder = folder.trim_end_matches('/');
    let mut found: Vec<String> =
        names.filter(|name| wanted(name)).map(|name| format!("{folder}/{name}")).collect();
    found.sort();
    Ok(found)
}

/// The store of a URL, and the path there.
fn place(url: &str) -> Result<(Arc<dyn ObjectStore>, Path)> {
    let parsed = Url::parse(url).map_err(|error| Error::input(format!("{url}: {error}")))?;
    let path = Path::from_url_path(parsed.path()).map_err(|error| Error::input(format!("{url}: {error}")))?;
    Ok((store_for(&parsed)?, path))
}

/// Waits for a store on a thread that may.
fn wait<T>(answer: impl Future<Output = object_store::Result<T>>) -> object_store::Result<T> {
    match Handle::try_current() {
        Ok(runtime) => runtime.block_on(answer),
        Err(error) => Err(object_store::Error::Generic { store: "remote file", source: Box::new(error) }),
    }
}

#[cfg(test)]
mod tests {
    use tidewaiter_archive::Archive;
    use tidewaiter_core::{ErrorKind, threads::on_cpu};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_object_is_read_from_any_place_and_listed_by_its_name() {
        let archive = Archive::open("memory://remote-file/exports").expect("opens");
        let bytes: Vec<u8> = (0..2 * PIECE as u32 + 5).map(|place| (place % 251) as u8).collect();
        for name in ["a-1.csv", "a-2.csv", "b.csv", "deep/a-3.csv"] {
            archive.put(name, bytes.clone()).await.expect("written");
        }
        let work = move || {
            let mut file = RemoteFile::open("memory://remote-file/exports/b.csv")?.expect("a URL");
            let mut read = Vec::new();
            file.read_to_end(&mut read)?;
            assert!(read == bytes && file.len() == bytes.len() as u64);
            let mut end = Vec::new();
            file.get_read(file.len() - 7)?.read_to_end(&mut end)?;
            assert_eq!(end, bytes[bytes.len() - 7..]);
            assert_eq!(file.get_bytes(PIECE - 1, 3)?, bytes[PIECE as usize - 1..PIECE as usize + 2]);
            let listed = list("memory://remote-file/exports", |name| name.starts_with("a-"))?;
            assert_eq!(
                listed,
                ["memory://remote-file/exports/a-1.csv", "memory://remote-file/exports/a-2.csv"]
            );
            let missing = RemoteFile::open("memory://remote-file/exports/c.csv").err().expect("none");
            assert_eq!(missing.kind(), ErrorKind::NotFound);
            assert!(RemoteFile::open("exports/b.csv")?.is_none());
            Ok(())
        };
        on_cpu(work).await.expect("reads");
    }
}
