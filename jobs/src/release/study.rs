//! What a study finds: the queries run, their answers in one document.
//!
//! [`measure`] wants two tables registered in its session: `releases` (the events) and `cases`. Anomalies are counted
//! by rule, never dropped. Start there.

use std::collections::BTreeMap;

use arrow::{
    array::AsArray,
    compute::cast,
    datatypes::{DataType, Int64Type},
};
use datafusion::prelude::{DataFrame, SessionContext};
use futures::try_join;
use serde::{Deserialize, Serialize};
use tidewaiter_proto::v1;

use super::{
    answers::{column, count, each, number, query, rows, text},
    calendar::{Calendar, OpeningHours},
    comparison::{Compared, RankTest, holm},
    distribution::{Distribution, Summary, Survival, SurvivalSummary},
    drivers::{self, Drivers},
    measures::{CaseMeasure, Check, Sample},
    operator::StagesOperator,
    process::{self, Activity, Edge, Holder, Process, Way},
    queries::{self, ATTRIBUTES, Scope},
    simulation::{Carry, Hours, MOST_WORK, Station, Work, study_station},
    stages::{Part, Stage, StageFile, StageKind},
};
use crate::{Error, Result, plan};

/// Everything that a study found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Study {
    /// The reporting country.
    pub country: String,
    /// The study's period, as it was asked for; empty: all of the archive.
    pub period: String,
    /// The period compared with.
    pub compare: Option<String>,
    /// The last moment known, RFC 3339 in UTC.
    pub cut_off: String,
    /// Events of the period's cases.
    pub events: u64,
    /// Cases that began in the period.
    pub cases: u64,
    /// Different ways of those cases.
    pub variants: u64,
    /// What was odd, and what was done about it.
    pub anomalies: Vec<Anomaly>,
    /// The stages; the first is from the first event to the last.
    pub stages: Vec<StageResult>,
    /// The same of each value of the columns asked for.
    pub strata: Vec<Stratum>,
    /// The stages of both periods.
    pub comparisons: Vec<StageComparison>,
    /// What drives long cases of the headline; none where no case is long, or all are.
    pub drivers: Option<Drivers>,
    /// Events that follow each other directly, by their total time.
    pub edges: Vec<Edge>,
    /// The kinds of event, by their number.
    pub activities: Vec<Activity>,
    /// The most frequent ways of a case.
    pub ways: Vec<Way>,
    /// Agencies, offices and actors, by the time before their events.
    pub holders: Vec<Holder>,
    /// Events by weekday (the first is Monday) and hour of the local clock.
    pub hours: Vec<[u64; 24]>,
    /// Cases in the headline stage on average, by weekday (the first is Monday) and hour of the local clock.
    pub backlog: Vec<[f64; 24]>,
    /// Stations where work waits, and what would help there.
    pub stations: Vec<Station>,
    /// What measures on single cases would change of the headline, those that save the most first.
    pub measures: Vec<CaseMeasure>,
    /// Whether the archive has the fraud model's predictions.
    pub predicted: bool,
    /// The longest cases of the headline, with their hours.
    pub longest: Vec<(String, f64)>,
}

/// Something odd in the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    /// Its name.
    pub name: String,
    /// How often.
    pub count: u64,
}

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
}

/// The stages of the cases with one value of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stratum {
    /// The column.
    pub column: String,
    /// Its value; empty: none.
    pub value: String,
    /// As [`Study::stages`].
    pub stages: Vec<StageResult>,
}

/// A stage before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageComparison {
    /// The stage's name.
    pub stage: Stage,
    /// In the period compared with.
    pub before: Summary,
    /// In the study's period.
    pub after: Summary,
    /// The test.
    pub test: Compared,
    /// Its p-value, held to the number of stages (Holm).
    pub adjusted_p_value: f64,
}

/// The extent of a country's events.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Extent {
    /// Events of the country.
    pub events: u64,
    /// The first moment, microseconds since 1970 UTC.
    pub first: i64,
    /// The last moment.
    pub last: i64,
    /// Events that are the start of another.
    pub starts: u64,
    /// Events that have a beginning of their own.
    pub intervals: u64,
}

/// The extent of a country's events, which have no value in some columns.
///
/// # Errors
/// [`crate::ErrorKind::Input`] when there are none.
pub async fn survey(session: &SessionContext, country: &str, absent: &[String]) -> Result<Extent> {
    let answer = query(session, &queries::survey(country, absent)).await?;
    let events = count(&answer, "events", 0)?;
    if events == 0 {
        return Err(Error::input(format!(
            "the archive has no release events of {country}; `tidewaiter ingest releases` brings them"
        )));
    }
    let moment = |name| Ok::<_, Error>(number(&answer, name, 0)? as i64);
    Ok(Extent {
        events,
        first: moment("first")?,
        last: moment("last")?,
        starts: count(&answer, "starts", 0)?,
        intervals: count(&answer, "intervals", 0)?,
    })
}

