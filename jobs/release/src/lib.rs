//! The Time Release Study: how long goods take to be released, where the time goes, and which resources take it.
//!
//! In its aims it follows the WCO's "Guide to Measure the Time Required for the Release of Goods" (version 4,
//! 2025) and article 7.6 of the WTO's Trade Facilitation Agreement, which requires the publication of average
//! release times. The stages are a file that users edit ([`stage_file`]); no text of the guide is used. The
//! process mining is that of van der Aalst, "Process Mining" (2016), chapter 3: directly-follows graphs and
//! variants, in pm4py's order and with its figures.
//!
//! A job flows one way:
//!
//! 1. [`parameters`]: what the user requests, checked before any data is read ([`scope`]: which events that
//!    means);
//! 2. [`cases`]: the events of the [`table`] become one row of each case;
//! 3. [`stages`]: cases become times of stages, summed up exactly in one sorted pass ([`statistics`]);
//! 4. [`process`]: the directly-follows graph, the variants, the resources, and the load of the hours;
//! 5. [`drivers`] and [`measures`]: what long cases have in common, and what would shorten them;
//! 6. `report`: the document ([`results`]) as a page and as tables.
//!
//! [`study`] is the job with these steps: start there. The study reads one table of another domain, the fraud
//! model's predictions, and states what it needs of it ([`predictions`]). [`generator`] writes event logs
//! with known errors for tests and demonstrations.

pub mod calendar;
pub mod cases;
pub mod drivers;
pub mod generator;
mod interner;
pub mod measures;
pub mod messages;
pub mod parameters;
pub mod predictions;
pub mod process;
mod query;
mod report;
pub mod results;
pub mod scope;
pub mod stage_file;
pub mod stages;
pub mod statistics;
pub mod study;
pub mod survey;
pub mod table;

use std::sync::Arc;

use tidewaiter_job::{Domain, JobKind, catalogue::OperatorKind};
use tidewaiter_synth::derived_export::RegisteredExport;

use crate::{cases::CasesOperator, process::EdgesOperator, stages::StagesOperator};

/// What this crate adds to a program.
pub static DOMAIN: Domain = Domain {
    tables: &[&table::LAYOUT],
    operators: &[
        OperatorKind {
            name: StagesOperator::NAME,
            read: |payload, _| Ok(Arc::new(StagesOperator::new(prost::Message::decode(payload)?)?)),
        },
        OperatorKind {
            name: CasesOperator::NAME,
            read: |payload, _| Ok(Arc::new(CasesOperator::new(prost::Message::decode(payload)?)?)),
        },
        OperatorKind {
            name: EdgesOperator::NAME,
            read: |payload, _| Ok(Arc::new(EdgesOperator::new(prost::Message::decode(payload)?)?)),
        },
    ],
    jobs: &[JobKind::of::<parameters::Parameters>()],
    extensions: &[&RegisteredExport(&generator::ReleaseExport)],
    ..Domain::EMPTY
};
