//! The encoder at work: texts in, embeddings out.
//!
//! Texts are encoded in batches of similar length. An embedding is the mean of a text's last hidden states (Reimers and
//! Gurevych, "Sentence-BERT", EMNLP 2019), scaled to the length √width, so that its numbers are about 1 for any
//! encoder. Its last bits depend on the texts of its batch and on the kind of processor, because matrix products are
//! summed in another order. It is computed on the first CUDA device where this program was built for CUDA and there is
//! one, and on the processor otherwise. Start at [`EncoderParts::read`].

use std::{collections::HashMap, fmt};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use tidewaiter_core::{Error, Result, threads::check};
use tidewaiter_tensors::gpu;
use tokenizers::{Tokenizer, TruncationParams};

use super::{
    bert::{Bert, Config},
    files::Files,
    layers::LayerShapes,
    tensor::tensor_error,
};
use crate::features::ngrams::{is_cut, start_of};

/// Texts that are encoded together.
const BATCH: usize = 32;

/// An encoder that is ready; threads can share it.
pub(crate) struct Encoder {
    tokenizer: Tokenizer,
    network: Bert,
    width: usize,
    device: Device,
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("width", &self.width).finish_non_exhaustive()
    }
}

/// The parts of an encoder as its files have them.
#[derive(Clone)]
pub(super) struct EncoderParts {
    pub(super) config: Config,
    tokenizer: Tokenizer,
    /// The weights by their names, without the prefix that some exporters give them.
    pub(super) tensors: HashMap<String, Tensor>,
    pub(super) device: Device,
}

impl EncoderParts {
    /// Reads the parts of files. Texts are cut after `most_tokens` tokens, or fewer where the encoder has fewer
    /// positions.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when a file is not what it should be.
    pub(super) fn read(files: &Files, most_tokens: u32) -> Result<Self> {
        let wrong = |file: &str, what: &dyn fmt::Display| {
            let what = what.to_string();
            let what = what.lines().next().unwrap_or_default();
            Error::input(format!("the encoder's {file} cannot be used: {what}"))
        };
        let config: Config =
            serde_json::from_slice(&files.config).map_err(|error| wrong("config.json", &error))?;
        let heads = config.num_attention_heads;
        if heads == 0 || config.hidden_size == 0 || !config.hidden_size.is_multiple_of(heads) {
            let text =
                format!("{} numbers of a state are not {heads} heads' equal parts", config.hidden_size);
            return Err(wrong("config.json", &text));
        }
        let mut tokenizer =
            Tokenizer::from_bytes(&files.tokenizer).map_err(|error| wrong("tokenizer.json", &error))?;
        let most = config.max_position_embeddings.min(most_tokens as usize);
        let most_known = tokenizer.get_vocab(true).into_values().max().unwrap_or(0) as usize;
        if most < 3 || most_known >= config.vocab_size {
            let text = format!(
                "it knows token {most_known} and texts of {most} tokens, and config.json {} tokens",
                config.vocab_size
            );
            return Err(wrong("tokenizer.json", &text));
        }
        let truncation = TruncationParams { max_length: most, ..TruncationParams::default() };
        tokenizer
            .with_padding(None)
            .with_truncation(Some(truncation))
            .map_err(|error| wrong("tokenizer.json", &error))?;
        let device = gpu()?.unwrap_or(Device::Cpu);
        let loaded = candle_core::safetensors::load_buffer(&files.weights, &device)
            .map_err(|error| wrong("model.safetensors", &error))?;
        let mut tensors = HashMap::new();
        for (name, tensor) in loaded {
            if tensor.dtype().is_float() {
                let name = name.strip_prefix("bert.").unwrap_or(&name);
                let name = name.replace("LayerNorm.gamma", "LayerNorm.weight");
                let name = name.replace("LayerNorm.beta", "LayerNorm.bias");
                tensors.insert(name, tensor.to_dtype(DType::F32).map_err(tensor_error)?);
            }
        }
        Ok(Self { config, tokenizer, tensors, device })
    }

    /// The network of the first layers, so many.
    pub(super) fn network(&self, layers: usize) -> Result<Bert> {
        let config = Config { num_hidden_layers: layers, ..self.config.clone() };
        let weights = VarBuilder::from_tensors(self.tensors.clone(), DType::F32, &self.device);
        Bert::load(&weights, &config).map_err(|error| {
            let text = error.to_string();
            let text = text.lines().next().unwrap_or_default();
            Error::input(format!("the encoder's model.safetensors does not fit its config.json: {text}"))
        })
    }

    /// The tokens of a text, and whether some were cut off.
    pub(super) fn tokens(&self, text: &str) -> Result<(Vec<u32>, bool)> {
        tokens(&self.tokenizer, text)
    }

