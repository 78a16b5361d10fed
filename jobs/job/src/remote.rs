//! A connection to a scheduler.

use tidewaiter_core::{Error, Result};
use tonic::transport::{Channel, Endpoint};

/// A connection to the scheduler at a URL, which answers.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for what is no URL, [`tidewaiter_core::ErrorKind::Unavailable`] when nobody
/// answers there.
pub async fn connect(url: &str) -> Result<Channel> {
    let endpoint = Endpoint::new(url.to_owned()).map_err(|error| {
        Error::input(format!("--scheduler {url} is no URL; write http://host:port")).with_source(error)
    })?;
    endpoint.connect().await.map_err(|error| {
        Error::unavailable(format!("reach the scheduler at {url}; start one there, or mend --scheduler"))
            .with_source(error)
    })
}
