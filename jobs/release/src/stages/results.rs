//! The results of stages: their counts and the summaries of their times.

use std::collections::BTreeMap;

use datafusion::prelude::SessionContext;
use futures::try_join;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result};

use super::{
    target::TargetResult,
    times::{StageCounts, StageTimes, each, sorted_times, stage_counts},
};
use crate::{
    stage_file::{Stage, StageKind},
    statistics::{
        distribution::{Distribution, Summary},
        survival::{Survival, SurvivalSummary},
    },
};

/// The times of one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageResult {
    /// The stage, as the stage file has it.
    pub stage: Stage,
    /// Cases whose stage ended.
    pub complete: u64,
    /// Cases whose stage had not ended at the cut-off.
    pub open: u64,
    /// Cases whose end was not recorded.
    pub missing: u64,
    /// Cases whose end is before the beginning.
    pub negative: u64,
    /// Elapsed hours of the complete ones.
    pub elapsed: Summary,
    /// Working hours of the complete ones, where offices have a calendar.
    pub working: Option<Summary>,
    /// Elapsed hours with the open ones.
    pub survival: SurvivalSummary,
    /// How many met the target; none without a target.
    pub target: Option<TargetResult>,
}

impl StageResult {
    /// The share within the target, 0..=1; none without a target, or where no case was followed for so long.
    pub fn within_target(&self) -> Option<f64> {
        self.target?.share()
    }

    /// The median of all cases, open ones counted; `None` where the half of them is not over.
    pub fn median(&self) -> Option<f64> {
        self.quantile(2)
    }

    /// The 90th percentile of all cases, open ones counted.
    pub fn p90(&self) -> Option<f64> {
        self.quantile(4)
    }

    /// Without open cases the exact quantile, and else that of the survival curve.
    fn quantile(&self, place: usize) -> Option<f64> {
        match self.open {
            0 => (self.complete > 0).then(|| self.elapsed.quantiles[place]),
            _ => self.survival.quantiles[place],
        }
    }

    /// The 95 % confidence interval of the median; an end is absent where it is not known.
    pub fn median_interval(&self) -> (Option<f64>, Option<f64>) {
        self.interval(self.elapsed.median_interval, self.survival.median_interval)
    }

    /// The 95 % confidence interval of the 90th percentile.
    pub fn p90_interval(&self) -> (Option<f64>, Option<f64>) {
        self.interval(self.elapsed.p90_interval, self.survival.p90_interval)
    }

    fn interval(
        &self,
        exact: Option<(f64, f64)>,
        survival: (Option<f64>, Option<f64>),
    ) -> (Option<f64>, Option<f64>) {
        match self.open {
            0 => exact.unzip(),
            _ => survival,
        }
    }

    fn unmeasured(stage: Stage) -> Self {
        Self {
            stage,
            complete: 0,
            open: 0,
            missing: 0,
            negative: 0,
            elapsed: Summary::default(),
            working: None,
            survival: SurvivalSummary::default(),
            target: None,
        }
    }
}

/// The place of the stage that a study is about: the first measured stage that is a whole; else the first
/// that is a part; else 0, from the first event to the last.
pub fn headline(stages: &[StageResult]) -> usize {
    let first = |kind: StageKind| {
        let mut measured = stages.iter().enumerate().skip(1).filter(|(_, stage)| stage.complete > 0);
        measured.find(|(_, stage)| stage.stage.kind == kind).map(|(place, _)| place)
    };
    first(StageKind::Whole).or_else(|| first(StageKind::Part)).unwrap_or(0)
}

/// Measures the stages of all cases of the study's period. Registers the times in the session.
///
/// # Errors
/// Those of the queries; [`tidewaiter_core::ErrorKind::Input`] when no case began in the period.
pub async fn measure(session: &SessionContext, times: StageTimes<'_>) -> Result<Vec<StageResult>> {
    times.register(session, Vec::new()).await?;
    let results = measure_by(session, times, None).await?.into_iter().next();
    let stages = results.map(|group| group.1).unwrap_or_default();
    if stages.is_empty() {
        return Err(Error::input(
            "no case began in the period; `tidewaiter archive sql` shows the times of events",
        ));
    }
    Ok(stages)
}

