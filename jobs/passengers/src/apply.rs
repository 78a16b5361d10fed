//! The job that applies the model of travellers, and rules and a watch list beside it, to the flights of some months.
//!
//! Each traveller on a flight gets a probability, a rank, the rules that hold and the entries of the watch list that match;
//! who is selected by the score gets reasons. The rows are one commit to the table [`PREDICTIONS`]; another apply adds rows of
//! its own (`job` tells them apart). The steps are in [`apply`].

use std::collections::BTreeMap;

use datafusion::prelude::{SessionContext, col, lit};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewaiter_archive::{
    Archive, Commit, DataFile, Table,
    provider::snapshot_provider,
    tasks,
    write_operator::{WriteOperator, stored},
};
use tidewaiter_core::{
    Error, Period, Result, ResultExt, answers, plan,
    query::{Plan as _, Run as _},
    threads::on_cpu,
};
use tidewaiter_job::{Job, JobParameters, Outcome, async_trait, summary::grouped};
use tidewaiter_proto::v1;
use tidewaiter_registry::{Registry, Which};
use tidewaiter_report::format::period;

use crate::{
    cases,
    features::query::{Extraction, extract, version},
    metrics,
    network::plans::bound_joins,
    own_files::OwnFiles,
    parameters::{ApplyParameters, MODEL, RetrainParameters},
    profiles::rules::Rules,
    report::{SelectionFacts, selection_report},
    scored::{Scored, day},
    table::{FLIGHT_DATE, IDENTITIES, TRAVELLERS},
    view,
    watch::{Person, WatchList, document_numbers},
};

/// The table of scored travellers: `trip_id`, `person_id`, `booking_id`, `flight_id`, `flight_date`, `from_airport`,
/// `to_airport` and `carrier` of the trip; `probability`, `rank` (1 the highest) and `reasons` (JSON) by the model; `rules`
/// that hold, `watch` (entries that match, with scores), `selected`; `in_sample`: of months that the model learned from;
/// `model` and `job`.
pub const PREDICTIONS: &str = "predictions/passengers";

#[async_trait]
impl JobParameters for ApplyParameters {
    const KIND: &'static str = "apply";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("model", "passengers"));
    const ABOUT: &'static str = "The model of travellers: probability, rank and reasons of those on the flights of some months; rules and a watch list";

    fn paths(&mut self) -> Vec<&mut String> {
        self.profiles.iter_mut().chain(&mut self.watch_list).collect()
    }

    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        apply(job, self).await
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let Some(selection) = outcome.metrics.get("selection") else { return Vec::new() };
        let number = |name: &str| grouped(selection[name].as_u64().unwrap_or_default());
        let mut lines = vec![format!(
            "{} of {} travellers selected by their score, from {:.3}",
            number("selected"),
            number("trips"),
            selection["threshold"].as_f64().unwrap_or_default()
        )];
        for rule in selection["rules"].as_array().into_iter().flatten() {
            let name = rule[0].as_str().unwrap_or_default();
            lines.push(format!("{}: {} travellers", name, grouped(rule[1].as_u64().unwrap_or_default())));
        }
        if let Some(matches) = selection["watched"].as_u64() {
            lines.push(format!("{} matches of the watch list", grouped(matches)));
        }
        lines
    }
}

/// Scores the travellers of some months.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::NotFound`] for a model that does not exist, [`tidewaiter_core::ErrorKind::Input`] for months
/// without travellers, and for files of rules and watch lists that cannot be read.
async fn apply(job: &mut Job<'_>, parameters: &ApplyParameters) -> Result<()> {
    let chosen = job.step("model", choose(job, parameters)).await?;
    let features = job.step("features", features(job, parameters, &chosen)).await?;
    if features.files.rows() == 0 {
        return Err(Error::input(format!(
            "the archive has no travellers into {} in {}; `tidewaiter archive tables` shows what there is",
            parameters.country, parameters.months
        )));
    }
    job.outcome.rows.read = features.files.rows();
    let watched = job.step("watch list", watched(job, parameters)).await?;
    let predictions = job.step("score", score(job, parameters, &chosen, (&features, &watched))).await?;
    let table = job.step("commit", commit(job, &predictions.files)).await?;
    let reporting = report(job, parameters, &chosen, (&features, &watched), &predictions);
    let reported = job.step("report", reporting).await?;
    job.outcome.model = Some(chosen.name.clone());
    let mut selection = json!({
        "trips": features.files.rows(),
        "selected": predictions.selected,
        "threshold": predictions.threshold,
        "in_sample": reported.in_sample,
        "rules": reported.rules,
    });
    if let Some(watched) = &watched {
        selection["watched"] = json!(watched.len());
    }
    job.outcome.metrics.insert("selection".into(), selection);
    job.outcome.tables.push(table);
    job.outcome.reports.push(job.archive.display(&reported.path));
    Ok(())
}

