//! The driver's side of the fit: counts, rounds of steps, and a judgement after each epoch.

use bytes::Bytes;
use prost::Message;

use super::{
    Parameters,
    embedding::Table,
    model::DateModel,
    weights::Shape,
    wire::{
        Ask, Count, Counts, History, Instruction, Judge, Judged, Learned, Round, Setting, State, Tables,
        Train,
    },
};
use crate::{
    Error, Result,
    learning::{
        Contribution, Leader, Progress, gbdt,
        local_sgd::{Answer, Trained, answers},
    },
};

/// Names the model in errors.
const MODEL: &str = "DATE";

/// Leads a fit of the network over the leaves of a booster.
///
/// [`Leader::instruct`] reads the state and [`Leader::absorb`] alone changes it, so that an instruction can be
/// asked for again.
pub struct DateLeader {
    parameters: Parameters,
    booster: gbdt::Model,
    leaves: Vec<u32>,
    shape: Shape,
    setting: Option<Setting>,
    has_validation: bool,
    dense: Trained,
    importers: Table,
    codes: Table,
    /// The rows that the last round changed.
    changed: Tables,
    steps: u64,
    epochs: u32,
    best: Option<Learned>,
    last_loss: f64,
    last_precision: f64,
    finished: bool,
}

impl DateLeader {
    /// A fit that has not begun.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when a parameter is out of range or the booster has no tree.
    pub fn new(parameters: Parameters, booster: gbdt::Model) -> Result<Self> {
        parameters.validate()?;
        let leaves = leaves_of(&booster);
        if leaves.is_empty() {
            return Err(Error::input(
                "DATE: the booster found nothing to split, so that there are no leaves; give more training rows",
            ));
        }
        let shape = Shape::new(leaves.len(), leaves.iter().sum::<u32>() as usize);
        Ok(Self {
            importers: Table::new(parameters.importers()),
            codes: Table::new(parameters.codes()),
            parameters,
            booster,
            leaves,
            shape,
            setting: None,
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

    /// A fit over the same booster that goes on from [`Leader::checkpoint`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when the bytes are no checkpoint of this kind of fit.
    pub fn restore(checkpoint: &[u8], booster: gbdt::Model) -> Result<Self> {
        let state = State::decode(checkpoint)?;
        let parameters: Parameters = serde_json::from_str(&state.parameters)?;
        let mut leader = Self::new(parameters, booster)?;
        let Tables { importers, codes } = state.tables;
        if state.leaves != leader.leaves
            || !state.dense.fits(leader.shape.weights())
            || !importers.fits(leader.parameters.importer_rows)
            || !codes.fits(leader.parameters.code_rows)
        {
            return Err(Error::corrupt("DATE: a checkpoint is not one of this fit"));
        }
        leader.importers = Table::from_rows(leader.parameters.importers(), &importers);
        leader.codes = Table::from_rows(leader.parameters.codes(), &codes);
        leader.setting = state.setting;
        leader.has_validation = state.has_validation;
        leader.dense = state.dense;
        (leader.steps, leader.epochs) = (state.steps, state.epochs);
        (leader.best, leader.last_loss, leader.finished) = (state.best, state.last_loss, state.finished);
        Ok(leader)
    }

    /// Leaves of each tree of the booster.
    pub fn leaves(&self) -> &[u32] {
        &self.leaves
    }

    /// The model of the epoch that was best on the validation rows, or of the last one without such rows.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Internal`] before the first epoch is over.
    pub fn model(&self) -> Result<DateModel> {
        let best = self.best.as_ref().ok_or_else(|| Error::internal("DATE: no epoch is over yet"))?;
        let setting = self.setting.unwrap_or_default();
        DateModel::new(&self.parameters, self.booster.clone(), best, setting.revenue_scale)
    }

    /// The mean log loss of the model on the validation rows; `None` without any.
    pub fn validation_loss(&self) -> Option<f64> {
        self.best.as_ref().filter(|_| self.has_validation).map(|best| best.log_loss)
    }

    fn absorb_counts(&mut self, counts: &[Counts]) -> Result<()> {
        let total = |count: fn(&Counts) -> u64| counts.iter().map(count).sum::<u64>();
        let (rows, positives) = (total(|part| part.training_rows), total(|part| part.training_positives));
        if positives == 0 || positives == rows {
            return Err(Error::input(format!(
                "DATE: {positives} of {rows} training rows are illicit; choose training months with both outcomes"
            )));
        }
        let judges = total(|part| part.validation_positives);
        self.has_validation = judges > 0 && judges < total(|part| part.validation_rows);
        self.setting = Some(Setting {
            steps_per_epoch: rows.div_ceil(u64::from(self.parameters.batch_rows)),
            revenue_scale: counts.iter().map(|part| part.largest_revenue).fold(0.0, f32::max),
        });
        self.dense = Trained::new(self.shape.start(self.parameters.seed, positives as f64 / rows as f64));
        Ok(())
    }

    fn absorb_trained(&mut self, rounds: &[Round], steps: u32) -> Result<()> {
        let fits = |round: &Round| {
            round.tables.importers.fits(self.parameters.importer_rows)
                && round.tables.codes.fits(self.parameters.code_rows)
        };
        if !rounds.iter().all(fits) {
            return Err(Error::internal("DATE: a shard's answer does not fit the tables"));
        }
        let answers: Vec<&Answer> = rounds.iter().map(|round| &round.dense).collect();
        let loss = self.dense.average(&answers, MODEL, "learning_rate or embedding_rate")?;
        self.last_loss = loss.unwrap_or(self.last_loss);
        let importers: Vec<_> = rounds.iter().map(|round| &round.tables.importers).collect();
        let codes: Vec<_> = rounds.iter().map(|round| &round.tables.codes).collect();
        self.changed =
            Tables { importers: self.importers.merge(&importers), codes: self.codes.merge(&codes) };
        self.steps += u64::from(steps);
        Ok(())
    }

    fn absorb_judged(&mut self, judged: &[Judged]) -> Result<()> {
        let sum = |of: fn(&Judged) -> &Vec<u64>| {
            let mut total = vec![0; super::shard::SCORES];
            for part in judged {
                for (total, count) in total.iter_mut().zip(of(part)) {
                    *total += count;
                }
            }
            total
        };
        self.epochs += 1;
        let (positives, negatives) = (sum(|part| &part.positives), sum(|part| &part.negatives));
        self.last_precision = average_precision(&positives, &negatives);
        let rows: u64 = positives.iter().chain(&negatives).sum();
        let better = self.best.as_ref().is_none_or(|best| self.last_precision > best.average_precision);
        if better || !self.has_validation {
            let (predicted, revenue) =
                judged.iter().fold((0.0, 0.0), |sums, part| (sums.0 + part.predicted, sums.1 + part.revenue));
            self.best = Some(Learned {
                weights: self.dense.weights.clone(),
                tables: self.tables(false),
                revenue_factor: if predicted > 0.0 && revenue > 0.0 { revenue / predicted } else { 1.0 },
                average_precision: self.last_precision,
                log_loss: judged.iter().map(|part| part.loss).sum::<f64>() / rows.max(1) as f64,
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

    fn tables(&self, squares: bool) -> Tables {
        Tables { importers: self.importers.to_rows(squares), codes: self.codes.to_rows(squares) }
    }

    /// Most passes over the rows, once these are counted.
    fn most_epochs(&self) -> u32 {
        let steps = self.setting.map_or(1, |setting| setting.steps_per_epoch.max(1));
        let fewest = u64::from(self.parameters.least_steps).div_ceil(steps);
        self.parameters.epochs.max(u32::try_from(fewest).unwrap_or(u32::MAX))
    }

    /// What comes next, once the rows are counted: so many steps, or a judgement when there are none.
    fn next_steps(&self, setting: Setting) -> u32 {
        let end = (u64::from(self.epochs) + 1) * setting.steps_per_epoch;
        (end - self.steps).min(u64::from(self.parameters.steps_between_averages)) as u32
    }
}

/// Leaves of each tree of a booster that has split at all.
pub(super) fn leaves_of(booster: &gbdt::Model) -> Vec<u32> {
    if booster.trees.iter().all(|tree| tree.features.is_empty()) {
        return Vec::new();
    }
    booster.trees.iter().map(|tree| tree.leaf_values.len() as u32).collect()
}

/// Average precision of rows by rising score: the step sum over distinct scores.
fn average_precision(positives: &[u64], negatives: &[u64]) -> f64 {
    let all: u64 = positives.iter().sum();
    let (mut found, mut above, mut sum) = (0, 0, 0.0);
    for (hits, others) in positives.iter().zip(negatives).rev() {
        found += hits;
        above += hits + others;
        if *hits > 0 {
            sum += *hits as f64 * found as f64 / above as f64;
        }
    }
    if all == 0 { 0.0 } else { sum / all as f64 }
}

impl Leader for DateLeader {
    fn instruct(&mut self) -> Result<Option<Bytes>> {
        if self.finished {
            return Ok(None);
        }
        let ask = match self.setting {
            None => Ask::Count(Count {}),
            Some(setting) => match self.next_steps(setting) {
                0 => Ask::Judge(Judge {
                    setting,
                    weights: self.dense.weights.clone(),
                    tables: self.changed.clone(),
                }),
                steps => Ask::Train(Train {
                    setting,
                    first: self.steps,
                    steps,
                    dense: self.dense.clone(),
                    tables: self.changed.clone(),
                }),
            },
        };
        Ok(Some(Bytes::from(Instruction { ask: Some(ask) }.encode_to_vec())))
    }

    fn absorb(&mut self, contribution: Contribution) -> Result<()> {
        match self.setting {
            None => self.absorb_counts(&answers(&contribution, MODEL)?),
            Some(setting) => match self.next_steps(setting) {
                0 => self.absorb_judged(&answers(&contribution, MODEL)?),
                steps => self.absorb_trained(&answers(&contribution, MODEL)?, steps),
            },
        }
    }

    fn checkpoint(&self) -> Result<Bytes> {
        let state = State {
            parameters: serde_json::to_string(&self.parameters)?,
            leaves: self.leaves.clone(),
            setting: self.setting,
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
        Ok(Bytes::from(History { tables: self.tables(true) }.encode_to_vec()))
    }

    fn at_milestone(&self) -> bool {
        self.setting.is_some_and(|setting| self.steps == u64::from(self.epochs) * setting.steps_per_epoch)
    }

    fn progress(&self) -> Progress {
        let total = if self.finished { self.epochs } else { self.most_epochs() };
        let note = match self.best.as_ref().filter(|_| self.has_validation) {
            None => format!("loss {:.5}", self.last_loss),
            Some(best) => format!(
                "loss {:.5}, validation average precision {:.4} (best {:.4} after epoch {})",
                self.last_loss, self.last_precision, best.average_precision, best.epoch
            ),
        };
        Progress { done: u64::from(self.epochs), total: u64::from(total), note }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_precision_is_that_of_the_formula() {
        // From the top: positive, negative, a tie of one each.
        let precision = average_precision(&[1, 0, 1], &[1, 1, 0]);
        assert!((precision - (1.0 + 2.0 / 4.0) / 2.0).abs() < 1e-12);
        assert_eq!(average_precision(&[0, 0], &[3, 1]), 0.0);
    }
}
