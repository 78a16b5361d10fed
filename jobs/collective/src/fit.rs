//! The contract between a fit's leader and its shards: [`Leader`], [`Shard`] and what a shard answers, [`Contribution`].
//!
//! Source of the pattern: synchronous data-parallel training with a central reduction, as XGBoost's and
//! LightGBM's distributed modes do for histograms (Chen and Guestrin, KDD 2016, section 6; Ke et al.,
//! NeurIPS 2017). What differs is that the reduction is exact: a shard rounds real numbers to fixed point before they
//! are summed, and sums of integers do not depend on their order.

use bytes::Bytes;
use tidewaiter_core::{Error, Result, threads::check};
use tidewaiter_proto::v1::{Gathered, ShardAnswer, contribution::Answer};

use crate::values::{Part, Values, mean};

/// The answer of a shard, or of several shards merged, to one instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contribution {
    /// Integers that are added element by element; all shards send the same number of them.
    Sum(Vec<i64>),
    /// One message of each shard, with the shard's number, in the order of the shards.
    Gather(Vec<(u32, Bytes)>),
    /// Numbers of each shard that are averaged, with the shard's number, in the order of the shards. The leader is given
    /// the mean part by part ([`Leader::fold`]), and then [`Contribution::Mean`].
    Average(Vec<(u32, Values)>),
    /// What the shards told beside the numbers of a mean, in the order of the shards. Only leaders are given it.
    Mean(Vec<Part>),
}

impl Contribution {
    /// Merges another contribution to the same round into this one, which may be the first.
    ///
    /// # Errors
    /// As [`Contribution::merge`].
    pub fn merge_onto(self, merged: &mut Option<Self>) -> Result<()> {
        match merged {
            Some(merged) => merged.merge(self),
            None => {
                *merged = Some(self);
                Ok(())
            }
        }
    }

    /// Merges another contribution to the same round into this one.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when the two are not of one kind and length.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        match (self, other) {
            (Self::Sum(mine), Self::Sum(theirs)) if mine.len() == theirs.len() => {
                for (mine, theirs) in mine.iter_mut().zip(theirs) {
                    *mine += theirs;
                }
                Ok(())
            }
            (Self::Gather(mine), Self::Gather(theirs)) => {
                mine.extend(theirs);
                mine.sort_by_key(|(shard, _)| *shard);
                Ok(())
            }
            (Self::Average(mine), Self::Average(theirs)) => {
                mine.extend(theirs);
                mine.sort_by_key(|(shard, _)| *shard);
                Ok(())
            }
            _ => Err(mismatch()),
        }
    }

    /// Bytes that it holds, about.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Sum(values) => size_of_val(values.as_slice()),
            Self::Gather(parts) => parts.iter().map(|(_, part)| part.len()).sum(),
            Self::Average(parts) => parts.iter().map(|(_, part)| part.values.as_slice().len()).sum(),
            Self::Mean(parts) => parts.iter().map(|part| part.note.len()).sum(),
        }
    }

    /// A sum or what was gathered as a message. The integers of a sum are not copied.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when the numbers are averaged, which are not sent at once.
    pub fn into_answer(self) -> Result<Answer> {
        match self {
            Self::Sum(mut values) => {
                values.iter_mut().for_each(|value| *value = value.to_le());
                Ok(Answer::Sum(Bytes::from_owner(LittleEndian(values))))
            }
            Self::Gather(parts) => {
                let answers = parts.into_iter().map(|(shard, answer)| ShardAnswer { shard, answer });
                Ok(Answer::Gathered(Gathered { answers: answers.collect() }))
            }
            Self::Average(_) | Self::Mean(_) => Err(mismatch()),
        }
    }

    /// Merges the sum or gathered answers of a message into what is there, if anything.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when a sum is cut short, and as [`Contribution::merge`].
    pub fn merge_answer(merged: &mut Option<Self>, answer: Answer) -> Result<()> {
        match answer {
            Answer::Sum(bytes) => {
                let (values, []) = bytes.as_chunks() else {
                    return Err(Error::corrupt("a contribution to a fit is cut short"));
                };
                let values = values.iter().copied().map(i64::from_le_bytes);
                match merged {
                    None => *merged = Some(Self::Sum(values.collect())),
                    Some(Self::Sum(mine)) if mine.len() == values.len() => {
                        mine.iter_mut().zip(values).for_each(|(mine, theirs)| *mine += theirs);
                    }
                    Some(_) => return Err(mismatch()),
                }
                Ok(())
            }
            Answer::Gathered(Gathered { answers }) => {
                let parts = answers.into_iter().map(|ShardAnswer { shard, answer }| (shard, answer));
                Self::Gather(parts.collect()).merge_onto(merged)
            }
            Answer::Averaged(_) => Err(mismatch()),
        }
    }
}

/// Integers in little-endian order, whose memory is the message.
struct LittleEndian(Vec<i64>);

impl AsRef<[u8]> for LittleEndian {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

pub(crate) fn mismatch() -> Error {
    Error::internal("contributions of different kinds or lengths cannot be merged")
}

/// How far a fit is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// Units done (trees, epochs).
    pub done: u64,
    /// Units planned; the fit may stop earlier.
    pub total: u64,
    /// A line for people, such as the loss on the validation months.
    pub note: String,
}

/// The driver's side of a fit: a state machine that gives instructions and absorbs contributions.
pub trait Leader: Send + Sync {
    /// The next round's instruction, the same for every shard; `None` when the fit is finished. No other round is
    /// open.
    fn instruct(&mut self) -> Result<Option<Bytes>>;

