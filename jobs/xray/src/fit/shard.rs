//! A shard of a detector's fit: training steps on its own images, and the loss of its validation images.
//!
//! An answer depends only on the shard's images and the instruction: the order of the images and their augmentation are
//! drawn from the seed, the shard's number and the step. So the images of all steps of an instruction are known at once,
//! and are read from disk ahead of their step. Start at [`Shard::contribute_async`].

use bytes::Bytes;
use candle_core::Device;
use prost::Message;
use tidewaiter_collective::{Contribution, Shard};
use tidewaiter_core::{
    Error, Result,
    chance::{mix, stream},
    threads::check,
};
use tidewaiter_learning::{
    adamw::{self, Schedule},
    local_sgd::Answer,
};
use tidewaiter_tensors::gpu;

use super::{
    augment::{Example, augmented, donor},
    examples::Examples,
    loss::{Grid, ImageTruth, images, locations},
    parameters::Parameters,
    targets::{Target, targets},
    wire::{Evaluate, Evaluation, ImageCounts, Instruction, Request, TrainSteps},
};
use crate::model::network::{Batch, Extents, INPUTS, Network, Outputs, STRIDES};

/// Weight of the image's loss beside that of its locations.
const IMAGE_WEIGHT: f64 = 0.5;

/// The largest norm of a step's gradient.
const LARGEST_NORM: f64 = 10.0;

/// Share of the steps in which the learning rate rises.
const WARM_UP: f64 = 0.05;

/// One shard of the images, on disk.
pub struct DetectorShard {
    index: u32,
    parameters: Parameters,
    network: Network,
    decays: Vec<bool>,
    device: Device,
    examples: Examples,
    order: Vec<u32>,
    epoch: Option<u64>,
}

/// A training step: its number, and its images.
struct Step {
    number: u64,
    images: Vec<Draw>,
}

/// An image of a step: its place among the training images and that of its donor, and the seed of its augmentation.
struct Draw {
    image: usize,
    donor: Option<usize>,
    seed: u64,
}

impl Step {
    /// The places on disk of the images, followed by those of their donors.
    fn places(&self, training: &[usize]) -> Vec<usize> {
        let images = self.images.iter().map(|draw| draw.image);
        let donors = self.images.iter().filter_map(|draw| draw.donor);
        images.chain(donors).map(|image| training[image]).collect()
    }

    /// The augmented images, of what was read of [`Step::places`].
    fn batch(&self, read: &[Example], side: usize) -> Result<Vec<Example>> {
        let donors = self.images.iter().filter(|draw| draw.donor.is_some()).count();
        if read.len() != self.images.len() + donors {
            return Err(Error::internal("a step of the X-ray detector has other images than it asked for"));
        }
        let (images, mut donors) = (read.iter(), read[self.images.len()..].iter());
        let images = images.zip(&self.images).map(|(example, draw)| {
            let donor = draw.donor.and_then(|_| donors.next());
            augmented(example, donor, side, draw.seed)
        });
        Ok(images.collect())
    }
}

impl DetectorShard {
    /// The shard with number `index` over its images.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Unavailable`] when there is a GPU that does not answer.
    pub fn new(index: u32, parameters: Parameters, extents: Extents, examples: Examples) -> Result<Self> {
        let network = Network::new(extents);
        let decays = network.decays().collect();
        let device = gpu()?.unwrap_or(Device::Cpu);
        let (order, epoch) = (Vec::new(), None);
        Ok(Self { index, parameters, network, decays, device, examples, order, epoch })
    }

    fn count(&self) -> ImageCounts {
        let Examples { training, validation, with_objects, .. } = &self.examples;
        ImageCounts {
            training: training.len() as u64,
            validation: validation.len() as u64,
            with_objects: *with_objects,
        }
    }

    /// Shuffles the training images once an epoch (Fisher and Yates).
    fn shuffle(&mut self, epoch: u64) {
        if self.epoch == Some(epoch) {
            return;
        }
        self.epoch = Some(epoch);
        self.order = (0..self.examples.training.len() as u32).collect();
        let salt = mix(self.parameters.seed ^ mix(epoch ^ mix(u64::from(self.index))));
        for at in (1..self.order.len()).rev() {
            let other = (u128::from(mix(salt ^ at as u64)) * (at as u128 + 1)) >> 64;
            self.order.swap(at, other as usize);
        }
    }

