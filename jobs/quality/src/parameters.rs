//! The parameters of the quality job.

use clap::Args;
use serde::{Deserialize, Serialize};

/// The parameters of a profile of the declarations: there are none.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct Parameters {}
