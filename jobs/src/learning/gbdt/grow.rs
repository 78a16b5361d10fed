//! The leader's view of the tree under way: leaf histograms and the best split of each leaf.
//!
//! Source: Chen and Guestrin (KDD 2016), equations 6 and 7 for values and gains; section 3.4 for trying
//! missing values on both sides. Growth is leaf-wise, best first (Ke et al., NeurIPS 2017).

use std::collections::VecDeque;

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
#[derive(Debug, Clone, Copy)]
struct Candidate {
    gain: f64,
    feature: usize,
    bin: usize,
    missing_left: bool,
    left: Sums,
}

/// Rows of the tree under way that lie together: a leaf, or a split.
#[derive(Debug)]
struct Node {
    sums: Sums,
    /// Taken by the children once they are known.
    histogram: Vec<i64>,
    best: Option<Candidate>,
    /// Its number among the shards' leaves; a left child keeps its parent's.
    leaf: usize,
    /// The shards' split above, and whether the node is its left child.
    above: Option<(usize, bool)>,
    /// The shards' split of it, once it is asked for.
    split: Option<usize>,
    /// Known once the answer is there.
    children: Option<[usize; 2]>,
}

/// A leaf of the tree as far as it is decided; its number is its place in the list.
#[derive(Debug)]
struct Place {
    node: usize,
    /// The decided split above, and whether the leaf is its left child.
    above: Option<(usize, bool)>,
}

/// What the tree under way needs next.
pub(super) enum Next {
    /// The histogram of this leaf, after the last split of the shards' tree; or of the root of a tree without splits.
    Histogram(Box<Tree>, usize),
    /// An answer to what was asked before.
    Answer,
    /// Nothing: it is finished.
    Finished(Box<Finished>),
}

/// A finished tree.
pub(super) struct Finished {
    pub(super) tree: Tree,
    /// A tree of the same values for all rows that has the splits of the shards, in their order.
    pub(super) of_shards: Tree,
}

/// The tree under way.
///
/// Splits are *asked for* before it is certain that the tree will have them, so that the shards compute while
/// answers travel. They are *decided* in the order of their gains, as far as the answers reach, so that the tree
/// does not depend on what was asked for in vain.
#[derive(Debug, Default)]
pub(super) struct Growing {
    nodes: Vec<Node>,
    /// The splits that were asked for, in the order of asking.
    of_shards: Tree,
    /// The leaf that each of them parted.
    parted: Vec<usize>,
    /// The nodes whose answers are awaited, the oldest first; the root is one before there are nodes.
    awaited: VecDeque<usize>,
    /// The splits that are decided, in the order of deciding.
    tree: Tree,
    places: Vec<Place>,
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
    /// What is needed next, besides what was asked for and is awaited.
    pub(super) fn next(&mut self, rules: &Rules<'_>) -> Next {
        if self.nodes.is_empty() {
            if !self.awaited.is_empty() {
                return Next::Answer;
            }
            self.awaited.push_back(0);
            return Next::Histogram(Box::default(), 0);
        }
        let left = rules.most_splits() - self.tree.features.len();
        let mut nodes: Vec<usize> = self.places.iter().map(|place| place.node).collect();
        match self.best(&nodes) {
            None => return Next::Finished(Box::new(self.finish(None, rules))),
            Some((last, _)) if left == 1 => {
                return Next::Finished(Box::new(self.finish(Some(last), rules)));
            }
            Some(_) => {}
        }
        // On from what is decided, as if the awaited nodes had leaves that are not worth a split. The last split is
        // not looked for: nobody needs the histograms below it.
        for _ in 1..left {
            let Some((at, best)) = self.best(&nodes) else { break };
            let Node { split, children, .. } = &self.nodes[nodes[at]];
            match (split, children) {
                (None, _) => return self.ask(nodes[at], &best, rules),
                (Some(_), None) => {
                    nodes.remove(at);
                }
                (Some(_), Some([left, right])) => {
                    nodes[at] = *left;
                    nodes.push(*right);
                }
            }
        }
        Next::Answer
    }

    /// Takes the oldest histogram that [`Growing::next`] asked for.
    pub(super) fn absorb(&mut self, histogram: Vec<i64>, rules: &Rules<'_>) {
        let Some(asked) = self.awaited.pop_front() else { return };
        let Some(node) = self.nodes.get_mut(asked) else {
            // Every row is in exactly one bin of each feature.
            let first = rules.allowed.first().map_or(0, |feature| rules.binning.features[*feature].bins());
            let bins = histogram.as_chunks().0.iter().take(first);
            let sums = bins.fold(Sums::default(), |sums, bin| sums.plus(Sums(*bin)));
            self.nodes.push(Node::new(sums, histogram, 0, None, rules));
            self.places.push(Place { node: 0, above: None });
            return;
        };
        let (Some(best), Some(split)) = (&node.best, node.split) else { return };
        let (left, right) = (best.left, node.sums.minus(best.left));
        // The larger child is the parent without the smaller one.
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
        self.nodes[asked].children = Some([next, next + 1]);
        self.nodes.extend([left, right]);
        self.decide(rules);
    }

