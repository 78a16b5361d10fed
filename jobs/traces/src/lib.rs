//! Traces of the jobs that this process drives: how long each took in which step, query, task and round of a fit.
//!
//! A trace is a job. Its spans lie in each other: the job, its parts and steps, in a step the queries with their tasks and
//! the rounds of the fits. A span that is recorded without a parent belongs to the innermost span of its job that is open.
//! All are recorded in the process that drives the job, so nothing travels with the work. They go to the collector that
//! [`start`] was told; before that, recording does nothing. Spans that the collector does not take in time are dropped and
//! counted: a job never waits for them.
//!
//! Beside it, log lines of a job's work name the job and the step ([`in_job`]).
//!
//! Source: the OpenTelemetry specification, "Trace API" and "OTLP" (OTLP/HTTP with JSON, protocol version 1). What is
//! absent: sampling, metrics and logs. Start at [`begin`] and [`start`].

mod export;
mod lines;
mod recorder;
mod span;

pub use crate::{
    export::{Exporter, flush, start},
    lines::{LINES, in_job, in_step},
    recorder::{Open, are_wanted, begin, innermost, new_id, now, record},
    span::{Id, Level, Span},
};
