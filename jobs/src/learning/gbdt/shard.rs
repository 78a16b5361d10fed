//! A worker's side of the fit: rows as bins, partitioned by leaf, and the histograms of leaves.

use std::ops::Range;

use bytes::Bytes;
use prost::Message;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    binning,
    histogram::{Cells, Histogram},
    logistic, mix,
    model::{Tree, part},
    wire::{Ask, Binning, Grow, History, Instruction, Summary},
};
use crate::{
    Error, Result,
    learning::{Contribution, Shard},
};

/// The bits of fraction of a summed loss.
pub(super) const LOSS_SCALE: f64 = (1_u64 << 24) as f64;

/// The largest gradient of a row is rounded to this integer.
const GRADIENT_SCALE: f64 = (1_u64 << 28) as f64;

/// A row's loss is cut here, so that no sum of losses leaves its integer.
const MOST_LOSS: f64 = 100.0;

/// The integer that a first derivative of 1 becomes.
pub(super) fn gradient_scale(binning: &Binning) -> f64 {
    GRADIENT_SCALE / binning.positive_weight.max(1.0)
}

/// The integer that a second derivative of 1 becomes; none is above a quarter of the largest weight.
pub(super) fn hessian_scale(binning: &Binning) -> f64 {
    4.0 * f64::from((1_u32 << binning.hessian_bits) - 1) / binning.positive_weight.max(1.0)
}

/// The most training rows of all shards together.
pub(super) const MOST_ROWS: u64 = (1 << 27) - 1;

/// How many bits a row's second derivative has in a fit of so many rows: fewer, the more rows there are, which
/// is as good a sum, so that all rows' sum and their number fit in one integer that is never negative.
pub(super) fn hessian_bits(rows: u64) -> u32 {
    (i64::BITS - 1).saturating_sub(2 * (u64::BITS - rows.leading_zeros())).clamp(9, 23)
}

/// The low bits of a packed histogram entry that count rows, when second derivatives have so many bits.
pub(super) fn count_bits(hessian_bits: u32) -> u32 {
    (i64::BITS - 1 - hessian_bits) / 2
}

/// The rows of one shard before binning.
#[derive(Debug, Clone)]
pub struct Dataset {
    features: Vec<Vec<f32>>,
    positive: Vec<bool>,
    is_validation: Vec<bool>,
}

impl Dataset {
    /// Rows given by column: features (NaN is a missing value), labels (0 or 1), and which rows only measure
    /// the loss that stops the fit. A shard may have no rows, but must have all columns.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when there is no feature, the lengths differ or a label is neither 0 nor 1.
    pub fn new(features: Vec<Vec<f32>>, labels: &[f32], is_validation: Vec<bool>) -> Result<Self> {
        let rows = labels.len();
        if features.is_empty() {
            return Err(Error::input("boosted trees: there are no features; give at least one column"));
        }
        if u32::try_from(rows).is_err() {
            return Err(Error::input(format!("boosted trees: a shard has {rows} rows; use more shards")));
        }
        for (at, column) in features.iter().enumerate() {
            if column.len() != rows {
                return Err(Error::input(format!(
                    "boosted trees: feature {at} has {} rows but there are {rows} labels; give one value per \
                     label, NaN where it is missing",
                    column.len()
                )));
            }
        }
        if is_validation.len() != rows {
            return Err(Error::input(format!(
                "boosted trees: {} validation flags were given for {rows} labels; give one per label",
                is_validation.len()
            )));
        }
        if let Some(row) = labels.iter().position(|label| *label != 0.0 && *label != 1.0) {
            return Err(Error::input(format!(
                "boosted trees: the label of row {row} is {}; leave out rows whose label is neither 0 nor 1",
                labels[row]
            )));
        }
        let positive = labels.iter().map(|label| *label == 1.0).collect();
        Ok(Self { features, positive, is_validation })
    }
}

/// One shard of the training data, in memory.
pub struct GbdtShard {
    index: u32,
    /// The features; given up once they are binned.
    raw: Vec<Vec<f32>>,
    features: usize,
    positive: Vec<bool>,
    training: Vec<u32>,
    validation: Vec<u32>,
    binned: Option<Binned>,
}

