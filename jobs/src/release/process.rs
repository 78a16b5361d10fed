//! The process of a study: what follows what, the kinds of event, the ways of cases, who acts, and the load of the hours.

use std::collections::{BTreeMap, BTreeSet};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Int64Type},
};
use datafusion::prelude::SessionContext;
use futures::try_join;
use serde::{Deserialize, Serialize};
use tidewaiter_proto::v1;

use super::{
    answers::{batches, column, count, number, query, rows, text},
    calendar::HOUR,
    edges::{Classes, EdgesOperator, Middle, Wanted},
    queries::{self, BETWEEN_EVENTS, Scope},
};
use crate::{Error, Result, ResultExt, plan};

/// Names of each column that are told.
const MOST_HOLDERS: usize = 1000;

/// Two events that follow each other directly; times in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// The earlier.
    pub source: String,
    /// The later.
    pub target: String,
    /// How often.
    pub count: u64,
    /// Mean time from the end of the earlier to the beginning of the later; below zero where they overlap.
    pub mean: f64,
    /// Median time.
    pub median: f64,
    /// Total time.
    pub sum: f64,
    /// The same in open hours, of the cases whose office has them; none where no office has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working: Option<Times>,
}

/// Times between two events, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// How many.
    pub count: u64,
    /// Mean time.
    pub mean: f64,
    /// Median time.
    pub median: f64,
    /// Total time.
    pub sum: f64,
}

/// A kind of event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Its name.
    pub event: String,
    /// The milestone that it is.
    pub role: Option<String>,
    /// Events.
    pub events: u64,
    /// Cases that have it.
    pub cases: u64,
}

/// How cases went.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Process {
    /// What was counted over them.
    pub sums: Sums,
    /// Events that follow each other directly, by their total time.
    pub edges: Vec<Edge>,
    /// The kinds of event, by their number.
    pub activities: Vec<Activity>,
    /// The most frequent ways of a case.
    pub ways: Vec<Way>,
}

/// Counts over cases.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Sums {
    /// Cases.
    pub cases: u64,
    /// Their events.
    pub events: u64,
    /// Their different ways.
    pub variants: u64,
    /// Events whose name has no milestone.
    pub without_role: u64,
    /// Events that stand in the file before one that was earlier.
    pub out_of_order: u64,
    /// Events that end before they begin.
    pub negative: u64,
    /// Starts of work whose end is not there.
    pub unfinished: u64,
    /// Events that are there twice.
    pub duplicates: u64,
    /// Cases whose clocks' offsets differ.
    pub mixed: u64,
    /// Cases in which a kind of event comes again.
    pub rework: u64,
}

/// An earlier and a later event, and whether times between them are of open hours.
type Pair = (String, String, bool);

/// The name of a kind of event, its events, and the cases that have it.
type Kind = (String, u64, u64);

/// A way through the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Way {
    /// Its events.
    pub events: Vec<String>,
    /// Cases that went it.
    pub cases: u64,
    /// Mean hours from first to last event.
    pub mean: f64,
    /// Median hours.
    pub median: f64,
}

/// Who acts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// The column: `agency`, `office` or `actor`.
    pub column: String,
    /// Its value.
    pub name: String,
    /// Events.
    pub events: u64,
    /// Hours that passed before them, since the events before.
    pub waiting: f64,
    /// Hours that they took; 0 where starts are not recorded.
    pub working: f64,
}

/// How the cases of a scope went.
///
/// # Errors
/// Those of the queries.
pub async fn process(session: &SessionContext, scope: &Scope<'_>, has_calendar: bool) -> Result<Process> {
    let ways_with_times = scope.ways(has_calendar);
    let ((found, activities), sums, roles, ways) =
        try_join!(timed(session, &ways_with_times), sums(session), roles(session, scope), ways(session))?;
    let by_the_clock = found.iter().filter(|((.., working), _)| !working);
    let mut edges: Vec<Edge> = by_the_clock
        .map(|((source, target, _), Times { count, mean, median, sum })| Edge {
            source: source.clone(),
            target: target.clone(),
            count: *count,
            mean: *mean,
            median: *median,
            sum: *sum,
            working: found.get(&(source.clone(), target.clone(), true)).copied(),
        })
        .collect();
    edges.sort_by(|a, b| b.sum.total_cmp(&a.sum));
    Ok(Process { sums, edges, activities: named(activities, &roles), ways })
}

