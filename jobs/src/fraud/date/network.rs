//! One item through the network, and its gradient back: DATE's attention among trees, fused.
//!
//! Source: Kim et al., "DATE: Dual Attentive Tree-aware Embedding for Customs Fraud Detection" (KDD 2020),
//! section 4, as the authors' code has it: multi-head attention among the leaves of the trees in which every
//! linear map is followed by ReLU, a normalisation over the whole block of trees, an attention over the trees
//! asked by importer × HS code, and a fusion of importer, HS code and trees with two heads. The attention is
//! computed again on the way back and never kept as a matrix (Dao et al., "FlashAttention", NeurIPS 2022,
//! section 3). Arrays stand by number and then by tree, so that neighbouring trees are computed together.
//!
//! Start at [`Item::forward`]. The projections of the leaves are the caller's: they are the same for all items
//! of a batch (see [`super::batch`]).

use super::{
    embedding::{Vector, WIDTH},
    lanes::{
        LANES, Lanes, add, exp2, load, loads, max, mul, mul_add, of, probability, store, sub, sum,
        where_positive,
    },
    weights::{FUSED, HEAD, HEADS, PROJECTED, Part, Shape},
};

/// Slope of LeakyReLU below 0.
const LEAK: f32 = 0.01;
/// Added to the variance of a block of trees.
const LEAST_VARIANCE: f32 = 1e-5;
/// Queries are scaled so that powers of two give the softmax of products divided by the root of [`HEAD`].
const QUERY_SCALE: f32 = 0.5 * std::f32::consts::LOG2_E;

/// The weights by their parts, without those of the leaves and their projections.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    join: &'a [f32],
    join_bias: &'a [f32],
    gain: &'a [f32],
    shift: &'a [f32],
    ask_query: &'a [f32],
    ask_tree: &'a [f32],
    ask_bias: &'a [f32],
    ask_weight: &'a [f32],
    fuse: &'a [f32],
    fuse_bias: &'a [f32],
    hide: &'a [f32],
    hide_bias: &'a [f32],
    heads: &'a [f32],
    heads_bias: &'a [f32],
}

impl<'a> View<'a> {
    pub(super) fn new(shape: Shape, weights: &'a [f32]) -> Self {
        let part = |part| &weights[shape.range(part)];
        Self {
            join: part(Part::Join),
            join_bias: part(Part::JoinBias),
            gain: part(Part::Gain),
            shift: part(Part::Shift),
            ask_query: part(Part::AskQuery),
            ask_tree: part(Part::AskTree),
            ask_bias: part(Part::AskBias),
            ask_weight: part(Part::AskWeight),
            fuse: part(Part::Fuse),
            fuse_bias: part(Part::FuseBias),
            hide: part(Part::Hide),
            hide_bias: part(Part::HideBias),
            heads: part(Part::Heads),
            heads_bias: part(Part::HeadsBias),
        }
    }
}

/// Gradients summed over the items of a batch, still apart by lanes where that saves sums.
pub(super) struct Sums {
    join: Vec<Lanes>,
    join_bias: [Lanes; WIDTH],
    gain: Vec<f32>,
    shift: Vec<f32>,
    ask_tree: Vec<Lanes>,
    ask_weight: [Lanes; WIDTH],
    ask_query: [f32; WIDTH * WIDTH],
    ask_bias: Vector,
    fuse: [f32; FUSED * WIDTH],
    fuse_bias: Vector,
    hide: [f32; WIDTH * WIDTH],
    hide_bias: Vector,
    heads: [f32; 2 * WIDTH],
    heads_bias: [f32; 2],
}

