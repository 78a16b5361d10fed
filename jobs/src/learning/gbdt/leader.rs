//! The driver's side of the fit: what is asked of the shards, and what becomes of the answers.

use std::collections::VecDeque;

use bytes::Bytes;
use prost::Message;

use super::{
    binning,
    grow::{Finished, Growing, Next, Rules},
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
/// While a histogram travels, the next likely one is asked for, and while the last splits of a tree are made, the
/// root of the next tree. A checkpoint taken within a tree is that of the tree's beginning.
pub struct GbdtLeader {
    parameters: Parameters,
    state: State,
    /// The tree for which histograms are asked.
    growing: Growing,
    asked: VecDeque<Asked>,
    /// Whether the last answer ended a tree.
    between_trees: bool,
}

/// A question whose answer is awaited.
enum Asked {
    Summaries,
    /// The loss at the base score.
    BaseLoss,
    /// A histogram for the tree of this number.
    Histogram(usize),
    /// The loss after this tree.
    Loss(Box<Tree>),
}

impl GbdtLeader {
    /// A fit that has not begun.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when a parameter is out of range.
    pub fn new(parameters: Parameters) -> Result<Self> {
        parameters.validate()?;
        let (integers, reals) = parameters.to_lists();
        Ok(Self::of(parameters, State { integers, reals, ..State::default() }))
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
        Ok(Self::of(parameters, state))
    }

    fn of(parameters: Parameters, state: State) -> Self {
        let (growing, asked) = (Growing::default(), VecDeque::new());
        Self { parameters, state, growing, asked, between_trees: false }
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

    /// The rules of the tree of this number.
    fn rules(&self, index: usize) -> Result<Rules<'_>> {
        let binning = self.binning()?;
        let features = binning.features.len();
        let kept = (self.parameters.feature_fraction * features as f64).ceil() as usize;
        let mut allowed: Vec<usize> = (0..features).collect();
        if kept < features {
            let salt = mix(self.parameters.seed ^ mix(index as u64));
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
        let endless = self.would_repeat(&tree);
        self.state.trees.push(tree);
        self.absorb_loss(sum);
        self.state.finished |= endless;
    }

    /// A tree on all rows and features that finds no split would be followed by its like for ever.
    fn would_repeat(&self, tree: &Tree) -> bool {
        let sampled = self.parameters.row_fraction < 1.0 || self.parameters.feature_fraction < 1.0;
        tree.features.is_empty() && !sampled
    }

    /// The tree for which histograms are asked: the one after a tree whose loss is awaited, or `None` where none is
    /// to come after that.
    fn tree_under_way(&self) -> Option<usize> {
        let finished = self.state.trees.len();
        let ended = self.asked.iter().find_map(|asked| match asked {
            Asked::Loss(tree) => Some(tree),
            _ => None,
        });
        let Some(ended) = ended else { return Some(finished) };
        let more = finished + 1 < self.parameters.trees as usize && !self.would_repeat(ended);
        more.then_some(finished + 1)
    }

    /// What can be asked now.
    fn ask(&mut self) -> Result<Option<Bytes>> {
        if self.state.finished {
            return Ok(None);
        }
        let (asked, ask) = if !self.state.prepared {
            if !self.asked.is_empty() {
                return Ok(None);
            }
            match &self.state.binning {
                None => (Asked::Summaries, Ask::Summarise(Summarise {})),
                Some(binning) => (Asked::BaseLoss, Ask::Prepare(binning.clone())),
            }
        } else {
            let Some(tree_number) = self.tree_under_way() else { return Ok(None) };
            let index = tree_number as u32;
            let mut growing = std::mem::take(&mut self.growing);
            let rules = self.rules(tree_number)?;
            match growing.next(&rules) {
                Next::Answer => {
                    self.growing = growing;
                    return Ok(None);
                }
                Next::Histogram(tree, leaf) => {
                    let features = rules.allowed.iter().map(|feature| *feature as u32).collect();
                    self.growing = growing;
                    let grow = Grow { index, tree: *tree, leaf: leaf as u32, features };
                    (Asked::Histogram(tree_number), Ask::Grow(grow))
                }
                Next::Finished(finished) => {
                    let Finished { tree, of_shards } = *finished;
                    (Asked::Loss(Box::new(tree)), Ask::Finish(Finish { index, tree: of_shards }))
                }
            }
        };
        self.asked.push_back(asked);
        Ok(Some(Bytes::from(Instruction { ask: Some(ask) }.encode_to_vec())))
    }
}

impl Leader for GbdtLeader {
    fn instruct(&mut self) -> Result<Option<Bytes>> {
        self.ask()
    }

    fn ahead(&mut self) -> Result<Option<Bytes>> {
        self.ask()
    }

    fn absorb(&mut self, contribution: Contribution) -> Result<()> {
        let unexpected =
            || Error::internal("boosted trees: the shards answered another question than was asked");
        let asked = self.asked.pop_front().ok_or_else(unexpected)?;
        self.between_trees = matches!(asked, Asked::BaseLoss | Asked::Loss(_));
        match (asked, contribution) {
            (Asked::Summaries, Contribution::Gather(parts)) => self.absorb_summaries(&parts),
            (Asked::BaseLoss, Contribution::Sum(sums)) => {
                let [loss] = sums[..] else { return Err(unexpected()) };
                self.absorb_loss(loss);
                Ok(())
            }
            (Asked::Loss(tree), Contribution::Sum(sums)) => {
                let [loss] = sums[..] else { return Err(unexpected()) };
                self.absorb_tree(*tree, loss);
                Ok(())
            }
            (Asked::Histogram(tree), Contribution::Sum(histogram)) => {
                // One that was asked for in vain may come after its tree, or after the last.
                if self.state.finished || self.tree_under_way() != Some(tree) {
                    return Ok(());
                }
                let mut growing = std::mem::take(&mut self.growing);
                let rules = self.rules(tree)?;
                if histogram.len() != rules.histogram_length() {
                    return Err(unexpected());
                }
                growing.absorb(histogram, &rules);
                self.growing = growing;
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
        self.between_trees
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
