//! The backward pass through the network: the gradients of one item, added to those of its batch.
//!
//! The weights of the self-attention are computed again from the queries, the keys and two numbers of each tree (see
//! [`super::network`]). Start at [`Workspace::backward`].

#![allow(clippy::needless_range_loop, reason = "several lists of one length are indexed together")]

use super::{
    lanes::{LANES, Lanes, add, exp2, load, loads, mul, mul_add, store, sub, sum, where_positive},
    network::{LEAK, QUERY_SCALE, WeightViews, Workspace},
    vector::{Vector, WIDTH},
    weights::{FUSED, HEAD, HEADS, PROJECTED, Part, Shape},
};

/// Gradients of the dense weights, summed over the items of a batch. Some are kept by lane, to be summed once a
/// batch.
pub(super) struct WeightGradients {
    join: Vec<Lanes>,
    join_bias: [Lanes; WIDTH],
    gain: Vec<f32>,
    shift: Vec<f32>,
    attention_tree: Vec<Lanes>,
    attention_score: [Lanes; WIDTH],
    attention_query: [f32; WIDTH * WIDTH],
    attention_bias: Vector,
    fusion: [f32; FUSED * WIDTH],
    fusion_bias: Vector,
    hidden: [f32; WIDTH * WIDTH],
    hidden_bias: Vector,
    heads: [f32; 2 * WIDTH],
    heads_bias: [f32; 2],
}

impl WeightGradients {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            join: vec![[0.0; LANES]; WIDTH * WIDTH],
            join_bias: [[0.0; LANES]; WIDTH],
            gain: vec![0.0; WIDTH * shape.padded],
            shift: vec![0.0; WIDTH * shape.padded],
            attention_tree: vec![[0.0; LANES]; WIDTH * WIDTH],
            attention_score: [[0.0; LANES]; WIDTH],
            attention_query: [0.0; WIDTH * WIDTH],
            attention_bias: [0.0; WIDTH],
            fusion: [0.0; FUSED * WIDTH],
            fusion_bias: [0.0; WIDTH],
            hidden: [0.0; WIDTH * WIDTH],
            hidden_bias: [0.0; WIDTH],
            heads: [0.0; 2 * WIDTH],
            heads_bias: [0.0; 2],
        }
    }

    /// Writes the gradients into a list laid out as the weights, and sets the sums to 0.
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
        of_lanes(&mut self.join, &mut gradient[shape.range(Part::HeadJoin)]);
        of_lanes(&mut self.join_bias, &mut gradient[shape.range(Part::HeadJoinBias)]);
        of_lanes(&mut self.attention_tree, &mut gradient[shape.range(Part::AttentionTree)]);
        of_lanes(&mut self.attention_score, &mut gradient[shape.range(Part::AttentionScore)]);
        of_numbers(&mut self.gain, &mut gradient[shape.range(Part::NormGain)]);
        of_numbers(&mut self.shift, &mut gradient[shape.range(Part::NormShift)]);
        of_numbers(&mut self.attention_query, &mut gradient[shape.range(Part::AttentionQuery)]);
        of_numbers(&mut self.attention_bias, &mut gradient[shape.range(Part::AttentionBias)]);
        of_numbers(&mut self.fusion, &mut gradient[shape.range(Part::Fusion)]);
        of_numbers(&mut self.fusion_bias, &mut gradient[shape.range(Part::FusionBias)]);
        of_numbers(&mut self.hidden, &mut gradient[shape.range(Part::Hidden)]);
        of_numbers(&mut self.hidden_bias, &mut gradient[shape.range(Part::HiddenBias)]);
        of_numbers(&mut self.heads, &mut gradient[shape.range(Part::Heads)]);
        of_numbers(&mut self.heads_bias, &mut gradient[shape.range(Part::HeadsBias)]);
    }
}

#[inline(always)]
fn leaky_slope(y: f32) -> f32 {
    if y > 0.0 { 1.0 } else { LEAK }
}

