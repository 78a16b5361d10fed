//! The variants of a process: the cases that share one trace.

use datafusion::prelude::SessionContext;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{
    Result,
    answers::{count, number, rows},
};

use crate::{
    calendar::HOUR,
    cases::trace::SEPARATOR,
    query::{query, text_or_empty},
};

/// A variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// Its activities.
    pub events: Vec<String>,
    /// Its cases.
    pub cases: u64,
    /// Mean throughput time, hours.
    pub mean: f64,
    /// Median throughput time, hours.
    pub median: f64,
}

/// The query of the most frequent variants.
const FREQUENT: &str = "SELECT variant, count(*) AS n, sum(last_us - first_us) AS total, \
     median(CAST(last_us - first_us AS DOUBLE)) AS median FROM cases WHERE period = 0 GROUP BY variant \
     ORDER BY n DESC, variant LIMIT 50";

/// The most frequent variants, the most frequent first.
pub(super) async fn frequent_variants(session: &SessionContext) -> Result<Vec<Variant>> {
    let answer = query(session, FREQUENT).await?;
    let variant = |row| {
        Ok(Variant {
            events: text_or_empty(&answer, "variant", row)?.split(SEPARATOR).map(str::to_owned).collect(),
            cases: count(&answer, "n", row)?,
            mean: number(&answer, "total", row)? / HOUR / number(&answer, "n", row)?.max(1.0),
            median: number(&answer, "median", row)? / HOUR,
        })
    };
    rows(&answer).map(variant).collect()
}
