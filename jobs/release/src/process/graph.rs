//! The directly-follows graph: which activity follows which, how often, and after what time.
//!
//! Medians are exact at any number of events, and nothing is sorted as a whole: a first pass over the cases
//! counts the times of each edge by classes (`classes`), which tells the class in which the median
//! lies; a second pass gives the times of these classes, which are few, and only they are sorted.

use std::collections::{BTreeMap, BTreeSet};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Int64Type},
};
use datafusion::prelude::SessionContext;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{
    Error, Result, ResultExt,
    answers::{column, rows},
    plan,
    query::{Plan as _, Run as _},
};

use super::{
    classes::{Classes, Median, WantedClass},
    edges::EdgesOperator,
};
use crate::{messages, query::batches, scope::Scope};

/// A directly-follows relation between two activities; times in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// The earlier.
    pub source: String,
    /// The later.
    pub target: String,
    /// How often it occurs.
    pub count: u64,
    /// Mean time from the end of the earlier to the beginning of the later; below zero where they overlap.
    pub mean: f64,
    /// Median time.
    pub median: f64,
    /// Total time.
    pub sum: f64,
    /// The times in open hours, of the cases whose office has opening hours; none where no office has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working: Option<GapTimes>,
}

/// Times between two activities, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GapTimes {
    /// The number of times.
    pub count: u64,
    /// Mean time.
    pub mean: f64,
    /// Median time.
    pub median: f64,
    /// Total time.
    pub sum: f64,
}

/// An earlier and a later activity, and whether the times between them are in open hours.
type EdgeKey = (String, String, bool);

/// The name of an activity, its events, and the cases that have it.
pub(super) type ActivityCounts = (String, u64, u64);

/// The query of the cases of the study's period with the activities of their traces and the times between the
/// events; the times in open hours, too, where the cases have them.
fn traces_sql(scope: &Scope<'_>, has_calendar: bool) -> String {
    let sequence = if scope.intervals { "sequence" } else { "variant" };
    let working = if has_calendar { ", working_gaps" } else { "" };
    format!("SELECT {sequence} AS sequence, gaps{working} FROM cases WHERE period = 0")
}

/// The edges, those with the longest total time first, and the counts of the activities.
pub(super) async fn edges_and_activities(
    session: &SessionContext,
    scope: &Scope<'_>,
    has_calendar: bool,
) -> Result<(Vec<Edge>, Vec<ActivityCounts>)> {
    let (times, activities) = gap_times(session, &traces_sql(scope, has_calendar)).await?;
    let elapsed = times.iter().filter(|((.., working), _)| !working);
    let mut edges: Vec<Edge> = elapsed
        .map(|((source, target, _), GapTimes { count, mean, median, sum })| Edge {
            source: source.clone(),
            target: target.clone(),
            count: *count,
            mean: *mean,
            median: *median,
            sum: *sum,
            working: times.get(&(source.clone(), target.clone(), true)).copied(),
        })
        .collect();
    edges.sort_by(|a, b| b.sum.total_cmp(&a.sum));
    Ok((edges, activities))
}

/// The times of all edges of the cases of a query, and the counts of the activities.
async fn gap_times(
    session: &SessionContext,
    traces: &str,
) -> Result<(BTreeMap<EdgeKey, GapTimes>, Vec<ActivityCounts>)> {
    let counted = session.query(traces).await.context(|| "plan the count of edges")?;
    let counted = plan::apply(counted, EdgesOperator::new(messages::EdgesOperator::default())?)?;
    let (mut found, mut activities) = (BTreeMap::<EdgeKey, Counted>::new(), Vec::new());
    for batch in counted.batches().await.context(|| "count what follows what")? {
        take_classes(&batch, &mut found, &mut activities)?;
    }
    let located: BTreeMap<_, _> =
        found.iter().filter_map(|(edge, counted)| Some((edge.clone(), counted.classes.median()?))).collect();
    let medians = medians(session, traces, &located).await?;
    let times = found.into_iter().map(|(edge, counted)| {
        let count: u64 = counted.classes.0.values().map(|class| class.0).sum();
        let sum = counted.seconds as f64 + counted.microseconds as f64 / 1e6;
        let median = medians.get(&edge).copied().unwrap_or_default();
        (edge, GapTimes { count, mean: sum / count as f64, median, sum })
    });
    Ok((times.collect(), activities))
}

/// What the first pass counts of an edge.
#[derive(Debug, Default)]
struct Counted {
    classes: Classes,
    /// The sum of its times is `seconds` and `microseconds`.
    seconds: i64,
    microseconds: i64,
}

