//! Computation on threads of its own, beside the runtime's threads, which wait for input and output.
//!
//! A computation whose result nobody awaits any more stops: dropping the future of [`on_cpu`] is how a cancelled job, or
//! a query that has failed, ends its work. A thread cannot be interrupted, so a long loop asks [`check`] between its
//! batches; a short one need not. Start at [`on_cpu`].

use std::{
    cell::RefCell,
    sync::{Arc, Weak},
};

use crate::{Error, ErrorKind, Result, devices};

thread_local! {
    /// Alive while the computation of this thread is awaited; `None` where the thread has none.
    static AWAITED: RefCell<Option<Weak<()>>> = const { RefCell::new(None) };
}

/// Runs `work` on one of the runtime's blocking threads. It is started by the call itself, before the future is
/// awaited, and stops at its next [`check`] when the future is dropped.
///
/// # Errors
/// Those of the work; [`ErrorKind::Internal`] when it panics.
pub fn on_cpu<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> impl Future<Output = Result<T>> {
    let awaits = Arc::new(());
    let (awaited, device) = (Arc::downgrade(&awaits), devices::current());
    let computed = tokio::task::spawn_blocking(move || {
        let _computation = Computation::begin(awaited, device);
        // It may have waited for a thread longer than anybody for it.
        check()?;
        work()
    });
    async move {
        let result = computed.await;
        drop(awaits);
        result.map_err(|error| Error::internal("a computation stopped").with_source(error))?
    }
}

/// Whether the computation of this thread is still wanted: long loops ask between batches, and end with the error.
/// Always, on a thread that [`on_cpu`] did not start.
///
/// # Errors
/// [`ErrorKind::Cancelled`] when nobody awaits the result.
pub fn check() -> Result<()> {
    let dropped = |awaited: &Weak<()>| awaited.strong_count() == 0;
    match AWAITED.with_borrow(|awaited| awaited.as_ref().is_some_and(dropped)) {
        true => Err(Error::new(ErrorKind::Cancelled, "the computation was cancelled")),
        false => Ok(()),
    }
}

/// The computation of this thread, from its begin to its end, also by a panic.
struct Computation;

impl Computation {
    fn begin(awaited: Weak<()>, device: Option<usize>) -> Self {
        AWAITED.set(Some(awaited));
        devices::set_of_thread(device);
        Self
    }
}

impl Drop for Computation {
    fn drop(&mut self) {
        AWAITED.set(None);
        devices::set_of_thread(None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_computation_that_nobody_awaits_stops_at_its_next_check() {
        let (proceed, wait) = mpsc::channel();
        let (send, ended) = mpsc::channel();
        let computation = on_cpu(move || {
            for step in wait {
                let result: Result<()> = check();
                send.send((step, result.is_ok())).map_err(|_| Error::internal("the test ended"))?;
                result?;
            }
            Ok(())
        });
        proceed.send(1).expect("it computes");
        assert_eq!(ended.recv().expect("it computes"), (1, true));
        drop(computation);
        proceed.send(2).expect("it computes");
        assert_eq!(ended.recv().expect("it computes"), (2, false));
        assert!(ended.recv().is_err(), "it has ended");
    }

    #[tokio::test]
    async fn a_computation_that_is_awaited_ends_with_its_result() {
        assert_eq!(on_cpu(|| check().map(|()| 7)).await.expect("computes"), 7);
        let error = on_cpu::<()>(|| Err(Error::input("wrong"))).await.expect_err("it is wrong");
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(check().is_ok(), "this thread computes for nobody");
    }
}