/// The state after binning.
struct Binned {
    binning: Binning,
    cells: Cells,
    /// A number per row that depends on its bins alone; empty when every tree uses all rows.
    lots: Vec<u64>,
    scores: Vec<f64>,
    /// How many trees are in the scores.
    finished: u32,
    growing: Growing,
    histogram: Histogram,
}

/// The partition of the rows by the leaves of the tree under way.
#[derive(Default)]
struct Growing {
    /// How many splits are applied; `None` before the tree is begun.
    splits: Option<usize>,
    /// The rows of each leaf, side by side.
    order: Vec<u32>,
    leaves: Vec<Range<usize>>,
    /// The training rows that this tree is not grown on.
    left_out: Vec<u32>,
    /// First and second derivative of each row.
    derivatives: Vec<[i32; 2]>,
    spare: Vec<u32>,
    /// The rows being taken to the leaves of a finished tree.
    spread: Vec<u32>,
}

impl GbdtShard {
    /// A shard of the given number, counted from 0.
    pub fn new(index: u32, data: Dataset) -> Self {
        let Dataset { features: raw, positive, is_validation } = data;
        let (validation, training) = (0..positive.len() as u32).partition(|row| is_validation[*row as usize]);
        Self { index, features: raw.len(), raw, positive, training, validation, binned: None }
    }

    fn summarise(&self, merged: &mut Option<Contribution>) -> Result<()> {
        if self.raw.is_empty() {
            return Err(Error::internal(
                "boosted trees: the shard is binned already; load it again to begin a new fit",
            ));
        }
        let positives = |rows: &[u32]| rows.iter().filter(|row| self.positive[**row as usize]).count() as u64;
        let summary = Summary {
            training_rows: self.training.len() as u64,
            training_positives: positives(&self.training),
            validation_rows: self.validation.len() as u64,
            validation_positives: positives(&self.validation),
            features: self
                .raw
                .iter()
                .map(|column| binning::summarise(self.training.iter().map(|row| column[*row as usize])))
                .collect(),
        };
        Contribution::Gather(vec![(self.index, Bytes::from(summary.encode_to_vec()))]).merge_onto(merged)
    }

    /// Bins the rows, or only resets the scores when they are binned in this way already.
    fn prepare(&mut self, binning: Binning) -> Result<()> {
        if let Some(binned) = &mut self.binned {
            if binned.binning != binning {
                return Err(Error::internal(
                    "boosted trees: the shard is binned for another fit; load it again",
                ));
            }
            binned.scores.fill(binning.base);
            binned.finished = 0;
            binned.growing.splits = None;
            return Ok(());
        }
        if binning.features.len() != self.features {
            return Err(Error::input(format!(
                "boosted trees: shard {} has {} features but others have {}; load all shards with one schema",
                self.index,
                self.features,
                binning.features.len()
            )));
        }
        let rows = self.positive.len();
        let raw = std::mem::take(&mut self.raw);
        let columns = binning.features.iter().zip(raw).map(|(edges, column)| edges.bin_all(&column));
        let cells = Cells::new(columns.collect());
        let lots = if binning.row_fraction < 1.0 {
            let mut row_cells = Vec::new();
            let lot = |(row, positive): (usize, &bool)| {
                row_cells.clear();
                row_cells.extend(cells.row(row));
                xxh3_64_with_seed(&row_cells, binning.seed ^ u64::from(*positive))
            };
            self.positive.iter().enumerate().map(lot).collect()
        } else {
            Vec::new()
        };
        self.binned = Some(Binned {
            cells,
            lots,
            scores: vec![binning.base; rows],
            finished: 0,
            growing: Growing::default(),
            histogram: Histogram::default(),
            binning,
        });
        Ok(())
    }

    fn binned(&mut self) -> Result<&mut Binned> {
        self.binned.as_mut().ok_or_else(|| {
            Error::internal("boosted trees: a shard was asked to grow a tree before it was restored")
        })
    }

    /// Brings the tree under way to the given splits, beginning it when need be.
    fn follow(&mut self, index: u32, tree: &Tree) -> Result<()> {
        let Self { positive, training, .. } = self;
        let binned = self.binned.as_mut().ok_or_else(|| {
            Error::internal("boosted trees: a shard was asked to grow a tree before it was restored")
        })?;
        if binned.finished != index {
            return Err(Error::internal(format!(
                "boosted trees: a shard has {} finished trees but was asked to grow the one after {index}",
                binned.finished
            )));
        }
        let done = match binned.growing.splits {
            Some(done) if done <= tree.features.len() => done,
            _ => {
                binned.begin_tree(positive, training);
                0
            }
        };
        for node in done..tree.features.len() {
            binned.split(tree, node);
        }
        binned.growing.splits = Some(tree.features.len());
        Ok(())
    }