    /// The images of a step; `None` where it has none.
    fn step(&mut self, number: u64, per_epoch: u64) -> Option<Step> {
        self.shuffle(number / per_epoch);
        let at = |step: u64| (self.order.len() as u64 * step / per_epoch) as usize;
        let chosen = &self.order[at(number % per_epoch)..at(number % per_epoch + 1)];
        let seed = stream(mix(self.parameters.seed ^ u64::from(self.index) << 40), number);
        let images = chosen.iter().zip(0..).map(|(image, place)| {
            let seed = stream(seed, place);
            let donor = donor(self.order.len(), self.parameters.projection, seed);
            Draw { image: *image as usize, donor, seed }
        });
        let images: Vec<Draw> = images.collect();
        (!images.is_empty()).then_some(Step { number, images })
    }

    async fn train(&mut self, request: TrainSteps) -> Result<Answer> {
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
        let steps: Vec<Step> =
            (first..first + u64::from(steps)).filter_map(|number| self.step(number, per_epoch)).collect();
        let places = steps.iter().map(|step| step.places(&self.examples.training));
        let mut images = self.examples.read(places.collect());
        let (mut rows, mut loss) = (0, 0.0);
        for step in &steps {
            let batch = step.batch(&images.next().await?, self.parameters.side)?;
            check()?;
            let (batch_loss, gradient) = self.gradient(&trained.weights, &batch)?;
            loss += batch_loss * batch.len() as f64;
            rows += batch.len() as u64;
            let rate = schedule.at(step.number);
            let setting = (step.number, rate, self.parameters.weight_decay, LARGEST_NORM);
            adamw::step(&mut trained, &gradient, &self.decays, setting);
        }
        Ok(Answer { rows, loss, trained })
    }

    async fn evaluate(&self, request: &Evaluate) -> Result<Evaluation> {
        let weights = self.network.weights(request.weights.clone(), &self.device).map_err(tensor_error)?;
        let validation = &self.examples.validation;
        let mut evaluation = Evaluation { images: validation.len() as u64, loss: 0.0 };
        let lists: Vec<_> = validation.chunks(self.parameters.batch_images).map(<[usize]>::to_vec).collect();
        let count = lists.len();
        let mut images = self.examples.read(lists);
        for _ in 0..count {
            let batch = images.next().await?;
            check()?;
            let outputs = self.network.compute(&weights, self.input(&batch)).map_err(tensor_error)?;
            evaluation.loss += self.loss(&outputs, &batch).0 * batch.len() as f64;
        }
        Ok(evaluation)
    }

    /// A batch as the network takes it.
    fn input(&self, batch: &[Example]) -> Batch {
        let side = self.parameters.side;
        let mut values = Vec::with_capacity(batch.len() * side * side * INPUTS);
        batch.iter().for_each(|example| {
            values.extend(example.pixels.iter().map(|value| f32::from(*value) / 65535.0))
        });
        Batch { dimensions: [batch.len(), side, side, INPUTS], values }
    }

    /// The loss of a batch, and its gradient by the network's outputs.
    fn loss(&self, outputs: &Outputs, batch: &[Example]) -> (f64, Outputs) {
        let mut wanted: Vec<Vec<Option<Target>>> = vec![Vec::new(); STRIDES.len()];
        for example in batch {
            let of_image = targets(&example.objects, self.parameters.side);
            wanted.iter_mut().zip(of_image).for_each(|(all, one)| all.extend(one));
        }
        let grids: Vec<Grid<'_>> = outputs
            .grids
            .iter()
            .zip(&wanted)
            .zip(STRIDES)
            .map(|((outputs, targets), stride)| Grid { stride, outputs, targets })
            .collect();
        let (loss, by_grid) = locations(&grids, self.network.extents().classes);
        let truths: Vec<ImageTruth> = batch.iter().map(Example::truth).collect();
        let (of_images, by_image) = images(&outputs.image, &truths, IMAGE_WEIGHT);
        (loss.total() + of_images, Outputs { grids: by_grid, image: by_image })
    }

    /// The loss of a batch and its gradient by the weights.
    fn gradient(&self, weights: &[f32], batch: &[Example]) -> Result<(f64, Vec<f32>)> {
        let weights = self.network.weights(weights.to_vec(), &self.device).map_err(tensor_error)?;
        let loss = |outputs: &Outputs| self.loss(outputs, batch);
        self.network.gradient(&weights, self.input(batch), loss).map_err(tensor_error)
    }
}

