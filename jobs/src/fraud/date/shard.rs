//! A worker's side of the fit: steps on the shard's own rows, and scores of its validation rows.
//!
//! A shard keeps nothing of its own steps: what it sends is taken back, and the next instruction brings what all
//! shards came to. So an answer depends on the rows, the learned rows of the tables and the instruction alone.

use bytes::Bytes;
use prost::Message;

use super::{
    Parameters,
    batch::{Batch, Gradients, Items, Scorer, Vectors, Wanted},
    embedding::{Adagrad, Slice},
    optimiser::{LOOK_AHEAD_STEPS, look_ahead, radam},
    weights::Shape,
    wire::{Ask, Counts, History, Instruction, Judge, Judged, Round, Setting, Tables, Train},
};
use crate::{
    Error, Result,
    learning::{Contribution, Shard, device::gpu, local_sgd::Answer, mix},
};

/// Scores that are told apart when validation rows are ranked.
pub(super) const SCORES: usize = 1 << 14;
/// Log odds beyond this, either way, count as this much when rows are ranked.
const MOST_LOGIT: f32 = 16.0;

/// The rows of a shard, column by column.
#[derive(Debug, Clone, Default)]
pub struct Taught {
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
    /// Which rows only judge epochs.
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
    /// `revenue` as a share of the scale that it was made for.
    scaled: Vec<f32>,
    scale: Option<f32>,
    training: Vec<u32>,
    validation: Vec<u32>,
    importers: Slice,
    codes: Slice,
    gradients: Gradients,
    /// The training rows in the order of this epoch.
    order: Vec<u32>,
    epoch: Option<u64>,
}

