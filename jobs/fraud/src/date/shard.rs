//! A shard of a fit: training steps on its own rows, and the evaluation of its validation rows.
//!
//! A shard keeps no change of its own steps: it undoes them after it has sent them, and the next instruction brings
//! the average of all shards. So an answer depends only on the shard's rows, the trained rows of the tables and the
//! instruction. Start at [`Shard::contribute`].

use bytes::Bytes;
use prost::Message;
use tidewaiter_collective::{Contribution, Shard};
use tidewaiter_core::{Error, Result, chance::mix, threads::check};
use tidewaiter_learning::local_sgd::Answer;
use tidewaiter_tensors::gpu;

use super::{
    batch::{Gradients, Predictor},
    embedding::{Adagrad, ShardTable, TableInit},
    graph::tensor_error,
    items::{Batch, Items, Targets, Vectors},
    optimiser::{LOOK_AHEAD_STEPS, look_ahead, radam},
    parameters::Parameters,
    weights::Shape,
    wire::{
        Evaluate, Evaluation, FitConstants, Instruction, RANKING_BINS, Request, RowCounts, Tables,
        TrainSteps, TrainedRows,
    },
};

/// When validation rows are ranked, log odds are clamped to this magnitude.
const MOST_LOGIT: f32 = 16.0;

/// The rows of a shard, training and validation rows, column by column.
#[derive(Debug, Clone, Default)]
pub struct ShardRows {
    /// By row and tree: the leaf that the row falls in, counted over all trees.
    pub leaves: Vec<u32>,
    /// Keys of the importers; 0 where not given.
    pub importers: Vec<u64>,
    /// Keys of the HS codes; 0 where not given.
    pub codes: Vec<u64>,
    /// Outcomes: 1 illicit, 0 not.
    pub labels: Vec<f32>,
    /// ln(1 + revenue that an inspection raised), national currency; NaN where not known.
    pub revenue: Vec<f32>,
    /// Which rows are for validation and not for training.
    pub is_validation: Vec<bool>,
}

/// One shard of the training data, in memory.
pub struct DateShard {
    index: u32,
    parameters: Parameters,
    shape: Shape,
    items: Items,
    labels: Vec<f32>,
    revenue: Vec<f32>,
    /// `revenue` divided by `scale`, the fit's revenue scale once it is known.
    scaled: Vec<f32>,
    scale: Option<f32>,
    /// Indices of the training and of the validation rows.
    training: Vec<u32>,
    validation: Vec<u32>,
    importers: ShardTable,
    codes: ShardTable,
    gradients: Gradients,
    /// The training rows in the order of this epoch.
    order: Vec<u32>,
    epoch: Option<u64>,
}

impl DateShard {
    /// The shard with number `index`, over trees with these numbers of leaves.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when the columns do not fit each other or the trees.
    pub fn new(index: u32, parameters: Parameters, leaf_counts: &[u32], data: ShardRows) -> Result<Self> {
        let shape = Shape::of_trees(leaf_counts);
        let ShardRows { leaves, importers, codes, labels, revenue, is_validation } = data;
        let rows = labels.len();
        let lengths = [importers.len(), codes.len(), revenue.len(), is_validation.len()];
        if lengths.iter().any(|length| *length != rows)
            || leaves.len() != rows * shape.trees
            || leaves.iter().any(|leaf| *leaf as usize >= shape.leaves)
        {
            return Err(Error::internal(format!(
                "DATE: {rows} labels come with columns of {lengths:?} rows and {} leaves",
                leaves.len()
            )));
        }
        let table_of = |keys: &[u64], init: TableInit| {
            let rows: Vec<u32> = keys.iter().map(|key| init.row_of(*key)).collect();
            ShardTable::new(init, &rows)
        };
        let (importers, importer_places) = table_of(&importers, parameters.importers());
        let (codes, code_places) = table_of(&codes, parameters.codes());
        let (validation, training) = (0..rows as u32).partition(|row| is_validation[*row as usize]);
        Ok(Self {
            index,
            parameters,
            shape,
            items: Items { leaves, importers: importer_places, codes: code_places },
            labels,
            revenue,
            scaled: Vec::new(),
            scale: None,
            training,
            validation,
            importers,
            codes,
            gradients: match gpu()? {
                Some(device) => Gradients::on_device(leaf_counts, device),
                None => Gradients::new(shape),
            },
            order: Vec::new(),
            epoch: None,
        })
    }

