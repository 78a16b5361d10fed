//! The driver's part of the fit: counts, steps of the head, steps of the last layers, and the embeddings of the
//! validation texts.

use bytes::Bytes;
use prost::Message;
use tidewaiter_collective::{Contribution, Leader, Progress};
use tidewaiter_core::{Error, Result};
use tidewaiter_learning::local_sgd::{Trained, answers};

use super::{
    head::{Head, HeadLayout},
    network::Embeddings,
    parameters::Parameters,
    wire::{Count, Encode, EncodedTexts, Instruction, Request, ShardCounts, Stage, State, Train},
};
use crate::codes::tree::CodeTree;

/// The model's name in errors.
const MODEL: &str = "HS encoder";

/// Leads the training of a head and, if requested, of the encoder's last layers.
///
/// [`Leader::instruct`] reads the state; [`Leader::fold`] and [`Leader::absorb`] alone change it.
pub(crate) struct EncoderLeader {
    parameters: Parameters,
    state: State,
    head: Option<HeadLayout>,
}

/// What the fit trained.
pub(crate) struct TrainedEncoder {
    /// The head.
    pub(crate) head: Head,
    /// The weights of the trained layers; empty where the encoder is unchanged.
    pub(crate) layers: Vec<f32>,
    /// The embeddings of the validation texts, in their order.
    pub(crate) valid: Embeddings,
    /// Training texts that are too long to be read to their end.
    pub(crate) cut: u64,
    /// The mean loss of the last steps.
    pub(crate) loss: f64,
}

impl EncoderLeader {
    /// A fit that has not begun.
    pub(crate) fn new(parameters: Parameters) -> Self {
        Self { parameters, state: State::default(), head: None }
    }

    /// A fit that goes on from [`Leader::checkpoint`].
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when the bytes are no checkpoint of this kind of fit.
    pub(crate) fn restore(checkpoint: &[u8], parameters: Parameters) -> Result<Self> {
        let state = State::decode(checkpoint)?;
        let head = state.counts.as_ref().map(layout_of);
        let of_layers = state.counts.as_ref().filter(|_| state.stage() == Stage::Layers);
        let expected =
            head.as_ref().map_or(0, HeadLayout::len) + of_layers.map_or(0, |counts| counts.layers.len());
        if !state.trained.fits(expected) {
            return Err(Error::corrupt("HS encoder: a checkpoint is not one of this fit"));
        }
        Ok(Self { parameters, state, head })
    }

    /// What was trained.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] before the end.
    pub(crate) fn trained(&self) -> Result<TrainedEncoder> {
        let (Some(counts), Some(head), Some(encoded)) = (&self.state.counts, &self.head, &self.state.encoded)
        else {
            return Err(Error::internal("HS encoder: the fit is not over"));
        };
        let (of_head, layers) = self.state.trained.weights.split_at(head.len());
        Ok(TrainedEncoder {
            head: head.head(of_head),
            layers: layers.to_vec(),
            valid: Embeddings {
                width: counts.width as usize,
                values: encoded.values.clone(),
                cut: encoded.cut,
            },
            cut: counts.cut,
            loss: self.state.loss,
        })
    }

    fn absorb_counts(&mut self, shards: Vec<ShardCounts>) -> Result<()> {
        let mut all = ShardCounts::default();
        for counts in shards {
            all.texts += counts.texts;
            all.cut += counts.cut;
            all.width = counts.width;
            all.codes.extend(counts.codes);
            all.layers.extend(counts.layers);
        }
        let head = layout_of(&all);
        self.state.trained = Trained::new(vec![0.0; head.len()]);
        (self.head, self.state.counts) = (Some(head), Some(all));
        Ok(())
    }

    fn absorb_trained(&mut self, contribution: &Contribution, steps: u64) -> Result<()> {
        let (loss, _) = self.state.trained.averaged(contribution, MODEL, "head_rate or fine_tune_rate")?;
        self.state.loss = loss.unwrap_or(self.state.loss);
        self.state.steps += steps;
        self.next_stage();
        Ok(())
    }

    /// Changes from the head to the layers when the head's steps are over, where layers are trained.
    fn next_stage(&mut self) {
        let Some(counts) = &self.state.counts else { return };
        let over = self.state.steps >= self.total(counts, Stage::Head);
        if over && self.state.stage() == Stage::Head && self.parameters.fine_tune_epochs > 0 {
            let mut weights = std::mem::take(&mut self.state.trained.weights);
            weights.extend_from_slice(&counts.layers);
            self.state.trained = Trained::new(weights);
            self.state.steps = 0;
            self.state.set_stage(Stage::Layers);
        }
    }

