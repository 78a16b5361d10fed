//! Training a detector, data-parallel, by local SGD: [`leader`] and [`shard`].

pub mod augment;
pub mod examples;
pub mod leader;
pub mod loader;
pub mod loss;
pub mod parameters;
pub mod shard;
pub mod targets;
mod wire;
