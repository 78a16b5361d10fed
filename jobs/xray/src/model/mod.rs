//! The detector: [`network`] computes, [`detect`] reads its outputs, [`image_score`] makes an image's probability, and
//! [`detector`] is all of it with its weights.

pub mod detect;
pub mod detector;
pub mod image_score;
pub mod network;
