//! The job that retrains the model of travellers.
//!
//! Its steps: the champion; features of all trips of the months, in one pass over time ([`crate::features`]); shards with the
//! inspected trips of the training and validation months; the fit, of trees through the collective and of a graph network
//! in one task ([`crate::model::fit_operator`]); the test months, used once for the new model and the champion alike, each
//! on its own features, by which the version is published and promoted or not; the report. The same snapshot, parameters
//! and seed give the same model, byte for byte, on any number of workers; a graph network on one kind of processor.

use std::{ops::RangeInclusive, sync::Arc};

use arrow::datatypes::{FieldRef, Schema};
use datafusion::{
    functions_aggregate::expr_fn::{count, sum},
    logical_expr::Partitioning,
    prelude::{Expr, SessionContext, col, lit},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, Periods, Result, ResultExt, answers, plan, threads::on_cpu};
use tidewaiter_job::{Job, JobParameters, Outcome, async_trait, summary::evaluated};
use tidewaiter_learning::{
    follow::Followed,
    gbdt::{self, GbdtLeader},
    rows::{Layout, ParquetShards},
};
use tidewaiter_registry::{
    Card, Champion, Facts, Publication, Registry, TrainingSnapshot, Which,
    comparison::{Against, Comparison, Groups, RESAMPLES, paired_bootstrap},
    promotion::{Published, champion_before, check_fairness, publish},
};
use tidewaiter_report::format::period;

use crate::{
    cases::{self, Case},
    features::{
        catalogue::FEATURES,
        query::{Extraction, extract, version},
        rows::{NEIGHBOURS, schema},
    },
    metrics::{Metrics, ScoredTrip},
    model::{
        Learner, RiskModel,
        fit_operator::{GraphFit, GraphFitMessage, GraphFitOperator},
        parts,
    },
    own_files::OwnFiles,
    parameters::{MODEL, RetrainParameters},
    report::{ModelFacts, model_report},
    scored::{Scored, day},
    table,
    unmatched::{UNMATCHED, Unmatched, unmatched},
};

#[async_trait]
impl JobParameters for RetrainParameters {
    const KIND: &'static str = "retrain";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("model", "passengers"));
    const ABOUT: &'static str = "The model of travellers: with whom an inspection finds something, by itinerary, booking, history and network";

    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        retrain(job, self).await
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let names = ["roc_auc", "average_precision", "detected@0.1", "detected@1", "detected@5"];
        let told = outcome.metrics.get(UNMATCHED).and_then(|told| told.as_str());
        evaluated(outcome, &names).into_iter().chain(told.map(str::to_owned)).collect()
    }
}

/// Retrains the model and promotes it where it is better than the champion of its countries.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for months that overlap, that have no inspections of both results, or that the
/// champion learned from.
async fn retrain(job: &mut Job<'_>, parameters: &RetrainParameters) -> Result<()> {
    let periods = parameters.check()?;
    let standing = job.step("champion", standing(job, parameters, &periods)).await?;
    let features = job.step("features", features(job, parameters, &periods, &standing)).await?;
    job.outcome.rows.read = features.files.rows();
    let shards = job.step("shards", shards(job, parameters, &periods, &features)).await?;
    check_outcomes(&shards, parameters, &periods)?;
    let fitted = job.step("fit", fit(job, parameters, &periods, &shards)).await?;
    let evaluating = evaluate(job, parameters, &periods, (&features, &standing), &fitted);
    let verdict = job.step("evaluate", evaluating).await?;

    job.outcome.model = Some(format!("{}@{}", parameters.country.model(MODEL), verdict.version));
    if let Some(loss) = fitted.validation_loss {
        job.outcome.metrics.insert("validation".into(), json!({ "log_loss": loss }));
    }
    if let Some(told) = features.unmatched.sentence() {
        job.outcome.metrics.insert(UNMATCHED.into(), json!(told));
    }
    if let Some([training, validation]) = fitted.learned {
        let learned = json!({ "training": training, "validation": validation });
        job.outcome.metrics.insert("learned".into(), learned);
    }
    job.outcome.metrics.insert("test".into(), serde_json::to_value(&verdict.challenger)?);
    if let Some(champion) = &verdict.champion {
        job.outcome.metrics.insert("champion".into(), serde_json::to_value(champion)?);
    }
    if let Some(comparison) = &verdict.comparison {
        job.outcome.metrics.insert("comparison".into(), serde_json::to_value(comparison)?);
    }
    job.outcome.metrics.insert("promoted".into(), json!(verdict.promoted));
    job.outcome.metrics.insert("parts".into(), serde_json::to_value(&verdict.parts)?);
    if let Some(champion) = verdict.overtaken_by {
        job.outcome.metrics.insert("overtaken_by".into(), json!(champion));
    }
    job.outcome.reports.push(job.archive.display(&verdict.report));
    Ok(())
}

