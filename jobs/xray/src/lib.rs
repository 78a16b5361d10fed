//! X-ray images of bags and cargo: an archive of images, a detector of illicit goods, and what it selects.

pub mod boxes;
pub mod fit;
pub mod generator;
pub mod image;
pub mod metrics;
pub mod model;
