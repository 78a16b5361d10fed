//! The hyper-parameters of a fit, with their ranges.

use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result};

/// The hyper-parameters of a fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// The most bins per feature, not counting the bin of missing values; 2 to 255.
    pub bins: u32,
    /// The quadratic penalties that are tried, from the strongest to the weakest, each above 0: the objective is the sum
    /// of the rows' log losses plus half the penalty times the sum of the squared terms. The one with the lowest loss
    /// on the validation rows is kept; without validation rows the first.
    pub penalties: Vec<f64>,
    /// The most evaluations over all rows for each penalty; 1 or more.
    pub most_rounds: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { bins: 64, penalties: vec![300.0, 100.0, 30.0, 10.0, 3.0, 1.0], most_rounds: 200 }
    }
}

impl Parameters {
    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] naming the first parameter out of range, its value and its range.
    pub fn validate(&self) -> Result<()> {
        let wrong = |name: &str, value: &dyn std::fmt::Debug, range: &str| {
            Err(Error::input(format!("logistic regression: {name} is {value:?}; it must be {range}")))
        };
        let falling = self.penalties.windows(2).all(|pair| pair[0] > pair[1]);
        let positive = self.penalties.iter().all(|penalty| *penalty > 0.0 && penalty.is_finite());
        if !(2..=255).contains(&self.bins) {
            return wrong("bins", &self.bins, "from 2 to 255");
        }
        if self.penalties.is_empty() || !falling || !positive {
            return wrong("penalties", &self.penalties, "one or more numbers above 0, the largest first");
        }
        if self.most_rounds == 0 {
            return wrong("most_rounds", &self.most_rounds, "1 or more");
        }
        Ok(())
    }
}