/// The champion of the same countries, and where its bytes are and what they are if it is compared with.
#[derive(Debug, Serialize, Deserialize)]
struct Standing {
    champion: Option<Champion>,
    compared: Option<(String, Learner)>,
}

fn standing<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    periods: &Periods,
) -> impl Future<Output = Result<Standing>> + use<'a> {
    let (registry, id, periods) = (Registry::new(job.archive), job.outcome.job.clone(), *periods);
    async move {
        let name = parameters.country.model(MODEL);
        let champion = champion_before(&registry, &name, &id).await?;
        let compared = match (&champion, parameters.compare) {
            (Some(champion), Against::Champion) => {
                let loaded = registry.load(&name, Which::Version(champion.version)).await?;
                let of = format!("{name}@{}", champion.version);
                let facts = loaded.manifest.facts;
                let other = || {
                    format!(
                        "{of} was trained by another version; retrain with --compare nothing and promote by hand"
                    )
                };
                let own: RetrainParameters = serde_json::from_value(facts.config).context(other)?;
                if facts.features != own.learner.inputs() {
                    return Err(Error::input(other()));
                }
                let learned = own.check()?;
                check_fairness(&of, [learned.train, learned.valid], &periods.test)?;
                Some((registry.model_path(&name, champion.version), own.learner))
            }
            _ => None,
        };
        Ok(Standing { champion, compared })
    }
}

/// Features of all trips of the months.
#[derive(Debug, Serialize, Deserialize)]
struct Features {
    /// The version of the travellers' table.
    version: u64,
    files: OwnFiles,
    /// Inspections of nobody who is known.
    unmatched: Unmatched,
}

fn features<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    periods: &Periods,
    standing: &Standing,
) -> impl Future<Output = Result<Features>> + use<'a> {
    let (archive, session, folder) = (job.archive, job.session("features"), job.work_folder().to_owned());
    let days = (*periods.train.days().start(), *periods.test.days().end());
    let compared = standing.compared.as_ref().is_some_and(|(_, learner)| learner.has_neighbours());
    let neighbours = compared || parameters.learner.has_neighbours();
    async move {
        let version = version(archive).await?;
        let countries = parameters.country.countries();
        let extraction = Extraction { countries, days, folder: &folder, name: "features", neighbours };
        let session = session?;
        let files = extract(&session, archive, &extraction).await?;
        let unmatched = unmatched(&session, archive, countries, days.0..=days.1).await?;
        Ok(Features { version, files, unmatched })
    }
}

/// The inspected trips that are learned from, and the outcomes of the periods.
#[derive(Debug, Serialize, Deserialize)]
struct Shards {
    files: OwnFiles,
    /// Of the training, validation and test months: inspected and found.
    outcomes: [[u64; 2]; 3],
}

/// Whether a trip lies in a period and the result of its inspection is known before a day. Until the test months begin nobody
/// knows more to learn from.
fn known_before(days: &RangeInclusive<i32>, before: i32) -> Expr {
    within(days).and(col("label").is_not_null()).and(col("known_on").lt(day(before)))
}

/// Whether a trip lies in a period.
fn within(days: &RangeInclusive<i32>) -> Expr {
    col(table::FLIGHT_DATE).between(day(*days.start()), day(*days.end()))
}

