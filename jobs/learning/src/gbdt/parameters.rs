//! The hyper-parameters of a fit, with their ranges. The descriptions of the fields are the texts of `--help`.

use clap::Args;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result};

/// The parameters of a fit.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// The most trees grown, 1 or more; default: 300, of DATE and in a backtest 100.
    #[arg(long, required = false)]
    pub trees: u32,
    /// The most leaves of a tree, 2 to 65536; default: 31, of DATE 16, in a backtest 15.
    #[arg(long, required = false)]
    pub leaves: u32,
    /// The share of each tree's step that is taken, above 0 and at most 1; default: 0.1, of DATE 0.3.
    #[arg(long, required = false)]
    pub learning_rate: f64,
    /// The fewest training rows in a leaf, 1 or more; default: 20, of DATE 1.
    #[arg(long, required = false)]
    pub min_rows_per_leaf: u64,
    /// The least sum of second derivatives in a leaf, 0 or more; default: 0.001.
    #[arg(long, required = false)]
    pub min_hessian: f64,
    /// The quadratic penalty on leaf values, 0 or more; default: 1.
    #[arg(long, required = false)]
    pub l2: f64,
    /// The most bins per feature, not counting the bin of missing values, 2 to 255; default: 255.
    #[arg(long, required = false)]
    pub bins: u32,
    /// Stop when the validation loss has not improved for so many trees, and keep the trees up to the best;
    /// 0 grows and keeps all trees. Without validation rows all trees are grown and kept. Default: 50, of DATE 0.
    #[arg(long, required = false)]
    pub early_stopping_rounds: u32,
    /// The weight of a positive row against a negative one, above 0; default: 1.
    #[arg(long, required = false)]
    pub positive_weight: f64,
    /// The share of the features that each tree may use, above 0 and at most 1; default: 1, in a backtest 0.7.
    #[arg(long, required = false)]
    pub feature_fraction: f64,
    /// The share of the training rows that each tree is grown on, above 0 and at most 1; default: 1. Rows that are equal in
    /// every bin are taken or left together, so that the choice does not depend on the sharding.
    #[arg(long, required = false)]
    pub row_fraction: f64,
    /// The seed of everything random; default: 0.
    #[arg(long, required = false)]
    pub seed: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            trees: 300,
            leaves: 31,
            learning_rate: 0.1,
            min_rows_per_leaf: 20,
            min_hessian: 1e-3,
            l2: 1.0,
            bins: 255,
            early_stopping_rounds: 50,
            positive_weight: 1.0,
            feature_fraction: 1.0,
            row_fraction: 1.0,
            seed: 0,
        }
    }
}

impl Parameters {
    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] naming the first parameter out of range, its value and its range.
    pub fn validate(&self) -> Result<()> {
        let share = |value: f64| value > 0.0 && value <= 1.0;
        let amount = |value: f64| value >= 0.0 && value.is_finite();
        let checks = [
            ("trees", f64::from(self.trees), self.trees >= 1, "1 or more"),
            ("leaves", f64::from(self.leaves), (2..=65536).contains(&self.leaves), "from 2 to 65536"),
            ("learning_rate", self.learning_rate, share(self.learning_rate), "above 0 and at most 1"),
            ("min_rows_per_leaf", self.min_rows_per_leaf as f64, self.min_rows_per_leaf >= 1, "1 or more"),
            ("min_hessian", self.min_hessian, amount(self.min_hessian), "0 or more"),
            ("l2", self.l2, amount(self.l2), "0 or more"),
            ("bins", f64::from(self.bins), (2..=255).contains(&self.bins), "from 2 to 255"),
            (
                "positive_weight",
                self.positive_weight,
                self.positive_weight > 0.0 && self.positive_weight <= 1e6,
                "above 0 and at most 1000000",
            ),
            (
                "feature_fraction",
                self.feature_fraction,
                share(self.feature_fraction),
                "above 0 and at most 1",
            ),
            ("row_fraction", self.row_fraction, share(self.row_fraction), "above 0 and at most 1"),
        ];
        for (name, value, good, range) in checks {
            if !good {
                return Err(Error::input(format!(
                    "boosted trees: the parameter {name} is {value}; set it to a value {range}"
                )));
            }
        }
        Ok(())
    }

    /// The integers and the reals, in the order of a checkpoint.
    pub(super) fn to_lists(&self) -> (Vec<u64>, Vec<f64>) {
        (
            vec![
                u64::from(self.trees),
                u64::from(self.leaves),
                self.min_rows_per_leaf,
                u64::from(self.bins),
                u64::from(self.early_stopping_rounds),
                self.seed,
            ],
            vec![
                self.learning_rate,
                self.min_hessian,
                self.l2,
                self.positive_weight,
                self.feature_fraction,
                self.row_fraction,
            ],
        )
    }

    /// Reads the lists of [`Parameters::to_lists`].
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when they are not those of valid parameters.
    pub(super) fn from_lists(integers: &[u64], reals: &[f64]) -> Result<Self> {
        let corrupt = || Error::corrupt("boosted trees: a checkpoint holds impossible parameters");
        let small = |value: u64| u32::try_from(value).map_err(|_| corrupt());
        let (
            &[trees, leaves, min_rows_per_leaf, bins, early_stopping_rounds, seed],
            &[learning_rate, min_hessian, l2, positive_weight, feature_fraction, row_fraction],
        ) = (integers, reals)
        else {
            return Err(corrupt());
        };
        let parameters = Self {
            trees: small(trees)?,
            leaves: small(leaves)?,
            learning_rate,
            min_rows_per_leaf,
            min_hessian,
            l2,
            bins: small(bins)?,
            early_stopping_rounds: small(early_stopping_rounds)?,
            positive_weight,
            feature_fraction,
            row_fraction,
            seed,
        };
        parameters.validate().map_err(|error| corrupt().with_source(error))?;
        Ok(parameters)
    }
}