/// An error of candle.
pub(crate) fn tensor_error(error: candle_core::Error) -> Error {
    Error::internal("X-ray detector: compute on tensors").with_source(error)
}

#[async_trait::async_trait]
impl Shard for DetectorShard {
    fn restore(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn contribute(&mut self, instruction: &[u8], merged: &mut Option<Contribution>) -> Result<()> {
        futures::executor::block_on(self.contribute_async(instruction, merged))
    }

    async fn contribute_async(
        &mut self,
        instruction: &[u8],
        merged: &mut Option<Contribution>,
    ) -> Result<()> {
        let request = Instruction::decode(instruction)?.request;
        let answer =
            match request.ok_or_else(|| Error::corrupt("an instruction to an X-ray shard is empty"))? {
                Request::Count(_) => self.count().encode_to_vec(),
                Request::Train(steps) => {
                    let answer = self.train(steps).await?;
                    return answer.contribution(self.index, Bytes::new()).merge_onto(merged);
                }
                Request::Evaluate(evaluate) => self.evaluate(&evaluate).await?.encode_to_vec(),
            };
        Contribution::Gather(vec![(self.index, Bytes::from(answer))]).merge_onto(merged)
    }
}

#[cfg(test)]
mod tests {
    use parquet::arrow::ArrowWriter;
    use tidewaiter_archive::Archive;
    use tidewaiter_collective::{Leader, fit::give};
    use tidewaiter_core::disk::{self, Disk};
    use tidewaiter_learning::local_sgd::Trained;

    use super::*;
    use crate::{
        boxes::Rectangle,
        features::squares::{Part, Square, rows, schema},
        fit::leader::DetectorLeader,
        metrics::average_precision::Object,
    };

    const SIDE: usize = 32;

    /// Some training images, every third with an object, and two validation images.
    fn squares() -> Vec<Square> {
        let square = |number: usize| {
            let rectangle = Rectangle { left: 4.0, top: 4.0, width: 12.0, height: 10.0 };
            let object = Object { rectangle, class: 0, is_crowd: false };
            let pixels = (0..SIDE * SIDE * INPUTS).map(|at| (mix((at ^ number << 20) as u64) >> 48) as u16);
            let objects = if number.is_multiple_of(3) { vec![object] } else { Vec::new() };
            let part = if number < 7 { Part::Training } else { Part::Validation };
            let example = Example { pixels: pixels.collect(), objects, section: None };
            Square { image: format!("image-{number}"), tile: 0, part: part.number(), example }
        };
        (0..9).map(square).collect()
    }

