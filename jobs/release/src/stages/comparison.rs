//! The stages of the study's period against those of the period compared with.

use std::collections::BTreeMap;

use datafusion::prelude::SessionContext;
use serde::{Deserialize, Serialize};
use tidewaiter_core::Result;

use super::times::{SORTED_TIMES_OF_BOTH, StageTimes, each, stage_counts};
use crate::{
    stage_file::Stage,
    statistics::{
        distribution::{Distribution, Summary},
        rank_test::{RankTest, RankTestResult, holm},
    },
};

/// A stage before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageComparison {
    /// The stage.
    pub stage: Stage,
    /// In the period compared with.
    pub before: Summary,
    /// In the study's period.
    pub after: Summary,
    /// The test.
    pub test: RankTestResult,
    /// Its p-value, adjusted to the number of stages (Holm).
    pub adjusted_p_value: f64,
}

/// Compares the stages that have times in both periods. The session has the times ([`StageTimes::register`]).
///
/// # Errors
/// Those of the queries.
pub async fn compare(session: &SessionContext, times: StageTimes<'_>) -> Result<Vec<StageComparison>> {
    let stages = times.stages();
    let counts = stage_counts(session, None).await?;
    let of = |period: i32, stage: i32| {
        counts.get(&(period, stage, String::new())).map_or(0, |counts| counts.by_status[0])
    };
    let mut passes = BTreeMap::<i32, (Distribution, Distribution, RankTest)>::new();
    each(session, SORTED_TIMES_OF_BOTH, |row| {
        let (before, after, ranks) = passes.entry(row.key.stage).or_insert_with(|| {
            let target = stages.get(row.key.stage as usize).and_then(|stage| stage.target_hours);
            let distribution = |period| Distribution::new(of(period, row.key.stage), target);
            (distribution(1), distribution(0), RankTest::default())
        });
        if row.period == 1 {
            before.push(row.hours());
        } else {
            after.push(row.hours());
        }
        ranks.push(row.hours(), row.period == 1);
    })
    .await?;
    let mut compared = Vec::new();
    for (stage, (before, after, ranks)) in passes {
        let Some(stage) = stages.get(stage as usize) else { continue };
        let test = ranks.finish();
        if test.before > 0 && test.after > 0 {
            let (before, after) = (before.finish(), after.finish());
            compared.push(StageComparison {
                stage: stage.clone(),
                before,
                after,
                test,
                adjusted_p_value: 1.0,
            });
        }
    }
    let p_values: Vec<f64> = compared.iter().map(|stage| stage.test.p_value).collect();
    for (stage, adjusted) in compared.iter_mut().zip(holm(&p_values)) {
        stage.adjusted_p_value = adjusted;
    }
    Ok(compared)
}
