//! The document of a study: everything that it found.
//!
//! [`measure`] puts it together; it wants two tables registered in its session, `releases` (the events) and
//! `cases`, and with predictions a third, `predictions`. Anomalies are counted by rule, and their events are
//! never dropped. The page and the tables of the document are in `report`.

use datafusion::prelude::SessionContext;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{
    Error, Result,
    answers::{number, rows},
};

use crate::{
    calendar::HOUR,
    drivers::{self, Drivers},
    measures::{
        cases::{CaseMeasure, Population, Sample},
        queues::queues,
        simulation::Queue,
    },
    process::{Activity, Edge, Process, Resource, Sums, Variant, load, resources},
    query::{query, text_or_empty},
    scope::{ATTRIBUTES, Scope},
    stage_file::{Part, StageFile, StageKind},
    stages::{self, StageComparison, StageResult, StageTimes, TimeShare},
};

/// Everything that a study found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Study {
    /// The reporting country.
    pub country: String,
    /// The study's period, as it was requested; empty: all of the archive.
    pub period: String,
    /// The period compared with.
    pub compare: Option<String>,
    /// The cut-off by the clock of the offices, RFC 3339.
    pub cut_off: String,
    /// Events of the period's cases.
    pub events: u64,
    /// Cases that began in the period.
    pub cases: u64,
    /// The number of variants of those cases.
    pub variants: u64,
    /// The anomalies of the data.
    pub anomalies: Vec<Anomaly>,
    /// The stages; the first is from the first event to the last.
    pub stages: Vec<StageResult>,
    /// How the time of the headline is divided over the steps, and last the time that no step holds.
    #[serde(default)]
    pub time_shares: Vec<TimeShare>,
    /// The stages by the values of the requested columns.
    pub strata: Vec<Stratum>,
    /// The stages of both periods.
    pub comparisons: Vec<StageComparison>,
    /// What drives long cases of the headline; none where no case is long, or all are.
    pub drivers: Option<Drivers>,
    /// The directly-follows relations, those with the longest total time first.
    pub edges: Vec<Edge>,
    /// The activities, the most frequent first.
    pub activities: Vec<Activity>,
    /// The most frequent variants.
    pub frequent_variants: Vec<Variant>,
    /// Agencies, offices and actors, those with the longest waiting before their events first.
    pub resources: Vec<Resource>,
    /// Events by weekday (the first is Monday) and hour of the local clock.
    pub hours: Vec<[u64; 24]>,
    /// Cases in the headline stage on average, by weekday (the first is Monday) and hour of the local clock.
    pub backlog: Vec<[f64; 24]>,
    /// The queues with the longest waiting, and the measures at them.
    pub queues: Vec<Queue>,
    /// The measures on single cases, those that save the most of the headline first.
    pub measures: Vec<CaseMeasure>,
    /// Whether the archive has the fraud model's predictions.
    pub predicted: bool,
    /// The longest cases of the headline, with their hours.
    pub longest: Vec<(String, f64)>,
}

/// A kind of anomaly in the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    /// Its name.
    pub name: String,
    /// How often it occurs.
    pub count: u64,
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

/// What [`measure`] reads.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The cases and the stage file.
    pub times: StageTimes<'a>,
    /// The columns by which cases are grouped.
    pub by: &'a [String],
    /// Seed of what is simulated.
    pub seed: u64,
    /// Whether the session has the fraud model's `predictions`.
    pub predicted: bool,
}

/// The query of the longest times of the headline stage.
const LONGEST: &str = "SELECT case_id, hours FROM headline WHERE period = 0 AND status = 0 \
     ORDER BY hours DESC, case_id LIMIT 20";

