//! Computation on threads of its own, beside the runtime's threads, which wait for input and output.

use crate::{Error, Result};

/// Runs `work` on one of the runtime's blocking threads. It is started by the call itself, before the future is
/// awaited.
///
/// # Errors
/// Those of the work; [`crate::ErrorKind::Internal`] when it panics.
pub fn on_cpu<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> impl Future<Output = Result<T>> {
    let computed = tokio::task::spawn_blocking(work);
    async { computed.await.map_err(|error| Error::internal("a computation stopped").with_source(error))? }
}
