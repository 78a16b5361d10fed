//! The study as a job: parameters, cases, stages, process, measures, report.
//!
//! A case belongs to the period in which it begins, by the local clock of its first event; all of its events
//! up to the cut-off are read, whichever month they lie in. The cases are written to files of the job once,
//! because every later step reads them. Start at [`Parameters`]' `run`; each step is a function of this
//! module.

use chrono::{DateTime, FixedOffset, SecondsFormat};
use datafusion::prelude::{DataFrame, SessionContext};
use serde_json::{Value, json};
use tidewaiter_archive::{Archive, own_rows::OwnRows, provider::views, write_operator::stored};
use tidewaiter_core::{Error, Result, ResultExt, plan, query::Plan as _};
use tidewaiter_job::{Job, JobParameters, Outcome, async_trait, summary::grouped};
use tidewaiter_report::{data, format::ENGLISH, page::Footer};

use crate::{
    cases::{self, CasesOperator, EVENT_BYTES},
    messages,
    parameters::{Parameters, Request},
    predictions::PREDICTIONS,
    process::{self, Process},
    results::{self, Study},
    scope::Scope,
    stages::{self, StageResult, StageTimes},
    survey::Survey,
    table::RELEASES,
};

#[async_trait]
impl JobParameters for Parameters {
    const KIND: &'static str = "release-study";
    const ABOUT: &'static str =
        "Study how long goods take to be released, where the time goes, and who holds them";

    fn paths(&mut self) -> Vec<&mut String> {
        self.stages.iter_mut().collect()
    }

    /// Studies the release times of a country.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::NotFound`] when no events were ingested;
    /// [`tidewaiter_core::ErrorKind::Input`] for wrong parameters or a period without cases.
    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        let request = self.read()?;
        let survey = job.step("survey", survey(job, &request)).await?;
        let cases = job.step("cases", write_cases(job, &survey, &request)).await?;
        let stages = job.step("stages", measure_stages(job, &survey, &request, &cases)).await?;
        let process = job.step("process", discover_process(job, &survey, &request, &cases)).await?;
        let rest = measure(job, self, &survey, &request, &cases, stages, process);
        let study = job.step("measure", rest).await?;
        let reports = job.step("report", report(job, &study, &survey, &request)).await?;
        job.outcome.rows.read = survey.extent.events;
        if let Some(headline) = study.headline() {
            let figures = json!({
                "stage": headline.stage.name,
                "cases": study.cases,
                "open_cases": headline.open,
                "median_hours": headline.median(),
                "mean_hours": headline.elapsed.mean,
                "p90_hours": headline.p90(),
                "within_target": headline.within_target(),
            });
            job.outcome.metrics.insert("release".into(), figures);
        }
        job.outcome.reports.extend(reports.iter().map(|report| job.archive.display(report)));
        Ok(())
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let Some(release) = outcome.metrics.get("release").and_then(|release| release.as_object()) else {
            return Vec::new();
        };
        let stage = release.get("stage").and_then(|stage| stage.as_str()).unwrap_or_default();
        let count = |name: &str| release.get(name).and_then(Value::as_u64).unwrap_or_default();
        let hours = |name: &str| match release.get(name).and_then(Value::as_f64) {
            Some(hours) if hours < 1.0 => format!("{} minutes", ENGLISH.number(hours * 60.0)),
            Some(hours) => format!("{} hours", ENGLISH.number(hours)),
            None => "not over".to_owned(),
        };
        vec![
            format!(
                "{stage}, of {} cases, {} of them open:",
                grouped(count("cases")),
                grouped(count("open_cases"))
            ),
            format!(
                "median {} and 90th percentile {} (open cases count); mean of those that ended {}",
                hours("median_hours"),
                hours("p90_hours"),
                hours("mean_hours")
            ),
        ]
    }
}

fn survey<'a>(job: &Job<'a>, request: &'a Request) -> impl Future<Output = Result<Survey>> + use<'a> {
    let (archive, session) = (job.archive, job.session("survey"));
    async move { Survey::take(archive, &session?, request).await }
}

