//! Data quality of the table of declarations: a profile, named rules and scores.
//!
//! The dimensions are those of DAMA-UK, "The six primary dimensions for data quality assessment" (2013),
//! which the WCO's data quality guideline adopts: completeness, validity, uniqueness and consistency, each a
//! share in 0..=1. A fifth, timeliness, compares two times of one event (arrival and acceptance, acceptance
//! and archiving); a table of declarations has the day of acceptance alone, so that timeliness is reported as
//! not measurable.
//!
//! All figures are aggregates in a few passes over the columns. Counts are exact; the number of distinct
//! values (HyperLogLog) and the quantiles (t-digest) are approximate, and quantiles may differ in their last
//! digits with the number of partitions. The data are not changed.
//!
//! A job flows one way: [`parameters`] (there are none), [`mod@profile`] (the queries, with the [`rules`]),
//! [`results`] (the document), `report` (its page and its tables). [`study`] is the job; start at
//! [`profile::profile`].

pub mod parameters;
pub mod profile;
mod report;
pub mod results;
pub mod rules;
pub mod study;

use tidewaiter_job::{Domain, JobKind};

/// What this crate adds to a program.
pub static DOMAIN: Domain = Domain { jobs: &[JobKind::of::<parameters::Parameters>()], ..Domain::EMPTY };
