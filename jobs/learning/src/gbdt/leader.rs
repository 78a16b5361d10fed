//! The driver's side of the fit: the instructions to the shards, and what their contributions change.

use std::collections::VecDeque;

use bytes::Bytes;
use prost::Message;
use tidewaiter_collective::{Contribution, Leader, Progress};
use tidewaiter_core::{Error, Result, chance::mix};

use super::{
    fixed_point::{LOSS_SCALE, MOST_ROWS, hessian_bits},
    grow::{Grown, Next, TreeGrower},
    messages::{
        Binning, Candidates, FinishedTree, HistogramRequest, Instruction, LeaderState, Request, ShardHistory,
        ShardSummary, Summarise,
    },
    model::{Model, Tree},
    parameters::Parameters,
    split::GrowthRules,
};
use crate::binning::{self, Keys};

/// Leads a fit of boosted trees.
///
/// While a histogram travels, the one that is most likely needed next is requested, and during the last splits of a tree
/// the root of the next tree. A checkpoint within a tree is that of the tree's beginning.
pub struct GbdtLeader {
    parameters: Parameters,
    state: LeaderState,
    /// The tree for which histograms are requested.
    grower: TreeGrower,
    /// The open requests, the oldest first.
    open: VecDeque<OpenRequest>,
    /// The shards' summaries, while values are counted that they may lack.
    summarised: Option<Summarised>,
    /// Whether the last contribution ended a tree.
    between_trees: bool,
}

/// The shards' summaries, and the values of each feature whose exact counts are needed besides.
struct Summarised {
    summaries: Vec<ShardSummary>,
    candidates: Candidates,
}

/// A request whose contribution is awaited.
enum OpenRequest {
    Summaries,
    /// The counts of candidates.
    Counts,
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
    /// [`tidewaiter_core::ErrorKind::Input`] when a parameter is out of range.
    pub fn new(parameters: Parameters) -> Result<Self> {
        parameters.validate()?;
        let (integers, reals) = parameters.to_lists();
        Ok(Self::of(parameters, LeaderState { integers, reals, ..LeaderState::default() }))
    }

    /// A fit that goes on from [`Leader::checkpoint`].
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when the bytes are no checkpoint of this kind of fit.
    pub fn restore(checkpoint: &[u8]) -> Result<Self> {
        let state = LeaderState::decode(checkpoint)?;
        let parameters = Parameters::from_lists(&state.integers, &state.reals)?;
        let features = state.binning.as_ref().map_or(0, |binning| binning.features.len());
        for tree in &state.trees {
            tree.check(features)?;
        }
        Ok(Self::of(parameters, state))
    }

    fn of(parameters: Parameters, state: LeaderState) -> Self {
        let (grower, open) = (TreeGrower::default(), VecDeque::new());
        Self { parameters, state, grower, open, summarised: None, between_trees: false }
    }

    /// The model: the trees up to the one with the best validation loss, or all trees when there are no
    /// validation rows or early stopping is off.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] before the features are binned.
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
        (self.state.binned && self.state.validation_weight > 0.0).then_some(if self.stops_early() {
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

    /// The rules of the tree of this number, with its own choice of features.
    fn rules(&self, index: usize) -> Result<GrowthRules<'_>> {
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
        Ok(GrowthRules::new(&self.parameters, binning, allowed))
    }

    fn absorb_summaries(&mut self, parts: &[(u32, Bytes)]) -> Result<()> {
        let summaries: Vec<ShardSummary> =
            parts.iter().map(|(_, part)| Ok(ShardSummary::decode(part.clone())?)).collect::<Result<_>>()?;
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
        let total = |count: fn(&ShardSummary) -> u64| summaries.iter().map(count).sum::<u64>();
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
        let mut edges = Vec::with_capacity(candidates.features.len());
        for (feature, keys) in candidates.features.iter().enumerate() {
            let own = counts.split_off(..keys.keys.len()).unwrap_or_default();
            let merged =
                binning::merge(summaries.iter().map(|summary| &summary.features[feature]), keys, own)?;
            edges.push(binning::quantile_edges(&merged, self.parameters.bins as usize));
        }
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
        if !self.state.binned || self.state.loss < self.state.best_loss {
            self.state.best_loss = self.state.loss;
            self.state.best_trees = trees;
        }
        self.state.binned = true;
        let patience = u64::from(self.state.best_trees) + u64::from(self.parameters.early_stopping_rounds);
        self.state.finished =
            trees >= self.parameters.trees || (self.stops_early() && u64::from(trees) >= patience);
    }

    fn absorb_tree(&mut self, tree: Tree, sum: i64) {
        let repeats = self.would_repeat(&tree);
        self.state.trees.push(tree);
        self.absorb_loss(sum);
        self.state.finished |= repeats;
    }

    /// Whether all further trees would be the same as this one: it has no split, though it had all rows and features.
    fn would_repeat(&self, tree: &Tree) -> bool {
        let sampled = self.parameters.row_fraction < 1.0 || self.parameters.feature_fraction < 1.0;
        tree.features.is_empty() && !sampled
    }

    /// The number of the tree for which histograms are requested: if the loss after a tree is awaited, the next one.
    /// `None` when no tree follows.
    fn tree_under_way(&self) -> Option<usize> {
        let finished = self.state.trees.len();
        let ended = self.open.iter().find_map(|open| match open {
            OpenRequest::Loss(tree) => Some(tree),
            _ => None,
        });
        let Some(ended) = ended else { return Some(finished) };
        let more = finished + 1 < self.parameters.trees as usize && !self.would_repeat(ended);
        more.then_some(finished + 1)
    }

    /// The next instruction, if one can be given now.
    fn next_instruction(&mut self) -> Result<Option<Bytes>> {
        if self.state.finished {
            return Ok(None);
        }
        let (open, request) = if !self.state.binned {
            if !self.open.is_empty() {
                return Ok(None);
            }
            match (&self.state.binning, &self.summarised) {
                (None, None) => (OpenRequest::Summaries, Request::Summarise(Summarise {})),
                (None, Some(summarised)) => {
                    (OpenRequest::Counts, Request::Count(summarised.candidates.clone()))
                }
                (Some(binning), _) => (OpenRequest::BaseLoss, Request::Bin(binning.clone())),
            }
        } else {
            let Some(tree_number) = self.tree_under_way() else { return Ok(None) };
            let index = tree_number as u32;
            let mut grower = std::mem::take(&mut self.grower);
            let rules = self.rules(tree_number)?;
            match grower.next(&rules) {
                Next::Wait => {
                    self.grower = grower;
                    return Ok(None);
                }
                Next::Histogram(tree, leaf) => {
                    let features = rules.allowed.iter().map(|feature| *feature as u32).collect();
                    self.grower = grower;
                    let wanted = HistogramRequest { index, tree: *tree, leaf: leaf as u32, features };
                    (OpenRequest::Histogram(tree_number), Request::Histogram(wanted))
                }
                Next::Finished(grown) => {
                    let Grown { tree, shard_tree } = *grown;
                    let finished = FinishedTree { index, tree: shard_tree };
                    (OpenRequest::Loss(Box::new(tree)), Request::Finish(finished))
                }
            }
        };
        self.open.push_back(open);
        Ok(Some(Bytes::from(Instruction { request: Some(request) }.encode_to_vec())))
    }
}

impl Leader for GbdtLeader {
    fn instruct(&mut self) -> Result<Option<Bytes>> {
        self.next_instruction()
    }

