//! Computing beside the threads that wait for input and output.

use crate::{Error, Result};

/// Computes on a thread that may be kept busy, and has begun to when this returns.
///
/// # Errors
/// Those of the work; [`crate::ErrorKind::Internal`] when it panics.
pub(crate) fn on_cpu<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> impl Future<Output = Result<T>> {
    let computed = tokio::task::spawn_blocking(work);
    async { computed.await.map_err(|error| Error::internal("a computation stopped").with_source(error))? }
}