impl Sums {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            join: vec![[0.0; LANES]; WIDTH * WIDTH],
            join_bias: [[0.0; LANES]; WIDTH],
            gain: vec![0.0; WIDTH * shape.padded],
            shift: vec![0.0; WIDTH * shape.padded],
            ask_tree: vec![[0.0; LANES]; WIDTH * WIDTH],
            ask_weight: [[0.0; LANES]; WIDTH],
            ask_query: [0.0; WIDTH * WIDTH],
            ask_bias: [0.0; WIDTH],
            fuse: [0.0; FUSED * WIDTH],
            fuse_bias: [0.0; WIDTH],
            hide: [0.0; WIDTH * WIDTH],
            hide_bias: [0.0; WIDTH],
            heads: [0.0; 2 * WIDTH],
            heads_bias: [0.0; 2],
        }
    }

    /// Moves the sums to their places in a list of the weights' form, and begins anew.
    pub(super) fn move_to(&mut self, shape: Shape, gradient: &mut [f32]) {
        fn of_lanes(lanes: &mut [Lanes], to: &mut [f32]) {
            for (lanes, to) in lanes.iter_mut().zip(to) {
                *to = sum(std::mem::take(lanes));
            }
        }
        fn of_numbers(numbers: &mut [f32], to: &mut [f32]) {
            to.copy_from_slice(numbers);
            numbers.fill(0.0);
        }
        of_lanes(&mut self.join, &mut gradient[shape.range(Part::Join)]);
        of_lanes(&mut self.join_bias, &mut gradient[shape.range(Part::JoinBias)]);
        of_lanes(&mut self.ask_tree, &mut gradient[shape.range(Part::AskTree)]);
        of_lanes(&mut self.ask_weight, &mut gradient[shape.range(Part::AskWeight)]);
        of_numbers(&mut self.gain, &mut gradient[shape.range(Part::Gain)]);
        of_numbers(&mut self.shift, &mut gradient[shape.range(Part::Shift)]);
        of_numbers(&mut self.ask_query, &mut gradient[shape.range(Part::AskQuery)]);
        of_numbers(&mut self.ask_bias, &mut gradient[shape.range(Part::AskBias)]);
        of_numbers(&mut self.fuse, &mut gradient[shape.range(Part::Fuse)]);
        of_numbers(&mut self.fuse_bias, &mut gradient[shape.range(Part::FuseBias)]);
        of_numbers(&mut self.hide, &mut gradient[shape.range(Part::Hide)]);
        of_numbers(&mut self.hide_bias, &mut gradient[shape.range(Part::HideBias)]);
        of_numbers(&mut self.heads, &mut gradient[shape.range(Part::Heads)]);
        of_numbers(&mut self.heads_bias, &mut gradient[shape.range(Part::HeadsBias)]);
    }
}

/// What an item came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Answer {
    /// Log odds of being illicit.
    pub(super) logit: f32,
    /// The revenue head before its ReLU.
    pub(super) revenue: f32,
}

impl Answer {
    #[inline]
    pub(super) fn probability(self) -> f32 {
        probability(self.logit)
    }
}

/// Working memory of one item: all that the way back needs of the way there.
pub(super) struct Item {
    shape: Shape,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    /// By head and tree: four numbers of the key, four of the value.
    pairs: Vec<[f32; 2 * HEAD]>,
    scores: Vec<Lanes>,
    /// By head and tree: the largest score, and one by the sum of the powers.
    tops: Vec<f32>,
    wholes: Vec<f32>,
    found: Vec<f32>,
    joined: Vec<f32>,
    normal: Vec<f32>,
    scale: f32,
    blocks: Vec<f32>,
    asked: Vec<f32>,
    shares: Vec<f32>,
    query: Vector,
    fused: [f32; FUSED],
    first: Vector,
    hidden: Vector,
    /// Gradients by number and tree, in turn of the blocks, of what was joined, and of what was found.
    behind: Vec<f32>,
    before: Vec<f32>,
    keys_behind: Vec<f32>,
    values_behind: Vec<f32>,
    queries_behind: Vec<f32>,
}

#[inline(always)]
fn leaky(x: f32) -> f32 {
    if x > 0.0 { x } else { LEAK * x }
}

#[inline(always)]
fn leaky_slope(y: f32) -> f32 {
    if y > 0.0 { 1.0 } else { LEAK }
}

/// `inputs` times a matrix that stands by input and then by output, plus `bias`.
#[inline(always)]
fn linear(inputs: &[f32], matrix: &[f32], bias: &[f32]) -> Vector {
    let mut outputs: Vector = std::array::from_fn(|at| bias[at]);
    for (input, row) in inputs.iter().zip(matrix.as_chunks::<WIDTH>().0) {
        for (output, weight) in outputs.iter_mut().zip(row) {
            *output += input * weight;
        }
    }
    outputs
}

