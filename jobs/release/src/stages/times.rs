//! The tables of stage times: how they are registered in a session and read back in order.

use std::collections::BTreeMap;

use arrow::{
    array::AsArray,
    compute::cast,
    datatypes::{DataType, Int32Type, Int64Type},
};
use datafusion::prelude::{DataFrame, SessionContext};
use serde::{Deserialize, Serialize};
use tidewaiter_core::{
    Error, Result,
    answers::{column, count, number, rows},
    plan,
    query::Plan as _,
};

use super::{key::Key, operator::StagesOperator, target::TargetResult};
use crate::{
    calendar::HOUR,
    messages,
    query::{batches, query, text_or_empty},
    scope::Scope,
    stage_file::{Stage, StageFile, StageKind},
};

/// Which cases are measured, and by which stage file.
#[derive(Debug, Clone, Copy)]
pub struct StageTimes<'a> {
    /// Which events are read.
    pub scope: &'a Scope<'a>,
    /// The stage file as it is written.
    pub text: &'a str,
    /// The stage file as it is read.
    pub file: &'a StageFile,
}

impl StageTimes<'_> {
    /// Registers the times of all stages of the session's `cases` as `times`, with columns of the cases, and
    /// their counts as `counted`.
    ///
    /// # Errors
    /// Those of planning.
    pub async fn register(&self, session: &SessionContext, strata: Vec<String>) -> Result<()> {
        let message = self.message(None, strata);
        session.register_table("times", times(session, message.clone()).await?.into_view())?;
        let counted = times(session, messages::StagesOperator { counted: true, ..message }).await?;
        session.register_table("counted", counted.into_view())?;
        Ok(())
    }

    /// How the time of a stage is divided over the steps, in the order of the stage file, and last the time that no step
    /// holds; of the cases of the study's period whose stage ended. The session has the `cases`.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn shares(&self, session: &SessionContext, stage: i32) -> Result<Vec<TimeShare>> {
        let message = messages::StagesOperator { divided: Some(stage), ..self.message(None, Vec::new()) };
        session.register_table("divided", times(session, message).await?.into_view())?;
        let answer = query(session, DIVIDED).await?;
        let mut shares = Vec::new();
        for row in rows(&answer) {
            let place = number(&answer, "stage", row)? as usize;
            let seconds = number(&answer, "seconds", row)? + number(&answer, "microseconds", row)? / 1e6;
            let stage = place.checked_sub(1).and_then(|place| self.file.stages.get(place)).cloned();
            shares.push(TimeShare { stage, hours: seconds / 3600.0 });
        }
        // The rows come with 0 first, which is the time of no step.
        let none_first = usize::from(!shares.is_empty());
        shares.rotate_left(none_first);
        Ok(shares)
    }

    /// Registers the times of one stage as `headline`, with the case, its hours, when it began, and columns
    /// of the cases. Stages are numbered as by [`StagesOperator`].
    ///
    /// # Errors
    /// Those of planning.
    pub async fn register_headline(
        &self,
        session: &SessionContext,
        stage: i32,
        strata: Vec<String>,
    ) -> Result<()> {
        let message = self.message(Some(stage), strata);
        session.register_table("headline", times(session, message).await?.into_view())?;
        Ok(())
    }

    fn message(&self, only: Option<i32>, strata: Vec<String>) -> messages::StagesOperator {
        messages::StagesOperator {
            stages: self.text.to_owned(),
            first: self.scope.first,
            cut_off: self.scope.cut_off,
            strata,
            only,
            ..messages::StagesOperator::default()
        }
    }

    /// The stages in the order of their numbers: 0 is from the first event of a case to its last.
    pub(super) fn stages(&self) -> Vec<Stage> {
        std::iter::once(throughput()).chain(self.file.stages.iter().cloned()).collect()
    }
}

