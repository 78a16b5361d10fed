//! The leader of a detector's fit: images are counted, then each epoch is some rounds of training steps and an
//! evaluation of the moving average of the weights.
//!
//! The weights of the epoch with the lowest validation loss are the model. Start at [`DetectorLeader::new`].

use bytes::Bytes;
use prost::Message;
use tidewaiter_collective::{Contribution, Leader, Progress};
use tidewaiter_core::{Error, Result};
use tidewaiter_learning::{
    adamw,
    local_sgd::{Trained, answers},
};

use super::{
    parameters::Parameters,
    wire::{Checkpoint, CountImages, Evaluate, Evaluation, ImageCounts, Instruction, Request, TrainSteps},
};
use crate::model::network::{Extents, Network};

/// The model's name in errors.
const MODEL: &str = "X-ray detector";

/// Steps over which the moving average of the weights reaches back; fewer at the beginning.
const AVERAGED_STEPS: f64 = 200.0;

/// Leads a fit.
///
/// Only [`Leader::absorb`] changes the state, so an instruction can be given again.
pub struct DetectorLeader {
    parameters: Parameters,
    network: Network,
    shards: u64,
    counts: Option<ImageCounts>,
    trained: Trained,
    average: Vec<f32>,
    steps: u64,
    epochs: u32,
    best: Vec<f32>,
    best_loss: Option<f64>,
    last_loss: f64,
}

impl DetectorLeader {
    /// A fit that has not begun, over so many shards. `backbone` are the first of its weights
    /// ([`crate::model::backbone`]); none: all are random.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when a parameter is out of range, or there are more weights than the network
    /// has.
    pub fn new(parameters: Parameters, extents: Extents, shards: usize, backbone: &[f32]) -> Result<Self> {
        parameters.validate()?;
        let network = Network::new(extents);
        let mut weights = network.begin(parameters.seed);
        let first = weights.get_mut(..backbone.len());
        let first = first.ok_or_else(|| Error::input("the backbone is larger than the network"))?;
        first.copy_from_slice(backbone);
        Ok(Self {
            parameters,
            network,
            shards: shards.max(1) as u64,
            counts: None,
            average: weights.clone(),
            best: weights.clone(),
            trained: Trained::new(weights),
            steps: 0,
            epochs: 0,
            best_loss: None,
            last_loss: 0.0,
        })
    }

    /// Continues a fit from [`Leader::checkpoint`].
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when the bytes are no checkpoint of this kind of fit.
    pub fn restore(checkpoint: &[u8], extents: Extents, shards: usize) -> Result<Self> {
        let state = Checkpoint::decode(checkpoint)?;
        let mut leader = Self::new(serde_json::from_str(&state.parameters)?, extents, shards, &[])?;
        let size = leader.network.size();
        if !state.trained.fits(size) || state.average.len() != size || state.best.len() != size {
            return Err(Error::corrupt("a checkpoint of the X-ray detector is not one of this fit"));
        }
        leader.counts = state.counts;
        (leader.trained, leader.average) = (state.trained, state.average);
        (leader.steps, leader.epochs) = (state.steps, state.epochs);
        (leader.best, leader.best_loss) = (state.best, state.best_loss);
        Ok(leader)
    }

    /// The weights of the best epoch.
    pub fn weights(&self) -> &[f32] {
        &self.best
    }

    /// The mean loss of a validation image by those weights; `None` without validation images.
    pub fn validation_loss(&self) -> Option<f64> {
        self.best_loss
    }

    /// Steps of every shard in one epoch.
    fn per_epoch(&self) -> u64 {
        let images = self.counts.as_ref().map_or(0, |counts| counts.training);
        images.div_ceil(self.shards * self.parameters.batch_images as u64).max(1)
    }

    /// Steps of the next round, once the images are counted; 0: an evaluation is next.
    fn next_steps(&self) -> u32 {
        let end = (u64::from(self.epochs) + 1) * self.per_epoch();
        (end - self.steps).min(u64::from(self.parameters.steps_between_averages)) as u32
    }

