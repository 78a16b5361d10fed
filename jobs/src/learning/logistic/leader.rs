//! The driver's side of the fit: what is asked of the shards, and what becomes of the answers.

use bytes::Bytes;
use prost::Message;

use super::{
    Edges, binning,
    descent::Objective,
    model::{Model, Scale},
    parameters::Parameters,
    shard::{LOSS_SCALE, MOST_ROWS, RESIDUAL_SCALE},
    wire::{Ask, Binning, Descent, History, Instruction, Measured, State, Summarise, Summary, Terms},
};
use crate::{
    Error, Result, ResultExt,
    learning::{Contribution, Leader, Progress},
};

/// A step that lowers the mean loss of a row by less ends the descent.
const TOLERANCE: f64 = 1e-8;

/// Leads a fit of logistic regression.
///
/// [`Leader::instruct`] reads the state and [`Leader::absorb`] alone changes it, so that an instruction can be
/// asked for again.
pub struct LogisticLeader {
    parameters: Parameters,
    state: State,
    /// The state's counts as the objective needs them; empty before they are known.
    curvature: Vec<f64>,
}

impl LogisticLeader {
    /// A fit that has not begun.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when a parameter is out of range.
    pub fn new(parameters: Parameters) -> Result<Self> {
        parameters.validate()?;
        let state = State { parameters: serde_json::to_string(&parameters)?, ..State::default() };
        Ok(Self { parameters, state, curvature: Vec::new() })
    }

    /// A fit that goes on from [`Leader::checkpoint`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when the bytes are no checkpoint of this kind of fit.
    pub fn restore(checkpoint: &[u8]) -> Result<Self> {
        let state = State::decode(checkpoint)?;
        let parameters: Parameters = serde_json::from_str(&state.parameters)
            .map_err(|error| Error::corrupt("logistic regression: no checkpoint").with_source(error))?;
        parameters.validate().context(|| "read a checkpoint of logistic regression")?;
        let mut leader = Self { parameters, state, curvature: Vec::new() };
        leader.weigh();
        Ok(leader)
    }

    /// The model of the best penalty so far.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Internal`] before the first penalty is done.
    pub fn model(&self) -> Result<Model> {
        let early = || Error::internal("logistic regression: the fit has no terms yet");
        let (binning, best) = self.state.binning.as_ref().zip(self.state.best.as_ref()).ok_or_else(early)?;
        let mut from = 0;
        let scales = binning.features.iter().map(|Edges { upper }| {
            let terms = from..from + upper.len() + 2;
            from = terms.end;
            Scale {
                upper: upper.clone(),
                rows: self.state.counts[terms.clone()].iter().map(|rows| *rows as u64).collect(),
                terms: best.values[terms].to_vec(),
            }
        });
        Ok(Model {
            scales: scales.collect(),
            intercept: best.values.last().copied().unwrap_or_default(),
            penalty: self.penalty(self.state.best_penalty),
        })
    }

    /// The mean log loss of the validation rows by the model; `None` without validation rows.
    pub fn validation_loss(&self) -> Option<f64> {
        self.state.best_loss.filter(|_| self.rows(2) > 0)
    }

    /// All training rows (0), the positive ones (1) or the validation rows (2).
    fn rows(&self, which: usize) -> i64 {
        let first = self.state.counts.len().saturating_sub(3);
        self.state.counts.get(first + which).copied().unwrap_or_default()
    }

    fn penalty(&self, place: u32) -> f64 {
        self.parameters.penalties.get(place as usize).copied().unwrap_or_default()
    }

    /// Sets the curvature of each term: its rows times the variance of an outcome.
    fn weigh(&mut self) {
        let (rows, positives) = (self.rows(0) as f64, self.rows(1) as f64);
        let variance = positives / rows * (1.0 - positives / rows);
        let terms = self.state.counts.len().saturating_sub(3);
        self.curvature = self.state.counts.iter().take(terms).map(|rows| *rows as f64 * variance).collect();
        self.curvature.push(rows * variance);
    }

