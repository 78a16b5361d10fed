//! Objects that are uploaded in parts while they are written, and the store's errors on the way.
//!
//! Nothing of an object is visible in the store before it is complete. What is absent: what the bytes mean. Start at
//! [`upload`]; a [`DigestedUpload`] gives the digests of what was written, by which damage is found later.

use std::{io, io::Write as _, sync::Arc};

use bytes::Bytes;
use crc32fast::Hasher;
use futures::{TryStreamExt as _, future::BoxFuture};
use object_store::{ObjectStoreExt as _, buffered::BufWriter};
use parquet::{arrow::async_writer::AsyncFileWriter, errors::ParquetError};
use tidewaiter_core::{Error, ResultExt as _, threads::on_cpu};
use tokio::{io::AsyncWriteExt as _, sync::mpsc};

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

/// Bytes that go from a computation to the upload of its object at once.
const PIECE_BYTES: usize = 1 << 20;

/// Makes an object of the archive of what `write` writes on a thread of its own, holding no more than a few pieces of it.
///
/// # Errors
/// Those of `write` and of the store; nothing of the object is then visible.
pub async fn write_object(
    archive: &Archive,
    path: &str,
    write: impl FnOnce(&mut dyn io::Write) -> io::Result<()> + Send + 'static,
) -> tidewaiter_core::Result<()> {
    let (send, pieces) = mpsc::channel(1);
    let written = on_cpu(move || {
        let mut pieces = io::BufWriter::with_capacity(PIECE_BYTES, Pieces(send));
        write(&mut pieces)?;
        Ok(pieces.flush()?)
    });
    let mut object = upload(archive, path);
    let (written, stored) = tokio::join!(written, store(pieces, &mut object));
    let finished = match stored.map_err(Error::from).and(written) {
        Ok(()) => object.shutdown().await.map_err(Error::from),
        failed => {
            // What is left of it is swept as any unfinished upload is.
            let _ = object.abort().await;
            failed
        }
    };
    finished.context(|| format!("write {}", archive.display(path)))
}

/// Puts pieces into an object. Where the upload fails, nobody receives them any more, which ends their writing.
async fn store(mut pieces: mpsc::Receiver<Bytes>, object: &mut BufWriter) -> object_store::Result<()> {
    while let Some(piece) = pieces.recv().await {
        object.put(piece).await?;
    }
    Ok(())
}

/// Sends what is written to who uploads it.
struct Pieces(mpsc::Sender<Bytes>);

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Bytes::copy_from_slice(bytes));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_object_is_there_once_all_of_it_is_written() {
        let archive = Archive::open("memory://upload").expect("opens");
        let long = "0123456789".repeat(700_000);
        let text = long.clone();
        write_object(&archive, "long", move |out| out.write_all(text.as_bytes())).await.expect("is written");
        assert_eq!(archive.get("long").await.expect("is there"), long.as_bytes());
        let failed = write_object(&archive, "half", |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("no more"))
        });
        let error = failed.await.expect_err("fails").chain();
        assert!(error.contains("write") && error.contains("no more"), "{error}");
        assert!(archive.get("half").await.is_err());
    }
}