/// Writes the cases to files of the job.
fn write_cases<'a>(
    job: &Job<'a>,
    survey: &'a Survey,
    request: &'a Request,
) -> impl Future<Output = Result<OwnRows>> + use<'a> {
    let (archive, engine, session) = (job.archive, job.engine, job.session("cases"));
    let (folder, name) = (format!("{}/cases", job.work_folder()), job.outcome.job.clone());
    async move {
        let session = session?;
        survey.register(&session, archive).await?;
        // Half of a task's memory is for the events of a part; the other half for what is read and written.
        let tasks = engine.most_tasks().await.max(1) as u64;
        let bytes = survey.extent.events * EVENT_BYTES / tasks;
        let parts = bytes.div_ceil((engine.task_memory() as u64 / 2).max(1)).clamp(1, 1024);
        let query = cases_query(&session, &survey.scope(request), request, parts as u32).await?;
        let cases =
            OwnRows::write(query, archive, &folder, &name).await.context(|| "make cases of events")?;
        if cases.rows() == 0 {
            return Err(Error::input(format!(
                "no case of {} began in the period; its events lie between {} and {}",
                survey.country,
                rfc3339(survey.extent.first),
                rfc3339(survey.extent.last)
            )));
        }
        Ok(cases)
    }
}

/// Microseconds since 1970 UTC in RFC 3339.
fn rfc3339(microseconds: i64) -> String {
    let time = DateTime::from_timestamp_micros(microseconds).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The cut-off by the clock of the offices: that of the stage file's opening hours, else that of the events where all have
/// the same, else UTC.
fn office_time(survey: &Survey, request: &Request) -> String {
    if let Some(time) = request.file.calendar.as_ref().and_then(|hours| hours.local(survey.cut_off)) {
        return time;
    }
    let time = DateTime::from_timestamp_micros(survey.cut_off).unwrap_or_default();
    match survey.extent.utc_offset.and_then(|minutes| FixedOffset::east_opt(minutes * 60)) {
        Some(offset) => time.with_timezone(&offset).to_rfc3339_opts(SecondsFormat::Secs, true),
        None => rfc3339(survey.cut_off),
    }
}

/// What a step that measures needs of its job.
struct StepInput<'a> {
    archive: &'a Archive,
    session: Result<SessionContext>,
    survey: &'a Survey,
    request: &'a Request,
    cases: &'a OwnRows,
}

impl<'a> StepInput<'a> {
    fn new(job: &Job<'a>, step: &str, survey: &'a Survey, request: &'a Request, cases: &'a OwnRows) -> Self {
        Self { archive: job.archive, session: job.session(step), survey, request, cases }
    }

    /// The session, with the events and the cases registered.
    async fn open(self, scope: &Scope<'_>) -> Result<SessionContext> {
        let session = self.session?;
        self.survey.register(&session, self.archive).await?;
        let cases = written_cases(&session, self.archive, scope, self.request, self.cases).await?;
        session.register_table("cases", cases.into_view())?;
        Ok(session)
    }
}

fn measure_stages<'a>(
    job: &Job<'a>,
    survey: &'a Survey,
    request: &'a Request,
    cases: &'a OwnRows,
) -> impl Future<Output = Result<Vec<StageResult>>> + use<'a> {
    let input = StepInput::new(job, "stages", survey, request, cases);
    async move {
        let scope = survey.scope(request);
        stages::measure(&input.open(&scope).await?, stage_times(&scope, request)).await
    }
}

fn discover_process<'a>(
    job: &Job<'a>,
    survey: &'a Survey,
    request: &'a Request,
    cases: &'a OwnRows,
) -> impl Future<Output = Result<Process>> + use<'a> {
    let input = StepInput::new(job, "process", survey, request, cases);
    async move {
        let scope = survey.scope(request);
        process::discover(&input.open(&scope).await?, &scope, request.file.has_calendar()).await
    }
}

