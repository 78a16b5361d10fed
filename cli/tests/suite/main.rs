//! The tests that drive the built binary, as one program: it is linked once.

#![allow(clippy::expect_used, reason = "a test stops where it cannot go on")]

mod backtest;
mod bad_input;
mod bad_input_cluster;
mod bucket;
#[cfg(target_os = "linux")]
mod cancel;
mod cluster;
mod commands;
#[cfg(target_os = "linux")]
mod deployment;
#[cfg(target_os = "linux")]
mod doors;
mod executors;
#[cfg(target_os = "linux")]
mod faults;
mod fraud_input;
mod hs;
mod hs_particulars;
mod learners;
#[cfg(target_os = "linux")]
mod leases;
mod observed;
mod passengers;
mod placement;
mod pools;
mod progress;
mod release;
mod repair;
mod resume;
mod support;
mod traces;
mod trials;
mod upkeep;
mod xray_detect;
mod xray_images;