/// The way back through [`linear`]: adds to the matrix's gradient and returns that of input `at`.
#[inline(always)]
fn linear_back(
    inputs: &[f32],
    matrix: &[f32],
    outputs: &Vector,
    matrix_sums: &mut [f32],
    mut give: impl FnMut(usize, f32),
) {
    let rows = matrix.as_chunks::<WIDTH>().0.iter().zip(matrix_sums.as_chunks_mut::<WIDTH>().0);
    for (at, (input, (row, sums))) in inputs.iter().zip(rows).enumerate() {
        let mut behind = [0.0; LANES];
        for half in [0, LANES] {
            behind = mul_add(load(row, half), load(outputs, half), behind);
        }
        for (sum, output) in sums.iter_mut().zip(outputs) {
            *sum += input * output;
        }
        give(at, sum(behind));
    }
}

impl Item {
    pub(super) fn new(shape: Shape) -> Self {
        let block = || vec![0.0; WIDTH * shape.padded];
        Self {
            queries: block(),
            keys: block(),
            values: block(),
            pairs: vec![[0.0; 2 * HEAD]; HEADS * shape.trees],
            scores: vec![[0.0; LANES]; shape.trees],
            tops: vec![0.0; HEADS * shape.padded],
            wholes: vec![0.0; HEADS * shape.padded],
            found: block(),
            joined: block(),
            normal: block(),
            scale: 0.0,
            blocks: block(),
            asked: block(),
            shares: vec![0.0; shape.padded],
            query: [0.0; WIDTH],
            fused: [0.0; FUSED],
            first: [0.0; WIDTH],
            hidden: [0.0; WIDTH],
            behind: block(),
            before: block(),
            keys_behind: block(),
            values_behind: block(),
            queries_behind: block(),
            shape,
        }
    }

    /// The item's answer. `leaves` are its places in `projections`, one for each tree.
    #[inline(always)]
    pub(super) fn forward(
        &mut self,
        view: &View<'_>,
        projections: &[[f32; PROJECTED]],
        leaves: &[u32],
        importer: &Vector,
        code: &Vector,
    ) -> Answer {
        self.gather(projections, leaves);
        self.attend();
        self.join(view);
        self.normalise(view);
        self.query = std::array::from_fn(|at| importer[at] * code[at]);
        self.ask(view);
        self.fused[..WIDTH].copy_from_slice(importer);
        self.fused[WIDTH..2 * WIDTH].copy_from_slice(code);
        self.first = linear(&self.fused, view.fuse, view.fuse_bias).map(leaky);
        self.hidden = linear(&self.first, view.hide, view.hide_bias).map(leaky);
        let head = |at: usize| {
            let weights = &view.heads[at * WIDTH..(at + 1) * WIDTH];
            let products: f32 =
                weights.iter().zip(&self.hidden).map(|(weight, hidden)| weight * hidden).sum();
            products + view.heads_bias[at]
        };
        Answer { logit: head(0), revenue: head(1) }
    }

    /// Lays the leaves' projections out by number and tree.
    #[inline(always)]
    fn gather(&mut self, projections: &[[f32; PROJECTED]], leaves: &[u32]) {
        let Shape { trees, padded, .. } = self.shape;
        for (tree, leaf) in leaves.iter().enumerate() {
            let projected = &projections[*leaf as usize];
            for at in 0..WIDTH {
                self.queries[at * padded + tree] = QUERY_SCALE * projected[at];
                self.keys[at * padded + tree] = projected[WIDTH + at];
                self.values[at * padded + tree] = projected[2 * WIDTH + at];
            }
            for head in 0..HEADS {
                let pair = &mut self.pairs[head * trees + tree];
                pair[..HEAD].copy_from_slice(&projected[WIDTH + head * HEAD..][..HEAD]);
                pair[HEAD..].copy_from_slice(&projected[2 * WIDTH + head * HEAD..][..HEAD]);
            }
        }
    }

