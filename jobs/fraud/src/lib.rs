//! Fraud selection: which goods items an inspection should look at.
//!
//! The crate ranks goods items by the probability that an inspection finds something, and by the revenue that it is
//! expected to raise. The features of the past, the second model and the measures follow DATE (Kim et al., "DATE:
//! Dual Attentive Tree-aware Embedding for Customs Fraud Detection", KDD 2020); the strategies of the backtest follow
//! Kim et al., "Active Learning for Human-in-the-Loop Customs Inspection" (TKDE, arXiv:2010.14282).
//!
//! In the order of a job, from parameters to report:
//!
//! | module | what it is |
//! |---|---|
//! | [`parameters`] | the parameters of a retrain and of an apply |
//! | [`features`] | features of goods items, from the past only |
//! | [`model`], [`date`] | the model and its bytes; DATE, the network over the leaves of boosted trees |
//! | `fit` | fitting the model on shards |
//! | [`scored`], [`metrics`], [`population`] | scored rows; metrics of a ranking; of which items these speak |
//! | `champion`, [`evaluation`] | the model in use, and the verdict on a new one |
//! | `significance` | what of its figures could be chance |
//! | `retrain`, [`apply`], [`backtest`] | the jobs |
//! | [`report`] | the pages of a retrain and of an apply |
//!
//! Start at [`FeatureBuilder`] for the data and at `retrain.rs` for the whole way to a model.

pub mod apply;
pub mod backtest;
mod calendar;
mod champion;
pub mod date;
pub mod evaluation;
pub mod features;
mod fit;
pub mod messages;
pub mod metrics;
pub mod model;
pub mod parameters;
pub mod population;
pub mod report;
mod retrain;
pub mod scored;
pub mod selected;
mod significance;

use std::sync::Arc;

use tidewaiter_core::ResultExt;
use tidewaiter_job::{Domain, JobKind, catalogue::OperatorKind, extensions::Learner};

pub use features::{FeatureBatch, FeatureBuilder, feature_schema};
pub use metrics::Metrics;

/// What this crate adds to a program.
pub static DOMAIN: Domain = Domain {
    operators: &[
        OperatorKind {
            name: features::FeaturesOperator::NAME,
            read: |payload, _| {
                Ok(Arc::new(features::FeaturesOperator::new(prost::Message::decode(payload)?)?))
            },
        },
        OperatorKind {
            name: model::ScoreOperator::NAME,
            read: |payload, _| Ok(Arc::new(model::ScoreOperator::new(prost::Message::decode(payload)?)?)),
        },
        OperatorKind {
            name: backtest::HistoryOperator::NAME,
            read: |payload, _| {
                Ok(Arc::new(backtest::HistoryOperator::new(prost::Message::decode(payload)?)?))
            },
        },
        OperatorKind {
            name: backtest::BacktestOperator::NAME,
            read: |payload, _| {
                Ok(Arc::new(backtest::BacktestOperator::new(prost::Message::decode(payload)?)?))
            },
        },
    ],
    learners: &[Learner {
        name: date::LEARNER,
        loader: |archive, task| {
            let layout = serde_json::from_str(&task.parameters).context(|| "read a fit's layout")?;
            Ok(Arc::new(date::DateShards::new(archive, task.shards, layout)))
        },
    }],
    jobs: &[
        JobKind::of::<parameters::RetrainParameters>(),
        JobKind::of::<parameters::ApplyParameters>(),
        JobKind::of::<backtest::Parameters>(),
    ],
    ..Domain::EMPTY
};
