//! The job and the step of log lines: what is logged in the work of a job lies in the log's spans `job` and `step`, whose
//! fields have these names.
//!
//! The spans are of the highest level and of one target of their own ([`LINES`]), so that a log can have them whatever
//! lines it takes. Start at [`in_job`].

use tracing::{Instrument as _, instrument::Instrumented};

/// The target of the spans.
pub const LINES: &str = "tidewaiter_traces::lines";

/// The work of a job; its lines have the fields `job` and `kind`.
pub fn in_job<W: Future>(job: &str, kind: &str, work: W) -> Instrumented<W> {
    work.instrument(tracing::error_span!(target: LINES, "job", job, kind))
}

/// The work of a step; its lines have the field `step`.
pub fn in_step<W: Future>(step: &str, work: W) -> Instrumented<W> {
    work.instrument(tracing::error_span!(target: LINES, "step", step))
}
