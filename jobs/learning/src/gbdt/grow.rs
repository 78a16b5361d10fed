//! The leader's side of the tree under way: the histograms of its leaves, and which splits it has.
//!
//! Growth is leaf-wise, best first (Ke et al., NeurIPS 2017). Splits are *requested* before it is certain that the tree
//! will have them: the shards make them speculatively and compute while answers travel. Splits are *decided* in the order
//! of their gains, as far as the answers reach, so that the tree does not depend on speculative requests that were not
//! needed. Two trees are therefore kept: the decided one, and the shards' one with all requested splits in the order of
//! their requests. Start at [`TreeGrower::next`].

use std::collections::VecDeque;

use super::{
    model::Tree,
    split::{CandidateSplit, DerivativeSums, GrowthRules},
};

/// A set of rows in the shards' tree: a leaf, or a leaf that was split.
#[derive(Debug)]
struct Node {
    sums: DerivativeSums,
    /// Taken by the children once they are known.
    histogram: Vec<i64>,
    best: Option<CandidateSplit>,
    /// Its number among the leaves of the shards' tree; a left child has that of its parent.
    leaf: usize,
    /// The split of the shards' tree above, and whether the node is its left child.
    above: Option<(usize, bool)>,
    /// The split of the shards' tree that divides it, once that is requested.
    split: Option<usize>,
    /// Known once the answer has arrived.
    children: Option<[usize; 2]>,
}

/// A leaf of the decided tree; its number is its place in the list.
#[derive(Debug)]
struct DecidedLeaf {
    node: usize,
    /// The decided split above, and whether the leaf is its left child.
    above: Option<(usize, bool)>,
}

/// What the tree under way needs next.
pub(super) enum Next {
    /// The histogram of this leaf of the shards' tree, after its last split; or that of the root of a tree without
    /// splits.
    Histogram(Box<Tree>, usize),
    /// An answer to an earlier request.
    Wait,
    /// Nothing: it is finished.
    Finished(Box<Grown>),
}

/// A finished tree.
pub(super) struct Grown {
    pub(super) tree: Tree,
    /// A tree with the same values for all rows that has the shards' splits, in their order.
    pub(super) shard_tree: Tree,
}

/// Grows one tree.
#[derive(Debug, Default)]
pub(super) struct TreeGrower {
    nodes: Vec<Node>,
    /// The requested splits, in the order of the requests.
    shard_tree: Tree,
    /// The leaf of the shards' tree that each of these splits divides.
    split_leaves: Vec<usize>,
    /// The nodes whose children's histograms are requested, the oldest first; before there are nodes, 0 stands for the
    /// histogram of the root.
    awaited: VecDeque<usize>,
    /// The decided splits, in the order of the decisions.
    tree: Tree,
    leaves: Vec<DecidedLeaf>,
}

impl TreeGrower {
    /// What is needed next, besides the requests that are awaited.
    pub(super) fn next(&mut self, rules: &GrowthRules<'_>) -> Next {
        if self.nodes.is_empty() {
            if !self.awaited.is_empty() {
                return Next::Wait;
            }
            self.awaited.push_back(0);
            return Next::Histogram(Box::default(), 0);
        }
        let splits_left = rules.most_splits() - self.tree.features.len();
        let mut nodes: Vec<usize> = self.leaves.iter().map(|leaf| leaf.node).collect();
        match self.best(&nodes) {
            None => return Next::Finished(Box::new(self.finish(None, rules))),
            Some((last, _)) if splits_left == 1 => {
                return Next::Finished(Box::new(self.finish(Some(last), rules)));
            }
            Some(_) => {}
        }
        // Speculates on what follows the decided splits, as if no child of an awaited node had a split worth making.
        // The last split is not requested, because no histogram below it is needed.
        for _ in 1..splits_left {
            let Some((at, best)) = self.best(&nodes) else { break };
            let Node { split, children, .. } = &self.nodes[nodes[at]];
            match (split, children) {
                (None, _) => return self.request(nodes[at], &best, rules),
                (Some(_), None) => {
                    nodes.remove(at);
                }
                (Some(_), Some([left, right])) => {
                    nodes[at] = *left;
                    nodes.push(*right);
                }
            }
        }
        Next::Wait
    }

    /// Takes the histogram of the oldest request of [`TreeGrower::next`].
    pub(super) fn absorb(&mut self, histogram: Vec<i64>, rules: &GrowthRules<'_>) {
        let Some(requested) = self.awaited.pop_front() else { return };
        let Some(node) = self.nodes.get_mut(requested) else {
            // Every row is in exactly one bin of each feature.
            let first = rules.allowed.first().map_or(0, |feature| rules.binning.features[*feature].bins());
            let bins = histogram.as_chunks().0.iter().take(first);
            let sums = bins.fold(DerivativeSums::default(), |sums, bin| sums.plus(DerivativeSums(*bin)));
            self.nodes.push(Node::new(sums, histogram, 0, None, rules));
            self.leaves.push(DecidedLeaf { node: 0, above: None });
            return;
        };
        let (Some(best), Some(split)) = (&node.best, node.split) else { return };
        let (left, right) = (best.left, node.sums.minus(best.left));
        // The histogram of the larger child is the parent's minus that of the smaller one.
        let mut other = std::mem::take(&mut node.histogram);
        other.iter_mut().zip(&histogram).for_each(|(all, part)| *all -= part);
        let (of_left, of_right) =
            if rules.left_is_smaller(left, right) { (histogram, other) } else { (other, histogram) };
        let leaf = node.leaf;
        let (left, right) = rayon::join(
            || Node::new(left, of_left, leaf, Some((split, true)), rules),
            || Node::new(right, of_right, split + 1, Some((split, false)), rules),
        );
        let next = self.nodes.len();
        self.nodes[requested].children = Some([next, next + 1]);
        self.nodes.extend([left, right]);
        self.decide(rules);
    }

