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
//! Completeness counts only columns that the country maps and that may not rightly be empty; validity counts the rows
//! that ingest refused. All scores are given for each country, too, and those of a month for each month.
//!
//! A job flows one way: [`parameters`] (the thresholds), [`quarantine`] (what ingest refused), [`mod@profile`] (the
//! queries, with the [`rules`]), [`results`] (the document), `report` (its page and its tables). [`study`] is the job;
//! start at [`profile::profile`].

pub mod parameters;
pub mod profile;
pub mod quarantine;
mod report;
pub mod results;
pub mod rules;
pub mod study;

use tidewaiter_job::{Domain, JobKind};

/// What this crate adds to a program.
pub static DOMAIN: Domain = Domain { jobs: &[JobKind::of::<parameters::Parameters>()], ..Domain::EMPTY };
