//! A fitted fraud model of any learner: it scores, explains, and is stored as `model.bin`.
//!
//! A model is a classifier and, where revenue was known in training, a [`RevenueHead`]. Callers that score, explain
//! or compare use [`FraudModel`] and do not need to know its classifier. [`ScoreOperator`] scores rows inside a
//! query. Start at [`FraudModel::score`].

mod fraud_model;
mod learner;
mod operator;
mod reasons;
pub mod revenue;
pub(crate) mod scores;

pub use fraud_model::{Classifier, FraudModel};
pub use learner::Learner;
pub use operator::ScoreOperator;
pub(crate) use reasons::strongest_themes;
pub use revenue::RevenueHead;
pub use scores::Scores;

/// The model's name in the registry.
pub const NAME: &str = "fraud";
