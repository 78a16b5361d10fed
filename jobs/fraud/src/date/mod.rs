//! DATE: a neural network over the leaves of boosted trees, with embeddings of importers and HS codes.
//!
//! Source: Kim et al., "DATE: Dual Attentive Tree-aware Embedding for Customs Fraud Detection" (KDD 2020). Boosted
//! trees are grown first. Each tree's leaf that an item falls in is embedded; the leaves attend to each other
//! (self-attention), then importer and HS code form the query of a second attention over them. Two heads predict the
//! probability of fraud and the revenue of an inspection.
//!
//! Training is data parallel by local SGD: every shard makes some steps on its own rows from the same state, and the
//! leader averages weights and their running moments, weighted by rows (Stich, "Local SGD Converges Fast and
//! Communicates Little", ICLR 2019; Yu, Jin and Yang, ICML 2019, for the moments). The outer step is the plain
//! average, without momentum: a batch is divided over the shards, so an epoch has as many steps however many shards
//! there are. Embedding vectors of importers and HS codes travel only where they changed, in messages bounded by the
//! steps between two averages; a shard that joins late gets all trained rows at once, which is the largest message of
//! a fit.
//!
//! Promise: the same rows, parameters, seed and number of shards give the same bytes. On processors the network is
//! plain Rust loops (`network`, `backward`) whose sums have a fixed order. On a GPU it is a graph of tensors
//! (`graph`); the last bits of a model then depend on the device.
//!
//! What differs from the authors' code, on purpose:
//! - An importer or HS code that is missing or was never trained has the zero vector, and some are hidden at each
//!   training step, so that the network learns to predict for such items.
//! - Features use the past only.
//! - The revenue loss leaves out illicit items whose revenue is not known.
//! - The revenue head is linear, as in the paper (equation 7): with the ReLU of the authors' code it can become 0 for
//!   all items, where its gradient vanishes.
//! - The epoch is chosen by the average precision on the validation months.
//! - Every random number is seeded.
//!
//! Start at [`DateLeader`] (the rounds of a fit), then [`DateShard`] (what a worker computes), `network` (the forward
//! pass) and [`DateModel`] (scores and explanations).

mod backward;
mod batch;
mod embedding;
mod graph;
mod items;
mod keys;
mod lanes;
mod leader;
mod leaves;
mod load;
mod model;
mod network;
mod optimiser;
mod parameters;
mod shard;
#[cfg(test)]
mod tests;
mod vector;
mod weights;
mod wire;

pub use keys::Keys;
pub use leader::DateLeader;
pub use load::{DateLayout, DateShards, LEARNER, revenue_target};
pub use model::{DateModel, StoredDateModel};
pub use parameters::Parameters;
pub use shard::{DateShard, ShardRows};
