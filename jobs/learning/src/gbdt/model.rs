//! The fitted model: trees as arrays, their scores, leaves and feature importance. Start at [`Model`].

use std::{num::NonZero, ops::Range, thread};

use prost::Message;
use tidewaiter_core::{Error, Result};

use crate::sigmoid::probability;

/// How many rows are scored together: one column of them fits the first-level cache, all columns the second-level one.
const BLOCK_ROWS: usize = 4096;

/// One tree. Nodes are splits, numbered in the order in which they were made; a child below zero is leaf
/// `!child`. A split's left child keeps the leaf number, its right child gets the next free one.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Tree {
    /// The feature that each node compares.
    #[prost(uint32, repeated, tag = "1")]
    pub features: Vec<u32>,
    /// Values up to and including this one go left.
    #[prost(float, repeated, tag = "2")]
    pub thresholds: Vec<f32>,
    /// The thresholds as bins of the training data.
    #[prost(uint32, repeated, tag = "3")]
    pub bins: Vec<u32>,
    /// Whether missing values go left.
    #[prost(bool, repeated, tag = "4")]
    pub missing_left: Vec<bool>,
    /// The left children.
    #[prost(sint32, repeated, tag = "5")]
    pub left: Vec<i32>,
    /// The right children.
    #[prost(sint32, repeated, tag = "6")]
    pub right: Vec<i32>,
    /// By how much each split lowered the training objective, times two.
    #[prost(double, repeated, tag = "7")]
    pub gains: Vec<f64>,
    /// How many training rows came to each node.
    #[prost(uint64, repeated, tag = "8")]
    pub rows: Vec<u64>,
    /// What each leaf adds to the raw score, the learning rate included.
    #[prost(double, repeated, tag = "9")]
    pub leaf_values: Vec<f64>,
    /// How many training rows came to each leaf.
    #[prost(uint64, repeated, tag = "10")]
    pub leaf_rows: Vec<u64>,
}

impl Tree {
    /// Sends many rows to their leaves together, which is faster than one after the other. At each node `partition` is
    /// called with the node's number and rows, which it orders as [`partition`] does; it returns how many go left. At
    /// each leaf `arrive` is called with the leaf's number and rows.
    pub(super) fn route(
        &self,
        rows: &mut [u32],
        mut partition: impl FnMut(usize, &mut [u32]) -> usize,
        mut arrive: impl FnMut(usize, &[u32]),
    ) {
        let root: i32 = if self.features.is_empty() { !0 } else { 0 };
        let mut open: Vec<(i32, Range<usize>)> = vec![(root, 0..rows.len())];
        while let Some((at, range)) = open.pop() {
            if range.is_empty() {
                continue;
            }
            if at < 0 {
                arrive(!at as usize, &rows[range]);
                continue;
            }
            let node = at as usize;
            let middle = range.start + partition(node, &mut rows[range.clone()]);
            open.push((self.right[node], middle..range.end));
            open.push((self.left[node], range.start..middle));
        }
    }

    /// Whether a value goes left at a node.
    pub(super) fn value_goes_left(&self, node: usize, value: f32) -> bool {
        if value.is_nan() { self.missing_left[node] } else { value <= self.thresholds[node] }
    }

    /// How many training rows came to a child.
    pub(super) fn cover(&self, child: i32) -> f64 {
        (if child < 0 { self.leaf_rows[!child as usize] } else { self.rows[child as usize] }) as f64
    }

