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
    lanes::{LANES, Lanes, add, exp2, loads, max, mul, mul_add, of, probability, store, sub, sum},
    weights::{FUSED, HEAD, HEADS, PROJECTED, Part, Shape},
};

/// Slope of LeakyReLU below 0.
pub(super) const LEAK: f32 = 0.01;
/// Added to the variance of a block of trees.
pub(super) const LEAST_VARIANCE: f32 = 1e-5;
/// Queries are scaled so that powers of two give the softmax of products divided by the root of [`HEAD`].
pub(super) const QUERY_SCALE: f32 = 0.5 * std::f32::consts::LOG2_E;

/// The weights by their parts, without those of the leaves and their projections.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) join: &'a [f32],
    pub(super) join_bias: &'a [f32],
    pub(super) gain: &'a [f32],
    pub(super) shift: &'a [f32],
    pub(super) ask_query: &'a [f32],
    pub(super) ask_tree: &'a [f32],
    pub(super) ask_bias: &'a [f32],
    pub(super) ask_weight: &'a [f32],
    pub(super) fuse: &'a [f32],
    pub(super) fuse_bias: &'a [f32],
    pub(super) hide: &'a [f32],
    pub(super) hide_bias: &'a [f32],
    pub(super) heads: &'a [f32],
    pub(super) heads_bias: &'a [f32],
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

/// What an item came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Answer {
    /// Log odds of being illicit.
    pub(super) logit: f32,
    /// ln(1 + revenue) as a share of the largest in training, by a linear head; may be below 0.
    pub(super) revenue: f32,
    /// What both heads read.
    pub(super) hidden: Vector,
}

impl Answer {
    #[inline]
    pub(super) fn probability(self) -> f32 {
        probability(self.logit)
    }
}

/// Working memory of one item: all that the way back needs of the way there.
pub(super) struct Item {
    pub(super) shape: Shape,
    pub(super) queries: Vec<f32>,
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
    /// By head and tree: four numbers of the key, four of the value.
    pub(super) pairs: Vec<[f32; 2 * HEAD]>,
    pub(super) scores: Vec<Lanes>,
    /// By head and tree: the largest score, and one by the sum of the powers.
    pub(super) tops: Vec<f32>,
    pub(super) wholes: Vec<f32>,
    pub(super) found: Vec<f32>,
    pub(super) joined: Vec<f32>,
    pub(super) normal: Vec<f32>,
    pub(super) scale: f32,
    pub(super) blocks: Vec<f32>,
    pub(super) asked: Vec<f32>,
    pub(super) shares: Vec<f32>,
    pub(super) query: Vector,
    pub(super) fused: [f32; FUSED],
    pub(super) first: Vector,
    pub(super) hidden: Vector,
    /// Gradients by number and tree, in turn of the blocks, of what was joined, and of what was found.
    pub(super) behind: Vec<f32>,
    pub(super) before: Vec<f32>,
    pub(super) keys_behind: Vec<f32>,
    pub(super) values_behind: Vec<f32>,
    pub(super) queries_behind: Vec<f32>,
}

#[inline(always)]
fn leaky(x: f32) -> f32 {
    if x > 0.0 { x } else { LEAK * x }
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
        Answer { logit: head(0), revenue: head(1), hidden: self.hidden }
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
}
