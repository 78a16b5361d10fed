//! The driver's side of the fit: the instructions to the shards, and what their contributions change.

use bytes::Bytes;
use prost::Message;
use tidewaiter_collective::{Contribution, Leader, Progress};
use tidewaiter_core::{Error, Result, ResultExt};

use super::{
    lbfgs::Objective,
    messages::{
        Binning, Candidates, Evaluation, Instruction, Lbfgs, LeaderState, Request, ShardHistory,
        ShardSummary, Summarise, Terms,
    },
    model::{Model, Scale},
    parameters::Parameters,
    shard::{LOSS_SCALE, MOST_ROWS, RESIDUAL_SCALE},
};
use crate::binning::{self, BinEdges, Keys};

/// A penalty is done when a step lowers the mean loss of a row by less.
const TOLERANCE: f64 = 1e-8;

/// Leads a fit of logistic regression.
///
/// [`Leader::instruct`] only reads the state, and only [`Leader::absorb`] changes it, so that the same instruction can be
/// given again.
pub struct LogisticLeader {
    parameters: Parameters,
    state: LeaderState,
    /// The shards' summaries, while values are counted that they may lack.
    summarised: Option<Summarised>,
    /// See [`Objective::curvature`]; computed from the row counts, and empty before they are known.
    curvature: Vec<f64>,
}

/// The shards' summaries, and the values of each feature whose exact counts are needed besides.
struct Summarised {
    summaries: Vec<ShardSummary>,
    candidates: Candidates,
}

impl LogisticLeader {
    /// A fit that has not begun.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when a parameter is out of range.
    pub fn new(parameters: Parameters) -> Result<Self> {
        parameters.validate()?;
        let state = LeaderState { parameters: serde_json::to_string(&parameters)?, ..LeaderState::default() };
        Ok(Self { parameters, state, summarised: None, curvature: Vec::new() })
    }

    /// A fit that goes on from [`Leader::checkpoint`].
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when the bytes are no checkpoint of this kind of fit.
    pub fn restore(checkpoint: &[u8]) -> Result<Self> {
        let state = LeaderState::decode(checkpoint)?;
        let parameters: Parameters = serde_json::from_str(&state.parameters)
            .map_err(|error| Error::corrupt("logistic regression: no checkpoint").with_source(error))?;
        parameters.validate().context(|| "read a checkpoint of logistic regression")?;
        let mut leader = Self { parameters, state, summarised: None, curvature: Vec::new() };
        leader.set_curvature();
        Ok(leader)
    }

