//! Local SGD: from the same weights each shard takes some steps of its own, and the leader averages the results.
//!
//! Source: Stich, "Local SGD Converges Fast and Communicates Little" (ICLR 2019); the optimiser's running moments are
//! averaged with the weights, as in Yu, Jin and Yang (ICML 2019). The average is weighted by rows and summed in the
//! order of the shards, so that its bits depend on the number of shards, but not on the workers that carry them. What is
//! absent: the optimisers, which are the models' own. Start at [`Trained::average`].

use bytes::Bytes;
use prost::Message;
use tidewaiter_collective::Contribution;
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
#[derive(Clone, PartialEq, Message)]
pub struct Answer {
    /// The rows of its steps; 0 when it took none.
    #[prost(uint64, tag = "1")]
    pub rows: u64,
    /// The sum of the rows' losses, each before the step that uses the row.
    #[prost(double, tag = "2")]
    pub loss: f64,
    /// The weights after its steps.
    #[prost(message, required, tag = "3")]
    pub trained: Trained,
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

    /// Sets the weights and moments to the mean of the shards' answers, weighted by their rows, and returns the mean
    /// loss of a row; `None`, and nothing changes, when there are no rows. Messages name the `model`.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when an answer has another number of weights, and
    /// [`tidewaiter_core::ErrorKind::Input`] when a weight is no longer finite, naming the learning `rates` to lower.
    pub fn average(&mut self, answers: &[&Answer], model: &str, rates: &str) -> Result<Option<f64>> {
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

/// Decodes the shards' answers, in the order of the shards.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when the contribution is a sum, and
/// [`tidewaiter_core::ErrorKind::Corrupt`] when an answer cannot be decoded.
pub fn answers<M: Message + Default>(contribution: &Contribution, model: &str) -> Result<Vec<M>> {
    let Contribution::Gather(parts) = contribution else {
        let text = format!("{model}: the shards answered another question than was asked");
        return Err(Error::internal(text));
    };
    parts.iter().map(|(_, part): &(u32, Bytes)| Ok(M::decode(part.clone())?)).collect()
}

#[cfg(test)]
mod tests {
    use tidewaiter_core::ErrorKind;

    use super::*;

    fn answer(rows: u64, loss: f64, weights: &[f32]) -> Answer {
        Answer { rows, loss, trained: Trained::new(weights.to_vec()) }
    }

    #[test]
    fn shards_are_weighted_by_their_rows() {
        let mut trained = Trained::new(vec![9.0, 9.0]);
        let (first, second, idle) =
            (answer(3, 6.0, &[1.0, 0.0]), answer(1, 2.0, &[5.0, 4.0]), answer(0, 0.0, &[7.0, 7.0]));
        let loss = trained.average(&[&first, &second, &idle], "model", "rate").expect("fits");
        assert_eq!((loss, trained.weights.as_slice()), (Some(2.0), &[2.0, 1.0][..]));
        assert_eq!(trained.average(&[&idle], "model", "rate").expect("fits"), None);
        assert_eq!(trained.weights, [2.0, 1.0]);
    }

    #[test]
    fn answers_of_another_length_and_weights_that_are_not_finite_are_refused() {
        let mut trained = Trained::new(vec![0.0]);
        let error =
            trained.average(&[&answer(1, 0.0, &[1.0, 2.0])], "model", "rate").expect_err("two weights");
        assert_eq!(error.kind(), ErrorKind::Internal);
        let error = trained.average(&[&answer(1, 0.0, &[f32::NAN])], "model", "rate").expect_err("no number");
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains("lower rate"), "{error}");
    }
}
