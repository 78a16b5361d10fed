//! The network as a graph of tensors, which a GPU computes: the same weights, answers and gradients as
//! [`super::network`] has by loops, but for the last bits.
//!
//! Weights live with the optimiser, on the processor; a batch takes them along, some hundred kilobytes, and brings
//! their gradients back. A leaf's projections are computed once a batch, and an item takes those of its leaves by a
//! product with a row that is 1 at its leaf and 0 elsewhere: its way back is a product as well, whose sums have one
//! order, where adding rows up by their numbers would be a loop or have none. Start at [`Graph::back`].

use candle_core::{D, Device, Result as TensorResult, Tensor, Var};
use candle_nn::ops::softmax;

use super::{
    batch::{Batch, Items, Vectors},
    embedding::{Vector, WIDTH},
    network::{Answer, LEAK, LEAST_VARIANCE},
    weights::{FUSED, HEAD, HEADS, PROJECTED, Part, Shape},
};
use crate::{Error, Result};

/// Items that are scored together: their attention among a hundred trees takes 160 MB.
const SCORED: usize = 1024;

/// The network over some trees on one device.
#[derive(Debug)]
pub(super) struct Graph {
    shape: Shape,
    device: Device,
    /// By tree: the number of its first leaf.
    starts: Vec<u32>,
    /// Leaves of the largest tree; the others are filled up with leaves that no item falls in.
    widest: usize,
}

/// Gradients of a batch.
pub(super) struct Behind {
    pub(super) loss: f64,
    /// Of the weights, in their form.
    pub(super) weights: Vec<f32>,
    /// Of each item's importer's vector.
    pub(super) importers: Vec<Vector>,
    pub(super) codes: Vec<Vector>,
}

/// Where the tensors of importers and codes stand, after those of [`Part::ALL`].
const IMPORTERS: usize = Part::ALL.len();
const CODES: usize = IMPORTERS + 1;

impl Graph {
    /// The network over trees of so many leaves each.
    pub(super) fn new(leaves: &[u32], device: Device) -> Self {
        let mut next = 0;
        let starts = leaves.iter().map(|leaves| {
            next += leaves;
            next - leaves
        });
        let starts = starts.collect();
        let widest = leaves.iter().max().map_or(1, |widest| *widest as usize);
        Self { shape: Shape::new(leaves.len(), next as usize), device, starts, widest }
    }

    /// The gradients of a batch, where `behind` gives those of each item's answer (log odds and revenue) and its loss.
    pub(super) fn back(
        &self,
        weights: &[f32],
        vectors: Vectors<'_>,
        batch: Batch<'_>,
        mut behind: impl FnMut(usize, Answer) -> ((f32, f32), f64),
    ) -> Result<Behind> {
        let trees = self.shape.trees;
        let leaves = batch.rows.iter().flat_map(|row| &batch.leaves[*row as usize * trees..][..trees]);
        let inputs = self.inputs(weights, vectors, batch.importers, batch.codes)?;
        let answers = self.forward(&inputs, &self.fallen(leaves.copied().collect())?)?;

        let (mut loss, mut given) = (0.0, Vec::with_capacity(2 * batch.rows.len()));
        for (row, answer) in batch.rows.iter().zip(told(&answers)?) {
            let ((logit, revenue), of_item) = behind(*row as usize, answer);
            given.extend([logit, revenue]);
            loss += of_item;
        }
        let given = Tensor::from_vec(given, (batch.rows.len(), 2), &self.device)?;
        let gradients = (answers.narrow(1, 0, 2)? * given)?.sum_all()?.backward()?;
        let found: Option<Vec<Tensor>> =
            inputs.iter().map(|input| gradients.get(input.as_tensor()).cloned()).collect();
        let found = found.ok_or_else(|| Error::internal("DATE: a part of the network has no gradient"))?;
        let flat: TensorResult<Vec<Tensor>> = found.iter().map(Tensor::flatten_all).collect();
        let flat = Tensor::cat(&flat?, 0)?.to_vec1()?;
        let (of_weights, of_vectors) = flat.split_at(flat.len() - 2 * WIDTH * batch.rows.len());
        let (importers, codes) = of_vectors.as_chunks::<WIDTH>().0.split_at(batch.rows.len());
        Ok(Behind {
            loss,
            weights: self.as_weights(of_weights),
            importers: importers.to_vec(),
            codes: codes.to_vec(),
        })
    }

