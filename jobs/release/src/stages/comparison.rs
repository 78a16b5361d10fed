//! The stages of the study's period against those of the period compared with.
//!
//! The later period has been followed for a shorter time: of its cases only the quick ones are over. Comparing the cases
//! that ended would therefore make it look shorter. Two comparisons avoid this. The first has equal follow-up: it takes
//! the cases of both periods that were followed for at least a number of hours, the greatest that nine of ten cases of
//! each period reach, and cuts all times at this length; it gives the means and the rank test. The second, the log-rank
//! test, uses each case for as long as it was followed. Medians are of all cases, open ones counted.

use std::collections::BTreeMap;

use datafusion::prelude::SessionContext;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{
    Result,
    answers::{count, number, rows},
};

use super::times::{FOLLOWED_HOURS, SORTED_TIMES_OF_BOTH, StageCounts, StageTimes, each, stage_counts};
use crate::{
    query::query,
    stage_file::Stage,
    statistics::{
        log_rank::{LogRank, LogRankResult},
        rank_test::{RankTest, RankTestResult, holm},
        survival::Survival,
    },
};

/// The share of a period's cases that have the follow-up of the comparison.
const FOLLOWED_SHARE: f64 = 0.9;

/// A stage before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageComparison {
    /// The stage.
    pub stage: Stage,
    /// The follow-up that is equal for both periods, hours.
    pub follow_up: f64,
    /// In the period compared with.
    pub before: PeriodTimes,
    /// In the study's period.
    pub after: PeriodTimes,
    /// The rank test of the times within the follow-up.
    pub test: RankTestResult,
    /// Its p-value, adjusted to the number of stages (Holm).
    pub adjusted_p_value: f64,
    /// The log-rank test of all times.
    pub log_rank: LogRankResult,
    /// Its p-value, adjusted likewise.
    pub adjusted_log_rank: f64,
}

/// The times of a stage in a period.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PeriodTimes {
    /// Cases, ended and open.
    pub cases: u64,
    /// Open ones among them.
    pub open: u64,
    /// Cases that have the follow-up of the comparison.
    pub followed: u64,
    /// Mean hours of these, each cut at the follow-up.
    pub mean: f64,
    /// Median hours of all cases, open ones counted; none where it is not reached.
    pub median: Option<f64>,
    /// 90th percentile of all cases.
    pub p90: Option<f64>,
}

/// What is summed up of a stage: by period, that of the study first.
struct Pass {
    follow_up: f64,
    survival: [Survival; 2],
    /// Number and sum of the times within the follow-up.
    sums: [(u64, f64); 2],
    ranks: RankTest,
    log_rank: LogRank,
}

impl Pass {
    /// Of so many cases in the study's period and in the one compared with.
    fn new(follow_up: f64, cases: [u64; 2]) -> Self {
        Self {
            follow_up,
            survival: cases.map(Survival::new),
            sums: [(0, 0.0); 2],
            ranks: RankTest::default(),
            log_rank: LogRank::new(cases[1], cases[0]),
        }
    }

    /// Adds the next time in rising order.
    fn push(&mut self, hours: f64, followed: f64, is_over: bool, is_before: bool) {
        let period = usize::from(is_before);
        self.survival[period].push(hours, is_over);
        self.log_rank.push(hours, is_over, is_before);
        if followed >= self.follow_up {
            let cut = hours.min(self.follow_up);
            self.ranks.push(cut, is_before);
            self.sums[period].0 += 1;
            self.sums[period].1 += cut;
        }
    }

    fn finish(self, stage: Stage) -> StageComparison {
        let [after, before] = self.survival;
        let times = |survival: Survival, (followed, sum): (u64, f64)| {
            let survival = survival.finish();
            PeriodTimes {
                cases: survival.complete + survival.open,
                open: survival.open,
                followed,
                mean: sum / followed.max(1) as f64,
                median: survival.quantiles[2],
                p90: survival.quantiles[4],
            }
        };
        StageComparison {
            stage,
            follow_up: self.follow_up,
            before: times(before, self.sums[1]),
            after: times(after, self.sums[0]),
            test: self.ranks.finish(),
            adjusted_p_value: 1.0,
            log_rank: self.log_rank.finish(),
            adjusted_log_rank: 1.0,
        }
    }
}

/// Compares the stages that have times in both periods. The session has the times ([`StageTimes::register`]).
///
/// # Errors
/// Those of the queries.
pub async fn compare(session: &SessionContext, times: StageTimes<'_>) -> Result<Vec<StageComparison>> {
    let stages = times.stages();
    let counts = stage_counts(session, None).await?;
    let follow_ups = follow_ups(session).await?;
    let mut passes = BTreeMap::<i32, Pass>::new();
    each(session, SORTED_TIMES_OF_BOTH, |row| {
        let stage = row.key.stage;
        let pass = passes.entry(stage).or_insert_with(|| {
            Pass::new(follow_ups.get(&stage).copied().unwrap_or_default(), timed(&counts, stage))
        });
        pass.push(row.hours(), row.followed, !row.key.is_open, row.period == 1);
    })
    .await?;
    let mut compared = Vec::new();
    for (stage, pass) in passes {
        let Some(stage) = stages.get(stage as usize) else { continue };
        let found = pass.finish(stage.clone());
        if found.before.cases > 0 && found.after.cases > 0 {
            compared.push(found);
        }
    }
    let p_values = |of: fn(&StageComparison) -> f64| holm(&compared.iter().map(of).collect::<Vec<_>>());
    let adjusted = (p_values(|stage| stage.test.p_value), p_values(|stage| stage.log_rank.p_value));
    for (stage, (ranks, log_rank)) in compared.iter_mut().zip(adjusted.0.into_iter().zip(adjusted.1)) {
        (stage.adjusted_p_value, stage.adjusted_log_rank) = (ranks, log_rank);
    }
    Ok(compared)
}