    /// Counts the rows.
    fn count(&self) -> RowCounts {
        let positives =
            |rows: &[u32]| rows.iter().filter(|row| self.labels[**row as usize] > 0.5).count() as u64;
        let revenue = self.training.iter().map(|row| self.revenue[*row as usize]);
        RowCounts {
            training_rows: self.training.len() as u64,
            training_positives: positives(&self.training),
            validation_rows: self.validation.len() as u64,
            validation_positives: positives(&self.validation),
            largest_revenue: revenue.fold(0.0, f32::max),
        }
    }

    /// Takes the constants and the table rows of an instruction.
    fn update(&mut self, constants: FitConstants, tables: &Tables) -> Result<()> {
        self.update_tables(tables)?;
        let scale = constants.revenue_scale;
        if self.scale != Some(scale) {
            let share = |revenue: &f32| if scale > 0.0 { revenue / scale } else { f32::NAN };
            self.scaled = self.revenue.iter().map(share).collect();
            self.scale = Some(scale);
        }
        Ok(())
    }

    fn update_tables(&mut self, tables: &Tables) -> Result<()> {
        let Parameters { importer_rows, code_rows, .. } = self.parameters;
        if !tables.importers.fits(importer_rows) || !tables.codes.fits(code_rows) {
            return Err(Error::internal("DATE: rows of a table do not fit it"));
        }
        self.importers.set(&tables.importers);
        self.codes.set(&tables.codes);
        Ok(())
    }

    /// Shuffles the training rows once an epoch (Fisher and Yates).
    fn shuffle(&mut self, epoch: u64) {
        if self.epoch == Some(epoch) {
            return;
        }
        self.epoch = Some(epoch);
        self.order.clone_from(&self.training);
        let salt = mix(self.parameters.seed ^ mix(epoch ^ mix(u64::from(self.index))));
        for at in (1..self.order.len()).rev() {
            let other = (u128::from(mix(salt ^ at as u64)) * (at as u128 + 1)) >> 64;
            self.order.swap(at, other as usize);
        }
    }

    /// Makes training steps.
    fn train(&mut self, train: TrainSteps) -> Result<(Answer, Tables)> {
        self.update(train.constants, &train.tables)?;
        let mut dense = train.dense;
        if !dense.fits(self.shape.weights()) {
            return Err(Error::internal("DATE: weights do not fit the trees"));
        }
        let mut slow = dense.weights.clone();
        let (rate, decay) = (self.parameters.learning_rate as f32, self.parameters.weight_decay as f32);
        let (mut rows, mut loss) = (0, 0.0);
        let (mut importers, mut codes, mut sorted) = (Vec::new(), Vec::new(), Vec::new());
        for step in train.first..train.first + u64::from(train.steps) {
            check()?;
            let per_epoch = train.constants.steps_per_epoch.max(1);
            self.shuffle(step / per_epoch);
            let at = |step: u64| (self.order.len() as u64 * step / per_epoch) as usize;
            let batch = &self.order[at(step % per_epoch)..at(step % per_epoch + 1)];
            if !batch.is_empty() {
                self.choose_vectors(batch, step, &mut importers, &mut codes);
                let vectors = Vectors { importers: &self.importers.vectors, codes: &self.codes.vectors };
                let targets = Targets {
                    labels: &self.labels,
                    revenue: &self.scaled,
                    revenue_weight: self.parameters.revenue_weight as f32,
                };
                let batch_items =
                    Batch { leaves: &self.items.leaves, rows: batch, importers: &importers, codes: &codes };
                loss += self.gradients.compute(&dense.weights, vectors, batch_items, targets)?;
                rows += batch.len() as u64;
                radam(&mut dense, &self.gradients.weights, step + 1, rate, decay);
                let adagrad = Adagrad {
                    learning_rate: self.parameters.embedding_rate as f32,
                    decay,
                    scale: batch.len() as f32,
                };
                self.importers.step(adagrad, &importers, &self.gradients.importers, &mut sorted);
                self.codes.step(adagrad, &codes, &self.gradients.codes, &mut sorted);
            }
            if (step + 1 - train.first).is_multiple_of(u64::from(LOOK_AHEAD_STEPS))
                || step + 1 == train.first + u64::from(train.steps)
            {
                look_ahead(&mut slow, &mut dense.weights);
            }
        }
        let tables = Tables { importers: self.importers.take_changes(), codes: self.codes.take_changes() };
        Ok((Answer { rows, loss, trained: dense }, tables))
    }

