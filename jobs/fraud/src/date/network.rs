//! The forward pass of one item through DATE's network.
//!
//! Source: Kim et al., "DATE: Dual Attentive Tree-aware Embedding for Customs Fraud Detection" (KDD 2020), section 4,
//! as the authors' code has it: multi-head self-attention among the leaves of the trees in which every linear map is
//! followed by ReLU, a layer norm over the vectors of all trees together, an attention over the trees whose query is
//! importer × HS code, and a fusion of importer, HS code and trees with two heads. The matrix of attention weights is
//! never stored; the backward pass computes it again (Dao et al., "FlashAttention", NeurIPS 2022, section 3). Arrays
//! are in the order of a vector's numbers and then of trees, so that neighbouring trees are computed together.
//!
//! Start at [`Workspace::forward`]. It is given the projections (query, key and value) of the leaves, which are the
//! same for all items of a batch (see [`super::batch`]). The backward pass is in [`super::backward`].

use super::{
    lanes::{LANES, Lanes, add, each_lane, exp2, loads, max, mul, mul_add, probability, store, sub, sum},
    vector::{Vector, WIDTH},
    weights::{FUSED, HEAD, HEADS, PROJECTED, Part, Shape},
};

/// Slope of LeakyReLU below 0.
pub(super) const LEAK: f32 = 0.01;
/// Added to the variance in the layer norm.
pub(super) const LEAST_VARIANCE: f32 = 1e-5;
/// Factor of queries: 1 / √[`HEAD`] as usual in attention, and log2(e), because the softmax takes powers of two.
pub(super) const QUERY_SCALE: f32 = 0.5 * std::f32::consts::LOG2_E;

/// The weights by their parts, without the leaves' vectors and their projections (see [`Part`]).
#[derive(Clone, Copy)]
pub(super) struct WeightViews<'a> {
    pub(super) join: &'a [f32],
    pub(super) join_bias: &'a [f32],
    pub(super) gain: &'a [f32],
    pub(super) shift: &'a [f32],
    pub(super) attention_query: &'a [f32],
    pub(super) attention_tree: &'a [f32],
    pub(super) attention_bias: &'a [f32],
    pub(super) attention_score: &'a [f32],
    pub(super) fusion: &'a [f32],
    pub(super) fusion_bias: &'a [f32],
    pub(super) hidden: &'a [f32],
    pub(super) hidden_bias: &'a [f32],
    pub(super) heads: &'a [f32],
    pub(super) heads_bias: &'a [f32],
}

impl<'a> WeightViews<'a> {
    pub(super) fn new(shape: Shape, weights: &'a [f32]) -> Self {
        let part = |part| &weights[shape.range(part)];
        Self {
            join: part(Part::HeadJoin),
            join_bias: part(Part::HeadJoinBias),
            gain: part(Part::NormGain),
            shift: part(Part::NormShift),
            attention_query: part(Part::AttentionQuery),
            attention_tree: part(Part::AttentionTree),
            attention_bias: part(Part::AttentionBias),
            attention_score: part(Part::AttentionScore),
            fusion: part(Part::Fusion),
            fusion_bias: part(Part::FusionBias),
            hidden: part(Part::Hidden),
            hidden_bias: part(Part::HiddenBias),
            heads: part(Part::Heads),
            heads_bias: part(Part::HeadsBias),
        }
    }
}

/// The network's output for one item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NetworkOutput {
    /// Log odds of being illicit.
    pub(super) logit: f32,
    /// ln(1 + revenue) as a share of the largest in training, by a linear head; may be below 0.
    pub(super) revenue: f32,
    /// The last hidden layer, which both heads read.
    pub(super) hidden: Vector,
}

impl NetworkOutput {
    /// Probability of being illicit, 0 to 1.
    /// Probability of being illicit, 0 to 1.
    #[inline]
    pub(super) fn probability(self) -> f32 {
        probability(self.logit)
    }
}

/// Working memory of one item: the activations of the forward pass, which the backward pass needs, and its gradients.
pub(super) struct Workspace {
    pub(super) shape: Shape,
    pub(super) queries: Vec<f32>,
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
    /// By head and tree: the numbers of the key and of the value.
    pub(super) pairs: Vec<[f32; 2 * HEAD]>,
    /// By tree: the self-attention's scores for some queries.
    pub(super) scores: Vec<Lanes>,
    /// By head and tree: the largest score of the softmax, and 1 / its denominator.
    pub(super) maxima: Vec<f32>,
    pub(super) inverse_denominators: Vec<f32>,
    /// Output of the self-attention's heads.
    pub(super) attended: Vec<f32>,
    /// Of that, after a linear map and a ReLU.
    pub(super) joined: Vec<f32>,
    /// Of that, with mean 0 and variance 1; `scale` is 1 / its standard deviation before.
    pub(super) normalised: Vec<f32>,
    pub(super) scale: f32,
    /// Output of the layer norm: one vector for each tree.
    pub(super) blocks: Vec<f32>,
    /// Hidden layer of the attention by importer and HS code, and the weights that it gives the trees.
    pub(super) attention_hidden: Vec<f32>,
    pub(super) attention_weights: Vec<f32>,
    /// Importer × HS code, number by number.
    pub(super) query: Vector,
    /// Importer, HS code, and the weighted mean of the blocks.
    pub(super) fused: [f32; FUSED],
    /// The two hidden layers.
    pub(super) first: Vector,
    pub(super) hidden: Vector,
    /// Gradients of the blocks, and then of the self-attention's output.
    pub(super) gradients: Vec<f32>,
    /// Gradients of what was joined, before its ReLU.
    /// Gradients of what was joined, before its ReLU.
    pub(super) joined_gradients: Vec<f32>,
    pub(super) key_gradients: Vec<f32>,
    pub(super) value_gradients: Vec<f32>,
    pub(super) query_gradients: Vec<f32>,
}

