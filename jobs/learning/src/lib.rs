//! Learners, and how their fits run as queries.
//!
//! A *fit* ([`run::run`]) is one query whose tasks are its workers ([`fit_operator`]), which are led through the
//! collective; [`follow::Followed`] adds checkpoints and progress. The learners here know nothing but rows of numbers
//! with a label of 0 or 1 ([`rows`]): gradient-boosted trees ([`gbdt`]) and logistic regression ([`logistic`]). Networks
//! that are trained by local SGD share [`local_sgd`] and can take their steps by [`adamw`]; a shard that is larger than memory keeps its rows on disk
//! ([`spilled`]). What is absent: any domain's features.
//!
//! Start at [`follow::Followed::lead`] to run a fit, and at [`gbdt::GbdtLeader`] to see a learner.

pub mod adamw;
mod binning;
pub mod fit_operator;
pub mod follow;
pub mod gbdt;
pub mod local_sgd;
pub mod logistic;
pub mod rows;
pub mod run;
mod sigmoid;
pub mod spilled;
mod traced;

use std::sync::Arc;

use tidewaiter_archive::Archive;
use tidewaiter_collective::ShardLoader;
use tidewaiter_core::{Result, ResultExt, plan};
use tidewaiter_job::{Domain, catalogue::OperatorKind, extensions::Learner};
use tidewaiter_proto::v1;

/// What this crate registers with a program: the plan node of a fit's workers, and the learners of [`rows`].
pub static DOMAIN: Domain = Domain {
    operators: &[OperatorKind {
        name: fit_operator::FitOperator::NAME,
        read: |payload, extensions| {
            let message: v1::FitOperator = prost::Message::decode(payload)?;
            let archive = Archive::open(&message.archive)?;
            let loader = extensions.loader(archive, message.task.clone().ok_or_else(plan::unknown)?)?;
            Ok(Arc::new(fit_operator::FitOperator::new(message, loader)))
        },
    }],
    learners: &[
        Learner { name: gbdt::LEARNER, loader: |archive, task| loader_of(archive, task, gbdt::shard_of) },
        Learner {
            name: logistic::LEARNER,
            loader: |archive, task| loader_of(archive, task, logistic::shard_of),
        },
    ],
    ..Domain::EMPTY
};

/// The loader of a task's shards, which are rows of Parquet files.
fn loader_of(archive: Archive, task: v1::FitTask, make: rows::MakeShard) -> Result<Arc<dyn ShardLoader>> {
    let layout = serde_json::from_str(&task.parameters).context(|| "read a fit's layout")?;
    Ok(Arc::new(rows::ParquetShards::new(archive, task.shards, layout, make)))
}
