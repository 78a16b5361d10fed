//! The driver's part of the classifiers' fit.

use bytes::Bytes;
use prost::Message;
use tidewaiter_collective::{Contribution, Leader, Progress};
use tidewaiter_core::{Error, Result};

use super::wire::{
    ClassifierRange, CodeCounts, Count, Instruction, Request, State, StoredClassifier, TrainedClassifiers,
};
use crate::{
    codes::tree::CodeTree,
    fit::problem::{classifier_count, problem},
    model::weights::Classifier,
};

/// Rounds in which the classifiers are trained, about.
const ROUNDS: u64 = 16;

/// Leads the fit: the first round counts the texts of each code, and each further one trains a range of classifiers.
pub struct ClassifierLeader {
    state: State,
    rounds: Vec<ClassifierRange>,
}

impl ClassifierLeader {
    /// A fit that has not begun.
    pub fn new() -> Self {
        Self { state: State::default(), rounds: Vec::new() }
    }

    /// A fit that goes on from [`Leader::checkpoint`].
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when the bytes are no checkpoint of this kind of fit.
    pub fn restore(checkpoint: &[u8]) -> Result<Self> {
        let state = State::decode(checkpoint)?;
        let rounds = state.counts.as_ref().map_or_else(Vec::new, rounds);
        Ok(Self { state, rounds })
    }

    /// The trained classifiers, in the order of their numbers.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] before the end.
    pub(crate) fn classifiers(self) -> Result<Vec<Classifier>> {
        let mut stored = self.state.classifiers;
        stored.sort_by_key(|classifier| classifier.number);
        let whole = (0..).zip(&stored).all(|(number, classifier): (u32, _)| classifier.number == number)
            && self.rounds.last().map_or(0, |range| range.end as usize) == stored.len();
        if !whole {
            return Err(Error::internal("HS classifiers: the fit has not learned all of them"));
        }
        let classifier = |stored: StoredClassifier| Classifier {
            bias: stored.bias,
            weights: stored.features.into_iter().zip(stored.weights).collect(),
        };
        Ok(stored.into_iter().map(classifier).collect())
    }
}

impl Default for ClassifierLeader {
    fn default() -> Self {
        Self::new()
    }
}

/// The ranges of classifiers of the rounds, of about equal cost: that of a classifier is the number of texts that it is
/// trained on.
fn rounds(counts: &CodeCounts) -> Vec<ClassifierRange> {
    let classes = CodeTree::new(counts.codes.clone());
    let codes: Vec<u32> = counts
        .codes
        .iter()
        .zip(&counts.texts)
        .flat_map(|(code, texts)| std::iter::repeat_n(*code, *texts as usize))
        .collect();
    let count = classifier_count(&classes);
    let cost = |number: usize| {
        problem(&classes, number, &codes)
            .map_or(1, |problem| if problem.has_one_class() { 1 } else { problem.scope.len() as u64 })
    };
    let total: u64 = (0..count).map(cost).sum();
    let mut ranges = Vec::new();
    let (mut first, mut spent) = (0, 0);
    for number in 0..count {
        spent += cost(number);
        if spent * ROUNDS >= total || number + 1 == count {
            ranges.push(ClassifierRange { first, end: number as u32 + 1 });
            (first, spent) = (number as u32 + 1, 0);
        }
    }
    ranges
}

impl Leader for ClassifierLeader {
    fn instruct(&mut self) -> Result<Option<Bytes>> {
        let request = match self.rounds.get(self.state.done as usize) {
            _ if self.state.counts.is_none() => Request::Count(Count {}),
            Some(range) => Request::Train(*range),
            None => return Ok(None),
        };
        Ok(Some(Bytes::from(Instruction { request: Some(request) }.encode_to_vec())))
    }

    fn absorb(&mut self, contribution: Contribution) -> Result<()> {
        let Contribution::Gather(parts) = contribution else {
            return Err(Error::internal("HS classifiers: the shards answered another request than was sent"));
        };
        if self.state.counts.is_none() {
            let first = parts.first().map(|(_, part)| part.clone()).unwrap_or_default();
            let counts = CodeCounts::decode(first)?;
            if counts.codes.len() < 2 {
                return Err(Error::input(format!(
                    "the training months have descriptions of {} HS codes; at least two are needed",
                    counts.codes.len()
                )));
            }
            self.rounds = rounds(&counts);
            self.state.counts = Some(counts);
            return Ok(());
        }
        for (_, part) in parts {
            self.state.classifiers.extend(TrainedClassifiers::decode(part)?.classifiers);
        }
        self.state.done += 1;
        Ok(())
    }

    fn checkpoint(&self) -> Result<Bytes> {
        Ok(Bytes::from(self.state.encode_to_vec()))
    }

    fn history(&self) -> Result<Bytes> {
        Ok(Bytes::new())
    }

    fn at_milestone(&self) -> bool {
        self.state.done > 0
    }

    fn progress(&self) -> Progress {
        let end = self.state.done.checked_sub(1).and_then(|last| self.rounds.get(last as usize));
        Progress {
            done: end.map_or(0, |range| u64::from(range.end)),
            total: self.rounds.last().map_or(0, |range| u64::from(range.end)),
            note: String::new(),
        }
    }
}
