//! The network as a graph of tensors, which a GPU computes: the same weights, outputs and gradients as the loops of
//! [`super::network`], but for the last bits.
//!
//! Weights, embedding tables and optimiser stay on the processor, because candle has no sparse gradient: a batch's
//! weights, some hundred kilobytes, are sent to the device and their gradients come back. A leaf's projections are
//! computed once a batch. An item selects those of its leaves by a product with a one-hot row; the backward pass is
//! then a product, too, whose sums have a fixed order, which a scatter on a GPU does not have. Start at
//! [`TensorGraph::gradients`].

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::ops::softmax;
use tidewaiter_core::Error;

use super::{
    items::{Batch, Items, Vectors},
    network::{LEAK, LEAST_VARIANCE, NetworkOutput},
    vector::{Vector, WIDTH},
    weights::{FUSED, HEAD, HEADS, PROJECTED, Part, Shape},
};

/// Items of a batch of predictions: the attention weights of a hundred trees take 160 MB.
const PREDICTED: usize = 1024;

/// An error of the device as one of this program.
pub(super) fn tensor_error(error: candle_core::Error) -> Error {
    // When backtraces are on, candle's messages hold one after the first line.
    let text = error.to_string();
    Error::internal(format!("DATE: {}", text.lines().next().unwrap_or_default()))
}

/// The network over some trees on one device.
#[derive(Debug)]
pub(super) struct TensorGraph {
    shape: Shape,
    device: Device,
    /// By tree: the index of its first leaf.
    starts: Vec<u32>,
    /// Leaves of the tree that has most; the others are padded to that number.
    widest: usize,
}

/// The gradients of a batch, and the sum of its items' losses.
pub(super) struct BatchGradients {
    pub(super) loss: f64,
    /// Of the dense weights, in their layout.
    pub(super) weights: Vec<f32>,
    /// Of the items' importers' vectors.
    pub(super) importers: Vec<Vector>,
    /// Of the items' HS codes' vectors.
    pub(super) codes: Vec<Vector>,
}

/// Indices of the tensors of importers and HS codes, after those of [`Part::ALL`].
const IMPORTERS: usize = Part::ALL.len();
const CODES: usize = IMPORTERS + 1;

impl TensorGraph {
    /// The network over trees with these numbers of leaves.
    pub(super) fn new(leaf_counts: &[u32], device: Device) -> Self {
        let mut next = 0;
        let starts = leaf_counts.iter().map(|count| {
            next += count;
            next - count
        });
        let starts = starts.collect();
        let widest = leaf_counts.iter().max().map_or(1, |widest| *widest as usize);
        Self { shape: Shape::of_trees(leaf_counts), device, starts, widest }
    }

    /// The gradients of a batch. `loss_gradient` gives, for a row and its output, the derivatives with respect to the
    /// log odds and the revenue, and the loss.
    pub(super) fn gradients(
        &self,
        weights: &[f32],
        vectors: Vectors<'_>,
        batch: Batch<'_>,
        mut loss_gradient: impl FnMut(usize, NetworkOutput) -> ((f32, f32), f64),
    ) -> Result<BatchGradients> {
        let trees = self.shape.trees;
        let leaves = batch.rows.iter().flat_map(|row| &batch.leaves[*row as usize * trees..][..trees]);
        let inputs = self.inputs(weights, vectors, batch.importers, batch.codes)?;
        let outputs = self.forward(&inputs, &self.leaf_indicators(leaves.copied().collect())?)?;

        let (mut loss, mut output_gradients) = (0.0, Vec::with_capacity(2 * batch.rows.len()));
        for (row, output) in batch.rows.iter().zip(read_outputs(&outputs)?) {
            let ((logit, revenue), of_item) = loss_gradient(*row as usize, output);
            output_gradients.extend([logit, revenue]);
            loss += of_item;
        }
        let output_gradients = Tensor::from_vec(output_gradients, (batch.rows.len(), 2), &self.device)?;
        let gradients = (outputs.narrow(1, 0, 2)? * output_gradients)?.sum_all()?.backward()?;
        let of_inputs: Option<Vec<Tensor>> =
            inputs.iter().map(|input| gradients.get(input.as_tensor()).cloned()).collect();
        let without = || candle_core::Error::Msg("a part of the network has no gradient".to_owned());
        let of_inputs = of_inputs.ok_or_else(without)?;
        let flat: Result<Vec<Tensor>> = of_inputs.iter().map(Tensor::flatten_all).collect();
        let flat = Tensor::cat(&flat?, 0)?.to_vec1()?;
        let (of_weights, of_vectors) = flat.split_at(flat.len() - 2 * WIDTH * batch.rows.len());
        let (importers, codes) = of_vectors.as_chunks::<WIDTH>().0.split_at(batch.rows.len());
        Ok(BatchGradients {
            loss,
            weights: self.weight_list(of_weights),
            importers: importers.to_vec(),
            codes: codes.to_vec(),
        })
    }