    /// Decides the splits with the largest gains, as far as their children are known, except the last one of the tree.
    fn decide(&mut self, rules: &GrowthRules<'_>) {
        while self.tree.features.len() + 1 < rules.most_splits() {
            let nodes: Vec<usize> = self.leaves.iter().map(|leaf| leaf.node).collect();
            let Some((at, best)) = self.best(&nodes) else { return };
            let Some([left, right]) = self.nodes[nodes[at]].children else { return };
            let rows = rules.rows(self.nodes[nodes[at]].sums);
            let split = add_split(&mut self.tree, at, self.leaves[at].above, &best, rows, rules);
            self.leaves[at] = DecidedLeaf { node: left, above: Some((split, true)) };
            self.leaves.push(DecidedLeaf { node: right, above: Some((split, false)) });
        }
    }

    /// The place in `nodes` of the node whose split has the largest gain, and that split; of equal ones the first.
    fn best(&self, nodes: &[usize]) -> Option<(usize, CandidateSplit)> {
        let mut found: Option<(usize, CandidateSplit)> = None;
        for (at, node) in nodes.iter().enumerate() {
            if let Some(best) = self.nodes[*node].best
                && found.is_none_or(|(_, other)| best.gain > other.gain)
            {
                found = Some((at, best));
            }
        }
        found
    }

    /// Requests the split of a node and the histogram of its smaller child.
    fn request(&mut self, node: usize, best: &CandidateSplit, rules: &GrowthRules<'_>) -> Next {
        let split = self.split_in_shards(node, best, rules);
        self.awaited.push_back(node);
        let Node { sums, leaf, .. } = self.nodes[node];
        let left_is_smaller = rules.left_is_smaller(best.left, sums.minus(best.left));
        Next::Histogram(Box::new(self.shard_tree.clone()), if left_is_smaller { leaf } else { split + 1 })
    }

    /// Adds the split of a node to the shards' tree.
    fn split_in_shards(&mut self, node: usize, best: &CandidateSplit, rules: &GrowthRules<'_>) -> usize {
        let Node { sums, leaf, above, .. } = self.nodes[node];
        let split = add_split(&mut self.shard_tree, leaf, above, best, rules.rows(sums), rules);
        self.split_leaves.push(leaf);
        self.nodes[node].split = Some(split);
        split
    }

    /// The finished tree with the values of its leaves; `last` is the place of the leaf that the last split divides, if
    /// there is one more.
    fn finish(&mut self, last: Option<usize>, rules: &GrowthRules<'_>) -> Grown {
        let ends = self.leaves.iter().map(|leaf| &self.nodes[leaf.node]).map(|node| (node.sums, node.leaf));
        let mut ends: Vec<(DerivativeSums, usize)> = ends.collect();
        if let Some(at) = last
            && let DecidedLeaf { node, above } = self.leaves[at]
            && let Some(best) = self.nodes[node].best
        {
            let sums = self.nodes[node].sums;
            add_split(&mut self.tree, at, above, &best, rules.rows(sums), rules);
            let split = self.nodes[node].split.unwrap_or_else(|| self.split_in_shards(node, &best, rules));
            ends[at].0 = best.left;
            ends.push((sums.minus(best.left), split + 1));
        }
        let mut tree = std::mem::take(&mut self.tree);
        tree.leaf_values = ends.iter().map(|(sums, _)| rules.value(*sums)).collect();
        tree.leaf_rows = ends.iter().map(|(sums, _)| rules.rows(*sums)).collect();

        let mut values = vec![None; self.split_leaves.len() + 1];
        for ((_, leaf), value) in ends.iter().zip(&tree.leaf_values) {
            values[*leaf] = Some(*value);
        }
        // A speculative split that was not needed has the same value on both sides.
        for (split, leaf) in self.split_leaves.iter().enumerate() {
            values[split + 1] = values[split + 1].or(values[*leaf]);
        }
        let mut shard_tree = std::mem::take(&mut self.shard_tree);
        shard_tree.leaf_values = values.into_iter().map(Option::unwrap_or_default).collect();
        Grown { tree, shard_tree }
    }
}

impl Node {
    fn new(
        sums: DerivativeSums,
        histogram: Vec<i64>,
        leaf: usize,
        above: Option<(usize, bool)>,
        rules: &GrowthRules<'_>,
    ) -> Self {
        let best = rules.best_split(&histogram, sums);
        Self { sums, histogram, best, leaf, above, split: None, children: None }
    }
}

/// Splits a leaf of a tree and returns the split's number: the left child has the leaf's number, the right one the next
/// free one.
fn add_split(
    tree: &mut Tree,
    leaf: usize,
    above: Option<(usize, bool)>,
    split: &CandidateSplit,
    rows: u64,
    rules: &GrowthRules<'_>,
) -> usize {
    let node = tree.features.len();
    match above {
        Some((above, true)) => tree.left[above] = node as i32,
        Some((above, false)) => tree.right[above] = node as i32,
        None => {}
    }
    tree.features.push(split.feature as u32);
    tree.thresholds.push(rules.binning.features[split.feature].threshold(split.bin));
    tree.bins.push(split.bin as u32);
    tree.missing_left.push(split.missing_left);
    tree.left.push(!(leaf as i32));
    tree.right.push(!(node as i32 + 1));
    tree.gains.push(split.gain);
    tree.rows.push(rows);
    node
}
