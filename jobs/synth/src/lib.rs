//! A seeded generator of a national archive of declarations, of any size, with the truth about each goods item.
//!
//! [`Synth`] promises: the same [`Parameters`] give the same rows; a month depends on no other month, so that months may
//! be generated in any order, on any machine ([`Synth::month`]); rows are in the order of their dates; and each batch has
//! a truth batch, row by row. Traders follow Zipf distributions, prices log-normal ones by HS code and origin. Four
//! schemes of fraud are practised, more often by some traders, by rings (a declarant and the origins that it works for)
//! and on goods with a high duty: undervaluation, misclassification, false origin and under-weighing. A fifth scheme, a
//! false discount on the invoice, can begin at a date. The schemes are those of the WCO's *Illicit Trade Report* and of
//! Kim et al., *DATE* (KDD 2020), whose synthetic declarations are the model of this generator.
//!
//! What inspectors find (the columns `illicit` and `additional_revenue`) is less than the truth: only the inspected rows
//! have an outcome, they are selected by a noisy rule or at random (`random_inspection`), and a share of the illicit ones is
//! missed.
//!
//! For backtests each of these has a parameter, at whose default the archive is the same as without it: the traders'
//! different inclination to fraud (`histories`), rings (`rings`), the new scheme (`new_scheme_from`; its traders
//! `new_scheme_traders`, only traders with a clean past `new_scheme_by_unsuspected`, a ring of new brokers
//! `new_scheme_by_new_brokers`, only goods free of duty `new_scheme_on_free_goods`, shipments that are `new_scheme_size`
//! times as large), the end of the old schemes (`old_schemes_until`), a change of honest trade (`covariate_drift`),
//! heavy-tailed shipments (`heavy_tail`) and how far the archive's own inspection follows its rule (`inspection_bias`).
//!
//! An illicit row differs from an honest one only in what its scheme needs: a declared code has its own unit, documents
//! agree with the declared origin, and honest trade too has goods and origins that are new for a route. Of the illicit
//! items about 30 % are undervalued, 30 % misclassified, 20 % of a false origin and 20 % under-weighed; in a small
//! archive, in which a few traders dominate, the shares differ more.
//!
//! Other domains make further exports of the same declarations ([`derived_export::DerivedExport`]).
//!
//! Difficulty: a tuned booster reaches a ROC AUC between 0.75 and 0.92 on the rows with a known outcome of the last half
//! year of three. `hardness.py` in this folder measures it, on features of strictly earlier months; its figures are in
//! `docs/benchmarks.md`.
//!
//! Start at [`Parameters`] and [`Synth`]; [`job`] is the generator as a job.

mod batch;
pub mod derived_export;
mod economy;
mod generator;
pub mod job;
mod month;
mod parameters;
mod raw_export;
#[cfg(test)]
mod tests;

pub use batch::{PLANTED_ERRORS, SCHEMES, SynthBatch, truth_schema};
pub use economy::mix;
pub use generator::Synth;
pub use month::{Month, revenue_evaded};
pub use parameters::{Parameters, Schemes};
pub use raw_export::write_csv;

use tidewaiter_job::{Domain, JobKind};

/// What this crate registers with a program: the job that generates exports.
pub static DOMAIN: Domain = Domain { jobs: &[JobKind::of::<job::Parameters>()], ..Domain::EMPTY };