fn shards<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    periods: &Periods,
    features: &'a Features,
) -> impl Future<Output = Result<Shards>> + use<'a> {
    let (archive, session, folder) = (job.archive, job.session("shards"), job.work_folder().to_owned());
    let periods = [periods.train, periods.valid, periods.test].map(|period| period.days());
    async move {
        let session = session?;
        let neighbours = parameters.learner.has_neighbours();
        let rows = || features.files.scan(&session, archive, schema(neighbours));
        let test = *periods[2].start();
        let mut outcomes = [[0; 2]; 3];
        for ((days, before), counts) in periods.iter().zip([test, test, i32::MAX]).zip(&mut outcomes) {
            let known = rows()?.filter(known_before(days, before))?;
            let answer = known.aggregate(
                Vec::new(),
                vec![count(lit(1)).alias("inspected"), sum(col("label")).alias("found")],
            )?;
            let answer = answers::one_batch(answer).await?;
            if answer.num_rows() > 0 {
                *counts = [answers::count(&answer, "inspected", 0)?, answers::count(&answer, "found", 0)?];
            }
        }
        let learned = *periods[0].start()..=*periods[1].end();
        let known = rows()?.filter(known_before(&learned, test))?;
        let mut columns = vec![col("label"), col(table::FLIGHT_DATE)];
        columns.extend(FEATURES.iter().map(|feature| col(feature.name)));
        if neighbours {
            columns.extend([col("trip_id"), col(NEIGHBOURS)]);
        }
        let parts = Partitioning::Hash(vec![col("trip_id")], parameters.shards as usize);
        let known = known.repartition(parts)?.select(columns)?;
        let files = OwnFiles::write(archive, known, &folder, "shard").await?;
        Ok(Shards { files, outcomes })
    }
}

/// The training, validation and test months need inspections of both results.
fn check_outcomes(shards: &Shards, parameters: &RetrainParameters, periods: &Periods) -> Result<()> {
    let named = [("training", periods.train), ("validation", periods.valid), ("test", periods.test)];
    for ((what, period), [inspected, found]) in named.into_iter().zip(shards.outcomes) {
        if found == 0 || found == inspected {
            return Err(Error::input(format!(
                "in the {what} months {period} {inspected} travellers into {} were inspected, {found} of them with a find; \
                 both results are needed, choose other months or ingest outcomes",
                parameters.country
            )));
        }
    }
    Ok(())
}

/// A fitted model that is not yet evaluated.
#[derive(Debug, Serialize, Deserialize)]
struct Fitted {
    /// Path of its bytes in the archive.
    model: String,
    validation_loss: Option<f64>,
    /// Training and validation trips that a graph network read, of many a part.
    learned: Option<[u64; 2]>,
}

fn fit<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    periods: &Periods,
    shards: &'a Shards,
) -> impl Future<Output = Result<Fitted>> + use<'a> {
    let (archive, engine, folder) = (job.archive, job.engine, job.work_folder().to_owned());
    let (session, name, listener) = (job.session("fit"), job.outcome.job.clone(), Arc::clone(&job.listener));
    let days = periods.valid.days();
    async move {
        if parameters.learner == Learner::Graph {
            return fit_graph(&session?, archive, parameters, (&days, shards), &folder).await;
        }
        let layout = Layout {
            features: Learner::Trees.inputs(),
            label: "label".to_owned(),
            date: table::FLIGHT_DATE.to_owned(),
            validation_days: (*days.start(), *days.end()),
        };
        let files = shards.files.parquet();
        let task = serde_json::to_string(&layout)?;
        let loader = ParquetShards::new(archive.clone(), files.clone(), layout, gbdt::shard_of);
        let followed = Followed {
            archive,
            engine,
            session: &session?,
            name,
            folder: format!("{folder}/fit"),
            learner: (gbdt::LEARNER, task),
            shards: files,
            loader: Arc::new(loader),
            gains_from_gpu: false,
            listener,
            step: ("fit", "trees"),
            place: (0, 1),
            milestones_per_checkpoint: 10,
        };
        let leader = followed.lead(|| GbdtLeader::new(parameters.trees.clone()), GbdtLeader::restore).await?;
        let model = format!("{folder}/model.bin");
        archive.put(&model, RiskModel::Trees(leader.model()?).to_bytes()).await?;
        Ok(Fitted { model, validation_loss: leader.validation_loss(), learned: None })
    }
}