    /// The model of the best penalty so far.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] before the first penalty is done.
    pub fn model(&self) -> Result<Model> {
        let early = || Error::internal("logistic regression: the fit has no terms yet");
        let (binning, best) = self.state.binning.as_ref().zip(self.state.best.as_ref()).ok_or_else(early)?;
        let mut from = 0;
        let scales = binning.features.iter().map(|BinEdges { upper }| {
            let terms = from..from + upper.len() + 2;
            from = terms.end;
            Scale {
                upper: upper.clone(),
                rows: self.state.row_counts[terms.clone()].iter().map(|rows| *rows as u64).collect(),
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
        let first = self.state.row_counts.len().saturating_sub(3);
        self.state.row_counts.get(first + which).copied().unwrap_or_default()
    }

    fn penalty(&self, place: u32) -> f64 {
        self.parameters.penalties.get(place as usize).copied().unwrap_or_default()
    }

    /// Sets the curvature of each term: its number of rows times the variance of the label.
    fn set_curvature(&mut self) {
        let (rows, positives) = (self.rows(0) as f64, self.rows(1) as f64);
        let variance = positives / rows * (1.0 - positives / rows);
        let terms = self.state.row_counts.len().saturating_sub(3);
        self.curvature =
            self.state.row_counts.iter().take(terms).map(|rows| *rows as f64 * variance).collect();
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
        let summaries: Vec<ShardSummary> =
            parts.iter().map(|(_, part)| Ok(ShardSummary::decode(part.clone())?)).collect::<Result<_>>()?;
        let features = summaries.first().map_or(0, |summary| summary.features.len());
        if summaries.iter().any(|summary| summary.features.len() != features) {
            return Err(Error::input(
                "logistic regression: shards have different features; load all shards with one schema",
            ));
        }
        let candidates = (0..features)
            .map(|feature| binning::candidates(summaries.iter().map(|summary| &summary.features[feature])))
            .collect::<Result<Vec<Keys>>>()?;
        let summarised = Summarised { summaries, candidates: Candidates { features: candidates } };
        if summarised.candidates.features.iter().all(|keys| keys.keys.is_empty()) {
            return self.begin_binning(&summarised, &[]);
        }
        self.summarised = Some(summarised);
        Ok(())
    }

    /// Sets the bins; `counts` are those of the candidates, feature after feature.
    fn begin_binning(&mut self, summarised: &Summarised, mut counts: &[i64]) -> Result<()> {
        let Summarised { summaries, candidates } = summarised;
        let mut edges = Vec::with_capacity(candidates.features.len());
        for (feature, keys) in candidates.features.iter().enumerate() {
            let own = counts.split_off(..keys.keys.len()).unwrap_or_default();
            let merged =
                binning::merge(summaries.iter().map(|summary| &summary.features[feature]), keys, own)?;
            edges.push(binning::quantile_edges(&merged, self.parameters.bins as usize));
        }
        self.state.binning = Some(Binning { features: edges });
        Ok(())
    }

    fn absorb_counts(&mut self, counts: Vec<i64>) -> Result<()> {
        self.state.row_counts = counts;
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
        self.set_curvature();
        let mut terms = vec![0.0; self.curvature.len()];
        if let Some(intercept) = terms.last_mut() {
            *intercept = (positives as f64 / (rows - positives) as f64).ln();
        }
        self.state.minimiser = Some(Lbfgs::starting_at(terms));
        Ok(())
    }

    fn absorb_evaluation(&mut self, sums: &[i64]) -> Result<()> {
        let unexpected = || Error::internal("logistic regression: an answer of another length");
        let Some(mut minimiser) = self.state.minimiser.take() else { return Err(unexpected()) };
        let Some((gradient, [loss, validation])) = sums.split_at_checked(minimiser.point.len()) else {
            return Err(unexpected());
        };
        let evaluation = Evaluation {
            loss: *loss as f64 / LOSS_SCALE,
            gradient: gradient.iter().map(|sum| *sum as f64 / RESIDUAL_SCALE).collect(),
            validation_loss: *validation as f64 / LOSS_SCALE,
        };
        self.state.rounds += 1;
        let mut ended = minimiser.absorb(evaluation, &self.objective());
        // The minimum of one penalty may be that of the next one too.
        while !self.state.finished && (ended || self.state.rounds >= self.parameters.most_rounds) {
            self.finish_penalty(&minimiser);
            ended = !self.state.finished && minimiser.restart(&self.objective());
        }
        self.state.minimiser = Some(minimiser);
        Ok(())
    }

    /// Ends a penalty: keeps its terms if they are the best, and begins the next one while that may be better.
    fn finish_penalty(&mut self, minimiser: &Lbfgs) {
        let validation = self.rows(2);
        let loss = minimiser.evaluation.as_ref().map_or(0.0, |evaluation| evaluation.validation_loss);
        let loss = loss / (validation.max(1) as f64);
        let better = self.state.best_loss.is_none_or(|best| loss < best);
        if better {
            self.state.best_loss = Some(loss);
            self.state.best = Some(Terms { values: minimiser.point.clone() });
            self.state.best_penalty = self.state.penalty;
        }
        self.state.penalty += 1;
        self.state.rounds = 0;
        let all_tried = self.state.penalty as usize >= self.parameters.penalties.len();
        // After the best penalty the loss goes on rising: weaker ones overfit the training rows more.
        self.state.finished = all_tried || validation == 0 || !better;
    }
}

impl Leader for LogisticLeader {
    fn instruct(&mut self) -> Result<Option<Bytes>> {
        let request = match (&self.state.binning, &self.state.minimiser) {
            _ if self.state.finished => return Ok(None),
            (None, _) => match &self.summarised {
                None => Request::Summarise(Summarise {}),
                Some(summarised) => Request::Count(summarised.candidates.clone()),
            },
            (Some(binning), None) => Request::Bin(binning.clone()),
            (Some(_), Some(minimiser)) => Request::Evaluate(Terms { values: minimiser.trial() }),
        };
        Ok(Some(Bytes::from(Instruction { request: Some(request) }.encode_to_vec())))
    }

    fn absorb(&mut self, contribution: Contribution) -> Result<()> {
        let unexpected = || Error::internal("logistic regression: the shards answered another request");
        match contribution {
            Contribution::Gather(parts) if self.state.binning.is_none() => self.absorb_summaries(&parts),
            Contribution::Sum(counts) if self.state.binning.is_none() => match self.summarised.take() {
                Some(summarised) => self.begin_binning(&summarised, &counts),
                None => Err(unexpected()),
            },
            Contribution::Sum(counts) if self.state.binning.is_some() && self.state.minimiser.is_none() => {
                self.absorb_counts(counts)
            }
            Contribution::Sum(sums) if self.state.minimiser.is_some() => self.absorb_evaluation(&sums),
            _ => Err(unexpected()),
        }
    }

    fn checkpoint(&self) -> Result<Bytes> {
        Ok(Bytes::from(self.state.encode_to_vec()))
    }

    fn history(&self) -> Result<Bytes> {
        // Until the shards have answered to the binning, the instruction itself has it.
        let binning = self.state.minimiser.is_some().then(|| self.state.binning.clone()).flatten();
        Ok(Bytes::from(ShardHistory { binning }.encode_to_vec()))
    }

    fn at_milestone(&self) -> bool {
        self.state.minimiser.is_some()
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