    #[inline(always)]
    fn attend(&mut self) {
        let Shape { trees, padded, .. } = self.shape;
        for head in 0..HEADS {
            let pairs = &self.pairs[head * trees..(head + 1) * trees];
            for at in (0..padded).step_by(LANES) {
                let place = |number: usize| (head * HEAD + number) * padded + at;
                let query: [Lanes; HEAD] = loads(&self.queries, padded, place(0));
                // Queries and keys come out of a ReLU, so that no product is below 0.
                let mut top = [0.0; LANES];
                for (score, pair) in self.scores.iter_mut().zip(pairs) {
                    *score = mul(query[0], [pair[0]; LANES]);
                    for number in 1..HEAD {
                        *score = mul_add(query[number], [pair[number]; LANES], *score);
                    }
                    top = max(top, *score);
                }
                let (mut whole, mut found) = ([0.0; LANES], [[0.0; LANES]; HEAD]);
                for (score, pair) in self.scores.iter().zip(pairs) {
                    let power = exp2(sub(*score, top));
                    whole = add(whole, power);
                    for number in 0..HEAD {
                        found[number] = mul_add(power, [pair[HEAD + number]; LANES], found[number]);
                    }
                }
                let whole = of(|lane| 1.0 / whole[lane]);
                for (number, found) in found.into_iter().enumerate() {
                    store(&mut self.found, place(number), mul(found, whole));
                }
                store(&mut self.tops, head * padded + at, top);
                store(&mut self.wholes, head * padded + at, whole);
            }
        }
    }

    /// What the heads found, joined by a linear map and a ReLU.
    #[inline(always)]
    fn join(&mut self, view: &View<'_>) {
        let Shape { trees, padded, .. } = self.shape;
        for at in (0..padded).step_by(LANES) {
            let found: [Lanes; WIDTH] = loads(&self.found, padded, at);
            for (output, weights) in view.join.as_chunks::<WIDTH>().0.iter().enumerate() {
                let mut joined = [view.join_bias[output]; LANES];
                for (found, weight) in found.iter().zip(weights) {
                    joined = mul_add(*found, [*weight; LANES], joined);
                }
                store(&mut self.joined, output * padded + at, max(joined, [0.0; LANES]));
            }
        }
        for joined in self.joined.chunks_exact_mut(padded) {
            joined[trees..].fill(0.0);
        }
    }

    #[inline(always)]
    fn normalise(&mut self, view: &View<'_>) {
        let Shape { trees, padded, .. } = self.shape;
        let count = (trees * WIDTH) as f32;
        let mut total = [0.0; LANES];
        for joined in self.joined.as_chunks::<LANES>().0 {
            total = add(total, *joined);
        }
        let mean = [sum(total) / count; LANES];
        for (normal, joined) in self.normal.as_chunks_mut().0.iter_mut().zip(self.joined.as_chunks().0) {
            *normal = sub(*joined, mean);
        }
        for normal in self.normal.chunks_exact_mut(padded) {
            normal[trees..].fill(0.0);
        }
        let mut squares = [0.0; LANES];
        for normal in self.normal.as_chunks::<LANES>().0 {
            squares = mul_add(*normal, *normal, squares);
        }
        self.scale = 1.0 / (sum(squares) / count + LEAST_VARIANCE).sqrt();
        let affine = view.gain.as_chunks::<LANES>().0.iter().zip(view.shift.as_chunks::<LANES>().0);
        let normals = self.normal.as_chunks_mut::<LANES>().0.iter_mut();
        for ((normal, block), (gain, shift)) in
            normals.zip(self.blocks.as_chunks_mut::<LANES>().0).zip(affine)
        {
            *normal = mul(*normal, [self.scale; LANES]);
            *block = mul_add(*normal, *gain, *shift);
        }
    }

