//! A layer of the encoder that can be trained.
//!
//! It has the states of a layer of [`super::bert`], whose layer norm runs as a kernel without a gradient; this one
//! consists of operations that have one. The weights of trained layers are a flat list, in the order of
//! [`LayerShapes::parts`].

use std::ops::Range;

use candle_core::{D, Device, Result, Tensor, Var};
use candle_nn::ops::{layer_norm_slow, softmax};

use super::bert::{Activation, Config};

/// One of a layer's tensors: its name, its shape, and its range in the flat list of the layer's weights.
#[derive(Debug, Clone)]
pub(super) struct LayerTensor {
    pub(super) name: &'static str,
    pub(super) shape: Vec<usize>,
    pub(super) range: Range<usize>,
}

/// The tensors of one layer, and what else its computation needs.
#[derive(Debug, Clone)]
pub(super) struct LayerShapes {
    parts: Vec<LayerTensor>,
    heads: usize,
    activation: Activation,
    least_variance: f32,
}

impl LayerShapes {
    pub(super) fn of(config: &Config) -> Self {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let named: [(&'static str, Vec<usize>); 16] = [
            ("attention.self.query.weight", vec![width, width]),
            ("attention.self.query.bias", vec![width]),
            ("attention.self.key.weight", vec![width, width]),
            ("attention.self.key.bias", vec![width]),
            ("attention.self.value.weight", vec![width, width]),
            ("attention.self.value.bias", vec![width]),
            ("attention.output.dense.weight", vec![width, width]),
            ("attention.output.dense.bias", vec![width]),
            ("attention.output.LayerNorm.weight", vec![width]),
            ("attention.output.LayerNorm.bias", vec![width]),
            ("intermediate.dense.weight", vec![inner, width]),
            ("intermediate.dense.bias", vec![inner]),
            ("output.dense.weight", vec![width, inner]),
            ("output.dense.bias", vec![width]),
            ("output.LayerNorm.weight", vec![width]),
            ("output.LayerNorm.bias", vec![width]),
        ];
        let mut from = 0;
        let part = |(name, shape): (&'static str, Vec<usize>)| {
            let range = from..from + shape.iter().product::<usize>();
            from = range.end;
            LayerTensor { name, shape, range }
        };
        Self {
            parts: named.into_iter().map(part).collect(),
            heads: config.num_attention_heads,
            activation: config.hidden_act,
            least_variance: config.layer_norm_eps as f32,
        }
    }

    /// The tensors, in their order.
    pub(super) fn parts(&self) -> &[LayerTensor] {
        &self.parts
    }

    /// The number of a layer's weights.
    pub(super) fn len(&self) -> usize {
        self.parts.last().map_or(0, |part| part.range.end)
    }

    /// A layer's weights as variables.
    pub(super) fn variables(&self, weights: &[f32], device: &Device) -> Result<Vec<Var>> {
        let variable =
            |part: &LayerTensor| Var::from_slice(&weights[part.range.clone()], part.shape.as_slice(), device);
        self.parts.iter().map(variable).collect()
    }

    /// The output of a layer with such weights for states, (texts, length, width).
    pub(super) fn forward(&self, layer: &[Var], states: &Tensor, attention: &Tensor) -> Result<Tensor> {
        let [q, qb, k, kb, v, vb, o, ob, n, nb, i, ib, d, db, m, mb] = layer else {
            candle_core::bail!("a layer has sixteen tensors");
        };
        let (texts, length, width) = states.dims3()?;
        let split = |tensor: Tensor| {
            tensor.reshape((texts, length, self.heads, width / self.heads))?.transpose(1, 2)?.contiguous()
        };
        let query = split(dense(states, q, qb)?)?;
        let key = split(dense(states, k, kb)?)?;
        let value = split(dense(states, v, vb)?)?;
        let scores = (query.matmul(&key.t()?)? / ((width / self.heads) as f64).sqrt())?;
        let shares = softmax(&scores.broadcast_add(attention)?, D::Minus1)?;
        let context =
            shares.matmul(&value)?.transpose(1, 2)?.contiguous()?.reshape((texts, length, width))?;
        let attended = (dense(&context, o, ob)? + states)?;
        let attended = layer_norm_slow(&attended, n, nb, self.least_variance)?;
        let inner = self.activation.forward(&dense(&attended, i, ib)?)?;
        let out = (dense(&inner, d, db)? + attended)?;
        layer_norm_slow(&out, m, mb, self.least_variance)
    }
}

fn dense(states: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (texts, length, width) = states.dims3()?;
    let flat = states.reshape((texts * length, width))?.matmul(&weight.t()?)?;
    flat.broadcast_add(bias)?.reshape((texts, length, ()))
}
