//! The fitted model: trees as arrays, and what can be asked of them.

use prost::Message;

use crate::{Error, Result};

/// How many rows are scored together: few enough for their scores to stay near the processor.
const BLOCK_ROWS: usize = 1024;

/// One tree. Nodes are splits, numbered in the order in which they were made; a child below zero is leaf
/// `!child`. A split's left child keeps the leaf number, its right child gets the next free one.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Tree {
    /// The feature that each node looks at.
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
    /// The leaf that is reached when `goes_left` tells the way at each node.
    pub(super) fn descend(&self, mut goes_left: impl FnMut(usize) -> bool) -> usize {
        let mut at: i32 = if self.features.is_empty() { !0 } else { 0 };
        while at >= 0 {
            let node = at as usize;
            at = if goes_left(node) { self.left[node] } else { self.right[node] };
        }
        !at as usize
    }

    /// The way that a value takes at a node.
    pub(super) fn value_goes_left(&self, node: usize, value: f32) -> bool {
        if value.is_nan() { self.missing_left[node] } else { value <= self.thresholds[node] }
    }

    /// The leaf of a row of bins.
    pub(super) fn leaf_of_cells(&self, cells: &[u8]) -> usize {
        self.descend(|node| match cells[self.features[node] as usize] {
            0 => self.missing_left[node],
            cell => u32::from(cell) <= self.bins[node],
        })
    }

    /// How many training rows came to a child.
    pub(super) fn cover(&self, child: i32) -> f64 {
        (if child < 0 { self.leaf_rows[!child as usize] } else { self.rows[child as usize] }) as f64
    }

    /// Checks that every array fits the others and that every way ends in a leaf.
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
        // Children come after their parents, so that no way goes round.
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
    /// The model's bytes: a protobuf message whose fields are numbered in this file. One model has one form.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// Reads what [`Model::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when the bytes are no model.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let model = Self::decode(bytes)?;
        for tree in &model.trees {
            tree.check(model.features as usize)?;
        }
        Ok(model)
    }

    /// The number of rows, once it is certain that the columns are those of this model.
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

    /// The log odds of each row. A missing value is NaN.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when the columns do not fit the model.
    pub fn predict_raw(&self, columns: &[&[f32]]) -> Result<Vec<f64>> {
        let mut scores = vec![self.base; self.rows_of(columns)?];
        for (block, scores) in scores.chunks_mut(BLOCK_ROWS).enumerate() {
            let first = block * BLOCK_ROWS;
            for tree in &self.trees {
                for (offset, score) in scores.iter_mut().enumerate() {
                    let leaf = tree.descend(|node| {
                        let value = columns[tree.features[node] as usize][first + offset];
                        tree.value_goes_left(node, value)
                    });
                    *score += tree.leaf_values[leaf];
                }
            }
        }
        Ok(scores)
    }

    /// The probability of each row to be positive, from 0 to 1. With a `positive_weight` other than 1 it is
    /// the probability in a world where positives are that much more frequent.
    ///
    /// # Errors
    /// As [`Model::predict_raw`].
    pub fn predict_probability(&self, columns: &[&[f32]]) -> Result<Vec<f64>> {
        let mut scores = self.predict_raw(columns)?;
        scores.iter_mut().for_each(|score| *score = 1.0 / (1.0 + (-*score).exp()));
        Ok(scores)
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