/// The backward pass of a linear map whose matrix has one row for each input: adds to the matrix's gradient and calls
/// `receive` with each input's index and gradient. `outputs` are the gradients of the outputs.
#[inline(always)]
fn linear_back(
    inputs: &[f32],
    matrix: &[f32],
    outputs: &Vector,
    matrix_sums: &mut [f32],
    mut receive: impl FnMut(usize, f32),
) {
    let rows = matrix.as_chunks::<WIDTH>().0.iter().zip(matrix_sums.as_chunks_mut::<WIDTH>().0);
    for (at, (input, (row, sums))) in inputs.iter().zip(rows).enumerate() {
        let mut gradient = [0.0; LANES];
        for half in [0, LANES] {
            gradient = mul_add(load(row, half), load(outputs, half), gradient);
        }
        for (sum, output) in sums.iter_mut().zip(outputs) {
            *sum += input * output;
        }
        receive(at, sum(gradient));
    }
}

impl Workspace {
    /// The backward pass of the last [`Workspace::forward`]: adds to `sums`, and to `projection_gradients` at
    /// `leaves`, and returns the gradients of the importer's and the code's vectors. `logit` and `revenue` are the
    /// loss's derivatives with respect to the output.
    #[inline(always)]
    pub(super) fn backward(
        &mut self,
        view: &WeightViews<'_>,
        leaves: &[u32],
        (logit, revenue): (f32, f32),
        sums: &mut WeightGradients,
        projection_gradients: &mut [[f32; PROJECTED]],
    ) -> (Vector, Vector) {
        let fused = self.fusion_back(view, (logit, revenue), sums);
        let query = self.tree_attention_back(view, &fused, sums);
        self.layer_norm_back(view, sums);
        self.join_heads_back(view, sums);
        self.self_attention_back();
        self.add_projection_gradients(leaves, projection_gradients);
        let importer = std::array::from_fn(|at| fused[at] + query[at] * self.fused[WIDTH + at]);
        let code = std::array::from_fn(|at| fused[WIDTH + at] + query[at] * self.fused[at]);
        (importer, code)
    }

    /// From the derivatives of the two outputs to the gradient of the fusion's input.
    #[inline(always)]
    fn fusion_back(
        &self,
        view: &WeightViews<'_>,
        (logit, revenue): (f32, f32),
        sums: &mut WeightGradients,
    ) -> [f32; FUSED] {
        let mut hidden = [0.0; WIDTH];
        for at in 0..WIDTH {
            sums.heads[at] += logit * self.hidden[at];
            sums.heads[WIDTH + at] += revenue * self.hidden[at];
            hidden[at] =
                (logit * view.heads[at] + revenue * view.heads[WIDTH + at]) * leaky_slope(self.hidden[at]);
            sums.hidden_bias[at] += hidden[at];
        }
        sums.heads_bias[0] += logit;
        sums.heads_bias[1] += revenue;
        let mut first = [0.0; WIDTH];
        linear_back(&self.first, view.hidden, &hidden, &mut sums.hidden, |at, gradient| {
            first[at] = gradient * leaky_slope(self.first[at]);
        });
        for at in 0..WIDTH {
            sums.fusion_bias[at] += first[at];
        }
        let mut fused = [0.0; FUSED];
        linear_back(&self.fused, view.fusion, &first, &mut sums.fusion, |at, gradient| fused[at] = gradient);
        fused
    }