/// The model to apply, and the rules.
#[derive(Debug, Serialize, Deserialize)]
struct Chosen {
    /// Name and version.
    name: String,
    /// Path of its bytes in the archive.
    path: String,
    /// Whether it reads neighbours.
    neighbours: bool,
    /// The months that it learned from, validation included.
    learned: Period,
    rules: Option<Rules>,
}

fn choose<'a>(
    job: &Job<'a>,
    parameters: &'a ApplyParameters,
) -> impl Future<Output = Result<Chosen>> + use<'a> {
    let (registry, roots) = (Registry::new(job.archive), job.roots.clone());
    async move {
        let name = parameters.check()?.model(MODEL);
        let which = parameters.version.map_or(Which::Champion, Which::Version);
        // Loading checks the model's bytes.
        let manifest = registry.load(&name, which).await?.manifest;
        let path = registry.model_path(&name, manifest.version);
        let name = format!("{name}@{}", manifest.version);
        let trained: RetrainParameters = serde_json::from_value(manifest.facts.config)
            .context(|| format!("read how {name} was trained; retrain, then apply the new version"))?;
        let periods = trained.check()?;
        let month = |day: chrono::NaiveDate| day.format("%Y-%m").to_string();
        let learned = format!("{}..{}", month(periods.train.first()), month(periods.valid.last())).parse()?;
        let rules = match &parameters.profiles {
            None => None,
            Some(file) => {
                let text = read_file(&roots.resolve(file)?)?;
                Some(Rules::read(&text).context(|| format!("read the rules in {file}"))?)
            }
        };
        let neighbours = trained.learner.has_neighbours();
        Ok(Chosen { name, path, neighbours, learned, rules })
    }
}

fn read_file(path: &str) -> Result<String> {
    std::fs::read_to_string(path).context(|| format!("read {path}"))
}

#[derive(Debug, Serialize, Deserialize)]
struct Features {
    version: u64,
    files: OwnFiles,
}

fn features<'a>(
    job: &Job<'a>,
    parameters: &'a ApplyParameters,
    chosen: &'a Chosen,
) -> impl Future<Output = Result<Features>> + use<'a> {
    let (archive, session, folder) = (job.archive, job.session("features"), job.work_folder().to_owned());
    let days = parameters.months.days();
    async move {
        let version = version(archive).await?;
        let extraction = Extraction {
            countries: std::slice::from_ref(&parameters.country),
            days: (*days.start(), *days.end()),
            folder: &folder,
            name: "features",
            neighbours: chosen.neighbours,
        };
        Ok(Features { version, files: extract(&session?, archive, &extraction).await? })
    }
}

/// A match of the watch list.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Watched {
    trip: String,
    person: String,
    date: String,
    entry: String,
    what: String,
    score: f64,
}

/// The matches of the watch list; `None` without one.
fn watched<'a>(
    job: &Job<'a>,
    parameters: &'a ApplyParameters,
) -> impl Future<Output = Result<Option<Vec<Watched>>>> + use<'a> {
    let (archive, session, roots) = (job.archive, job.session("watch list"), job.roots.clone());
    async move {
        let Some(file) = &parameters.watch_list else { return Ok(None) };
        let text = read_file(&roots.resolve(file)?)?;
        let list = WatchList::read(&text).context(|| format!("read the watch list {file}"))?;
        let travellers = travellers(&session?, archive, parameters).await?;
        let mut found = Vec::new();
        for ((trip, person, date), own) in travellers {
            for matched in list.matches(&own, parameters.watch_score) {
                found.push(Watched {
                    trip: trip.clone(),
                    person: person.clone(),
                    date: date.clone(),
                    entry: list.entries[matched.entry].name.clone(),
                    what: matched.what.to_owned(),
                    score: (matched.score * 1e3).round() / 1e3,
                });
            }
        }
        found.sort_by(|one, other| other.score.total_cmp(&one.score).then_with(|| one.trip.cmp(&other.trip)));
        Ok(Some(found))
    }
}

/// Trip, person and day.
type Trip = (String, String, String);