/// Fits a graph network in one task, which reads the shards in the order of time.
async fn fit_graph(
    session: &SessionContext,
    archive: &Archive,
    parameters: &RetrainParameters,
    (valid, shards): (&RangeInclusive<i32>, &Shards),
    folder: &str,
) -> Result<Fitted> {
    let model = format!("{folder}/model.bin");
    let schema = schema(true);
    let read = |field: &&FieldRef| {
        let name = field.name().as_str();
        ["label", table::FLIGHT_DATE, "trip_id", NEIGHBOURS].contains(&name)
            || FEATURES.iter().any(|feature| feature.name == name)
    };
    let fields: Vec<FieldRef> = schema.fields().iter().filter(read).cloned().collect();
    let rows = shards.files.scan(session, archive, Arc::new(Schema::new(fields)))?;
    let operator = GraphFitOperator::new(GraphFitMessage {
        archive: archive.url().to_string(),
        model: model.clone(),
        settings: serde_json::to_string(&parameters.network())?,
        valid_first: *valid.start(),
        valid_last: *valid.end(),
        trips: shards.files.rows(),
    })?;
    let fits = plan::reports::<GraphFit>(plan::apply(rows, operator)?).await?;
    let [fit] = &fits[..] else { return Err(Error::internal("a fit gave no report")) };
    Ok(Fitted { model, validation_loss: fit.validation_loss, learned: Some(fit.trips) })
}

/// A model that was evaluated and published.
#[derive(Debug, Serialize, Deserialize)]
struct Verdict {
    version: u64,
    promoted: bool,
    /// The version that is the champion instead of this better one.
    overtaken_by: Option<u64>,
    challenger: Metrics,
    champion: Option<Metrics>,
    comparison: Option<Comparison>,
    /// Shares of the parts of the features in the gain.
    parts: std::collections::BTreeMap<String, f64>,
    /// Path of the report.
    report: String,
}

/// Compares two models on the inspected of the test months.
fn compared(challenger: &[ScoredTrip], champion: &[ScoredTrip], seed: u64) -> Result<Comparison> {
    let known: Vec<usize> = (0..challenger.len()).filter(|row| challenger[*row].found.is_some()).collect();
    let scores = |trips: &[ScoredTrip]| known.iter().map(|row| trips[*row].probability).collect::<Vec<f64>>();
    let labels: Vec<f32> =
        known.iter().map(|row| f32::from(u8::from(challenger[*row].found == Some(true)))).collect();
    let persons = Groups::of(known.iter().map(|row| challenger[*row].person));
    let days = Groups::of(known.iter().map(|row| challenger[*row].day));
    paired_bootstrap(&scores(challenger), &scores(champion), &labels, (&persons, &days), RESAMPLES, seed)
}