    /// The answers of some items.
    pub(super) fn answers(
        &self,
        weights: &[f32],
        vectors: Vectors<'_>,
        items: &Items,
    ) -> Result<Vec<Answer>> {
        let places = items.importers.chunks(SCORED).zip(items.codes.chunks(SCORED));
        let mut answers = Vec::with_capacity(items.importers.len());
        for ((importers, codes), leaves) in places.zip(items.leaves.chunks(SCORED * self.shape.trees)) {
            let inputs = self.inputs(weights, vectors, importers, codes)?;
            answers.extend(told(&self.forward(&inputs, &self.fallen(leaves.to_vec())?)?)?);
        }
        Ok(answers)
    }

    /// A part's form as a tensor.
    fn form(&self, part: Part) -> Vec<usize> {
        let trees = self.shape.trees;
        match part {
            Part::Project => vec![WIDTH, PROJECTED],
            Part::ProjectBias => vec![PROJECTED],
            Part::Join | Part::AskQuery | Part::AskTree | Part::Hide => vec![WIDTH, WIDTH],
            Part::JoinBias | Part::AskBias | Part::FuseBias | Part::HideBias => vec![WIDTH],
            Part::Gain | Part::Shift => vec![trees, WIDTH],
            Part::AskWeight => vec![WIDTH, 1],
            Part::Fuse => vec![FUSED, WIDTH],
            Part::Heads => vec![2, WIDTH],
            Part::HeadsBias => vec![2],
            Part::Leaves => vec![trees, self.widest, WIDTH],
        }
    }

    /// The parts of the weights, and the vectors that items are shown with, on the device: one copy, then divided.
    fn inputs(
        &self,
        weights: &[f32],
        vectors: Vectors<'_>,
        importers: &[u32],
        codes: &[u32],
    ) -> Result<Vec<Var>> {
        let mut flat = Vec::new();
        let mut forms = Vec::new();
        for part in Part::ALL {
            forms.push(self.form(part));
            self.lay_out(part, &weights[self.shape.range(part)], &mut flat);
        }
        for (places, vectors) in [(importers, vectors.importers), (codes, vectors.codes)] {
            forms.push(vec![places.len(), WIDTH]);
            flat.extend(places.iter().flat_map(|place| vectors[*place as usize]));
        }
        let count = flat.len();
        let flat = Tensor::from_vec(flat, count, &self.device)?;
        let mut next = 0;
        let inputs = forms.into_iter().map(|form| {
            let length = form.iter().product();
            let part = flat.narrow(0, next, length)?.reshape(form)?;
            next += length;
            Var::from_tensor(&part)
        });
        Ok(inputs.collect::<TensorResult<_>>()?)
    }

