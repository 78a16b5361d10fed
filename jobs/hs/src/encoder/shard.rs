//! A worker's part of the fit: steps on a shard's own texts, and the encoding of its validation texts.
//!
//! A shard keeps no result of its steps: what it sends is averaged, and the next instruction brings the average. So an
//! answer depends on the texts and the instruction alone.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use candle_core::{Tensor, Var, backprop::GradStore};
use prost::Message;
use tidewaiter_collective::{Contribution, Shard};
use tidewaiter_core::{Error, Result, chance::mix, threads::check};
use tidewaiter_learning::local_sgd::Answer;

use super::{
    bert::Bert,
    head::HeadLayout,
    layers::LayerShapes,
    network::{Batch, Embeddings, Encoder, EncoderParts},
    optimiser::adamw,
    parameters::Parameters,
    tensor::tensor_error,
    wire::{Encode, EncodedTexts, Instruction, Request, ShardCounts, Stage, Train},
};
use crate::{
    codes::{digits::LEVELS, tree::CodeTree},
    features::texts::LabelledTexts,
};

/// What the shards of a worker have in common.
pub(super) struct Shared {
    parameters: Parameters,
    parts: EncoderParts,
    encoder: Encoder,
    /// The layers that are not trained.
    lower: Bert,
    shapes: LayerShapes,
    head: HeadLayout,
    classes: CodeTree,
    train: LabelledTexts,
    valid: LabelledTexts,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

impl Shared {
    /// Of an encoder's parts, training texts and validation texts.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the encoder's files do not fit each other, or has fewer layers than
    /// are to be trained.
    pub(super) fn new(
        parameters: Parameters,
        parts: EncoderParts,
        train: LabelledTexts,
        valid: LabelledTexts,
    ) -> Result<Self> {
        let layers = parts.config.num_hidden_layers;
        let lower = layers.checked_sub(parameters.trained_layers()).ok_or_else(|| {
            let text = format!(
                "the encoder has {layers} layers; set fine_tune_layers, which is {}, to that at most",
                parameters.fine_tune_layers
            );
            Error::input(text)
        })?;
        let mut codes = train.codes.clone();
        codes.sort_unstable();
        codes.dedup();
        let classes = CodeTree::new(codes);
        Ok(Self {
            lower: parts.network(lower)?,
            shapes: LayerShapes::of(&parts.config),
            head: HeadLayout::new(&classes, parts.config.hidden_size),
            encoder: parts.clone().encoder()?,
            parts,
            parameters,
            classes,
            train,
            valid,
        })
    }

    /// The encoder's weights of the layers that are to be trained.
    fn layers(&self) -> Result<Vec<f32>> {
        let layers = self.parts.config.num_hidden_layers;
        let mut weights = Vec::new();
        for layer in layers - self.parameters.trained_layers()..layers {
            for part in self.shapes.parts() {
                let name = format!("encoder.layer.{layer}.{}", part.name);
                let tensor = self.parts.tensors.get(&name);
                let tensor = tensor.ok_or_else(|| {
                    Error::input(format!("the encoder's model.safetensors has no tensor {name}"))
                })?;
                let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
                weights.extend(values.map_err(tensor_error)?);
            }
        }
        Ok(weights)
    }
}

/// A shard of the texts.
pub(super) struct EncoderShard {
    number: u32,
    shared: Arc<Shared>,
    /// The numbers of its training texts and their classes.
    texts: Vec<usize>,
    classes: Vec<u32>,
    /// The numbers of its validation texts.
    valid: Vec<usize>,
    /// The embeddings of its training texts by the unchanged encoder, once they are needed.
    embeddings: Option<Embeddings>,
    /// The tokens of its training texts, once they are needed.
    tokens: Vec<Vec<u32>>,
}

impl EncoderShard {
    pub(super) fn new(number: u32, shards: u32, shared: Arc<Shared>) -> Self {
        let own = |count: usize| (number as usize..count).step_by(shards as usize).collect();
        let texts: Vec<usize> = own(shared.train.codes.len());
        let class = |text: &usize| {
            let number = shared.classes.number(shared.train.codes[*text], LEVELS - 1);
            number.unwrap_or_default() as u32
        };
        let classes = texts.iter().map(class).collect();
        let valid = own(shared.valid.codes.len());
        Self { number, shared, texts, classes, valid, embeddings: None, tokens: Vec::new() }
    }

