//! The best split of a leaf, from its histogram.
//!
//! Source: Chen and Guestrin (KDD 2016), equations 6 and 7 for values and gains; section 3.4 for trying missing values on
//! both sides. Start at [`GrowthRules::best_split`].

use pulp::Arch;

use super::{
    fixed_point::{count_bits, gradient_scale, hessian_scale},
    messages::Binning,
    parameters::Parameters,
};

/// The most bins of a feature, that of missing values not counted.
const MOST_BINS: usize = 255;

/// Exact sums over rows, as a histogram has them for each bin: of first derivatives, and of second derivatives packed
/// with the number of rows (see the module `fixed_point`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct DerivativeSums(pub(super) [i64; 2]);

impl DerivativeSums {
    #[inline(always)]
    pub(super) fn plus(self, other: Self) -> Self {
        Self([self.0[0] + other.0[0], self.0[1] + other.0[1]])
    }

    #[inline(always)]
    pub(super) fn minus(self, other: Self) -> Self {
        Self([self.0[0] - other.0[0], self.0[1] - other.0[1]])
    }
}

/// A possible split of a leaf.
#[derive(Debug, Clone, Copy)]
pub(super) struct CandidateSplit {
    /// By how much it lowers the training objective, times two.
    pub(super) gain: f64,
    pub(super) feature: usize,
    /// The last bin whose rows go left.
    pub(super) bin: usize,
    /// Whether rows whose value is missing go left.
    pub(super) missing_left: bool,
    /// The sums of the rows that go left.
    pub(super) left: DerivativeSums,
}

/// What is the same for all splits of a tree.
pub(super) struct GrowthRules<'a> {
    pub(super) parameters: &'a Parameters,
    pub(super) binning: &'a Binning,
    /// Which features this tree may use, in ascending order; histograms are of these.
    pub(super) allowed: Vec<usize>,
    /// The real number that an integer of 1 stands for.
    gradient_unit: f64,
    hessian_unit: f64,
    count_bits: u32,
}

impl<'a> GrowthRules<'a> {
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

    /// The most splits of a tree.
    pub(super) fn most_splits(&self) -> usize {
        self.parameters.leaves as usize - 1
    }

    pub(super) fn left_is_smaller(&self, left: DerivativeSums, right: DerivativeSums) -> bool {
        self.rows(left) <= self.rows(right)
    }

    /// The number of rows of the sums.
    #[inline(always)]
    pub(super) fn rows(&self, sums: DerivativeSums) -> u64 {
        sums.0[1] as u64 & ((1 << self.count_bits) - 1)
    }

    /// The sums of first and second derivatives as real numbers.
    #[inline(always)]
    fn derivatives(&self, sums: DerivativeSums) -> (f64, f64) {
        (sums.0[0] as f64 * self.gradient_unit, (sums.0[1] >> self.count_bits) as f64 * self.hessian_unit)
    }

    /// The value of a leaf, the learning rate included.
    pub(super) fn value(&self, sums: DerivativeSums) -> f64 {
        let (gradient, hessian) = self.derivatives(sums);
        let curvature = hessian + self.parameters.l2;
        if curvature > 0.0 { -self.parameters.learning_rate * gradient / curvature } else { 0.0 }
    }

    /// The part of the training objective that a leaf removes, times two.
    #[inline(always)]
    fn score(&self, sums: DerivativeSums) -> f64 {
        let (gradient, hessian) = self.derivatives(sums);
        let curvature = hessian + self.parameters.l2;
        if curvature > 0.0 { gradient * gradient / curvature } else { 0.0 }
    }

    /// Whether rows may be a leaf of their own.
    #[inline(always)]
    fn large_enough(&self, sums: DerivativeSums) -> bool {
        self.rows(sums) >= self.parameters.min_rows_per_leaf
            && self.derivatives(sums).1 >= self.parameters.min_hessian
    }