/// The cases of a stage that have a time, ended or open, by period.
fn timed(counts: &StageCounts, stage: i32) -> [u64; 2] {
    [0, 1].map(|period| {
        let counts = counts.get(&(period, stage, String::new()));
        counts.map_or(0, |counts| counts.by_status[0] + counts.by_status[1])
    })
}

/// The follow-up of each stage: the greatest number of whole hours for which nine of ten cases of each period were
/// followed.
async fn follow_ups(session: &SessionContext) -> Result<BTreeMap<i32, f64>> {
    let answer = query(session, FOLLOWED_HOURS).await?;
    let mut counted = BTreeMap::<(i32, i32), Vec<(i64, u64)>>::new();
    for row in rows(&answer) {
        let key = (number(&answer, "stage", row)? as i32, number(&answer, "period", row)? as i32);
        let hours = number(&answer, "hours", row)? as i64;
        counted.entry(key).or_default().push((hours, count(&answer, "n", row)?));
    }
    let mut follow_ups = BTreeMap::<i32, f64>::new();
    for ((stage, _), hours) in counted {
        let own = follow_up(&hours) as f64;
        follow_ups.entry(stage).and_modify(|least| *least = least.min(own)).or_insert(own);
    }
    Ok(follow_ups)
}

/// The greatest number of hours that so many cases reach; hours and cases are given from the greatest down.
fn follow_up(hours: &[(i64, u64)]) -> i64 {
    let all: u64 = hours.iter().map(|(_, cases)| cases).sum();
    let mut reached = 0;
    let found = hours.iter().find(|(_, cases)| {
        reached += cases;
        reached as f64 >= all as f64 * FOLLOWED_SHARE
    });
    found.map_or(0, |(hours, _)| *hours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage_file::{DEFAULT, StageFile};

    /// A time: hours (those until the cut-off where it is open), and for how long it was followed.
    type Time = (f64, f64);

    fn compare(follow_up: f64, before: &[Time], after: &[Time]) -> StageComparison {
        let mut all: Vec<(Time, bool)> = before.iter().map(|time| (*time, true)).collect();
        all.extend(after.iter().map(|time| (*time, false)));
        // Of equal times those that are over come first.
        let is_over = |time: Time| time.0 < time.1;
        all.sort_by(|a, b| a.0.0.total_cmp(&b.0.0).then(is_over(b.0).cmp(&is_over(a.0))));
        let mut pass = Pass::new(follow_up, [after.len() as u64, before.len() as u64]);
        for (time, is_before) in all {
            pass.push(time.0, time.1, is_over(time), is_before);
        }
        pass.finish(StageFile::parse(DEFAULT).expect("is right").stages[0].clone())
    }

    #[test]
    fn the_same_times_are_equal_though_the_later_period_is_followed_for_less() {
        // In both periods cases take 10 or 100 hours. The later ones began 40 hours before the cut-off: the long ones are
        // open, and of those that ended the mean is 10 hours against 55.
        let before = [(10.0, 900.0), (100.0, 900.0), (10.0, 900.0), (100.0, 900.0)];
        let after = [(10.0, 40.0), (40.0, 40.0), (10.0, 40.0), (40.0, 40.0)];
        let found = compare(40.0, &before, &after);
        assert_eq!((found.before.mean, found.after.mean), (25.0, 25.0), "cut at 40 hours");
        assert_eq!((found.test.shorter, found.test.p_value), (0.5, 1.0));
        assert_eq!((found.log_rank.observed, found.log_rank.expected), (2.0, 2.0));
        assert_eq!((found.after.cases, found.after.open, found.after.followed), (4, 2, 4));
        assert_eq!((found.before.median, found.after.median), (Some(10.0), Some(10.0)));
    }

    #[test]
    fn a_case_that_began_too_late_is_in_the_log_rank_test_alone() {
        let found = compare(20.0, &[(5.0, 90.0), (30.0, 90.0)], &[(8.0, 90.0), (3.0, 4.0), (6.0, 6.0)]);
        // Cut at 20: before 5 and 20, after 8; of the pairs one is shorter and one longer.
        assert_eq!((found.before.mean, found.after.mean, found.after.followed), (12.5, 8.0, 1));
        assert_eq!((found.test.before, found.test.after, found.test.shorter), (2, 1, 0.5));
        // At 3 of three in five, at 5 of two in four, at 8 of one in two; at 30 nobody else is at risk.
        assert!((found.log_rank.expected - (3.0 / 5.0 + 2.0 / 4.0 + 1.0 / 2.0)).abs() < 1e-12, "{found:?}");
        assert_eq!(found.log_rank.observed, 2.0);
    }

    #[test]
    fn nine_of_ten_have_the_follow_up() {
        assert_eq!(follow_up(&[(100, 5), (50, 4), (10, 1)]), 50);
        assert_eq!(follow_up(&[(100, 5), (50, 3), (10, 2)]), 10);
        assert_eq!(follow_up(&[]), 0);
    }
}