#[inline(always)]
fn leaky(x: f32) -> f32 {
    if x > 0.0 { x } else { LEAK * x }
}

/// `inputs` times a matrix with one row for each input, plus `bias`.
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

impl Workspace {
    pub(super) fn new(shape: Shape) -> Self {
        let block = || vec![0.0; WIDTH * shape.padded];
        Self {
            queries: block(),
            keys: block(),
            values: block(),
            pairs: vec![[0.0; 2 * HEAD]; HEADS * shape.trees],
            scores: vec![[0.0; LANES]; shape.trees],
            maxima: vec![0.0; HEADS * shape.padded],
            inverse_denominators: vec![0.0; HEADS * shape.padded],
            attended: block(),
            joined: block(),
            normalised: block(),
            scale: 0.0,
            blocks: block(),
            attention_hidden: block(),
            attention_weights: vec![0.0; shape.padded],
            query: [0.0; WIDTH],
            fused: [0.0; FUSED],
            first: [0.0; WIDTH],
            hidden: [0.0; WIDTH],
            gradients: block(),
            joined_gradients: block(),
            key_gradients: block(),
            value_gradients: block(),
            query_gradients: block(),
            shape,
        }
    }

    /// The item's output. `leaves` are the indices of its leaves in `projections`, one for each tree.
    #[inline(always)]
    pub(super) fn forward(
        &mut self,
        view: &WeightViews<'_>,
        projections: &[[f32; PROJECTED]],
        leaves: &[u32],
        importer: &Vector,
        code: &Vector,
    ) -> NetworkOutput {
        self.load_projections(projections, leaves);
        self.self_attention();
        self.join_heads(view);
        self.layer_norm(view);
        self.query = std::array::from_fn(|at| importer[at] * code[at]);
        self.tree_attention(view);
        self.fused[..WIDTH].copy_from_slice(importer);
        self.fused[WIDTH..2 * WIDTH].copy_from_slice(code);
        self.first = linear(&self.fused, view.fusion, view.fusion_bias).map(leaky);
        self.hidden = linear(&self.first, view.hidden, view.hidden_bias).map(leaky);
        let head = |at: usize| {
            let weights = &view.heads[at * WIDTH..(at + 1) * WIDTH];
            let products: f32 =
                weights.iter().zip(&self.hidden).map(|(weight, hidden)| weight * hidden).sum();
            products + view.heads_bias[at]
        };
        NetworkOutput { logit: head(0), revenue: head(1), hidden: self.hidden }
    }

