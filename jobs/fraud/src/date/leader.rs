//! The leader of a fit: the rows are counted, then each epoch is some rounds of training steps and an evaluation.
//!
//! Start at [`DateLeader::new`] and [`Leader::instruct`].

use bytes::Bytes;
use prost::Message;
use tidewaiter_collective::{Contribution, Leader, Progress};
use tidewaiter_core::{Error, Result, statistics::average_precision};
use tidewaiter_learning::{
    gbdt,
    local_sgd::{Trained, answers},
};

use super::{
    embedding::LeaderTable,
    leaves::leaf_counts,
    model::DateModel,
    parameters::Parameters,
    weights::Shape,
    wire::{
        Checkpoint, CountRows, EpochResult, Evaluate, Evaluation, FitConstants, Instruction, RANKING_BINS,
        Request, RowCounts, Tables, TrainSteps, TrainedRows,
    },
};

/// The model's name in errors.
const MODEL: &str = "DATE";

/// Leads a fit of the network over the leaves of a booster.
///
/// Only [`Leader::fold`] and [`Leader::absorb`] change the state, so an instruction can be given again.
pub struct DateLeader {
    parameters: Parameters,
    booster: gbdt::Model,
    /// Leaves of each tree.
    leaf_counts: Vec<u32>,
    shape: Shape,
    /// Absent until the rows are counted.
    constants: Option<FitConstants>,
    has_validation: bool,
    dense: Trained,
    importers: LeaderTable,
    codes: LeaderTable,
    /// The table rows that the last round changed.
    changed: Tables,
    steps: u64,
    epochs: u32,
    best: Option<EpochResult>,
    last_loss: f64,
    last_precision: f64,
    finished: bool,
}

impl DateLeader {
    /// A fit that has not begun.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when a parameter is out of range or the booster has no tree.
    pub fn new(parameters: Parameters, booster: gbdt::Model) -> Result<Self> {
        parameters.validate()?;
        let leaf_counts = leaf_counts(&booster);
        if leaf_counts.is_empty() {
            return Err(Error::input(
                "DATE: the booster has no split, so that there are no leaves; give more training rows",
            ));
        }
        let shape = Shape::of_trees(&leaf_counts);
        Ok(Self {
            importers: LeaderTable::new(parameters.importers()),
            codes: LeaderTable::new(parameters.codes()),
            parameters,
            booster,
            leaf_counts,
            shape,
            constants: None,
            has_validation: false,
            dense: Trained::default(),
            changed: Tables::default(),
            steps: 0,
            epochs: 0,
            best: None,
            last_loss: 0.0,
            last_precision: 0.0,
            finished: false,
        })
    }

    /// Continues a fit over the same booster from [`Leader::checkpoint`].
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when the bytes are no checkpoint of this kind of fit.
    pub fn restore(checkpoint: &[u8], booster: gbdt::Model) -> Result<Self> {
        let state = Checkpoint::decode(checkpoint)?;
        let parameters: Parameters = serde_json::from_str(&state.parameters)?;
        let mut leader = Self::new(parameters, booster)?;
        let Tables { importers, codes } = state.tables;
        if state.leaf_counts != leader.leaf_counts
            || !state.dense.fits(leader.shape.weights())
            || !importers.fits(leader.parameters.importer_rows)
            || !codes.fits(leader.parameters.code_rows)
        {
            return Err(Error::corrupt("DATE: a checkpoint is not one of this fit"));
        }
        leader.importers = LeaderTable::from_rows(leader.parameters.importers(), &importers);
        leader.codes = LeaderTable::from_rows(leader.parameters.codes(), &codes);
        leader.constants = state.constants;
        leader.has_validation = state.has_validation;
        leader.dense = state.dense;
        (leader.steps, leader.epochs) = (state.steps, state.epochs);
        (leader.best, leader.last_loss, leader.finished) = (state.best, state.last_loss, state.finished);
        Ok(leader)
    }

    /// Leaves of each tree of the booster.
    pub fn leaf_counts(&self) -> &[u32] {
        &self.leaf_counts
    }

