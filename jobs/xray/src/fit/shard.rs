//! A shard of a detector's fit: training steps on its own images, and the loss of its validation images.
//!
//! An answer depends only on the shard's images and the instruction: the order of the images and their augmentation are
//! drawn from the seed, the shard's number and the step. Start at [`Shard::contribute`].

use bytes::Bytes;
use candle_core::{Device, Tensor, Var};
use prost::Message;
use tidewaiter_collective::{Contribution, Shard};
use tidewaiter_core::{
    Error, Result,
    chance::{mix, stream},
};
use tidewaiter_learning::local_sgd::Answer;
use tidewaiter_tensors::gpu;

use super::{
    augment::{Example, augmented},
    loss::{Grid, ImageTruth, images, locations},
    optimiser::{self, Schedule},
    parameters::Parameters,
    targets::{Target, targets},
    wire::{Evaluate, Evaluation, ImageCounts, Instruction, Request, TrainSteps},
};
use crate::model::network::{Extents, INPUTS, Network, Outputs, STRIDES};

/// Weight of the image's loss beside that of its locations.
const IMAGE_WEIGHT: f64 = 0.5;

/// The largest norm of a step's gradient.
const LARGEST_NORM: f64 = 10.0;

/// Share of the steps in which the learning rate rises.
const WARM_UP: f64 = 0.05;

/// One shard of the images, in memory.
pub struct DetectorShard {
    index: u32,
    parameters: Parameters,
    network: Network,
    decays: Vec<bool>,
    device: Device,
    training: Vec<Example>,
    validation: Vec<Example>,
    order: Vec<u32>,
    epoch: Option<u64>,
}

impl DetectorShard {
    /// The shard with number `index` over its training and validation images.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Unavailable`] when there is a GPU that does not answer.
    pub fn new(
        index: u32,
        parameters: Parameters,
        extents: Extents,
        (training, validation): (Vec<Example>, Vec<Example>),
    ) -> Result<Self> {
        let network = Network::new(extents);
        let decays = network.decays().collect();
        let device = gpu()?.unwrap_or(Device::Cpu);
        let (order, epoch) = (Vec::new(), None);
        Ok(Self { index, parameters, network, decays, device, training, validation, order, epoch })
    }

    fn count(&self) -> ImageCounts {
        let with_objects = self.training.iter().filter(|example| !example.objects.is_empty()).count();
        ImageCounts {
            training: self.training.len() as u64,
            validation: self.validation.len() as u64,
            with_objects: with_objects as u64,
        }
    }

    /// Shuffles the training images once an epoch (Fisher and Yates).
    fn shuffle(&mut self, epoch: u64) {
        if self.epoch == Some(epoch) {
            return;
        }
        self.epoch = Some(epoch);
        self.order = (0..self.training.len() as u32).collect();
        let salt = mix(self.parameters.seed ^ mix(epoch ^ mix(u64::from(self.index))));
        for at in (1..self.order.len()).rev() {
            let other = (u128::from(mix(salt ^ at as u64)) * (at as u128 + 1)) >> 64;
            self.order.swap(at, other as usize);
        }
    }

    fn train(&mut self, request: TrainSteps) -> Result<Answer> {
        let TrainSteps { first, steps, per_epoch, mut trained } = request;
        if !trained.fits(self.network.size()) {
            return Err(Error::internal("the weights of the X-ray detector do not fit its network"));
        }
        let steps_of_fit = per_epoch * u64::from(self.parameters.epochs);
        let schedule = Schedule {
            rate: self.parameters.learning_rate,
            warm_up: ((steps_of_fit as f64 * WARM_UP) as u64).max(1),
            steps: steps_of_fit,
        };
        let (mut rows, mut loss) = (0, 0.0);
        for step in first..first + u64::from(steps) {
            self.shuffle(step / per_epoch);
            let at = |step: u64| (self.order.len() as u64 * step / per_epoch) as usize;
            let chosen = &self.order[at(step % per_epoch)..at(step % per_epoch + 1)];
            if chosen.is_empty() {
                continue;
            }
            let seed = stream(mix(self.parameters.seed ^ u64::from(self.index) << 40), step);
            let batch: Vec<Example> = chosen
                .iter()
                .enumerate()
                .map(|(place, image)| {
                    let seed = stream(seed, place as u64);
                    let example = &self.training[*image as usize];
                    augmented(example, &self.training, self.parameters.side, self.parameters.projection, seed)
                })
                .collect();
            let (batch_loss, gradient) = self.gradient(&trained.weights, &batch)?;
            loss += batch_loss * batch.len() as f64;
            rows += batch.len() as u64;
            let rate = schedule.at(step);
            let setting = (step, rate, self.parameters.weight_decay, LARGEST_NORM);
            optimiser::step(&mut trained, &gradient, &self.decays, setting);
        }
        Ok(Answer { rows, loss, trained })
    }

