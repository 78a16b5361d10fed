//! GraphSAGE: a network that reads what a thing is, what its sampled neighbours are, and what theirs are.
//!
//! W. L. Hamilton, R. Ying, J. Leskovec, "Inductive Representation Learning on Large Graphs", NeurIPS 2017, with mean
//! aggregators of two layers. As the mean of the neighbours' neighbours enters linearly, a sample holds that mean and not
//! each of them. The model of travellers is made of it ([`crate::model`]); on public data it is compared with boosted trees in
//! docs/benchmarks.md. The same samples and seed give the same weights on one kind of processor. Start at [`Sage::fit`].

use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result, threads::check};

/// Samples that are scored together.
const BATCH: usize = 4096;

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
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Numbers of a layer, 1 to 1024.
    pub hidden: usize,
    /// Passes over the samples, 1 to 1000.
    pub epochs: usize,
    /// Samples of a step, 1 or more.
    pub batch: usize,
    /// Size of a step, above 0 and at most 1.
    pub rate: f64,
    /// Seed of weights and of the order of samples.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { hidden: 32, epochs: 8, batch: 256, rate: 3e-3, seed: 1 }
    }
}

impl Settings {
    /// Checks every setting against its range.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] naming the first that is out of range.
    pub fn validate(&self) -> Result<()> {
        let checks = [
            ("hidden", self.hidden as f64, (1..=1024).contains(&self.hidden), "from 1 to 1024"),
            ("epochs", self.epochs as f64, (1..=1000).contains(&self.epochs), "from 1 to 1000"),
            ("batch", self.batch as f64, self.batch > 0, "1 or more"),
            ("rate", self.rate, self.rate > 0.0 && self.rate <= 1.0, "above 0 and at most 1"),
        ];
        match checks.into_iter().find(|(_, _, good, _)| !good) {
            None => Ok(()),
            Some((name, value, _, range)) => Err(Error::input(format!(
                "graph network: the parameter {name} is {value}; set it to a value {range}"
            ))),
        }
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
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.counts.len()
    }

    /// Every so many of them, from the first on.
    #[must_use]
    pub fn every(&self, step: usize) -> Self {
        let [own, near, far] = self.widths;
        let take = |values: &[f32], width: usize| {
            values.chunks_exact(width.max(1)).step_by(step).flatten().copied().collect()
        };
        Self {
            own: take(&self.own, own),
            near: take(&self.near, self.neighbours * near),
            far: take(&self.far, self.neighbours * far),
            counts: self.counts.iter().step_by(step).copied().collect(),
            labels: self.labels.iter().step_by(step).copied().collect(),
            ..*self
        }
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
    /// Fits the network by AdamW and gives the mean loss of the samples `valid`: of the passes, that with the least counts.
    /// Without such samples the last one counts.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] where the samples do not fit their widths;
    /// [`tidewaiter_core::ErrorKind::Cancelled`] when nobody awaits it.
    pub fn fit(samples: &Samples, valid: &Samples, settings: Settings) -> Result<(Self, Option<f64>)> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(settings.seed);
        let sage = Self::new(samples.widths, settings.hidden, &mut random).map_err(failed)?;
        let least = sage.train(samples, valid, settings, &mut random)?;
        Ok((sage, least))
    }

    /// The network of some weights, as [`Sage::weights`] gives them.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] where there are more or fewer than the network has.
    pub fn of_weights(widths: [usize; 3], hidden: usize, weights: &[f32]) -> Result<Self> {
        let sage = Self::new(widths, hidden, &mut Xoshiro256PlusPlus::seed_from_u64(0)).map_err(failed)?;
        let count: usize = sage.variables().iter().map(|variable| variable.elem_count()).sum();
        if count != weights.len() {
            return Err(Error::corrupt(format!(
                "a graph network of {count} weights has {} of them; retrain",
                weights.len()
            )));
        }
        sage.set(weights).map_err(failed)?;
        Ok(sage)
    }

    /// All weights, one after the other.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] where they cannot be read.
    pub fn weights(&self) -> Result<Vec<f32>> {
        let mut weights = Vec::new();
        for variable in self.variables() {
            let values = variable.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
            weights.extend(values.map_err(failed)?);
        }
        Ok(weights)
    }

    fn variables(&self) -> Vec<&Var> {
        [&self.near, &self.own, &self.joined, &self.out].into_iter().flatten().collect()
    }