    /// The attention over the trees, asked by importer and HS code: what it takes is the fusion's last part.
    #[inline(always)]
    fn ask(&mut self, view: &View<'_>) {
        let Shape { trees, padded, .. } = self.shape;
        let asking = linear(&self.query, view.ask_query, view.ask_bias);
        for at in (0..padded).step_by(LANES) {
            let block: [Lanes; WIDTH] = loads(&self.blocks, padded, at);
            let mut score = [0.0; LANES];
            for (output, weights) in view.ask_tree.as_chunks::<WIDTH>().0.iter().enumerate() {
                let mut asked = [asking[output]; LANES];
                for (block, weight) in block.iter().zip(weights) {
                    asked = mul_add(*block, [*weight; LANES], asked);
                }
                let asked = max(asked, [0.0; LANES]);
                store(&mut self.asked, output * padded + at, asked);
                score = mul_add(asked, [view.ask_weight[output]; LANES], score);
            }
            store(&mut self.shares, at, mul(score, [std::f32::consts::LOG2_E; LANES]));
        }
        self.shares[trees..].fill(f32::NEG_INFINITY);
        let mut tops = [f32::NEG_INFINITY; LANES];
        for score in self.shares.as_chunks::<LANES>().0 {
            tops = max(tops, *score);
        }
        let top =
            tops.into_iter().fold(f32::NEG_INFINITY, |top, other| if other > top { other } else { top });
        for share in self.shares.as_chunks_mut::<LANES>().0 {
            *share = exp2(sub(*share, [top; LANES]));
        }
        self.shares[trees..].fill(0.0);
        let mut whole = [0.0; LANES];
        for share in self.shares.as_chunks::<LANES>().0 {
            whole = add(whole, *share);
        }
        let whole = 1.0 / sum(whole);
        for share in self.shares.as_chunks_mut::<LANES>().0 {
            *share = mul(*share, [whole; LANES]);
        }
        for (taken, block) in self.fused[2 * WIDTH..].iter_mut().zip(self.blocks.chunks_exact(padded)) {
            let mut total = [0.0; LANES];
            for (share, block) in self.shares.as_chunks().0.iter().zip(block.as_chunks().0) {
                total = mul_add(*share, *block, total);
            }
            *taken = sum(total);
        }
    }

    /// The way back of the last [`Item::forward`]: adds to `sums`, and to `projections_behind` at `leaves`, and
    /// returns the gradients of the importer's and the code's vectors. `logit` and `revenue` are the gradients of
    /// the answer.
    #[inline(always)]
    pub(super) fn backward(
        &mut self,
        view: &View<'_>,
        leaves: &[u32],
        (logit, revenue): (f32, f32),
        sums: &mut Sums,
        projections_behind: &mut [[f32; PROJECTED]],
    ) -> (Vector, Vector) {
        let fused = self.fusion_back(view, (logit, revenue), sums);
        let query = self.ask_back(view, &fused, sums);
        self.normalise_back(view, sums);
        self.join_back(view, sums);
        self.attend_back();
        self.scatter(leaves, projections_behind);
        let importer = std::array::from_fn(|at| fused[at] + query[at] * self.fused[WIDTH + at]);
        let code = std::array::from_fn(|at| fused[WIDTH + at] + query[at] * self.fused[at]);
        (importer, code)
    }

    #[inline(always)]
    fn fusion_back(&self, view: &View<'_>, (logit, revenue): (f32, f32), sums: &mut Sums) -> [f32; FUSED] {
        let mut hidden = [0.0; WIDTH];
        for at in 0..WIDTH {
            sums.heads[at] += logit * self.hidden[at];
            sums.heads[WIDTH + at] += revenue * self.hidden[at];
            hidden[at] =
                (logit * view.heads[at] + revenue * view.heads[WIDTH + at]) * leaky_slope(self.hidden[at]);
            sums.hide_bias[at] += hidden[at];
        }
        sums.heads_bias[0] += logit;
        sums.heads_bias[1] += revenue;
        let mut first = [0.0; WIDTH];
        linear_back(&self.first, view.hide, &hidden, &mut sums.hide, |at, behind| {
            first[at] = behind * leaky_slope(self.first[at]);
        });
        for at in 0..WIDTH {
            sums.fuse_bias[at] += first[at];
        }
        let mut fused = [0.0; FUSED];
        linear_back(&self.fused, view.fuse, &first, &mut sums.fuse, |at, behind| fused[at] = behind);
        fused
    }

