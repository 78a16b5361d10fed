//! X-ray images.

pub mod decode;
mod dicom;
pub mod encode;
pub mod hash;
pub mod raster;
pub mod refused;
