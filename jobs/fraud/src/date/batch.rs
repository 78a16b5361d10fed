//! Many items through the network: gradients of a batch, and predictions.
//!
//! A leaf's query, key and value depend on the leaf alone. They are computed once for each distinct leaf of a batch
//! (once for all leaves when predicting) and not for each item, and their gradients are summed by leaf before the
//! backward pass of the projections. Where this process has a GPU, gradients are computed there ([`super::graph`]).
//! Start at [`Gradients::compute`] and [`Predictor::outputs`].

use std::{num::NonZero, thread};

use candle_core::Device;
use tidewaiter_core::Result;

use super::{
    backward::WeightGradients,
    graph::{BatchGradients, TensorGraph, tensor_error},
    items::{Batch, Items, Targets, Vectors},
    lanes::{Work, vectorised},
    network::{NetworkOutput, WeightViews, Workspace},
    vector::{Vector, WIDTH},
    weights::{PROJECTED, Part, Shape},
};

/// Fewest items for which a thread is started.
const LEAST_SHARE: usize = 256;

/// Computes the gradients of batches. Owns the memory for that, which one batch after the other uses.
pub(super) struct Gradients {
    shape: Shape,
    /// Computes on a device in place of the loops.
    graph: Option<TensorGraph>,
    workspace: Workspace,
    sums: WeightGradients,
    /// By leaf: its index in `touched`, valid where its stamp is the current one.
    places: Vec<u32>,
    stamps: Vec<u32>,
    stamp: u32,
    /// The distinct leaves of the batch; their projections and the gradients of these.
    touched: Vec<u32>,
    projections: Vec<[f32; PROJECTED]>,
    projection_gradients: Vec<[f32; PROJECTED]>,
    /// By item and tree: the leaf's index in `touched`.
    leaves: Vec<u32>,
    /// Gradients of the dense weights, in their layout.
    pub(super) weights: Vec<f32>,
    /// Gradients of the items' importers' vectors, in the order of the batch.
    pub(super) importers: Vec<Vector>,
    /// Gradients of the items' HS codes' vectors.
    pub(super) codes: Vec<Vector>,
}

impl Gradients {
    /// Gradients that the processor computes.
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            shape,
            graph: None,
            workspace: Workspace::new(shape),
            sums: WeightGradients::new(shape),
            places: vec![0; shape.leaves],
            stamps: vec![0; shape.leaves],
            stamp: 0,
            touched: Vec::new(),
            projections: Vec::new(),
            projection_gradients: Vec::new(),
            leaves: Vec::new(),
            weights: vec![0.0; shape.weights()],
            importers: Vec::new(),
            codes: Vec::new(),
        }
    }

    /// Gradients that a device computes, over trees with these numbers of leaves.
    pub(super) fn on_device(leaf_counts: &[u32], device: Device) -> Self {
        let graph = Some(TensorGraph::new(leaf_counts, device));
        Self { graph, ..Self::new(Shape::of_trees(leaf_counts)) }
    }

    /// The graph on a device, where there is one.
    pub(super) fn graph(&self) -> Option<&TensorGraph> {
        self.graph.as_ref()
    }

    /// Computes the gradients of the mean loss of a batch, into the fields; returns the sum of the items' losses.
    ///
    /// The loss of an item is the cross entropy of its probability plus, where its revenue is known, `revenue_weight`
    /// times the squared error of that.
    ///
    /// # Errors
    /// The device's own.
    pub(super) fn compute(
        &mut self,
        weights: &[f32],
        vectors: Vectors<'_>,
        batch: Batch<'_>,
        targets: Targets<'_>,
    ) -> Result<f64> {
        let by_count = 1.0 / batch.rows.len() as f32;
        self.backpropagate(weights, vectors, batch, |row, output| {
            let (label, revenue) = (targets.labels[row], targets.revenue[row]);
            let probability = output.probability();
            let of_label = if label > 0.5 { probability } else { 1.0 - probability };
            let error = if revenue.is_nan() { 0.0 } else { output.revenue - revenue };
            let loss =
                -f64::from(of_label.max(1e-15)).ln() + f64::from(targets.revenue_weight * error * error);
            ((by_count * (probability - label), by_count * 2.0 * targets.revenue_weight * error), loss)
        })
    }

    /// Computes the gradients of the sum of the log odds of a batch, into the fields.
    ///
    /// # Errors
    /// The device's own.
    pub(super) fn compute_of_log_odds(
        &mut self,
        weights: &[f32],
        vectors: Vectors<'_>,
        batch: Batch<'_>,
    ) -> Result<()> {
        self.backpropagate(weights, vectors, batch, |_, _| ((1.0, 0.0), 0.0)).map(drop)
    }

    /// The distinct leaves of the last batch, and the gradients of their vectors.
    pub(super) fn leaves(&self) -> impl Iterator<Item = (u32, &Vector)> {
        let leaves = self.weights[self.shape.range(Part::Leaves)].as_chunks::<WIDTH>().0;
        self.touched.iter().map(|leaf| (*leaf, &leaves[*leaf as usize]))
    }

    /// Runs forward and backward pass. `loss_gradient` gives, for a row and its output, the derivatives with respect
    /// to the log odds and the revenue, and the loss; returns the sum of the losses.
    fn backpropagate(
        &mut self,
        weights: &[f32],
        vectors: Vectors<'_>,
        batch: Batch<'_>,
        mut loss_gradient: impl FnMut(usize, NetworkOutput) -> ((f32, f32), f64),
    ) -> Result<f64> {
        if let Some(graph) = &self.graph {
            let computed = graph.gradients(weights, vectors, batch, loss_gradient).map_err(tensor_error)?;
            let loss;
            BatchGradients { loss, weights: self.weights, importers: self.importers, codes: self.codes } =
                computed;
            return Ok(loss);
        }
        self.find_leaves(batch);
        Ok(vectorised(ForwardBackward {
            gradients: self,
            weights,
            vectors,
            batch,
            loss_gradient: &mut loss_gradient,
        }))
    }

    /// Finds the distinct leaves of a batch, and clears the gradients of those of the batch before.
    fn find_leaves(&mut self, batch: Batch<'_>) {
        let leaves = self.shape.range(Part::Leaves).start;
        for leaf in &self.touched {
            self.weights[leaves + *leaf as usize * WIDTH..][..WIDTH].fill(0.0);
        }
        if self.stamp == u32::MAX {
            self.stamps.fill(0);
            self.stamp = 0;
        }
        self.stamp += 1;
        self.touched.clear();
        self.leaves.clear();
        let trees = self.shape.trees;
        for row in batch.rows {
            for leaf in &batch.leaves[*row as usize * trees..][..trees] {
                if self.stamps[*leaf as usize] != self.stamp {
                    self.stamps[*leaf as usize] = self.stamp;
                    self.places[*leaf as usize] = self.touched.len() as u32;
                    self.touched.push(*leaf);
                }
                self.leaves.push(self.places[*leaf as usize]);
            }
        }
    }
}

