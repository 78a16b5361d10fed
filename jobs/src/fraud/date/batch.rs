//! Many items through the network: gradients of a batch, and scores.
//!
//! A leaf's query, key and value depend on the leaf alone, so that they are computed once for each distinct leaf
//! of a batch (once for all when scoring) and not for each item; their gradients are summed by leaf before they
//! go back through the projections. Where this process has a GPU, it computes instead ([`super::graph`]).

use std::{num::NonZero, thread};

use candle_core::Device;

use super::{
    back::Sums,
    embedding::{Vector, WIDTH},
    graph::{Behind, Graph},
    lanes::{Work, wide},
    network::{Answer, Item, View},
    weights::{PROJECTED, Part, Shape},
};
use crate::Result;

/// Items that one thread scores before it asks for more memory.
const LEAST_SHARE: usize = 256;

/// Items as the network sees them, column by column.
#[derive(Debug, Clone, Default)]
pub(super) struct Items {
    /// By item and tree: the leaf, counted over all trees.
    pub(super) leaves: Vec<u32>,
    /// Each item's importer, as a place in a list of vectors; 0 is the vector of zeros.
    pub(super) importers: Vec<u32>,
    /// Each item's HS code, likewise.
    pub(super) codes: Vec<u32>,
}

/// Some items of a list, with the vectors that they are shown with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch<'a> {
    /// Of all items, as in [`Items`].
    pub(super) leaves: &'a [u32],
    /// The items of this batch.
    pub(super) rows: &'a [u32],
    /// The places of their importers' vectors, in the order of `rows`.
    pub(super) importers: &'a [u32],
    /// The places of their codes' vectors, likewise.
    pub(super) codes: &'a [u32],
}

/// What the answers should have been.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// 1 illicit, 0 not.
    pub(super) labels: &'a [f32],
    /// ln(1 + revenue) as a share of the largest in training; NaN where not known.
    pub(super) revenue: &'a [f32],
    /// Weight of the squared error of the revenue.
    pub(super) revenue_weight: f32,
}

/// Vectors of importers and of HS codes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vectors<'a> {
    pub(super) importers: &'a [Vector],
    pub(super) codes: &'a [Vector],
}

/// Computes gradients of batches; holds all the memory that they need.
pub(super) struct Gradients {
    shape: Shape,
    /// Computes in the place of the loops.
    graph: Option<Graph>,
    item: Item,
    sums: Sums,
    /// By leaf: its place in the lists below, when `stamps` says so.
    places: Vec<u32>,
    stamps: Vec<u32>,
    stamp: u32,
    touched: Vec<u32>,
    projections: Vec<[f32; PROJECTED]>,
    projections_behind: Vec<[f32; PROJECTED]>,
    leaves: Vec<u32>,
    /// Of the weights, in their form.
    pub(super) weights: Vec<f32>,
    /// Of each item's importer's vector, in the order of the batch.
    pub(super) importers: Vec<Vector>,
    /// Of each item's code's vector.
    pub(super) codes: Vec<Vector>,
}

