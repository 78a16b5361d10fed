//! The collective over gRPC: the service by which remote workers join this process's hubs ([`Hubs`]), and the client
//! that joins a remote hub ([`join`]). Both pass messages between a stream and a [`Connection`], large ones in pieces
//! ([`crate::pieces`]), and give the other side up when it is silent ([`crate::liveness`]).

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{FutureExt, Stream, StreamExt, future, stream};
use tidewaiter_core::{Error, Result};
use tidewaiter_proto::v1::{
    Expelled, Heartbeat, Hello, LeaderMessage, WorkerMessage, fit_service_client::FitServiceClient,
    fit_service_server::FitService, leader_message, worker_message,
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tonic::{Code, Request, Response, Status, Streaming, transport::Endpoint};

use crate::{
    connection::{CHANNEL_DEPTH, Connection},
    hub::Hub,
    liveness::{Heard, Listener, OF_LEADERS, OF_WORKERS, Pace, beating},
    pieces::{Joiner, MOST_BYTES, cut_of_leader, cut_of_worker},
};

/// The largest message of a fit that is taken, in bytes. Those that are sent have some MiB at most.
pub const LARGEST_MESSAGE: usize = 64 << 20;

/// How long a connection may take to be opened.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often HTTP/2 asks whether the other side of a connection is there, and how long it waits for the answer.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(10));

type Received<T> = std::result::Result<T, Status>;

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

impl Hubs {
    /// Passes messages between a worker's stream and the hub that its hello names, until the worker leaves or is silent.
    pub(crate) async fn admit(
        &self,
        stream: impl Stream<Item = Received<WorkerMessage>> + Send + Unpin + 'static,
        pace: Pace,
    ) -> Received<impl Stream<Item = LeaderMessage> + Send + 'static> {
        let mut worker = Listener::new(stream, pace);
        let hello = match worker.next().await {
            Heard::Message(first) => first?.message,
            Heard::End | Heard::Silence => None,
        };
        let Some(worker_message::Message::Hello(hello)) = hello else {
            return Err(Status::invalid_argument("a worker's first message is its hello"));
        };
        let hub = self.find(&hello.fit).map_err(|error| Status::not_found(error.chain()))?;
        let connection = hub.join(hello.worker).await.map_err(|error| Status::unavailable(error.chain()))?;
        let Connection { outgoing, incoming } = connection;
        let (expel, silent) = oneshot::channel();
        tokio::spawn(async move {
            let mut joiner = Joiner::default();
            loop {
                match worker.next().await {
                    Heard::Message(Ok(message)) => {
                        let Some(whole) = joiner.of_worker(message) else { continue };
                        let is_heartbeat =
                            matches!(whole.message, Some(worker_message::Message::Heartbeat(_)));
                        if !is_heartbeat && outgoing.send(whole).await.is_err() {
                            return;
                        }
                    }
                    // That nobody sends to it any more is no matter.
                    Heard::Silence => return expel.send(()).unwrap_or_default(),
                    // For the hub a broken stream and a closed one mean the same: the worker left.
                    Heard::Message(Err(_)) | Heard::End => return,
                }
            }
        });
        let messages = UnboundedReceiverStream::new(incoming);
        let messages = messages.flat_map(|message| stream::iter(cut_of_leader(message, MOST_BYTES)));
        let silent = silent.then(|silent| async move {
            if silent.is_err() {
                // It was dropped with the worker's stream, whose end the hub learns.
                future::pending::<()>().await;
            }
        });
        let heartbeat = leader_message::Message::Heartbeat(Heartbeat {});
        let beating = beating(Box::pin(messages), pace.every, LeaderMessage { message: Some(heartbeat) });
        let expelled = leader_message::Message::Expelled(Expelled {});
        let expelled = stream::iter([LeaderMessage { message: Some(expelled) }]);
        Ok(beating.take_until(Box::pin(silent)).chain(expelled))
    }
}

#[tonic::async_trait]
impl FitService for Hubs {
    type JoinStream = Pin<Box<dyn Stream<Item = Received<LeaderMessage>> + Send>>;

    async fn join(&self, request: Request<Streaming<WorkerMessage>>) -> Received<Response<Self::JoinStream>> {
        let messages = self.admit(request.into_inner(), OF_WORKERS).await?;
        Ok(Response::new(Box::pin(messages.map(Ok))))
    }
}

/// Joins the fit that the process at `url` leads.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Unavailable`] when the process cannot be reached,
/// [`tidewaiter_core::ErrorKind::NotFound`] when it leads no such fit.
pub async fn join(url: &str, fit: &str, worker: &str) -> Result<Connection> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| Error::input(format!("the collective's address {url:?}: {error}")))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1)
        .keep_alive_while_idle(true);
    let unreachable =
        |error: &dyn std::fmt::Display| Error::unavailable(format!("join the fit {fit} at {url}: {error}"));
    let channel = endpoint.connect().await.map_err(|error| unreachable(&error))?;
    let mut client = FitServiceClient::new(channel)
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE);
    let (outgoing, sent) = mpsc::channel(CHANNEL_DEPTH);
    let response = client.join(said(fit, worker, sent, OF_WORKERS)).await;
    let response = response.map_err(|status| match status.code() {
        Code::NotFound => Error::not_found(format!("no fit {fit} is under way at {url}")),
        _ => unreachable(&status),
    })?;
    Ok(Connection { outgoing, incoming: heard(response.into_inner(), OF_LEADERS) })
}

/// What a worker says: its hello, and then what it sends, with heartbeats.
pub(crate) fn said(
    fit: &str,
    worker: &str,
    sent: mpsc::Receiver<WorkerMessage>,
    pace: Pace,
) -> impl Stream<Item = WorkerMessage> + Send + 'static {
    let hello = worker_message::Message::Hello(Hello { fit: fit.to_owned(), worker: worker.to_owned() });
    let messages = ReceiverStream::new(sent);
    let messages = messages.flat_map(|message| stream::iter(cut_of_worker(message, MOST_BYTES)));
    let heartbeat = worker_message::Message::Heartbeat(Heartbeat {});
    let beating = beating(Box::pin(messages), pace.every, WorkerMessage { message: Some(heartbeat) });
    stream::iter([WorkerMessage { message: Some(hello) }]).chain(beating)
}

/// What a worker hears of its leader; ends when the leader's stream does, or when it is silent.
pub(crate) fn heard(
    stream: impl Stream<Item = Received<LeaderMessage>> + Send + Unpin + 'static,
    pace: Pace,
) -> mpsc::UnboundedReceiver<LeaderMessage> {
    let (to_worker, incoming) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (mut leader, mut joiner) = (Listener::new(stream, pace), Joiner::default());
        while let Heard::Message(Ok(message)) = leader.next().await {
            let Some(whole) = joiner.of_leader(message) else { continue };
            let is_heartbeat = matches!(whole.message, Some(leader_message::Message::Heartbeat(_)));
            if to_worker.is_closed() || (!is_heartbeat && to_worker.send(whole).is_err()) {
                return;
            }
        }
    });
    incoming
}
