//! Objects that are uploaded in parts while they are written, and the store's errors on the way.
//!
//! Nothing of an object is visible in the store before it is complete. What is absent: what the bytes mean. Start at
//! [`upload`].

use std::sync::Arc;

use object_store::buffered::BufWriter;
use parquet::errors::ParquetError;
use tidewaiter_core::Error;

use crate::Archive;

/// Bytes that an open upload buffers before it sends a part: the smallest part that S3 accepts.
pub const UPLOAD_BYTES: usize = 5 << 20;

/// Parts of one object that are sent at the same time, at most.
const CONCURRENT_PARTS: usize = 2;

/// A writer of a new object of the archive.
pub fn upload(archive: &Archive, path: &str) -> BufWriter {
    BufWriter::with_capacity(Arc::clone(archive.store()), archive.path(path), UPLOAD_BYTES)
        .with_max_concurrency(CONCURRENT_PARTS)
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
