//! The collective over gRPC: the service by which remote workers join this process's hubs ([`Hubs`]), and the client
//! that joins a remote hub ([`join`]). Both only pass messages between a stream and a [`Connection`].

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{Stream, StreamExt};
use tidewaiter_core::{Error, Result};
use tidewaiter_proto::v1::{
    Hello, LeaderMessage, WorkerMessage, fit_service_client::FitServiceClient,
    fit_service_server::FitService, worker_message,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming, transport::Endpoint};

use crate::{
    connection::{CHANNEL_DEPTH, Connection},
    hub::Hub,
};

/// The largest message of a fit, in bytes: an instruction, a contribution or a history (the largest is one of four
/// million rows of embeddings), never training data.
pub const LARGEST_MESSAGE: usize = 512 << 20;

/// The hubs of the fits that this process leads, by the fit's name.
#[derive(Debug, Clone, Default)]
pub struct Hubs {
    hubs: Arc<Mutex<HashMap<String, Hub>>>,
}

impl Hubs {
    /// Registers a fit's hub, so that workers find it.
    pub fn open(&self, fit: &str, hub: Hub) {
        self.hubs.lock().unwrap_or_else(PoisonError::into_inner).insert(fit.to_owned(), hub);
    }

    /// Removes the hub of a fit that is over.
    pub fn close(&self, fit: &str) {
        self.hubs.lock().unwrap_or_else(PoisonError::into_inner).remove(fit);
    }

    /// The hub of a fit that runs.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::NotFound`] when no such fit is led here.
    pub fn find(&self, fit: &str) -> Result<Hub> {
        let hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        hubs.get(fit).cloned().ok_or_else(|| Error::not_found(format!("no fit {fit} is under way here")))
    }
}

#[tonic::async_trait]
impl FitService for Hubs {
    type JoinStream = Pin<Box<dyn Stream<Item = std::result::Result<LeaderMessage, Status>> + Send>>;

    async fn join(
        &self,
        request: Request<Streaming<WorkerMessage>>,
    ) -> std::result::Result<Response<Self::JoinStream>, Status> {
        let mut stream = request.into_inner();
        let first = stream.message().await?.and_then(|first| first.message);
        let Some(worker_message::Message::Hello(hello)) = first else {
            return Err(Status::invalid_argument("a worker's first message is its hello"));
        };
        let hub = self.find(&hello.fit).map_err(|error| Status::not_found(error.chain()))?;
        let connection = hub.join(hello.worker).await.map_err(|error| Status::unavailable(error.chain()))?;
        let Connection { outgoing, incoming } = connection;
        tokio::spawn(async move {
            // For the hub a broken stream and a closed one mean the same: the worker left.
            while let Some(Ok(message)) = stream.next().await {
                if outgoing.send(message).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(incoming).map(Ok))))
    }
}

/// Joins the fit that the process at `url` leads.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Unavailable`] when the process cannot be reached,
/// [`tidewaiter_core::ErrorKind::NotFound`] when it leads no such fit.
pub async fn join(url: &str, fit: &str, worker: &str) -> Result<Connection> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| Error::input(format!("the collective's address {url:?}: {error}")))?;
    let unreachable =
        |error: &dyn std::fmt::Display| Error::unavailable(format!("join the fit {fit} at {url}: {error}"));
    let channel = endpoint.connect().await.map_err(|error| unreachable(&error))?;
    let mut client = FitServiceClient::new(channel)
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE);

    let (outgoing, sent) = mpsc::channel(CHANNEL_DEPTH);
    let hello = Hello { fit: fit.to_owned(), worker: worker.to_owned() };
    let hello = WorkerMessage { message: Some(worker_message::Message::Hello(hello)) };
    outgoing.send(hello).await.map_err(|error| unreachable(&error))?;
    let response = client.join(ReceiverStream::new(sent)).await.map_err(|status| match status.code() {
        Code::NotFound => Error::not_found(format!("no fit {fit} is under way at {url}")),
        _ => unreachable(&status),
    })?;
    let mut stream = response.into_inner();

    let (to_worker, incoming) = mpsc::channel(CHANNEL_DEPTH);
    tokio::spawn(async move {
        while let Some(Ok(message)) = stream.next().await {
            if to_worker.send(message).await.is_err() {
                return;
            }
        }
    });
    Ok(Connection { outgoing, incoming })
}