    /// The model of the epoch with the best average precision on the validation rows; without validation rows of both
    /// outcomes, of the last epoch.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] before the first epoch is over.
    pub fn model(&self) -> Result<DateModel> {
        let best = self.best.as_ref().ok_or_else(|| Error::internal("DATE: no epoch is over yet"))?;
        let constants = self.constants.unwrap_or_default();
        DateModel::new(&self.parameters, self.booster.clone(), best, constants.revenue_scale)
    }

    /// The mean log loss of the model on the validation rows; `None` without any.
    pub fn validation_loss(&self) -> Option<f64> {
        self.best.as_ref().filter(|_| self.has_validation).map(|best| best.log_loss)
    }

    fn absorb_counts(&mut self, counts: &[RowCounts]) -> Result<()> {
        let total = |count: fn(&RowCounts) -> u64| counts.iter().map(count).sum::<u64>();
        let (rows, positives) = (total(|part| part.training_rows), total(|part| part.training_positives));
        if positives == 0 || positives == rows {
            return Err(Error::input(format!(
                "DATE: {positives} of {rows} training rows are illicit; choose training months with both outcomes"
            )));
        }
        let illicit = total(|part| part.validation_positives);
        self.has_validation = illicit > 0 && illicit < total(|part| part.validation_rows);
        self.constants = Some(FitConstants {
            steps_per_epoch: rows.div_ceil(u64::from(self.parameters.batch_rows)),
            revenue_scale: counts.iter().map(|part| part.largest_revenue).fold(0.0, f32::max),
        });
        self.dense =
            Trained::new(self.shape.initial_weights(self.parameters.seed, positives as f64 / rows as f64));
        Ok(())
    }

    fn absorb_steps(&mut self, contribution: &Contribution, steps: u32) -> Result<()> {
        let (loss, notes) = self.dense.averaged(contribution, MODEL, "learning_rate or embedding_rate")?;
        let tables: Vec<Tables> =
            notes.into_iter().map(|note| Ok(Tables::decode(note)?)).collect::<Result<_>>()?;
        let fits = |tables: &Tables| {
            tables.importers.fits(self.parameters.importer_rows)
                && tables.codes.fits(self.parameters.code_rows)
        };
        if !tables.iter().all(fits) {
            return Err(Error::internal("DATE: a shard's answer does not fit the tables"));
        }
        self.last_loss = loss.unwrap_or(self.last_loss);
        let importers: Vec<_> = tables.iter().map(|tables| &tables.importers).collect();
        let codes: Vec<_> = tables.iter().map(|tables| &tables.codes).collect();
        self.changed =
            Tables { importers: self.importers.merge(&importers), codes: self.codes.merge(&codes) };
        self.steps += u64::from(steps);
        Ok(())
    }

    fn absorb_evaluation(&mut self, evaluations: &[Evaluation]) -> Result<()> {
        let sum = |of: fn(&Evaluation) -> &Vec<u64>| {
            let mut total = vec![0; RANKING_BINS];
            for part in evaluations {
                for (total, count) in total.iter_mut().zip(of(part)) {
                    *total += count;
                }
            }
            total
        };
        self.epochs += 1;
        let (positives, negatives) = (sum(|part| &part.positives), sum(|part| &part.negatives));
        let from_highest = positives.iter().zip(&negatives).rev();
        let groups = from_highest.map(|(positives, negatives)| (*positives, positives + negatives));
        self.last_precision = average_precision(groups).unwrap_or(0.0);
        let rows: u64 = positives.iter().chain(&negatives).sum();
        let better = self.best.as_ref().is_none_or(|best| self.last_precision > best.average_precision);
        if better || !self.has_validation {
            let (predicted, revenue) = evaluations
                .iter()
                .fold((0.0, 0.0), |sums, part| (sums.0 + part.predicted, sums.1 + part.revenue));
            self.best = Some(EpochResult {
                weights: self.dense.weights.clone(),
                tables: self.tables(false),
                revenue_factor: if predicted > 0.0 && revenue > 0.0 { revenue / predicted } else { 1.0 },
                average_precision: self.last_precision,
                log_loss: evaluations.iter().map(|part| part.loss).sum::<f64>() / rows.max(1) as f64,
                epoch: self.epochs,
            });
        }
        let best = self.best.as_ref().map_or(0, |best| best.epoch);
        let patience = u64::from(best) + u64::from(self.parameters.patience);
        self.finished = self.epochs >= self.most_epochs()
            || (self.has_validation
                && u64::from(self.epochs) >= patience
                && self.steps >= u64::from(self.parameters.least_steps));
        Ok(())
    }

