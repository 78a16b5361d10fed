//! The head: a softmax over the codes on a text's embedding.
//!
//! A code's weights are the sum of weights of its chapter, of its heading and of its own, so that codes with few texts
//! learn from their neighbours in the HS tree (additive sharing along a hierarchy: Shahbaba and Neal, "Improving
//! Classification When a Class Hierarchy is Available", Bayesian Analysis 2007). The three are trained apart
//! ([`HeadLayout`]) and stored as sums ([`Head`]). An embedding ends with a 1 for the head, whose weight is the bias.

use candle_core::{D, Device, Result, Tensor, Var};

use crate::codes::{digits::LEVELS, tree::CodeTree};

/// The layout of the trained weights in a flat list: a row for each chapter, then for each heading, then for each code.
#[derive(Debug, Clone)]
pub(super) struct HeadLayout {
    /// Numbers in an embedding, its final 1 included.
    columns: usize,
    /// The number of classes of each level.
    sizes: [usize; LEVELS],
    /// The class of each code at each level.
    paths: [Vec<u32>; LEVELS],
}

impl HeadLayout {
    /// The layout for the classes of a tree, on embeddings of so many numbers.
    pub(super) fn new(classes: &CodeTree, width: usize) -> Self {
        let path = |level: usize| classes.paths().iter().map(|path| path[level]).collect();
        Self {
            columns: width + 1,
            sizes: std::array::from_fn(|level| classes.codes(level).len()),
            paths: std::array::from_fn(path),
        }
    }

    /// The number of weights.
    pub(super) fn len(&self) -> usize {
        self.sizes.iter().sum::<usize>() * self.columns
    }

    /// The weights as variables, one for each level.
    pub(super) fn variables(&self, weights: &[f32], device: &Device) -> Result<Vec<Var>> {
        let mut from = 0;
        let mut variables = Vec::with_capacity(LEVELS);
        for size in self.sizes {
            let end = from + size * self.columns;
            variables.push(Var::from_slice(&weights[from..end], (size, self.columns), device)?);
            from = end;
        }
        Ok(variables)
    }

    /// The mean cross-entropy of texts whose codes are the given classes.
    pub(super) fn loss(&self, variables: &[Var], embeddings: &Tensor, classes: &[u32]) -> Result<Tensor> {
        let device = embeddings.device();
        let mut sum: Option<Tensor> = None;
        for (variable, path) in variables.iter().zip(&self.paths) {
            let part = variable.index_select(&Tensor::new(path.as_slice(), device)?, 0)?;
            sum = Some(match sum {
                None => part,
                Some(sum) => (sum + part)?,
            });
        }
        let Some(sum) = sum else { candle_core::bail!("a head has no levels") };
        let logits = embeddings.matmul(&sum.t()?)?;
        let logarithms = candle_nn::ops::log_softmax(&logits, D::Minus1)?;
        let own = Tensor::new(classes, device)?.unsqueeze(1)?;
        logarithms.gather(&own, 1)?.mean_all()? * -1.0
    }

    /// The head of trained weights.
    pub(super) fn head(&self, weights: &[f32]) -> Head {
        let mut sums = vec![0.0_f32; self.paths[0].len() * self.columns];
        let mut from = 0;
        for (path, size) in self.paths.iter().zip(self.sizes) {
            for (sums, class) in sums.chunks_exact_mut(self.columns).zip(path) {
                let own = from + *class as usize * self.columns;
                for (sum, weight) in sums.iter_mut().zip(&weights[own..own + self.columns]) {
                    *sum += weight;
                }
            }
            from += size * self.columns;
        }
        Head { columns: self.columns, weights: sums }
    }
}

/// A trained head.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Head {
    columns: usize,
    /// A row for each code.
    weights: Vec<f32>,
}

impl Head {
    /// The head of stored weights; `None` when they are not those of so many codes on such embeddings.
    pub(crate) fn new(width: usize, codes: usize, weights: Vec<f32>) -> Option<Self> {
        let columns = width + 1;
        (weights.len() == codes * columns && weights.iter().all(|weight| weight.is_finite()))
            .then_some(Self { columns, weights })
    }

    /// The weights, a row for each code.
    pub(crate) fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Numbers in the embeddings that it reads.
    pub(crate) fn width(&self) -> usize {
        self.columns - 1
    }

    /// Computes the logarithm of each code's probability, given an embedding.
    pub(crate) fn logarithms(&self, embedding: &[f32], logarithms: &mut Vec<f32>) {
        logarithms.clear();
        let mut largest = f32::NEG_INFINITY;
        for row in self.weights.chunks_exact(self.columns) {
            let logit = dot(&row[..self.columns - 1], embedding) + row[self.columns - 1];
            largest = largest.max(logit);
            logarithms.push(logit);
        }
        let sum: f32 = logarithms.iter().map(|logit| (logit - largest).exp()).sum();
        let from = largest + sum.ln();
        logarithms.iter_mut().for_each(|logit| *logit -= from);
    }
}

/// A dot product in eight partial sums, which vector instructions add at once.
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (ones, others) = (one.chunks_exact(8), other.chunks_exact(8));
    let rest: f32 = ones.remainder().iter().zip(others.remainder()).map(|(one, other)| one * other).sum();
    for (one, other) in ones.zip(others) {
        for ((sum, one), other) in sums.iter_mut().zip(one).zip(other) {
            *sum += one * other;
        }
    }
    sums.iter().sum::<f32>() + rest
}
