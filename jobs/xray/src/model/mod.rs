//! The detector: [`network`] computes, [`detect`] reads its outputs.

pub mod detect;
pub mod network;
