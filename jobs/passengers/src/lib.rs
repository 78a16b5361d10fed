//! Passengers: what airlines send before a flight, as records, as tables, and as graphs of who travels with whom.
//!
//! 1. [`edifact`]: the bytes of any number of UN/EDIFACT interchanges become messages, segment by segment;
//! 2. [`paxlst`] and [`pnrgov`]: a message becomes [`records`] that refer to each other, and [`issues`](records::Issue)
//!    with segment and byte for all that is wrong; [`reading`] does both, and [`pnr_xml`]
//!    makes a message of IATA's XML;
//! 3. [`ingest`]: files become rows of the tables of [`table`], with keyed pseudonyms in place of identifiers;
//! 4. [`identity`]: travellers as rows for record linkage across trips;
//! 5. [`privacy`]: the key of the pseudonyms;
//! 6. [`graph`]: graphs in compressed adjacency, their components, central vertices, communities and layouts;
//! 7. [`network`]: who is linked with whom, as a page with a picture;
//! 8. [`features`] of travellers on flights, [`model`] (trees, or the graph network of [`sage`]) and [`apply`]: a risk score
//!    with reasons;
//! 9. [`profiles`]: rules found in the results of inspections, and rules of officers; [`watch`]: watch lists.
//!
//! [`write`](mod@write) makes messages of records, for generated data and for tests. Start at [`reading::read`] for
//! messages and at [`ingest`] for the archive.

pub mod apply;
mod cases;
mod context;
pub mod countries;
pub mod dates;
pub mod edifact;
pub mod features;
pub mod free_text;
pub mod generator;
pub mod graph;
mod identifiers;
pub mod identity;
pub mod ingest;
pub mod link;
pub mod metrics;
pub mod model;
pub mod names;
pub mod network;
mod own_files;
pub mod parameters;
pub mod paxlst;
pub mod pnr_xml;
pub mod pnrgov;
pub mod privacy;
pub mod profiles;
pub mod reading;
pub mod records;
mod report;
mod retrain;
pub mod sage;
mod scored;
pub mod table;
mod unmatched;
pub mod view;
pub mod watch;
pub mod write;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tidewaiter_job::{
    Domain, JobKind,
    catalogue::{Command, OperatorKind},
};

use crate::{
    features::operator::PassengerFeaturesOperator,
    ingest::{scan::ScanOperator, store::StoreOperator},
    link::operators::{IdentityOperator, KeysOperator, PairsOperator},
    model::{fit_operator::GraphFitOperator, operator::PassengerScoreOperator},
    privacy::seal::SealOperator,
};

/// What this crate adds to a program.
pub static DOMAIN: Domain = Domain {
    written: table::TABLES,
    operators: &[
        OperatorKind {
            name: ScanOperator::NAME,
            read: |payload, _| Ok(Arc::new(ScanOperator::new(prost::Message::decode(payload)?)?)),
        },
        OperatorKind {
            name: StoreOperator::NAME,
            read: |payload, _| Ok(Arc::new(StoreOperator::new(prost::Message::decode(payload)?)?)),
        },
        OperatorKind {
            name: SealOperator::NAME,
            read: |payload, _| Ok(Arc::new(SealOperator::new(prost::Message::decode(payload)?))),
        },
        OperatorKind { name: IdentityOperator::NAME, read: |_, _| Ok(Arc::new(IdentityOperator)) },
        OperatorKind {
            name: KeysOperator::NAME,
            read: |payload, _| Ok(Arc::new(KeysOperator::read(payload)?)),
        },
        OperatorKind {
            name: PairsOperator::NAME,
            read: |payload, _| Ok(Arc::new(PairsOperator::read(payload)?)),
        },
        OperatorKind {
            name: PassengerFeaturesOperator::NAME,
            read: |payload, _| Ok(Arc::new(PassengerFeaturesOperator::new(prost::Message::decode(payload)?))),
        },
        OperatorKind {
            name: GraphFitOperator::NAME,
            read: |payload, _| Ok(Arc::new(GraphFitOperator::new(prost::Message::decode(payload)?)?)),
        },
        OperatorKind {
            name: PassengerScoreOperator::NAME,
            read: |payload, _| Ok(Arc::new(PassengerScoreOperator::new(prost::Message::decode(payload)?)?)),
        },
    ],
    jobs: &[
        JobKind::of::<ingest::Parameters>(),
        JobKind::of::<generator::synth::Parameters>(),
        JobKind::of::<link::Parameters>(),
        JobKind::of::<privacy::retention::Depersonalise>(),
        JobKind::of::<privacy::retention::Delete>(),
        JobKind::of::<network::job::Parameters>(),
        JobKind::of::<profiles::job::Parameters>(),
        JobKind::of::<parameters::RetrainParameters>(),
        JobKind::of::<parameters::ApplyParameters>(),
    ],
    commands: &[Command {
        name: "reidentify",
        arguments: privacy::reidentify::arguments,
        run: privacy::reidentify::run,
    }],
    ..Domain::EMPTY
};