/// What a study is told.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Which events it reads.
    pub scope: &'a Scope<'a>,
    /// The stage file as it is written.
    pub text: &'a str,
    /// The stage file as it is read.
    pub file: &'a StageFile,
    /// The columns by which cases are told apart.
    pub by: &'a [String],
    /// Seed of what is simulated.
    pub seed: u64,
    /// Whether the session has the fraud model's `predictions`.
    pub predicted: bool,
}

impl Asked<'_> {
    /// Registers the times of the session's `cases`, of one stage or of all, with columns of the cases; of all, their
    /// counts too.
    async fn register(
        &self,
        session: &SessionContext,
        name: &str,
        only: Option<i32>,
        strata: Vec<String>,
    ) -> Result<()> {
        let (first, cut_off) = (self.scope.first, self.scope.cut_off);
        let counted = false;
        let message =
            v1::StagesOperator { stages: self.text.to_owned(), first, cut_off, strata, only, counted };
        session.register_table(name, times(session, message.clone()).await?.into_view())?;
        if only.is_none() {
            let counted = times(session, v1::StagesOperator { counted: true, ..message }).await?;
            session.register_table("counted", counted.into_view())?;
        }
        Ok(())
    }
}

/// What an operator tells of the session's `cases`, of which only the columns that it needs are read.
async fn times(session: &SessionContext, message: v1::StagesOperator) -> Result<DataFrame> {
    let operator = StagesOperator::new(message)?;
    let needs = operator.needs();
    let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
    plan::above(session.table("cases").await?.select_columns(&needs)?, operator)
}

/// Measures the stages of all cases of the period.
///
/// # Errors
/// Those of the queries; [`crate::ErrorKind::Input`] when no case began in the period.
pub async fn stages(session: &SessionContext, asked: Asked<'_>) -> Result<Vec<StageResult>> {
    asked.register(session, "times", None, Vec::new()).await?;
    let results = stage_results(session, asked.file, None).await?.into_iter().next();
    let stages = results.map(|group| group.1).unwrap_or_default();
    if stages.is_empty() {
        return Err(Error::input(
            "no case began in the period; `tidewaiter archive sql` shows the times of events",
        ));
    }
    Ok(stages)
}

/// Measures the rest of a scope, beside the stages and how its cases went.
///
/// # Errors
/// Those of the queries.
pub async fn measure(
    session: &SessionContext,
    asked: Asked<'_>,
    stages: Vec<StageResult>,
    Process { sums, edges, activities, ways }: Process,
) -> Result<Study> {
    let Asked { scope, file, by, seed, .. } = asked;
    asked.register(session, "times", None, by.to_vec()).await?;
    let total = |of: fn(&StageResult) -> u64| stages.iter().skip(1).map(of).sum::<u64>();
    let anomalies = [
        ("unknown_event_names", sums.without_role),
        ("missing_events", total(|stage| stage.missing)),
        ("negative_times", total(|stage| stage.negative) + sums.negative),
        ("unfinished_stages", total(|stage| stage.open)),
        ("unfinished_work", sums.unfinished),
        ("duplicate_events", sums.duplicates),
        ("out_of_order_in_the_file", sums.out_of_order),
        ("cases_with_mixed_offsets", sums.mixed),
        ("cases_with_repeated_events", sums.rework),
    ];
    let comparisons = match scope.compare {
        Some(_) => comparisons(session, file).await?,
        None => Vec::new(),
    };
    if scope.compare.is_some() && comparisons.is_empty() {
        return Err(Error::input(
            "no case began in the period compared with; give --compare one that has cases",
        ));
    }
    let mut strata = Vec::new();
    for column in by {
        for (value, stages) in stage_results(session, file, Some(column)).await? {
            strata.push(Stratum { column: column.clone(), value, stages });
        }
    }
    let headline = headline(&stages);
    let attributes = ATTRIBUTES.iter().copied().chain(["utc_offset"]).map(str::to_owned).collect();
    asked.register(session, "headline", Some(headline as i32), attributes).await?;
    let threshold = stages.get(headline).map_or(0.0, |result| result.elapsed.p90());
    let drivers = drivers::find(session, &ATTRIBUTES, threshold, scope.cut_off).await?;
    let sample = match stages.get(headline) {
        Some(result) => Sample::read(session, file, &result.stage, (scope.country, asked.predicted)).await?,
        None => Sample::default(),
    };
    let longest = query(session, queries::LONGEST).await?;
    let longest =
        rows(&longest).map(|row| Ok((text(&longest, "case_id", row)?, number(&longest, "hours", row)?)));
    Ok(Study {
        country: scope.country.to_owned(),
        events: sums.events,
        cases: sums.cases,
        variants: sums.variants,
        anomalies: anomalies.map(|(name, count)| Anomaly { name: name.to_owned(), count }).to_vec(),
        comparisons,
        stages,
        strata,
        drivers,
        edges,
        activities,
        ways,
        holders: process::holders(session, scope).await?,
        hours: process::hours(session, scope).await?,
        backlog: process::backlog(session).await?,
        stations: stations(session, scope, file, &sample, seed).await?,
        measures: sample.measures(seed),
        predicted: asked.predicted,
        longest: longest.collect::<Result<_>>()?,
        ..Study::default()
    })
}