    /// Checks that the arrays fit together and that every path ends in a leaf.
    pub(super) fn check(&self, features: usize) -> Result<()> {
        let (nodes, leaves) = (self.features.len(), self.leaf_values.len());
        let lengths = [
            self.thresholds.len(),
            self.bins.len(),
            self.missing_left.len(),
            self.left.len(),
            self.right.len(),
            self.gains.len(),
            self.rows.len(),
        ];
        // Children come after their parents, so that there is no cycle.
        let child_fits = |node: usize, child: i32| {
            if child < 0 { (!child as usize) < leaves } else { (node + 1..nodes).contains(&(child as usize)) }
        };
        let good = lengths.iter().all(|length| *length == nodes)
            && leaves == nodes + 1
            && self.leaf_rows.len() == leaves
            && self.features.iter().all(|feature| (*feature as usize) < features)
            && (0..nodes).all(|node| child_fits(node, self.left[node]) && child_fits(node, self.right[node]));
        if good { Ok(()) } else { Err(Error::corrupt("boosted trees: a tree's arrays do not fit together")) }
    }
}

/// Moves the rows that go left before the others, keeping the order on both sides; returns how many go left. `spare` is
/// working memory.
pub(super) fn partition(rows: &mut [u32], spare: &mut Vec<u32>, goes_left: impl Fn(u32) -> bool) -> usize {
    spare.resize(spare.len().max(rows.len()), 0);
    let spare = &mut spare[..rows.len()];
    let (mut lefts, mut rights) = (0, 0);
    for at in 0..rows.len() {
        let row = rows[at];
        let left = goes_left(row);
        // Both are written and one of them counts: a branch would be mispredicted half of the time.
        rows[lefts] = row;
        spare[rights] = row;
        lefts += usize::from(left);
        rights += usize::from(!left);
    }
    rows[lefts..].copy_from_slice(&spare[..rights]);
    lefts
}

/// Sends `count` rows of the columns, from `first` on, to the leaves of a tree. `arrive` gets rows counted from `first`.
fn route_columns(
    tree: &Tree,
    columns: &[&[f32]],
    first: usize,
    count: usize,
    (rows, spare): &mut (Vec<u32>, Vec<u32>),
    arrive: impl FnMut(usize, &[u32]),
) {
    rows.clear();
    rows.extend(0..count as u32);
    let partition_at = |node: usize, rows: &mut [u32]| {
        let column = &columns[tree.features[node] as usize][first..];
        let threshold = tree.thresholds[node];
        // A missing value is NaN, with which every comparison is false.
        if tree.missing_left[node] {
            partition(rows, spare, |row| {
                let value = column[row as usize];
                value <= threshold || value.is_nan()
            })
        } else {
            partition(rows, spare, |row| column[row as usize] <= threshold)
        }
    };
    tree.route(rows, partition_at, arrive);
}

/// A fitted classifier.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Model {
    /// How many features a row has.
    #[prost(uint32, tag = "1")]
    pub features: u32,
    /// The raw score (log odds) before any tree.
    #[prost(double, tag = "2")]
    pub base: f64,
    /// The trees, in the order in which they were grown.
    #[prost(message, repeated, tag = "3")]
    pub trees: Vec<Tree>,
}

