//! The channels between one worker and the hub of its fit.

use tidewaiter_proto::v1::{LeaderMessage, WorkerMessage};
use tokio::sync::mpsc;

/// A worker's end of the channels to and from the hub.
///
/// A worker that drops it leaves the fit.
#[derive(Debug)]
pub struct Connection {
    /// To the hub.
    pub outgoing: mpsc::Sender<WorkerMessage>,
    /// From the hub; ends when the fit is over or the leader's process is gone.
    pub incoming: mpsc::Receiver<LeaderMessage>,
}

/// How many messages wait in one direction at most. A worker has few instructions under way at a time.
pub(crate) const CHANNEL_DEPTH: usize = 16;
