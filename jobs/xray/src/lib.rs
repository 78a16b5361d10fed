//! X-ray images of bags and cargo: an archive of images, a detector of illicit goods, and what it selects.
//!
//! Image files and their annotations become rows of one table ([`ingest`], [`table`]). A retrain cuts and shrinks them to
//! squares ([`features`]), trains a detector on them ([`fit`], [`model`]), evaluates it ([`metrics`]) and publishes it
//! ([`retrain`]); an apply finds objects on the images of other months ([`predict`], [`apply`]); both write a page
//! ([`report`]). Start at [`retrain`] for training and at [`apply`] for predictions. What is absent: any other domain,
//! images and weights.

pub mod apply;
pub mod boxes;
mod coco;
mod commands;
pub mod export;
pub mod features;
pub mod fit;
mod fraud;
pub mod generator;
pub mod image;
pub mod ingest;
pub mod messages;
pub mod metrics;
pub mod model;
pub mod parameters;
pub mod predict;
pub mod report;
pub mod retrain;
pub mod show;
pub mod synth;
pub mod table;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tidewaiter_core::ResultExt;
use tidewaiter_job::{
    Domain, JobKind,
    catalogue::{Command, OperatorKind},
    extensions::Learner,
};

use crate::{
    features::squares_operator::SquaresOperator,
    fit::loader::{DetectorShards, LEARNER},
    ingest::{inspect::InspectImagesOperator, store::StoreImagesOperator},
    parameters::{ApplyParameters, RetrainParameters},
    predict::operator::DetectOperator,
};

/// What this crate adds to a program.
pub static DOMAIN: Domain = Domain {
    written: &[&table::LAYOUT],
    operators: &[
        OperatorKind { name: InspectImagesOperator::NAME, read: |_, _| Ok(Arc::new(InspectImagesOperator)) },
        OperatorKind {
            name: StoreImagesOperator::NAME,
            read: |payload, _| Ok(Arc::new(StoreImagesOperator::new(prost::Message::decode(payload)?))),
        },
        OperatorKind {
            name: SquaresOperator::NAME,
            read: |payload, _| Ok(Arc::new(SquaresOperator::new(prost::Message::decode(payload)?)?)),
        },
        OperatorKind {
            name: DetectOperator::NAME,
            read: |payload, _| Ok(Arc::new(DetectOperator::new(prost::Message::decode(payload)?)?)),
        },
    ],
    learners: &[Learner {
        name: LEARNER,
        loader: |archive, task| {
            let layout = serde_json::from_str(&task.parameters).context(|| "read a fit's layout")?;
            Ok(Arc::new(DetectorShards::new(archive, layout)))
        },
    }],
    jobs: &[
        JobKind::of::<ingest::Parameters>(),
        JobKind::of::<synth::Parameters>(),
        JobKind::of::<RetrainParameters>(),
        JobKind::of::<ApplyParameters>(),
    ],
    commands: &[Command { name: "xray", arguments: commands::arguments, run: commands::run }],
    ..Domain::EMPTY
};