/// The place of the stage that a study is about: the first whole that was measured, or else the first part, or else
/// all of a case.
pub fn headline(stages: &[StageResult]) -> usize {
    let first = |kind: StageKind| {
        let mut measured = stages.iter().enumerate().skip(1).filter(|(_, stage)| stage.complete > 0);
        measured.find(|(_, stage)| stage.stage.kind == kind).map(|(place, _)| place)
    };
    first(StageKind::Whole).or_else(|| first(StageKind::Part)).unwrap_or(0)
}

/// The stage from a case's first event to its last.
fn throughput() -> Stage {
    Stage {
        name: "First to last event".to_owned(),
        french: Some("Du premier au dernier événement".to_owned()),
        kind: StageKind::Whole,
        part: None,
        from: Vec::new(),
        not_before: Vec::new(),
        to: Vec::new(),
        may_end_early: false,
        optional: false,
        target_hours: None,
    }
}

/// The stages that rows are numbered by.
fn numbered(file: &StageFile) -> Vec<Stage> {
    std::iter::once(throughput()).chain(file.stages.iter().cloned()).collect()
}

/// Cases by status, and those of them with working hours.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    by_status: [u64; 4],
    working: u64,
}

/// Counts by period, stage and stratum.
type AllCounts = BTreeMap<(i32, i32, String), Counts>;

async fn stage_counts(session: &SessionContext, stratum: Option<&str>) -> Result<AllCounts> {
    let answer = query(session, &queries::stage_counts(stratum)).await?;
    let mut counts = AllCounts::new();
    for row in rows(&answer) {
        let whole = |name| Ok::<_, Error>(number(&answer, name, row)? as i32);
        let key = (whole("period")?, whole("stage")?, text(&answer, "stratum", row)?);
        let entry = counts.entry(key).or_default();
        let status = whole("status")? as usize;
        entry.by_status[status.min(3)] = count(&answer, "n", row)?;
        if status == 0 {
            entry.working = count(&answer, "working", row)?;
        }
    }
    Ok(counts)
}

