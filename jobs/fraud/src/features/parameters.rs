//! How features are computed: the part of a job's parameters that a retrain, an apply and a backtest share.

use clap::Args;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result};

/// How features are computed.
#[derive(Debug, Clone, Copy, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Days after acceptance when an outcome becomes known, at least 1; default: 1.
    #[arg(long, required = false)]
    pub label_delay_days: u32,
    /// Keys of each family that are remembered exactly, at least 1; default: 1000000. They take 45 to 85 bytes each
    /// (100 to 190 with prices), of memory used only as keys come. Beyond it the longest unseen are forgotten, and up
    /// to twice as many keys are held.
    #[arg(long, required = false)]
    pub history_capacity: usize,
    /// Weight of the overall illicit rate in a key's rate, in rows, above 0; default: 10.
    #[arg(long, required = false)]
    pub smoothing: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { label_delay_days: 1, history_capacity: 1_000_000, smoothing: 10.0 }
    }
}

impl Parameters {
    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] naming the parameter, its value and its range.
    pub(super) fn check(&self) -> Result<()> {
        if self.label_delay_days == 0 {
            return Err(Error::input(
                "label_delay_days is 0: an outcome is known after the day, give 1 or more",
            ));
        }
        if self.history_capacity == 0 {
            return Err(Error::input(
                "history_capacity is 0: give the number of keys to remember, 1 or more",
            ));
        }
        if !(self.smoothing.is_finite() && self.smoothing > 0.0) {
            return Err(Error::input(format!(
                "smoothing is {}: give a number of rows above 0",
                self.smoothing
            )));
        }
        Ok(())
    }
}