/// The travellers of the months with their names and documents, as far as these are not blanked.
async fn travellers(
    session: &SessionContext,
    archive: &Archive,
    parameters: &ApplyParameters,
) -> Result<BTreeMap<Trip, Person>> {
    let days = parameters.months.days();
    bound_joins(session)?;
    let trips = view::trips(session, archive).await?;
    let trips = trips.filter(col("country").eq(lit(&parameters.country)))?;
    let trips = trips.filter(col(FLIGHT_DATE).between(day(*days.start()), day(*days.end())))?;
    session.register_table("trips", trips.into_view())?;
    session.register_table("identities", view::table(session, archive, &IDENTITIES).await?.into_view())?;
    let rows = session
        .query(
            "SELECT t.trip_id AS trip, t.person_id AS person, t.flight_date AS date, i.kind AS kind, i.value AS value, \
             i.given AS given, i.birth AS birth FROM trips t JOIN identities i ON t.traveller_id = i.owner_id \
             WHERE i.kind IN ('name', 'document') AND i.value IS NOT NULL",
        )
        .await?;
    let mut found: BTreeMap<Trip, Person> = BTreeMap::new();
    let mut rows = rows.batch_stream().await?;
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(Error::from).context(|| "read the names of travellers")?;
        for row in answers::rows(&batch) {
            let text = |name: &str| Ok::<_, Error>(answers::text(&batch, name, row)?.unwrap_or_default());
            let own = found.entry((text("trip")?, text("person")?, text("date")?)).or_default();
            if text("kind")? == "document" {
                own.documents.extend(document_numbers(&text("value")?));
            } else {
                (own.surname, own.given) = (text("value")?, text("given")?);
                own.birth = text("birth")?.parse().ok().or(own.birth);
            }
        }
    }
    Ok(found)
}

/// Files of scored travellers that are not yet committed.
#[derive(Debug, Serialize, Deserialize)]
struct Predictions {
    files: Vec<DataFile>,
    /// Travellers within the capacity.
    selected: usize,
    /// The lowest probability among them.
    threshold: f64,
}

/// The rows of the table of predictions, of `scored` and `watched`.
fn predictions_query(selected: usize, learned: &Period, model: &str, job: &str) -> String {
    let (first, last) = (learned.first(), learned.last());
    format!(
        "SELECT trip_id, person_id, booking_id, flight_id, flight_date, from_airport, to_airport, carrier, probability, rank, \
         reasons, rules, watch, rank <= {selected} OR rules IS NOT NULL OR watch IS NOT NULL AS selected, \
         flight_date BETWEEN DATE '{first}' AND DATE '{last}' AS in_sample, '{model}' AS model, '{job}' AS job FROM \
         (SELECT s.*, w.watch AS watch, row_number() OVER (ORDER BY s.probability DESC, s.trip_id) AS rank FROM scored s \
         LEFT JOIN (SELECT split_part(task, '|', 1) AS trip, string_agg(split_part(task, '|', 2), '; ') AS watch FROM watched \
         GROUP BY split_part(task, '|', 1)) w ON s.trip_id = w.trip) ranked"
    )
}

fn score<'a>(
    job: &Job<'a>,
    parameters: &'a ApplyParameters,
    chosen: &'a Chosen,
    (features, watched): (&'a Features, &'a Option<Vec<Watched>>),
) -> impl Future<Output = Result<Predictions>> + use<'a> {
    let (archive, id, session) = (job.archive, job.outcome.job.clone(), job.session("score"));
    let folder = format!("{}/watched", job.work_folder());
    async move {
        let session = session?;
        bound_joins(&session)?;
        let scored = scored(&session, archive, parameters, chosen, features);
        let trips = usize::try_from(features.files.rows()).unwrap_or(usize::MAX);
        let selected = metrics::selected(trips, parameters.capacity_percent);
        let threshold = scored.threshold(selected).await?;
        let plain = |text: &str| text.replace('|', " ");
        let matches: Vec<String> = watched
            .iter()
            .flatten()
            .map(|own| format!("{}|{} ({}, {:.2})", own.trip, plain(&own.entry), own.what, own.score))
            .collect();
        let matches = tasks::spread(&session, archive, &folder, &matches, 1).await?;
        session.register_table("watched", matches.into_view())?;
        session.register_table("scored", scored.rows(Some(threshold))?.into_view())?;
        let rows = session.query(&predictions_query(selected, &chosen.learned, &chosen.name, &id)).await?;
        Table::open_or_create(archive, PREDICTIONS, &stored(rows.schema().as_arrow())).await?;
        let writer = WriteOperator::new(v1::WriteOperator {
            archive: archive.url().to_string(),
            table: PREDICTIONS.to_owned(),
            country: parameters.country.clone(),
            date_column: FLIGHT_DATE.to_owned(),
            sort_columns: vec!["trip_id".to_owned()],
            name: id,
            memory_bytes: 0,
        })?;
        let files = plan::reports::<Vec<DataFile>>(plan::apply(rows, writer)?).await?.concat();
        Ok(Predictions { files, selected, threshold })
    }
}

