//! Local SGD: from the same weights each shard takes some steps of its own, and the leader averages the results.
//!
//! Source: Stich, "Local SGD Converges Fast and Communicates Little" (ICLR 2019); the optimiser's running moments are
//! averaged with the weights, as in Yu, Jin and Yang (ICML 2019). The average is weighted by rows and summed in the
//! order of the shards, so that its bits depend on the number of shards, but not on the workers that carry them. It
//! arrives part by part and is written over the weights that the round began with ([`Trained::fold`]): the leader holds
//! them once, beside the round's instruction. What is absent: the optimisers, which are the models' own. Start at
//! [`Answer::contribution`] for a shard's side, and at [`Trained::averaged`] for the leader's.

use bytes::Bytes;
use prost::Message;
use tidewaiter_collective::{Contribution, Numbers, Part, Values};
use tidewaiter_core::{Error, Result};

/// The weights of a model, with the running moments of their gradients.
#[derive(Clone, PartialEq, Message)]
pub struct Trained {
    /// The weights.
    #[prost(float, repeated, tag = "1")]
    pub weights: Vec<f32>,
    /// Running mean of the gradients.
    #[prost(float, repeated, tag = "2")]
    pub means: Vec<f32>,
    /// Running mean of the squared gradients.
    #[prost(float, repeated, tag = "3")]
    pub squares: Vec<f32>,
}

/// A shard's result of one round of local steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The rows of its steps; 0 when it took none.
    pub rows: u64,
    /// The sum of the rows' losses, each before the step that uses the row.
    pub loss: f64,
    /// The weights after its steps.
    pub trained: Trained,
}

/// What the leader is told beside the weights.
#[derive(Clone, PartialEq, Message)]
struct Note {
    #[prost(double, tag = "1")]
    loss: f64,
    /// The model's own.
    #[prost(bytes = "bytes", tag = "2")]
    note: Bytes,
}

impl Answer {
    /// The contribution of a shard, with what the model's leader is told beside it.
    pub fn contribution(self, shard: u32, note: Bytes) -> Contribution {
        let Trained { mut weights, means, squares } = self.trained;
        weights.extend(means);
        weights.extend(squares);
        let note = Bytes::from(Note { loss: self.loss, note }.encode_to_vec());
        let values = Values { weight: self.rows, note, values: Numbers::new(weights) };
        Contribution::Average(vec![(shard, values)])
    }
}

impl Trained {
    /// Weights before training, with moments of zero.
    pub fn new(weights: Vec<f32>) -> Self {
        let zeros = vec![0.0; weights.len()];
        Self { weights, means: zeros.clone(), squares: zeros }
    }

    /// Whether there are `weights` weights, each with its moments.
    pub fn fits(&self, weights: usize) -> bool {
        [&self.weights, &self.means, &self.squares].iter().all(|list| list.len() == weights)
    }

    /// Writes the next part of the shards' mean over the weights and moments. Messages name the `model`.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when there are fewer.
    pub fn fold(&mut self, first: usize, mean: &[f32], model: &str) -> Result<()> {
        let length = self.weights.len();
        let (mut begin, end) = (first, first + mean.len());
        if end > 3 * length {
            return Err(unfit(model));
        }
        for (number, list) in [&mut self.weights, &mut self.means, &mut self.squares].into_iter().enumerate()
        {
            let (from, to) = (number * length, (number + 1) * length);
            let until = to.min(end);
            if (from..to).contains(&begin) && begin < until {
                list[begin - from..until - from].copy_from_slice(&mean[begin - first..until - first]);
                begin = until;
            }
        }
        Ok(())
    }

    /// The mean loss of a row in the round whose mean was folded, and the shards' own notes, in the order of the shards.
    /// The loss is `None`, and no weight has changed, when there were no rows. Messages name the `model`.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when an answer has another number of weights or none, and
    /// [`tidewaiter_core::ErrorKind::Input`] when a weight is no longer finite, naming the learning `rates` to lower.
    pub fn averaged(
        &self,
        contribution: &Contribution,
        model: &str,
        rates: &str,
    ) -> Result<(Option<f64>, Vec<Bytes>)> {
        let Contribution::Mean(parts) = contribution else { return Err(unexpected(model)) };
        if parts.iter().any(|part: &Part| part.length != 3 * self.weights.len() as u64) {
            return Err(unfit(model));
        }
        let notes = parts.iter().map(|part| Ok(Note::decode(part.note.clone())?));
        let notes: Vec<Note> = notes.collect::<Result<_>>()?;
        let rows: u64 = parts.iter().map(|part| part.weight).sum();
        let loss = (rows > 0).then(|| notes.iter().map(|note| note.loss).sum::<f64>() / rows as f64);
        if rows > 0 && self.weights.iter().any(|weight| !weight.is_finite()) {
            let text = format!("{model}: the weights grew beyond all bounds; lower {rates}");
            return Err(Error::input(text));
        }
        Ok((loss, notes.into_iter().map(|note| note.note).collect()))
    }
}

fn unfit(model: &str) -> Error {
    Error::internal(format!("{model}: a shard's answer does not fit the weights"))
}

fn unexpected(model: &str) -> Error {
    Error::internal(format!("{model}: the shards answered another request"))
}