fn evaluate<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    periods: &Periods,
    (features, standing): (&'a Features, &'a Standing),
    fitted: &'a Fitted,
) -> impl Future<Output = Result<Verdict>> + use<'a> {
    let (archive, periods, folder) = (job.archive, *periods, job.work_folder().to_owned());
    let (session, id, submitted_ms) = (job.session("evaluate"), job.outcome.job.clone(), job.submitted_ms);
    let pictures = job.session("evaluate");
    async move {
        let (session, registry) = (session?, Registry::new(archive));
        let (name, seed) = (parameters.country.model(MODEL), parameters.trees.seed);
        let test = Scored {
            session: &session,
            archive,
            files: &features.files,
            model: &fitted.model,
            neighbours: parameters.learner.has_neighbours(),
            days: periods.test.days(),
            rules: None,
        };
        let challenger = test.trips().await?;
        let champion = match &standing.compared {
            None => None,
            Some((model, learner)) => {
                let neighbours = learner.has_neighbours();
                Some(Scored { model, neighbours, ..test.clone() }.trips().await?)
            }
        };
        let importance = RiskModel::load(archive, &fitted.model).await?.importance();
        let top = test.top(cases::LISTED).await?;
        let cases: Vec<Case> =
            cases::with_networks(&pictures?, archive, parameters.country.countries(), &folder, top).await?;
        let (metrics, champion_metrics, comparison, challenger) = on_cpu(move || {
            let metrics = Metrics::of(&challenger)?;
            let of_champion = champion.as_deref().map(Metrics::of).transpose()?;
            let comparison =
                champion.as_deref().map(|champion| compared(&challenger, champion, seed)).transpose()?;
            Ok((metrics, of_champion, comparison, challenger))
        })
        .await?;
        let is_better = match (parameters.compare, &standing.champion) {
            (Against::Nothing, Some(_)) => false,
            _ => comparison.as_ref().is_none_or(Comparison::is_better),
        };
        let snapshot =
            TrainingSnapshot { table: table::TRAVELLERS.table.to_owned(), version: features.version };
        let facts = Arc::new(ModelFacts {
            country: parameters.country.to_string(),
            periods: [periods.train, periods.valid, periods.test].map(|own| period(&own.to_string())),
            champion: standing.champion.as_ref().map(|champion| format!("{name}@{}", champion.version)),
            metrics: metrics.clone(),
            champion_metrics: champion_metrics.clone(),
            comparison,
            learner: parameters.learner,
            compared: standing.compared.as_ref().map(|(_, learner)| *learner),
            unmatched: features.unmatched.sentence(),
            parts: parts(&importance),
            importance,
            seed,
            snapshot: format!("{}@{}", snapshot.table, snapshot.version),
            trips: challenger,
            cases,
        });
        let card: Card = {
            let (name, facts) = (name.clone(), Arc::clone(&facts));
            Arc::new(move |version, promotion| {
                Ok(model_report(&facts, &format!("{name}@{version}"), promotion).render())
            })
        };
        let publication = Publication {
            model: archive.get(&fitted.model).await?,
            card: Some(card),
            facts: Facts {
                job: id,
                config: serde_json::to_value(parameters)?,
                features: parameters.learner.inputs(),
                snapshot: Some(snapshot),
                code_version: env!("CARGO_PKG_VERSION").to_owned(),
                metrics: json!({ "test": metrics, "comparison": comparison }),
                seed,
                created_ms: submitted_ms,
            },
        };
        let published = publish(&registry, &name, publication, standing.champion.as_ref(), is_better).await?;
        let Published { manifest, promoted, overtaken_by, report } = published;
        Ok(Verdict {
            version: manifest.version,
            promoted,
            overtaken_by,
            challenger: metrics,
            champion: champion_metrics,
            comparison,
            parts: facts.parts.iter().map(|(part, share)| ((*part).to_owned(), *share)).collect(),
            report,
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Date32Array, Float32Array, RecordBatch};
    use tidewaiter_core::query::Run as _;

    use super::*;

    #[tokio::test]
    async fn results_that_become_known_in_the_test_months_are_not_learned_from() {
        let labels = Float32Array::from(vec![Some(1.0), Some(0.0), Some(1.0), None, Some(1.0)]);
        let known = Date32Array::from(vec![Some(14), Some(15), Some(16), None, Some(21)]);
        let columns: [(&str, ArrayRef); 3] = [
            (table::FLIGHT_DATE, Arc::new(Date32Array::from(vec![10, 11, 12, 13, 20]))),
            ("label", Arc::new(labels)),
            ("known_on", Arc::new(known)),
        ];
        let batch = RecordBatch::try_from_iter(columns).expect("a batch");
        let rows = SessionContext::new().read_batch(batch).expect("reads");
        let count =
            |days, before| rows.clone().filter(known_before(&days, before)).expect("plans").row_count();
        // The test months begin on day 15: of four trips before it, one is known then, two later, and one was not inspected.
        assert_eq!(count(0..=14, 15).await.expect("answers"), 1);
        assert_eq!(count(0..=14, i32::MAX).await.expect("answers"), 3);
        assert_eq!(count(15..=30, i32::MAX).await.expect("answers"), 1);
    }
}