/// Adds the counts of a batch of the first pass.
fn take_classes(
    batch: &RecordBatch,
    found: &mut BTreeMap<EdgeKey, Counted>,
    activities: &mut Vec<ActivityCounts>,
) -> Result<()> {
    let text = |name: &str| Ok::<_, Error>(cast(column(batch, name)?, &DataType::Utf8)?);
    let whole = |name: &str| Ok::<_, Error>(cast(column(batch, name)?, &DataType::Int64)?);
    let (sources, targets) = (text("source")?, text("target")?);
    let (sources, targets) = (sources.as_string::<i32>(), targets.as_string::<i32>());
    let working = column(batch, "working")?.as_boolean();
    let names = ["class", "n", "seconds", "microseconds", "least", "greatest", "cases"];
    let figures = names.map(whole).into_iter().collect::<Result<Vec<_>>>()?;
    let figure = |place: usize, row: usize| figures[place].as_primitive::<Int64Type>().value(row);
    for row in rows(batch) {
        let count = figure(1, row) as u64;
        if !sources.is_valid(row) {
            match activities.iter_mut().find(|activity| activity.0 == targets.value(row)) {
                Some(activity) => {
                    activity.1 += count;
                    activity.2 += figure(6, row) as u64;
                }
                None => activities.push((targets.value(row).to_owned(), count, figure(6, row) as u64)),
            }
            continue;
        }
        let edge = (sources.value(row).to_owned(), targets.value(row).to_owned(), working.value(row));
        let counted = found.entry(edge).or_default();
        counted.seconds += figure(2, row);
        counted.microseconds += figure(3, row);
        let class = counted.classes.0.entry(figure(0, row) as i32).or_insert((0, i64::MAX, i64::MIN));
        *class = (class.0 + count, class.1.min(figure(4, row)), class.2.max(figure(5, row)));
    }
    Ok(())
}

/// The query of the times of the wanted classes, in rising order for each edge.
const SORTED_GAPS: &str =
    "SELECT source, target, working, gap FROM wanted_gaps ORDER BY source, target, working, gap";

/// The medians of edges in seconds; `traces` is the query of the first pass.
async fn medians(
    session: &SessionContext,
    traces: &str,
    located: &BTreeMap<EdgeKey, Median>,
) -> Result<BTreeMap<EdgeKey, f64>> {
    let halfway = |low: i64, high: i64| (low as f64 + (high - low) as f64 / 2.0) / 1e6;
    let (mut medians, mut wanted) = (BTreeMap::new(), BTreeSet::new());
    for (edge, median) in located {
        match median {
            Median::Known(low, high) => {
                medians.insert(edge.clone(), halfway(*low, *high));
            }
            Median::Among { classes, .. } => {
                let (source, target, working) = edge;
                wanted.extend(classes.map(|class| WantedClass {
                    source: source.clone(),
                    target: target.clone(),
                    working: *working,
                    class,
                }));
            }
        }
    }
    if wanted.is_empty() {
        return Ok(medians);
    }
    let operator = EdgesOperator::new(messages::EdgesOperator { wanted: serde_json::to_string(&wanted)? })?;
    let gaps = session.query(traces).await.context(|| "plan the medians of edges")?;
    session.register_table("wanted_gaps", plan::apply(gaps, operator)?.into_view())?;
    let (mut edge, mut seen) = ((String::new(), String::new(), false), 0);
    let mut found = BTreeMap::<EdgeKey, [i64; 2]>::new();
    batches(session, SORTED_GAPS, |batch| {
        let text = |name: &str| Ok::<_, Error>(cast(column(batch, name)?, &DataType::Utf8)?);
        let (sources, targets) = (text("source")?, text("target")?);
        let (sources, targets) = (sources.as_string::<i32>(), targets.as_string::<i32>());
        let working = column(batch, "working")?.as_boolean();
        for (row, gap) in column(batch, "gap")?.as_primitive::<Int64Type>().values().iter().enumerate() {
            let own = (sources.value(row), targets.value(row), working.value(row));
            if (edge.0.as_str(), edge.1.as_str(), edge.2) != own {
                edge = (own.0.to_owned(), own.1.to_owned(), own.2);
                seen = 0;
            }
            if let Some(Median::Among { places, .. }) = located.get(&edge)
                && places.contains(&seen)
            {
                let pair = found.entry(edge.clone()).or_default();
                for (slot, _) in pair.iter_mut().zip(places).filter(|(_, place)| **place == seen) {
                    *slot = *gap;
                }
            }
            seen += 1;
        }
        Ok(())
    })
    .await?;
    medians.extend(found.into_iter().map(|(edge, [low, high])| (edge, halfway(low, high))));
    Ok(medians)
}
