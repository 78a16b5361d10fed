//! BERT for inference: from the tokens of texts to the last hidden states.
//!
//! Source: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", NAACL
//! 2019, after Vaswani et al., "Attention Is All You Need", NeurIPS 2017. The names of weights and of `config.json`'s
//! fields are those of Hugging Face's transformers. Layer norms run as a fast kernel that has no gradient; layers that
//! are trained are in [`super::layers`]. Start at [`Bert::load`].

use candle_core::{D, Result, Tensor};
use candle_nn::{
    Embedding, LayerNorm, Linear, Module, VarBuilder, embedding, layer_norm, linear, ops::softmax,
};
use serde::Deserialize;

/// An encoder's `config.json`. Fields that inference does not need are read too, so that a file which lacks them is
/// refused.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Config {
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) intermediate_size: usize,
    pub(super) hidden_act: Activation,
    pub(super) hidden_dropout_prob: f64,
    pub(super) max_position_embeddings: usize,
    pub(super) type_vocab_size: usize,
    pub(super) initializer_range: f64,
    pub(super) layer_norm_eps: f64,
    pub(super) pad_token_id: usize,
    #[serde(default)]
    pub(super) position_embedding_type: PositionEmbedding,
    #[serde(default)]
    pub(super) use_cache: bool,
    pub(super) classifier_dropout: Option<f64>,
    pub(super) model_type: Option<String>,
}

/// The activation function between the two dense maps of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Activation {
    Gelu,
    GeluApproximate,
    Relu,
}

/// How positions are encoded: by a learned vector for each, the only way that is supported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PositionEmbedding {
    #[default]
    Absolute,
}

impl Activation {
    pub(super) fn forward(self, states: &Tensor) -> Result<Tensor> {
        match self {
            Self::Gelu => states.gelu_erf(),
            Self::GeluApproximate => states.gelu(),
            Self::Relu => states.relu(),
        }
    }
}

/// The network: embeddings and layers.
pub(super) struct Bert {
    words: Embedding,
    positions: Embedding,
    token_types: Embedding,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

impl Bert {
    /// The network of some weights, whose names may begin with the configuration's `model_type`.
    pub(super) fn load(weights: &VarBuilder<'_>, config: &Config) -> Result<Self> {
        Self::of_names(weights, config).or_else(|error| match &config.model_type {
            Some(prefix) => Self::of_names(&weights.pp(prefix), config).map_err(|_| error),
            None => Err(error),
        })
    }

    fn of_names(weights: &VarBuilder<'_>, config: &Config) -> Result<Self> {
        let (width, embeddings) = (config.hidden_size, weights.pp("embeddings"));
        let table = |rows: usize, name: &str| embedding(rows, width, embeddings.pp(name));
        let words = table(config.vocab_size, "word_embeddings")?;
        let positions = table(config.max_position_embeddings, "position_embeddings")?;
        let token_types = table(config.type_vocab_size, "token_type_embeddings")?;
        let norm = layer_norm(width, config.layer_norm_eps, embeddings.pp("LayerNorm"))?;
        let layer = |number| Layer::load(&weights.pp(format!("encoder.layer.{number}")), config);
        let layers = (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?;
        Ok(Self { words, positions, token_types, norm, layers })
    }

    /// The last hidden states, (texts, tokens, width), of tokens, (texts, tokens); `attention` is added to the
    /// attention scores, (texts, 1, 1, tokens).
    pub(super) fn forward(&self, tokens: &Tensor, attention: &Tensor) -> Result<Tensor> {
        let (_, length) = tokens.dims2()?;
        let words = self.words.forward(tokens)?;
        let embeddings = (&words + self.token_types.forward(&tokens.zeros_like()?)?)?;
        let positions: Vec<u32> = (0..length as u32).collect();
        let positions = self.positions.forward(&Tensor::new(positions.as_slice(), tokens.device())?)?;
        let mut states = self.norm.forward(&embeddings.broadcast_add(&positions)?)?;
        for layer in &self.layers {
            states = layer.forward(&states, attention)?;
        }
        Ok(states)
    }
}

/// A layer: self-attention and two dense maps, each added to its input and normalised.
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    heads: usize,
    context: Linear,
    context_norm: LayerNorm,
    inner: Linear,
    activation: Activation,
    outer: Linear,
    outer_norm: LayerNorm,
}

impl Layer {
    fn load(weights: &VarBuilder<'_>, config: &Config) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let dense = |from: usize, to: usize, name: &str| linear(from, to, weights.pp(name));
        let norm = |name: &str| layer_norm(width, config.layer_norm_eps, weights.pp(name));
        Ok(Self {
            query: dense(width, width, "attention.self.query")?,
            value: dense(width, width, "attention.self.value")?,
            key: dense(width, width, "attention.self.key")?,
            heads: config.num_attention_heads,
            context: dense(width, width, "attention.output.dense")?,
            context_norm: norm("attention.output.LayerNorm")?,
            inner: dense(width, inner, "intermediate.dense")?,
            activation: config.hidden_act,
            outer: dense(inner, width, "output.dense")?,
            outer_norm: norm("output.LayerNorm")?,
        })
    }

    fn forward(&self, states: &Tensor, attention: &Tensor) -> Result<Tensor> {
        let (texts, length, width) = states.dims3()?;
        let width_of_head = width / self.heads;
        let split = |states: Tensor| {
            states.reshape((texts, length, self.heads, width_of_head))?.transpose(1, 2)?.contiguous()
        };
        let query = split(self.query.forward(states)?)?;
        let key = split(self.key.forward(states)?)?;
        let value = split(self.value.forward(states)?)?;
        let scores = (query.matmul(&key.t()?)? / (width_of_head as f64).sqrt())?;
        let shares = softmax(&scores.broadcast_add(attention)?, D::Minus1)?;
        let context = shares.matmul(&value)?.transpose(1, 2)?.contiguous()?.flatten_from(D::Minus2)?;
        let attended = self.context_norm.forward(&(self.context.forward(&context)? + states)?)?;
        let inner = self.activation.forward(&self.inner.forward(&attended)?)?;
        self.outer_norm.forward(&(self.outer.forward(&inner)? + &attended)?)
    }
}
