//! The encoder at work: texts in, embeddings out.
//!
//! Texts are encoded in batches of similar length. An embedding has the length √width, so that its numbers are
//! about 1 whatever the encoder. Its last bits depend on the texts of its batch and on the kind of processor, as
//! products of matrices are added up in another order. It runs on the first CUDA device where this program
//! was built for CUDA and there is one, and on the processor otherwise.

use std::{collections::HashMap, fmt};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use tokenizers::{Tokenizer, TruncationParams};

use super::{files::Files, layers::Shapes};
use crate::{
    Error, Result,
    hs::text::{is_cut, start_of},
    learning::device::gpu,
};

/// Texts that are encoded together.
const BATCH: usize = 32;

/// Runs an encoder; belongs to any number of threads.
pub(in crate::hs) struct Encoder {
    tokenizer: Tokenizer,
    network: BertModel,
    width: usize,
    device: Device,
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("width", &self.width).finish_non_exhaustive()
    }
}

/// An encoder's parts as its files have them.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) config: Config,
    tokenizer: Tokenizer,
    /// The weights by their names, without the prefix that some exporters give them.
    pub(super) tensors: HashMap<String, Tensor>,
    pub(super) device: Device,
}

impl Parts {
    /// The parts of files; of a text, `most_tokens` pieces are read, or fewer where the encoder knows fewer.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when a file is not what it should be.
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
                tensors.insert(name, tensor.to_dtype(DType::F32)?);
            }
        }
        Ok(Self { config, tokenizer, tensors, device })
    }

    /// The network up to the layer of a number.
    pub(super) fn network(&self, layers: usize) -> Result<BertModel> {
        let config = Config { num_hidden_layers: layers, ..self.config.clone() };
        let weights = VarBuilder::from_tensors(self.tensors.clone(), DType::F32, &self.device);
        BertModel::load(weights, &config).map_err(|error| {
            let text = error.to_string();
            let text = text.lines().next().unwrap_or_default();
            Error::input(format!("the encoder's model.safetensors does not fit its config.json: {text}"))
        })
    }

    /// The pieces of a text, and whether some were cut off.
    pub(super) fn tokens(&self, text: &str) -> Result<(Vec<u32>, bool)> {
        tokens(&self.tokenizer, text)
    }

    /// Puts trained weights in the place of the last layers' own.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when they are not those of whole layers.
    pub(super) fn replace(&mut self, trained: &[f32]) -> Result<()> {
        let shapes = Shapes::of(&self.config);
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
                let tensor = Tensor::from_slice(values, part.shape.as_slice(), &self.device)?;
                self.tensors.insert(format!("encoder.layer.{layer}.{}", part.name), tensor);
            }
        }
        Ok(())
    }

    /// The encoder of all layers.
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
    pub(in crate::hs) fn encode<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Result<Embeddings> {
        let mut tokens = Vec::new();
        let mut embeddings = Embeddings { width: self.width, ..Embeddings::default() };
        for text in texts {
            let (pieces, cut) = self::tokens(&self.tokenizer, text)?;
            embeddings.cut += u64::from(cut);
            tokens.push(pieces);
        }
        embeddings.values = vec![0.0; tokens.len() * self.width];
        let mut order: Vec<usize> = (0..tokens.len()).collect();
        order.sort_by_key(|text| tokens[*text].len());
        for numbers in order.chunks(BATCH) {
            let pieces: Vec<&[u32]> = numbers.iter().map(|number| tokens[*number].as_slice()).collect();
            let batch = Batch::new(&pieces, &self.device)?;
            let encoded = batch.pooled(&batch.states(&self.network)?)?.flatten_all()?.to_vec1::<f32>()?;
            for (number, embedding) in numbers.iter().zip(encoded.chunks_exact(self.width)) {
                let from = number * self.width;
                embeddings.values[from..from + self.width].copy_from_slice(embedding);
            }
        }
        Ok(embeddings)
    }

    /// Numbers in an embedding.
    pub(in crate::hs) fn width(&self) -> usize {
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

/// The embeddings of some texts, one after the other; without an encoder, empty ones.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::hs) struct Embeddings {
    pub(in crate::hs) width: usize,
    pub(in crate::hs) values: Vec<f32>,
    /// Texts that were read only in part, as they are too long.
    pub(in crate::hs) cut: u64,
}

impl Embeddings {
    /// A text's embedding.
    pub(in crate::hs) fn row(&self, text: usize) -> &[f32] {
        self.values.get(text * self.width..(text + 1) * self.width).unwrap_or_default()
    }
}

/// Texts that go through the network together: shorter ones are filled up, and the filling is masked.
pub(super) struct Batch {
    pieces: Tensor,
    /// 1 for a piece, 0 for filling.
    mask: Tensor,
}

impl Batch {
    pub(super) fn new(texts: &[&[u32]], device: &Device) -> Result<Self> {
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        let shape = (texts.len(), longest);
        let (mut pieces, mut mask) = (vec![0_u32; shape.0 * shape.1], vec![0.0_f32; shape.0 * shape.1]);
        for (row, text) in texts.iter().enumerate() {
            let from = row * longest;
            pieces[from..from + text.len()].copy_from_slice(text);
            mask[from..from + text.len()].fill(1.0);
        }
        Ok(Self {
            pieces: Tensor::from_vec(pieces, shape, device)?,
            mask: Tensor::from_vec(mask, shape, device)?,
        })
    }

    /// The last states of a network.
    pub(super) fn states(&self, network: &BertModel) -> Result<Tensor> {
        Ok(network.forward(&self.pieces, &self.pieces.zeros_like()?, Some(&self.mask))?)
    }

    /// What is added to the attention that states pay to each other: nothing, or so little that filling counts
    /// for nothing.
    pub(super) fn attention(&self) -> Result<Tensor> {
        let filling = ((1.0 - &self.mask)? * f64::from(f32::MIN))?;
        Ok(filling.unsqueeze(1)?.unsqueeze(1)?)
    }

    /// The embeddings of states: their mean over a text's pieces, at the length √width.
    pub(super) fn pooled(&self, states: &Tensor) -> Result<Tensor> {
        let width = states.dim(2)? as f64;
        // The sum has the mean's direction.
        let sum = states.broadcast_mul(&self.mask.unsqueeze(2)?)?.sum(1)?;
        let length = (sum.sqr()?.sum_keepdim(1)? + 1e-12)?.sqrt()?;
        Ok((sum.broadcast_div(&length)? * width.sqrt())?)
    }
}
