//! The detector: [`network`] computes, [`detect`] reads its outputs, [`image_score`] makes an image's probability,
//! [`detector`] is all of it with its weights, and [`backbone`] are weights to begin from.

pub mod backbone;
pub mod detect;
pub mod detector;
pub mod image_score;
mod layers;
pub mod network;
