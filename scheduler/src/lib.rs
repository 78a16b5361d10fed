//! The scheduler's side of Tidewaiter: what is known of jobs, and where their tasks run.
//!
//! Start at [`server`] (the process), then [`placement`] (which executor takes which task) and [`ledger`]
//! (a job is its events).

pub mod ledger;
pub mod placement;
pub mod server;
