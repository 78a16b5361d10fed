//! The ledger: what is durably known of every job.
//!
//! A job is an append-only sequence of events in the archive, each made with create-if-absent. Its state is the fold of
//! its events, so a scheduler that starts anew knows every job by reading, and two schedulers cannot both write the same
//! next event. Promises:
//!
//! - an event once appended never changes and never goes away;
//! - only the moves that [`JobState::after`] allows can be appended;
//! - of two writers that append at the same place one gets a conflict and must read again;
//! - a writer knows its own event again, so that a write that landed and was not answered counts as written;
//! - a damaged event concerns its job alone.
//!
//! Start at [`Event`], then [`JobState`], then [`Ledger`].

mod event;
mod journal;
mod state;
mod store;

pub use event::Event;
pub use journal::{Attempt, Journal};
pub use state::{JobState, Note, Retry, Status, StepState};
pub use store::{Damaged, Entry, Ledger, Listed};

#[cfg(test)]
mod tests;
