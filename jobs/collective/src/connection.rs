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
    /// From the hub; ends when the fit is over or the leader's process is gone or silent. It has no bound of its own, so
    /// that a worker that does not read holds nobody up: a fit has few instructions under way at a time.
    pub incoming: mpsc::UnboundedReceiver<LeaderMessage>,
}

/// How many messages to the hub wait at most.
pub(crate) const CHANNEL_DEPTH: usize = 16;

/// How many rounds are open at most. With two, workers compute the next round while the leader absorbs the last.
pub(crate) const OPEN_ROUNDS: usize = 2;
