//! The driver's side of the fit: what is asked of the shards, and what becomes of the answers.

use bytes::Bytes;
use prost::Message;

use super::{
    binning,
    grow::{Growing, Next, Rules},
    mix,
    model::{Model, Tree},
    parameters::Parameters,
    shard::{LOSS_SCALE, MOST_ROWS, hessian_bits},
    wire::{Ask, Binning, Edges, Finish, Grow, History, Instruction, State, Summarise, Summary},
};
use crate::{
    Error, Result,
    learning::{Contribution, Leader, Progress},
};

/// Leads a fit of boosted trees.
///
/// [`Leader::instruct`] reads the state and [`Leader::absorb`] alone changes it, so that an instruction can be
/// asked for again. A checkpoint taken within a tree is that of the tree's beginning.
pub struct GbdtLeader {
    parameters: Parameters,
    state: State,
    growing: Growing,
}

impl GbdtLeader {
    /// A fit that has not begun.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when a parameter is out of range.
    pub fn new(parameters: Parameters) -> Result<Self> {
        parameters.validate()?;
        let (integers, reals) = parameters.to_lists();
        let state = State { integers, reals, ..State::default() };
        Ok(Self { parameters, state, growing: Growing::default() })
    }

    /// A fit that goes on from [`Leader::checkpoint`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when the bytes are no checkpoint of this kind of fit.
    pub fn restore(checkpoint: &[u8]) -> Result<Self> {
        let state = State::decode(checkpoint)?;
        let parameters = Parameters::from_lists(&state.integers, &state.reals)?;
        let features = state.binning.as_ref().map_or(0, |binning| binning.features.len());
        for tree in &state.trees {
            tree.check(features)?;
        }
        Ok(Self { parameters, state, growing: Growing::default() })
    }

    /// The model: the trees up to the one with the best validation loss, or all trees when there are no
    /// validation rows or early stopping is off.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Internal`] before the features are binned.
    pub fn model(&self) -> Result<Model> {
        let binning = self.binning()?;
        let kept = if self.stops_early() { self.state.best_trees as usize } else { self.state.trees.len() };
        Ok(Model {
            features: binning.features.len() as u32,
            base: binning.base,
            trees: self.state.trees.iter().take(kept).cloned().collect(),
        })
    }

    /// The mean weighted log loss of the validation rows after the trees of [`GbdtLeader::model`]; `None`
    /// without validation rows.
    pub fn validation_loss(&self) -> Option<f64> {
        (self.state.prepared && self.state.validation_weight > 0.0).then_some(if self.stops_early() {
            self.state.best_loss
        } else {
            self.state.loss
        })
    }

    fn stops_early(&self) -> bool {
        self.parameters.early_stopping_rounds > 0 && self.state.validation_weight > 0.0
    }

    fn binning(&self) -> Result<&Binning> {
        self.state
            .binning
            .as_ref()
            .ok_or_else(|| Error::internal("boosted trees: the fit has not binned its features yet"))
    }

    fn rules(&self) -> Result<Rules<'_>> {
        let binning = self.binning()?;
        let features = binning.features.len();
        let kept = (self.parameters.feature_fraction * features as f64).ceil() as usize;
        let mut allowed: Vec<usize> = (0..features).collect();
        if kept < features {
            let salt = mix(self.parameters.seed ^ mix(self.state.trees.len() as u64));
            allowed.sort_by_key(|feature| mix(salt ^ *feature as u64));
            allowed.truncate(kept);
            allowed.sort_unstable();
        }
        Ok(Rules::new(&self.parameters, binning, allowed))
    }

    fn absorb_summaries(&mut self, parts: &[(u32, Bytes)]) -> Result<()> {
        let summaries: Vec<Summary> =
            parts.iter().map(|(_, part)| Ok(Summary::decode(part.clone())?)).collect::<Result<_>>()?;
        let features = summaries.first().map_or(0, |summary| summary.features.len());
        if let Some(other) = summaries.iter().position(|summary| summary.features.len() != features) {
            return Err(Error::input(format!(
                "boosted trees: shard {} has {} features but shard {} has {features}; load all shards with \
                 one schema",
                parts[other].0,
                summaries[other].features.len(),
                parts[0].0
            )));
        }
        let total = |count: fn(&Summary) -> u64| summaries.iter().map(count).sum::<u64>();
        let rows = total(|summary| summary.training_rows);
        let positives = total(|summary| summary.training_positives);
        if positives == 0 || positives == rows {
            return Err(Error::input(format!(
                "boosted trees: {positives} of {rows} training rows are positive; choose training months with \
                 both outcomes"
            )));
        }
        let weight = self.parameters.positive_weight;
        let validation_positives = total(|summary| summary.validation_positives);
        let validation_negatives = total(|summary| summary.validation_rows) - validation_positives;
        self.state.validation_weight = validation_positives as f64 * weight + validation_negatives as f64;
        let edges = (0..features)
            .map(|feature| {
                let merged = binning::merge(summaries.iter().map(|summary| &summary.features[feature]))?;
                Ok(binning::edges(&merged, self.parameters.bins as usize))
            })
            .collect::<Result<Vec<Edges>>>()?;
        if rows > MOST_ROWS {
            return Err(Error::input(format!(
                "boosted trees: {rows} training rows are more than {MOST_ROWS}; train on fewer months"
            )));
        }
        self.state.binning = Some(Binning {
            features: edges,
            base: (positives as f64 * weight / (rows - positives) as f64).ln(),
            positive_weight: weight,
            hessian_bits: hessian_bits(rows),
            row_fraction: self.parameters.row_fraction,
            seed: self.parameters.seed,
        });
        Ok(())
    }

    fn absorb_loss(&mut self, sum: i64) {
        let scale = LOSS_SCALE / self.parameters.positive_weight.max(1.0);
        self.state.loss = sum as f64 / scale / self.state.validation_weight.max(f64::MIN_POSITIVE);
        let trees = self.state.trees.len() as u32;
        if !self.state.prepared || self.state.loss < self.state.best_loss {
            self.state.best_loss = self.state.loss;
            self.state.best_trees = trees;
        }
        self.state.prepared = true;
        let patience = u64::from(self.state.best_trees) + u64::from(self.parameters.early_stopping_rounds);
        self.state.finished =
            trees >= self.parameters.trees || (self.stops_early() && u64::from(trees) >= patience);
    }

    fn absorb_tree(&mut self, tree: Tree, sum: i64) {
        let stump = tree.features.is_empty();
        self.growing = Growing::default();
        self.state.trees.push(tree);
        self.absorb_loss(sum);
        // A tree on all rows and features that finds no split would be followed by its like for ever.
        let sampled = self.parameters.row_fraction < 1.0 || self.parameters.feature_fraction < 1.0;
        self.state.finished |= stump && !sampled;
    }
}