impl Gradients {
    /// On the processor.
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            shape,
            graph: None,
            item: Item::new(shape),
            sums: Sums::new(shape),
            places: vec![0; shape.leaves],
            stamps: vec![0; shape.leaves],
            stamp: 0,
            touched: Vec::new(),
            projections: Vec::new(),
            projections_behind: Vec::new(),
            leaves: Vec::new(),
            weights: vec![0.0; shape.weights()],
            importers: Vec::new(),
            codes: Vec::new(),
        }
    }

    /// On a device, over trees of so many leaves each.
    pub(super) fn on(leaves: &[u32], device: Device) -> Self {
        let shape = Shape::new(leaves.len(), leaves.iter().sum::<u32>() as usize);
        Self { graph: Some(Graph::new(leaves, device)), ..Self::new(shape) }
    }

    /// What computes in the place of the loops, if anything does.
    pub(super) fn graph(&self) -> Option<&Graph> {
        self.graph.as_ref()
    }

    /// The gradients of the mean loss of a batch of items, left in the fields; returns the sum of their losses.
    ///
    /// The loss of an item is the cross entropy of its probability and `revenue_weight` times the squared error of
    /// its revenue, where that is known.
    ///
    /// # Errors
    /// Those of a device.
    pub(super) fn compute(
        &mut self,
        weights: &[f32],
        vectors: Vectors<'_>,
        batch: Batch<'_>,
        wanted: Wanted<'_>,
    ) -> Result<f64> {
        let by_count = 1.0 / batch.rows.len() as f32;
        self.back(weights, vectors, batch, |row, answer| {
            let (label, revenue) = (wanted.labels[row], wanted.revenue[row]);
            let probability = answer.probability();
            let given = if label > 0.5 { probability } else { 1.0 - probability };
            let error = if revenue.is_nan() { 0.0 } else { answer.revenue - revenue };
            let loss = -f64::from(given.max(1e-15)).ln() + f64::from(wanted.revenue_weight * error * error);
            ((by_count * (probability - label), by_count * 2.0 * wanted.revenue_weight * error), loss)
        })
    }

    /// The gradients of the sum of the log odds of a batch.
    ///
    /// # Errors
    /// Those of a device.
    pub(super) fn explain(&mut self, weights: &[f32], vectors: Vectors<'_>, batch: Batch<'_>) -> Result<()> {
        self.back(weights, vectors, batch, |_, _| ((1.0, 0.0), 0.0)).map(drop)
    }

    /// The leaves of the last batch, and the gradients of their vectors.
    pub(super) fn leaves(&self) -> impl Iterator<Item = (u32, &Vector)> {
        let leaves = self.weights[self.shape.range(Part::Leaves)].as_chunks::<WIDTH>().0;
        self.touched.iter().map(|leaf| (*leaf, &leaves[*leaf as usize]))
    }

    fn back(
        &mut self,
        weights: &[f32],
        vectors: Vectors<'_>,
        batch: Batch<'_>,
        mut behind: impl FnMut(usize, Answer) -> ((f32, f32), f64),
    ) -> Result<f64> {
        if let Some(graph) = &self.graph {
            let found = graph.back(weights, vectors, batch, behind)?;
            let loss;
            Behind { loss, weights: self.weights, importers: self.importers, codes: self.codes } = found;
            return Ok(loss);
        }
        self.begin(batch);
        Ok(wide(Back { gradients: self, weights, vectors, batch, behind: &mut behind }))
    }

    /// Finds the distinct leaves of a batch.
    fn begin(&mut self, batch: Batch<'_>) {
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

/// A batch there and back.
struct Back<'a, F> {
    gradients: &'a mut Gradients,
    weights: &'a [f32],
    vectors: Vectors<'a>,
    batch: Batch<'a>,
    behind: &'a mut F,
}

impl<F: FnMut(usize, Answer) -> ((f32, f32), f64)> Work for Back<'_, F> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let Self { gradients, weights, vectors, batch, behind } = self;
        let shape = gradients.shape;
        let view = View::new(shape, weights);
        let Gradients { item, sums, touched, projections, projections_behind, .. } = gradients;
        project(shape, weights, touched.iter().copied(), projections);
        projections_behind.clear();
        projections_behind.resize(projections.len(), [0.0; PROJECTED]);
        gradients.importers.clear();
        gradients.codes.clear();
        let mut total = 0.0;
        let places = batch.importers.iter().zip(batch.codes);
        let leaves = gradients.leaves.chunks_exact(shape.trees);
        for ((row, places), leaves) in batch.rows.iter().zip(places).zip(leaves) {
            let importer = &vectors.importers[*places.0 as usize];
            let code = &vectors.codes[*places.1 as usize];
            let answer = item.forward(&view, projections, leaves, importer, code);
            let (given, loss) = behind(*row as usize, answer);
            total += loss;
            let (importer, code) = item.backward(&view, leaves, given, sums, projections_behind);
            gradients.importers.push(importer);
            gradients.codes.push(code);
        }
        sums.move_to(shape, &mut gradients.weights);
        project_back(shape, weights, touched, projections, projections_behind, &mut gradients.weights);
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
    let matrix = weights[shape.range(Part::Project)].as_chunks::<PROJECTED>().0;
    let bias = &weights[shape.range(Part::ProjectBias)];
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