    fn instruct_ahead(&mut self) -> Result<Option<Bytes>> {
        self.next_instruction()
    }

    fn absorb(&mut self, contribution: Contribution) -> Result<()> {
        let unexpected = || Error::internal("boosted trees: the shards answered another request");
        let open = self.open.pop_front().ok_or_else(unexpected)?;
        self.between_trees = matches!(open, OpenRequest::BaseLoss | OpenRequest::Loss(_));
        match (open, contribution) {
            (OpenRequest::Summaries, Contribution::Gather(parts)) => self.absorb_summaries(&parts),
            (OpenRequest::Counts, Contribution::Sum(counts)) => {
                let summarised = self.summarised.take().ok_or_else(unexpected)?;
                let wanted: usize = summarised.candidates.features.iter().map(|keys| keys.keys.len()).sum();
                if counts.len() != wanted {
                    return Err(unexpected());
                }
                self.begin_binning(&summarised, &counts)
            }
            (OpenRequest::BaseLoss, Contribution::Sum(sums)) => {
                let [loss] = sums[..] else { return Err(unexpected()) };
                self.absorb_loss(loss);
                Ok(())
            }
            (OpenRequest::Loss(tree), Contribution::Sum(sums)) => {
                let [loss] = sums[..] else { return Err(unexpected()) };
                self.absorb_tree(*tree, loss);
                Ok(())
            }
            (OpenRequest::Histogram(tree), Contribution::Sum(histogram)) => {
                // A speculative histogram that was not needed may arrive after its tree or after the whole fit.
                if self.state.finished || self.tree_under_way() != Some(tree) {
                    return Ok(());
                }
                let mut grower = std::mem::take(&mut self.grower);
                let rules = self.rules(tree)?;
                if histogram.len() != rules.histogram_length() {
                    return Err(unexpected());
                }
                grower.absorb(histogram, &rules);
                self.grower = grower;
                Ok(())
            }
            _ => Err(unexpected()),
        }
    }

    fn checkpoint(&self) -> Result<Bytes> {
        Ok(Bytes::from(self.state.encode_to_vec()))
    }

    fn history(&self) -> Result<Bytes> {
        // Until the shards have answered to the binning, the instruction itself has it.
        let binning = self.state.binned.then(|| self.state.binning.clone()).flatten();
        Ok(Bytes::from(ShardHistory { binning, trees: self.state.trees.clone() }.encode_to_vec()))
    }

    fn at_milestone(&self) -> bool {
        self.between_trees
    }

    fn progress(&self) -> Progress {
        let done = self.state.trees.len() as u64;
        let note = match self.validation_loss() {
            None => String::new(),
            Some(_) => {
                let state = &self.state;
                let ends = match self.stops_early() && !state.finished {
                    true => {
                        format!("; it ends {} trees after the best", self.parameters.early_stopping_rounds)
                    }
                    false => String::new(),
                };
                format!(
                    "validation log loss {:.6} (best {:.6} after {} trees){ends}",
                    state.loss, state.best_loss, state.best_trees
                )
            }
        };
        let total = if self.state.finished { done } else { u64::from(self.parameters.trees) };
        Progress { done, total, note }
    }
}