impl Leader for GbdtLeader {
    fn instruct(&mut self) -> Result<Option<Bytes>> {
        let ask = if self.state.finished {
            return Ok(None);
        } else if self.state.binning.is_none() {
            Ask::Summarise(Summarise {})
        } else if !self.state.prepared {
            Ask::Prepare(self.binning()?.clone())
        } else {
            let index = self.state.trees.len() as u32;
            let rules = self.rules()?;
            match self.growing.next(&rules) {
                Next::Histogram(tree, leaf) => {
                    let features = rules.allowed.iter().map(|feature| *feature as u32).collect();
                    Ask::Grow(Grow { index, tree, leaf: leaf as u32, features })
                }
                Next::Finished(tree) => Ask::Finish(Finish { index, tree }),
            }
        };
        Ok(Some(Bytes::from(Instruction { ask: Some(ask) }.encode_to_vec())))
    }

    fn absorb(&mut self, contribution: Contribution) -> Result<()> {
        let unexpected =
            || Error::internal("boosted trees: the shards answered another question than was asked");
        match contribution {
            Contribution::Gather(parts) if self.state.binning.is_none() => self.absorb_summaries(&parts),
            Contribution::Sum(sums) if self.state.binning.is_some() => {
                if !self.state.prepared {
                    let [loss] = sums[..] else { return Err(unexpected()) };
                    self.absorb_loss(loss);
                    return Ok(());
                }
                let mut growing = std::mem::take(&mut self.growing);
                let rules = self.rules()?;
                match growing.next(&rules) {
                    Next::Histogram(..) => {
                        if sums.len() != rules.histogram_length() {
                            return Err(unexpected());
                        }
                        growing.absorb(sums, &rules);
                        self.growing = growing;
                    }
                    Next::Finished(tree) => {
                        let [loss] = sums[..] else { return Err(unexpected()) };
                        self.absorb_tree(tree, loss);
                    }
                }
                Ok(())
            }
            _ => Err(unexpected()),
        }
    }

    fn checkpoint(&self) -> Result<Bytes> {
        Ok(Bytes::from(self.state.encode_to_vec()))
    }

    fn history(&self) -> Result<Bytes> {
        // Before the shards have answered to the binning, the instruction itself carries it.
        let binning = self.state.prepared.then(|| self.state.binning.clone()).flatten();
        Ok(Bytes::from(History { binning, trees: self.state.trees.clone() }.encode_to_vec()))
    }

    fn at_milestone(&self) -> bool {
        self.state.prepared && self.growing.is_new()
    }

    fn progress(&self) -> Progress {
        let done = self.state.trees.len() as u64;
        let note = match self.validation_loss() {
            None => String::new(),
            Some(_) => format!(
                "validation log loss {:.6} (best {:.6} after {} trees)",
                self.state.loss, self.state.best_loss, self.state.best_trees
            ),
        };
        let total = if self.state.finished { done } else { u64::from(self.parameters.trees) };
        Progress { done, total, note }
    }
}
