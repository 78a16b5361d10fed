//! The parameters of the classifiers' fit.

use clap::Args;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result};

use crate::fit::svm::SvmSettings;

/// How the classifiers are trained.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// What a text on the wrong side costs beside the size of the weights, above 0; default: 1.
    #[arg(long, required = false)]
    pub cost: f64,
    /// Most passes over the texts of a classifier, 1 or more; default: 15.
    #[arg(long, required = false)]
    pub passes: u32,
    /// Most training texts; of more, those with the lowest hashes are taken; default: 1000000.
    #[arg(long, required = false)]
    pub most_texts: u64,
    /// The seed of everything random; default: 0.
    #[arg(long, required = false)]
    pub seed: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { cost: 1.0, passes: 15, most_texts: 1_000_000, seed: 0 }
    }
}

impl Parameters {
    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] naming the parameter, its value and its range.
    pub fn validate(&self) -> Result<()> {
        let checks = [
            ("cost", self.cost, self.cost > 0.0 && self.cost <= 1e6, "above 0 and at most 1000000"),
            ("passes", f64::from(self.passes), (1..=1000).contains(&self.passes), "from 1 to 1000"),
            (
                "most_texts",
                self.most_texts as f64,
                (1..=u64::from(u32::MAX)).contains(&self.most_texts),
                "from 1 to 4294967295",
            ),
        ];
        for (name, value, good, range) in checks {
            if !good {
                let text =
                    format!("HS classifiers: the parameter {name} is {value}; set it to a value {range}");
                return Err(Error::input(text));
            }
        }
        Ok(())
    }

    /// The settings of a classifier's training, with the seed of all.
    pub(crate) fn settings(&self) -> SvmSettings {
        SvmSettings { cost: self.cost as f32, passes: self.passes, seed: self.seed }
    }
}