    /// Replaces the weights of the last layers by trained ones.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when they are not those of whole layers.
    pub(super) fn replace(&mut self, trained: &[f32]) -> Result<()> {
        let shapes = LayerShapes::of(&self.config);
        let layers = trained.chunks_exact(shapes.len());
        let first = self.config.num_hidden_layers.checked_sub(layers.len());
        let Some(first) = first.filter(|_| layers.remainder().is_empty()) else {
            return Err(Error::corrupt(
                "an HS model has other layers than its encoder; promote another version",
            ));
        };
        for (layer, trained) in (first..).zip(layers) {
            for part in shapes.parts() {
                let values = &trained[part.range.clone()];
                let tensor = Tensor::from_slice(values, part.shape.as_slice(), &self.device);
                let name = format!("encoder.layer.{layer}.{}", part.name);
                self.tensors.insert(name, tensor.map_err(tensor_error)?);
            }
        }
        Ok(())
    }

    /// The encoder with all layers.
    pub(super) fn encoder(self) -> Result<Encoder> {
        let network = self.network(self.config.num_hidden_layers)?;
        Ok(Encoder {
            network,
            width: self.config.hidden_size,
            tokenizer: self.tokenizer,
            device: self.device,
        })
    }
}

impl Encoder {
    /// Encodes texts.
    pub(crate) fn encode<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Result<Embeddings> {
        let mut tokens = Vec::new();
        let mut embeddings = Embeddings { width: self.width, ..Embeddings::default() };
        for text in texts {
            let (of_text, cut) = self::tokens(&self.tokenizer, text)?;
            embeddings.cut += u64::from(cut);
            tokens.push(of_text);
        }
        embeddings.values = vec![0.0; tokens.len() * self.width];
        let mut order: Vec<usize> = (0..tokens.len()).collect();
        order.sort_by_key(|text| tokens[*text].len());
        for numbers in order.chunks(BATCH) {
            check()?;
            let texts: Vec<&[u32]> = numbers.iter().map(|number| tokens[*number].as_slice()).collect();
            let encoded = self.encode_batch(&texts).map_err(tensor_error)?;
            for (number, embedding) in numbers.iter().zip(encoded.chunks_exact(self.width)) {
                let from = number * self.width;
                embeddings.values[from..from + self.width].copy_from_slice(embedding);
            }
        }
        Ok(embeddings)
    }

    /// The embeddings of the tokens of some texts, one after the other.
    fn encode_batch(&self, texts: &[&[u32]]) -> candle_core::Result<Vec<f32>> {
        let batch = Batch::new(texts, &self.device)?;
        batch.pooled(&batch.states(&self.network)?)?.flatten_all()?.to_vec1::<f32>()
    }

    /// Numbers in an embedding.
    pub(crate) fn width(&self) -> usize {
        self.width
    }
}

fn tokens(tokenizer: &Tokenizer, text: &str) -> Result<(Vec<u32>, bool)> {
    let encoding = tokenizer
        .encode_fast(start_of(text), true)
        .map_err(|error| Error::internal(format!("HS encoder: a text has no tokens: {error}")))?;
    let cut = is_cut(text) || !encoding.get_overflowing().is_empty();
    Ok((encoding.get_ids().to_vec(), cut))
}

/// The embeddings of some texts, one after the other; empty without an encoder.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Embeddings {
    pub(crate) width: usize,
    pub(crate) values: Vec<f32>,
    /// The number of texts that are too long to be read to their end.
    pub(crate) cut: u64,
}

impl Embeddings {
    /// The embedding of a text.
    pub(crate) fn row(&self, text: usize) -> &[f32] {
        self.values.get(text * self.width..(text + 1) * self.width).unwrap_or_default()
    }
}

/// The tokens of texts that are encoded together; shorter texts are padded, and the padding is masked.
pub(super) struct Batch {
    tokens: Tensor,
    /// 1 for a token, 0 for padding.
    mask: Tensor,
}

impl Batch {
    pub(super) fn new(texts: &[&[u32]], device: &Device) -> candle_core::Result<Self> {
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        let shape = (texts.len(), longest);
        let (mut tokens, mut mask) = (vec![0_u32; shape.0 * shape.1], vec![0.0_f32; shape.0 * shape.1]);
        for (row, text) in texts.iter().enumerate() {
            let from = row * longest;
            tokens[from..from + text.len()].copy_from_slice(text);
            mask[from..from + text.len()].fill(1.0);
        }
        Ok(Self {
            tokens: Tensor::from_vec(tokens, shape, device)?,
            mask: Tensor::from_vec(mask, shape, device)?,
        })
    }

    /// The last hidden states of a network.
    pub(super) fn states(&self, network: &Bert) -> candle_core::Result<Tensor> {
        network.forward(&self.tokens, &self.attention()?)
    }

    /// What is added to attention scores: 0 for tokens, and the least number for padding, whose share becomes 0.
    pub(super) fn attention(&self) -> candle_core::Result<Tensor> {
        let padding = ((1.0 - &self.mask)? * f64::from(f32::MIN))?;
        padding.unsqueeze(1)?.unsqueeze(1)
    }

    /// The embeddings of states: their mean over a text's tokens, scaled to the length √width.
    pub(super) fn pooled(&self, states: &Tensor) -> candle_core::Result<Tensor> {
        let width = states.dim(2)? as f64;
        // The sum has the mean's direction.
        let sum = states.broadcast_mul(&self.mask.unsqueeze(2)?)?.sum(1)?;
        let length = (sum.sqr()?.sum_keepdim(1)? + 1e-12)?.sqrt()?;
        sum.broadcast_div(&length)? * width.sqrt()
    }
}
