//! What the query engine runs in tasks and threads of its own logs in the span of the work that began it, so that its lines
//! name the job, too.

use std::any::Any;

use datafusion::common::runtime::{JoinSetTracer, set_join_set_tracer};
use futures::future::BoxFuture;
use tracing::{Instrument as _, Span};

/// What the engine's work gives, of any type.
type Given = Box<dyn Any + Send>;

struct KeepSpans;

impl JoinSetTracer for KeepSpans {
    fn trace_future(&self, work: BoxFuture<'static, Given>) -> BoxFuture<'static, Given> {
        let span = Span::current();
        if span.is_none() { work } else { Box::pin(work.instrument(span)) }
    }

    fn trace_block(&self, work: Box<dyn FnOnce() -> Given + Send>) -> Box<dyn FnOnce() -> Given + Send> {
        let span = Span::current();
        if span.is_none() { work } else { Box::new(move || span.in_scope(work)) }
    }
}

/// Keeps the spans of the engine's work in this process from now on.
pub fn keep_spans() {
    // Only a second call is refused, and it would change nothing.
    let _ = set_join_set_tracer(&KeepSpans);
}
