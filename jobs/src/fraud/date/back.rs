//! The way back through the network: the gradient of one item, added to those of its batch.
//!
//! The shares of the attention among trees are computed again from the queries, the keys and two numbers of each
//! tree, as the way there left them. Start at [`Item::backward`].

#![allow(clippy::needless_range_loop, reason = "several lists of one length are walked together, by number")]

use super::{
    embedding::{Vector, WIDTH},
    lanes::{LANES, Lanes, add, exp2, load, loads, mul, mul_add, store, sub, sum, where_positive},
    network::{Item, LEAK, QUERY_SCALE, View},
    weights::{FUSED, HEAD, HEADS, PROJECTED, Part, Shape},
};

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

#[inline(always)]
fn leaky_slope(y: f32) -> f32 {
    if y > 0.0 { 1.0 } else { LEAK }
}

/// The way back through a linear map whose matrix stands by input and then by output: adds to the matrix's gradient and returns that of input `at`.
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