    /// The examples of files with these squares.
    async fn loaded(archive: &Archive, disk: &Disk, files: &[Vec<Square>]) -> Examples {
        let mut names = Vec::new();
        for squares in files {
            let mut writer = ArrowWriter::try_new(Vec::new(), schema(), None).expect("a writer");
            writer.write(&rows(squares).expect("rows")).expect("writes");
            names.push(format!("squares/{}-{}.parquet", files.len(), names.len()));
            let bytes = writer.into_inner().expect("closes");
            archive.put(&names[names.len() - 1], bytes).await.expect("written");
        }
        disk::within(disk.clone(), Examples::load(archive, &names, SIDE)).await.expect("loads")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn images_on_disk_train_and_are_evaluated_as_those_in_memory() {
        let archive = Archive::open("memory://xray-shard").expect("opens");
        let disk = Disk::of_task(&datafusion::execution::TaskContext::default());
        let parameters = Parameters {
            side: SIDE,
            width: 8,
            epochs: 2,
            batch_images: 3,
            projection: 0.6,
            ..Parameters::default()
        };
        let extents = parameters.extents(1, 0);
        let mut shuffled = squares();
        shuffled.reverse();
        let parts = vec![shuffled.split_off(4), shuffled];
        let mut answers = Vec::new();
        for files in [vec![squares()], parts] {
            let examples = loaded(&archive, &disk, &files).await;
            assert_eq!(
                (examples.training.len(), examples.validation.len(), examples.with_objects),
                (7, 2, 3)
            );
            let mut shard = DetectorShard::new(5, parameters.clone(), extents, examples).expect("a shard");
            assert_eq!(disk.files(), 1);

            let training: Vec<Example> = squares().into_iter().take(7).map(|square| square.example).collect();
            let steps: Vec<Step> = (0..6).filter_map(|number| shard.step(number, 3)).collect();
            assert!(steps.iter().any(|step| step.images.iter().any(|draw| draw.donor.is_some())));
            let places = steps.iter().map(|step| step.places(&shard.examples.training)).collect();
            let mut read = shard.examples.read(places);
            for step in &steps {
                let batch = step.batch(&read.next().await.expect("reads"), SIDE).expect("a batch");
                let in_memory = step.images.iter().map(|draw| {
                    let donor = draw.donor.map(|donor| &training[donor]);
                    augmented(&training[draw.image], donor, SIDE, draw.seed)
                });
                assert!(batch == in_memory.collect::<Vec<_>>(), "step {}", step.number);
            }
            drop(read);

            let weights = Network::new(extents).begin(1);
            let trained = Trained::new(weights.clone());
            let train = Request::Train(TrainSteps { first: 2, steps: 2, per_epoch: 3, trained });
            for request in [train, Request::Evaluate(Evaluate { weights })] {
                let instruction = Instruction { request: Some(request) }.encode_to_vec();
                let mut merged = None;
                shard.contribute_async(&instruction, &mut merged).await.expect("answers");
                answers.push(merged.expect("an answer"));
            }
            drop(shard);
            // Who has read the last image may hold the file for a moment.
            while disk.files() > 0 {
                tokio::task::yield_now().await;
            }
        }
        assert!(answers[..2] == answers[2..], "the files do not matter");
    }

    /// Cargo of section 0, which is light, or of section 1, which is striped; a dark object lies in every third.
    fn cargo(number: usize) -> Square {
        let section = number / 3 % 2;
        let pixel = |at: usize| {
            let (x, y) = (at / INPUTS % SIDE, at / INPUTS / SIDE);
            let level = match (number.is_multiple_of(3), section) {
                (true, _) if (4..16).contains(&x) && (4..14).contains(&y) => 2_000,
                (_, 1) if y % 8 < 4 => 25_000,
                _ => 50_000,
            };
            level + (mix((at ^ number << 20) as u64) >> 52) as u16
        };
        let pixels = (0..SIDE * SIDE * INPUTS).map(pixel).collect();
        let rectangle = Rectangle { left: 4.0, top: 4.0, width: 12.0, height: 10.0 };
        let object = Object { rectangle, class: 0, is_crowd: false };
        let objects = if number.is_multiple_of(3) { vec![object] } else { Vec::new() };
        let part = if number < 36 { Part::Training } else { Part::Validation };
        let example = Example { pixels, objects, section: Some(section) };
        Square { image: format!("image-{number:02}"), tile: 0, part: part.number(), example }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_section_of_cargo_is_learned() {
        let archive = Archive::open("memory://xray-sections").expect("opens");
        let disk = Disk::of_task(&datafusion::execution::TaskContext::default());
        let parameters = Parameters {
            side: SIDE,
            width: 8,
            epochs: 30,
            batch_images: 4,
            learning_rate: 1e-3,
            ..Parameters::default()
        };
        let extents = parameters.extents(1, 2);
        let squares: Vec<Square> = (0..48).map(cargo).collect();
        let examples = loaded(&archive, &disk, std::slice::from_ref(&squares)).await;
        let mut shard = DetectorShard::new(0, parameters.clone(), extents, examples).expect("a shard");
        let mut leader = DetectorLeader::new(parameters, extents, 1, &[]).expect("a leader");
        while let Some(instruction) = leader.instruct().expect("instructs") {
            let mut merged = None;
            shard.contribute_async(&instruction, &mut merged).await.expect("answers");
            give(&mut leader, merged.expect("an answer")).expect("goes on");
        }
        let validation: Vec<Example> = squares.into_iter().skip(36).map(|square| square.example).collect();
        let weights = shard.network.weights(leader.weights().to_vec(), &Device::Cpu).expect("fit");
        let outputs = shard.network.compute(&weights, shard.input(&validation)).expect("computes");
        // An object hides what the cargo is made of.
        let (with, without): (Vec<_>, Vec<_>) = outputs
            .image
            .chunks_exact(3)
            .zip(&validation)
            .partition(|(_, example)| !example.objects.is_empty());
        for (logits, example) in &without {
            assert_eq!(Some(usize::from(logits[2] > logits[1])), example.section, "{:?}", outputs.image);
        }
        let least = with.iter().map(|(logits, _)| logits[0]).fold(f32::INFINITY, f32::min);
        assert!(without.iter().all(|(logits, _)| logits[0] < least), "{:?}", outputs.image);
    }
}
