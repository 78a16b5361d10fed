//! Local SGD: shards make some steps on their own from the same weights, and the leader averages what they came to.
//!
//! Source: Stich, "Local SGD Converges Fast and Communicates Little" (ICLR 2019); the optimiser's running moments
//! are averaged with the weights as in Yu, Jin and Yang (ICML 2019). The average is by rows and in the shards'
//! order, so that the bytes depend on the number of shards and on nothing else of where they are. Start at
//! [`Trained::average`]; the optimisers are the models' own.

use bytes::Bytes;
use prost::Message;

use super::Contribution;
use crate::{Error, Result};

/// Weights and their running moments.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Trained {
    #[prost(float, repeated, tag = "1")]
    pub(crate) weights: Vec<f32>,
    /// Running mean of the gradients.
    #[prost(float, repeated, tag = "2")]
    pub(crate) means: Vec<f32>,
    /// Running mean of their squares.
    #[prost(float, repeated, tag = "3")]
    pub(crate) squares: Vec<f32>,
}

/// What a shard came to in a round.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Answer {
    /// Rows of the steps.
    #[prost(uint64, tag = "1")]
    pub(crate) rows: u64,
    /// The sum of the rows' losses when they were learned from.
    #[prost(double, tag = "2")]
    pub(crate) loss: f64,
    #[prost(message, required, tag = "3")]
    pub(crate) trained: Trained,
}

impl Trained {
    /// Weights that have not been trained yet.
    pub(crate) fn new(weights: Vec<f32>) -> Self {
        let zeros = vec![0.0; weights.len()];
        Self { weights, means: zeros.clone(), squares: zeros }
    }

    /// Whether these are so many weights, each with its moments.
    pub(crate) fn fits(&self, weights: usize) -> bool {
        [&self.weights, &self.means, &self.squares].iter().all(|list| list.len() == weights)
    }

    /// Becomes the mean of the shards' answers by their rows; gives the mean loss. Without rows nothing changes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Internal`] when an answer has another number of weights, and
    /// [`crate::ErrorKind::Input`] when the weights have grown beyond all bounds, naming the `rates` to lower.
    pub(crate) fn average(&mut self, answers: &[&Answer], model: &str, rates: &str) -> Result<Option<f64>> {
        if !answers.iter().all(|answer| answer.trained.fits(self.weights.len())) {
            return Err(Error::internal(format!("{model}: a shard's answer does not fit the weights")));
        }
        let rows: u64 = answers.iter().map(|answer| answer.rows).sum();
        if rows == 0 {
            return Ok(None);
        }
        let shares: Vec<f64> = answers.iter().map(|answer| answer.rows as f64 / rows as f64).collect();
        let mean = |list: &mut Vec<f32>, of: fn(&Trained) -> &Vec<f32>| {
            for (at, number) in list.iter_mut().enumerate() {
                let parts = answers.iter().zip(&shares);
                let sum: f64 = parts.map(|(answer, share)| share * f64::from(of(&answer.trained)[at])).sum();
                *number = sum as f32;
            }
        };
        mean(&mut self.weights, |trained| &trained.weights);
        mean(&mut self.means, |trained| &trained.means);
        mean(&mut self.squares, |trained| &trained.squares);
        if self.weights.iter().any(|weight| !weight.is_finite()) {
            let text = format!("{model}: the weights grew beyond all bounds; lower {rates}");
            return Err(Error::input(text));
        }
        Ok(Some(answers.iter().map(|answer| answer.loss).sum::<f64>() / rows as f64))
    }
}

/// The shards' answers, in the shards' order.
///
/// # Errors
/// [`crate::ErrorKind::Internal`] when the contribution is no gathering, and [`crate::ErrorKind::Corrupt`] when an
/// answer is another message.
pub(crate) fn answers<M: Message + Default>(contribution: &Contribution, model: &str) -> Result<Vec<M>> {
    let Contribution::Gather(parts) = contribution else {
        let text = format!("{model}: the shards answered another question than was asked");
        return Err(Error::internal(text));
    };
    parts.iter().map(|(_, part): &(u32, Bytes)| Ok(M::decode(part.clone())?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn answer(rows: u64, loss: f64, weights: &[f32]) -> Answer {
        Answer { rows, loss, trained: Trained::new(weights.to_vec()) }
    }

    #[test]
    fn shards_count_by_their_rows_and_an_idle_one_does_not_count() {
        let mut trained = Trained::new(vec![9.0, 9.0]);
        let (first, second, idle) =
            (answer(3, 6.0, &[1.0, 0.0]), answer(1, 2.0, &[5.0, 4.0]), answer(0, 0.0, &[7.0, 7.0]));
        let loss = trained.average(&[&first, &second, &idle], "model", "rate").expect("fits");
        assert_eq!((loss, trained.weights.as_slice()), (Some(2.0), &[2.0, 1.0][..]));
        assert_eq!(trained.average(&[&idle], "model", "rate").expect("fits"), None);
        assert_eq!(trained.weights, [2.0, 1.0]);
    }

    #[test]
    fn answers_that_do_not_fit_and_weights_without_bounds_are_refused() {
        let mut trained = Trained::new(vec![0.0]);
        let error =
            trained.average(&[&answer(1, 0.0, &[1.0, 2.0])], "model", "rate").expect_err("two weights");
        assert_eq!(error.kind(), ErrorKind::Internal);
        let error = trained.average(&[&answer(1, 0.0, &[f32::NAN])], "model", "rate").expect_err("no number");
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains("lower rate"), "{error}");
    }
}