    /// Decides the splits that gain most, as far as their children are known; but for the last.
    fn decide(&mut self, rules: &Rules<'_>) {
        while self.tree.features.len() + 1 < rules.most_splits() {
            let nodes: Vec<usize> = self.places.iter().map(|place| place.node).collect();
            let Some((at, best)) = self.best(&nodes) else { return };
            let Some([left, right]) = self.nodes[nodes[at]].children else { return };
            let rows = rules.rows(self.nodes[nodes[at]].sums);
            let split = add_split(&mut self.tree, at, self.places[at].above, &best, rows, rules);
            self.places[at] = Place { node: left, above: Some((split, true)) };
            self.places.push(Place { node: right, above: Some((split, false)) });
        }
    }

    /// The one of some nodes whose split gains most, by its place among them; the first of equals.
    fn best(&self, nodes: &[usize]) -> Option<(usize, Candidate)> {
        let mut found: Option<(usize, Candidate)> = None;
        for (at, node) in nodes.iter().enumerate() {
            if let Some(best) = self.nodes[*node].best
                && found.is_none_or(|(_, other)| best.gain > other.gain)
            {
                found = Some((at, best));
            }
        }
        found
    }

    /// Asks for the histogram of the smaller child of a node.
    fn ask(&mut self, node: usize, best: &Candidate, rules: &Rules<'_>) -> Next {
        let split = self.part(node, best, rules);
        self.awaited.push_back(node);
        let Node { sums, leaf, .. } = self.nodes[node];
        let left_is_smaller = rules.left_is_smaller(best.left, sums.minus(best.left));
        Next::Histogram(Box::new(self.of_shards.clone()), if left_is_smaller { leaf } else { split + 1 })
    }

    /// Has the shards split a node.
    fn part(&mut self, node: usize, best: &Candidate, rules: &Rules<'_>) -> usize {
        let Node { sums, leaf, above, .. } = self.nodes[node];
        let split = add_split(&mut self.of_shards, leaf, above, best, rules.rows(sums), rules);
        self.parted.push(leaf);
        self.nodes[node].split = Some(split);
        split
    }

    /// The tree with the values of its leaves, after one more split if one is worth it.
    fn finish(&mut self, last: Option<usize>, rules: &Rules<'_>) -> Finished {
        let ends = self.places.iter().map(|place| &self.nodes[place.node]).map(|node| (node.sums, node.leaf));
        let mut ends: Vec<(Sums, usize)> = ends.collect();
        if let Some(at) = last
            && let Place { node, above } = self.places[at]
            && let Some(best) = self.nodes[node].best
        {
            let sums = self.nodes[node].sums;
            add_split(&mut self.tree, at, above, &best, rules.rows(sums), rules);
            let split = self.nodes[node].split.unwrap_or_else(|| self.part(node, &best, rules));
            ends[at].0 = best.left;
            ends.push((sums.minus(best.left), split + 1));
        }
        let mut tree = std::mem::take(&mut self.tree);
        tree.leaf_values = ends.iter().map(|(sums, _)| rules.value(*sums)).collect();
        tree.leaf_rows = ends.iter().map(|(sums, _)| rules.rows(*sums)).collect();

        let mut values = vec![None; self.parted.len() + 1];
        for ((_, leaf), value) in ends.iter().zip(&tree.leaf_values) {
            values[*leaf] = Some(*value);
        }
        // What was parted in vain keeps the value on both sides.
        for (split, leaf) in self.parted.iter().enumerate() {
            values[split + 1] = values[split + 1].or(values[*leaf]);
        }
        let mut of_shards = std::mem::take(&mut self.of_shards);
        of_shards.leaf_values = values.into_iter().map(Option::unwrap_or_default).collect();
        Finished { tree, of_shards }
    }
}

impl Node {
    fn new(
        sums: Sums,
        histogram: Vec<i64>,
        leaf: usize,
        above: Option<(usize, bool)>,
        rules: &Rules<'_>,
    ) -> Self {
        let best = rules.best_split(&histogram, sums);
        Self { sums, histogram, best, leaf, above, split: None, children: None }
    }
}

/// Splits a leaf of a tree: the left child keeps its number, the right one gets the next free one.
fn add_split(
    tree: &mut Tree,
    leaf: usize,
    above: Option<(usize, bool)>,
    split: &Candidate,
    rows: u64,
    rules: &Rules<'_>,
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

    /// How many splits a tree has at most.
    fn most_splits(&self) -> usize {
        self.parameters.leaves as usize - 1
    }

    fn left_is_smaller(&self, left: Sums, right: Sums) -> bool {
        self.rows(left) <= self.rows(right)
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
