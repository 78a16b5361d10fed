//! The resources of a process: who carries out its activities, and how long cases wait for them.

use arrow::array::Array;
use datafusion::prelude::SessionContext;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{
    Result,
    answers::{count, number, rows},
};

use crate::{
    calendar::HOUR,
    query::{query, text_or_empty},
    scope::Scope,
};

/// The columns that name resources.
const COLUMNS: [&str; 3] = ["agency", "office", "actor"];

/// Resources of each column, at most.
const MAX_RESOURCES: usize = 1000;

/// A resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// The column: `agency`, `office` or `actor`.
    pub column: String,
    /// Its value.
    pub name: String,
    /// Its events.
    pub events: u64,
    /// Hours between its events and the events before them.
    pub waiting: f64,
    /// Hours that its events took; 0 where starts are not recorded.
    pub working: f64,
}

/// The resources of each column, those with the longest waiting first.
///
/// # Errors
/// Those of the query.
pub async fn resources(session: &SessionContext, scope: &Scope<'_>) -> Result<Vec<Resource>> {
    let answer = query(session, &resources_sql(scope)).await?;
    let mut resources = Vec::new();
    for column in COLUMNS {
        let is_of = |row: &usize| answer.column_by_name(column).is_some_and(|names| names.is_valid(*row));
        for row in rows(&answer).filter(is_of).take(MAX_RESOURCES) {
            resources.push(Resource {
                column: column.to_owned(),
                name: text_or_empty(&answer, column, row)?,
                events: count(&answer, "events", row)?,
                waiting: number(&answer, "waiting", row)? / HOUR,
                working: number(&answer, "working", row)? / HOUR,
            });
        }
    }
    Ok(resources)
}

/// Events, the time before them and the time that they took, in microseconds, by the one of the columns that
/// is not null.
fn resources_sql(scope: &Scope<'_>) -> String {
    let names = COLUMNS.join(", ");
    let sets: Vec<String> = COLUMNS.iter().map(|column| format!("({column})")).collect();
    format!(
        "SELECT {names}, count(*) AS events, sum(coalesce(begun - previous_done, 0)) AS waiting, \
         sum(done - begun) AS working FROM ({}) WHERE {} GROUP BY GROUPING SETS ({}) \
         ORDER BY waiting DESC, {names}",
        scope.ordered(),
        scope.is_in_period(),
        sets.join(", ")
    )
}
