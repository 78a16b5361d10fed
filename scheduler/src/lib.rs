//! The scheduler's side of Tidewaiter: what is known of jobs, and where their tasks run.
//!
//! Start at [`server`] (the process), then [`driver`] (jobs run), [`ledger`] (a job is its events),
//! [`lease`] (one scheduler drives them, others stand by: [`standby`]) and [`placement`] (which executor takes which task).

mod archive_service;
mod ballista;
mod cluster;
pub mod doctor;
pub mod driver;
mod executors;
#[cfg(test)]
mod faulty;
mod gate;
pub mod lease;
pub mod ledger;
mod members;
mod model_service;
mod observed;
mod on_demand;
mod pieces;
pub mod placement;
mod planner;
mod polls;
mod progress;
pub mod routine;
pub mod server;
mod services;
pub mod standby;
mod traced;
mod waiting;
