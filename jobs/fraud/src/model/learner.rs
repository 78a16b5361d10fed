//! What can be fitted.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What learns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learner {
    /// Boosted trees.
    #[default]
    Gbdt,
    /// Logistic regression: the baseline.
    Logistic,
    /// A network over the leaves of boosted trees.
    Date,
}
