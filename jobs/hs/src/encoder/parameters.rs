//! The parameters of an encoder's training.

use clap::{ArgMatches, Args, FromArgMatches as _};
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result};

/// How an encoder is used and trained.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Folder of a BERT sentence encoder (config.json, tokenizer.json, model.safetensors), in the archive or of this
    /// machine.
    #[arg(long = "encoder", value_name = "FOLDER", required = false)]
    pub path: String,
    /// Tokens of a text that are read; the others are cut off.
    #[serde(default = "most_tokens")]
    #[arg(skip)]
    pub most_tokens: u32,
    /// Epochs in which only the head is trained.
    #[serde(default = "head_epochs")]
    #[arg(skip)]
    pub head_epochs: u32,
    /// The initial learning rate of the head, which falls to 0.
    #[serde(default = "head_rate")]
    #[arg(skip)]
    pub head_rate: f32,
    /// The weight decay.
    #[serde(default = "decay")]
    #[arg(skip)]
    pub decay: f32,
    /// Epochs in which the encoder's last layers are trained with the head; default: 0, the encoder stays as it is.
    #[serde(default)]
    #[arg(long, required = false, requires = "path")]
    pub fine_tune_epochs: u32,
    /// How many of the last layers those are; default: 2.
    #[serde(default = "fine_tune_layers")]
    #[arg(long, required = false, requires = "path")]
    pub fine_tune_layers: u32,
    /// The initial learning rate of those layers, which falls to 0.
    #[serde(default = "fine_tune_rate")]
    #[arg(skip)]
    pub fine_tune_rate: f32,
    /// Texts of a step, over all shards.
    #[serde(default = "batch_texts")]
    #[arg(skip)]
    pub batch_texts: u32,
    /// Steps of each shard from one average to the next.
    #[serde(default = "steps_between_averages")]
    #[arg(skip)]
    pub steps_between_averages: u32,
    /// The seed of the order in which texts are visited.
    #[serde(default)]
    #[arg(skip)]
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
    /// The parameters that a command's options give, with this seed; `None` without an encoder.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for an option that is not what its parameter can be.
    pub(crate) fn from_arguments(matches: &ArgMatches, seed: u64) -> Result<Option<Self>> {
        let Some(path) = matches.get_one::<String>("path") else { return Ok(None) };
        let mut parameters = Self { seed, ..Self::new(path.clone()) };
        let given = parameters.update_from_arg_matches(matches);
        given.map_err(|error| Error::input(error.to_string()))?;
        Ok(Some(parameters))
    }

    /// The default parameters: the encoder stays as it is and has a trained head.
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
    /// [`tidewaiter_core::ErrorKind::Input`] naming the parameter, its value and its range.
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

    /// The number of last layers that are trained.
    pub(super) fn trained_layers(&self) -> usize {
        if self.fine_tune_epochs > 0 { self.fine_tune_layers as usize } else { 0 }
    }
}
