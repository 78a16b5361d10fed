//! The device on which candle computes tensors, and the operations on images that candle lacks or computes slowly.
//!
//! The GPU is the CUDA device that the executor leases to the task, otherwise the first, if this program was built for
//! CUDA (feature `cuda`) and the machine has one ([`gpu`]). It has not been run on a machine with several. Otherwise tensors
//! are on the processor. Networks on images are built of [`convolution::convolve`], [`normalisation::normalise`] and
//! [`upsampling::double`], or on the processor of the layers of a [`tape::Tape`]; images lie with their channels last. What is
//! absent: any model.

pub mod convolution;
pub mod normalisation;
mod product;
pub mod tape;
pub mod upsampling;
mod values;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Mutex, PoisonError},
};

use candle_core::Device;
use tidewaiter_core::{Error, Result, devices};

/// The GPU on which this task computes; `None` when there is none. A device is opened once, at the first call for it.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Unavailable`] when there is a GPU that cannot be opened.
pub fn gpu() -> Result<Option<Device>> {
    static OPENED: Mutex<BTreeMap<usize, Device>> = Mutex::new(BTreeMap::new());
    let number = devices::current().unwrap_or(0);
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let device = match opened.entry(number) {
        Entry::Occupied(device) => device.get().clone(),
        Entry::Vacant(place) => {
            let device = Device::cuda_if_available(number).map_err(|error| {
                let message =
                    format!("CUDA device {number} does not answer; see whether nvidia-smi lists it");
                Error::unavailable(message).with_source(error)
            })?;
            place.insert(device).clone()
        }
    };
    Ok(Some(device).filter(Device::is_cuda))
}