/// The query of the time of a stage by the step that holds it.
const DIVIDED: &str = "SELECT stage, sum(seconds) AS seconds, sum(microseconds) AS microseconds FROM divided \
     GROUP BY stage ORDER BY stage";

/// A part of the time of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeShare {
    /// The step that holds it; none: the time that no step holds.
    pub stage: Option<Stage>,
    /// Its hours over all cases.
    pub hours: f64,
}

/// The stage from a case's first event to its last.
fn throughput() -> Stage {
    Stage {
        name: "First to last event".to_owned(),
        french: Some("Du premier au dernier événement".to_owned()),
        spanish: Some("Del primer al último evento".to_owned()),
        kind: StageKind::Whole,
        part: None,
        held_by: None,
        from: Vec::new(),
        not_before: Vec::new(),
        to: Vec::new(),
        may_end_early: false,
        optional: false,
        target_hours: None,
    }
}

/// An operator's rows of the session's `cases`, of which only the columns that it needs are read.
async fn times(session: &SessionContext, message: messages::StagesOperator) -> Result<DataFrame> {
    let operator = StagesOperator::new(message)?;
    let needs = operator.needs();
    let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
    plan::apply(session.whole_table("cases").await?.select_columns(&needs)?, operator)
}

/// The cases of a stage by status, and those of them that have a time in working hours.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StatusCounts {
    /// In the order of [`super::Status`].
    pub(super) by_status: [u64; 4],
    pub(super) working: u64,
    /// Those that were followed for as long as their target, and those of them that met it.
    pub(super) target: TargetResult,
}

/// Counts by period, stage and stratum.
pub(super) type StageCounts = BTreeMap<(i32, i32, String), StatusCounts>;

/// Counts the cases of every stage; a stratum is the value of a column.
pub(super) async fn stage_counts(session: &SessionContext, stratum: Option<&str>) -> Result<StageCounts> {
    let answer = query(session, &stage_counts_sql(stratum)).await?;
    let mut counts = StageCounts::new();
    for row in rows(&answer) {
        let whole = |name| Ok::<_, Error>(number(&answer, name, row)? as i32);
        let key = (whole("period")?, whole("stage")?, text_or_empty(&answer, "stratum", row)?);
        let entry = counts.entry(key).or_default();
        let status = whole("status")? as usize;
        entry.by_status[status.min(3)] = count(&answer, "n", row)?;
        if status == 0 {
            entry.working = count(&answer, "working", row)?;
        }
        entry.target.cases += count(&answer, "followed", row)?;
        entry.target.within += count(&answer, "in_target", row)?;
    }
    Ok(counts)
}

/// The query of the counts. Without a column they are sums of what the operator has counted itself.
fn stage_counts_sql(stratum: Option<&str>) -> String {
    match stratum {
        Some(column) => format!(
            "SELECT period, stage, coalesce({column}, '') AS stratum, status, count(*) AS n, count(working_key) AS working, \
             count(in_target) AS followed, count(*) FILTER (WHERE in_target) AS in_target FROM times GROUP BY period, stage, status, coalesce({column}, '') ORDER BY stage, stratum, period, status"
        ),
        None => {
            "SELECT period, stage, '' AS stratum, status, sum(n) AS n, sum(working) AS working, \
             sum(followed) AS followed, sum(in_target) AS in_target FROM counted GROUP BY period, stage, status HAVING sum(n) > 0 ORDER BY stage, period, status"
                .to_owned()
        }
    }
}

/// The query of the keys of the study's period in rising order within each stratum. One whole number is
/// sorted fastest.
pub(super) fn sorted_times(stratum: Option<&str>, key: &str) -> String {
    let (selected, order) = match stratum {
        Some(column) => (format!("coalesce({column}, '') AS stratum, "), "stratum, "),
        None => (String::new(), ""),
    };
    format!(
        "SELECT {selected}{key} AS key FROM times WHERE {key} IS NOT NULL AND period = 0 ORDER BY {order}key"
    )
}

