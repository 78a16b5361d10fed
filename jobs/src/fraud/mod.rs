//! Ranking declarations by how likely an inspection finds something.
//!
//! [`features`] turns the archive's declarations, in time order, into numbers that use the past only;
//! [`history`] is the bounded memory behind them; [`metrics`] says how good a ranking was. Start reading at
//! [`features::FeatureBuilder`] for the data, and at [`retrain`] for the whole way to a model; [`apply`] uses one,
//! and [`backtest`] compares strategies of selection over the past.

pub mod apply;
pub mod backtest;
pub mod compare;
pub mod date;
pub mod features;
pub mod fitting;
pub mod history;
pub mod judgement;
pub mod metrics;
pub mod model;
mod prepare;
pub mod report;
pub mod retrain;
pub mod revenue;
pub mod score;
mod scoring;
pub mod wording;

pub use features::{FeatureBatch, FeatureBuilder, Parameters, feature_schema};
pub use metrics::{Metrics, evaluate};
