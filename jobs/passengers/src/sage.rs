//! GraphSAGE: a network that reads what a thing is, what its sampled neighbours are, and what theirs are.
//!
//! W. L. Hamilton, R. Ying, J. Leskovec, "Inductive Representation Learning on Large Graphs", NeurIPS 2017, with mean
//! aggregators of two layers. As the mean of the neighbours' neighbours enters linearly, a sample holds that mean and not
//! each of them. It is compared with boosted trees on the same rows (docs/benchmarks.md) and is no model of a retrain. The same
//! samples and seed give the same scores on one machine. Start at [`Sage::fit`].

use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, loss::binary_cross_entropy_with_logit};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use tidewaiter_core::{Error, Result};

/// Samples, each number of columns filled with zeros where a neighbour is absent.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    /// Numbers of the thing itself, of a neighbour, and of the mean of a neighbour's neighbours.
    pub widths: [usize; 3],
    /// Neighbours of a sample at most.
    pub neighbours: usize,
    /// Numbers of the things, sample after sample.
    pub own: Vec<f32>,
    /// Numbers of the neighbours.
    pub near: Vec<f32>,
    /// Means of the neighbours' neighbours.
    pub far: Vec<f32>,
    /// How many neighbours each sample has.
    pub counts: Vec<u32>,
    /// 1 or 0.
    pub labels: Vec<f32>,
}

/// Settings of a fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Numbers of a layer.
    pub hidden: usize,
    /// Passes over the samples.
    pub epochs: usize,
    /// Samples of a step.
    pub batch: usize,
    /// Size of a step.
    pub rate: f64,
    /// Seed of weights and of the order of samples.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { hidden: 32, epochs: 8, batch: 256, rate: 3e-3, seed: 1 }
    }
}

/// A fitted network.
#[derive(Debug)]
pub struct Sage {
    near: [Var; 2],
    own: [Var; 2],
    joined: [Var; 2],
    out: [Var; 2],
}

fn failed(error: candle_core::Error) -> Error {
    Error::internal("a network of neighbours cannot be computed").with_source(error)
}

impl Samples {
    fn count(&self) -> usize {
        self.labels.len()
    }

    /// The rows of some samples: own, near, far, and the share that each neighbour has in the mean.
    fn batch(&self, rows: &[usize]) -> candle_core::Result<[Tensor; 4]> {
        let [own, near, far] = self.widths;
        let gather = |values: &[f32], width: usize| {
            let of = |row: &usize| values[row * width..(row + 1) * width].iter().copied();
            rows.iter().flat_map(of).collect::<Vec<f32>>()
        };
        let (device, most) = (Device::Cpu, self.neighbours);
        let shares = rows.iter().flat_map(|row| {
            let count = self.counts[*row] as usize;
            (0..most).map(move |place| if place < count { 1.0 / count as f32 } else { 0.0 })
        });
        let shares: Vec<f32> = shares.collect();
        Ok([
            Tensor::from_vec(gather(&self.own, own), (rows.len(), own), &device)?,
            Tensor::from_vec(gather(&self.near, most * near), (rows.len(), most, near), &device)?,
            Tensor::from_vec(gather(&self.far, most * far), (rows.len(), most, far), &device)?,
            Tensor::from_vec(shares, (rows.len(), most, 1), &device)?,
        ])
    }
}

