//! The scheduler's side of Tidewaiter: what is known of jobs, and where their tasks run.
//!
//! Start at [`server`] (the process), then [`driver`] (jobs run), [`ledger`] (a job is its events) and
//! [`placement`] (which executor takes which task).

mod cluster;
pub mod driver;
pub mod ledger;
pub mod placement;
pub mod server;
mod services;
