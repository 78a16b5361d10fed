//! The GPUs of an executor, of which a task has one for itself.
//!
//! A fit's task takes a device for as long as it works ([`Devices::lease`]) and runs with its number at hand
//! ([`within`]); computations that it starts on other threads ([`crate::threads::on_cpu`]) find the same one by
//! [`current`]. What is absent: any device; whoever opens one asks for its number here.

use std::{
    cell::Cell,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

tokio::task_local! {
    static OF_TASK: usize;
}

thread_local! {
    static OF_THREAD: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The devices of a process, numbered from 0. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Devices {
    free: Arc<Mutex<Vec<usize>>>,
    permits: Arc<Semaphore>,
}

/// A device that nobody else has while this lives.
#[derive(Debug)]
pub struct Lease {
    number: usize,
    free: Arc<Mutex<Vec<usize>>>,
    /// Given back after the number.
    _permit: OwnedSemaphorePermit,
}

impl Devices {
    /// So many devices, all of them free.
    pub fn new(count: usize) -> Self {
        // The lowest number is taken first.
        let free = Arc::new(Mutex::new((0..count).rev().collect()));
        Self { free, permits: Arc::new(Semaphore::new(count)) }
    }

    /// Waits for a free device; `None` where there is none at all.
    pub async fn lease(&self) -> Option<Lease> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        let number = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(Lease { number, free: Arc::clone(&self.free), _permit: permit })
    }
}

impl Lease {
    /// The device's number.
    pub fn number(&self) -> usize {
        self.number
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
    }
}

/// Runs a future whose computations find the device of a lease, which ends with it.
pub async fn within<F: Future>(lease: Option<Lease>, future: F) -> F::Output {
    match lease {
        Some(lease) => OF_TASK.scope(lease.number, future).await,
        None => future.await,
    }
}

/// The number of the device of this task or computation; `None` where it has none of its own.
pub fn current() -> Option<usize> {
    OF_TASK.try_with(|number| *number).ok().or_else(|| OF_THREAD.get())
}

/// Gives the computation of this thread a device, or none.
pub(crate) fn set_of_thread(number: Option<usize>) {
    OF_THREAD.set(number);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::on_cpu;

    #[tokio::test]
    async fn each_task_has_a_device_of_its_own_and_its_computations_find_it() {
        let devices = Devices::new(2);
        let (first, second) = (devices.lease().await.expect("free"), devices.lease().await.expect("free"));
        assert_eq!((first.number(), second.number()), (0, 1));
        let mut third = Box::pin(devices.lease());
        assert!(futures::poll!(&mut third).is_pending(), "both are taken");
        let found = within(Some(first), async { on_cpu(|| Ok(current())).await.expect("computes") });
        assert_eq!(found.await, Some(0));
        let third = third.await.expect("the first is free again");
        assert_eq!(third.number(), 0);
        assert_eq!(within(Some(second), async { current() }).await, Some(1));
        assert_eq!(within(None, on_cpu(|| Ok(current()))).await.expect("computes"), None);
    }
}
