//! The Time Release Study: how long goods take to be released, where the time goes, and who holds them.
//!
//! After the WCO's "Guide to Measure the Time Required for the Release of Goods" (version 4, 2025) in its aims, and
//! for the publication of average release times that article 7.6 of the WTO's Trade Facilitation Agreement asks
//! for; its stages are a file that users edit ([`stages`]), and no text of the guide's. Directly-follows graphs are
//! those of van der Aalst, "Process Mining" (2016), chapter 3, with pm4py's order and figures.
//!
//! Events become cases, cases become times of stages ([`operator`]), both by queries over partitions
//! ([`queries`]); the times come back sorted and are summed up in one pass ([`distribution`], [`comparison`]), so
//! that quantiles are exact at any size and memory is bounded. What cannot be measured is counted
//! ([`study::Anomaly`]), what drives long cases is a tree ([`drivers`]), and what would help is simulated
//! ([`simulation`]) or carried through single cases ([`measures`]). Start at [`study::measure`]; [`report`] is its page, [`tables`] its tables.

mod answers;
pub mod calendar;
pub mod cases;
pub mod comparison;
pub mod distribution;
pub mod drivers;
pub mod edges;
pub mod measures;
pub mod operator;
pub mod process;
pub mod queries;
pub mod replications;
mod report;
pub mod simulation;
pub mod stages;
pub mod study;
pub mod tables;
mod texts;

pub use report::Language;
pub use study::Study;