    /// Leaves the gradient of the blocks in `behind` and returns that of the query.
    #[inline(always)]
    fn ask_back(&mut self, view: &View<'_>, fused: &[f32; FUSED], sums: &mut Sums) -> Vector {
        let padded = self.shape.padded;
        let taken = &fused[2 * WIDTH..];
        // What the gradient of a share is above the mean of the shares'.
        let mean: f32 =
            taken.iter().zip(&self.fused[2 * WIDTH..]).map(|(behind, taken)| behind * taken).sum();
        let mut asking = [[0.0; LANES]; WIDTH];
        for at in (0..padded).step_by(LANES) {
            let block: [Lanes; WIDTH] = loads(&self.blocks, padded, at);
            let share = load(&self.shares, at);
            let mut above = [-mean; LANES];
            for (block, taken) in block.iter().zip(taken) {
                above = mul_add(*block, [*taken; LANES], above);
            }
            let score = mul(share, above);
            let mut behind = [[0.0; LANES]; WIDTH];
            for (behind, taken) in behind.iter_mut().zip(taken) {
                *behind = mul(share, [*taken; LANES]);
            }
            let matrices =
                view.ask_tree.as_chunks::<WIDTH>().0.iter().zip(sums.ask_tree.as_chunks_mut::<WIDTH>().0);
            for (output, (weights, weight_sums)) in matrices.enumerate() {
                let asked = load(&self.asked, output * padded + at);
                sums.ask_weight[output] = mul_add(score, asked, sums.ask_weight[output]);
                let asked = where_positive(asked, mul(score, [view.ask_weight[output]; LANES]));
                asking[output] = add(asking[output], asked);
                for number in 0..WIDTH {
                    weight_sums[number] = mul_add(asked, block[number], weight_sums[number]);
                    behind[number] = mul_add(asked, [weights[number]; LANES], behind[number]);
                }
            }
            for (number, behind) in behind.into_iter().enumerate() {
                store(&mut self.behind, number * padded + at, behind);
            }
        }
        let asking = asking.map(sum);
        for at in 0..WIDTH {
            sums.ask_bias[at] += asking[at];
        }
        let mut query = [0.0; WIDTH];
        linear_back(&self.query, view.ask_query, &asking, &mut sums.ask_query, |at, behind| {
            query[at] = behind
        });
        query
    }

    /// From the gradient of the blocks to that of what was joined, before its ReLU, in `before`.
    #[inline(always)]
    fn normalise_back(&mut self, view: &View<'_>, sums: &mut Sums) {
        let (mut total, mut products) = ([0.0; LANES], [0.0; LANES]);
        let behind = self.behind.as_chunks_mut::<LANES>().0.iter_mut();
        let normal = self.normal.as_chunks::<LANES>().0.iter();
        let gains = view.gain.as_chunks::<LANES>().0.iter().zip(sums.gain.as_chunks_mut::<LANES>().0);
        let shifts = sums.shift.as_chunks_mut::<LANES>().0.iter_mut();
        for (((behind, normal), (gain, gain_sum)), shift_sum) in behind.zip(normal).zip(gains).zip(shifts) {
            *gain_sum = mul_add(*behind, *normal, *gain_sum);
            *shift_sum = add(*shift_sum, *behind);
            *behind = mul(*behind, *gain);
            total = add(total, *behind);
            products = mul_add(*behind, *normal, products);
        }
        let count = (self.shape.trees * WIDTH) as f32;
        let (mean, slope) = ([sum(total) / count; LANES], [sum(products) / count; LANES]);
        let behind = self.behind.as_chunks::<LANES>().0.iter().zip(self.normal.as_chunks::<LANES>().0);
        let joined = self.joined.as_chunks::<LANES>().0.iter().zip(self.before.as_chunks_mut::<LANES>().0);
        for ((behind, normal), (joined, before)) in behind.zip(joined) {
            let centred = sub(sub(*behind, mean), mul(*normal, slope));
            *before = where_positive(*joined, mul(centred, [self.scale; LANES]));
        }
    }