    fn embeddings(&mut self) -> Result<&Embeddings> {
        if self.embeddings.is_none() {
            let texts = self.texts.iter().map(|text| self.shared.train.descriptions[*text].as_str());
            self.embeddings = Some(self.shared.encoder.encode(texts)?);
        }
        self.embeddings.as_ref().ok_or_else(|| Error::internal("HS encoder: a shard has no embeddings"))
    }

    fn count(&mut self) -> Result<ShardCounts> {
        let cut = self.embeddings()?.cut;
        let is_first = self.number == 0;
        let shared = &self.shared;
        Ok(ShardCounts {
            texts: self.texts.len() as u64,
            cut,
            width: shared.encoder.width() as u32,
            codes: if is_first { shared.classes.codes(LEVELS - 1).to_vec() } else { Vec::new() },
            layers: if is_first { shared.layers()? } else { Vec::new() },
        })
    }

    fn train(&mut self, train: Train) -> Result<Answer> {
        let stage = train.stage();
        if stage == Stage::Head {
            self.embeddings()?;
        } else if self.tokens.is_empty() {
            let tokens = self
                .texts
                .iter()
                .map(|text| Ok(self.shared.parts.tokens(&self.shared.train.descriptions[*text])?.0));
            self.tokens = tokens.collect::<Result<_>>()?;
        }
        let Train { first, steps, steps_per_epoch, total, trained, .. } = train;
        let mut answer = Answer { rows: 0, loss: 0.0, trained };
        let parameters = &self.shared.parameters;
        let own = self.texts.len().div_ceil(steps_per_epoch.max(1) as usize).max(1);
        let mut order = (u64::MAX, Vec::new());
        for step in first..first + steps {
            check()?;
            let (epoch, within) = (step / steps_per_epoch, (step % steps_per_epoch) as usize);
            if order.0 != epoch {
                order = (epoch, self.order(stage, epoch));
            }
            let rows = &order.1[(within * own).min(order.1.len())..((within + 1) * own).min(order.1.len())];
            if rows.is_empty() {
                continue;
            }
            let left = 1.0 - step as f32 / total as f32;
            let gradients = match stage {
                Stage::Head => self.on_head(&answer.trained.weights, rows),
                Stage::Layers => self.on_layers(&answer.trained.weights, rows),
            };
            let (loss, gradients) = gradients.map_err(tensor_error)?;
            answer.rows += rows.len() as u64;
            answer.loss += f64::from(loss) * rows.len() as f64;
            let (head, layers) = gradients.split_at(self.shared.head.len());
            let (rate, decay) = (parameters.head_rate * left, parameters.decay);
            adamw(&mut answer.trained, 0, head, step + 1, rate, decay);
            if !layers.is_empty() {
                let rate = parameters.fine_tune_rate * left;
                adamw(&mut answer.trained, head.len(), layers, step + 1, rate, decay);
            }
        }
        Ok(answer)
    }

    /// The random order of an epoch, by the seed.
    fn order(&self, stage: Stage, epoch: u64) -> Vec<u32> {
        let salt = mix(self.shared.parameters.seed ^ mix(epoch * 2 + stage as u64));
        let mut order: Vec<u32> = (0..self.texts.len() as u32).collect();
        order.sort_by_key(|row| (mix(salt ^ self.texts[*row as usize] as u64), *row));
        order
    }

    fn classes_of(&self, rows: &[u32]) -> Vec<u32> {
        rows.iter().map(|row| self.classes[*row as usize]).collect()
    }