    fn set(&self, mut weights: &[f32]) -> candle_core::Result<()> {
        for variable in self.variables() {
            let (own, rest) = weights.split_at(variable.elem_count());
            variable.set(&Tensor::from_vec(own.to_vec(), variable.dims(), &Device::Cpu)?)?;
            weights = rest;
        }
        Ok(())
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

    fn train(
        &self,
        samples: &Samples,
        valid: &Samples,
        settings: Settings,
        random: &mut impl Rng,
    ) -> Result<Option<f64>> {
        let variables: Vec<Var> = self.variables().into_iter().cloned().collect();
        let parameters = ParamsAdamW { lr: settings.rate, weight_decay: 1e-4, ..ParamsAdamW::default() };
        let mut optimiser = AdamW::new(variables, parameters).map_err(failed)?;
        let mut order: Vec<usize> = (0..samples.count()).collect();
        let mut best: Option<(f64, Vec<f32>)> = None;
        for _ in 0..settings.epochs {
            for at in (1..order.len()).rev() {
                order.swap(at, random.random_range(0..=at));
            }
            for rows in order.chunks(settings.batch) {
                check()?;
                let loss = self.loss(samples, rows).map_err(failed)?;
                optimiser.backward_step(&loss).map_err(failed)?;
            }
            if valid.count() == 0 {
                continue;
            }
            let loss = self.mean_loss(valid)?;
            if best.as_ref().is_none_or(|(least, _)| loss < *least) {
                best = Some((loss, self.weights()?));
            }
        }
        if let Some((_, weights)) = &best {
            self.set(weights).map_err(failed)?;
        }
        Ok(best.map(|(loss, _)| loss))
    }

    /// The mean cross entropy of some rows, which stays finite where the network is sure.
    fn loss(&self, samples: &Samples, rows: &[usize]) -> candle_core::Result<Tensor> {
        let labels: Vec<f32> = rows.iter().map(|row| samples.labels[*row]).collect();
        let labels = Tensor::from_vec(labels, rows.len(), &Device::Cpu)?;
        let scores = self.forward(&samples.batch(rows)?)?;
        let rest = (scores.abs()?.neg()?.exp()? + 1.0)?.log()?;
        ((scores.relu()? - (&scores * &labels)?)? + rest)?.mean_all()
    }

    /// The mean loss of samples, of which there are some.
    fn mean_loss(&self, samples: &Samples) -> Result<f64> {
        let scores = self.score(samples)?;
        // ln(1 + exp(-margin)) without overflow.
        let loss = |(score, label): (&f64, &f32)| {
            let margin = if *label > 0.5 { *score } else { -score };
            (-margin.abs()).exp().ln_1p() + (-margin).max(0.0)
        };
        Ok(scores.iter().zip(&samples.labels).map(loss).sum::<f64>() / samples.count().max(1) as f64)
    }

    /// The log odds of samples.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] where the samples do not fit the network;
    /// [`tidewaiter_core::ErrorKind::Cancelled`] when nobody awaits them.
    pub fn score(&self, samples: &Samples) -> Result<Vec<f64>> {
        let rows: Vec<usize> = (0..samples.count()).collect();
        let mut scores = Vec::with_capacity(rows.len());
        for rows in rows.chunks(BATCH) {
            check()?;
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
        let none = Samples::default();
        let (sage, least) = Sage::fit(&samples(400), &none, settings).expect("fits");
        assert_eq!(least, None);
        let test = samples(100);
        let scores = sage.score(&test).expect("scores");
        let right =
            scores.iter().zip(&test.labels).filter(|(score, label)| (**score > 0.0) == (**label > 0.5));
        assert!(right.count() >= 98, "{scores:?}");
        let (again, _) = Sage::fit(&samples(400), &none, settings).expect("fits");
        assert_eq!(scores, again.score(&test).expect("scores"));
        let weights = sage.weights().expect("weights");
        let read = Sage::of_weights([1, 1, 1], 8, &weights).expect("reads");
        assert_eq!(scores, read.score(&test).expect("scores"));
        assert!(Sage::of_weights([1, 1, 1], 8, &weights[1..]).is_err());
    }

    #[test]
    fn the_pass_with_the_least_validation_loss_counts() {
        // Labels of the validation are the opposite: each pass is worse than the one before.
        let mut valid = samples(100);
        valid.labels.iter_mut().for_each(|label| *label = 1.0 - *label);
        let of = |epochs| Settings { epochs, batch: 32, rate: 0.01, hidden: 8, seed: 1 };
        let (first, _) = Sage::fit(&samples(400), &Samples::default(), of(1)).expect("fits");
        let (best, least) = Sage::fit(&samples(400), &valid, of(5)).expect("fits");
        assert_eq!(best.weights().expect("weights"), first.weights().expect("weights"));
        assert!((least.expect("a loss") - first.mean_loss(&valid).expect("a loss")).abs() < 1e-12);
        let error = Settings { epochs: 0, ..of(1) }.validate().expect_err("refused");
        assert!(error.to_string().contains("epochs is 0"), "{error}");
    }
}
