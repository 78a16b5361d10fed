//! A worker's side of the fit: rows as bins, and sums of their residuals by bin.
//!
//! Residuals and losses are rounded to integers before they are summed, so that sums do not depend on their order.

use bytes::Bytes;
use prost::Message;
use tidewaiter_collective::{Contribution, Shard};
use tidewaiter_core::{Error, Result};

use super::messages::{Binning, Candidates, Instruction, Request, ShardHistory, ShardSummary};
use crate::{
    binning::{self, BinEdges},
    rows::Rows,
    sigmoid::{probability, round},
};

/// The integer that a residual of 1 becomes.
pub(super) const RESIDUAL_SCALE: f64 = (1_u64 << 28) as f64;

/// The integer that a loss of 1 becomes.
pub(super) const LOSS_SCALE: f64 = (1_u64 << 32) as f64;

/// The most that a row's loss can be, so that no sum of [`MOST_ROWS`] losses overflows.
const MOST_LOSS: f64 = 15.0;

/// The most rows of all shards together.
pub(super) const MOST_ROWS: i64 = (1 << 27) - 1;

/// How many rows are scored together, so that their scores stay in the first-level cache.
const BLOCK_ROWS: usize = 4096;

/// One shard of the training data, in memory.
pub struct LogisticShard {
    index: u32,
    training: RowSet,
    validation: RowSet,
    /// `None` before the features are binned.
    binning: Option<Binning>,
}

/// The training or the validation rows, column by column.
#[derive(Default)]
struct RowSet {
    positive: Vec<bool>,
    /// The features; dropped when they are binned.
    raw: Vec<Vec<f32>>,
    bins: Vec<Vec<u8>>,
}

impl RowSet {
    fn of(rows: &Rows, validation: bool) -> Self {
        let chosen = || (0..rows.labels.len()).filter(|row| rows.is_validation[*row] == validation);
        Self {
            positive: chosen().map(|row| rows.labels[row] == 1.0).collect(),
            raw: rows.features.iter().map(|column| chosen().map(|row| column[row]).collect()).collect(),
            bins: Vec::new(),
        }
    }

    fn bin(&mut self, binning: &Binning) {
        let raw = std::mem::take(&mut self.raw);
        self.bins = binning.features.iter().zip(raw).map(|(edges, column)| edges.bin_all(&column)).collect();
    }

    /// Scores the rows in blocks, and calls `visit` with the place of a block's first row and the block's log odds.
    fn for_each_block(&self, widths: &[usize], terms: &[f64], mut visit: impl FnMut(usize, &[f64])) {
        let intercept = terms.last().copied().unwrap_or_default();
        let mut scores = Vec::with_capacity(BLOCK_ROWS);
        for first in (0..self.positive.len()).step_by(BLOCK_ROWS) {
            let rows = first..self.positive.len().min(first + BLOCK_ROWS);
            scores.clear();
            scores.resize(rows.len(), intercept);
            let mut from = 0;
            for (column, width) in self.bins.iter().zip(widths) {
                let terms = &terms[from..from + width];
                from += width;
                for (score, bin) in scores.iter_mut().zip(&column[rows.clone()]) {
                    *score += terms[usize::from(*bin)];
                }
            }
            visit(first, &scores);
        }
    }

    /// The sum of a block's losses, as an integer.
    fn loss(&self, first: usize, scores: &[f64]) -> i64 {
        let loss = |(score, positive): (&f64, &bool)| {
            let margin = if *positive { *score } else { -score };
            // ln(1 + exp(-margin)) without overflow.
            let loss = (-margin.abs()).exp().ln_1p() + (-margin).max(0.0);
            (loss.min(MOST_LOSS) * LOSS_SCALE).round() as i64
        };
        scores.iter().zip(&self.positive[first..]).map(loss).sum()
    }
}

impl LogisticShard {
    /// A shard of the given number, counted from 0.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when there is no feature, the lengths differ or a label is neither 0 nor 1.
    pub fn new(index: u32, rows: &Rows) -> Result<Self> {
        let count = rows.labels.len();
        let even = rows.features.iter().all(|column| column.len() == count);
        if rows.features.is_empty() || !even || rows.is_validation.len() != count {
            return Err(Error::input(format!(
                "logistic regression: shard {index} needs one or more features with a value for each of its \
                 {count} labels, NaN where it is missing"
            )));
        }
        if let Some(label) = rows.labels.iter().find(|label| **label != 0.0 && **label != 1.0) {
            return Err(Error::input(format!(
                "logistic regression: a label of shard {index} is {label}; leave out rows whose label is neither \
                 0 nor 1"
            )));
        }
        let (training, validation) = (RowSet::of(rows, false), RowSet::of(rows, true));
        Ok(Self { index, training, validation, binning: None })
    }