impl Model {
    /// The model as a protobuf message, whose fields are those of this struct. Equal models give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// Reads the bytes of [`Model::to_bytes`].
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when the bytes are not a model's.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let model = Self::decode(bytes)?;
        model.check()?;
        Ok(model)
    }

    /// Checks that every tree's arrays fit together.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when they do not.
    pub fn check(&self) -> Result<()> {
        self.trees.iter().try_for_each(|tree| tree.check(self.features as usize))
    }

    /// The number of rows, after a check that the columns fit the model.
    pub(super) fn rows_of(&self, columns: &[&[f32]]) -> Result<usize> {
        if columns.len() != self.features as usize {
            return Err(Error::input(format!(
                "boosted trees: the model has {} features but {} columns were given; give the columns that \
                 it was fitted on, in the same order",
                self.features,
                columns.len()
            )));
        }
        let rows = columns.first().map_or(0, |column| column.len());
        if let Some(at) = columns.iter().position(|column| column.len() != rows) {
            return Err(Error::input(format!(
                "boosted trees: column {at} has {} rows but column 0 has {rows}; give columns of one length",
                columns[at].len()
            )));
        }
        Ok(rows)
    }

    /// The raw score (log odds) of each row, given by column. A missing value is NaN.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the columns do not fit the model.
    pub fn predict_raw(&self, columns: &[&[f32]]) -> Result<Vec<f64>> {
        self.score(columns, |score| score)
    }

    /// Scores blocks of rows on as many threads as there are processors, and applies `finish` to each score. No score
    /// depends on its block or thread.
    fn score(
        &self,
        columns: &[&[f32]],
        finish: impl Fn(f64) -> f64 + Copy + Send + Sync,
    ) -> Result<Vec<f64>> {
        let rows = self.rows_of(columns)?;
        let mut scores = vec![self.base; rows];
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let share = rows.div_ceil(BLOCK_ROWS).div_ceil(threads).max(1) * BLOCK_ROWS;
        let score_share = |first: usize, scores: &mut [f64]| {
            let mut working = (Vec::new(), Vec::new());
            for (block, scores) in scores.chunks_mut(BLOCK_ROWS).enumerate() {
                self.add_trees(columns, first + block * BLOCK_ROWS, scores, &mut working);
                scores.iter_mut().for_each(|score| *score = finish(*score));
            }
        };
        let mut shares = scores.chunks_mut(share).enumerate().map(|(at, scores)| (at * share, scores));
        let own = shares.next();
        thread::scope(|scope| {
            for (first, scores) in shares {
                scope.spawn(move || score_share(first, scores));
            }
            if let Some((first, scores)) = own {
                score_share(first, scores);
            }
        });
        Ok(scores)
    }

    /// The leaf of each row in each tree: row by row, in each the trees in order. Leaves are numbered over all trees.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the columns do not fit the model.
    pub fn leaves(&self, columns: &[&[f32]]) -> Result<Vec<u32>> {
        let (rows, trees) = (self.rows_of(columns)?, self.trees.len());
        let mut leaves = vec![0; rows * trees];
        let mut working = (Vec::new(), Vec::new());
        for (block, leaves) in leaves.chunks_mut((BLOCK_ROWS * trees).max(1)).enumerate() {
            let mut first_leaf = 0;
            for (at, tree) in self.trees.iter().enumerate() {
                let count = leaves.len() / trees;
                route_columns(tree, columns, block * BLOCK_ROWS, count, &mut working, |leaf, rows| {
                    let leaf = first_leaf + leaf as u32;
                    rows.iter().for_each(|row| leaves[*row as usize * trees + at] = leaf);
                });
                first_leaf += tree.leaf_values.len() as u32;
            }
        }
        Ok(leaves)
    }

    /// Adds all trees to the scores of the rows from `first` on.
    fn add_trees(
        &self,
        columns: &[&[f32]],
        first: usize,
        scores: &mut [f64],
        working: &mut (Vec<u32>, Vec<u32>),
    ) {
        for tree in &self.trees {
            route_columns(tree, columns, first, scores.len(), working, |leaf, rows| {
                let value = tree.leaf_values[leaf];
                rows.iter().for_each(|row| scores[*row as usize] += value);
            });
        }
    }

    /// The probability of each row to be positive, from 0 to 1. With a `positive_weight` other than 1 it is the
    /// probability if positive rows were that many times as frequent.
    ///
    /// # Errors
    /// As [`Model::predict_raw`].
    pub fn predict_probability(&self, columns: &[&[f32]]) -> Result<Vec<f64>> {
        self.score(columns, probability)
    }

    /// The sum of the gains of each feature's splits, divided by that of all splits; all 0 without splits.
    pub fn feature_importance(&self) -> Vec<f64> {
        let mut importance = vec![0.0; self.features as usize];
        for tree in &self.trees {
            for (feature, gain) in tree.features.iter().zip(&tree.gains) {
                importance[*feature as usize] += gain;
            }
        }
        let total: f64 = importance.iter().sum();
        if total > 0.0 {
            importance.iter_mut().for_each(|gain| *gain /= total);
        }
        importance
    }
}
