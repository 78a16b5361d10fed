//! The scheduler's side of Tidewaiter: what is known of jobs, and where their tasks run.
//!
//! Start at [`ledger`] (a job is its events) and at [`placement`] (which executor takes which task).

pub mod ledger;
pub mod placement;