/// Measures what remains when the stages and the process are known, and puts the document together, but for
/// the texts of the period, the period compared with, and the cut-off.
///
/// # Errors
/// Those of the queries; [`tidewaiter_core::ErrorKind::Input`] when no case began in the period compared with.
pub async fn measure(
    session: &SessionContext,
    input: Input<'_>,
    stages: Vec<StageResult>,
    process: Process,
) -> Result<Study> {
    let Input { times, by, seed, predicted } = input;
    let (scope, file) = (times.scope, times.file);
    times.register(session, by.to_vec()).await?;
    let anomalies = anomalies(&stages, &process.sums);
    let comparisons = match scope.compare {
        Some(_) => stages::compare(session, times).await?,
        None => Vec::new(),
    };
    if scope.compare.is_some() && comparisons.is_empty() {
        return Err(Error::input(
            "no case began in the period compared with; give --compare one that has cases",
        ));
    }
    let mut strata = Vec::new();
    for column in by {
        for (value, stages) in stages::measure_by(session, times, Some(column)).await? {
            strata.push(Stratum { column: column.clone(), value, stages });
        }
    }
    let headline = stages::headline(&stages);
    let attributes = ATTRIBUTES.iter().copied().chain(["utc_offset"]).map(str::to_owned).collect();
    times.register_headline(session, headline as i32, attributes).await?;
    let threshold = stages.get(headline).map_or(0.0, |result| result.elapsed.p90());
    let drivers = drivers::find(session, &ATTRIBUTES, threshold, scope.cut_off).await?;
    let sample = match stages.get(headline) {
        Some(result) => sample(session, file, result, (scope, predicted)).await?,
        None => Sample::default(),
    };
    let time_shares = times.shares(session, headline as i32).await?;
    let longest = query(session, LONGEST).await?;
    let longest = rows(&longest)
        .map(|row| Ok((text_or_empty(&longest, "case_id", row)?, number(&longest, "hours", row)?)));
    Ok(Study {
        country: scope.country.to_owned(),
        events: process.sums.events,
        cases: process.sums.cases,
        variants: process.sums.variants,
        anomalies,
        comparisons,
        stages,
        time_shares,
        strata,
        drivers,
        edges: process.edges,
        activities: process.activities,
        frequent_variants: process.variants,
        resources: resources::resources(session, scope).await?,
        hours: load::events_by_hour(session, scope).await?,
        backlog: load::backlog(session).await?,
        queues: queues(session, scope, file, &sample, seed).await?,
        measures: sample.measures(seed),
        predicted,
        longest: longest.collect::<Result<_>>()?,
        ..Study::default()
    })
}

/// The cases on which measures are tried: those that began so long before the cut-off as nearly all cases take, or in
/// the first half of the study's time where that is earlier; all cases where none began so early.
async fn sample(
    session: &SessionContext,
    file: &StageFile,
    headline: &StageResult,
    (scope, predicted): (&Scope<'_>, bool),
) -> Result<Sample> {
    let longest = headline.survival.quantiles.iter().flatten().last().copied().unwrap_or_default();
    let half = (scope.cut_off - scope.first) / 2;
    let begun_by = scope.cut_off - ((longest * HOUR) as i64).min(half);
    let population = Population { country: scope.country, predicted, begun_by };
    let found = Sample::read(session, file, &headline.stage, population).await?;
    if !found.is_empty() {
        return Ok(found);
    }
    Sample::read(session, file, &headline.stage, Population { begun_by: i64::MAX, ..population }).await
}

/// The anomalies of the stages and of the cases, in the order of the report.
pub(crate) fn anomalies(stages: &[StageResult], sums: &Sums) -> Vec<Anomaly> {
    let total = |of: fn(&StageResult) -> u64| stages.iter().skip(1).map(of).sum::<u64>();
    let anomalies = [
        ("unknown_event_names", sums.without_role),
        ("missing_events", total(|stage| stage.missing)),
        ("negative_times", total(|stage| stage.negative) + sums.negative),
        // Of a stage that no case ended the end is not in the data.
        ("unfinished_stages", total(|stage| if stage.complete > 0 { stage.open } else { 0 })),
        ("unfinished_work", sums.unfinished),
        ("duplicate_events", sums.duplicates),
        ("out_of_order_in_the_file", sums.out_of_order),
        ("cases_with_mixed_offsets", sums.mixed),
        ("cases_with_repeated_events", sums.rework),
    ];
    anomalies.map(|(name, count)| Anomaly { name: name.to_owned(), count }).to_vec()
}

impl Study {
    /// The result of the headline: the stage that the study is about ([`stages::headline`]).
    pub fn headline(&self) -> Option<&StageResult> {
        self.stages.get(stages::headline(&self.stages))
    }

    /// Whether a figure rests on the fraud model's predictions.
    pub fn uses_predictions(&self) -> bool {
        self.measures.iter().any(|measure| measure.loss.is_some())
    }

    /// The result of a part, where it was measured.
    pub fn part(&self, part: Part) -> Option<&StageResult> {
        self.stages.iter().find(|result| {
            result.stage.kind == StageKind::Part && result.stage.part == Some(part) && result.complete > 0
        })
    }
}
