//! The tasks that an executor runs, by their queries, and the end of those that are not wanted any more.
//!
//! [`Running::begin`] is called for every task. [`Running::stop`] ends all tasks of a query: their streams of rows give
//! an error instead of the next batch and drop what they were computed from, so that everything below them ends, too.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ballista_core::error::BallistaError;
use datafusion::{
    arrow::array::RecordBatch,
    error::{DataFusionError, Result},
    execution::SendableRecordBatchStream,
};
use futures::{Stream, StreamExt, stream};
use tokio::sync::watch;

/// The queries that have tasks on this executor. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Running(Arc<Mutex<HashMap<String, Query>>>);

#[derive(Debug)]
struct Query {
    tasks: usize,
    stopped: watch::Sender<bool>,
}

impl Running {
    /// Notes a task of a query, for as long as the task exists.
    pub(crate) fn begin(&self, query: &str) -> Arc<Task> {
        let mut queries = self.queries();
        let running = queries
            .entry(query.to_owned())
            .or_insert_with(|| Query { tasks: 0, stopped: watch::Sender::new(false) });
        running.tasks += 1;
        let stopped = running.stopped.subscribe();
        Arc::new(Task { query: query.to_owned(), running: self.clone(), stopped })
    }

    /// The ids of the queries.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.queries().keys().cloned().collect()
    }

    /// Ends the tasks of a query.
    pub(crate) fn stop(&self, query: &str) {
        if let Some(query) = self.queries().get(query) {
            query.stopped.send_replace(true);
        }
    }

    fn queries(&self) -> MutexGuard<'_, HashMap<String, Query>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task of a query; as long as anything holds it, the query counts as running.
#[derive(Debug)]
pub(crate) struct Task {
    query: String,
    running: Running,
    stopped: watch::Receiver<bool>,
}

impl Task {
    /// The rows of a stream until the query is stopped, then [`BallistaError::Cancelled`] at once, whatever the stream
    /// waits for; the stream is dropped.
    pub(crate) fn guard(
        self: Arc<Self>,
        rows: SendableRecordBatchStream,
    ) -> impl Stream<Item = Result<RecordBatch>> {
        let stopped = self.stopped.clone();
        stream::unfold(Some((rows, stopped, self)), |guarded| async {
            let (mut rows, mut stopped, task) = guarded?;
            let next = tokio::select! {
                biased;
                () = stop(&mut stopped) => None,
                batch = rows.next() => Some(batch?),
            };
            match next {
                Some(batch) => Some((batch, Some((rows, stopped, task)))),
                None => Some((Err(DataFusionError::External(Box::new(BallistaError::Cancelled))), None)),
            }
        })
    }
}

/// Ends when the query is stopped. The sender lives as long as the task.
async fn stop(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|stopped| *stopped).await);
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Entry::Occupied(mut query) = self.running.queries().entry(self.query.clone()) {
            query.get_mut().tasks -= 1;
            if query.get().tasks == 0 {
                query.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::{
        arrow::datatypes::Schema,
        physical_plan::{EmptyRecordBatchStream, stream::RecordBatchStreamAdapter},
    };

    use super::*;

    /// Tells when it is dropped.
    struct Dropped(Option<tokio::sync::oneshot::Sender<()>>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            if let Some(sender) = self.0.take() {
                // The test may have ended.
                let _ = sender.send(());
            }
        }
    }

    #[tokio::test]
    async fn a_stopped_query_ends_its_streams_and_drops_what_they_wait_for() {
        let running = Running::default();
        let (sender, dropped) = tokio::sync::oneshot::channel();
        let guard = Dropped(Some(sender));
        let endless = stream::pending::<Result<RecordBatch>>().map(move |batch| {
            let _held = &guard;
            batch
        });
        let schema = Arc::new(Schema::empty());
        let endless = Box::pin(RecordBatchStreamAdapter::new(schema, endless));
        let mut guarded = Box::pin(running.begin("a").guard(endless));
        let other = running.begin("b");
        assert!(futures::poll!(guarded.next()).is_pending());
        let mut ids = running.ids();
        ids.sort();
        assert_eq!(ids, ["a", "b"]);

        running.stop("a");
        let error = guarded.next().await.expect("an error").expect_err("it was stopped");
        assert!(error.to_string().contains("cancelled"), "{error}");
        dropped.await.expect("the stream is dropped");
        assert!(guarded.next().await.is_none());
        assert_eq!(running.ids(), ["b"], "a query without tasks is forgotten");
        drop(other);
        assert!(running.ids().is_empty());
    }

    #[tokio::test]
    async fn a_query_that_is_not_stopped_gives_its_rows() {
        let running = Running::default();
        let schema = Arc::new(Schema::empty());
        let empty = Box::pin(EmptyRecordBatchStream::new(schema));
        running.stop("a");
        assert!(Box::pin(running.begin("a").guard(empty)).next().await.is_none());
        assert!(running.ids().is_empty());
    }
}
