//! The numbers of tensors on the processor.

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, Error, Layout, Result, Storage, StorageRef, Tensor, bail};

/// The numbers of a contiguous storage under a layout.
pub(crate) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let range = contiguous(layout)?;
    Ok(&storage.as_slice::<f32>()?[range])
}

/// The numbers of a contiguous tensor of `f32` on the processor, borrowed.
pub(crate) struct Values<'a> {
    storage: StorageRef<'a>,
    range: Range<usize>,
}

impl<'a> Values<'a> {
    pub(crate) fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        if !matches!(&*storage, Storage::Cpu(CpuStorage::F32(_))) {
            bail!(
                "a tensor of {:?} on {:?} instead of f32 on the processor",
                tensor.dtype(),
                tensor.device()
            );
        }
        Ok(Self { storage, range: contiguous(layout)? })
    }
}

impl Deref for Values<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.range.clone()],
            // Excluded by `of`.
            _ => &[],
        }
    }
}

fn contiguous(layout: &Layout) -> Result<Range<usize>> {
    let (start, end) =
        layout.contiguous_offsets().ok_or(Error::RequiresContiguous { op: "tensor values" })?;
    Ok(start..end)
}

/// Adds vectors element by element, in their order, so that the sum's bytes do not depend on threads; zeros when there
/// are none.
pub(crate) fn add_in_order(partial: Vec<Vec<f32>>, length: usize) -> Vec<f32> {
    let first_plus = |mut sum: Vec<f32>, next: Vec<f32>| {
        sum.iter_mut().zip(next).for_each(|(sum, value)| *sum += value);
        sum
    };
    partial.into_iter().reduce(first_plus).unwrap_or_else(|| vec![0.0; length])
}
