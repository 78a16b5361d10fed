//! What would shorten releases: measures on single cases, and measures at queues.
//!
//! A measure on a case is carried along its critical path ([`critical_path`], [`cases`]). A measure at a
//! queue, that is an activity at an office, is simulated ([`simulation`], [`queues`]): each piece of work is
//! done earlier or later, and the release moves where that work is the last that the case waits for. Both use
//! the same sample of the latest cases, so that one list ranks them; their effects are not added up.

pub mod cases;
pub mod critical_path;
pub mod queues;
pub mod simulation;