    /// Copies the leaves' projections into arrays by number and tree.
    #[inline(always)]
    fn load_projections(&mut self, projections: &[[f32; PROJECTED]], leaves: &[u32]) {
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

    /// Multi-head self-attention among the trees.
    /// Multi-head self-attention among the trees.
    #[inline(always)]
    fn self_attention(&mut self) {
        let Shape { trees, padded, .. } = self.shape;
        for head in 0..HEADS {
            let pairs = &self.pairs[head * trees..(head + 1) * trees];
            for at in (0..padded).step_by(LANES) {
                let place = |number: usize| (head * HEAD + number) * padded + at;
                let query: [Lanes; HEAD] = loads(&self.queries, padded, place(0));
                // Queries and keys are outputs of a ReLU, so no product is below 0.
                let mut maximum = [0.0; LANES];
                for (score, pair) in self.scores.iter_mut().zip(pairs) {
                    *score = mul(query[0], [pair[0]; LANES]);
                    for number in 1..HEAD {
                        *score = mul_add(query[number], [pair[number]; LANES], *score);
                    }
                    maximum = max(maximum, *score);
                }
                let (mut denominator, mut attended) = ([0.0; LANES], [[0.0; LANES]; HEAD]);
                for (score, pair) in self.scores.iter().zip(pairs) {
                    let power = exp2(sub(*score, maximum));
                    denominator = add(denominator, power);
                    for number in 0..HEAD {
                        attended[number] = mul_add(power, [pair[HEAD + number]; LANES], attended[number]);
                    }
                }
                let inverse = each_lane(|lane| 1.0 / denominator[lane]);
                for (number, attended) in attended.into_iter().enumerate() {
                    store(&mut self.attended, place(number), mul(attended, inverse));
                }
                store(&mut self.maxima, head * padded + at, maximum);
                store(&mut self.inverse_denominators, head * padded + at, inverse);
            }
        }
    }

    /// Joins the heads' outputs by a linear map and a ReLU.
    #[inline(always)]
    fn join_heads(&mut self, view: &WeightViews<'_>) {
        let Shape { trees, padded, .. } = self.shape;
        for at in (0..padded).step_by(LANES) {
            let attended: [Lanes; WIDTH] = loads(&self.attended, padded, at);
            for (output, weights) in view.join.as_chunks::<WIDTH>().0.iter().enumerate() {
                let mut joined = [view.join_bias[output]; LANES];
                for (attended, weight) in attended.iter().zip(weights) {
                    joined = mul_add(*attended, [*weight; LANES], joined);
                }
                store(&mut self.joined, output * padded + at, max(joined, [0.0; LANES]));
            }
        }
        for joined in self.joined.chunks_exact_mut(padded) {
            joined[trees..].fill(0.0);
        }
    }

    /// Normalises the vectors of all trees together, with a gain and a shift for each number.
    /// Normalises the vectors of all trees together, with a gain and a shift for each number.
    #[inline(always)]
    fn layer_norm(&mut self, view: &WeightViews<'_>) {
        let Shape { trees, padded, .. } = self.shape;
        let count = (trees * WIDTH) as f32;
        let mut total = [0.0; LANES];
        for joined in self.joined.as_chunks::<LANES>().0 {
            total = add(total, *joined);
        }
        let mean = [sum(total) / count; LANES];
        for (normalised, joined) in
            self.normalised.as_chunks_mut().0.iter_mut().zip(self.joined.as_chunks().0)
        {
            *normalised = sub(*joined, mean);
        }
        for normalised in self.normalised.chunks_exact_mut(padded) {
            normalised[trees..].fill(0.0);
        }
        let mut squares = [0.0; LANES];
        for normalised in self.normalised.as_chunks::<LANES>().0 {
            squares = mul_add(*normalised, *normalised, squares);
        }
        self.scale = 1.0 / (sum(squares) / count + LEAST_VARIANCE).sqrt();
        let affine = view.gain.as_chunks::<LANES>().0.iter().zip(view.shift.as_chunks::<LANES>().0);
        let normalised = self.normalised.as_chunks_mut::<LANES>().0.iter_mut();
        for ((normalised, block), (gain, shift)) in
            normalised.zip(self.blocks.as_chunks_mut::<LANES>().0).zip(affine)
        {
            *normalised = mul(*normalised, [self.scale; LANES]);
            *block = mul_add(*normalised, *gain, *shift);
        }
    }

    /// The attention over the trees whose query comes from importer and HS code. The weighted mean of the blocks
    /// becomes the last part of `fused`.
    #[inline(always)]
    fn tree_attention(&mut self, view: &WeightViews<'_>) {
        let Shape { trees, padded, .. } = self.shape;
        let projected_query = linear(&self.query, view.attention_query, view.attention_bias);
        for at in (0..padded).step_by(LANES) {
            let block: [Lanes; WIDTH] = loads(&self.blocks, padded, at);
            let mut score = [0.0; LANES];
            for (output, weights) in view.attention_tree.as_chunks::<WIDTH>().0.iter().enumerate() {
                let mut attention_hidden = [projected_query[output]; LANES];
                for (block, weight) in block.iter().zip(weights) {
                    attention_hidden = mul_add(*block, [*weight; LANES], attention_hidden);
                }
                let attention_hidden = max(attention_hidden, [0.0; LANES]);
                store(&mut self.attention_hidden, output * padded + at, attention_hidden);
                score = mul_add(attention_hidden, [view.attention_score[output]; LANES], score);
            }
            store(&mut self.attention_weights, at, mul(score, [std::f32::consts::LOG2_E; LANES]));
        }
        self.attention_weights[trees..].fill(f32::NEG_INFINITY);
        let mut maxima = [f32::NEG_INFINITY; LANES];
        for score in self.attention_weights.as_chunks::<LANES>().0 {
            maxima = max(maxima, *score);
        }
        let maximum = maxima
            .into_iter()
            .fold(f32::NEG_INFINITY, |maximum, other| if other > maximum { other } else { maximum });
        for attention_weight in self.attention_weights.as_chunks_mut::<LANES>().0 {
            *attention_weight = exp2(sub(*attention_weight, [maximum; LANES]));
        }
        self.attention_weights[trees..].fill(0.0);
        let mut denominator = [0.0; LANES];
        for attention_weight in self.attention_weights.as_chunks::<LANES>().0 {
            denominator = add(denominator, *attention_weight);
        }
        let inverse = 1.0 / sum(denominator);
        for attention_weight in self.attention_weights.as_chunks_mut::<LANES>().0 {
            *attention_weight = mul(*attention_weight, [inverse; LANES]);
        }
        for (context, block) in self.fused[2 * WIDTH..].iter_mut().zip(self.blocks.chunks_exact(padded)) {
            let mut total = [0.0; LANES];
            for (attention_weight, block) in
                self.attention_weights.as_chunks().0.iter().zip(block.as_chunks().0)
            {
                total = mul_add(*attention_weight, *block, total);
            }
            *context = sum(total);
        }
    }
}