async fn sums(session: &SessionContext) -> Result<Sums> {
    let answer = query(session, queries::CASE_SUMS).await?;
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

/// The times of all pairs of events that follow each other in the cases of a query, and the kinds of event.
async fn timed(session: &SessionContext, ways: &str) -> Result<(BTreeMap<Pair, Times>, Vec<Kind>)> {
    let counted = session.sql(ways).await.context(|| "plan the count of edges")?;
    let counted = plan::above(counted, EdgesOperator::new(v1::EdgesOperator::default())?)?;
    let (mut found, mut activities) = (BTreeMap::<Pair, Counted>::new(), Vec::new());
    for batch in counted.collect().await.context(|| "count what follows what")? {
        take_classes(&batch, &mut found, &mut activities)?;
    }
    let middles: BTreeMap<_, _> =
        found.iter().filter_map(|(edge, counted)| Some((edge.clone(), counted.classes.middle()?))).collect();
    let medians = medians(session, ways, &middles).await?;
    let times = found.into_iter().map(|(edge, counted)| {
        let count: u64 = counted.classes.classes.values().map(|class| class.0).sum();
        let sum = counted.seconds as f64 + counted.microseconds as f64 / 1e6;
        let median = medians.get(&edge).copied().unwrap_or_default();
        (edge, Times { count, mean: sum / count as f64, median, sum })
    });
    Ok((times.collect(), activities))
}

/// What was counted of an edge.
#[derive(Debug, Default)]
struct Counted {
    classes: Classes,
    seconds: i64,
    microseconds: i64,
}

/// Adds the counts of a batch.
fn take_classes(
    batch: &RecordBatch,
    found: &mut BTreeMap<Pair, Counted>,
    activities: &mut Vec<Kind>,
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
        let class = counted.classes.classes.entry(figure(0, row) as i32).or_insert((0, i64::MAX, i64::MIN));
        *class = (class.0 + count, class.1.min(figure(4, row)), class.2.max(figure(5, row)));
    }
    Ok(())
}