    /// The outputs for some items.
    pub(super) fn outputs(
        &self,
        weights: &[f32],
        vectors: Vectors<'_>,
        items: &Items,
    ) -> Result<Vec<NetworkOutput>> {
        let places = items.importers.chunks(PREDICTED).zip(items.codes.chunks(PREDICTED));
        let mut outputs = Vec::with_capacity(items.importers.len());
        for ((importers, codes), leaves) in places.zip(items.leaves.chunks(PREDICTED * self.shape.trees)) {
            let inputs = self.inputs(weights, vectors, importers, codes)?;
            outputs.extend(read_outputs(&self.forward(&inputs, &self.leaf_indicators(leaves.to_vec())?)?)?);
        }
        Ok(outputs)
    }

    /// The dimensions of a part's tensor.
    fn tensor_shape(&self, part: Part) -> Vec<usize> {
        let trees = self.shape.trees;
        match part {
            Part::Projection => vec![WIDTH, PROJECTED],
            Part::ProjectionBias => vec![PROJECTED],
            Part::HeadJoin | Part::AttentionQuery | Part::AttentionTree | Part::Hidden => vec![WIDTH, WIDTH],
            Part::HeadJoinBias | Part::AttentionBias | Part::FusionBias | Part::HiddenBias => vec![WIDTH],
            Part::NormGain | Part::NormShift => vec![trees, WIDTH],
            Part::AttentionScore => vec![WIDTH, 1],
            Part::Fusion => vec![FUSED, WIDTH],
            Part::Heads => vec![2, WIDTH],
            Part::HeadsBias => vec![2],
            Part::Leaves => vec![trees, self.widest, WIDTH],
        }
    }

    /// The parts of the weights and the items' embedding vectors as tensors on the device: sent as one array, then
    /// divided.
    fn inputs(
        &self,
        weights: &[f32],
        vectors: Vectors<'_>,
        importers: &[u32],
        codes: &[u32],
    ) -> Result<Vec<Var>> {
        let mut flat = Vec::new();
        let mut shapes = Vec::new();
        for part in Part::ALL {
            shapes.push(self.tensor_shape(part));
            self.append_part(part, &weights[self.shape.range(part)], &mut flat);
        }
        for (places, vectors) in [(importers, vectors.importers), (codes, vectors.codes)] {
            shapes.push(vec![places.len(), WIDTH]);
            flat.extend(places.iter().flat_map(|place| vectors[*place as usize]));
        }
        let count = flat.len();
        let flat = Tensor::from_vec(flat, count, &self.device)?;
        let mut next = 0;
        let inputs = shapes.into_iter().map(|shape| {
            let length = shape.iter().product();
            let part = flat.narrow(0, next, length)?.reshape(shape)?;
            next += length;
            Var::from_tensor(&part)
        });
        inputs.collect()
    }

    /// Appends a part to the array that is sent, in the order of its tensor: by tree and then by number, and all
    /// trees padded to the same number of leaves.
    fn append_part(&self, part: Part, weights: &[f32], flat: &mut Vec<f32>) {
        let Shape { trees, padded, leaves } = self.shape;
        match part {
            Part::NormGain | Part::NormShift => {
                flat.extend((0..trees * WIDTH).map(|at| weights[at % WIDTH * padded + at / WIDTH]));
            }
            Part::Leaves => {
                let ends = self.starts.iter().skip(1).copied().chain([leaves as u32]);
                for (start, end) in self.starts.iter().zip(ends) {
                    let filled = flat.len() + self.widest * WIDTH;
                    flat.extend(&weights[*start as usize * WIDTH..end as usize * WIDTH]);
                    flat.resize(filled, 0.0);
                }
            }
            _ => flat.extend(weights),
        }
    }

    /// The inverse of [`Self::append_part`] for all parts: an array in the layout of the weights.
    fn weight_list(&self, mut flat: &[f32]) -> Vec<f32> {
        let Shape { trees, padded, leaves } = self.shape;
        let mut weights = vec![0.0; self.shape.weights()];
        for part in Part::ALL {
            let own;
            (own, flat) = flat.split_at(self.tensor_shape(part).iter().product());
            let to = &mut weights[self.shape.range(part)];
            match part {
                Part::NormGain | Part::NormShift => {
                    own.iter()
                        .enumerate()
                        .for_each(|(at, number)| to[at % WIDTH * padded + at / WIDTH] = *number);
                }
                Part::Leaves => {
                    let ends = self.starts.iter().skip(1).copied().chain([leaves as u32]);
                    for (tree, (start, end)) in self.starts.iter().zip(ends).enumerate().take(trees) {
                        let to = &mut to[*start as usize * WIDTH..end as usize * WIDTH];
                        to.copy_from_slice(&own[tree * self.widest * WIDTH..][..to.len()]);
                    }
                }
                _ => to.copy_from_slice(own),
            }
        }
        weights
    }

