//! How many cases met the target of a stage.

use serde::{Deserialize, Serialize};

/// The cases on which a target is measured: those that were followed for at least as long as the target, ended or open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetResult {
    /// Cases.
    pub cases: u64,
    /// Cases that ended within the target; the others took longer or are past it and open.
    pub within: u64,
}

impl TargetResult {
    /// The share within the target, 0..=1; none without cases.
    pub fn share(self) -> Option<f64> {
        (self.cases > 0).then(|| self.within as f64 / self.cases as f64)
    }
}
