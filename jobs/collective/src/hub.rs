//! Where workers join a fit, and where its leader learns what they do. How it leads them is in [`crate::session`].

use bytes::Bytes;
use tidewaiter_core::{Error, ErrorKind, Result};
use tidewaiter_proto::v1::{LeaderMessage, WorkerMessage};
use tokio::sync::{mpsc, watch};

use crate::{
    connection::{CHANNEL_DEPTH, Connection},
    fit::Progress,
};

/// Where workers join a fit. Cheap to clone; the fit itself runs in [`crate::lead`].
#[derive(Debug, Clone)]
pub struct Hub {
    events: mpsc::Sender<Event>,
    present: watch::Receiver<usize>,
}

/// The hub's receiving end, which [`crate::lead`] consumes.
#[derive(Debug)]
pub struct Inbox {
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) present: watch::Sender<usize>,
}

/// What happens to a worker.
#[derive(Debug)]
pub(crate) enum Event {
    Joined { worker: String, to_worker: mpsc::UnboundedSender<LeaderMessage> },
    Sent { worker: String, message: WorkerMessage },
    Left { worker: String },
}

impl Hub {
    /// A hub, and the inbox from which its fit is led.
    pub fn new() -> (Self, Inbox) {
        let (events, receiver) = mpsc::channel(CHANNEL_DEPTH);
        let (counted, present) = watch::channel(0);
        (Self { events, present }, Inbox { events: receiver, present: counted })
    }

    /// How many workers are present, as the fit's leader knows it.
    pub fn present(&self) -> watch::Receiver<usize> {
        self.present.clone()
    }

    /// Admits a worker under a name that no other worker of the fit has.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] when the fit is over.
    pub async fn join(&self, worker: String) -> Result<Connection> {
        let (outgoing, mut sent) = mpsc::channel(CHANNEL_DEPTH);
        let (to_worker, incoming) = mpsc::unbounded_channel();
        let over = |_| Error::new(ErrorKind::Cancelled, "the fit is over");
        self.events.send(Event::Joined { worker: worker.clone(), to_worker }).await.map_err(over)?;
        let events = self.events.clone();
        tokio::spawn(async move {
            while let Some(message) = sent.recv().await {
                if events.send(Event::Sent { worker: worker.clone(), message }).await.is_err() {
                    return;
                }
            }
            // This fails when the fit is over, and then has no effect.
            let _ = events.send(Event::Left { worker }).await;
        });
        Ok(Connection { outgoing, incoming })
    }
}

/// What the driver does while a fit runs.
#[async_trait::async_trait]
pub trait Observer: Send {
    /// Called after each absorbed round.
    fn progress(&mut self, progress: Progress);

    /// Called at the leader's milestones, with a checkpoint to store.
    async fn checkpoint(&mut self, checkpoint: Bytes) -> Result<()>;
}
