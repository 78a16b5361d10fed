//! The connections over which an executor fetches shuffled rows from others, kept for the next fetch.
//!
//! As in Ballista's own pool, which other crates cannot make. A connection that is not used for a while is closed when
//! another is asked for or given back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use ballista_core::{
    client::BallistaClient,
    client_pool::{BallistaClientPool, PooledClient},
    error::Result,
    extension::BallistaConfigGrpcEndpoint,
    utils::GrpcClientConfig,
};
use tokio::time::Instant;

/// How long a connection is kept unused.
const KEPT: Duration = Duration::from_secs(30);

/// Host, port and settings.
type Peer = (String, u16, GrpcClientConfig);

/// Unused connections, the last used at the end, with the time of their last use.
#[derive(Default)]
struct Unused(Mutex<HashMap<Peer, Vec<(Instant, BallistaClient)>>>);

impl Unused {
    fn take(&self, peer: &Peer) -> Option<BallistaClient> {
        self.with(|unused| unused.get_mut(peer)?.pop().map(|(_, client)| client))
    }

    fn put(&self, peer: Peer, client: BallistaClient) {
        self.with(|unused| unused.entry(peer).or_default().push((Instant::now(), client)));
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<Peer, Vec<(Instant, BallistaClient)>>) -> T) -> T {
        let mut unused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unused.retain(|_, clients| {
            clients.retain(|(since, _)| since.elapsed() < KEPT);
            !clients.is_empty()
        });
        act(&mut unused)
    }
}

/// The connections of an executor.
#[derive(Default)]
pub(crate) struct Connections(Arc<Unused>);

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

#[async_trait]
impl BallistaClientPool for Connections {
    async fn acquire(
        &self,
        host: &str,
        port: u16,
        settings: &GrpcClientConfig,
        customize: Option<Arc<BallistaConfigGrpcEndpoint>>,
    ) -> Result<PooledClient> {
        let peer = (host.to_owned(), port, settings.clone());
        let client = match self.0.take(&peer) {
            Some(client) => client,
            None => {
                BallistaClient::try_new(
                    host,
                    port,
                    settings.max_message_size,
                    settings.use_tls,
                    customize,
                    settings.io_retries_times,
                    settings.io_retry_wait_time_ms,
                    settings.initial_connection_window_size,
                    settings.initial_stream_window_size,
                )
                .await?
            }
        };
        let unused = Arc::clone(&self.0);
        Ok(PooledClient::new(client, Box::new(move |client| unused.put(peer, client))))
    }

    async fn evict_idle(&self) {
        self.0.with(|_| ());
    }
}
