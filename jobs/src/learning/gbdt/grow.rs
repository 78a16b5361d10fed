//! The leader's view of the tree under way: leaf histograms and the best split of each leaf.
//!
//! Source: Chen and Guestrin (KDD 2016), equations 6 and 7 for values and gains; section 3.4 for trying
//! missing values on both sides. Growth is leaf-wise, best first (Ke et al., NeurIPS 2017).

use super::{
    model::Tree,
    parameters::Parameters,
    shard::{gradient_scale, hessian_scale},
    wire::Binning,
};

/// Exact sums over rows: first derivatives, second derivatives, number of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums([i64; 3]);

impl Sums {
    fn add(&mut self, bin: &[i64]) {
        for (sum, value) in self.0.iter_mut().zip(bin) {
            *sum += value;
        }
    }

    fn minus(self, other: Self) -> Self {
        Self([0, 1, 2].map(|at| self.0[at] - other.0[at]))
    }

    pub(super) fn rows(self) -> u64 {
        self.0[2].max(0) as u64
    }
}

/// The best split of a leaf.
#[derive(Debug, Clone)]
struct Candidate {
    gain: f64,
    feature: usize,
    bin: usize,
    missing_left: bool,
    left: Sums,
}

/// A leaf of the tree under way.
#[derive(Debug, Clone)]
struct Leaf {
    sums: Sums,
    histogram: Vec<i64>,
    best: Option<Candidate>,
    /// The node above, and whether the leaf is its left child.
    above: Option<(usize, bool)>,
}

/// What the tree under way needs next.
pub(super) enum Next {
    /// The histogram of this leaf, after this tree's last split; or of the root of a tree without splits.
    Histogram(Tree, usize),
    /// Nothing: it is finished.
    Finished(Tree),
}

/// The tree under way.
#[derive(Default)]
pub(super) struct Growing {
    tree: Tree,
    leaves: Vec<Leaf>,
}

/// What is the same for every split of a tree.
pub(super) struct Rules<'a> {
    pub(super) parameters: &'a Parameters,
    pub(super) binning: &'a Binning,
    /// Which features this tree may use, in ascending order; histograms are of these.
    pub(super) allowed: Vec<usize>,
    /// What the integers of the sums are worth.
    gradient_unit: f64,
    hessian_unit: f64,
}

impl Growing {
    /// Whether nothing is absorbed yet.
    pub(super) fn is_new(&self) -> bool {
        self.leaves.is_empty()
    }

    /// What is needed next; the same as long as nothing is absorbed.
    pub(super) fn next(&self, rules: &Rules<'_>) -> Next {
        if self.leaves.is_empty() {
            return Next::Histogram(Tree::default(), 0);
        }
        let mut tree = self.tree.clone();
        let Some((leaf, best)) = self.best() else {
            return Next::Finished(self.with_values(tree, rules, None));
        };
        self.add_node(&mut tree, leaf, best, rules);
        if self.leaves.len() + 1 >= rules.parameters.leaves as usize {
            return Next::Finished(self.with_values(tree, rules, Some((leaf, best))));
        }
        let right = self.leaves[leaf].sums.minus(best.left);
        let built = if best.left.rows() <= right.rows() { leaf } else { self.leaves.len() };
        Next::Histogram(tree, built)
    }

    /// Takes the histogram that [`Growing::next`] asked for.
    pub(super) fn absorb(&mut self, histogram: Vec<i64>, rules: &Rules<'_>) {
        if self.leaves.is_empty() {
            // Every row is in exactly one bin of each feature.
            let mut sums = Sums::default();
            let first = rules.allowed.first().map_or(0, |feature| rules.binning.features[*feature].bins());
            histogram.chunks_exact(3).take(first).for_each(|bin| sums.add(bin));
            let best = rules.best_split(&histogram, sums);
            self.leaves.push(Leaf { sums, histogram, best, above: None });
            return;
        }
        let Some((leaf, best)) = self.best().map(|(leaf, best)| (leaf, best.clone())) else { return };
        let mut tree = std::mem::take(&mut self.tree);
        let node = tree.features.len();
        self.add_node(&mut tree, leaf, &best, rules);
        self.tree = tree;
        let parent = &mut self.leaves[leaf];
        let right = parent.sums.minus(best.left);
        // The larger child is the parent without the smaller one.
        let mut other = std::mem::take(&mut parent.histogram);
        other.iter_mut().zip(&histogram).for_each(|(all, part)| *all -= part);
        let (left_histogram, right_histogram) =
            if best.left.rows() <= right.rows() { (histogram, other) } else { (other, histogram) };
        let child = |sums, histogram: Vec<i64>, is_left| Leaf {
            sums,
            best: rules.best_split(&histogram, sums),
            histogram,
            above: Some((node, is_left)),
        };
        self.leaves[leaf] = child(best.left, left_histogram, true);
        self.leaves.push(child(right, right_histogram, false));
    }

