//! A worker's side of the fit: rows as bins, partitioned by the leaves of the tree under way, and histograms of leaves.

use std::ops::Range;

use bytes::Bytes;
use prost::Message;
use tidewaiter_collective::{Contribution, Shard};
use tidewaiter_core::{Error, Result, chance::mix};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    fixed_point::{LOSS_SCALE, MOST_LOSS, count_bits, gradient_scale, hessian_scale},
    histogram::{BinMatrix, HistogramBuilder},
    messages::{Binning, Candidates, HistogramRequest, Instruction, Request, ShardHistory, ShardSummary},
    model::{Tree, partition},
};
use crate::{
    binning,
    sigmoid::{probability, round},
};

/// The rows of one shard before binning.
#[derive(Debug, Clone)]
pub struct Dataset {
    features: Vec<Vec<f32>>,
    positive: Vec<bool>,
    is_validation: Vec<bool>,
}

impl Dataset {
    /// Rows given by column: features (NaN is a missing value), labels (0 or 1), and which rows are validation rows,
    /// whose loss stops the fit. A shard may have no rows, but must have all columns.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when there is no feature, the lengths differ or a label is neither 0 nor 1.
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
    /// The features; dropped when they are binned.
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
    cells: BinMatrix,
    /// A hash of each row's bins and label, by which trees choose their rows; empty when every tree uses all rows.
    row_hashes: Vec<u64>,
    scores: Vec<f64>,
    /// How many trees are in the scores.
    finished: u32,
    rows_by_leaf: RowPartition,
    histogram: HistogramBuilder,
}

