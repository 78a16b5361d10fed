//! Events to cases: rows of events in any order in, one row of each case out.
//!
//! Cases are made without a sort. The events of a case meet by the hash of its id in one partition of the
//! query, in one file of the partition where there are many events, and in one part of that file which fits
//! the processor's cache; only the few events of each case are then sorted. A case's row keeps what later
//! queries need of its events: the milestones, the trace by the ends and by the beginnings of events, and the
//! times between them, by the clock and in open hours ([`trace`]). Only queries on resources and queues still
//! need all events in order.
//!
//! Promises: the rows are those of a sort by case; memory grows with the events of a part ([`EVENT_BYTES`]
//! each), not with the log. Beside the events only the different texts are held.
//!
//! Start at [`CasesOperator`]: it interns the texts of the events (`event_texts`), groups the events by case
//! (`grouping`) and fills the columns of the cases (`columns`). [`queries`] has its input and what becomes of
//! its rows.

mod columns;
mod event_texts;
mod grouping;
mod operator;
pub mod queries;
#[cfg(test)]
mod tests;
pub mod trace;

pub use operator::{CasesOperator, EVENT_BYTES};