    fn is_over(&self) -> bool {
        self.epochs >= self.parameters.epochs
    }

    fn absorb_counts(&mut self, parts: &[ImageCounts]) -> Result<()> {
        let sum = |of: fn(&ImageCounts) -> u64| parts.iter().map(of).sum::<u64>();
        let counts = ImageCounts {
            training: sum(|part| part.training),
            validation: sum(|part| part.validation),
            with_objects: sum(|part| part.with_objects),
        };
        if counts.with_objects == 0 {
            return Err(Error::input(format!(
                "none of the {} training images has an annotated object; ingest annotations or choose other months",
                counts.training
            )));
        }
        self.counts = Some(counts);
        Ok(())
    }

    fn absorb_steps(&mut self, contribution: &Contribution, steps: u32) -> Result<()> {
        let (loss, _) = self.trained.averaged(contribution, MODEL, "--learning-rate")?;
        self.last_loss = loss.unwrap_or(self.last_loss);
        self.steps += u64::from(steps);
        adamw::average(&mut self.average, &self.trained.weights, (self.steps, steps), AVERAGED_STEPS);
        Ok(())
    }

    fn absorb_evaluation(&mut self, parts: &[Evaluation]) {
        self.epochs += 1;
        let images: u64 = parts.iter().map(|part| part.images).sum();
        let loss = (images > 0).then(|| parts.iter().map(|part| part.loss).sum::<f64>() / images as f64);
        let is_better = match (loss, self.best_loss) {
            (Some(loss), Some(best)) => loss < best || best.is_nan(),
            _ => true,
        };
        if is_better {
            self.best.clone_from(&self.average);
            self.best_loss = loss;
        }
    }
}

impl Leader for DetectorLeader {
    fn instruct(&mut self) -> Result<Option<Bytes>> {
        if self.is_over() {
            return Ok(None);
        }
        let request = match (&self.counts, self.next_steps()) {
            (None, _) => Request::Count(CountImages {}),
            (Some(_), 0) => Request::Evaluate(Evaluate { weights: self.average.clone() }),
            (Some(_), steps) => Request::Train(TrainSteps {
                first: self.steps,
                steps,
                per_epoch: self.per_epoch(),
                trained: self.trained.clone(),
            }),
        };
        Ok(Some(Bytes::from(Instruction { request: Some(request) }.encode_to_vec())))
    }

    fn absorb(&mut self, contribution: Contribution) -> Result<()> {
        match (&self.counts, self.next_steps()) {
            (None, _) => self.absorb_counts(&answers(&contribution, MODEL)?),
            (Some(_), 0) => {
                self.absorb_evaluation(&answers(&contribution, MODEL)?);
                Ok(())
            }
            (Some(_), steps) => self.absorb_steps(&contribution, steps),
        }
    }

    fn fold(&mut self, first: usize, mean: &[f32]) -> Result<()> {
        self.trained.fold(first, mean, MODEL)
    }

    fn checkpoint(&self) -> Result<Bytes> {
        let checkpoint = Checkpoint {
            parameters: serde_json::to_string(&self.parameters)?,
            counts: self.counts.clone(),
            trained: self.trained.clone(),
            average: self.average.clone(),
            steps: self.steps,
            epochs: self.epochs,
            best: self.best.clone(),
            best_loss: self.best_loss,
        };
        Ok(Bytes::from(checkpoint.encode_to_vec()))
    }

    /// Nothing: a shard keeps no state between rounds.
    fn history(&self) -> Result<Bytes> {
        Ok(Bytes::new())
    }

    fn at_milestone(&self) -> bool {
        self.counts.is_some() && self.steps.is_multiple_of(self.per_epoch())
    }

    fn progress(&self) -> Progress {
        Progress {
            done: u64::from(self.epochs),
            total: u64::from(self.parameters.epochs),
            note: format!("loss {:.3}", self.last_loss),
        }
    }
}
