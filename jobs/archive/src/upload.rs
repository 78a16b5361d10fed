//! Objects that are uploaded in parts while they are written, and the store's errors on the way.
//!
//! Nothing of an object is visible in the store before it is complete. What is absent: what the bytes mean. Start at
//! [`upload`]; a [`DigestedUpload`] gives the digests of what was written, by which damage is found later.

use std::sync::Arc;

use bytes::Bytes;
use crc32fast::Hasher;
use futures::{TryStreamExt as _, future::BoxFuture};
use object_store::{ObjectStoreExt as _, buffered::BufWriter};
use parquet::{arrow::async_writer::AsyncFileWriter, errors::ParquetError};
use tidewaiter_core::{Error, ResultExt as _};

use crate::{
    Archive,
    blocks::{BlockWriter, seal},
};

/// Bytes that an open upload buffers before it sends a part: the smallest part that S3 accepts.
pub const UPLOAD_BYTES: usize = 5 << 20;

/// Parts of one object that are sent at the same time, at most.
const CONCURRENT_PARTS: usize = 2;

/// A writer of a new object of the archive.
pub fn upload(archive: &Archive, path: &str) -> BufWriter {
    BufWriter::with_capacity(Arc::clone(archive.store()), archive.path(path), UPLOAD_BYTES)
        .with_max_concurrency(CONCURRENT_PARTS)
}

/// An [`upload`] of a Parquet file that knows the [`digest`] of what was written, and gives the file those of its blocks
/// ([`crate::blocks`]).
pub(crate) struct DigestedUpload {
    writer: BufWriter,
    hasher: Hasher,
    blocks: BlockWriter,
}

impl DigestedUpload {
    /// A writer of a new object of the archive, whose blocks are counted by `blocks`.
    pub(crate) fn new(archive: &Archive, path: &str, blocks: BlockWriter) -> Self {
        Self { writer: upload(archive, path), hasher: Hasher::new(), blocks }
    }

    /// The digest of what was written so far.
    pub(crate) fn digest(&self) -> String {
        digest_text(self.hasher.clone())
    }

    /// Gives the object up; nothing of it stays in the store.
    ///
    /// # Errors
    /// Those of the store: parts may remain.
    pub(crate) async fn abort(mut self) -> object_store::Result<()> {
        self.writer.abort().await
    }
}

impl AsyncFileWriter for DigestedUpload {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), ParquetError>> {
        let bytes = if self.blocks.is_ending() && !bytes.is_empty() {
            let mut end = Vec::from(bytes);
            if !seal(&mut end) {
                let error = ParquetError::General("a file's end came in parts".to_owned());
                return Box::pin(async move { Err(error) });
            }
            Bytes::from(end)
        } else {
            self.blocks.update(&bytes);
            bytes
        };
        self.hasher.update(&bytes);
        AsyncFileWriter::write(&mut self.writer, bytes)
    }

    fn complete(&mut self) -> BoxFuture<'_, Result<(), ParquetError>> {
        AsyncFileWriter::complete(&mut self.writer)
    }
}

/// The digest of an object: its CRC-32, which finds every error of up to 32 bits in a row. It is against accidents, not
/// against an attacker.
pub fn digest(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> String {
    let mut hasher = Hasher::new();
    pieces.into_iter().for_each(|piece| hasher.update(piece.as_ref()));
    digest_text(hasher)
}

/// The size and the digest of an object, which is read from its beginning to its end.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::NotFound`] when there is no such object; those of the store.
pub async fn read_digest(archive: &Archive, path: &str) -> tidewaiter_core::Result<(u64, String)> {
    let read = async {
        let (mut bytes, mut hasher) = (0, Hasher::new());
        let mut pieces = archive.store().get(&archive.path(path)).await?.into_stream();
        while let Some(piece) = pieces.try_next().await? {
            bytes += piece.len() as u64;
            hasher.update(&piece);
        }
        Ok::<_, object_store::Error>((bytes, digest_text(hasher)))
    };
    read.await.context(|| format!("read {}", archive.display(path)))
}

/// A digest as the log has it.
fn digest_text(hasher: Hasher) -> String {
    format!("crc32:{:08x}", hasher.finalize())
}

/// The error of a Parquet encoder that writes to an [`upload`]: that of the store, where the encoder's wraps one.
pub fn store_error(error: ParquetError) -> Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<object_store::Error>() {
            Ok(store) => (*store).into(),
            Err(inner) => match inner.downcast::<std::io::Error>() {
                Ok(io) => match io.downcast::<object_store::Error>() {
                    Ok(store) => store.into(),
                    Err(io) => io.into(),
                },
                Err(other) => Error::internal(other.to_string()).with_source(other),
            },
        },
        other => Error::internal(other.to_string()).with_source(other),
    }
}