/// Decodes the shards' answers to another question than for training steps, in the order of the shards.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when they were not gathered, and
/// [`tidewaiter_core::ErrorKind::Corrupt`] when an answer cannot be decoded.
pub fn answers<M: Message + Default>(contribution: &Contribution, model: &str) -> Result<Vec<M>> {
    let Contribution::Gather(parts) = contribution else { return Err(unexpected(model)) };
    parts.iter().map(|(_, part): &(u32, Bytes)| Ok(M::decode(part.clone())?)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidewaiter_collective::{Leader, Progress, Shard, fit::fit_in_process};
    use tidewaiter_core::ErrorKind;

    use super::*;

    /// A fit of one round.
    struct OneRound {
        trained: Trained,
        averaged: Option<Result<(Option<f64>, Vec<Bytes>)>>,
    }

    impl Leader for OneRound {
        fn instruct(&mut self) -> Result<Option<Bytes>> {
            Ok(self.averaged.is_none().then(Bytes::new))
        }

        fn fold(&mut self, first: usize, mean: &[f32]) -> Result<()> {
            self.trained.fold(first, mean, "model")
        }

        fn absorb(&mut self, contribution: Contribution) -> Result<()> {
            self.averaged = Some(self.trained.averaged(&contribution, "model", "rate"));
            Ok(())
        }

        fn checkpoint(&self) -> Result<Bytes> {
            Ok(Bytes::new())
        }

        fn history(&self) -> Result<Bytes> {
            Ok(Bytes::new())
        }

        fn at_milestone(&self) -> bool {
            false
        }

        fn progress(&self) -> Progress {
            Progress::default()
        }
    }

    struct Trainee(u32, Answer);

    impl Shard for Trainee {
        fn restore(&mut self, _: &[u8]) -> Result<()> {
            Ok(())
        }

        fn contribute(&mut self, _: &[u8], merged: &mut Option<Contribution>) -> Result<()> {
            self.1.clone().contribution(self.0, Bytes::from(vec![self.0 as u8])).merge_onto(merged)
        }
    }

    /// The weights after a round, and what the leader learned beside them.
    fn averaged(
        weights: &[f32],
        answers: impl IntoIterator<Item = Answer>,
    ) -> Result<(Vec<f32>, Option<f64>, Vec<Bytes>)> {
        let shards = (0..).zip(answers).map(|(number, answer)| Box::new(Trainee(number, answer)) as _);
        let mut shards: Vec<Box<dyn Shard>> = shards.collect();
        let mut leader = OneRound { trained: Trained::new(weights.to_vec()), averaged: None };
        fit_in_process(&mut leader, &mut shards)?;
        let (loss, notes) = leader.averaged.expect("one round")?;
        Ok((leader.trained.weights, loss, notes))
    }

    fn answer(rows: u64, loss: f64, weights: &[f32]) -> Answer {
        Answer { rows, loss, trained: Trained::new(weights.to_vec()) }
    }

    #[test]
    fn shards_are_weighted_by_their_rows() {
        let idle = answer(0, 0.0, &[7.0, 7.0]);
        let answers = [answer(3, 6.0, &[1.0, 0.0]), answer(1, 2.0, &[5.0, 4.0]), idle.clone()];
        let (weights, loss, notes) = averaged(&[9.0, 9.0], answers).expect("fits");
        assert_eq!((weights, loss), (vec![2.0, 1.0], Some(2.0)));
        assert_eq!(notes, [[0], [1], [2]].map(|note| Bytes::copy_from_slice(&note)));
        let (weights, loss, _) = averaged(&[9.0, 9.0], [idle]).expect("fits");
        assert_eq!((weights, loss), (vec![9.0, 9.0], None));
    }

    #[test]
    fn answers_of_another_length_and_weights_that_are_not_finite_are_refused() {
        for wrong in [&[1.0, 2.0][..], &[]] {
            let error = averaged(&[0.0], [answer(1, 0.0, wrong)]).expect_err("not one weight");
            assert_eq!(error.kind(), ErrorKind::Internal);
        }
        let error = averaged(&[0.0], [answer(1, 0.0, &[f32::NAN])]).expect_err("no number");
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains("lower rate"), "{error}");
    }

    proptest! {
        #[test]
        fn the_parts_of_a_mean_are_written_to_their_places(
            lists in prop::collection::vec((any::<f32>(), any::<f32>(), any::<f32>()), 1..20), cut in 1..20_usize
        ) {
            let of = |list: fn(&(f32, f32, f32)) -> f32| lists.iter().map(list).collect::<Vec<_>>();
            let expected = [of(|all| all.0), of(|all| all.1), of(|all| all.2)];
            let mean = expected.concat();
            let mut trained = Trained::new(vec![0.0; lists.len()]);
            for (at, part) in mean.chunks(cut).enumerate() {
                trained.fold(at * cut, part, "model").expect("fits");
            }
            prop_assert_eq!([trained.weights, trained.means, trained.squares].map(bits), expected.map(bits));
        }
    }

    fn bits(values: Vec<f32>) -> Vec<u32> {
        values.into_iter().map(f32::to_bits).collect()
    }
}
