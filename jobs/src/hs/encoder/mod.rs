//! A transformer that reads descriptions, with a trained head on it: one more evidence for the ensemble.
//!
//! The encoder is a sentence encoder of the BERT family (Devlin et al., NAACL 2019; Reimers and Gurevych,
//! "Sentence-BERT", EMNLP 2019): a folder with `config.json`, `tokenizer.json` and `model.safetensors` that the
//! user brings ([`files`]), run by candle ([`network`]). The mean of its last states is a text's embedding. On it
//! stands a softmax over the codes whose weights are sums along the HS tree ([`head`]); both the head and, if
//! asked for, the last layers of the encoder ([`layers`]) are trained on shards of the texts and averaged through
//! the collective ([`leader`], [`shard`]): local SGD (Stich, ICLR 2019) with AdamW (Loshchilov and Hutter, ICLR
//! 2019). What it promises: the same texts, encoder, parameters and number of shards give the same bytes,
//! whoever carries the shards, on processors of one kind. Start at [`Parameters`], then [`leader`].

mod encoding;
mod files;
mod fit;
mod head;
mod layers;
mod leader;
mod load;
mod network;
mod optimiser;
mod shard;
mod wire;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub(super) use encoding::{Encoding, StoredEncoding};
pub use files::{Kept, keep};
pub(super) use fit::{Encoded, fit_encoder};
pub(super) use head::Head;
pub(super) use leader::{EncoderLeader, Learned};
pub use load::{EncodedShards, LEARNER, Layout};
pub(super) use network::{Embeddings, Encoder};

use crate::{Error, Result};

/// How an encoder is used and trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Its folder: in the archive, or of this machine.
    pub path: String,
    /// Pieces of words of a text that are read; what follows is cut off.
    #[serde(default = "most_tokens")]
    pub most_tokens: u32,
    /// Passes over the texts in which only the head is trained.
    #[serde(default = "head_epochs")]
    pub head_epochs: u32,
    /// The first step's size for the head; it falls to 0.
    #[serde(default = "head_rate")]
    pub head_rate: f32,
    /// What pulls weights towards 0.
    #[serde(default = "decay")]
    pub decay: f32,
    /// Passes in which the last layers are trained with the head; 0: the encoder stays as it is.
    #[serde(default)]
    pub fine_tune_epochs: u32,
    /// How many of the last layers those are.
    #[serde(default = "fine_tune_layers")]
    pub fine_tune_layers: u32,
    /// The first step's size for those layers; it falls to 0.
    #[serde(default = "fine_tune_rate")]
    pub fine_tune_rate: f32,
    /// Texts of a step, over all shards.
    #[serde(default = "batch_texts")]
    pub batch_texts: u32,
    /// Steps of a shard between two averages.
    #[serde(default = "steps_between_averages")]
    pub steps_between_averages: u32,
    /// The seed of the order in which texts are visited.
    #[serde(default)]
    pub seed: u64,
}

fn most_tokens() -> u32 {
    128
}

fn head_epochs() -> u32 {
    10
}

fn head_rate() -> f32 {
    0.003
}

fn decay() -> f32 {
    0.1
}

fn fine_tune_layers() -> u32 {
    2
}

fn fine_tune_rate() -> f32 {
    1e-4
}

fn batch_texts() -> u32 {
    512
}

fn steps_between_averages() -> u32 {
    8
}

impl Parameters {
    /// An encoder used as it is, with a head trained by the default parameters.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            most_tokens: most_tokens(),
            head_epochs: head_epochs(),
            head_rate: head_rate(),
            decay: decay(),
            fine_tune_epochs: 0,
            fine_tune_layers: fine_tune_layers(),
            fine_tune_rate: fine_tune_rate(),
            batch_texts: batch_texts(),
            steps_between_averages: steps_between_averages(),
            seed: 0,
        }
    }

    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] naming the parameter, its value and its range.
    pub fn validate(&self) -> Result<()> {
        let whole = |name, value: u32, range: std::ops::RangeInclusive<u32>| {
            let text = format!("from {} to {}", range.start(), range.end());
            (name, f64::from(value), range.contains(&value), text)
        };
        let real = |name, value: f32, good: bool| (name, f64::from(value), good, "from 0 to 1".to_owned());
        let within = |value: f32| (0.0..=1.0).contains(&value);
        let checks = [
            whole("most_tokens", self.most_tokens, 3..=1 << 16),
            whole("head_epochs", self.head_epochs, 1..=1000),
            whole("fine_tune_epochs", self.fine_tune_epochs, 0..=1000),
            whole("fine_tune_layers", self.fine_tune_layers, 1..=1000),
            whole("batch_texts", self.batch_texts, 1..=1 << 20),
            whole("steps_between_averages", self.steps_between_averages, 1..=1 << 20),
            real("head_rate", self.head_rate, within(self.head_rate)),
            real("decay", self.decay, within(self.decay)),
            real("fine_tune_rate", self.fine_tune_rate, within(self.fine_tune_rate)),
        ];
        for (name, value, good, range) in checks {
            if !good {
                let text = format!("HS encoder: the parameter {name} is {value}; set it to a value {range}");
                return Err(Error::input(text));
            }
        }
        Ok(())
    }

    /// How many of the last layers are trained.
    fn trained_layers(&self) -> usize {
        if self.fine_tune_epochs > 0 { self.fine_tune_layers as usize } else { 0 }
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        // With backtraces switched on, candle's messages hold one.
        let text = error.to_string();
        Self::internal(format!("HS encoder: {}", text.lines().next().unwrap_or_default()))
    }
}
