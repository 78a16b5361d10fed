//! One round: the instruction, and what the shards have answered so far.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use tidewaiter_core::Result;
use tidewaiter_metrics::families::{FIT_ROUNDS, FIT_TIME, FIT_WAIT};
use tidewaiter_proto::v1::{Instruct, contribution::Answer};
use tokio::time::Instant;

use crate::{
    fit::{Contribution, mismatch},
    mean::Folding,
};

/// An open round.
pub(crate) struct Round {
    pub(crate) number: u64,
    instruction: Bytes,
    /// The shards whose answers are taken.
    pub(crate) answered: BTreeSet<u32>,
    pub(crate) content: Content,
    /// The shortest and the longest time that a shard took, of those that were loaded before.
    pub(crate) fastest: Option<Duration>,
    pub(crate) slowest: Option<Duration>,
    begun: Instant,
    /// When the first answer was taken.
    first: Option<Instant>,
}

/// What the answers are merged into.
pub(crate) enum Content {
    /// A sum, or messages of the shards; `None` before the first answer.
    Merged(Option<Contribution>),
    /// Numbers that are averaged.
    Mean(Folding),
}

impl Round {
    pub(crate) fn new(number: u64, instruction: Bytes) -> Self {
        Self {
            number,
            instruction,
            answered: BTreeSet::new(),
            content: Content::Merged(None),
            fastest: None,
            slowest: None,
            begun: Instant::now(),
            first: None,
        }
    }

    /// The instruction for a worker that has been sent those of the rounds up to `instructed`; for the shards `carried`
    /// whose answers are known it computes without an answer.
    pub(crate) fn message<'a>(
        &self,
        instructed: u64,
        carried: impl IntoIterator<Item = &'a u32>,
    ) -> Instruct {
        let again = self.number <= instructed;
        let payload = if again { Bytes::new() } else { self.instruction.clone() };
        let answered = carried.into_iter().filter(|shard| self.answered.contains(shard)).copied();
        Instruct { round: self.number, payload, answered: answered.collect(), again }
    }

    /// Takes a worker's answer for some shards.
    ///
    /// # Errors
    /// When it does not fit the others.
    pub(crate) fn take(&mut self, worker: &str, shards: &[u32], answer: Answer) -> Result<()> {
        match (&mut self.content, answer) {
            (Content::Merged(None), Answer::Averaged(averaged)) => {
                let mut folding = Folding::new();
                averaged.shards.into_iter().try_for_each(|shard| folding.answered(worker, shard))?;
                self.content = Content::Mean(folding);
            }
            (Content::Mean(folding), Answer::Averaged(averaged)) => {
                averaged.shards.into_iter().try_for_each(|shard| folding.answered(worker, shard))?;
            }
            (Content::Merged(merged), answer) => Contribution::merge_answer(merged, answer)?,
            (Content::Mean(_), _) => return Err(mismatch()),
        }
        self.answered.extend(shards);
        self.first.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Counts the round, which is over.
    pub(crate) fn count(&self) {
        FIT_ROUNDS.add(&[], 1.0);
        FIT_TIME.add(&[], self.begun.elapsed().as_secs_f64());
        FIT_WAIT.add(&[], self.first.map_or(0.0, |first| first.elapsed().as_secs_f64()));
    }

    /// Notes how long a shard took that was loaded before.
    pub(crate) fn note(&mut self, took: Duration) {
        self.fastest = Some(self.fastest.map_or(took, |fastest| fastest.min(took)));
        self.slowest = self.slowest.max(Some(took));
    }

    /// Forgets what only a lost worker has: the shards that have to answer again.
    pub(crate) fn lose(&mut self, worker: &str) -> Vec<u32> {
        let Content::Mean(folding) = &mut self.content else { return Vec::new() };
        let forgotten = folding.lose(worker);
        self.answered.retain(|shard| !forgotten.contains(shard));
        forgotten
    }
}