/// The medians of edges in seconds, of the cases of the same query.
async fn medians(
    session: &SessionContext,
    ways: &str,
    middles: &BTreeMap<Pair, Middle>,
) -> Result<BTreeMap<Pair, f64>> {
    let halfway = |low: i64, high: i64| (low as f64 + (high - low) as f64 / 2.0) / 1e6;
    let (mut medians, mut wanted) = (BTreeMap::new(), BTreeSet::new());
    for (edge, middle) in middles {
        match middle {
            Middle::Known(low, high) => {
                medians.insert(edge.clone(), halfway(*low, *high));
            }
            Middle::Among { classes, .. } => {
                let (source, target, working) = edge;
                wanted.extend(classes.map(|class| Wanted {
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
    let operator = EdgesOperator::new(v1::EdgesOperator { wanted: serde_json::to_string(&wanted)? })?;
    let gaps = session.sql(ways).await.context(|| "plan the medians of edges")?;
    session.register_table("wanted_gaps", plan::above(gaps, operator)?.into_view())?;
    let (mut edge, mut seen) = ((String::new(), String::new(), false), 0);
    let mut found = BTreeMap::<Pair, [i64; 2]>::new();
    batches(session, queries::SORTED_GAPS, |batch| {
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
            if let Some(Middle::Among { places, .. }) = middles.get(&edge)
                && places.contains(&seen)
            {
                let middle = found.entry(edge.clone()).or_default();
                for (slot, _) in middle.iter_mut().zip(places).filter(|(_, place)| **place == seen) {
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

/// The milestone of each kind of event; empty where it has none.
async fn roles(session: &SessionContext, scope: &Scope<'_>) -> Result<BTreeMap<String, String>> {
    let answer = query(session, &scope.roles_of_events()).await?;
    let role = |row| Ok((text(&answer, "event", row)?, text(&answer, "role", row)?));
    rows(&answer).map(role).collect()
}

/// The kinds of event with their milestones, the most frequent first.
fn named(counted: Vec<Kind>, roles: &BTreeMap<String, String>) -> Vec<Activity> {
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

async fn ways(session: &SessionContext) -> Result<Vec<Way>> {
    let answer = query(session, queries::VARIANTS).await?;
    let way = |row| {
        Ok(Way {
            events: text(&answer, "variant", row)?.split(BETWEEN_EVENTS).map(str::to_owned).collect(),
            cases: count(&answer, "n", row)?,
            mean: number(&answer, "total", row)? / HOUR / number(&answer, "n", row)?.max(1.0),
            median: number(&answer, "median", row)? / HOUR,
        })
    };
    rows(&answer).map(way).collect()
}

pub(super) async fn holders(session: &SessionContext, scope: &Scope<'_>) -> Result<Vec<Holder>> {
    const COLUMNS: [&str; 3] = ["agency", "office", "actor"];
    let answer = query(session, &scope.holders(&COLUMNS)).await?;
    let mut holders = Vec::new();
    for column in COLUMNS {
        let told = |row: &usize| answer.column_by_name(column).is_some_and(|names| names.is_valid(*row));
        for row in rows(&answer).filter(told).take(MOST_HOLDERS) {
            holders.push(Holder {
                column: column.to_owned(),
                name: text(&answer, column, row)?,
                events: count(&answer, "events", row)?,
                waiting: number(&answer, "waiting", row)? / HOUR,
                working: number(&answer, "working", row)? / HOUR,
            });
        }
    }
    Ok(holders)
}

pub(super) async fn hours(session: &SessionContext, scope: &Scope<'_>) -> Result<Vec<[u64; 24]>> {
    let answer = query(session, &scope.hours()).await?;
    let mut hours = vec![[0; 24]; 7];
    for row in rows(&answer) {
        let (weekday, hour) =
            (number(&answer, "weekday", row)? as usize, number(&answer, "hour", row)? as usize);
        if let Some(slot) = hours.get_mut(weekday).and_then(|day| day.get_mut(hour)) {
            *slot = count(&answer, "n", row)?;
        }
    }
    Ok(hours)
}

/// Cases in the headline stage on average, by weekday and hour.
pub(super) async fn backlog(session: &SessionContext) -> Result<Vec<[f64; 24]>> {
    let answer = query(session, queries::BACKLOG).await?;
    let change =
        |row| Ok::<_, Error>((number(&answer, "hour", row)? as i64, number(&answer, "change", row)?));
    Ok(levels(&rows(&answer).map(change).collect::<Result<Vec<_>>>()?))
}

/// The mean level in each hour of the week, of changes by the hour since 1970 in rising order.
fn levels(changes: &[(i64, f64)]) -> Vec<[f64; 24]> {
    let (mut sums, mut counts) = (vec![[0.0; 24]; 7], vec![[0.0; 24]; 7]);
    let (mut level, mut next) = (0.0, changes.iter().peekable());
    let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return sums };
    for hour in first.0..=last.0 {
        if let Some((_, change)) = next.next_if(|(at, _)| *at == hour) {
            level += change;
        }
        // 1970 began on a Thursday.
        let (day, hour) = ((hour.div_euclid(24) + 3).rem_euclid(7) as usize, hour.rem_euclid(24) as usize);
        sums[day][hour] += level;
        counts[day][hour] += 1.0;
    }
    for (sums, counts) in sums.iter_mut().zip(&counts) {
        for (sum, count) in sums.iter_mut().zip(counts).filter(|(_, count)| **count > 0.0) {
            *sum /= count;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_counted_by_hand() {
        // From Thursday at 0: two come, one goes at 2, one at 26; hours of Friday are its own.
        let found = levels(&[(0, 2.0), (2, -1.0), (26, -1.0)]);
        assert_eq!(found[3][..4], [2.0, 2.0, 1.0, 1.0]);
        assert_eq!(found[4][..3], [1.0, 1.0, 0.0]);
        // A week later the same hour is met again.
        let found = levels(&[(0, 2.0), (168, 4.0)]);
        assert_eq!((found[3][0], found[3][1], found[6][23]), (4.0, 2.0, 2.0));
        assert_eq!(levels(&[]), vec![[0.0; 24]; 7]);
    }
}