/// Forward and backward pass of a batch.
struct ForwardBackward<'a, F> {
    gradients: &'a mut Gradients,
    weights: &'a [f32],
    vectors: Vectors<'a>,
    batch: Batch<'a>,
    loss_gradient: &'a mut F,
}

impl<F: FnMut(usize, NetworkOutput) -> ((f32, f32), f64)> Work for ForwardBackward<'_, F> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let Self { gradients, weights, vectors, batch, loss_gradient } = self;
        let shape = gradients.shape;
        let view = WeightViews::new(shape, weights);
        let Gradients { workspace, sums, touched, projections, projection_gradients, .. } = gradients;
        project(shape, weights, touched.iter().copied(), projections);
        projection_gradients.clear();
        projection_gradients.resize(projections.len(), [0.0; PROJECTED]);
        gradients.importers.clear();
        gradients.codes.clear();
        let mut total = 0.0;
        let places = batch.importers.iter().zip(batch.codes);
        let leaves = gradients.leaves.chunks_exact(shape.trees);
        for ((row, places), leaves) in batch.rows.iter().zip(places).zip(leaves) {
            let importer = &vectors.importers[*places.0 as usize];
            let code = &vectors.codes[*places.1 as usize];
            let output = workspace.forward(&view, projections, leaves, importer, code);
            let (output_gradient, loss) = loss_gradient(*row as usize, output);
            total += loss;
            let (importer, code) =
                workspace.backward(&view, leaves, output_gradient, sums, projection_gradients);
            gradients.importers.push(importer);
            gradients.codes.push(code);
        }
        sums.move_to(shape, &mut gradients.weights);
        project_back(shape, weights, touched, projections, projection_gradients, &mut gradients.weights);
        total
    }
}

/// Query, key and value of some leaves: a linear map and a ReLU each.
#[inline(always)]
fn project(
    shape: Shape,
    weights: &[f32],
    leaves: impl Iterator<Item = u32>,
    projections: &mut Vec<[f32; PROJECTED]>,
) {
    let matrix = weights[shape.range(Part::Projection)].as_chunks::<PROJECTED>().0;
    let bias = &weights[shape.range(Part::ProjectionBias)];
    let vectors = weights[shape.range(Part::Leaves)].as_chunks::<WIDTH>().0;
    projections.clear();
    projections.extend(leaves.map(|leaf| {
        let mut projected: [f32; PROJECTED] = std::array::from_fn(|at| bias[at]);
        for (input, row) in vectors[leaf as usize].iter().zip(matrix) {
            for (output, weight) in projected.iter_mut().zip(row) {
                *output += input * weight;
            }
        }
        projected.map(|output| if output > 0.0 { output } else { 0.0 })
    }));
}

