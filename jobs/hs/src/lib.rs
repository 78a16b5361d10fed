//! HS codes for descriptions of goods: a model that recommends them with reasons.
//!
//! A description becomes hashed words and character n-grams ([`features`]). Linear classifiers on the branches of the
//! HS tree, the most similar past declarations and the nomenclature's texts give inputs to a log-linear model, whose
//! probabilities of 2, 4 and 6 digits agree ([`model`]); origin, unit and value per unit are further inputs where they
//! are declared, and a transformer can be one ([`encoder`]). On real declarations linear classifiers and precedents
//! beat an embedding network (`docs/benchmarks.md`), train in seconds, and can name the words and past declarations
//! that counted.
//!
//! A retrain runs one way: [`parameters`], [`features`], [`fit`], [`evaluate`](mod@evaluate), publication, [`report`].
//! Start at [`retrain`] for training, at [`apply`] for the items of an archive, and at [`suggest`] for one description.
//! What is absent: any other domain, and model weights.

pub mod applied;
pub mod apply;
mod champion;
pub mod codes;
pub mod encoder;
mod evaluate;
pub mod features;
pub mod fit;
pub mod messages;
pub mod metrics;
pub mod model;
pub mod parameters;
pub mod rates;
mod recommend;
pub mod report;
pub mod results;
pub mod retrain;
pub mod suggest;

#[cfg(test)]
mod tests;

pub use features::texts_operator::TextsOperator;
pub use recommend::RecommendOperator;

use std::sync::Arc;

use tidewaiter_core::ResultExt;
use tidewaiter_job::{
    Domain, JobKind,
    catalogue::{Command, OperatorKind},
    extensions::Learner,
};

use crate::{
    fit::classifiers::{self, ClassifierShards},
    parameters::{ApplyParameters, RetrainParameters},
};

/// What this crate adds to a program.
pub static DOMAIN: Domain = Domain {
    operators: &[
        OperatorKind {
            name: TextsOperator::NAME,
            read: |payload, _| Ok(Arc::new(TextsOperator::new(prost::Message::decode(payload)?)?)),
        },
        OperatorKind {
            name: RecommendOperator::NAME,
            read: |payload, _| Ok(Arc::new(RecommendOperator::new(prost::Message::decode(payload)?)?)),
        },
    ],
    learners: &[
        Learner {
            name: classifiers::LEARNER,
            loader: |archive, task| {
                let layout = serde_json::from_str(&task.parameters).context(|| "read a fit's layout")?;
                Ok(Arc::new(ClassifierShards::new(archive, task.shards, layout)))
            },
        },
        Learner {
            name: encoder::LEARNER,
            loader: |archive, task| {
                let layout = serde_json::from_str(&task.parameters).context(|| "read a fit's layout")?;
                Ok(Arc::new(encoder::EncoderShards::new(archive, task.shards, layout)))
            },
        },
    ],
    jobs: &[JobKind::of::<RetrainParameters>(), JobKind::of::<ApplyParameters>()],
    commands: &[Command { name: "hs", arguments: suggest::command::arguments, run: suggest::command::run }],
    services: &[suggest::service::add_service],
    ..Domain::EMPTY
};