/// The query of the keys of the times of both periods in rising order, and for how long each was followed.
pub(super) const SORTED_TIMES_OF_BOTH: &str =
    "SELECT key, period, followed FROM times WHERE key IS NOT NULL ORDER BY key, period, followed";

/// The query of the number of times of each stage and period by the whole hours for which they were followed, those
/// followed for longest first.
pub(super) const FOLLOWED_HOURS: &str = "SELECT stage, period, followed / 3600000000 AS hours, count(*) AS n FROM times \
     WHERE key IS NOT NULL GROUP BY stage, period, followed / 3600000000 ORDER BY stage, period, hours DESC";

/// A row of sorted times.
pub(super) struct SortedTime<'a> {
    pub(super) key: Key,
    pub(super) stratum: &'a str,
    pub(super) period: i32,
    /// For how long it was followed, in hours; 0 where the query has it not.
    pub(super) followed: f64,
}

impl SortedTime<'_> {
    pub(super) fn hours(&self) -> f64 {
        self.key.length as f64 / HOUR
    }
}

/// Gives every row of a query of sorted times to a function, holding few batches at a time.
pub(super) async fn each(
    session: &SessionContext,
    sql: &str,
    mut take: impl FnMut(SortedTime<'_>),
) -> Result<()> {
    batches(session, sql, |batch| {
        let periods =
            batch.column_by_name("period").map(|periods| cast(periods, &DataType::Int32)).transpose()?;
        let periods = periods.as_ref().map(|periods| periods.as_primitive::<Int32Type>());
        let strata =
            batch.column_by_name("stratum").map(|strata| cast(strata, &DataType::Utf8)).transpose()?;
        let strata = strata.as_ref().map(|strata| strata.as_string::<i32>());
        let followed =
            batch.column_by_name("followed").map(|followed| cast(followed, &DataType::Int64)).transpose()?;
        let followed = followed.as_ref().map(|followed| followed.as_primitive::<Int64Type>());
        let keys = column(batch, "key")?.as_primitive::<Int64Type>();
        for (row, key) in keys.values().iter().enumerate() {
            let stratum = strata.map_or("", |strata| strata.value(row));
            take(SortedTime {
                key: Key::of(*key),
                stratum,
                period: periods.map_or(0, |periods| periods.value(row)),
                followed: followed.map_or(0.0, |followed| followed.value(row) as f64 / HOUR),
            });
        }
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, Schema};
    use datafusion::datasource::MemTable;

    use super::*;
    use crate::stage_file::{DEFAULT, role_column};

    #[tokio::test]
    async fn times_read_no_more_of_the_cases_than_they_need() {
        let roles = StageFile::parse(DEFAULT).expect("is right").roles.len();
        let named = |name: String, kind| Field::new(name, kind, true);
        let mut fields: Vec<Field> =
            (0..roles).map(|role| named(role_column(role), DataType::Int64)).collect();
        fields.extend(["period", "first_us", "last_us"].map(|name| named(name.to_owned(), DataType::Int64)));
        fields.extend(["office", "variant", "case_id"].map(|name| named(name.to_owned(), DataType::Utf8)));
        let session = SessionContext::new();
        let table = MemTable::try_new(Arc::new(Schema::new(fields)), vec![Vec::new()]).expect("a table");
        session.register_table("cases", Arc::new(table)).expect("registers");
        for (only, reads_case) in [(None, false), (Some(1), true)] {
            let message = messages::StagesOperator { stages: DEFAULT.to_owned(), only, ..Default::default() };
            let times = times(&session, message).await.expect("plans");
            let plan = session.state().optimize(times.logical_plan()).expect("optimises");
            let plan = plan.display_indent().to_string();
            let scan = plan.lines().find(|line| line.contains("TableScan: cases")).expect("a scan");
            assert!(scan.contains("office") && !scan.contains("variant"), "{plan}");
            assert_eq!(scan.contains("case_id"), reads_case, "{plan}");
        }
    }
}