/// The way back through [`project`]; `behind` is that of the projections.
#[inline(always)]
fn project_back(
    shape: Shape,
    weights: &[f32],
    leaves: &[u32],
    projections: &[[f32; PROJECTED]],
    behind: &[[f32; PROJECTED]],
    gradient: &mut [f32],
) {
    let matrix = weights[shape.range(Part::Project)].as_chunks::<PROJECTED>().0;
    let vectors = weights[shape.range(Part::Leaves)].as_chunks::<WIDTH>().0;
    let mut matrix_sums = [[0.0; PROJECTED]; WIDTH];
    let mut bias_sums = [0.0; PROJECTED];
    let start = shape.range(Part::Leaves).start;
    for ((leaf, projected), behind) in leaves.iter().zip(projections).zip(behind) {
        let mut behind = *behind;
        for (at, behind) in behind.iter_mut().enumerate() {
            *behind = if projected[at] > 0.0 { *behind } else { 0.0 };
            bias_sums[at] += *behind;
        }
        let vector = &vectors[*leaf as usize];
        let vector_behind = &mut gradient[start + *leaf as usize * WIDTH..][..WIDTH];
        for (input, (row, sums)) in matrix.iter().zip(&mut matrix_sums).enumerate() {
            let mut total = [0.0; WIDTH];
            for part in 0..PROJECTED / WIDTH {
                for at in 0..WIDTH {
                    total[at] += row[part * WIDTH + at] * behind[part * WIDTH + at];
                }
            }
            for (sum, behind) in sums.iter_mut().zip(&behind) {
                *sum += vector[input] * behind;
            }
            vector_behind[input] = total.iter().sum();
        }
    }
    gradient[shape.range(Part::Project)].copy_from_slice(matrix_sums.as_flattened());
    gradient[shape.range(Part::ProjectBias)].copy_from_slice(&bias_sums);
}

/// Scores items: the leaves are projected once.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scorer {
    shape: Shape,
    projections: Vec<[f32; PROJECTED]>,
}

impl Scorer {
    pub(super) fn new(shape: Shape, weights: &[f32]) -> Self {
        let mut projections = Vec::with_capacity(shape.leaves);
        project(shape, weights, 0..shape.leaves as u32, &mut projections);
        Self { shape, projections }
    }

    /// The answers of some items, on at most so many threads. No answer depends on its thread or on the items
    /// beside it.
    pub(super) fn answers(
        &self,
        weights: &[f32],
        vectors: Vectors<'_>,
        items: &Items,
        threads: usize,
    ) -> Vec<Answer> {
        let rows = items.importers.len();
        let mut answers = vec![Answer { logit: 0.0, revenue: 0.0, hidden: [0.0; WIDTH] }; rows];
        let share = rows.div_ceil(threads.max(1)).max(LEAST_SHARE);
        let score = |first: usize, answers: &mut [Answer]| {
            wide(Score { scorer: self, weights, vectors, items, first, answers });
        };
        let mut shares = answers.chunks_mut(share).enumerate().map(|(at, answers)| (at * share, answers));
        let own = shares.next();
        thread::scope(|scope| {
            for (first, answers) in shares {
                scope.spawn(move || score(first, answers));
            }
            if let Some((first, answers)) = own {
                score(first, answers);
            }
        });
        answers
    }
}

/// Some items, one after the other.
struct Score<'a> {
    scorer: &'a Scorer,
    weights: &'a [f32],
    vectors: Vectors<'a>,
    items: &'a Items,
    first: usize,
    answers: &'a mut [Answer],
}

impl Work for Score<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { scorer, weights, vectors, items, first, answers } = self;
        let shape = scorer.shape;
        let mut item = Item::new(shape);
        let view = View::new(shape, weights);
        for (row, answer) in (first..).zip(answers) {
            let leaves = &items.leaves[row * shape.trees..][..shape.trees];
            let importer = &vectors.importers[items.importers[row] as usize];
            let code = &vectors.codes[items.codes[row] as usize];
            *answer = item.forward(&view, &scorer.projections, leaves, importer, code);
        }
    }
}

/// As many threads as there are processors.
pub(super) fn all_threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}
