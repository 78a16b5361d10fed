//! The contract between a fit's leader and its shards.
//!
//! Source of the pattern: synchronous data-parallel training with a central reduction, as XGBoost's and
//! LightGBM's distributed modes do for histograms (Chen and Guestrin, KDD 2016, section 6; Ke et al.,
//! NeurIPS 2017). What differs is that the reduction is exact: real numbers are rounded to fixed point by
//! the shard before they are summed, and integer sums do not depend on their order.

use bytes::Bytes;
use tidewaiter_proto::v1::{Gathered, ShardAnswer, contribution::Answer};

use crate::{Error, Result};

/// What a shard, or several merged, say to one instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contribution {
    /// Integers to be added element by element; all shards send the same length.
    Sum(Vec<i64>),
    /// One message per shard, kept in the order of the shards.
    Gather(Vec<(u32, Bytes)>),
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
    /// [`crate::ErrorKind::Internal`] when the two are not of one kind and length.
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
            _ => Err(unlike()),
        }
    }

    /// As it travels. The integers of a sum are not copied.
    pub fn into_answer(self) -> Answer {
        match self {
            Self::Sum(mut values) => {
                values.iter_mut().for_each(|value| *value = value.to_le());
                Answer::Sum(Bytes::from_owner(LittleEndian(values)))
            }
            Self::Gather(parts) => {
                let answers = parts.into_iter().map(|(shard, answer)| ShardAnswer { shard, answer });
                Answer::Gathered(Gathered { answers: answers.collect() })
            }
        }
    }

    /// Merges what came from elsewhere onto what is there, if anything is.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when a sum is cut short, and as [`Contribution::merge`].
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
                    Some(_) => return Err(unlike()),
                }
                Ok(())
            }
            Answer::Gathered(Gathered { answers }) => {
                let parts = answers.into_iter().map(|ShardAnswer { shard, answer }| (shard, answer));
                Self::Gather(parts.collect()).merge_onto(merged)
            }
        }
    }
}

/// Integers whose bytes are those that travel.
struct LittleEndian(Vec<i64>);

impl AsRef<[u8]> for LittleEndian {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

fn unlike() -> Error {
    Error::internal("contributions of different kinds or lengths cannot be merged")
}

/// How far a fit is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// Units done (trees, epochs).
    pub done: u64,
    /// Units planned; the fit may stop earlier.
    pub total: u64,
    /// What a person following would like to see, such as the loss on the validation months.
    pub note: String,
}

/// The driver's side of a fit: a state machine that asks and absorbs.
pub trait Leader: Send + Sync {
    /// The next round's instruction, the same for every shard; `None` when the fit is finished. No other round is
    /// open.
    fn instruct(&mut self) -> Result<Option<Bytes>>;

    /// One more round's instruction while others are open, so that shards compute while answers travel; `None` when
    /// the answers have to come first. What the fit ends with does not depend on how often this is asked.
    fn ahead(&mut self) -> Result<Option<Bytes>> {
        Ok(None)
    }

    /// Takes the merged contribution of all shards to the oldest open instruction.
    fn absorb(&mut self, contribution: Contribution) -> Result<()>;

    /// The leader's whole state between two rounds (after `absorb`, before `instruct`): enough to go on
    /// with after a restart.
    fn checkpoint(&self) -> Result<Bytes>;

    /// What a newly loaded shard must be given by [`Shard::restore`] to answer the next instruction
    /// exactly as a shard that was there from the beginning. It is also asked between `instruct` and
    /// `absorb`: then it describes the point before the oldest open instruction, which the shard is given next.
    fn history(&self) -> Result<Bytes>;

    /// Whether now is a good moment to write a checkpoint (for instance, a tree was finished).
    fn at_milestone(&self) -> bool;

    /// How far the fit is.
    fn progress(&self) -> Progress;
}

/// A worker's side of a fit: one shard of the training data, in memory.
pub trait Shard: Send {
    /// Brings a freshly loaded shard to the point described by [`Leader::history`].
    fn restore(&mut self, history: &[u8]) -> Result<()>;

    /// Answers one instruction, merged onto what other shards answered, if any did. The answer is a pure
    /// function of the data, the history and the instruction.
    ///
    /// A shard with a large sum adds to the one that is there instead of making its own.
    fn contribute(&mut self, instruction: &[u8], merged: &mut Option<Contribution>) -> Result<()>;
}

/// Runs a fit to its end in this thread, without a collective.
///
/// # Errors
/// The first error of the leader or of a shard; [`crate::ErrorKind::Internal`] when there are no shards.
pub(crate) fn fit_in_process(leader: &mut dyn Leader, shards: &mut [Box<dyn Shard>]) -> Result<()> {
    while let Some(instruction) = leader.instruct()? {
        let mut merged = None;
        for shard in &mut *shards {
            shard.contribute(&instruction, &mut merged)?;
        }
        leader.absorb(merged.ok_or_else(|| Error::internal("a fit needs at least one shard"))?)?;
    }
    Ok(())
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
        fn what_travels_is_merged_as_what_stays(
            first in contributions(), second in contributions()
        ) {
            let mut travelled = None;
            let mut stayed = None;
            for part in [first, second] {
                let here = part.clone().merge_onto(&mut stayed);
                let there = Contribution::merge_answer(&mut travelled, part.into_answer());
                prop_assert_eq!(here.is_ok(), there.is_ok());
                prop_assert_eq!(&travelled, &stayed);
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