    fn objective(&self) -> Objective<'_> {
        Objective {
            penalty: self.penalty(self.state.penalty),
            curvature: &self.curvature,
            tolerance: TOLERANCE * self.rows(0) as f64,
        }
    }

    fn absorb_summaries(&mut self, parts: &[(u32, Bytes)]) -> Result<()> {
        let summaries: Vec<Summary> =
            parts.iter().map(|(_, part)| Ok(Summary::decode(part.clone())?)).collect::<Result<_>>()?;
        let features = summaries.first().map_or(0, |summary| summary.features.len());
        if summaries.iter().any(|summary| summary.features.len() != features) {
            return Err(Error::input(
                "logistic regression: shards have different features; load all shards with one schema",
            ));
        }
        let edges = (0..features).map(|feature| {
            let merged = binning::merge(summaries.iter().map(|summary| &summary.features[feature]))?;
            Ok(binning::edges(&merged, self.parameters.bins as usize))
        });
        self.state.binning = Some(Binning { features: edges.collect::<Result<_>>()? });
        Ok(())
    }

    fn absorb_counts(&mut self, counts: Vec<i64>) -> Result<()> {
        self.state.counts = counts;
        let (rows, positives) = (self.rows(0), self.rows(1));
        if positives == 0 || positives == rows {
            return Err(Error::input(format!(
                "logistic regression: {positives} of {rows} training rows are positive; choose training months \
                 with both outcomes"
            )));
        }
        if rows + self.rows(2) > MOST_ROWS {
            return Err(Error::input(format!(
                "logistic regression: {rows} training rows are more than {MOST_ROWS}; train on fewer months"
            )));
        }
        self.weigh();
        let mut terms = vec![0.0; self.curvature.len()];
        if let Some(intercept) = terms.last_mut() {
            *intercept = (positives as f64 / (rows - positives) as f64).ln();
        }
        self.state.descent = Some(Descent::from(terms));
        Ok(())
    }

    fn absorb_measured(&mut self, sums: &[i64]) -> Result<()> {
        let unexpected = || Error::internal("logistic regression: an answer of another length");
        let Some(mut descent) = self.state.descent.take() else { return Err(unexpected()) };
        let Some((gradient, [loss, validation])) = sums.split_at_checked(descent.at.len()) else {
            return Err(unexpected());
        };
        let measured = Measured {
            loss: *loss as f64 / LOSS_SCALE,
            gradient: gradient.iter().map(|sum| *sum as f64 / RESIDUAL_SCALE).collect(),
            validation_loss: *validation as f64 / LOSS_SCALE,
        };
        self.state.rounds += 1;
        let mut ended = descent.absorb(measured, &self.objective());
        // A weaker penalty may be at its end where the one before was.
        while !self.state.finished && (ended || self.state.rounds >= self.parameters.most_rounds) {
            self.keep(&descent);
            ended = !self.state.finished && descent.turn_to(&self.objective());
        }
        self.state.descent = Some(descent);
        Ok(())
    }

    /// Ends a penalty: keeps its terms where they are the best, and goes on to the next while that may help.
    fn keep(&mut self, descent: &Descent) {
        let validation = self.rows(2);
        let loss = descent.measured.as_ref().map_or(0.0, |measured| measured.validation_loss);
        let loss = loss / (validation.max(1) as f64);
        let better = self.state.best_loss.is_none_or(|best| loss < best);
        if better {
            self.state.best_loss = Some(loss);
            self.state.best = Some(Terms { values: descent.at.clone() });
            self.state.best_penalty = self.state.penalty;
        }
        self.state.penalty += 1;
        self.state.rounds = 0;
        let tried = self.state.penalty as usize >= self.parameters.penalties.len();
        // Past the best the loss rises on: a weaker penalty fits the training rows more closely still.
        self.state.finished = tried || validation == 0 || !better;
    }
}

impl Leader for LogisticLeader {
    fn instruct(&mut self) -> Result<Option<Bytes>> {
        let ask = match (&self.state.binning, &self.state.descent) {
            _ if self.state.finished => return Ok(None),
            (None, _) => Ask::Summarise(Summarise {}),
            (Some(binning), None) => Ask::Bin(binning.clone()),
            (Some(_), Some(descent)) => Ask::Evaluate(Terms { values: descent.trial() }),
        };
        Ok(Some(Bytes::from(Instruction { ask: Some(ask) }.encode_to_vec())))
    }

    fn absorb(&mut self, contribution: Contribution) -> Result<()> {
        match contribution {
            Contribution::Gather(parts) if self.state.binning.is_none() => self.absorb_summaries(&parts),
            Contribution::Sum(counts) if self.state.binning.is_some() && self.state.descent.is_none() => {
                self.absorb_counts(counts)
            }
            Contribution::Sum(sums) if self.state.descent.is_some() => self.absorb_measured(&sums),
            _ => Err(Error::internal(
                "logistic regression: the shards answered another question than was asked",
            )),
        }
    }

    fn checkpoint(&self) -> Result<Bytes> {
        Ok(Bytes::from(self.state.encode_to_vec()))
    }

    fn history(&self) -> Result<Bytes> {
        // Before the shards have answered to the binning, the instruction itself carries it.
        let binning = self.state.descent.is_some().then(|| self.state.binning.clone()).flatten();
        Ok(Bytes::from(History { binning }.encode_to_vec()))
    }

    fn at_milestone(&self) -> bool {
        self.state.descent.is_some()
    }

    fn progress(&self) -> Progress {
        let done = u64::from(self.state.penalty);
        let note = self
            .validation_loss()
            .map(|loss| {
                let penalty = self.penalty(self.state.best_penalty);
                format!("validation log loss {loss:.6} with the penalty {penalty}")
            })
            .unwrap_or_default();
        let total = if self.state.finished { done } else { self.parameters.penalties.len() as u64 };
        Progress { done, total, note }
    }
}