fn measure<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
    survey: &'a Survey,
    request: &'a Request,
    cases: &'a OwnRows,
    stages: Vec<StageResult>,
    process: Process,
) -> impl Future<Output = Result<Study>> + use<'a> {
    let input = StepInput::new(job, "measure", survey, request, cases);
    async move {
        let scope = survey.scope(request);
        let session = input.open(&scope).await?;
        let input = results::Input {
            times: stage_times(&scope, request),
            by: &request.by,
            seed: request.seed,
            predicted: survey.predictions.is_some(),
        };
        let study = results::measure(&session, input, stages, process).await?;
        let end =
            |end: &Option<String>, open: i64| end.clone().unwrap_or_else(|| rfc3339(open)[..10].to_owned());
        let (from, to) =
            (end(&parameters.from, survey.extent.first), end(&parameters.to, survey.extent.last));
        Ok(Study {
            period: format!("{from}..{to}"),
            compare: parameters.compare.clone(),
            cut_off: office_time(survey, request),
            ..study
        })
    }
}

fn stage_times<'a>(scope: &'a Scope<'a>, request: &'a Request) -> StageTimes<'a> {
    StageTimes { scope, text: &request.stages, file: &request.file }
}

/// A query of the cases, made from the session's events in so many parts for each task.
async fn cases_query(
    session: &SessionContext,
    scope: &Scope<'_>,
    request: &Request,
    parts: u32,
) -> Result<DataFrame> {
    let file = &request.file;
    let events = session.query(&cases::queries::events(scope)).await.context(|| "plan the events")?;
    let message = messages::CasesOperator {
        roles: file.roles.clone(),
        intervals: scope.intervals,
        parts,
        stages: if file.has_calendar() { request.stages.clone() } else { String::new() },
        first: scope.first,
        cut_off: scope.cut_off,
    };
    let traced = plan::apply(events, CasesOperator::new(message)?)?;
    session.register_table("traced", traced.into_view())?;
    session.query(&cases::queries::cases(scope, file)).await.context(|| "plan the cases")
}

/// A query of the cases that were written to files.
async fn written_cases(
    session: &SessionContext,
    archive: &Archive,
    scope: &Scope<'_>,
    request: &Request,
    cases: &OwnRows,
) -> Result<DataFrame> {
    let query = cases_query(session, scope, request, 1).await?;
    // Traces occur again and again and are read as views; a case's id occurs once and is copied.
    let schema = views(&stored(query.schema().as_arrow()), "case_id");
    cases.scan(session, archive, schema, false)
}

fn report<'a>(
    job: &Job<'a>,
    study: &'a Study,
    survey: &'a Survey,
    request: &'a Request,
) -> impl Future<Output = Result<Vec<String>>> + use<'a> {
    let (archive, id) = (job.archive, job.outcome.job.clone());
    async move {
        let footer = Footer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: Some(request.seed).filter(|_| !study.queues.is_empty() || !study.measures.is_empty()),
            snapshot: Some(match survey.predictions.filter(|_| study.uses_predictions()) {
                Some(predictions) => format!("{RELEASES}@{}, {PREDICTIONS}@{predictions}", survey.version),
                None => format!("{RELEASES}@{}", survey.version),
            }),
        };
        let name = format!("reports/release-study-{id}");
        let html = study.html(request.language, footer).into_bytes();
        archive.put(&format!("{name}.html"), html).await?;
        archive.put(&format!("{name}.json"), serde_json::to_vec_pretty(study)?).await?;
        for (file, bytes) in data::files(&study.tables()?)? {
            archive.put(&format!("{name}/{file}"), bytes).await?;
        }
        Ok(vec![format!("{name}.html"), format!("{name}.json"), name])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_says_of_how_many_cases_a_figure_is_and_whether_open_ones_count() {
        let release = json!({
            "stage": "Lodgement to release", "cases": 1161, "open_cases": 126, "median_hours": 0.16, "mean_hours": 75.97,
            "p90_hours": null,
        });
        let metrics = [("release".to_owned(), release)].into_iter().collect();
        let lines = Parameters::summary(&Outcome { metrics, ..Outcome::default() });
        assert_eq!(
            lines,
            [
                "Lodgement to release, of 1,161 cases, 126 of them open:",
                "median 9.6 minutes and 90th percentile not over (open cases count); mean of those that ended 75.97 hours",
            ]
        );
    }
}