/// Measures the stages of the study's period by the values of a column, or all together (under the empty
/// value). The session has the times ([`StageTimes::register`]).
///
/// # Errors
/// Those of the queries.
pub async fn measure_by(
    session: &SessionContext,
    times: StageTimes<'_>,
    stratum: Option<&str>,
) -> Result<BTreeMap<String, Vec<StageResult>>> {
    let stages = times.stages();
    let counts = stage_counts(session, stratum).await?;
    let mut results = BTreeMap::<String, Vec<StageResult>>::new();
    let of_the_period = || counts.iter().filter(|((period, ..), _)| *period == 0);
    for ((_, _, value), _) in of_the_period() {
        let unmeasured = || stages.iter().cloned().map(StageResult::unmeasured).collect();
        results.entry(value.clone()).or_insert_with(unmeasured);
    }
    for ((_, stage, value), counts) in of_the_period() {
        if let Some(result) = result_of(&mut results, *stage, value) {
            [result.complete, result.open, result.missing, result.negative] = counts.by_status;
            result.target = result.stage.target_hours.map(|_| counts.target);
        }
    }
    let elapsed = distributions(session, stratum, "key", &counts);
    let working = async {
        match times.file.has_calendar() {
            true => distributions(session, stratum, "working_key", &counts).await,
            false => Ok(Vec::new()),
        }
    };
    let (elapsed, working) = try_join!(elapsed, working)?;
    for ((stage, value), summary, survival) in elapsed {
        if let Some(result) = result_of(&mut results, stage, &value) {
            (result.elapsed, result.survival) = (summary, survival);
        }
    }
    for ((stage, value), summary, _) in working {
        if let Some(result) = result_of(&mut results, stage, &value) {
            result.working = Some(summary);
        }
    }
    Ok(results)
}

/// The result of a stage and a stratum.
fn result_of<'a>(
    results: &'a mut BTreeMap<String, Vec<StageResult>>,
    stage: i32,
    value: &str,
) -> Option<&'a mut StageResult> {
    results.get_mut(value)?.get_mut(usize::try_from(stage).ok()?)
}

/// A stage and a stratum, and the summaries of its times.
type Distributed = ((i32, String), Summary, SurvivalSummary);

/// The distributions of the study's times by one of their keys, by stage and stratum.
async fn distributions(
    session: &SessionContext,
    stratum: Option<&str>,
    key: &str,
    counts: &StageCounts,
) -> Result<Vec<Distributed>> {
    let of = |stage: i32, value: &str| counts.get(&(0, stage, value.to_owned())).copied().unwrap_or_default();
    let mut passes = Vec::<((i32, String), (Distribution, Survival))>::new();
    each(session, &sorted_times(stratum, key), |row| {
        let stage = row.key.stage;
        let goes_on = |last: &(i32, String)| last.0 == stage && (stratum.is_none() || last.1 == row.stratum);
        if !passes.last().is_some_and(|(last, _)| goes_on(last)) {
            let counts = of(stage, row.stratum);
            let complete = if key == "key" { counts.by_status[0] } else { counts.working };
            let pass =
                (Distribution::new(complete), Survival::new(counts.by_status[0] + counts.by_status[1]));
            passes.push(((stage, row.stratum.to_owned()), pass));
        }
        let Some((_, (distribution, survival))) = passes.last_mut() else { return };
        if !row.key.is_open {
            distribution.push(row.hours());
        }
        survival.push(row.hours(), !row.key.is_open);
    })
    .await?;
    let finished = passes
        .into_iter()
        .map(|(of, (distribution, survival))| (of, distribution.finish(), survival.finish()));
    Ok(finished.collect())
}