    /// From the gradient of the fusion's input to that of the blocks, in `gradients`, and that of the query,
    /// returned.
    #[inline(always)]
    fn tree_attention_back(
        &mut self,
        view: &WeightViews<'_>,
        fused: &[f32; FUSED],
        sums: &mut WeightGradients,
    ) -> Vector {
        let padded = self.shape.padded;
        let context = &fused[2 * WIDTH..];
        // The derivative of a softmax: each weight's gradient minus the weighted mean of all.
        let mean: f32 =
            context.iter().zip(&self.fused[2 * WIDTH..]).map(|(gradient, context)| gradient * context).sum();
        let mut projected_query_gradient = [[0.0; LANES]; WIDTH];
        for at in (0..padded).step_by(LANES) {
            let block: [Lanes; WIDTH] = loads(&self.blocks, padded, at);
            let attention_weight = load(&self.attention_weights, at);
            let mut centred_gradient = [-mean; LANES];
            for (block, context) in block.iter().zip(context) {
                centred_gradient = mul_add(*block, [*context; LANES], centred_gradient);
            }
            let score = mul(attention_weight, centred_gradient);
            let mut gradient = [[0.0; LANES]; WIDTH];
            for (gradient, context) in gradient.iter_mut().zip(context) {
                *gradient = mul(attention_weight, [*context; LANES]);
            }
            let matrices = view
                .attention_tree
                .as_chunks::<WIDTH>()
                .0
                .iter()
                .zip(sums.attention_tree.as_chunks_mut::<WIDTH>().0);
            for (output, (weights, weight_sums)) in matrices.enumerate() {
                let attention_hidden = load(&self.attention_hidden, output * padded + at);
                sums.attention_score[output] = mul_add(score, attention_hidden, sums.attention_score[output]);
                let attention_hidden =
                    where_positive(attention_hidden, mul(score, [view.attention_score[output]; LANES]));
                projected_query_gradient[output] = add(projected_query_gradient[output], attention_hidden);
                for number in 0..WIDTH {
                    weight_sums[number] = mul_add(attention_hidden, block[number], weight_sums[number]);
                    gradient[number] = mul_add(attention_hidden, [weights[number]; LANES], gradient[number]);
                }
            }
            for (number, gradient) in gradient.into_iter().enumerate() {
                store(&mut self.gradients, number * padded + at, gradient);
            }
        }
        let projected_query_gradient = projected_query_gradient.map(sum);
        for at in 0..WIDTH {
            sums.attention_bias[at] += projected_query_gradient[at];
        }
        let mut query = [0.0; WIDTH];
        linear_back(
            &self.query,
            view.attention_query,
            &projected_query_gradient,
            &mut sums.attention_query,
            |at, gradient| query[at] = gradient,
        );
        query
    }

    /// From the gradient of the blocks to that of the joined heads before their ReLU, in `joined_gradients`.
    #[inline(always)]
    fn layer_norm_back(&mut self, view: &WeightViews<'_>, sums: &mut WeightGradients) {
        let (mut total, mut products) = ([0.0; LANES], [0.0; LANES]);
        let gradient = self.gradients.as_chunks_mut::<LANES>().0.iter_mut();
        let normalised = self.normalised.as_chunks::<LANES>().0.iter();
        let gains = view.gain.as_chunks::<LANES>().0.iter().zip(sums.gain.as_chunks_mut::<LANES>().0);
        let shifts = sums.shift.as_chunks_mut::<LANES>().0.iter_mut();
        for (((gradient, normalised), (gain, gain_sum)), shift_sum) in
            gradient.zip(normalised).zip(gains).zip(shifts)
        {
            *gain_sum = mul_add(*gradient, *normalised, *gain_sum);
            *shift_sum = add(*shift_sum, *gradient);
            *gradient = mul(*gradient, *gain);
            total = add(total, *gradient);
            products = mul_add(*gradient, *normalised, products);
        }
        let count = (self.shape.trees * WIDTH) as f32;
        let (mean, slope) = ([sum(total) / count; LANES], [sum(products) / count; LANES]);
        let gradient =
            self.gradients.as_chunks::<LANES>().0.iter().zip(self.normalised.as_chunks::<LANES>().0);
        let joined =
            self.joined.as_chunks::<LANES>().0.iter().zip(self.joined_gradients.as_chunks_mut::<LANES>().0);
        for ((gradient, normalised), (joined, joined_gradient)) in gradient.zip(joined) {
            let centred = sub(sub(*gradient, mean), mul(*normalised, slope));
            *joined_gradient = where_positive(*joined, mul(centred, [self.scale; LANES]));
        }
    }

    /// From `joined_gradients` to the gradient of the self-attention's output, in `gradients`.
    #[inline(always)]
    fn join_heads_back(&mut self, view: &WeightViews<'_>, sums: &mut WeightGradients) {
        let padded = self.shape.padded;
        for at in (0..padded).step_by(LANES) {
            let attended: [Lanes; WIDTH] = loads(&self.attended, padded, at);
            let mut gradient = [[0.0; LANES]; WIDTH];
            let matrices = view.join.as_chunks::<WIDTH>().0.iter().zip(sums.join.as_chunks_mut::<WIDTH>().0);
            for (output, (weights, weight_sums)) in matrices.enumerate() {
                let joined_gradient = load(&self.joined_gradients, output * padded + at);
                sums.join_bias[output] = add(sums.join_bias[output], joined_gradient);
                for number in 0..WIDTH {
                    weight_sums[number] = mul_add(joined_gradient, attended[number], weight_sums[number]);
                    gradient[number] = mul_add(joined_gradient, [weights[number]; LANES], gradient[number]);
                }
            }
            for (number, gradient) in gradient.into_iter().enumerate() {
                store(&mut self.gradients, number * padded + at, gradient);
            }
        }
    }

