//! The rounds of a fit, as spans of its job's trace.
//!
//! A round ends when the leader has absorbed what the shards answered; the next one begins then, though the shards may
//! have computed ahead. The pause for a checkpoint belongs to the round after it.

use std::time::SystemTime;

use bytes::Bytes;
use tidewaiter_collective::{Observer, Progress};
use tidewaiter_core::Result;
use tidewaiter_traces::{Level, Span};

/// Passes on what an observer is told, and records the rounds.
pub(crate) struct Rounds<'a> {
    job: &'a str,
    fit: &'a str,
    observer: &'a mut dyn Observer,
    /// How many are over.
    ended: u64,
    begun: SystemTime,
}

impl<'a> Rounds<'a> {
    pub(crate) fn new(job: &'a str, fit: &'a str, observer: &'a mut dyn Observer) -> Self {
        Self { job, fit, observer, ended: 0, begun: tidewaiter_traces::now() }
    }
}

#[async_trait::async_trait]
impl Observer for Rounds<'_> {
    fn progress(&mut self, progress: Progress) {
        self.ended += 1;
        if let Some(id) = tidewaiter_traces::new_id(self.job) {
            let ended = tidewaiter_traces::now();
            tidewaiter_traces::record(Span {
                job: self.job.to_owned(),
                id,
                parent: tidewaiter_traces::innermost(self.job),
                level: Level::Round,
                name: format!("round {}", self.ended),
                begun: self.begun,
                ended,
                attributes: vec![("tidewaiter.fit", self.fit.to_owned())],
                error: None,
            });
            self.begun = ended;
        }
        self.observer.progress(progress);
    }

    async fn checkpoint(&mut self, checkpoint: Bytes) -> Result<()> {
        self.observer.checkpoint(checkpoint).await
    }
}