    fn summarise(&self) -> Result<Contribution> {
        if self.binning.is_some() {
            return Err(Error::internal(
                "logistic regression: the shard is binned already; load it again to begin a new fit",
            ));
        }
        let columns = self.training.raw.iter();
        let features = columns.map(|column| binning::summarise(column.iter().copied())).collect();
        Ok(Contribution::Gather(vec![(self.index, Bytes::from(ShardSummary { features }.encode_to_vec()))]))
    }

    /// Counts values of the training rows.
    fn count(&self, candidates: &Candidates) -> Result<Contribution> {
        if candidates.features.len() != self.training.raw.len() {
            return Err(Error::internal(
                "logistic regression: a shard was asked to count other features than it has",
            ));
        }
        let columns = self.training.raw.iter().zip(&candidates.features);
        let counts = columns.flat_map(|(column, keys)| binning::count_keys(column.iter().copied(), keys));
        Ok(Contribution::Sum(counts.collect()))
    }

    fn bin(&mut self, binning: Binning) -> Result<()> {
        match &self.binning {
            Some(own) if *own == binning => return Ok(()),
            None if binning.features.len() == self.training.raw.len() => (),
            _ => {
                return Err(Error::internal(
                    "logistic regression: the shard has other features or bins; load it again",
                ));
            }
        }
        self.training.bin(&binning);
        self.validation.bin(&binning);
        self.binning = Some(binning);
        Ok(())
    }

    /// The number of terms of each feature.
    fn widths(&self) -> Result<Vec<usize>> {
        let binning = self.binning.as_ref().ok_or_else(|| {
            Error::internal("logistic regression: a shard was asked to score before it was restored")
        })?;
        Ok(binning.features.iter().map(BinEdges::bins).collect())
    }

    fn row_counts(&self) -> Result<Contribution> {
        let mut counts = Vec::new();
        for (column, width) in self.training.bins.iter().zip(self.widths()?) {
            let from = counts.len();
            counts.resize(from + width, 0);
            column.iter().for_each(|bin| counts[from + usize::from(*bin)] += 1);
        }
        let positives = self.training.positive.iter().filter(|positive| **positive).count();
        let others = [self.training.positive.len(), positives, self.validation.positive.len()];
        counts.extend(others.map(|count| count as i64));
        Ok(Contribution::Sum(counts))
    }

    fn evaluate(&self, terms: &[f64]) -> Result<Contribution> {
        let widths = self.widths()?;
        if terms.len() != widths.iter().sum::<usize>() + 1 {
            return Err(Error::internal("logistic regression: a shard was given other terms than its bins"));
        }
        let mut sums = vec![0_i64; terms.len() + 2];
        let (gradient, losses) = sums.split_at_mut(terms.len());
        let training = &self.training;
        let mut residuals = Vec::with_capacity(BLOCK_ROWS);
        training.for_each_block(&widths, terms, |first, scores| {
            losses[0] += training.loss(first, scores);
            residuals.clear();
            residuals.extend(scores.iter().zip(&training.positive[first..]).map(|(score, positive)| {
                let residual = probability(*score) - f64::from(u8::from(*positive));
                i64::from(round(residual * RESIDUAL_SCALE))
            }));
            let mut from = 0;
            for (column, width) in training.bins.iter().zip(&widths) {
                let sums = &mut gradient[from..from + width];
                from += width;
                for (residual, bin) in residuals.iter().zip(&column[first..]) {
                    sums[usize::from(*bin)] += residual;
                }
            }
            gradient[from] += residuals.iter().sum::<i64>();
        });
        let validation = &self.validation;
        validation
            .for_each_block(&widths, terms, |first, scores| losses[1] += validation.loss(first, scores));
        Ok(Contribution::Sum(sums))
    }
}

impl Shard for LogisticShard {
    fn restore(&mut self, history: &[u8]) -> Result<()> {
        ShardHistory::decode(history)?.binning.map_or(Ok(()), |binning| self.bin(binning))
    }

    fn contribute(&mut self, instruction: &[u8], merged: &mut Option<Contribution>) -> Result<()> {
        let request = Instruction::decode(instruction)?.request;
        let request =
            request.ok_or_else(|| Error::internal("logistic regression: an instruction has no request"))?;
        let answer = match request {
            Request::Summarise(_) => self.summarise()?,
            Request::Count(candidates) => self.count(&candidates)?,
            Request::Bin(binning) => {
                self.bin(binning)?;
                self.row_counts()?
            }
            Request::Evaluate(terms) => self.evaluate(&terms.values)?,
        };
        answer.merge_onto(merged)
    }
}