    /// The split of a leaf with the largest gain; of equal ones the first. `None` when no split has a gain.
    pub(super) fn best_split(&self, histogram: &[i64], all: DerivativeSums) -> Option<CandidateSplit> {
        if self.rows(all) < 2 * self.parameters.min_rows_per_leaf {
            return None;
        }
        // With the widest vector instructions of the processor; the results do not depend on their width.
        Arch::new().dispatch(|| self.search(histogram, all))
    }

    #[inline(always)]
    fn search(&self, histogram: &[i64], all: DerivativeSums) -> Option<CandidateSplit> {
        let whole = self.score(all);
        // A smaller gain is the rounding error of the subtraction.
        let mut best_gain = 1e-9 * (1.0 + whole);
        let mut best = None;
        let mut rest = histogram.as_chunks().0;
        let mut lefts = LeftSums::default();
        for feature in self.allowed.iter().copied() {
            let (bins, others) = rest.split_at(self.binning.features[feature].bins());
            rest = others;
            let Some((missing, bins)) = bins.split_first() else { continue };
            let missing = DerivativeSums(*missing);
            let any_missing = self.rows(missing) > 0;
            // The edge after the last bin separates missing values from all others.
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
                // Without missing values in training, a missing value goes to the side with more rows.
                let missing_left =
                    if any_missing { missing_left } else { 2 * self.rows(left) >= self.rows(all) };
                best = Some(CandidateSplit { gain, feature, bin: at + 1, missing_left, left });
            }
        }
        best
    }

    /// The edge with the largest gain of splitting the leaf there; of equal ones the first.
    ///
    /// All gains are computed before any is compared, so that the divisions are vectorised.
    #[inline(always)]
    fn best_edge(&self, lefts: &LeftSums, edges: usize, all: DerivativeSums, whole: f64) -> Option<Edge> {
        let mut gains = [0.0; MOST_BINS];
        let sides = lefts.first[..edges].iter().zip(&lefts.packed[..edges]);
        for (gain, (first, packed)) in gains.iter_mut().zip(sides) {
            let left = DerivativeSums([*first, *packed]);
            let right = all.minus(left);
            let allowed = self.large_enough(left) & self.large_enough(right);
            let gained = self.score(left) + self.score(right) - whole;
            *gain = if allowed { gained } else { f64::NEG_INFINITY };
        }
        let mut best: Option<Edge> = None;
        for (at, gain) in gains[..edges].iter().enumerate() {
            if *gain > best.as_ref().map_or(f64::NEG_INFINITY, |best| best.gain) {
                best =
                    Some(Edge { at, gain: *gain, left: DerivativeSums([lefts.first[at], lefts.packed[at]]) });
            }
        }
        best
    }
}

/// The sums of the rows left of each edge of a feature, one array for each of the two integers.
struct LeftSums {
    first: [i64; MOST_BINS],
    packed: [i64; MOST_BINS],
}

impl Default for LeftSums {
    fn default() -> Self {
        Self { first: [0; MOST_BINS], packed: [0; MOST_BINS] }
    }
}

impl LeftSums {
    /// Sets them to the running sums of the bins.
    #[inline(always)]
    fn fill(&mut self, bins: &[[i64; 2]]) {
        let mut left = DerivativeSums::default();
        for ((first, packed), bin) in self.first.iter_mut().zip(&mut self.packed).zip(bins) {
            left = left.plus(DerivativeSums(*bin));
            [*first, *packed] = left.0;
        }
    }

    /// Adds rows to the left side of the first edges.
    #[inline(always)]
    fn add(&mut self, moved: DerivativeSums, edges: usize) {
        self.first[..edges].iter_mut().for_each(|first| *first += moved.0[0]);
        self.packed[..edges].iter_mut().for_each(|packed| *packed += moved.0[1]);
    }
}

/// An edge between two bins of a feature, where a leaf may be split.
#[derive(Clone, Copy)]
struct Edge {
    /// The last bin left of it, counted from 0, that of missing values not counted.
    at: usize,
    gain: f64,
    left: DerivativeSums,
}