/// The backward pass of [`project`]: writes the gradients of the leaves' vectors, the matrix and the bias.
#[inline(always)]
fn project_back(
    shape: Shape,
    weights: &[f32],
    leaves: &[u32],
    projections: &[[f32; PROJECTED]],
    projection_gradients: &[[f32; PROJECTED]],
    weight_gradients: &mut [f32],
) {
    let matrix = weights[shape.range(Part::Projection)].as_chunks::<PROJECTED>().0;
    let vectors = weights[shape.range(Part::Leaves)].as_chunks::<WIDTH>().0;
    let mut matrix_sums = [[0.0; PROJECTED]; WIDTH];
    let mut bias_sums = [0.0; PROJECTED];
    let start = shape.range(Part::Leaves).start;
    for ((leaf, projected), output_gradients) in leaves.iter().zip(projections).zip(projection_gradients) {
        let mut output_gradients = *output_gradients;
        for (at, output_gradient) in output_gradients.iter_mut().enumerate() {
            *output_gradient = if projected[at] > 0.0 { *output_gradient } else { 0.0 };
            bias_sums[at] += *output_gradient;
        }
        let vector = &vectors[*leaf as usize];
        let vector_gradient = &mut weight_gradients[start + *leaf as usize * WIDTH..][..WIDTH];
        for (input, (row, sums)) in matrix.iter().zip(&mut matrix_sums).enumerate() {
            let mut total = [0.0; WIDTH];
            for part in 0..PROJECTED / WIDTH {
                for at in 0..WIDTH {
                    total[at] += row[part * WIDTH + at] * output_gradients[part * WIDTH + at];
                }
            }
            for (sum, output_gradient) in sums.iter_mut().zip(&output_gradients) {
                *sum += vector[input] * output_gradient;
            }
            vector_gradient[input] = total.iter().sum();
        }
    }
    weight_gradients[shape.range(Part::Projection)].copy_from_slice(matrix_sums.as_flattened());
    weight_gradients[shape.range(Part::ProjectionBias)].copy_from_slice(&bias_sums);
}

/// Predicts for items; all leaves are projected once, before.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Predictor {
    shape: Shape,
    projections: Vec<[f32; PROJECTED]>,
}

impl Predictor {
    pub(super) fn new(shape: Shape, weights: &[f32]) -> Self {
        let mut projections = Vec::with_capacity(shape.leaves);
        project(shape, weights, 0..shape.leaves as u32, &mut projections);
        Self { shape, projections }
    }

    /// The outputs for some items, on at most `threads` threads. No output depends on its thread or on the other
    /// items.
    pub(super) fn outputs(
        &self,
        weights: &[f32],
        vectors: Vectors<'_>,
        items: &Items,
        threads: usize,
    ) -> Vec<NetworkOutput> {
        let rows = items.importers.len();
        let mut outputs = vec![NetworkOutput { logit: 0.0, revenue: 0.0, hidden: [0.0; WIDTH] }; rows];
        let share = rows.div_ceil(threads.max(1)).max(LEAST_SHARE);
        let predict = |first: usize, outputs: &mut [NetworkOutput]| {
            vectorised(Predict { predictor: self, weights, vectors, items, first, outputs });
        };
        let mut shares = outputs.chunks_mut(share).enumerate().map(|(at, outputs)| (at * share, outputs));
        let own = shares.next();
        thread::scope(|scope| {
            for (first, outputs) in shares {
                scope.spawn(move || predict(first, outputs));
            }
            if let Some((first, outputs)) = own {
                predict(first, outputs);
            }
        });
        outputs
    }
}

/// The forward pass of some items.
struct Predict<'a> {
    predictor: &'a Predictor,
    weights: &'a [f32],
    vectors: Vectors<'a>,
    items: &'a Items,
    first: usize,
    outputs: &'a mut [NetworkOutput],
}

impl Work for Predict<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { predictor, weights, vectors, items, first, outputs } = self;
        let shape = predictor.shape;
        let mut workspace = Workspace::new(shape);
        let view = WeightViews::new(shape, weights);
        for (row, output) in (first..).zip(outputs) {
            let leaves = &items.leaves[row * shape.trees..][..shape.trees];
            let importer = &vectors.importers[items.importers[row] as usize];
            let code = &vectors.codes[items.codes[row] as usize];
            *output = workspace.forward(&view, &predictor.projections, leaves, importer, code);
        }
    }
}

/// The number of available processors.
pub(super) fn all_threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}