impl Sage {
    /// Fits the network by AdamW.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] where the samples do not fit their widths.
    pub fn fit(samples: &Samples, settings: Settings) -> Result<Self> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(settings.seed);
        let sage = Self::new(samples.widths, settings.hidden, &mut random).map_err(failed)?;
        sage.train(samples, settings, &mut random).map_err(failed)?;
        Ok(sage)
    }

    fn new([own, near, far]: [usize; 3], hidden: usize, random: &mut impl Rng) -> candle_core::Result<Self> {
        let mut layer = |from: usize, to: usize| {
            // He et al., 2015, for rectified units.
            let reach = (6.0 / from as f32).sqrt();
            let weights: Vec<f32> =
                (0..from * to).map(|_| reach * (2.0 * random.random::<f32>() - 1.0)).collect();
            let weights = Var::from_tensor(&Tensor::from_vec(weights, (from, to), &Device::Cpu)?)?;
            Ok::<_, candle_core::Error>([weights, Var::zeros(to, DType::F32, &Device::Cpu)?])
        };
        Ok(Self {
            near: layer(near + far, hidden)?,
            own: layer(own + near, hidden)?,
            joined: layer(2 * hidden, hidden)?,
            out: layer(hidden, 1)?,
        })
    }

    /// The log odds of some samples.
    fn forward(&self, [own, near, far, shares]: &[Tensor; 4]) -> candle_core::Result<Tensor> {
        let layer = |[weights, bias]: &[Var; 2], input: &Tensor| {
            let shape = input.dims().to_vec();
            let flat = input.reshape(((), shape[shape.len() - 1]))?;
            let output = flat.matmul(weights)?.broadcast_add(bias)?;
            let mut shape = shape;
            let last = shape.len() - 1;
            shape[last] = weights.dims()[1];
            output.reshape(shape)
        };
        let mean = |values: &Tensor| values.broadcast_mul(shares)?.sum(1);
        let near_layer = layer(&self.near, &Tensor::cat(&[near, far], D::Minus1)?)?.relu()?;
        let own_layer = layer(&self.own, &Tensor::cat(&[own, &mean(near)?], D::Minus1)?)?.relu()?;
        let joined = Tensor::cat(&[&own_layer, &mean(&near_layer)?], D::Minus1)?;
        layer(&self.out, &layer(&self.joined, &joined)?.relu()?)?.squeeze(1)
    }

    fn train(&self, samples: &Samples, settings: Settings, random: &mut impl Rng) -> candle_core::Result<()> {
        let variables = [&self.near, &self.own, &self.joined, &self.out];
        let variables: Vec<Var> = variables.into_iter().flatten().cloned().collect();
        let parameters = ParamsAdamW { lr: settings.rate, weight_decay: 1e-4, ..ParamsAdamW::default() };
        let mut optimiser = AdamW::new(variables, parameters)?;
        let mut order: Vec<usize> = (0..samples.count()).collect();
        for _ in 0..settings.epochs {
            for at in (1..order.len()).rev() {
                order.swap(at, random.random_range(0..=at));
            }
            for rows in order.chunks(settings.batch) {
                let labels: Vec<f32> = rows.iter().map(|row| samples.labels[*row]).collect();
                let labels = Tensor::from_vec(labels, rows.len(), &Device::Cpu)?;
                let scores = self.forward(&samples.batch(rows)?)?;
                optimiser.backward_step(&binary_cross_entropy_with_logit(&scores, &labels)?)?;
            }
        }
        Ok(())
    }

    /// The log odds of samples.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] where the samples do not fit the network.
    pub fn score(&self, samples: &Samples) -> Result<Vec<f64>> {
        let rows: Vec<usize> = (0..samples.count()).collect();
        let mut scores = Vec::with_capacity(rows.len());
        for rows in rows.chunks(4096) {
            let batch = samples.batch(rows).and_then(|batch| self.forward(&batch));
            let batch: Vec<f32> = batch.and_then(|batch| batch.to_vec1()).map_err(failed)?;
            scores.extend(batch.into_iter().map(f64::from));
        }
        Ok(scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Things of one number that says nothing; positive where a neighbour's neighbours are positive in the mean.
    fn samples(count: usize) -> Samples {
        let mut samples = Samples { widths: [1, 1, 1], neighbours: 2, ..Samples::default() };
        for row in 0..count {
            let sign = if row * 7919 % 13 < 6 { 1.0 } else { -1.0 };
            samples.own.push((row % 5) as f32 / 5.0);
            samples.near.extend([(row % 3) as f32, 0.0]);
            samples.far.extend([sign, 0.0]);
            samples.counts.push(1);
            samples.labels.push(f32::from(u8::from(sign > 0.0)));
        }
        samples
    }

    #[test]
    fn what_neighbours_of_neighbours_say_is_learned() {
        let settings = Settings { epochs: 4, batch: 32, rate: 0.01, hidden: 8, seed: 1 };
        let sage = Sage::fit(&samples(400), settings).expect("fits");
        let test = samples(100);
        let scores = sage.score(&test).expect("scores");
        let right =
            scores.iter().zip(&test.labels).filter(|(score, label)| (**score > 0.0) == (**label > 0.5));
        assert!(right.count() >= 98, "{scores:?}");
        let again = Sage::fit(&samples(400), settings).expect("fits").score(&test).expect("scores");
        assert_eq!(scores, again);
    }
}
