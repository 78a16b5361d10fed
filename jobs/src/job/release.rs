//! The Time Release Study as a job: events to cases, cases to times, times to one page and its tables.
//!
//! A case belongs to the period in which it begins, by the local clock of its first event; all of its events up to
//! the cut-off are read, whichever month they lie in. The cases are written to files of the job once, because
//! every query on stages reads them.

use chrono::{DateTime, NaiveDate, SecondsFormat};
use datafusion::prelude::{DataFrame, SessionContext};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidewaiter_proto::v1;

use super::{Job, Period};
use crate::{
    Archive, Error, ErrorKind, Result, ResultExt,
    archive::{
        DataFile, Table,
        provider::{snapshot_provider, snapshot_views, views},
        schema::RELEASES,
        write_operator::{WriteOperator, stored},
    },
    fraud::apply::PREDICTIONS,
    plan::{self, tasks},
    release::{
        Language, Study,
        cases::{CasesOperator, EVENT_BYTES},
        process::{self, Process},
        queries::{BEGINNINGS, CASE_STRATA, GUIDE_STRATA, LocalPeriod, STRATA, Scope},
        stages::{self, StageFile},
        study::{self, Extent, StageResult},
    },
    report::{
        data::{as_csv, as_parquet},
        page::Footer,
    },
};

/// What a study is told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The reporting country, ISO 3166-1 alpha-2; absent: the only one of the archive's events.
    pub country: Option<String>,
    /// The first month or day in which cases begin, `2024-01` or `2024-01-15`; absent: the first event.
    pub from: Option<String>,
    /// The last month or day, included; absent: the last event.
    pub to: Option<String>,
    /// Columns by whose values cases are told apart, of [`STRATA`] and [`CASE_STRATA`]; `guide`: [`GUIDE_STRATA`].
    pub by: Vec<String>,
    /// A period to compare with, `2023-01..2023-12`.
    pub compare: Option<String>,
    /// The last day of which events are taken; absent: that of the last event.
    pub cut_off: Option<String>,
    /// The stage file; absent: [`stages::DEFAULT`].
    pub stages: Option<String>,
    /// Seed of what is simulated.
    pub seed: u64,
    /// The report's language, `en` or `fr`; empty: `en`.
    pub language: String,
}

/// What is read of the parameters before any data is.
#[derive(Debug, Clone)]
struct Asked {
    stages: String,
    file: StageFile,
    by: Vec<String>,
    period: Option<LocalPeriod>,
    compare: Option<LocalPeriod>,
    cut_off: Option<i64>,
    seed: u64,
    language: Language,
}

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

impl Parameters {
    fn read(&self) -> Result<Asked> {
        let (text, file) = match &self.stages {
            Some(path) => StageFile::open(path)?,
            None => (stages::DEFAULT.to_owned(), StageFile::parse(stages::DEFAULT)?),
        };
        let mut by: Vec<String> = Vec::new();
        for column in &self.by {
            let columns: &[&str] = match column.as_str() {
                "guide" => &GUIDE_STRATA,
                other => &[other],
            };
            for column in columns {
                if !STRATA.contains(column) && !CASE_STRATA.contains(column) {
                    let known = [&STRATA[..], &CASE_STRATA].concat().join(", ");
                    return Err(Error::input(format!(
                        "cases are not told apart by {column:?}, but by any of {known}, or by guide for those of the guide"
                    )));
                }
                if !by.iter().any(|other| other == column) {
                    by.push((*column).to_owned());
                }
            }
        }
        let ends = (self.from.as_deref(), self.to.as_deref());
        let period = match ends {
            (None, None) => None,
            (from, to) => Some((from.map_or(Ok(i64::MIN), first_of)?, to.map_or(Ok(i64::MAX), after)?)),
        };
        let compare = self.compare.as_deref().map(|text| {
            let (from, to) = text.split_once("..").unwrap_or((text, text));
            Ok::<_, Error>((first_of(from)?, after(to)?))
        });
        let compare = compare.transpose()?;
        for (from, to) in period.iter().chain(&compare) {
            if from >= to {
                return Err(Error::input("a period ends before it begins"));
            }
        }
        if let (period, Some(compare)) = (period.unwrap_or((i64::MIN, i64::MAX)), compare)
            && period.0 < compare.1
            && compare.0 < period.1
        {
            return Err(Error::input(
                "the period compared with overlaps the study's; give --from and --to apart from it",
            ));
        }
        let cut_off = self.cut_off.as_deref().map(after).transpose()?;
        Ok(Asked {
            stages: text,
            file,
            by,
            period,
            compare,
            cut_off,
            seed: self.seed,
            language: self.language.parse()?,
        })
    }
}

