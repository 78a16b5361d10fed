//! Graphs of travellers and what they share, in compressed adjacency: 4 bytes for an end of an edge, 4 for its weight
//! and 8 for a vertex, so that 50 million edges take under a gigabyte.
//!
//! [`Graph`] is built from edges; [`components`], [`centrality`], [`communities`] and [`paths`] read it, and [`layout`]
//! places it for a picture. All results are the same
//! for the same graph and seed.

pub mod centrality;
pub mod communities;
pub mod components;
mod compressed;
pub mod layout;
pub mod paths;
mod random;

#[cfg(test)]
mod tests;

pub use compressed::Graph;
