//! The device on which candle computes tensors, and the operations on images that candle lacks or computes slowly.
//!
//! The GPU is the first CUDA device, if this program was built for CUDA (feature `cuda`) and the machine has one
//! ([`gpu`]). Otherwise tensors are on the processor. Networks on images are built of [`convolution::convolve`],
//! [`normalisation::normalise`] and [`upsampling::double`]; images lie with their channels last. What is absent: any
//! model.

pub mod convolution;
pub mod normalisation;
mod product;
pub mod upsampling;
mod values;

use std::sync::OnceLock;

use candle_core::Device;
use tidewaiter_core::{Error, Result};

/// The GPU on which this process computes; `None` when there is none. The device is opened once, at the first call.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Unavailable`] when there is a GPU that cannot be opened.
pub fn gpu() -> Result<Option<Device>> {
    static FOUND: OnceLock<Device> = OnceLock::new();
    let found = match FOUND.get() {
        Some(found) => found.clone(),
        None => {
            let found = Device::cuda_if_available(0).map_err(|error| {
                Error::unavailable("the CUDA device does not answer; see whether nvidia-smi lists it")
                    .with_source(error)
            })?;
            FOUND.get_or_init(|| found).clone()
        }
    };
    Ok(Some(found).filter(Device::is_cuda))
}
