//! The queues of a study: the activities whose beginnings and ends are known, at each office, with the
//! measures at them.

use arrow::{
    array::AsArray,
    compute::cast,
    datatypes::{DataType, Int64Type},
};
use datafusion::prelude::SessionContext;
use tidewaiter_core::{
    Error, Result,
    answers::{column, count, rows},
};

use super::{
    cases::Sample,
    critical_path::Check,
    simulation::{EffectOnCases, Hours, MAX_WORK, Queue, Work, simulate},
};
use crate::{
    calendar::{Calendar, OpeningHours},
    query::{query, text_or_empty},
    scope::{Scope, quoted},
    stage_file::StageFile,
};

/// Queues that are simulated, at most: those with the longest waiting.
const MAX_QUEUES: usize = 6;

/// Microseconds for which the calendars go on after the cut-off, so that what is simulated ends within them.
const BEYOND: i64 = 90 * 86_400_000_000;

/// The condition of the events that are work which waited: it arrived, began later, and took time.
const IS_WORK: &str = "done > begun AND previous_done <= begun";

/// Simulates the queues with the longest waiting, and the measures at them with their effect on the sample.
/// There are none where events have no beginning.
///
/// # Errors
/// Those of the queries.
pub async fn queues(
    session: &SessionContext,
    scope: &Scope<'_>,
    file: &StageFile,
    sample: &Sample,
    seed: u64,
) -> Result<Vec<Queue>> {
    if !scope.intervals {
        return Ok(Vec::new());
    }
    let calendar = |hours: &OpeningHours| Calendar::new(hours, scope.first, scope.cut_off + BEYOND);
    let answer = query(session, &queues_sql(scope)).await?;
    let mut queues = Vec::new();
    for row in rows(&answer) {
        let (event, office) = (text_or_empty(&answer, "event", row)?, text_or_empty(&answer, "office", row)?);
        let own = file.offices.get(&office).or(file.calendar.as_ref());
        let now = own.map(calendar).transpose()?;
        let longer = own.map(|hours| calendar(&hours.longer())).transpose()?;
        let hours = Hours { now: now.as_ref(), longer: longer.as_ref() };
        let work = query(session, &work_sql(scope, &event, &office)).await?;
        let times = |name: &str| Ok::<_, Error>(cast(column(&work, name)?, &DataType::Int64)?);
        let (arrivals, begun, done) = (times("arrival")?, times("begun")?, times("done")?);
        let (arrivals, begun) = (arrivals.as_primitive::<Int64Type>(), begun.as_primitive::<Int64Type>());
        let done = done.as_primitive::<Int64Type>();
        let places = rows(&work).rev().map(|row| Ok(sample.place(&text_or_empty(&work, "case_id", row)?)));
        let places = places.collect::<Result<Vec<_>>>()?;
        let work: Vec<Work> = rows(&work)
            .rev()
            .map(|row| Work { arrival: arrivals.value(row), begun: begun.value(row), done: done.value(row) })
            .collect();
        let all = count(&answer, "n", row)?;
        let check = Check::of(&text_or_empty(&answer, "role", row)?);
        let effect = check.map(|check| {
            let places = &places;
            move |delays: &[Option<i64>], seed| sample.effect_of_delays(check, places, delays, seed)
        });
        let effect = effect.as_ref().map(|effect| effect as EffectOnCases<'_>);
        let queue = simulate(&event, &work, hours, effect, seed);
        queues.extend(queue.map(|queue| Queue { office, all, ..queue }));
    }
    Ok(queues)
}

/// The activities whose beginnings and ends are known, by office, those with the longest waiting first.
fn queues_sql(scope: &Scope<'_>) -> String {
    format!(
        "SELECT event, coalesce(office, '') AS office, max(role) AS role, count(*) AS n, sum(begun - previous_done) AS waiting \
         FROM ({}) WHERE {} AND {} GROUP BY event, coalesce(office, '') ORDER BY waiting DESC, event, office LIMIT {MAX_QUEUES}",
        scope.ordered(),
        IS_WORK,
        scope.is_in_period()
    )
}

/// The latest pieces of work of an activity at an office, the last to arrive first.
fn work_sql(scope: &Scope<'_>, event: &str, office: &str) -> String {
    format!(
        "SELECT case_id, previous_done AS arrival, begun, done FROM ({}) WHERE event = {} AND coalesce(office, '') = {} \
         AND {} AND {} ORDER BY arrival DESC, begun DESC, done DESC, case_id LIMIT {MAX_WORK}",
        scope.ordered(),
        quoted(event),
        quoted(office),
        IS_WORK,
        scope.is_in_period()
    )
}