/// The stages of the study's period, by the values of a column, or all together.
async fn stage_results(
    session: &SessionContext,
    file: &StageFile,
    stratum: Option<&str>,
) -> Result<BTreeMap<String, Vec<StageResult>>> {
    let stages = numbered(file);
    let counts = stage_counts(session, stratum).await?;
    let mut results = BTreeMap::<String, Vec<StageResult>>::new();
    for ((_, _, value), _) in counts.iter().filter(|((period, ..), _)| *period == 0) {
        results.entry(value.clone()).or_insert_with(|| stages.iter().cloned().map(unmeasured).collect());
    }
    for ((_, stage, value), counts) in counts.iter().filter(|((period, ..), _)| *period == 0) {
        if let Some(result) = result_of(&mut results, *stage, value) {
            [result.complete, result.open, result.missing, result.negative] = counts.by_status;
        }
    }
    let elapsed = distributions(session, &stages, stratum, "key", &counts);
    let working = async {
        match file.has_calendar() {
            true => distributions(session, &stages, stratum, "working_key", &counts).await,
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

/// A stage and a stratum, and the distribution of its times.
type Distributed = ((i32, String), Summary, SurvivalSummary);

/// The distributions of the study's times by one of their keys, by stage and stratum.
async fn distributions(
    session: &SessionContext,
    stages: &[Stage],
    stratum: Option<&str>,
    key: &str,
    counts: &AllCounts,
) -> Result<Vec<Distributed>> {
    let of = |stage: i32, value: &str| counts.get(&(0, stage, value.to_owned())).copied().unwrap_or_default();
    let mut passes = Vec::<((i32, String), (Distribution, Survival))>::new();
    each(session, &queries::sorted_times(stratum, key), |row| {
        let stage = row.key.stage;
        let goes_on = |last: &(i32, String)| last.0 == stage && (stratum.is_none() || last.1 == row.stratum);
        if !passes.last().is_some_and(|(last, _)| goes_on(last)) {
            let counts = of(stage, row.stratum);
            let complete = if key == "key" { counts.by_status[0] } else { counts.working };
            let target = stages.get(stage as usize).and_then(|stage| stage.target_hours);
            let pass = (
                Distribution::new(complete, target),
                Survival::new(counts.by_status[0] + counts.by_status[1]),
            );
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

fn unmeasured(stage: Stage) -> StageResult {
    StageResult {
        stage,
        complete: 0,
        open: 0,
        missing: 0,
        negative: 0,
        elapsed: Summary::default(),
        working: None,
        survival: SurvivalSummary::default(),
    }
}

async fn comparisons(session: &SessionContext, file: &StageFile) -> Result<Vec<StageComparison>> {
    let stages = numbered(file);
    let counts = stage_counts(session, None).await?;
    let of = |period: i32, stage: i32| {
        counts.get(&(period, stage, String::new())).map_or(0, |counts| counts.by_status[0])
    };
    let mut passes = BTreeMap::<i32, (Distribution, Distribution, RankTest)>::new();
    each(session, queries::SORTED_TIMES_OF_BOTH, |row| {
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

async fn stations(
    session: &SessionContext,
    scope: &Scope<'_>,
    file: &StageFile,
    sample: &Sample,
    seed: u64,
) -> Result<Vec<Station>> {
    if !scope.intervals {
        return Ok(Vec::new());
    }
    let lay_out = |hours: &OpeningHours| Calendar::new(hours, scope.first, scope.cut_off);
    let answer = query(session, &scope.stations()).await?;
    let mut stations = Vec::new();
    for row in rows(&answer) {
        let (event, office) = (text(&answer, "event", row)?, text(&answer, "office", row)?);
        let own = file.offices.get(&office).or(file.calendar.as_ref());
        let now = own.map(lay_out).transpose()?;
        let longer = own.map(|hours| lay_out(&hours.longer())).transpose()?;
        let hours = Hours { now: now.as_ref(), longer: longer.as_ref() };
        let work = query(session, &scope.work(&event, &office, MOST_WORK)).await?;
        let times = |name: &str| Ok::<_, Error>(cast(column(&work, name)?, &DataType::Int64)?);
        let (arrivals, begun, done) = (times("arrival")?, times("begun")?, times("done")?);
        let (arrivals, begun) = (arrivals.as_primitive::<Int64Type>(), begun.as_primitive::<Int64Type>());
        let done = done.as_primitive::<Int64Type>();
        let places = rows(&work).rev().map(|row| Ok(sample.place(&text(&work, "case_id", row)?)));
        let places = places.collect::<Result<Vec<_>>>()?;
        let work: Vec<Work> = rows(&work)
            .rev()
            .map(|row| Work { arrival: arrivals.value(row), begun: begun.value(row), done: done.value(row) })
            .collect();
        let all = count(&answer, "n", row)?;
        let check = Check::of(&text(&answer, "role", row)?);
        let carry = check.map(|check| {
            let places = &places;
            move |moves: &[Option<i64>], seed| sample.carried(check, places, moves, seed)
        });
        let carry = carry.as_ref().map(|carry| carry as Carry<'_>);
        let station = study_station(&event, &work, hours, carry, seed);
        stations.extend(station.map(|station| Station { office, all, ..station }));
    }
    Ok(stations)
}

impl Study {
    /// The headline's result.
    pub fn headline(&self) -> Option<&StageResult> {
        self.stages.get(headline(&self.stages))
    }

    /// The results of a part, where it was measured.
    pub fn part(&self, part: Part) -> Option<&StageResult> {
        self.stages.iter().find(|result| {
            result.stage.kind == StageKind::Part && result.stage.part == Some(part) && result.complete > 0
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, Schema};
    use datafusion::datasource::MemTable;

    use super::{super::operator::role_column, super::stages::DEFAULT, *};

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
            let message = v1::StagesOperator { stages: DEFAULT.to_owned(), only, ..Default::default() };
            let times = times(&session, message).await.expect("plans");
            let plan = session.state().optimize(times.logical_plan()).expect("optimises");
            let plan = plan.display_indent().to_string();
            let scan = plan.lines().find(|line| line.contains("TableScan: cases")).expect("a scan");
            assert!(scan.contains("office") && !scan.contains("variant"), "{plan}");
            assert_eq!(scan.contains("case_id"), reads_case, "{plan}");
        }
    }
}