    /// Adds a finished tree to the scores.
    fn finish(&mut self, index: u32, tree: &Tree) -> Result<()> {
        self.follow(index, tree)?;
        let Some(binned) = &mut self.binned else {
            return Err(Error::internal("boosted trees: a shard lost its bins"));
        };
        for (leaf, value) in binned.growing.leaves.iter().zip(&tree.leaf_values) {
            for row in &binned.growing.order[leaf.clone()] {
                binned.scores[*row as usize] += value;
            }
        }
        let left_out = std::mem::take(&mut binned.growing.left_out);
        binned.add_tree(tree, &left_out);
        binned.growing.left_out = left_out;
        binned.add_tree(tree, &self.validation);
        binned.growing.splits = None;
        binned.finished += 1;
        Ok(())
    }

    /// The weighted log loss of the validation rows, as an integer.
    fn loss(&mut self, merged: &mut Option<Contribution>) -> Result<()> {
        let (validation, positive) =
            (std::mem::take(&mut self.validation), std::mem::take(&mut self.positive));
        let sum = self.binned().map(|binned| {
            validation
                .iter()
                .map(|row| {
                    let (score, positive) = (binned.scores[*row as usize], positive[*row as usize]);
                    let margin = if positive { score } else { -score };
                    // ln(1 + exp(-margin)) without overflow.
                    let loss = (-margin.abs()).exp().ln_1p() + (-margin).max(0.0);
                    let weight = if positive { binned.binning.positive_weight } else { 1.0 };
                    let scale = LOSS_SCALE / binned.binning.positive_weight.max(1.0);
                    (loss.min(MOST_LOSS) * weight * scale).round() as i64
                })
                .sum()
        });
        (self.validation, self.positive) = (validation, positive);
        Contribution::Sum(vec![sum?]).merge_onto(merged)
    }
}

impl Binned {
    fn begin_tree(&mut self, positive: &[bool], training: &[u32]) {
        let Growing { order, leaves, left_out, derivatives, .. } = &mut self.growing;
        order.clear();
        left_out.clear();
        if self.lots.is_empty() {
            order.extend_from_slice(training);
        } else {
            let salt = mix(self.binning.seed.wrapping_add(u64::from(self.finished)));
            let bound = (self.binning.row_fraction * u64::MAX as f64) as u64;
            for row in training {
                let chosen = mix(self.lots[*row as usize] ^ salt) < bound;
                if chosen { order.push(*row) } else { left_out.push(*row) }
            }
        }
        leaves.clear();
        leaves.push(0..order.len());
        derivatives.resize(positive.len(), [0; 2]);
        let (gradient_scale, hessian_scale) = (gradient_scale(&self.binning), hessian_scale(&self.binning));
        let weights = [1.0, self.binning.positive_weight];
        // All rows in their order, whether the tree uses them or not: that is faster than to pick them.
        for ((derivatives, score), positive) in derivatives.iter_mut().zip(&self.scores).zip(positive) {
            let probability = logistic::probability(*score);
            let weight = weights[usize::from(*positive)];
            let gradient = (probability - f64::from(u8::from(*positive))) * weight;
            let hessian = probability * (1.0 - probability) * weight;
            *derivatives =
                [logistic::round(gradient * gradient_scale), logistic::round(hessian * hessian_scale)];
        }
    }

    /// Parts the rows of the leaf that a node splits, keeping their order on both sides.
    fn split(&mut self, tree: &Tree, node: usize) {
        let Growing { order, leaves, spare, .. } = &mut self.growing;
        let leaf = leaf_split_by(tree, node);
        let range = leaves[leaf].clone();
        let middle = range.start + part_by_cells(tree, node, &self.cells, &mut order[range.clone()], spare);
        leaves[leaf] = range.start..middle;
        leaves.push(middle..range.end);
    }