    /// By tree, item and leaf of the tree: 1 where the item falls in the leaf, 0 elsewhere. `leaves` are by item and
    /// then by tree, counted over all trees.
    fn leaf_indicators(&self, leaves: Vec<u32>) -> Result<Tensor> {
        let trees = self.shape.trees;
        let items = leaves.len() / trees;
        let own: Vec<u32> =
            leaves.iter().zip(self.starts.iter().cycle()).map(|(leaf, start)| leaf - start).collect();
        let own = Tensor::from_vec(own, (items, trees, 1), &self.device)?.transpose(0, 1)?;
        let every = Tensor::arange(0, self.widest as u32, &self.device)?.reshape((1, 1, self.widest))?;
        own.broadcast_eq(&every)?.to_dtype(DType::F32)
    }

    /// By item: the log odds, the revenue, and the last hidden layer.
    fn forward(&self, inputs: &[Var], leaf_indicators: &Tensor) -> Result<Tensor> {
        let of = |part: Part| inputs[part as usize].as_tensor();
        let (importer, code) = (inputs[IMPORTERS].as_tensor(), inputs[CODES].as_tensor());
        let (trees, items) = (self.shape.trees, importer.dim(0)?);

        let projections = of(Part::Leaves)
            .reshape((trees * self.widest, WIDTH))?
            .matmul(of(Part::Projection))?
            .broadcast_add(of(Part::ProjectionBias))?
            .relu()?
            .reshape((trees, self.widest, PROJECTED))?;
        let projected = leaf_indicators.matmul(&projections)?.transpose(0, 1)?;
        // By item, head and tree.
        let third = |at: usize| {
            projected
                .narrow(2, at * WIDTH, WIDTH)?
                .reshape((items, trees, HEADS, HEAD))?
                .transpose(1, 2)?
                .contiguous()
        };
        let (queries, keys, values) = (third(0)?, third(1)?, third(2)?);
        let scores = (queries.matmul(&keys.t()?)? * (HEAD as f64).sqrt().recip())?;
        let attended = softmax(&scores, D::Minus1)?.matmul(&values)?.transpose(1, 2)?;
        let joined = attended
            .reshape((items * trees, WIDTH))?
            .matmul(&of(Part::HeadJoin).t()?)?
            .broadcast_add(of(Part::HeadJoinBias))?
            .relu()?
            .reshape((items, trees * WIDTH))?;

        let centred = joined.broadcast_sub(&joined.mean_keepdim(1)?)?;
        let spread = (centred.sqr()?.mean_keepdim(1)? + f64::from(LEAST_VARIANCE))?.sqrt()?;
        let blocks = centred
            .broadcast_div(&spread)?
            .reshape((items, trees, WIDTH))?
            .broadcast_mul(of(Part::NormGain))?
            .broadcast_add(of(Part::NormShift))?;

        let query = (importer * code)?
            .matmul(of(Part::AttentionQuery))?
            .broadcast_add(of(Part::AttentionBias))?
            .unsqueeze(1)?;
        let scores = blocks
            .reshape((items * trees, WIDTH))?
            .matmul(&of(Part::AttentionTree).t()?)?
            .reshape((items, trees, WIDTH))?
            .broadcast_add(&query)?
            .relu()?
            .reshape((items * trees, WIDTH))?
            .matmul(of(Part::AttentionScore))?
            .reshape((items, 1, trees))?;
        let context = softmax(&scores, D::Minus1)?.matmul(&blocks)?.squeeze(1)?;

        let fused = Tensor::cat(&[importer, code, &context], 1)?;
        let first = leaky(&fused.matmul(of(Part::Fusion))?.broadcast_add(of(Part::FusionBias))?)?;
        let hidden = leaky(&first.matmul(of(Part::Hidden))?.broadcast_add(of(Part::HiddenBias))?)?;
        let heads = hidden.matmul(&of(Part::Heads).t()?)?.broadcast_add(of(Part::HeadsBias))?;
        Tensor::cat(&[&heads, &hidden], 1)
    }
}

fn leaky(numbers: &Tensor) -> Result<Tensor> {
    numbers.maximum(&(numbers * f64::from(LEAK))?)
}

/// Reads the result of [`TensorGraph::forward`] back to the processor.
fn read_outputs(outputs: &Tensor) -> Result<Vec<NetworkOutput>> {
    let numbers: Vec<f32> = outputs.flatten_all()?.to_vec1()?;
    let output = |numbers: &[f32; 2 + WIDTH]| NetworkOutput {
        logit: numbers[0],
        revenue: numbers[1],
        hidden: std::array::from_fn(|at| numbers[2 + at]),
    };
    Ok(numbers.as_chunks().0.iter().map(output).collect())
}