fn scored<'a>(
    session: &'a SessionContext,
    archive: &'a Archive,
    parameters: &ApplyParameters,
    chosen: &'a Chosen,
    features: &'a Features,
) -> Scored<'a> {
    Scored {
        session,
        archive,
        files: &features.files,
        model: &chosen.path,
        neighbours: chosen.neighbours,
        days: parameters.months.days(),
        rules: chosen.rules.as_ref(),
    }
}

fn commit<'a>(job: &Job<'a>, files: &'a [DataFile]) -> impl Future<Output = Result<String>> + use<'a> {
    let (archive, id) = (job.archive, job.outcome.job.clone());
    async move {
        let table = Table::open(archive, PREDICTIONS).await?;
        let version = match table.commit(files, &[id], "apply").await? {
            Commit::Version(version) => version,
            Commit::AlreadyThere => table.version().await?,
        };
        Ok(format!("{PREDICTIONS}@{version}"))
    }
}

/// A report that is written.
#[derive(Debug, Serialize, Deserialize)]
struct Reported {
    path: String,
    in_sample: u64,
    /// Rules and of how many they hold.
    rules: Vec<(String, u64)>,
}

fn report<'a>(
    job: &Job<'a>,
    parameters: &'a ApplyParameters,
    chosen: &'a Chosen,
    (features, watched): (&'a Features, &'a Option<Vec<Watched>>),
    predictions: &'a Predictions,
) -> impl Future<Output = Result<Reported>> + use<'a> {
    let (archive, id, session) = (job.archive, job.outcome.job.clone(), job.session("report"));
    let (pictures, folder) = (job.session("report"), job.work_folder().to_owned());
    async move {
        let session = session?;
        let scored = scored(&session, archive, parameters, chosen, features);
        let countries = std::slice::from_ref(&parameters.country);
        let top = scored.top(cases::LISTED).await?;
        let cases = cases::with_networks(&pictures?, archive, countries, &folder, top).await?;
        let trips = scored.trips().await?;
        let learned = chosen.learned.days();
        let in_sample = trips.iter().filter(|trip| learned.contains(&trip.day)).count() as u64;
        let rules = fulfilled(&session, archive, chosen, &id).await?;
        let path = format!("reports/selection-passengers-{id}.html");
        let watched = watched.iter().flatten().map(|own| {
            (own.entry.clone(), own.person.clone(), own.date.clone(), own.what.clone(), own.score)
        });
        let facts = SelectionFacts {
            country: parameters.country.clone(),
            months: period(&parameters.months.to_string()),
            model: chosen.name.clone(),
            snapshot: format!("{}@{}", TRAVELLERS.table, features.version),
            capacity_percent: parameters.capacity_percent,
            threshold: predictions.threshold,
            trips: features.files.rows(),
            selected: predictions.selected as u64,
            in_sample,
            rules: rules.clone(),
            watched: watched.collect(),
            scored: trips,
            cases,
        };
        let page = on_cpu(move || Ok(selection_report(&facts).render())).await?;
        archive.put(&path, page).await?;
        Ok(Reported { path, in_sample, rules })
    }
}

/// The rules, and of how many of the job's travellers each holds.
async fn fulfilled(
    session: &SessionContext,
    archive: &Archive,
    chosen: &Chosen,
    job: &str,
) -> Result<Vec<(String, u64)>> {
    let Some(rules) = &chosen.rules else { return Ok(Vec::new()) };
    let predictions = snapshot_provider(archive, PREDICTIONS, None).await?;
    let rows =
        session.read_table(predictions)?.filter(col("job").eq(lit(job)).and(col("rules").is_not_null()))?;
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for batch in rows.select_columns(&["rules"])?.batches().await? {
        for row in answers::rows(&batch) {
            for name in answers::text(&batch, "rules", row)?.unwrap_or_default().split("; ") {
                *counts.entry(name.to_owned()).or_default() += 1;
            }
        }
    }
    let of = |name: &str| counts.get(name).copied().unwrap_or_default();
    let named = |rule: &crate::profiles::rules::Rule| {
        let words = if rule.description.is_empty() { rule.words() } else { rule.description.clone() };
        (format!("{}: {words}", rule.name), of(&rule.name))
    };
    Ok(rules.rules.iter().map(named).collect())
}