    /// Adds a tree to the scores of rows that it was not grown on.
    fn add_tree(&mut self, tree: &Tree, rows: &[u32]) {
        let Self { cells, scores, growing: Growing { spare, spread, .. }, .. } = self;
        spread.clear();
        spread.extend_from_slice(rows);
        tree.spread(
            spread,
            |node, rows| part_by_cells(tree, node, cells, rows, spare),
            |leaf, rows| rows.iter().for_each(|row| scores[*row as usize] += tree.leaf_values[leaf]),
        );
    }

    /// Adds the histogram that is wanted: per feature and bin the sum of first derivatives, and the packed sum
    /// of second derivatives and the number of rows.
    fn histogram(&mut self, grow: &Grow, merged: &mut Option<Contribution>) -> Result<()> {
        let range = self.growing.leaves.get(grow.leaf as usize).cloned().ok_or_else(|| {
            Error::internal(format!(
                "boosted trees: a shard was asked for leaf {}, which is not there",
                grow.leaf
            ))
        })?;
        let width = self.binning.features.len();
        let features: Vec<usize> = grow.features.iter().map(|feature| *feature as usize).collect();
        if !features.is_sorted_by(|a, b| a < b) || features.last().is_some_and(|last| *last >= width) {
            return Err(Error::internal("boosted trees: a shard was asked for features that are not there"));
        }
        let counted = features.iter().map(|feature| self.binning.features[*feature].bins());
        let length = 2 * counted.clone().sum::<usize>();
        let sums = match merged.get_or_insert_with(|| Contribution::Sum(vec![0; length])) {
            Contribution::Sum(sums) if sums.len() == length => sums,
            _ => return Err(Error::internal("boosted trees: shards answer with unlike histograms")),
        };
        let histogram = self.histogram.fill(
            &self.growing.order[range],
            &features,
            &self.cells,
            &self.growing.derivatives,
            count_bits(self.binning.hessian_bits),
        );
        let mut rest = sums.as_chunks_mut().0;
        for (bins, counted) in histogram.iter().zip(counted) {
            let (sums, others) = rest.split_at_mut(counted);
            rest = others;
            for (sums, bin) in sums.iter_mut().zip(bins) {
                bin.add_to(sums);
            }
        }
        Ok(())
    }
}

/// Parts rows at a node by their bins; see [`part`].
fn part_by_cells(tree: &Tree, node: usize, cells: &Cells, rows: &mut [u32], spare: &mut Vec<u32>) -> usize {
    let mut goes_left = [false; 256];
    for (cell, left) in goes_left.iter_mut().enumerate() {
        *left = if cell == 0 { tree.missing_left[node] } else { cell as u32 <= tree.bins[node] };
    }
    let column = cells.column(tree.features[node] as usize);
    part(rows, spare, |row| goes_left[usize::from(column[row as usize])])
}

/// The leaf that a node took its rows from: its leftmost, because left children keep the number.
fn leaf_split_by(tree: &Tree, node: usize) -> usize {
    let mut at = tree.left[node];
    while at >= 0 {
        at = tree.left[at as usize];
    }
    !at as usize
}

impl Shard for GbdtShard {
    fn restore(&mut self, history: &[u8]) -> Result<()> {
        let History { binning, trees } = History::decode(history)?;
        let Some(binning) = binning else { return Ok(()) };
        self.prepare(binning)?;
        for tree in &trees {
            tree.check(self.features)?;
            if let Some(binned) = &mut self.binned {
                binned.add_tree(tree, &self.validation);
                binned.add_tree(tree, &self.training);
                binned.finished += 1;
            }
        }
        Ok(())
    }

    fn contribute(&mut self, instruction: &[u8], merged: &mut Option<Contribution>) -> Result<()> {
        let ask = Instruction::decode(instruction)?
            .ask
            .ok_or_else(|| Error::internal("boosted trees: an instruction asks for nothing"))?;
        match ask {
            Ask::Summarise(_) => self.summarise(merged),
            Ask::Prepare(binning) => {
                self.prepare(binning)?;
                self.loss(merged)
            }
            Ask::Grow(grow) => {
                self.follow(grow.index, &grow.tree)?;
                self.binned()?.histogram(&grow, merged)
            }
            Ask::Finish(finish) => {
                // Asked again, as after a lost answer, the tree is in the scores already.
                if self.binned()?.finished != finish.index + 1 {
                    self.finish(finish.index, &finish.tree)?;
                }
                self.loss(merged)
            }
        }
    }
}