    /// From the gradient in `before` to that of what the heads found, in `behind`.
    #[inline(always)]
    fn join_back(&mut self, view: &View<'_>, sums: &mut Sums) {
        let padded = self.shape.padded;
        for at in (0..padded).step_by(LANES) {
            let found: [Lanes; WIDTH] = loads(&self.found, padded, at);
            let mut behind = [[0.0; LANES]; WIDTH];
            let matrices = view.join.as_chunks::<WIDTH>().0.iter().zip(sums.join.as_chunks_mut::<WIDTH>().0);
            for (output, (weights, weight_sums)) in matrices.enumerate() {
                let before = load(&self.before, output * padded + at);
                sums.join_bias[output] = add(sums.join_bias[output], before);
                for number in 0..WIDTH {
                    weight_sums[number] = mul_add(before, found[number], weight_sums[number]);
                    behind[number] = mul_add(before, [weights[number]; LANES], behind[number]);
                }
            }
            for (number, behind) in behind.into_iter().enumerate() {
                store(&mut self.behind, number * padded + at, behind);
            }
        }
    }

    /// From the gradient of what the heads found, in `behind`, to those of queries, keys and values.
    #[inline(always)]
    fn attend_back(&mut self) {
        let Shape { trees, padded, .. } = self.shape;
        self.keys_behind.fill(0.0);
        self.values_behind.fill(0.0);
        for head in 0..HEADS {
            let range = head * HEAD * padded..(head + 1) * HEAD * padded;
            let (keys, values) = (&self.keys[range.clone()], &self.values[range.clone()]);
            let keys_behind = &mut self.keys_behind[range.clone()];
            let values_behind = &mut self.values_behind[range.clone()];
            let queries_behind = &mut self.queries_behind[range.clone()];
            let (queries, behind) = (&self.queries[range.clone()], &self.behind[range.clone()]);
            let found = &self.found[range];
            for tree in 0..trees {
                let query: [f32; HEAD] = std::array::from_fn(|number| queries[number * padded + tree]);
                let given: [f32; HEAD] = std::array::from_fn(|number| behind[number * padded + tree]);
                let mut mean = 0.0;
                for number in 0..HEAD {
                    mean += given[number] * found[number * padded + tree];
                }
                let top = [self.tops[head * padded + tree]; LANES];
                let whole = [self.wholes[head * padded + tree]; LANES];
                let mut query_behind = [[0.0; LANES]; HEAD];
                for at in (0..padded).step_by(LANES) {
                    let key: [Lanes; HEAD] = loads(keys, padded, at);
                    let mut score = mul(key[0], [query[0]; LANES]);
                    for number in 1..HEAD {
                        score = mul_add(key[number], [query[number]; LANES], score);
                    }
                    let share = mul(exp2(sub(score, top)), whole);
                    let mut above = [-mean; LANES];
                    for number in 0..HEAD {
                        let value = load(values, number * padded + at);
                        above = mul_add(value, [given[number]; LANES], above);
                    }
                    let score = mul(share, above);
                    for number in 0..HEAD {
                        let place = number * padded + at;
                        query_behind[number] = mul_add(score, key[number], query_behind[number]);
                        let sum = load(values_behind, place);
                        store(values_behind, place, mul_add(share, [given[number]; LANES], sum));
                        let sum = load(keys_behind, place);
                        store(keys_behind, place, mul_add(score, [query[number]; LANES], sum));
                    }
                }
                for (number, lanes) in query_behind.into_iter().enumerate() {
                    queries_behind[number * padded + tree] = sum(lanes);
                }
            }
        }
    }

    /// Adds the gradients of queries, keys and values to those of the leaves' projections.
    #[inline(always)]
    fn scatter(&self, leaves: &[u32], projections_behind: &mut [[f32; PROJECTED]]) {
        let padded = self.shape.padded;
        // A query met keys divided by the root of their number; a key met queries that were scaled already.
        let (query_scale, key_scale) = (0.5, 0.5 / QUERY_SCALE);
        for (tree, leaf) in leaves.iter().enumerate() {
            let projected = &mut projections_behind[*leaf as usize];
            for at in 0..WIDTH {
                projected[at] += query_scale * self.queries_behind[at * padded + tree];
                projected[WIDTH + at] += key_scale * self.keys_behind[at * padded + tree];
                projected[2 * WIDTH + at] += self.values_behind[at * padded + tree];
            }
        }
    }
}
