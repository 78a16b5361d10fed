//! A connection to a scheduler.

use tidewaiter_core::{Error, Result};
use tonic::transport::{Channel, Endpoint};

/// A connection to the scheduler at a URL, which answers.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for what is no URL, [`tidewaiter_core::ErrorKind::Unavailable`] when nobody
/// answers there.
pub async fn connect(url: &str) -> Result<Channel> {
    let wrong = || Error::input(format!("--scheduler {url} is no URL; write http://host:port"));
    // Without a scheme a host would be taken for one, and nobody would answer.
    if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(wrong());
    }
    let endpoint = Endpoint::new(url.to_owned()).map_err(|error| wrong().with_source(error))?;
    endpoint.connect().await.map_err(|error| {
        Error::unavailable(format!("reach the scheduler at {url}; start one there, or mend --scheduler"))
            .with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use tidewaiter_core::ErrorKind;

    use super::*;

    #[tokio::test]
    async fn what_is_no_url_is_not_waited_for() {
        for url in ["localhost:50050", "127.0.0.1", "", "http://", "ftp://localhost:1"] {
            assert_eq!(connect(url).await.expect_err(url).kind(), ErrorKind::Input, "{url}");
        }
    }
}