    /// The instruction of one more round while others are open, so that shards compute while contributions travel;
    /// `None` when the leader needs the open rounds' contributions first. The result of the fit does not depend on how
    /// often this is called.
    fn instruct_ahead(&mut self) -> Result<Option<Bytes>> {
        Ok(None)
    }

    /// Takes the merged contribution of all shards to the oldest open round.
    fn absorb(&mut self, contribution: Contribution) -> Result<()>;

    /// Takes the next numbers of the shards' mean in the oldest open round, from number `first` on; all of them come, in
    /// their order, before [`Leader::absorb`]. So a leader can write them over those that the round began with, and never
    /// holds both. Where the weights of all shards are 0 there is no mean, and this is not called. When a worker is lost
    /// meanwhile, the round's instruction is sent again as it was given, and [`Leader::history`] must give what it gave
    /// before.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when the leader expects no mean, or one of fewer numbers.
    fn fold(&mut self, first: usize, mean: &[f32]) -> Result<()> {
        let _ = (first, mean);
        Err(mismatch())
    }

    /// The leader's whole state between two rounds (after `absorb`, before `instruct`): enough to continue the fit after
    /// a restart.
    fn checkpoint(&self) -> Result<Bytes>;

    /// What a newly loaded shard is given by [`Shard::restore`], so that it answers the next instruction exactly as a
    /// shard that was there from the beginning. While rounds are open it describes the state before the oldest of
    /// them, whose instruction the shard is given next.
    fn history(&self) -> Result<Bytes>;

    /// Whether the leader has just reached a point where a checkpoint may be stored, such as the end of a tree.
    fn at_milestone(&self) -> bool;

    /// How far the fit is.
    fn progress(&self) -> Progress;
}

/// A worker's side of a fit: one shard of the training data, in memory or read from where its loader put it.
#[async_trait::async_trait]
pub trait Shard: Send {
    /// Brings a newly loaded shard to the state described by [`Leader::history`].
    fn restore(&mut self, history: &[u8]) -> Result<()>;

    /// Answers one instruction and merges the answer into `merged`, which holds the answers of other shards, if any.
    /// The answer is a pure function of the data, the history and the instruction.
    ///
    /// A shard with a large sum adds its integers to those of `merged` in place, without a copy of its own.
    fn contribute(&mut self, instruction: &[u8], merged: &mut Option<Contribution>) -> Result<()>;

    /// As [`Shard::contribute`], which it is by default, for a shard that waits for data between its batches. It runs on a
    /// thread for computation and may both compute and wait.
    async fn contribute_async(
        &mut self,
        instruction: &[u8],
        merged: &mut Option<Contribution>,
    ) -> Result<()> {
        self.contribute(instruction, merged)
    }
}

/// Runs a fit to its end in this thread, without a collective.
///
/// # Errors
/// The first error of the leader or of a shard; [`tidewaiter_core::ErrorKind::Internal`] when there are no shards.
pub fn fit_in_process(leader: &mut dyn Leader, shards: &mut [Box<dyn Shard>]) -> Result<()> {
    while let Some(instruction) = leader.instruct()? {
        let mut merged = None;
        for shard in &mut *shards {
            check()?;
            shard.contribute(&instruction, &mut merged)?;
        }
        give(leader, merged.ok_or_else(|| Error::internal("a fit needs at least one shard"))?)?;
    }
    Ok(())
}

/// Gives the leader the merged answers of shards of this process to the oldest open round: a mean is folded first.
///
/// # Errors
/// The leader's.
pub fn give(leader: &mut dyn Leader, merged: Contribution) -> Result<()> {
    let merged = match merged {
        Contribution::Average(shards) => average(leader, shards)?,
        merged => merged,
    };
    leader.absorb(merged)
}

/// Gives the leader the whole mean of shards that are in this process.
fn average(leader: &mut dyn Leader, shards: Vec<(u32, Values)>) -> Result<Contribution> {
    let weight: u64 = shards.iter().map(|(_, values)| values.weight).sum();
    if weight > 0 {
        let share = |(_, shard): &(u32, Values)| (shard.weight as f64 / weight as f64, shard.values.bytes());
        leader.fold(0, &mean(&shards.iter().map(share).collect::<Vec<_>>()))?;
    }
    let part = |(shard, Values { weight, note, values }): (u32, Values)| {
        let length = values.len() as u64;
        Part { shard, weight, note, length }
    };
    Ok(Contribution::Mean(shards.into_iter().map(part).collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contributions() -> impl Strategy<Value = Contribution> {
        prop_oneof![
            prop::collection::vec(-1_000_i64..1_000, 0..5).prop_map(Contribution::Sum),
            prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..20)), 0..6).prop_map(
                |parts| Contribution::Gather(
                    parts.into_iter().map(|(shard, part)| (shard, Bytes::from(part))).collect()
                )
            ),
        ]
    }

    proptest! {
        #[test]
        fn a_contribution_is_merged_the_same_as_a_message_and_in_process(
            first in contributions(), second in contributions()
        ) {
            let mut sent = None;
            let mut local = None;
            for part in [first, second] {
                let in_process = part.clone().merge_onto(&mut local);
                let answer = part.into_answer().expect("no mean");
                let by_message = Contribution::merge_answer(&mut sent, answer);
                prop_assert_eq!(in_process.is_ok(), by_message.is_ok());
                prop_assert_eq!(&sent, &local);
            }
        }

        #[test]
        fn any_bytes_are_a_sum_or_corrupt(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let whole = bytes.len() % 8 == 0;
            let mut merged = None;
            let read = Contribution::merge_answer(&mut merged, Answer::Sum(Bytes::from(bytes)));
            prop_assert_eq!(read.is_ok(), whole);
        }
    }
}