impl DateShard {
    /// A shard of the given number, over trees with so many leaves each.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Internal`] when the columns do not fit each other or the trees.
    pub fn new(index: u32, parameters: Parameters, trees: &[u32], data: Taught) -> Result<Self> {
        let shape = Shape::new(trees.len(), trees.iter().sum::<u32>() as usize);
        let Taught { leaves, importers, codes, labels, revenue, is_validation } = data;
        let rows = labels.len();
        let lengths = [importers.len(), codes.len(), revenue.len(), is_validation.len()];
        if lengths.iter().any(|length| *length != rows)
            || leaves.len() != rows * shape.trees
            || leaves.iter().any(|leaf| *leaf as usize >= shape.leaves)
        {
            return Err(Error::internal(format!(
                "DATE: {rows} labels stand beside columns of {lengths:?} rows and {} leaves",
                leaves.len()
            )));
        }
        let rows_of = |keys: &[u64], start: super::embedding::Start| -> Vec<u32> {
            keys.iter().map(|key| start.row_of(*key)).collect()
        };
        let importers = rows_of(&importers, parameters.importers());
        let (importers, importer_places) = Slice::new(parameters.importers(), &importers);
        let codes = rows_of(&codes, parameters.codes());
        let (codes, code_places) = Slice::new(parameters.codes(), &codes);
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
                Some(device) => Gradients::on(trees, device),
                None => Gradients::new(shape),
            },
            order: Vec::new(),
            epoch: None,
        })
    }

    fn count(&self) -> Counts {
        let positives =
            |rows: &[u32]| rows.iter().filter(|row| self.labels[**row as usize] > 0.5).count() as u64;
        let revenue = self.training.iter().map(|row| self.revenue[*row as usize]);
        Counts {
            training_rows: self.training.len() as u64,
            training_positives: positives(&self.training),
            validation_rows: self.validation.len() as u64,
            validation_positives: positives(&self.validation),
            largest_revenue: revenue.fold(0.0, f32::max),
        }
    }

    fn set(&mut self, setting: Setting, tables: &Tables) -> Result<()> {
        let Parameters { importer_rows, code_rows, .. } = self.parameters;
        if !tables.importers.fits(importer_rows) || !tables.codes.fits(code_rows) {
            return Err(Error::internal("DATE: rows of a table do not fit it"));
        }
        self.importers.set(&tables.importers);
        self.codes.set(&tables.codes);
        let scale = setting.revenue_scale;
        if self.scale != Some(scale) {
            let share = |revenue: &f32| if scale > 0.0 { revenue / scale } else { f32::NAN };
            self.scaled = self.revenue.iter().map(share).collect();
            self.scale = Some(scale);
        }
        Ok(())
    }

    /// Orders the training rows anew for each epoch, by lot.
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

    fn train(&mut self, train: Train) -> Result<Round> {
        self.set(train.setting, &train.tables)?;
        let mut dense = train.dense;
        if !dense.fits(self.shape.weights()) {
            return Err(Error::internal("DATE: weights do not fit the trees"));
        }
        let mut slow = dense.weights.clone();
        let (rate, decay) = (self.parameters.learning_rate as f32, self.parameters.weight_decay as f32);
        let (mut rows, mut loss) = (0, 0.0);
        let (mut importers, mut codes, mut sorted) = (Vec::new(), Vec::new(), Vec::new());
        for step in train.first..train.first + u64::from(train.steps) {
            let per_epoch = train.setting.steps_per_epoch.max(1);
            self.shuffle(step / per_epoch);
            let at = |step: u64| (self.order.len() as u64 * step / per_epoch) as usize;
            let batch = &self.order[at(step % per_epoch)..at(step % per_epoch + 1)];
            if !batch.is_empty() {
                self.show(batch, step, &mut importers, &mut codes);
                let vectors = Vectors { importers: &self.importers.vectors, codes: &self.codes.vectors };
                let wanted = Wanted {
                    labels: &self.labels,
                    revenue: &self.scaled,
                    revenue_weight: self.parameters.revenue_weight as f32,
                };
                let shown =
                    Batch { leaves: &self.items.leaves, rows: batch, importers: &importers, codes: &codes };
                loss += self.gradients.compute(&dense.weights, vectors, shown, wanted)?;
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
        Ok(Round { dense: Answer { rows, loss, trained: dense }, tables })
    }

    /// The places of the vectors that a batch is shown with: some are hidden, by lot.
    fn show(&self, batch: &[u32], step: u64, importers: &mut Vec<u32>, codes: &mut Vec<u32>) {
        let hidden = (self.parameters.hidden_share * 2_f64.powi(32)) as u64;
        let salt = mix(self.parameters.seed ^ mix(step ^ mix(u64::from(self.index) << 32 | 1)));
        importers.clear();
        codes.clear();
        for row in batch {
            let lot = mix(salt ^ u64::from(*row));
            let (importer, code) = (lot >> 32 < hidden, lot & 0xFFFF_FFFF < hidden);
            importers.push(if importer { 0 } else { self.items.importers[*row as usize] });
            codes.push(if code { 0 } else { self.items.codes[*row as usize] });
        }
    }

    fn judge(&mut self, judge: &Judge) -> Result<Judged> {
        self.set(judge.setting, &judge.tables)?;
        if judge.weights.len() != self.shape.weights() {
            return Err(Error::internal("DATE: weights do not fit the trees"));
        }
        let trees = self.shape.trees;
        let of_validation = |row: &u32| &self.items.leaves[*row as usize * trees..][..trees];
        let items = Items {
            leaves: self.validation.iter().flat_map(of_validation).copied().collect(),
            importers: self
                .validation
                .iter()
                .map(|row| self.importers.in_use(self.items.importers[*row as usize]))
                .collect(),
            codes: self
                .validation
                .iter()
                .map(|row| self.codes.in_use(self.items.codes[*row as usize]))
                .collect(),
        };
        let vectors = Vectors { importers: &self.importers.vectors, codes: &self.codes.vectors };
        // The fit's other workers compute beside this one.
        let answers = match self.gradients.graph() {
            Some(graph) => graph.answers(&judge.weights, vectors, &items)?,
            None => Scorer::new(self.shape, &judge.weights).answers(&judge.weights, vectors, &items, 1),
        };
        let mut judged =
            Judged { positives: vec![0; SCORES], negatives: vec![0; SCORES], ..Judged::default() };
        for (row, answer) in self.validation.iter().zip(answers) {
            let row = *row as usize;
            let share = (answer.logit.clamp(-MOST_LOGIT, MOST_LOGIT) + MOST_LOGIT) / (2.0 * MOST_LOGIT);
            let score = ((share * SCORES as f32) as usize).min(SCORES - 1);
            let counts = if self.labels[row] > 0.5 { &mut judged.positives } else { &mut judged.negatives };
            counts[score] += 1;
            let probability = answer.probability();
            let given = if self.labels[row] > 0.5 { probability } else { 1.0 - probability };
            judged.loss -= f64::from(given.max(1e-15)).ln();
            if self.revenue[row].is_finite() {
                let predicted = answer.revenue.max(0.0) * judge.setting.revenue_scale;
                judged.predicted += f64::from(predicted).exp_m1();
                judged.revenue += f64::from(self.revenue[row]).exp_m1();
            }
        }
        Ok(judged)
    }
}

impl Shard for DateShard {
    fn restore(&mut self, history: &[u8]) -> Result<()> {
        let history = History::decode(history)?;
        let Parameters { importer_rows, code_rows, .. } = self.parameters;
        if !history.tables.importers.fits(importer_rows) || !history.tables.codes.fits(code_rows) {
            return Err(Error::internal("DATE: rows of a table do not fit it"));
        }
        self.importers.set(&history.tables.importers);
        self.codes.set(&history.tables.codes);
        Ok(())
    }

    fn contribute(&mut self, instruction: &[u8], merged: &mut Option<Contribution>) -> Result<()> {
        let answer = match Instruction::decode(instruction)?.ask {
            Some(Ask::Count(_)) => self.count().encode_to_vec(),
            Some(Ask::Train(train)) => self.train(train)?.encode_to_vec(),
            Some(Ask::Judge(judge)) => self.judge(&judge)?.encode_to_vec(),
            None => return Err(Error::internal("DATE: an instruction asks for nothing")),
        };
        Contribution::Gather(vec![(self.index, Bytes::from(answer))]).merge_onto(merged)
    }
}
