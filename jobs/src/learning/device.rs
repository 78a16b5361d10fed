//! Where tensors are computed: on the first CUDA device where this program was built for CUDA (feature `cuda`) and
//! there is one, and otherwise on the processor.

use std::sync::OnceLock;

use candle_core::Device;

use crate::{Error, Result};

/// The GPU that this process computes on; `None`: there is none. It is opened once.
///
/// # Errors
/// [`crate::ErrorKind::Unavailable`] when there is one that does not answer.
pub(crate) fn gpu() -> Result<Option<Device>> {
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