    fn evaluate(&self, request: &Evaluate) -> Result<Evaluation> {
        let variables = self.network.variables(&request.weights, &self.device).map_err(tensor_error)?;
        let mut evaluation = Evaluation { images: self.validation.len() as u64, loss: 0.0 };
        for batch in self.validation.chunks(self.parameters.batch_images) {
            let outputs = self.forward(&variables, batch)?;
            evaluation.loss += self.loss(&outputs, batch)?.0 * batch.len() as f64;
        }
        Ok(evaluation)
    }

    fn forward(&self, variables: &[Var], batch: &[Example]) -> Result<Outputs> {
        let side = self.parameters.side;
        let mut pixels = Vec::with_capacity(batch.len() * side * side * INPUTS);
        batch.iter().for_each(|example| {
            pixels.extend(example.pixels.iter().map(|value| f32::from(*value) / 65535.0))
        });
        let shape = (batch.len(), side, side, INPUTS);
        let input = Tensor::from_vec(pixels, shape, &self.device).map_err(tensor_error)?;
        self.network.forward(variables, &input).map_err(tensor_error)
    }

    /// The loss of a batch, and its gradient by the network's outputs: of each grid, and of the images as wholes.
    fn loss(&self, outputs: &Outputs, batch: &[Example]) -> Result<(f64, Vec<Vec<f32>>, Vec<f32>)> {
        let numbers = |tensor: &Tensor| {
            tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).map_err(tensor_error)
        };
        let grids: Vec<Vec<f32>> = outputs.grids.iter().map(numbers).collect::<Result<_>>()?;
        let mut wanted: Vec<Vec<Option<Target>>> = vec![Vec::new(); STRIDES.len()];
        for example in batch {
            let of_image = targets(&example.objects, self.parameters.side);
            wanted.iter_mut().zip(of_image).for_each(|(all, one)| all.extend(one));
        }
        let grids: Vec<Grid<'_>> = grids
            .iter()
            .zip(&wanted)
            .zip(STRIDES)
            .map(|((outputs, targets), stride)| Grid { stride, outputs, targets })
            .collect();
        let (loss, by_grid) = locations(&grids, self.network.extents().classes);
        let truths: Vec<ImageTruth> = batch.iter().map(Example::truth).collect();
        let (of_images, by_image) = images(&numbers(&outputs.image)?, &truths, IMAGE_WEIGHT);
        Ok((loss.total() + of_images, by_grid, by_image))
    }

    /// The loss of a batch and its gradient by the weights.
    fn gradient(&self, weights: &[f32], batch: &[Example]) -> Result<(f64, Vec<f32>)> {
        let variables = self.network.variables(weights, &self.device).map_err(tensor_error)?;
        let outputs = self.forward(&variables, batch)?;
        let (loss, by_grid, by_image) = self.loss(&outputs, batch)?;
        let backward = || -> candle_core::Result<Vec<f32>> {
            // The sum of outputs times their gradients has the loss's gradient by the weights.
            let constant =
                |values: Vec<f32>, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
            let mut sum = (&outputs.image * constant(by_image, &outputs.image)?)?.sum_all()?;
            for (grid, gradient) in outputs.grids.iter().zip(by_grid) {
                sum = (sum + (grid * constant(gradient, grid)?)?.sum_all()?)?;
            }
            let all = sum.backward()?;
            let mut flat = Vec::with_capacity(weights.len());
            for variable in &variables {
                match all.get(variable) {
                    Some(gradient) => flat.extend(gradient.flatten_all()?.to_vec1::<f32>()?),
                    None => flat.extend(std::iter::repeat_n(0.0, variable.elem_count())),
                }
            }
            Ok(flat)
        };
        Ok((loss, backward().map_err(tensor_error)?))
    }
}

/// An error of candle.
pub(crate) fn tensor_error(error: candle_core::Error) -> Error {
    Error::internal("X-ray detector: compute on tensors").with_source(error)
}

impl Shard for DetectorShard {
    fn restore(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn contribute(&mut self, instruction: &[u8], merged: &mut Option<Contribution>) -> Result<()> {
        let request = Instruction::decode(instruction)?.request;
        let answer =
            match request.ok_or_else(|| Error::corrupt("an instruction to an X-ray shard is empty"))? {
                Request::Count(_) => self.count().encode_to_vec(),
                Request::Train(steps) => {
                    return self.train(steps)?.contribution(self.index, Bytes::new()).merge_onto(merged);
                }
                Request::Evaluate(evaluate) => self.evaluate(&evaluate)?.encode_to_vec(),
            };
        Contribution::Gather(vec![(self.index, Bytes::from(answer))]).merge_onto(merged)
    }
}