/// The first day of a month or a day, and the day after it.
fn days(text: &str) -> Result<(i64, i64)> {
    let day = |date: NaiveDate| date.signed_duration_since(NaiveDate::default()).num_days();
    if let Ok(date) = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d") {
        return Ok((day(date), day(date) + 1));
    }
    let month: Period = text.parse().map_err(|_| {
        Error::input(format!("{text:?} is neither a month such as 2024-01 nor a day such as 2024-01-15"))
    })?;
    Ok((day(month.first()), day(month.last()) + 1))
}

fn first_of(text: &str) -> Result<i64> {
    Ok(days(text)?.0 * DAY)
}

fn after(text: &str) -> Result<i64> {
    Ok(days(text)?.1 * DAY)
}

/// What the study reads.
#[derive(Debug, Serialize, Deserialize)]
struct Ground {
    country: String,
    version: u64,
    /// The version of the fraud model's predictions, where there are any.
    predictions: Option<u64>,
    extent: Extent,
    /// The last moment known.
    cut_off: i64,
    /// The columns of [`STRATA`] and [`BEGINNINGS`] in which no event has a value.
    absent: Vec<String>,
}

impl Ground {
    fn scope<'a>(&'a self, asked: &Asked) -> Scope<'a> {
        Scope {
            country: &self.country,
            first: self.extent.first,
            cut_off: self.cut_off,
            cuts: self.cut_off < self.extent.last,
            paired: self.extent.starts > 0,
            intervals: self.extent.starts + self.extent.intervals > 0,
            absent: &self.absent,
            period: asked.period,
            compare: asked.compare,
        }
    }

    /// The events, in a session.
    async fn register(&self, session: &SessionContext, archive: &Archive) -> Result<()> {
        // Names are few and come often, and are not copied; a case's name is its own.
        let releases = snapshot_views(archive, RELEASES, Some(self.version), "case_id").await?;
        session.register_table(RELEASES, releases)?;
        if let Some(version) = self.predictions {
            let predictions = snapshot_provider(archive, PREDICTIONS, Some(version)).await?;
            session.register_table("predictions", predictions)?;
        }
        Ok(())
    }
}

/// Studies the release times of a country.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`] when no events were ingested; [`crate::ErrorKind::Input`] for parameters that are
/// wrong or a period without cases.
pub async fn study_releases(job: &mut Job<'_>, parameters: &Parameters) -> Result<()> {
    let asked = parameters.read()?;
    let ground = job.step("survey", survey(job, parameters, &asked)).await?;
    let files = job.step("cases", cases(job, &ground, &asked)).await?;
    let stages = job.step("stages", stages(job, &ground, &asked, &files)).await?;
    let process = job.step("process", process(job, &ground, &asked, &files)).await?;
    let rest = measure(job, parameters, &ground, &asked, &files, stages, process);
    let study = job.step("measure", rest).await?;
    let reports = job.step("report", report(job, &study, &ground, &asked)).await?;
    job.outcome.rows.read = ground.extent.events;
    if let Some(headline) = study.headline() {
        let figures = json!({
            "stage": headline.stage.name,
            "cases": study.cases,
            "median_hours": headline.elapsed.median(),
            "mean_hours": headline.elapsed.mean,
            "p90_hours": headline.elapsed.p90(),
            "within_target": headline.elapsed.within_target,
        });
        job.outcome.metrics.insert("release".into(), figures);
    }
    job.outcome.reports.extend(reports.iter().map(|report| job.archive.display(report)));
    Ok(())
}