    /// The mean loss of some texts and its gradient by the head's weights, with the unchanged encoder.
    fn on_head(&self, weights: &[f32], rows: &[u32]) -> candle_core::Result<(f32, Vec<f32>)> {
        let Shared { head, parts, .. } = &*self.shared;
        let Some(embeddings) = &self.embeddings else { candle_core::bail!("a shard has no embeddings") };
        let mut values = Vec::with_capacity(rows.len() * (embeddings.width + 1));
        for row in rows {
            values.extend_from_slice(embeddings.row(*row as usize));
            values.push(1.0);
        }
        let texts = Tensor::from_vec(values, (rows.len(), embeddings.width + 1), &parts.device)?;
        let variables = head.variables(weights, &parts.device)?;
        let loss = head.loss(&variables, &texts, &self.classes_of(rows))?;
        Ok((loss.to_scalar()?, flat_gradient(&loss.backward()?, &[&variables])?))
    }

    /// The mean loss of some texts and its gradient by the weights of the head and the trained layers.
    fn on_layers(&self, weights: &[f32], rows: &[u32]) -> candle_core::Result<(f32, Vec<f32>)> {
        let Shared { head, parts, shapes, lower, .. } = &*self.shared;
        let (of_head, of_layers) = weights.split_at(head.len());
        let tokens: Vec<&[u32]> = rows.iter().map(|row| self.tokens[*row as usize].as_slice()).collect();
        let batch = Batch::new(&tokens, &parts.device)?;
        let attention = batch.attention()?;
        let mut states = batch.states(lower)?;
        let mut variables = vec![head.variables(of_head, &parts.device)?];
        for layer in of_layers.chunks_exact(shapes.len()) {
            let layer = shapes.variables(layer, &parts.device)?;
            states = shapes.forward(&layer, &states, &attention)?;
            variables.push(layer);
        }
        let embeddings = batch.pooled(&states)?;
        let ones = Tensor::ones((rows.len(), 1), embeddings.dtype(), &parts.device)?;
        let texts = Tensor::cat(&[&embeddings, &ones], 1)?;
        let loss = head.loss(&variables[0], &texts, &self.classes_of(rows))?;
        let variables: Vec<&Vec<Var>> = variables.iter().collect();
        Ok((loss.to_scalar()?, flat_gradient(&loss.backward()?, &variables)?))
    }

    fn encode(&self, encode: &Encode) -> Result<EncodedTexts> {
        let texts = self.valid.iter().map(|text| self.shared.valid.descriptions[*text].as_str());
        let embeddings = if encode.layers.is_empty() {
            self.shared.encoder.encode(texts)?
        } else {
            let mut parts = self.shared.parts.clone();
            parts.replace(&encode.layers)?;
            parts.encoder()?.encode(texts)?
        };
        Ok(EncodedTexts { values: embeddings.values, cut: embeddings.cut })
    }
}

/// The gradients of all variables, one after the other.
fn flat_gradient(gradients: &GradStore, variables: &[&Vec<Var>]) -> candle_core::Result<Vec<f32>> {
    let mut flat = Vec::new();
    for variable in variables.iter().copied().flatten() {
        let Some(gradient) = gradients.get(variable) else {
            candle_core::bail!("a loss does not depend on all weights");
        };
        flat.extend(gradient.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(flat)
}

impl Shard for EncoderShard {
    fn restore(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn contribute(&mut self, instruction: &[u8], merged: &mut Option<Contribution>) -> Result<()> {
        let answer = match Instruction::decode(instruction)?.request {
            Some(Request::Count(_)) => self.count()?.encode_to_vec(),
            Some(Request::Train(train)) => {
                return self.train(train)?.contribution(self.number, Bytes::new()).merge_onto(merged);
            }
            Some(Request::Encode(encode)) => self.encode(&encode)?.encode_to_vec(),
            None => return Err(Error::internal("HS encoder: an instruction asks nothing")),
        };
        Contribution::Gather(vec![(self.number, Bytes::from(answer))]).merge_onto(merged)
    }
}