    fn absorb_encoded(&mut self, encoded: &[EncodedTexts]) -> Result<()> {
        let width = self.state.counts.as_ref().map_or(0, |counts| counts.width as usize).max(1);
        let mut all = EncodedTexts { values: Vec::new(), cut: encoded.iter().map(|part| part.cut).sum() };
        // The texts are distributed to the shards in turn.
        let most = encoded.iter().map(|part| part.values.len()).max().unwrap_or(0) / width;
        for row in 0..most {
            for part in encoded {
                all.values.extend(part.values.get(row * width..(row + 1) * width).unwrap_or_default());
            }
        }
        self.state.encoded = Some(all);
        Ok(())
    }

    fn steps_per_epoch(&self, counts: &ShardCounts) -> u64 {
        counts.texts.div_ceil(u64::from(self.parameters.batch_texts)).max(1)
    }

    /// Steps of a stage.
    fn total(&self, counts: &ShardCounts, stage: Stage) -> u64 {
        let epochs = match stage {
            Stage::Head => self.parameters.head_epochs,
            Stage::Layers => self.parameters.fine_tune_epochs,
        };
        u64::from(epochs) * self.steps_per_epoch(counts)
    }

    /// Steps of the next round; 0 when the training is over.
    fn next_steps(&self, counts: &ShardCounts) -> u64 {
        let left = self.total(counts, self.state.stage()).saturating_sub(self.state.steps);
        left.min(u64::from(self.parameters.steps_between_averages))
    }
}

fn layout_of(counts: &ShardCounts) -> HeadLayout {
    HeadLayout::new(&CodeTree::new(counts.codes.clone()), counts.width as usize)
}

impl Leader for EncoderLeader {
    fn instruct(&mut self) -> Result<Option<Bytes>> {
        if self.state.encoded.is_some() {
            return Ok(None);
        }
        let request = match &self.state.counts {
            None => Request::Count(Count {}),
            Some(counts) => match self.next_steps(counts) {
                0 => {
                    let of_head = self.head.as_ref().map_or(0, HeadLayout::len);
                    Request::Encode(Encode { layers: self.state.trained.weights[of_head..].to_vec() })
                }
                steps => Request::Train(Train {
                    stage: self.state.stage,
                    first: self.state.steps,
                    steps,
                    steps_per_epoch: self.steps_per_epoch(counts),
                    total: self.total(counts, self.state.stage()),
                    trained: Trained::default(),
                }),
            },
        };
        let mut instruction = Instruction { request: Some(request) };
        // The weights may be many: they are lent to the message and not copied.
        if let Some(Request::Train(train)) = &mut instruction.request {
            std::mem::swap(&mut train.trained, &mut self.state.trained);
        }
        let bytes = Bytes::from(instruction.encode_to_vec());
        if let Some(Request::Train(train)) = instruction.request {
            self.state.trained = train.trained;
        }
        Ok(Some(bytes))
    }

    fn absorb(&mut self, contribution: Contribution) -> Result<()> {
        match &self.state.counts {
            None => self.absorb_counts(answers(&contribution, MODEL)?),
            Some(counts) => match self.next_steps(counts) {
                0 => self.absorb_encoded(&answers(&contribution, MODEL)?),
                steps => self.absorb_trained(&contribution, steps),
            },
        }
    }

    fn fold(&mut self, first: usize, mean: &[f32]) -> Result<()> {
        self.state.trained.fold(first, mean, MODEL)
    }

    fn checkpoint(&self) -> Result<Bytes> {
        Ok(Bytes::from(self.state.encode_to_vec()))
    }

    fn history(&self) -> Result<Bytes> {
        Ok(Bytes::new())
    }

    fn at_milestone(&self) -> bool {
        let Some(counts) = &self.state.counts else { return false };
        self.state.steps.is_multiple_of(self.steps_per_epoch(counts))
    }

    fn progress(&self) -> Progress {
        let Some(counts) = &self.state.counts else { return Progress::default() };
        let before = match self.state.stage() {
            Stage::Head => 0,
            Stage::Layers => self.total(counts, Stage::Head),
        };
        Progress {
            done: before + self.state.steps,
            total: self.total(counts, Stage::Head) + self.total(counts, Stage::Layers),
            note: format!("loss {:.4}", self.state.loss),
        }
    }
}