/// The training rows, partitioned by the leaves of the tree under way.
#[derive(Default)]
struct RowPartition {
    /// How many splits are made; `None` before the tree is begun.
    splits: Option<usize>,
    /// The rows, leaf by leaf.
    order: Vec<u32>,
    /// The range of `order` that each leaf has.
    leaves: Vec<Range<usize>>,
    /// The training rows that this tree does not use.
    left_out: Vec<u32>,
    /// First and second derivative of each row.
    derivatives: Vec<[i32; 2]>,
    /// Working memory of partitions.
    spare: Vec<u32>,
    /// Working memory: the rows that are sent through a finished tree.
    routed: Vec<u32>,
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
        let summary = ShardSummary {
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

    /// Counts values of the training rows.
    fn count(&self, candidates: &Candidates, merged: &mut Option<Contribution>) -> Result<()> {
        if candidates.features.len() != self.raw.len() {
            return Err(Error::internal(
                "boosted trees: a shard was asked to count other features than it has",
            ));
        }
        let columns = self.raw.iter().zip(&candidates.features);
        let counts = columns.flat_map(|(column, keys)| {
            binning::count_keys(self.training.iter().map(|row| column[*row as usize]), keys)
        });
        Contribution::Sum(counts.collect()).merge_onto(merged)
    }

    /// Bins the rows. When they are binned in this way already, it only resets the scores.
    fn bin(&mut self, binning: Binning) -> Result<()> {
        if let Some(binned) = &mut self.binned {
            if binned.binning != binning {
                return Err(Error::internal(
                    "boosted trees: the shard is binned for another fit; load it again",
                ));
            }
            binned.scores.fill(binning.base);
            binned.finished = 0;
            binned.rows_by_leaf.splits = None;
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
        let cells = BinMatrix::new(columns.collect());
        let row_hashes = if binning.row_fraction < 1.0 {
            let mut row_cells = Vec::new();
            let hash = |(row, positive): (usize, &bool)| {
                row_cells.clear();
                row_cells.extend(cells.row(row));
                xxh3_64_with_seed(&row_cells, binning.seed ^ u64::from(*positive))
            };
            self.positive.iter().enumerate().map(hash).collect()
        } else {
            Vec::new()
        };
        self.binned = Some(Binned {
            cells,
            row_hashes,
            scores: vec![binning.base; rows],
            finished: 0,
            rows_by_leaf: RowPartition::default(),
            histogram: HistogramBuilder::default(),
            binning,
        });
        Ok(())
    }

    fn binned(&mut self) -> Result<&mut Binned> {
        self.binned.as_mut().ok_or_else(|| {
            Error::internal("boosted trees: a shard was requested to grow a tree before it was restored")
        })
    }

    /// Makes the splits of the tree under way that are not made yet, and begins the tree if necessary.
    fn apply_splits(&mut self, index: u32, tree: &Tree) -> Result<()> {
        let Self { positive, training, .. } = self;
        let binned = self.binned.as_mut().ok_or_else(|| {
            Error::internal("boosted trees: a shard was requested to grow a tree before it was restored")
        })?;
        if binned.finished != index {
            return Err(Error::internal(format!(
                "boosted trees: a shard has {} finished trees but was asked to grow the one after {index}",
                binned.finished
            )));
        }
        let done = match binned.rows_by_leaf.splits {
            Some(done) if done <= tree.features.len() => done,
            _ => {
                binned.begin_tree(positive, training);
                0
            }
        };
        for node in done..tree.features.len() {
            binned.split(tree, node);
        }
        binned.rows_by_leaf.splits = Some(tree.features.len());
        Ok(())
    }

    /// Adds a finished tree to the scores.
    fn finish(&mut self, index: u32, tree: &Tree) -> Result<()> {
        self.apply_splits(index, tree)?;
        let Some(binned) = &mut self.binned else {
            return Err(Error::internal("boosted trees: a shard lost its bins"));
        };
        for (leaf, value) in binned.rows_by_leaf.leaves.iter().zip(&tree.leaf_values) {
            for row in &binned.rows_by_leaf.order[leaf.clone()] {
                binned.scores[*row as usize] += value;
            }
        }
        let left_out = std::mem::take(&mut binned.rows_by_leaf.left_out);
        binned.add_tree(tree, &left_out);
        binned.rows_by_leaf.left_out = left_out;
        binned.add_tree(tree, &self.validation);
        binned.rows_by_leaf.splits = None;
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
        let RowPartition { order, leaves, left_out, derivatives, .. } = &mut self.rows_by_leaf;
        order.clear();
        left_out.clear();
        if self.row_hashes.is_empty() {
            order.extend_from_slice(training);
        } else {
            let salt = mix(self.binning.seed.wrapping_add(u64::from(self.finished)));
            let bound = (self.binning.row_fraction * u64::MAX as f64) as u64;
            for row in training {
                let chosen = mix(self.row_hashes[*row as usize] ^ salt) < bound;
                if chosen { order.push(*row) } else { left_out.push(*row) }
            }
        }
        leaves.clear();
        leaves.push(0..order.len());
        derivatives.resize(positive.len(), [0; 2]);
        let (gradient_scale, hessian_scale) = (gradient_scale(&self.binning), hessian_scale(&self.binning));
        let weights = [1.0, self.binning.positive_weight];
        // All rows in their order, whether or not the tree uses them, which is faster than a choice of rows.
        for ((derivatives, score), positive) in derivatives.iter_mut().zip(&self.scores).zip(positive) {
            let p = probability(*score);
            let weight = weights[usize::from(*positive)];
            let gradient = (p - f64::from(u8::from(*positive))) * weight;
            let hessian = p * (1.0 - p) * weight;
            *derivatives = [round(gradient * gradient_scale), round(hessian * hessian_scale)];
        }
    }

    /// Partitions the rows of the leaf that a node splits, keeping their order on both sides.
    fn split(&mut self, tree: &Tree, node: usize) {
        let RowPartition { order, leaves, spare, .. } = &mut self.rows_by_leaf;
        let leaf = leaf_split_by(tree, node);
        let range = leaves[leaf].clone();
        let middle =
            range.start + partition_by_cells(tree, node, &self.cells, &mut order[range.clone()], spare);
        leaves[leaf] = range.start..middle;
        leaves.push(middle..range.end);
    }

    /// Adds a finished tree to the scores of rows that it did not use.
    fn add_tree(&mut self, tree: &Tree, rows: &[u32]) {
        let Self { cells, scores, rows_by_leaf: RowPartition { spare, routed, .. }, .. } = self;
        routed.clear();
        routed.extend_from_slice(rows);
        tree.route(
            routed,
            |node, rows| partition_by_cells(tree, node, cells, rows, spare),
            |leaf, rows| rows.iter().for_each(|row| scores[*row as usize] += tree.leaf_values[leaf]),
        );
    }

    /// Adds the requested histogram: for each feature and bin the sum of first derivatives, and the packed sum of second
    /// derivatives and the number of rows.
    fn histogram(&mut self, wanted: &HistogramRequest, merged: &mut Option<Contribution>) -> Result<()> {
        let range = self.rows_by_leaf.leaves.get(wanted.leaf as usize).cloned().ok_or_else(|| {
            Error::internal(format!(
                "boosted trees: a shard was asked for leaf {}, which is not there",
                wanted.leaf
            ))
        })?;
        let width = self.binning.features.len();
        let features: Vec<usize> = wanted.features.iter().map(|feature| *feature as usize).collect();
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
            &self.rows_by_leaf.order[range],
            &features,
            &self.cells,
            &self.rows_by_leaf.derivatives,
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

/// Partitions rows at a node by their bins; see [`partition`].
fn partition_by_cells(
    tree: &Tree,
    node: usize,
    cells: &BinMatrix,
    rows: &mut [u32],
    spare: &mut Vec<u32>,
) -> usize {
    let mut goes_left = [false; 256];
    for (cell, left) in goes_left.iter_mut().enumerate() {
        *left = if cell == 0 { tree.missing_left[node] } else { cell as u32 <= tree.bins[node] };
    }
    let column = cells.column(tree.features[node] as usize);
    partition(rows, spare, |row| goes_left[usize::from(column[row as usize])])
}

/// The leaf that a node splits: the leftmost one below it, because left children have their parent's number.
fn leaf_split_by(tree: &Tree, node: usize) -> usize {
    let mut at = tree.left[node];
    while at >= 0 {
        at = tree.left[at as usize];
    }
    !at as usize
}

impl Shard for GbdtShard {
    fn restore(&mut self, history: &[u8]) -> Result<()> {
        let ShardHistory { binning, trees } = ShardHistory::decode(history)?;
        let Some(binning) = binning else { return Ok(()) };
        self.bin(binning)?;
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
        let request = Instruction::decode(instruction)?
            .request
            .ok_or_else(|| Error::internal("boosted trees: an instruction has no request"))?;
        match request {
            Request::Summarise(_) => self.summarise(merged),
            Request::Count(candidates) => self.count(&candidates, merged),
            Request::Bin(binning) => {
                self.bin(binning)?;
                self.loss(merged)
            }
            Request::Histogram(wanted) => {
                self.apply_splits(wanted.index, &wanted.tree)?;
                self.binned()?.histogram(&wanted, merged)
            }
            Request::Finish(finished) => {
                // When the instruction is repeated after a lost answer, the tree is in the scores already.
                if self.binned()?.finished != finished.index + 1 {
                    self.finish(finished.index, &finished.tree)?;
                }
                self.loss(merged)
            }
        }
    }
}