fn survey<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
    asked: &'a Asked,
) -> impl Future<Output = Result<Ground>> + use<'a> {
    let (archive, session) = (job.archive, job.session("survey"));
    async move {
        let session = session?;
        let snapshot = Table::open(archive, RELEASES).await?.snapshot(None).await?;
        let mut countries: Vec<_> = snapshot.files.iter().map(|file| file.country.clone()).collect();
        countries.sort();
        countries.dedup();
        let country = match (&parameters.country, countries.as_slice()) {
            (Some(country), _) => country.clone(),
            (None, [only]) => only.clone(),
            (None, []) => return Err(Error::input("the archive has no release events")),
            (None, several) => {
                let several = several.join(", ");
                return Err(Error::input(format!(
                    "say which country with --country: there are events of {several}"
                )));
            }
        };
        let releases = snapshot_provider(archive, RELEASES, Some(snapshot.version)).await?;
        session.register_table(RELEASES, releases)?;
        let absent = absent(&snapshot.files);
        let extent = study::survey(&session, &country, &absent).await?;
        let cut_off = asked.cut_off.map_or(extent.last, |after| extent.last.min(after - 1));
        let predictions = match Table::open(archive, PREDICTIONS).await {
            Ok(table) => Some(table.version().await?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Ground { country, version: snapshot.version, predictions, extent, cut_off, absent })
    }
}

/// The columns of [`STRATA`] and [`BEGINNINGS`] that are null in every row of some files, as far as their statistics say.
fn absent(files: &[DataFile]) -> Vec<String> {
    let is_null = |file: &DataFile, column: &str| {
        let statistics: Option<Value> = serde_json::from_str(file.statistics.as_deref()?).ok();
        statistics?["nullCount"][column].as_u64().map(|nulls| nulls == file.rows)
    };
    let null_everywhere = |column: &&str| files.iter().all(|file| is_null(file, column).unwrap_or(false));
    STRATA.into_iter().chain(BEGINNINGS).filter(null_everywhere).map(str::to_owned).collect()
}

/// Writes the cases to files of the job.
fn cases<'a>(
    job: &Job<'a>,
    ground: &'a Ground,
    asked: &'a Asked,
) -> impl Future<Output = Result<Vec<DataFile>>> + use<'a> {
    let (archive, engine, session) = (job.archive, job.engine, job.session("cases"));
    let (folder, name) = (case_folder(job), job.outcome.job.clone());
    async move {
        let session = session?;
        ground.register(&session, archive).await?;
        // Half of a task's memory is for the events of a part; the other half for what is read and written.
        let tasks = engine.most_tasks().await.max(1) as u64;
        let bytes = ground.extent.events * EVENT_BYTES / tasks;
        let parts = bytes.div_ceil((engine.task_memory() as u64 / 2).max(1)).clamp(1, 1024);
        let query =
            cases_query(&session, &ground.scope(asked), (&asked.stages, &asked.file), parts as u32).await?;
        let message = v1::WriteOperator {
            archive: archive.url().to_string(),
            table: folder,
            country: ground.country.clone(),
            date_column: String::new(),
            name,
            memory_bytes: 0,
        };
        let query = plan::above(query, WriteOperator::new(message)?)?;
        let files = plan::reports::<Vec<DataFile>>(query).await.context(|| "make cases of events")?.concat();
        if files.is_empty() {
            return Err(Error::input(format!(
                "no case of {} began in the period; its events lie between {} and {}",
                ground.country,
                moment(ground.extent.first),
                moment(ground.extent.last)
            )));
        }
        Ok(files)
    }
}

fn case_folder(job: &Job<'_>) -> String {
    format!("{}/cases", job.work_folder())
}

