//! The input of the network: items as columns, batches of them, their targets, and the embedding vectors.

use super::vector::Vector;

/// Items, column by column.
#[derive(Debug, Clone, Default)]
pub(super) struct Items {
    /// By item and tree: the leaf, counted over all trees.
    pub(super) leaves: Vec<u32>,
    /// Each item's importer, as an index into [`Vectors::importers`]; 0 is the zero vector.
    pub(super) importers: Vec<u32>,
    /// Each item's HS code, as an index into [`Vectors::codes`]; 0 is the zero vector.
    pub(super) codes: Vec<u32>,
}

/// Some of the items, with the embedding vectors to use for them (a training step hides some).
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch<'a> {
    /// Of all items, as in [`Items`].
    pub(super) leaves: &'a [u32],
    /// The indices of the batch's items.
    pub(super) rows: &'a [u32],
    /// Indices of their importers' vectors, in the order of `rows`.
    pub(super) importers: &'a [u32],
    /// Indices of their HS codes' vectors, in the order of `rows`.
    pub(super) codes: &'a [u32],
}

/// What the network is trained to predict; columns over all items.
#[derive(Debug, Clone, Copy)]
pub(super) struct Targets<'a> {
    /// 1 illicit, 0 not.
    pub(super) labels: &'a [f32],
    /// ln(1 + revenue) as a share of the largest in training; NaN where not known.
    pub(super) revenue: &'a [f32],
    /// Weight of the squared error of the revenue.
    pub(super) revenue_weight: f32,
}

/// Embedding vectors of importers and of HS codes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vectors<'a> {
    pub(super) importers: &'a [Vector],
    pub(super) codes: &'a [Vector],
}
