//! The process of a study: the directly-follows graph, the activities, the variants, the resources, and the
//! load of the hours.
//!
//! Directly-follows graphs and variants are those of van der Aalst, "Process Mining" (2016), chapter 3. Start
//! at [`discover`]; [`graph`] has the edges and their exact medians, which [`EdgesOperator`] counts over the
//! cases.

mod classes;
mod edges;
pub mod graph;
pub mod load;
pub mod resources;
pub mod usual_order;
pub mod variants;

use std::collections::BTreeMap;

use datafusion::prelude::SessionContext;
use futures::try_join;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{
    Result,
    answers::{count, rows},
};

pub use self::{
    edges::EdgesOperator,
    graph::{Edge, GapTimes},
    resources::Resource,
    usual_order::usual_order,
    variants::Variant,
};
use self::{
    graph::{ActivityCounts, edges_and_activities},
    variants::frequent_variants,
};
use crate::{
    query::{query, text_or_empty},
    scope::Scope,
};

/// An activity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Its name.
    pub event: String,
    /// The milestone that it is.
    pub role: Option<String>,
    /// Its events.
    pub events: u64,
    /// Cases that have it.
    pub cases: u64,
}

/// What was discovered of the process.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Process {
    /// Counts over the cases.
    pub sums: Sums,
    /// The directly-follows relations, those with the longest total time first.
    pub edges: Vec<Edge>,
    /// The activities, the most frequent first.
    pub activities: Vec<Activity>,
    /// The most frequent variants.
    pub variants: Vec<Variant>,
}

/// Counts over the cases of the study's period.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Sums {
    /// Cases.
    pub cases: u64,
    /// Their events.
    pub events: u64,
    /// Their variants.
    pub variants: u64,
    /// Events whose name has no milestone.
    pub without_role: u64,
    /// Events that come in the file after a later one.
    pub out_of_order: u64,
    /// Events that end before they begin.
    pub negative: u64,
    /// Starts of activities whose completion is missing.
    pub unfinished: u64,
    /// Events that repeat another.
    pub duplicates: u64,
    /// Cases whose events have different offsets from UTC.
    pub mixed: u64,
    /// Cases with rework: an activity that comes more than once.
    pub rework: u64,
}

/// The query of the [`Sums`].
const SUMS: &str = "SELECT count(*) AS cases, coalesce(sum(events), 0) AS events, \
     count(DISTINCT variant) AS variants, coalesce(sum(without_role), 0) AS without_role, \
     coalesce(sum(out_of_order), 0) AS out_of_order, coalesce(sum(negative), 0) AS negative, \
     coalesce(sum(unfinished), 0) AS unfinished, coalesce(sum(duplicates), 0) AS duplicates, count(*) FILTER (WHERE mixed) AS mixed, \
     count(*) FILTER (WHERE events > different_events) AS rework FROM cases WHERE period = 0";

/// Discovers the process of the session's `cases`; `has_calendar` says whether they have times in open hours.
///
/// # Errors
/// Those of the queries.
pub async fn discover(session: &SessionContext, scope: &Scope<'_>, has_calendar: bool) -> Result<Process> {
    let ((edges, counted), sums, roles, variants) = try_join!(
        edges_and_activities(session, scope, has_calendar),
        sums(session),
        roles(session, scope),
        frequent_variants(session)
    )?;
    Ok(Process { sums, edges, activities: activities(counted, &roles), variants })
}

async fn sums(session: &SessionContext) -> Result<Sums> {
    let answer = query(session, SUMS).await?;
    let sum = |name: &str| count(&answer, name, 0);
    Ok(Sums {
        cases: sum("cases")?,
        events: sum("events")?,
        variants: sum("variants")?,
        without_role: sum("without_role")?,
        out_of_order: sum("out_of_order")?,
        negative: sum("negative")?,
        unfinished: sum("unfinished")?,
        duplicates: sum("duplicates")?,
        mixed: sum("mixed")?,
        rework: sum("rework")?,
    })
}

/// The milestone of each activity; empty where it has none.
async fn roles(session: &SessionContext, scope: &Scope<'_>) -> Result<BTreeMap<String, String>> {
    let sql = format!("SELECT event, max(role) AS role FROM ({}) GROUP BY event", scope.events());
    let answer = query(session, &sql).await?;
    let role = |row| Ok((text_or_empty(&answer, "event", row)?, text_or_empty(&answer, "role", row)?));
    rows(&answer).map(role).collect()
}

/// The activities with their milestones, the most frequent first.
fn activities(counted: Vec<ActivityCounts>, roles: &BTreeMap<String, String>) -> Vec<Activity> {
    let mut activities: Vec<Activity> = counted
        .into_iter()
        .map(|(event, events, cases)| {
            let role = roles.get(&event).filter(|role| !role.is_empty()).cloned();
            Activity { event, role, events, cases }
        })
        .collect();
    activities.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.event.cmp(&b.event)));
    activities
}
