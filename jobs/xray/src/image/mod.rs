//! X-ray images.

pub mod decode;
pub mod encode;
pub mod hash;
pub mod raster;
