//! What a job did: the document that is printed and kept.

use serde::{Deserialize, Serialize};
use tidewaiter_core::ErrorKind;

/// What a job did: the document that `--output json` prints and that the ledger keeps.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// The job's id.
    pub job: String,
    /// Its kind.
    pub kind: String,
    /// Which of its kind, where there are several: the model `fraud` of a `retrain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// `succeeded` or `failed`.
    pub status: String,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Rows read, archived and quarantined.
    pub rows: Rows,
    /// The model made or used, `name@version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Figures by part (`test`, `champion`), by the names of the documentation.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub metrics: serde_json::Map<String, serde_json::Value>,
    /// Tables written, `name@version`.
    pub tables: Vec<String>,
    /// Reports written, where a person finds them.
    pub reports: Vec<String>,
    /// The steps, in their order.
    pub steps: Vec<Step>,
    /// The outcomes of a pipeline's jobs, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Outcome>,
    /// What went wrong, where, and what to do.
    pub error: Option<String>,
    /// The remedy, of a job that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<ErrorKind>,
}

/// Rows in, and what became of them; `in` equals `archived` plus `quarantined`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Rows read.
    #[serde(rename = "in")]
    pub read: u64,
    /// Rows that the archive took.
    pub archived: u64,
    /// Rows put aside, each with its reason.
    pub quarantined: u64,
}

/// One step of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Wall-clock seconds.
    pub seconds: f64,
}