    /// From the gradient of the self-attention's output, in `gradients`, to those of queries, keys and values.
    #[inline(always)]
    fn self_attention_back(&mut self) {
        let Shape { trees, padded, .. } = self.shape;
        self.key_gradients.fill(0.0);
        self.value_gradients.fill(0.0);
        for head in 0..HEADS {
            let range = head * HEAD * padded..(head + 1) * HEAD * padded;
            let (keys, values) = (&self.keys[range.clone()], &self.values[range.clone()]);
            let key_gradients = &mut self.key_gradients[range.clone()];
            let value_gradients = &mut self.value_gradients[range.clone()];
            let query_gradients = &mut self.query_gradients[range.clone()];
            let (queries, gradients) = (&self.queries[range.clone()], &self.gradients[range.clone()]);
            let attended = &self.attended[range];
            for tree in 0..trees {
                let query: [f32; HEAD] = std::array::from_fn(|number| queries[number * padded + tree]);
                let attended_gradient: [f32; HEAD] =
                    std::array::from_fn(|number| gradients[number * padded + tree]);
                let mut mean = 0.0;
                for number in 0..HEAD {
                    mean += attended_gradient[number] * attended[number * padded + tree];
                }
                let maximum = [self.maxima[head * padded + tree]; LANES];
                let inverse_denominator = [self.inverse_denominators[head * padded + tree]; LANES];
                let mut query_gradient = [[0.0; LANES]; HEAD];
                for at in (0..padded).step_by(LANES) {
                    let key: [Lanes; HEAD] = loads(keys, padded, at);
                    let mut score = mul(key[0], [query[0]; LANES]);
                    for number in 1..HEAD {
                        score = mul_add(key[number], [query[number]; LANES], score);
                    }
                    let attention_weight = mul(exp2(sub(score, maximum)), inverse_denominator);
                    let mut centred_gradient = [-mean; LANES];
                    for number in 0..HEAD {
                        let value = load(values, number * padded + at);
                        centred_gradient =
                            mul_add(value, [attended_gradient[number]; LANES], centred_gradient);
                    }
                    let score = mul(attention_weight, centred_gradient);
                    for number in 0..HEAD {
                        let place = number * padded + at;
                        query_gradient[number] = mul_add(score, key[number], query_gradient[number]);
                        let sum = load(value_gradients, place);
                        store(
                            value_gradients,
                            place,
                            mul_add(attention_weight, [attended_gradient[number]; LANES], sum),
                        );
                        let sum = load(key_gradients, place);
                        store(key_gradients, place, mul_add(score, [query[number]; LANES], sum));
                    }
                }
                for (number, lanes) in query_gradient.into_iter().enumerate() {
                    query_gradients[number * padded + tree] = sum(lanes);
                }
            }
        }
    }

    /// Adds the gradients of queries, keys and values to those of the leaves' projections.
    #[inline(always)]
    fn add_projection_gradients(&self, leaves: &[u32], projection_gradients: &mut [[f32; PROJECTED]]) {
        let padded = self.shape.padded;
        // The derivative of q · k / √HEAD for a query; the queries of a key's derivative hold QUERY_SCALE already.
        let (query_scale, key_scale) = (0.5, 0.5 / QUERY_SCALE);
        for (tree, leaf) in leaves.iter().enumerate() {
            let projected = &mut projection_gradients[*leaf as usize];
            for at in 0..WIDTH {
                projected[at] += query_scale * self.query_gradients[at * padded + tree];
                projected[WIDTH + at] += key_scale * self.key_gradients[at * padded + tree];
                projected[2 * WIDTH + at] += self.value_gradients[at * padded + tree];
            }
        }
    }
}
