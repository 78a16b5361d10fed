//! The leader's view of the tree under way: leaf histograms and the best split of each leaf.
//!
//! Source: Chen and Guestrin (KDD 2016), equations 6 and 7 for values and gains; section 3.4 for trying
//! missing values on both sides. Growth is leaf-wise, best first (Ke et al., NeurIPS 2017).

use pulp::Arch;

use super::{
    model::Tree,
    parameters::Parameters,
    shard::{count_bits, gradient_scale, hessian_scale},
    wire::Binning,
};

/// The most bins of a feature, without the one of missing values.
const MOST_BINS: usize = 255;

/// Exact sums over rows: of first derivatives, and of second derivatives above a count of the rows, as a
/// histogram has them for each bin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums([i64; 2]);

impl Sums {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Self([self.0[0] + other.0[0], self.0[1] + other.0[1]])
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        Self([self.0[0] - other.0[0], self.0[1] - other.0[1]])
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
    count_bits: u32,
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
        let built = if rules.rows(best.left) <= rules.rows(right) { leaf } else { self.leaves.len() };
        Next::Histogram(tree, built)
    }

    /// Takes the histogram that [`Growing::next`] asked for.
    pub(super) fn absorb(&mut self, histogram: Vec<i64>, rules: &Rules<'_>) {
        if self.leaves.is_empty() {
            // Every row is in exactly one bin of each feature.
            let first = rules.allowed.first().map_or(0, |feature| rules.binning.features[*feature].bins());
            let bins = histogram.as_chunks().0.iter().take(first);
            let sums = bins.fold(Sums::default(), |sums, bin| sums.plus(Sums(*bin)));
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
            if rules.rows(best.left) <= rules.rows(right) { (histogram, other) } else { (other, histogram) };
        let child = |sums, histogram: Vec<i64>, is_left| Leaf {
            sums,
            best: rules.best_split(&histogram, sums),
            histogram,
            above: Some((node, is_left)),
        };
        // The shards wait meanwhile.
        let (left, right) =
            rayon::join(|| child(best.left, left_histogram, true), || child(right, right_histogram, false));
        self.leaves[leaf] = left;
        self.leaves.push(right);
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
        tree.rows.push(rules.rows(self.leaves[leaf].sums));
    }

    fn with_values(&self, mut tree: Tree, rules: &Rules<'_>, last: Option<(usize, &Candidate)>) -> Tree {
        let mut sums: Vec<Sums> = self.leaves.iter().map(|leaf| leaf.sums).collect();
        if let Some((leaf, split)) = last {
            sums.push(sums[leaf].minus(split.left));
            sums[leaf] = split.left;
        }
        tree.leaf_values = sums.iter().map(|sums| rules.value(*sums)).collect();
        tree.leaf_rows = sums.iter().map(|sums| rules.rows(*sums)).collect();
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
            count_bits: count_bits(binning.hessian_bits),
        }
    }

    /// How many integers a histogram has.
    pub(super) fn histogram_length(&self) -> usize {
        self.allowed.iter().map(|feature| 2 * self.binning.features[*feature].bins()).sum()
    }

    /// The number of rows.
    #[inline(always)]
    fn rows(&self, sums: Sums) -> u64 {
        sums.0[1] as u64 & ((1 << self.count_bits) - 1)
    }

    #[inline(always)]
    fn derivatives(&self, sums: Sums) -> (f64, f64) {
        (sums.0[0] as f64 * self.gradient_unit, (sums.0[1] >> self.count_bits) as f64 * self.hessian_unit)
    }

    fn value(&self, sums: Sums) -> f64 {
        let (gradient, hessian) = self.derivatives(sums);
        let curvature = hessian + self.parameters.l2;
        if curvature > 0.0 { -self.parameters.learning_rate * gradient / curvature } else { 0.0 }
    }

    #[inline(always)]
    fn score(&self, sums: Sums) -> f64 {
        let (gradient, hessian) = self.derivatives(sums);
        let curvature = hessian + self.parameters.l2;
        if curvature > 0.0 { gradient * gradient / curvature } else { 0.0 }
    }

    #[inline(always)]
    fn large_enough(&self, sums: Sums) -> bool {
        self.rows(sums) >= self.parameters.min_rows_per_leaf
            && self.derivatives(sums).1 >= self.parameters.min_hessian
    }

    /// The split of a leaf that gains most, if any gains; the first of equals.
    fn best_split(&self, histogram: &[i64], all: Sums) -> Option<Candidate> {
        if self.rows(all) < 2 * self.parameters.min_rows_per_leaf {
            return None;
        }
        // With the widest arithmetic that the processor has; the results do not depend on its width.
        Arch::new().dispatch(|| self.search(histogram, all))
    }

    #[inline(always)]
    fn search(&self, histogram: &[i64], all: Sums) -> Option<Candidate> {
        let whole = self.score(all);
        // Below this a gain is the rounding of the subtraction.
        let mut best_gain = 1e-9 * (1.0 + whole);
        let mut best = None;
        let mut rest = histogram.as_chunks().0;
        let mut lefts = Lefts::default();
        for feature in self.allowed.iter().copied() {
            let (bins, others) = rest.split_at(self.binning.features[feature].bins());
            rest = others;
            let Some((missing, bins)) = bins.split_first() else { continue };
            let missing = Sums(*missing);
            let any_missing = self.rows(missing) > 0;
            // After the last bin, the missing values are apart from all others.
            let edges = bins.len() - usize::from(!any_missing && !bins.is_empty());
            lefts.fill(&bins[..edges]);
            let mut found = self.best_edge(&lefts, edges, all, whole).map(|edge| (edge, false));
            if any_missing {
                lefts.add(missing, edges);
                let with = self.best_edge(&lefts, edges, all, whole).map(|edge| (edge, true));
                found = [found, with].into_iter().flatten().reduce(|first, second| {
                    let (one, other) = (first.0, second.0);
                    let second_is_better =
                        other.gain > one.gain || (other.gain == one.gain && other.at < one.at);
                    if second_is_better { second } else { first }
                });
            }
            if let Some((Edge { at, gain, left }, missing_left)) = found
                && gain > best_gain
            {
                best_gain = gain;
                // A missing value to come follows the larger side.
                let missing_left =
                    if any_missing { missing_left } else { 2 * self.rows(left) >= self.rows(all) };
                best = Some(Candidate { gain, feature, bin: at + 1, missing_left, left });
            }
        }
        best
    }

    /// The edge that gains most by parting what is left of it from the rest; the first of equals.
    ///
    /// All gains are computed before any is looked at, so that the divisions stand side by side.
    #[inline(always)]
    fn best_edge(&self, lefts: &Lefts, edges: usize, all: Sums, whole: f64) -> Option<Edge> {
        let mut gains = [0.0; MOST_BINS];
        let sides = lefts.first[..edges].iter().zip(&lefts.packed[..edges]);
        for (gain, (first, packed)) in gains.iter_mut().zip(sides) {
            let left = Sums([*first, *packed]);
            let right = all.minus(left);
            let allowed = self.large_enough(left) & self.large_enough(right);
            let parted = self.score(left) + self.score(right) - whole;
            *gain = if allowed { parted } else { f64::NEG_INFINITY };
        }
        let mut best: Option<Edge> = None;
        for (at, gain) in gains[..edges].iter().enumerate() {
            if *gain > best.as_ref().map_or(f64::NEG_INFINITY, |best| best.gain) {
                best = Some(Edge { at, gain: *gain, left: Sums([lefts.first[at], lefts.packed[at]]) });
            }
        }
        best
    }
}

/// What lies left of each edge of a feature, one array for each of the sums.
struct Lefts {
    first: [i64; MOST_BINS],
    packed: [i64; MOST_BINS],
}

impl Default for Lefts {
    fn default() -> Self {
        Self { first: [0; MOST_BINS], packed: [0; MOST_BINS] }
    }
}

impl Lefts {
    /// The running sums of bins.
    #[inline(always)]
    fn fill(&mut self, bins: &[[i64; 2]]) {
        let mut left = Sums::default();
        for ((first, packed), bin) in self.first.iter_mut().zip(&mut self.packed).zip(bins) {
            left = left.plus(Sums(*bin));
            [*first, *packed] = left.0;
        }
    }

    /// Moves rows to the left of the first edges.
    #[inline(always)]
    fn add(&mut self, moved: Sums, edges: usize) {
        self.first[..edges].iter_mut().for_each(|first| *first += moved.0[0]);
        self.packed[..edges].iter_mut().for_each(|packed| *packed += moved.0[1]);
    }
}

/// A place between two bins of a feature where a leaf may be split.
#[derive(Clone, Copy)]
struct Edge {
    /// The last bin that lies left of it, counted from 0 without the one of missing values.
    at: usize,
    gain: f64,
    left: Sums,
}