    /// The leaf whose split gains most; the first of equals.
    fn best(&self) -> Option<(usize, &Candidate)> {
        let mut found: Option<(usize, &Candidate)> = None;
        for (at, leaf) in self.leaves.iter().enumerate() {
            if let Some(best) = &leaf.best
                && found.is_none_or(|(_, other)| best.gain > other.gain)
            {
                found = Some((at, best));
            }
        }
        found
    }

    fn add_node(&self, tree: &mut Tree, leaf: usize, split: &Candidate, rules: &Rules<'_>) {
        let node = tree.features.len();
        match self.leaves[leaf].above {
            Some((above, true)) => tree.left[above] = node as i32,
            Some((above, false)) => tree.right[above] = node as i32,
            None => {}
        }
        tree.features.push(split.feature as u32);
        tree.thresholds.push(rules.binning.features[split.feature].threshold(split.bin));
        tree.bins.push(split.bin as u32);
        tree.missing_left.push(split.missing_left);
        tree.left.push(!(leaf as i32));
        tree.right.push(!(self.leaves.len() as i32));
        tree.gains.push(split.gain);
        tree.rows.push(self.leaves[leaf].sums.rows());
    }

    fn with_values(&self, mut tree: Tree, rules: &Rules<'_>, last: Option<(usize, &Candidate)>) -> Tree {
        let mut sums: Vec<Sums> = self.leaves.iter().map(|leaf| leaf.sums).collect();
        if let Some((leaf, split)) = last {
            sums.push(sums[leaf].minus(split.left));
            sums[leaf] = split.left;
        }
        tree.leaf_values = sums.iter().map(|sums| rules.value(*sums)).collect();
        tree.leaf_rows = sums.iter().map(|sums| sums.rows()).collect();
        tree
    }
}

impl<'a> Rules<'a> {
    /// The rules of a tree that may use the features `allowed`, in ascending order.
    pub(super) fn new(parameters: &'a Parameters, binning: &'a Binning, allowed: Vec<usize>) -> Self {
        Self {
            parameters,
            binning,
            allowed,
            gradient_unit: 1.0 / gradient_scale(binning),
            hessian_unit: 1.0 / hessian_scale(binning),
        }
    }

    /// How many integers a histogram has.
    pub(super) fn histogram_length(&self) -> usize {
        self.allowed.iter().map(|feature| 3 * self.binning.features[*feature].bins()).sum()
    }

    fn derivatives(&self, sums: Sums) -> (f64, f64) {
        (sums.0[0] as f64 * self.gradient_unit, sums.0[1] as f64 * self.hessian_unit)
    }

    fn value(&self, sums: Sums) -> f64 {
        let (gradient, hessian) = self.derivatives(sums);
        let curvature = hessian + self.parameters.l2;
        if curvature > 0.0 { -self.parameters.learning_rate * gradient / curvature } else { 0.0 }
    }

    fn score(&self, sums: Sums) -> f64 {
        let (gradient, hessian) = self.derivatives(sums);
        let curvature = hessian + self.parameters.l2;
        if curvature > 0.0 { gradient * gradient / curvature } else { 0.0 }
    }

    fn large_enough(&self, sums: Sums) -> bool {
        sums.rows() >= self.parameters.min_rows_per_leaf
            && self.derivatives(sums).1 >= self.parameters.min_hessian
    }

    /// The split of a leaf that gains most, if any gains.
    fn best_split(&self, histogram: &[i64], all: Sums) -> Option<Candidate> {
        if all.rows() < 2 * self.parameters.min_rows_per_leaf {
            return None;
        }
        let whole = self.score(all);
        // Below this a gain is the rounding of the subtraction.
        let mut best_gain = 1e-9 * (1.0 + whole);
        let mut best = None;
        let mut rest = histogram;
        for feature in self.allowed.iter().copied() {
            let (bins, others) = rest.split_at(3 * self.binning.features[feature].bins());
            rest = others;
            let (missing, bins) = bins.split_at(3);
            let last = bins.len() / 3;
            let mut try_split = |bin: usize, left: Sums, missing_left: bool| {
                let right = all.minus(left);
                if self.large_enough(left) && self.large_enough(right) {
                    let gain = self.score(left) + self.score(right) - whole;
                    if gain > best_gain {
                        best_gain = gain;
                        best = Some(Candidate { gain, feature, bin, missing_left, left });
                    }
                }
            };
            let (mut without, mut with) = (Sums::default(), Sums::default());
            with.add(missing);
            let any_missing = missing[2] > 0;
            for (at, bin) in bins.chunks_exact(3).enumerate() {
                if bin[2] == 0 {
                    continue;
                }
                without.add(bin);
                with.add(bin);
                if any_missing {
                    // Missing values to the right; after the last bin, apart from all others.
                    try_split(at + 1, without, false);
                    try_split(at + 1, with, true);
                } else if at + 1 < last {
                    // A missing value to come follows the larger side.
                    try_split(at + 1, without, 2 * without.rows() >= all.rows());
                }
            }
        }
        best
    }
}