    /// The indices of the embedding vectors of a batch's items; that of the zero vector for those that are hidden, by
    /// random choice.
    fn choose_vectors(&self, batch: &[u32], step: u64, importers: &mut Vec<u32>, codes: &mut Vec<u32>) {
        let hidden = (self.parameters.hidden_share * 2_f64.powi(32)) as u64;
        let salt = mix(self.parameters.seed ^ mix(step ^ mix(u64::from(self.index) << 32 | 1)));
        importers.clear();
        codes.clear();
        for row in batch {
            let random = mix(salt ^ u64::from(*row));
            let (importer, code) = (random >> 32 < hidden, random & 0xFFFF_FFFF < hidden);
            importers.push(if importer { 0 } else { self.items.importers[*row as usize] });
            codes.push(if code { 0 } else { self.items.codes[*row as usize] });
        }
    }

    /// Predicts for the validation rows.
    fn evaluate(&mut self, instruction: &Evaluate) -> Result<Evaluation> {
        self.update(instruction.constants, &instruction.tables)?;
        if instruction.weights.len() != self.shape.weights() {
            return Err(Error::internal("DATE: weights do not fit the trees"));
        }
        let trees = self.shape.trees;
        let of_validation = |row: &u32| &self.items.leaves[*row as usize * trees..][..trees];
        let items = Items {
            leaves: self.validation.iter().flat_map(of_validation).copied().collect(),
            importers: self
                .validation
                .iter()
                .map(|row| self.importers.prediction_index(self.items.importers[*row as usize]))
                .collect(),
            codes: self
                .validation
                .iter()
                .map(|row| self.codes.prediction_index(self.items.codes[*row as usize]))
                .collect(),
        };
        let vectors = Vectors { importers: &self.importers.vectors, codes: &self.codes.vectors };
        // On one thread, because other workers of the fit may share the processor.
        let outputs = match self.gradients.graph() {
            Some(graph) => graph.outputs(&instruction.weights, vectors, &items).map_err(tensor_error)?,
            None => Predictor::new(self.shape, &instruction.weights).outputs(
                &instruction.weights,
                vectors,
                &items,
                1,
            ),
        };
        let mut evaluation = Evaluation {
            positives: vec![0; RANKING_BINS],
            negatives: vec![0; RANKING_BINS],
            ..Evaluation::default()
        };
        for (row, output) in self.validation.iter().zip(outputs) {
            let row = *row as usize;
            let share = (output.logit.clamp(-MOST_LOGIT, MOST_LOGIT) + MOST_LOGIT) / (2.0 * MOST_LOGIT);
            let bin = ((share * RANKING_BINS as f32) as usize).min(RANKING_BINS - 1);
            let counts =
                if self.labels[row] > 0.5 { &mut evaluation.positives } else { &mut evaluation.negatives };
            counts[bin] += 1;
            let probability = output.probability();
            let of_label = if self.labels[row] > 0.5 { probability } else { 1.0 - probability };
            evaluation.loss -= f64::from(of_label.max(1e-15)).ln();
            if self.revenue[row].is_finite() {
                let predicted = output.revenue.max(0.0) * instruction.constants.revenue_scale;
                evaluation.predicted += f64::from(predicted).exp_m1();
                evaluation.revenue += f64::from(self.revenue[row]).exp_m1();
            }
        }
        Ok(evaluation)
    }
}

impl Shard for DateShard {
    fn restore(&mut self, history: &[u8]) -> Result<()> {
        self.update_tables(&TrainedRows::decode(history)?.tables)
    }

    fn contribute(&mut self, instruction: &[u8], merged: &mut Option<Contribution>) -> Result<()> {
        let answer = match Instruction::decode(instruction)?.request {
            Some(Request::Count(_)) => self.count().encode_to_vec(),
            Some(Request::Train(train)) => {
                let (answer, tables) = self.train(train)?;
                let note = Bytes::from(tables.encode_to_vec());
                return answer.contribution(self.index, note).merge_onto(merged);
            }
            Some(Request::Evaluate(evaluate)) => self.evaluate(&evaluate)?.encode_to_vec(),
            None => return Err(Error::internal("DATE: an instruction is empty")),
        };
        Contribution::Gather(vec![(self.index, Bytes::from(answer))]).merge_onto(merged)
    }
}