fn moment(microseconds: i64) -> String {
    let moment = DateTime::from_timestamp_micros(microseconds).unwrap_or_default();
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The archive, the engine's session and the folder of the cases, for a step that measures.
struct Desk<'a> {
    archive: &'a Archive,
    session: Result<SessionContext>,
    folder: String,
    ground: &'a Ground,
    asked: &'a Asked,
    files: &'a [DataFile],
}

impl<'a> Desk<'a> {
    fn new(job: &Job<'a>, step: &str, ground: &'a Ground, asked: &'a Asked, files: &'a [DataFile]) -> Self {
        Self {
            archive: job.archive,
            session: job.session(step),
            folder: case_folder(job),
            ground,
            asked,
            files,
        }
    }

    /// The session, with the events and the cases.
    async fn open(self, scope: &Scope<'_>) -> Result<SessionContext> {
        let session = self.session?;
        self.ground.register(&session, self.archive).await?;
        let cases = cases_of(
            &session,
            self.archive,
            scope,
            (&self.asked.stages, &self.asked.file),
            &self.folder,
            self.files,
        )
        .await?;
        session.register_table("cases", cases.into_view())?;
        Ok(session)
    }
}

impl Asked {
    fn study<'a>(&'a self, scope: &'a Scope<'a>, ground: &Ground) -> study::Asked<'a> {
        let predicted = ground.predictions.is_some();
        study::Asked { scope, text: &self.stages, file: &self.file, by: &self.by, seed: self.seed, predicted }
    }
}

fn stages<'a>(
    job: &Job<'a>,
    ground: &'a Ground,
    asked: &'a Asked,
    files: &'a [DataFile],
) -> impl Future<Output = Result<Vec<StageResult>>> + use<'a> {
    let desk = Desk::new(job, "stages", ground, asked, files);
    async move {
        let scope = ground.scope(asked);
        study::stages(&desk.open(&scope).await?, asked.study(&scope, ground)).await
    }
}

fn process<'a>(
    job: &Job<'a>,
    ground: &'a Ground,
    asked: &'a Asked,
    files: &'a [DataFile],
) -> impl Future<Output = Result<Process>> + use<'a> {
    let desk = Desk::new(job, "process", ground, asked, files);
    async move {
        let scope = ground.scope(asked);
        process::process(&desk.open(&scope).await?, &scope, asked.file.has_calendar()).await
    }
}

fn measure<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
    ground: &'a Ground,
    asked: &'a Asked,
    files: &'a [DataFile],
    stages: Vec<StageResult>,
    process: Process,
) -> impl Future<Output = Result<Study>> + use<'a> {
    let desk = Desk::new(job, "measure", ground, asked, files);
    async move {
        let scope = ground.scope(asked);
        let session = desk.open(&scope).await?;
        let study = study::measure(&session, asked.study(&scope, ground), stages, process).await?;
        let end =
            |end: &Option<String>, open: i64| end.clone().unwrap_or_else(|| moment(open)[..10].to_owned());
        let (from, to) =
            (end(&parameters.from, ground.extent.first), end(&parameters.to, ground.extent.last));
        Ok(Study {
            period: format!("{from}..{to}"),
            compare: parameters.compare.clone(),
            cut_off: moment(ground.cut_off),
            ..study
        })
    }
}

/// A query of the cases, made of the session's events in so many parts a task.
async fn cases_query(
    session: &SessionContext,
    scope: &Scope<'_>,
    (stages, file): (&str, &StageFile),
    parts: u32,
) -> Result<DataFrame> {
    let events = session.sql(&scope.told_events()).await.context(|| "plan the events")?;
    let message = v1::CasesOperator {
        roles: file.roles.clone(),
        intervals: scope.intervals,
        parts,
        stages: if file.has_calendar() { stages.to_owned() } else { String::new() },
        first: scope.first,
        cut_off: scope.cut_off,
    };
    let traced = plan::above(events, CasesOperator::new(message)?)?;
    session.register_table("traced", traced.into_view())?;
    session.sql(&scope.cases(file)).await.context(|| "plan the cases")
}

