//! The tests that drive the built binary, as one program: it is linked once.

#![allow(clippy::expect_used, reason = "a test stops where it cannot go on")]

mod backtest;
mod bad_input;
mod cluster;
mod commands;
mod fraud_input;
mod hs;
mod hs_particulars;
mod learners;
mod release;
mod support;
