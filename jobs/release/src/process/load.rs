//! The load of a process by weekday and hour of the local clock.

use datafusion::prelude::SessionContext;
use tidewaiter_core::{
    Error, Result,
    answers::{count, number, rows},
};

use crate::{query::query, scope::Scope};

/// Events by weekday (0 is Monday) and hour.
///
/// # Errors
/// Those of the query.
pub async fn events_by_hour(session: &SessionContext, scope: &Scope<'_>) -> Result<Vec<[u64; 24]>> {
    let answer = query(session, &events_by_hour_sql(scope)).await?;
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

fn events_by_hour_sql(scope: &Scope<'_>) -> String {
    format!(
        "SELECT (CAST(date_part('dow', local) AS BIGINT) + 6) % 7 AS weekday, \
         CAST(date_part('hour', local) AS BIGINT) AS hour, count(*) AS n FROM (SELECT \
         to_timestamp_micros(begun + CAST(utc_offset AS BIGINT) * 60000000) AS local FROM ({}) WHERE {}) \
         GROUP BY weekday, hour ORDER BY weekday, hour",
        scope.events(),
        scope.is_in_period()
    )
}

/// The query of the changes of the number of cases in the headline stage, by the hour of the local clock
/// since 1970.
const CHANGES: &str = "SELECT moment / 3600000000 AS hour, sum(change) AS change FROM (SELECT begun + \
     CAST(utc_offset AS BIGINT) * 60000000 AS moment, 1 AS change FROM headline WHERE period = 0 AND status <= 1 \
     UNION ALL SELECT begun + CAST(round(hours * 3600000000) AS BIGINT) + CAST(utc_offset AS BIGINT) * 60000000 AS moment, \
     -1 AS change FROM headline WHERE period = 0 AND status = 0) GROUP BY moment / 3600000000 ORDER BY hour";

/// Cases in the headline stage on average, by weekday (0 is Monday) and hour. The session has the times of
/// the headline ([`crate::stages::StageTimes::register_headline`]).
///
/// # Errors
/// Those of the query.
pub async fn backlog(session: &SessionContext) -> Result<Vec<[f64; 24]>> {
    let answer = query(session, CHANGES).await?;
    let change =
        |row| Ok::<_, Error>((number(&answer, "hour", row)? as i64, number(&answer, "change", row)?));
    Ok(levels(&rows(&answer).map(change).collect::<Result<Vec<_>>>()?))
}

/// The mean level in each hour of the week; the changes are by the hour since 1970, in rising order.
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
        // A week later the same hour comes again.
        let found = levels(&[(0, 2.0), (168, 4.0)]);
        assert_eq!((found[3][0], found[3][1], found[6][23]), (4.0, 2.0, 2.0));
        assert_eq!(levels(&[]), vec![[0.0; 24]; 7]);
    }
}