    /// Adds a part to what is sent: tree by tree where it stands by number, and every tree as wide as the widest.
    fn lay_out(&self, part: Part, weights: &[f32], flat: &mut Vec<f32>) {
        let Shape { trees, padded, leaves } = self.shape;
        match part {
            Part::Gain | Part::Shift => {
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

    /// The list of the weights' form that [`Self::lay_out`] made these numbers of.
    fn as_weights(&self, mut flat: &[f32]) -> Vec<f32> {
        let Shape { trees, padded, leaves } = self.shape;
        let mut weights = vec![0.0; self.shape.weights()];
        for part in Part::ALL {
            let own;
            (own, flat) = flat.split_at(self.form(part).iter().product());
            let to = &mut weights[self.shape.range(part)];
            match part {
                Part::Gain | Part::Shift => {
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

    /// By tree, item and leaf of the tree: 1 where the item falls in the leaf, 0 elsewhere. `leaves` stand by item and
    /// tree, counted over all trees.
    fn fallen(&self, leaves: Vec<u32>) -> Result<Tensor> {
        let trees = self.shape.trees;
        let items = leaves.len() / trees;
        let own: Vec<u32> =
            leaves.iter().zip(self.starts.iter().cycle()).map(|(leaf, start)| leaf - start).collect();
        let own = Tensor::from_vec(own, (items, trees, 1), &self.device)?.transpose(0, 1)?;
        let every = Tensor::arange(0, self.widest as u32, &self.device)?.reshape((1, 1, self.widest))?;
        Ok(own.broadcast_eq(&every)?.to_dtype(candle_core::DType::F32)?)
    }

    /// By item: the log odds, the revenue, and what both heads read.
    fn forward(&self, inputs: &[Var], fallen: &Tensor) -> Result<Tensor> {
        let of = |part: Part| inputs[part as usize].as_tensor();
        let (importer, code) = (inputs[IMPORTERS].as_tensor(), inputs[CODES].as_tensor());
        let (trees, items) = (self.shape.trees, importer.dim(0)?);

        let projections = of(Part::Leaves)
            .reshape((trees * self.widest, WIDTH))?
            .matmul(of(Part::Project))?
            .broadcast_add(of(Part::ProjectBias))?
            .relu()?
            .reshape((trees, self.widest, PROJECTED))?;
        let projected = fallen.matmul(&projections)?.transpose(0, 1)?;
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
        let found = softmax(&scores, D::Minus1)?.matmul(&values)?.transpose(1, 2)?;
        let joined = found
            .reshape((items * trees, WIDTH))?
            .matmul(&of(Part::Join).t()?)?
            .broadcast_add(of(Part::JoinBias))?
            .relu()?
            .reshape((items, trees * WIDTH))?;

        let centred = joined.broadcast_sub(&joined.mean_keepdim(1)?)?;
        let spread = (centred.sqr()?.mean_keepdim(1)? + f64::from(LEAST_VARIANCE))?.sqrt()?;
        let blocks = centred
            .broadcast_div(&spread)?
            .reshape((items, trees, WIDTH))?
            .broadcast_mul(of(Part::Gain))?
            .broadcast_add(of(Part::Shift))?;

        let query =
            (importer * code)?.matmul(of(Part::AskQuery))?.broadcast_add(of(Part::AskBias))?.unsqueeze(1)?;
        let asked = blocks
            .reshape((items * trees, WIDTH))?
            .matmul(&of(Part::AskTree).t()?)?
            .reshape((items, trees, WIDTH))?
            .broadcast_add(&query)?
            .relu()?
            .reshape((items * trees, WIDTH))?
            .matmul(of(Part::AskWeight))?
            .reshape((items, 1, trees))?;
        let taken = softmax(&asked, D::Minus1)?.matmul(&blocks)?.squeeze(1)?;

        let fused = Tensor::cat(&[importer, code, &taken], 1)?;
        let first = leaky(&fused.matmul(of(Part::Fuse))?.broadcast_add(of(Part::FuseBias))?)?;
        let hidden = leaky(&first.matmul(of(Part::Hide))?.broadcast_add(of(Part::HideBias))?)?;
        let heads = hidden.matmul(&of(Part::Heads).t()?)?.broadcast_add(of(Part::HeadsBias))?;
        Ok(Tensor::cat(&[&heads, &hidden], 1)?)
    }
}

fn leaky(numbers: &Tensor) -> TensorResult<Tensor> {
    numbers.maximum(&(numbers * f64::from(LEAK))?)
}

/// The answers of [`Graph::forward`], on the processor.
fn told(answers: &Tensor) -> Result<Vec<Answer>> {
    let numbers: Vec<f32> = answers.flatten_all()?.to_vec1()?;
    let answer = |numbers: &[f32; 2 + WIDTH]| Answer {
        logit: numbers[0],
        revenue: numbers[1],
        hidden: std::array::from_fn(|at| numbers[2 + at]),
    };
    Ok(numbers.as_chunks().0.iter().map(answer).collect())
}