/// A query of the cases that were written.
async fn cases_of(
    session: &SessionContext,
    archive: &Archive,
    scope: &Scope<'_>,
    stages: (&str, &StageFile),
    folder: &str,
    files: &[DataFile],
) -> Result<DataFrame> {
    let query = cases_query(session, scope, stages, 1).await?;
    // The ways of cases come again and again, and are not copied; a case's name is its own.
    let schema = views(&stored(query.schema().as_arrow()), "case_id");
    let files = files.iter();
    let files =
        files.map(|file| v1::ParquetFile { path: format!("{folder}/{}", file.path), size: file.size });
    tasks::scan(session, archive, files.collect(), schema, false)
}

fn report<'a>(
    job: &Job<'a>,
    study: &'a Study,
    ground: &'a Ground,
    asked: &'a Asked,
) -> impl Future<Output = Result<Vec<String>>> + use<'a> {
    let (archive, id) = (job.archive, job.outcome.job.clone());
    async move {
        let footer = Footer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: Some(asked.seed).filter(|_| !study.stations.is_empty() || !study.measures.is_empty()),
            snapshot: Some(match ground.predictions {
                Some(predictions) => format!("{RELEASES}@{}, {PREDICTIONS}@{predictions}", ground.version),
                None => format!("{RELEASES}@{}", ground.version),
            }),
        };
        let name = format!("reports/release-study-{id}");
        let html = study.html(asked.language, footer).into_bytes();
        archive.put(&format!("{name}.html"), html).await?;
        archive.put(&format!("{name}.json"), serde_json::to_vec_pretty(study)?).await?;
        for (table, rows) in study.tables()? {
            archive.put(&format!("{name}/{table}.csv"), as_csv(&rows)?).await?;
            archive.put(&format!("{name}/{table}.parquet"), as_parquet(&rows)?).await?;
        }
        Ok(vec![format!("{name}.html"), format!("{name}.json"), name])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_absent_where_every_file_says_so() {
        let file = |nulls: &str| DataFile {
            path: String::new(),
            size: 1,
            rows: 3,
            country: "UG".to_owned(),
            year: 2024,
            month: 1,
            statistics: (!nulls.is_empty()).then(|| format!("{{\"nullCount\":{nulls}}}")),
        };
        let both = "{\"actor\":3,\"goods\":3,\"office\":0}";
        assert_eq!(absent(&[file(both), file("{\"actor\":3,\"goods\":2}")]), ["actor"]);
        assert!(absent(&[file(both), file("")]).is_empty(), "a file that does not say may have values");
    }

    #[test]
    fn periods_are_months_or_days_with_both_ends() {
        let read = |from: &str, to: &str, compare: &str| {
            let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            Parameters { from: text(from), to: text(to), compare: text(compare), ..Parameters::default() }
                .read()
        };
        let asked = read("1970-01-02", "1970-02", "1969-12..1970-01-01").expect("is right");
        assert_eq!(asked.period, Some((DAY, 59 * DAY)));
        assert_eq!(asked.compare, Some((-31 * DAY, DAY)));
        assert_eq!(read("", "", "").expect("is right").period, None);
        for (from, to, compare, says) in [
            ("2024-02", "2024-01", "", "before it begins"),
            ("2024-02", "soon", "", "soon"),
            ("", "", "2023-01", "overlaps"),
            ("2024-01", "2024-06", "2024-06-30", "overlaps"),
        ] {
            let error = read(from, to, compare).expect_err(says);
            assert_eq!(error.kind(), crate::ErrorKind::Input);
            assert!(error.chain().contains(says), "{}", error.chain());
        }
        let by = Parameters { by: vec!["colour".to_owned()], ..Parameters::default() };
        assert!(by.read().expect_err("is no column").chain().contains("channel"));
        let language = Parameters { language: "tlh".to_owned(), ..Parameters::default() };
        assert!(language.read().expect_err("is not spoken").chain().contains("fr"));
    }
}
