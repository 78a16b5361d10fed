//! What can go wrong with an executor.

/// What can go wrong with an executor as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options contradict themselves or the machine.
    #[error("start the executor: {0}")]
    Options(String),
    /// The executor's own port cannot be listened on.
    #[error("listen on {host}:{port}; give another port (--port), or an address of this machine (--host)")]
    Listen {
        /// The executor's address.
        host: String,
        /// The executor's port.
        port: u16,
        /// The machine's own account.
        #[source]
        source: std::io::Error,
    },
    /// The port for metrics cannot be listened on.
    #[error("serve metrics on {address}; give another address (--metrics)")]
    Metrics {
        /// The address.
        address: std::net::SocketAddr,
        /// The machine's own account.
        #[source]
        source: std::io::Error,
    },
    /// Another executor of the scheduler has the name.
    #[error("{0}")]
    Name(String),
    /// The scheduler does not answer.
    #[error("the scheduler at {host}:{port} does not answer; is one running there?")]
    Scheduler {
        /// Host of the scheduler.
        host: String,
        /// Port of the scheduler.
        port: u16,
        /// What came instead of an answer.
        #[source]
        source: Box<tonic::Status>,
    },
    /// The executor could not start, or lost its scheduler for good.
    #[error("run the executor for the scheduler at {host}:{port}; is one running there?")]
    Run {
        /// Host of the scheduler.
        host: String,
        /// Port of the scheduler.
        port: u16,
        /// Ballista's own account.
        #[source]
        source: Box<ballista_core::error::BallistaError>,
    },
}
