//! A job that a scheduler submits by itself at intervals, such as the clean-up of its archive.
//!
//! It is an ordinary job: in the ledger, listed, cancelled and retried as a user's. When the next one is due follows from
//! the last such job in the ledger, whoever submitted it: a scheduler that starts again neither forgets one nor doubles it.
//! There is no second one while one waits or runs, and a failed one is not repeated before its time. Only the scheduler
//! that has the archive's lease does this. Start at [`Routine`]: `pause`
//! decides, `keep` does it.

use std::{convert::Infallible, time::Duration};

use serde_json::Value;
use tidewaiter_core::Result;

use crate::driver::{Driver, Last};

/// The pause before the ledger is looked at again while a job of the routine waits or runs.
const UNDER_WAY: Duration = Duration::from_secs(60);

/// The longest pause: a clock that is set is noticed within this time.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// The pause after a look at the ledger, or a submission, that failed.
const AFTER_ERROR: Duration = Duration::from_secs(10);

/// What is submitted, and how often.
#[derive(Debug, Clone)]
pub struct Routine {
    /// From the submission of one to that of the next.
    pub every: Duration,
    /// The kind of the job.
    pub kind: &'static str,
    /// The job, as the catalogue reads it.
    pub specification: String,
    /// Whether a job of this kind, by its specification in the ledger, counts as one of the routine.
    pub is_one: fn(&Value) -> bool,
}

/// How long it is until the next job is due, or until it is worth looking again; `None`: it is due.
fn pause(last: Option<Last>, every: Duration, now_ms: i64) -> Option<Duration> {
    let Last { submitted_ms, is_open } = last?;
    if is_open {
        return Some(every.min(UNDER_WAY));
    }
    let every_ms = milliseconds(every);
    let since_ms = now_ms.saturating_sub(submitted_ms);
    // A time that is further ahead than the interval is that of a wrong clock, and would stop the routine.
    if since_ms >= every_ms || since_ms < every_ms.saturating_neg() {
        return None;
    }
    let left_ms = u64::try_from(every_ms.saturating_sub(since_ms)).unwrap_or_default();
    Some(Duration::from_millis(left_ms).min(LONGEST))
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Submits the routine's job whenever it is due; `now_ms` is milliseconds since 1970.
pub(crate) async fn keep(routine: Routine, driver: Driver, now_ms: fn() -> i64) -> Infallible {
    // What was open at the start is known then.
    driver.taken_up().await;
    loop {
        let pause = match look(&routine, &driver, now_ms()).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(
                    kind = routine.kind,
                    error = error.chain(),
                    "the job of a routine is not submitted; trying again"
                );
                AFTER_ERROR
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Submits the routine's job if it is due; gives the pause before the next look.
async fn look(routine: &Routine, driver: &Driver, now_ms: i64) -> Result<Duration> {
    let Routine { every, kind, specification, is_one } = routine;
    let since_ms = now_ms.saturating_sub(milliseconds(*every));
    let last = driver.last(kind, *is_one, since_ms).await?;
    if let Some(pause) = pause(last, *every, now_ms) {
        tracing::debug!(kind, ?pause, "the next job of a routine is not due");
        return Ok(pause);
    }
    let job = driver.submit("", specification).await?;
    tracing::info!(job, kind, "the job of a routine is submitted");
    Ok((*every).min(UNDER_WAY))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 60 * 60 * 1000;
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn last(submitted_ms: i64, is_open: bool) -> Option<Last> {
        Some(Last { submitted_ms, is_open })
    }

    #[test]
    fn the_first_is_due_at_once_and_the_next_an_interval_after_the_last() {
        let now = 1_000 * HOUR;
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (last, wanted) in [
            (None, None),
            (last(now - 24 * HOUR, false), None),
            (last(now - 24 * HOUR + 1, false), Some(Duration::from_millis(1))),
            (last(now - 24 * HOUR + 30_000, false), seconds(30)),
            // It is looked for again before that.
            (last(now - HOUR, false), seconds(3600)),
            // The clock of the scheduler before it was a little ahead, or wrong.
            (last(now + 2_000, false), seconds(3600)),
            (last(now + 24 * HOUR + 1, false), None),
            // As long as one waits or runs, whenever it was submitted.
            (last(now, true), seconds(60)),
            (last(0, true), seconds(60)),
            (last(i64::MIN, false), None),
            (last(i64::MAX, false), None),
        ] {
            assert_eq!(pause(last, DAY, now), wanted, "{last:?}");
        }
        assert_eq!(pause(last(now, true), Duration::from_secs(1), now), seconds(1));
        assert_eq!(pause(last(now - 1, false), Duration::MAX, now), seconds(3600));
    }

    proptest! {
        /// Whoever looks again after each pause submits the next one at its time, and never two within an interval.
        #[test]
        fn intervals_are_kept(every in 1_u64..200_000_000, begin in 0_i64..1_000_000_000) {
            let interval = Duration::from_millis(every);
            let every = i64::try_from(every).expect("small");
            let (mut now, mut times) = (begin, Vec::new());
            while times.len() < 4 {
                match pause(times.last().and_then(|at| last(*at, false)), interval, now) {
                    None => times.push(now),
                    Some(pause) => {
                        prop_assert!(!pause.is_zero());
                        now += i64::try_from(pause.as_millis()).expect("small");
                    }
                }
            }
            prop_assert!(times.windows(2).all(|pair| pair[1] - pair[0] == every), "{times:?}");
        }
    }
}