    /// The trained rows of both tables, with their sums of squares where `squares` is set.
    fn tables(&self, squares: bool) -> Tables {
        Tables { importers: self.importers.to_rows(squares), codes: self.codes.to_rows(squares) }
    }

    /// Most epochs, known once the rows are counted.
    fn most_epochs(&self) -> u32 {
        let steps = self.constants.map_or(1, |constants| constants.steps_per_epoch.max(1));
        let fewest = u64::from(self.parameters.least_steps).div_ceil(steps);
        self.parameters.epochs.max(u32::try_from(fewest).unwrap_or(u32::MAX))
    }

    /// Steps of the next round, once the rows are counted; 0: an evaluation is next.
    fn next_steps(&self, constants: FitConstants) -> u32 {
        let end = (u64::from(self.epochs) + 1) * constants.steps_per_epoch;
        (end - self.steps).min(u64::from(self.parameters.steps_between_averages)) as u32
    }
}

impl Leader for DateLeader {
    fn instruct(&mut self) -> Result<Option<Bytes>> {
        if self.finished {
            return Ok(None);
        }
        let request = match self.constants {
            None => Request::Count(CountRows {}),
            Some(constants) => match self.next_steps(constants) {
                0 => Request::Evaluate(Evaluate {
                    constants,
                    weights: self.dense.weights.clone(),
                    tables: self.changed.clone(),
                }),
                steps => Request::Train(TrainSteps {
                    constants,
                    first: self.steps,
                    steps,
                    dense: self.dense.clone(),
                    tables: self.changed.clone(),
                }),
            },
        };
        Ok(Some(Bytes::from(Instruction { request: Some(request) }.encode_to_vec())))
    }

    fn absorb(&mut self, contribution: Contribution) -> Result<()> {
        match self.constants {
            None => self.absorb_counts(&answers(&contribution, MODEL)?),
            Some(constants) => match self.next_steps(constants) {
                0 => self.absorb_evaluation(&answers(&contribution, MODEL)?),
                steps => self.absorb_steps(&contribution, steps),
            },
        }
    }

    fn fold(&mut self, first: usize, mean: &[f32]) -> Result<()> {
        self.dense.fold(first, mean, MODEL)
    }

    fn checkpoint(&self) -> Result<Bytes> {
        let state = Checkpoint {
            parameters: serde_json::to_string(&self.parameters)?,
            leaf_counts: self.leaf_counts.clone(),
            constants: self.constants,
            dense: self.dense.clone(),
            tables: self.tables(true),
            steps: self.steps,
            epochs: self.epochs,
            best: self.best.clone(),
            finished: self.finished,
            has_validation: self.has_validation,
            last_loss: self.last_loss,
        };
        Ok(Bytes::from(state.encode_to_vec()))
    }

    fn history(&self) -> Result<Bytes> {
        Ok(Bytes::from(TrainedRows { tables: self.tables(true) }.encode_to_vec()))
    }

    fn at_milestone(&self) -> bool {
        self.constants
            .is_some_and(|constants| self.steps == u64::from(self.epochs) * constants.steps_per_epoch)
    }

    fn progress(&self) -> Progress {
        // Steps and not epochs, of which one of a large archive takes minutes.
        let steps = self.constants.map_or(1, |constants| constants.steps_per_epoch.max(1));
        let total = if self.finished { self.steps } else { u64::from(self.most_epochs()) * steps };
        let note = match self.best.as_ref().filter(|_| self.has_validation) {
            None => format!("loss {:.5}", self.last_loss),
            Some(best) => format!(
                "loss {:.5}, validation average precision {:.4} (best {:.4} after epoch {})",
                self.last_loss, self.last_precision, best.average_precision, best.epoch
            ),
        };
        Progress { done: self.steps, total, note }
    }
}
